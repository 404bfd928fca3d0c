"""Learning by acting with the policy that is learned: rounds of steps in environments that never stop, then updates.

A round is `horizon` steps in each of `together` environments. What was seen in it is held as arrays (T, N, ...), turned
into advantages (Schulman et al. 2016, generalised advantage estimation), passed over a few times in batches, and thrown
away. A terminal state has no value after it; at a time limit, and at the end of a round, the value of the last
observation stands for what would have followed.
A training that was cut off goes on after the last round that was saved, bit for bit: environments under way are brought
back by the actions that were taken in them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.continuing import Continuing
from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.files import replace_arrays
from imitari.core.progress import Progress
from imitari.core.spec import Spec
from imitari.core.starts import BLOCK, learning_starts
from imitari.core.task import Task
from imitari.data.sampling import Batches
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, training_starts
from imitari.learn.in_turn import InTurn
from imitari.learn.learner import Learner
from imitari.learn.method import Need, Trained
from imitari.learn.policy_start import clone_first, plain, started_from, take_over
from imitari.learn.precision import choose
from imitari.learn.rollout import PRIOR, RETURN, Guide, LearnedReward, Policy, Practice, Reward, Rollout, rewards
from imitari.learn.run import Losses, Run
from imitari.learn.scaled import DeviceScaler
from imitari.learn.tried import LEARNED, UNTRIED, Tried, observed_as, remembering, with_untried
from imitari.nets.actor_critic import ActorCritic
from imitari.nets.critics import Gaussian
from imitari.nets.heads.actions import Choice
from imitari.nets.mlp import Activation
from imitari.nets.running import RunningMoments, RunningStandard

STAGE = "practice"
GUIDE = "guide_"
RETURNS_MEMORY = 9.0  # rounds that the statistics of returns remember


@dataclass(frozen=True)
class OnPolicy(Trained):
    """Settings that methods without a replay share."""

    steps: int = 500_000  # environment steps, of all environments together
    together: int = 16  # environments stepped together
    horizon: int = 128  # steps of each environment in a round
    epochs: int = 10  # times that the updates of a round pass over it
    batch: int = 256  # samples a batch
    lr: float = 3e-4  # peak learning rate
    clip: float = 0.5  # bound on the norm of the gradient; 0: none
    gamma: float = 0.99  # discount a step
    gae_lambda: float = 0.95  # 0: advantages of one step, 1: of whole episodes
    kl_bound: float = 0.0  # KL to the policy that acted beyond which a round is left early; 0: none
    value_rounds: int = 0  # rounds at the beginning in which the value learns and the policy does not
    hidden: tuple[int, ...] = (64, 64)  # widths of the layers
    activation: Activation = "tanh"  # between the layers
    shared: bool = False  # whether the value reads the policy's layers, or has its own
    deviation: float = 1.0  # of the exploration at the beginning, in actions scaled to [-1, 1]; it is learned
    acting: Literal["sample", "mean"] = "mean"  # after training: draws, or the mean (the likeliest choice)
    mask: str = ""  # observation that is 0 for choices that are not allowed, else 1; learned: from what changed nothing
    maps: int = 0  # starts that are learned one after another, with equal shares of the steps; 0: always another start
    normalise_obs: bool = True  # observations by the mean and deviation of all that were seen
    normalise_returns: bool = True  # the value network predicts returns in units of their recent mean and deviation
    policy_start: str = ""  # folder of an agent to start from
    clone_steps: int = 2_000  # optimiser steps of cloning the demonstrations first, where there are some
    clone_lr: float = 1e-3  # learning rate of that cloning
    prior_weight: float = 0.0  # of KL(prior || policy), the prior being the policy at the start
    prior_decay: float = 0.9995  # factor on that weight after every round

    needs: ClassVar[frozenset[Need]] = frozenset({"task"})

    def __post_init__(self) -> None:
        if min(self.together, self.horizon, self.epochs) < 1 or self.deviation <= 0:
            raise UserError(
                f"together {self.together}, horizon {self.horizon}, epochs {self.epochs}, "
                f"deviation {self.deviation:g}: the first three must be at least 1, the last above 0"
            )
        InTurn(0, self.maps)
        if not (0 <= self.gae_lambda <= 1 and 0 <= self.prior_decay <= 1):
            raise UserError(
                f"gae_lambda {self.gae_lambda:g}, prior_decay {self.prior_decay:g}: they must lie between 0 and 1"
            )
        if min(self.kl_bound, self.prior_weight) < 0 or self.clone_lr <= 0:
            raise UserError(
                f"kl_bound {self.kl_bound:g}, prior_weight {self.prior_weight:g}, clone_lr {self.clone_lr:g}: "
                "the first two must be at least 0, the last above 0"
            )

    @property
    def mask_key(self) -> str:
        """The observation that masks; "" where there is none."""
        return observed_as(self.mask)

    def inside(self, spec: Spec) -> Spec:
        """What the networks are given for observations of `spec`."""
        return with_untried(spec) if self.mask == LEARNED else spec

    @property
    def samples(self) -> int:
        """Of a round."""
        return self.together * self.horizon

    @property
    def rounds(self) -> int:
        """As many whole ones as there are steps for, at least one."""
        return max(1, self.steps // self.samples)

    @property
    def updates(self) -> int:
        """Optimiser steps of a round."""
        return max(1, self.epochs * self.samples // self.batch)

    def learner(self, spec: Spec) -> OnPolicyLearner:
        raise NotImplementedError


class OnPolicyLearner(Learner):
    """Policy and value with the statistics that go with them; a method adds `losses`.

    `losses` is given observations and actions, and as `extra` the columns `log_density` of the action under the policy
    that acted, `advantage`, `return`, the `value` before the round, and the parameters of the prior (see `prior_of`).
    """

    prior_weight: Tensor

    def __init__(self, settings: OnPolicy, spec: Spec) -> None:
        super().__init__()
        spec, mask = settings.inside(spec), settings.mask_key
        self.acting, self.normalise_obs = settings.acting, settings.normalise_obs
        self.normalise_returns = settings.normalise_returns
        self.tried = Tried(spec) if settings.mask == LEARNED else None
        self.standard = RunningStandard(spec, without=(mask,))
        self.returns = RunningMoments((), RETURNS_MEMORY)
        self.net = ActorCritic(
            spec,
            settings.hidden,
            activation=settings.activation,
            shared=settings.shared,
            mask=mask,
            deviation=settings.deviation,
        )
        self.register_buffer("prior_weight", torch.tensor(settings.prior_weight))

    def policy(self, obs: dict[str, Tensor]) -> Gaussian | Choice:
        """Scaled observations (B, ...) to a distribution over scaled actions (B, A)."""
        return self.net.policy(self.standard(obs))

    def value(self, obs: dict[str, Tensor]) -> Tensor:
        """Discounted sum of rewards that is expected, (B,)."""
        return self.returns.mean + self.returns.deviation * self.net.value(self.standard(obs))

    def in_units(self, returns: Tensor) -> Tensor:
        """Returns as the value network predicts them."""
        return self.returns(returns)

    def value_loss(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of rounds in which the policy rests."""
        error = self.net.value(self.standard(batch.obs), alone=True) - self.in_units(batch.extra[RETURN])
        return {"value_loss": (error**2).mean()}

    def prior_of(self, batch: Batch) -> Gaussian | Choice | None:
        """The prior's distribution for the samples of a batch."""
        found = {key.removeprefix(PRIOR): value for key, value in batch.extra.items() if key.startswith(PRIOR)}
        if not found:
            return None
        return Choice(**found) if "logits" in found else Gaussian(**found)

    def see_returns(self, returns: Tensor) -> None:
        """New statistics of returns; what `value` gives stays as it was."""
        if self.normalise_returns:
            before = self.returns.mean.clone(), self.returns.deviation.clone()
            self.returns.update(returns)
            self.net.rescale_value(before, (self.returns.mean, self.returns.deviation))

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        now = {key: value[:, -1] for key, value in obs.items()}
        policy = self.policy({**now, UNTRIED: self.tried(now)} if self.tried is not None else now)
        return (policy.sample() if self.acting == "sample" else policy.mode).unsqueeze(1)


def fit_onpolicy(
    method: OnPolicy,
    demos: Demos | None,
    run: Run,
    task: Task | None,
    *,
    start: Agent | None = None,
    prior: Policy | None = None,
    reward: Reward | None = None,
    learned: Callable[[OnPolicyLearner], LearnedReward] | None = None,
    guide: Guide | None = None,
) -> Agent:
    """Trains `method.learner` by acting in `task`.

    Args:
        method: settings.
        demos: cloned first, and they fix the scaling of observations; not where `clone_steps` is 0, and left aside then
            unless a reward is learned.
        run: where and how.
        task: where it acts.
        start: whose weights and scaling are the start, in the place of `method.policy_start`.
        prior: what the policy is kept near, in the place of the policy at the start.
        reward: in the place of the world's.
        learned: of the learner, a reward in the place of the world's that is learned, from these demonstrations too.
        guide: who may act in the place of the policy.

    Raises:
        UserError: when a prior is wanted and there is none; when more than one process trains.
    """
    task = method.acting_in(task)
    if run.processes.count > 1:
        raise UserError(f"method '{method.name()}' acts in one process: leave out torchrun")
    if start is None and method.policy_start:
        start = Agent.load(Path(method.policy_start)).seeing_itself(method.policy_start)
    used = demos if method.clone_steps or learned else None
    demos = demos if method.clone_steps else None
    spec, scaler = started_from(task, demos, start, method.mask_key)
    facts: dict[str, Any] = {
        "method": method.name(),
        "settings": method.to_json(),
        "data": used.facts() if used else None,
        "start": start.identity() if start else None,
        "spec": spec.to_json(),
        "seed": run.seed,
    }
    run.identity = {**run.identity, **facts}
    learner = run.build(lambda: method.learner(spec))
    assert isinstance(learner, OnPolicyLearner)
    if start:
        take_over(start, learner, learner.net)
    if demos is not None:
        clone_first(learner, learner.net, described(demos, task).select(list(spec.obs)), scaler, run, method)
    informed = start is not None or demos is not None
    if method.prior_weight and prior is None:
        if not informed:
            raise UserError("prior_weight keeps the policy near that of the start: give --data or --policy-start")
        prior = copy.deepcopy(learner).requires_grad_(False).eval()
    hooks = _Hooks(prior, reward, learned(learner) if learned else None, guide)
    training = _Training(method, run, task, learner, scaler, spec, hooks, moving=not informed)
    training.train()
    starts = training_starts(used) if used is not None else {}
    starts[task.name] = sorted({*starts.get(task.name, []), *training.starts()})
    facts |= {"starts": starts, "precision": choose(run.precision, learner, run.place)}
    return Agent(method, learner, scaler, spec, {**facts, **({"maps": training.turns.found()} if method.maps else {})})


@dataclass(frozen=True)
class _Hooks:
    """See `fit_onpolicy`."""

    prior: Policy | None
    reward: Reward | None
    learned: LearnedReward | None
    guide: Guide | None


class _Training:
    """Rounds of acting and updates. `moving`: the statistics of observations follow what is seen."""

    def __init__(
        self,
        method: OnPolicy,
        run: Run,
        task: Task,
        learner: OnPolicyLearner,
        scaler: Scaler,
        spec: Spec,
        hooks: _Hooks,
        *,
        moving: bool,
    ) -> None:
        self.method, self.run, self.task, self.learner, self.spec = method, run, task, learner, method.inside(spec)
        self.hooks, self.learned, self.guide = hooks, hooks.learned, hooks.guide
        self.a_round = method.updates + (self.learned.updates if self.learned else 0)  # updates
        self.moving = moving and method.normalise_obs
        if UNTRIED in self.spec.obs:
            scaler = Scaler({**scaler.scalings, UNTRIED: plain(self.spec.obs[UNTRIED])})
        self.scale = DeviceScaler(scaler, self.spec, run.place)
        self.done, self.begun, self.turns = 0, 0, InTurn(run.seed, method.maps)
        self.number = 0  # of the round
        self.notes: dict[str, float] = {}
        if learner.tried is not None:
            self.task = remembering(task, learner.tried, self.scale)

    def starts(self) -> list[int]:
        """Seeds of all starts up to now."""
        if self.method.maps:
            return self.turns.starts()
        return sorted({self._start(number) for number in range(self.begun)})

    def _start(self, number: int) -> int:
        return self.turns.start if self.method.maps else learning_starts(self.run.seed, number)[0]

    def _enter(self, number: int) -> None:
        """Goes on to the start whose turn it is in round `number`."""
        another = self.turns.enter(number, self.method.rounds)
        if another:
            self.stream.renew()
        if self.guide and (another or number == 0):
            self.guide.enter(self.turns.start)

    def train(self) -> None:
        method, learner = self.method, self.learner
        updates = method.rounds * self.a_round
        self.updates = self.run.begin(learner, method.optim(), updates, self.scale, stage=STAGE)
        self.stream = Continuing(self.task, method.together, self._start)
        self.practice = Practice(
            self.stream,
            learner,
            self.scale,
            self.spec,
            self.updates.precision,
            method.gamma,
            method.gae_lambda,
            self.hooks.prior,
            self._judged if self.learned else self.hooks.reward,
            self.guide,
        )
        try:
            self.done = self.updates.first
            first = self._resume() if self.done else 0
            with Progress(self.task.name, method.rounds * method.samples, show=self.run.show) as progress:
                for number in range(first, method.rounds):
                    self._round(number)
                    note = f"return {self.notes['episode_return']:.4g}" if "episode_return" in self.notes else ""
                    progress.update((number + 1) * method.samples, note)
                    if self.run.folder and (self.updates.due(self.done) or number + 1 == method.rounds):
                        self._save(number + 1)
            self.begun = self.stream.begun
        finally:
            self.stream.close()
        self.updates.finish()

    def _round(self, number: int) -> None:
        self.number = number
        if self.method.maps:
            self._enter(number)
        rollout = self.practice.act(self.method.horizon)
        self.learner.see_returns(self.scale.tensor(rollout.extra[RETURN]))
        self._improve(rollout, number)
        if self.moving:
            rows = {key: rollout.obs[key] for key in self.spec.numbers}
            self.learner.standard.update(self.scale.obs(rows))
        self.learner.prior_weight.mul_(self.method.prior_decay)
        ended = self.stream.finished
        if ended:
            self.notes = {
                "episode_return": float(np.mean([one.total for one in ended])),
                "episode_steps": float(np.mean([one.steps for one in ended])),
                "success": float(np.mean([one.success for one in ended])),
            }
            if self.method.maps:
                self.turns.add(len(ended), [one.steps for one in ended if one.success])
            self.stream.finished = []
        notes = {**self.notes, **(self.guide.notes() if self.guide else {})}
        self.updates.report(self.done, {"environment_steps": (number + 1.0) * self.method.samples, **notes})

    def _judged(self, steps: Batch) -> Array:
        """The updates of the reward that is learned, and what it then says of the steps of the round."""
        assert self.learned is not None
        for step in range(self.learned.updates):
            batch = self.learned.batch(steps, self.number * self.learned.updates + step)
            self.updates.step(self.number * self.a_round + step, batch, self.learned.losses)
            self.done += 1
        return rewards(self.learned, steps, self.scale, self.updates.precision)

    def _improve(self, rollout: Rollout, number: int) -> None:
        """The updates of one round. `done` counts those that were made, the schedule those that could have been."""
        method = self.method
        batches = Batches(rollout, method.batch, self.run.seed * BLOCK + number)
        losses: Losses | None = self.learner.value_loss if number < method.value_rounds else None
        a_pass = max(1, len(rollout) // method.batch)
        first = (number + 1) * self.a_round - method.updates
        for step in range(method.updates):
            if method.kl_bound and step and step % a_pass == 0 and self.practice.divergence(rollout) > method.kl_bound:
                return
            self.updates.step(first + step, batches(step), losses)
            self.done += 1

    def _save(self, rounds: int) -> None:
        """What is under way, under the number of updates; then the resume point, which makes it the one that counts."""
        assert self.run.folder is not None
        path = self._path(self.done)
        guide = {GUIDE + key: value for key, value in self.guide.stored().items()} if self.guide else {}
        where = {"rounds": np.array(rounds), "map": np.array(self.turns.number), "maps": self.turns.counts}
        replace_arrays(path, {**self.stream.stored(), **where, **guide})
        self.updates.save(self.done)
        for other in path.parent.glob(f"{STAGE}-*.npz"):
            if other != path:
                other.unlink(missing_ok=True)

    def _resume(self) -> int:
        """Brings back what was under way; the rounds that are done."""
        path = self._path(self.done)
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                stored: dict[str, Array] = {key: file[key] for key in file.files}
            self.turns.restore(int(stored["map"]), stored["maps"])
            self._restore(stored)
            if self.guide:
                self.guide.restore({key[len(GUIDE) :]: value for key, value in stored.items() if key[:6] == GUIDE})
            return int(stored["rounds"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise UserError(f"{path}: is missing or damaged ({error}): delete {path.parent} and train again") from error

    def _restore(self, stored: dict[str, Array]) -> None:
        """Takes the steps under way again; the table of what was tried knows them already."""
        tried = self.learner.tried
        if tried is not None:
            tried.learning = False
        self.stream.restore(stored)
        if tried is not None:
            tried.learning = True

    def _path(self, done: int) -> Path:
        assert self.run.folder is not None
        return self.run.folder / "resume" / f"{STAGE}-{done}.npz"
