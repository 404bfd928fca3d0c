"""Updates of a method of this library: its own `fit`, with everything that belongs to it but acting.

Settings: method, settings, precision, data (see `_data`). The loop of `Run.train` cannot be called step by step, so
that it is stopped where it asks for the next batch: the clock starts with the first update that was ordered and stops
when the last one is done. Metrics are written; resume points are not, since they are due by the clock, pauses included.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _data import episodes
from _serve import settings
from torch.utils.flop_counter import FlopCounterMode

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.spec import Feature, Spec
from imitari.data.sampling import Batches, Transitions
from imitari.data.scaling import Scaler
from imitari.learn.learner import Learner
from imitari.learn.method import Method, Trained, method_class
from imitari.learn.onpolicy import OnPolicy
from imitari.learn.optim import Optim
from imitari.learn.precision import autocast, choose
from imitari.learn.rollout import ADVANTAGE, LOG_DENSITY, RETURN, VALUE, Rollout
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler

Source = Callable[[int], Batch]
ROUND = 2048  # steps of a round of acting


class MeasuredRun(Run):
    """A run that answers requests from within its training."""

    def train(
        self,
        learner: Learner,
        batches: Source,
        optim: Optim,
        steps: int,
        scaler: DeviceScaler | None = None,
        **further: Any,
    ) -> Learner:
        facts = described(learner, batches, scaler, self)
        return super().train(learner, Meter(batches, facts), optim, steps, scaler, **further)


class Meter:
    """A source of batches that waits for orders."""

    def __init__(self, batches: Source, facts: dict[str, Any]) -> None:
        self.batches, self.left = batches, 0
        self.began: tuple[float, float] | None = None
        print(json.dumps({"ready": True, **facts}), flush=True)

    def __call__(self, number: int) -> Batch:
        if self.left == 0:
            self.left = self._ordered()
            self.began = time.perf_counter(), time.process_time()
        self.left -= 1
        return self.batches(number)

    def _ordered(self) -> int:
        if self.began:
            clock, processor = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
            print(json.dumps({"seconds": clock, "processor": processor}), flush=True)
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        return int(json.loads(line)["count"])


def described(learner: Learner, batches: Source, scaler: DeviceScaler | None, run: Run) -> dict[str, Any]:
    """Parameters, arithmetic of an update, and what the processor could do at most."""
    precision = choose(run.precision, learner, run.place)
    batch = scaler.batch(batches(0)) if scaler else batches(0)
    with FlopCounterMode(display=False) as counter:
        with autocast(precision, run.place):
            terms = learner.losses(batch)
        sum((value for name, value in terms.items() if not name.startswith("_")), torch.zeros(())).backward()
    learner.zero_grad(set_to_none=True)
    operations = counter.get_total_flops() + recurrent_operations(learner, len(batch.action), batch.action.shape[1])
    return {
        "batch": len(batch.action),
        "parameters": sum(value.numel() for value in learner.parameters() if value.requires_grad),
        "precision": precision,
        "operations": operations,
        "limit": product_limit(torch.bfloat16 if precision == "bf16" else torch.float32),
    }


def recurrent_operations(learner: Learner, sequences: int, steps: int) -> int:
    """Of recurrent layers, which run as one operation that the counter does not know: two a weight and step forward,
    twice that backward."""
    layers = [module for module in learner.modules() if isinstance(module, torch.nn.RNNBase)]
    weights = sum(value.numel() for layer in layers for value in layer.parameters() if value.ndim == 2)
    return 6 * weights * sequences * steps


def product_limit(kind: torch.dtype, size: int = 2048) -> float:
    """Operations of a large matrix product in a second of processor time."""
    left, right = torch.randn(size, size, dtype=kind), torch.randn(size, size, dtype=kind)
    times: list[float] = []
    for _ in range(4):
        began = time.process_time()
        torch.mm(left, right)
        times.append(time.process_time() - began)
    return 2 * size**3 / min(times)


def demonstrations(shape: dict[str, int]) -> Demos:
    obs, action, reward = episodes(shape)
    state = shape["state"]
    keys = {"observation.state": obs[..., :state], "observation.environment_state": obs[..., state:]}
    keys = {key: value for key, value in keys.items() if value.shape[-1]}
    width = action.shape[-1]
    spec = Spec(
        {key: Feature(value.shape[-1:]) for key, value in keys.items()},
        Feature((width,), low=(-1.0,) * width, high=(1.0,) * width),
    )
    made = [
        Episode({key: value[number] for key, value in keys.items()}, action[number], reward[number], "truncated")
        for number in range(len(action))
    ]
    return Demos.from_episodes(made, spec)


def train_without_acting(method: Method, demos: Demos, run: Run) -> None:
    """The updates of a method that acts while it learns, on transitions that are there already."""
    assert isinstance(method, Trained)
    learner = run.build(lambda: method.learner(demos.spec))
    scaler = DeviceScaler(Scaler.fit(demos, "meanstd", "minmax"), demos.spec, run.place)
    source = rollout(demos) if isinstance(method, OnPolicy) else Transitions(demos)
    run.train(learner, Batches(source, method.batch, 0), method.optim(), method.steps, scaler)


def rollout(demos: Demos) -> Rollout:
    """A round as if it had been acted out: the same transitions with random advantages."""
    everything = Transitions(demos).gather(np.arange(ROUND))
    numbers = np.random.default_rng(0).standard_normal((4, ROUND)).astype(np.float32)
    return Rollout(
        everything.obs, everything.action, dict(zip((LOG_DENSITY, ADVANTAGE, RETURN, VALUE), numbers, strict=True))
    )


def main() -> None:
    given = settings()
    torch.set_num_threads(1)
    kind: type[Method] = method_class(given["method"])
    method = kind.from_preset(given.get("preset"), **{"steps": 1_000_000, **given["settings"]})
    with tempfile.TemporaryDirectory() as folder:
        run = MeasuredRun(
            device="cpu", precision=given["precision"], folder=Path(folder), show=False, save_seconds=float("inf")
        )
        demos = demonstrations(given["data"])
        if "task" in kind.needs:
            train_without_acting(method, demos, run)
        else:
            method.fit(demos, run)


main()
