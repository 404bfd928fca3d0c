"""Updates a second of implicit Q-learning: our loop against a plain one with separate networks and optimisers.

Both do the whole of an update at batch 256, layers 2 x 256, float32, one thread: draw the batch, three losses,
optimiser steps, target networks. The plain loop is the usual single-file way: four networks and two target networks,
three Adam optimisers, one backward pass a loss, target parameters moved one by one. Blocks of updates of all variants
alternate; medians over blocks are printed, by the clock and by processor time (which tells more on a busy machine).

    OMP_NUM_THREADS=1 python benchmarks/iql_update.py [--blocks 7] [--updates 150] [--compile]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.spec import Feature, Spec
from imitari.data.sampling import Batches, Transitions
from imitari.data.scaling import Scaler
from imitari.learn.learner import follow_all
from imitari.learn.precision import Precision
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.methods.offline.iql import ImplicitQLearning
from imitari.nets.mlp import mlp

STATE, ACTION, BATCH, HIDDEN = 17, 6, 256, (256, 256)
SPEC = Spec({"observation.state": Feature((STATE,))}, Feature((ACTION,), low=(-1.0,) * ACTION, high=(1.0,) * ACTION))


def random_demos(episodes: int = 100, steps: int = 1000) -> Demos:
    rng = np.random.default_rng(0)
    made = [
        Episode(
            {"observation.state": rng.standard_normal((steps + 1, STATE), np.float32)},
            rng.uniform(-1, 1, (steps, ACTION)).astype(np.float32),
            rng.standard_normal(steps, np.float32),
            "truncated",
        )
        for _ in range(episodes)
    ]
    return Demos.from_episodes(made, SPEC)


class Plain:
    """Implicit Q-learning as a single-file loop: the stand-in for other libraries."""

    def __init__(self, demos: Demos, fused: bool) -> None:
        self.data = [torch.from_numpy(value) for value in _transition_arrays(demos)]
        self.critics = nn.ModuleList(mlp(STATE + ACTION, HIDDEN, 1) for _ in range(2))
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self.value = mlp(STATE, HIDDEN, 1)
        self.actor = nn.Sequential(mlp(STATE, HIDDEN, ACTION), nn.Tanh())
        self.log_scale = nn.Parameter(torch.zeros(ACTION))
        parts = (self.value.parameters(), self.critics.parameters(), [*self.actor.parameters(), self.log_scale])
        self.optimisers = [torch.optim.Adam(part, 3e-4, fused=fused or None) for part in parts]
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimisers[2], 1_000_000)

    def update(self) -> None:
        index = torch.from_numpy(np.random.randint(0, len(self.data[0]), BATCH))
        obs, action, reward, next_obs, discount = (value[index] for value in self.data)
        with torch.no_grad():
            next_value = self.value(next_obs).squeeze(-1)
            pair = torch.cat([obs, action], -1)
            target = torch.min(*(net(pair).squeeze(-1) for net in self.targets))
        advantage = target - self.value(obs).squeeze(-1)
        self._descend(0, (torch.abs(0.7 - (advantage < 0).float()) * advantage**2).mean())
        backup = reward + discount * next_value
        pair = torch.cat([obs, action], -1)
        errors = [nn.functional.mse_loss(net(pair).squeeze(-1), backup) for net in self.critics]
        self._descend(1, errors[0] + errors[1])
        for own, other in zip(self.targets.parameters(), self.critics.parameters(), strict=True):
            own.data.copy_(0.995 * own.data + 0.005 * other.data)
        weight = torch.exp(3.0 * advantage.detach()).clamp(max=100.0)
        policy = torch.distributions.Normal(self.actor(obs), self.log_scale.clamp(-5, 2).exp())
        self._descend(2, -(weight * policy.log_prob(action).sum(-1)).mean())
        self.schedule.step()

    def _descend(self, number: int, loss: Tensor) -> None:
        self.optimisers[number].zero_grad()
        loss.backward()
        self.optimisers[number].step()


def _transition_arrays(demos: Demos) -> list[np.ndarray]:
    everything = Transitions(demos)
    batch = everything.gather(np.arange(len(everything)))
    key = "observation.state"
    assert batch.next_obs is not None
    return [batch.obs[key], batch.action, batch.reward, batch.next_obs[key], batch.discount]


def ours(demos: Demos, compile_losses: bool = False, precision: Precision = "fp32") -> Callable[[int], None]:
    """Blocks of `Run.train`, everything included: sampling, scaling, checks, metrics."""
    method = ImplicitQLearning(hidden=HIDDEN, batch=BATCH)
    run = Run(seed=0, device="cpu", precision=precision, show=False, compile="on" if compile_losses else "off")
    learner = run.build(lambda: method.learner(SPEC))
    batches = Batches(Transitions(demos), BATCH, 0)
    scaler = DeviceScaler(Scaler.fit(demos, "meanstd", "minmax"), SPEC, run.place)

    def block(updates: int) -> None:
        run.train(learner, batches, method.optim(), updates, scaler)

    return block


def whole_step(demos: Demos) -> Callable[[int], None]:
    """Losses, backward pass and optimiser in one compiled graph."""
    method = ImplicitQLearning(hidden=HIDDEN, batch=BATCH)
    torch.manual_seed(0)
    learner = method.learner(SPEC)
    optimiser = method.optim().build(learner)
    batches = Batches(Transitions(demos), BATCH, 0)
    scaler = DeviceScaler(Scaler.fit(demos, "meanstd", "minmax"), SPEC, torch.device("cpu"))

    @torch.compile
    def step(batch: object) -> Tensor:
        terms = learner.losses(batch)  # pyright: ignore[reportArgumentType]
        loss = terms["value_loss"] + terms["critic_loss"] + terms["actor_loss"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss

    def block(updates: int) -> None:
        for number in range(updates):
            step(scaler.batch(batches(number)))
            follow_all(learner, number + 1)

    return block


def plain(demos: Demos, fused: bool) -> Callable[[int], None]:
    trainer = Plain(demos, fused)

    def block(updates: int) -> None:
        for _ in range(updates):
            trainer.update()

    return block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--updates", type=int, default=150, help="in a block")
    parser.add_argument("--compile", action="store_true", help="the compiled variants too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    demos = random_demos()
    variants = {
        "imitari, Run.train": ours(demos),
        "imitari, Run.train in bfloat16": ours(demos, precision="bf16"),
        "plain loop, Adam as it comes": plain(demos, False),
        "plain loop, fused Adam": plain(demos, True),
    }
    if arguments.compile:
        variants["imitari, losses compiled"] = ours(demos, compile_losses=True)
        variants["imitari, whole step compiled"] = whole_step(demos)
    for name, block in variants.items():
        began = time.perf_counter()
        block(20)
        print(f"first 20 updates: {time.perf_counter() - began:6.1f} s  {name}", flush=True)
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for _ in range(arguments.blocks):
        for name, block in variants.items():
            clock, processor = time.perf_counter(), time.process_time()
            block(arguments.updates)
            spent = time.perf_counter() - clock, time.process_time() - processor
            speeds[name].append((arguments.updates / spent[0], arguments.updates / spent[1]))
    print("updates a second: by the clock (range over blocks), by processor time")
    for name, values in speeds.items():
        clocks, processors = zip(*values, strict=True)
        span = f"({min(clocks):.0f} to {max(clocks):.0f})"
        print(f"{statistics.median(clocks):7.1f} {span:>14} {statistics.median(processors):7.1f}  {name}")


if __name__ == "__main__":
    main()
