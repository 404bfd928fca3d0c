"""Learning by acting: environments stepped together fill a replay, and every step is followed by updates from it.

A round is one fresh episode in each of `together` environments, in step. In every step of a round the new transitions
are added first; then each environment step brings `utd` updates of the critics, the last of them also of everything
else. Whatever is random is a function of (seed, round) or (seed, update), and a round is never entered half way: a
training that was cut off goes on after the last round that was saved, bit for bit.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from imitari.core.batch import Batch
from imitari.core.columns import ArrayColumn
from imitari.core.demos import ENDINGS, Demos
from imitari.core.episode import ACTION, REWARD, Array, Obs
from imitari.core.errors import UserError
from imitari.core.files import replace_text
from imitari.core.progress import Progress
from imitari.core.spec import Feature, Spec
from imitari.core.starts import learning_starts
from imitari.core.supervisor import Supervisor
from imitari.core.task import RandomActor, Task, World
from imitari.data.replay import Draws, MixedDraws, Replay
from imitari.data.sampling import Transitions
from imitari.data.scaling import Scaler, Scaling
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, training_starts
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.precision import choose
from imitari.learn.run import Losses, Run, Source, Updates
from imitari.learn.scaled import DeviceScaler

SPAN = 4096  # transitions copied at once
STAGE = "explore"
COUNTED = ("steps", "taken", "take_overs", "episodes", "solved")
STREAM = 0xE8  # keeps random actions apart from what else the seed of a start decides
BORDER = 0.999  # of the action box: where demonstrated actions are clipped, so that a squashed policy can reach them


@dataclass(frozen=True)
class OffPolicy(Trained):
    """Settings that methods with a replay share."""

    steps: int = 100_000  # environment steps
    lr: float = 3e-4  # peak learning rate
    utd: int = 1  # updates of the critics an environment step; the policy has one
    together: int = 10  # environments stepped together
    warm_steps: int = 0  # environment steps with random actions before the first update
    capacity: int = 1_000_000  # transitions kept
    gamma: float = 0.99  # discount a step
    offline_ratio: float = 0.0  # share of demonstrations in a batch; 0: they are put into the replay first

    def __post_init__(self) -> None:
        if min(self.utd, self.together, self.capacity) < 1:
            raise UserError(
                f"utd {self.utd}, together {self.together}, capacity {self.capacity}: they must be at least 1"
            )
        if not 0 <= self.offline_ratio < 1:
            raise UserError(f"offline_ratio is {self.offline_ratio:g}: it must be at least 0 and below 1")
        if self.warm_steps >= self.steps:
            raise UserError(f"warm_steps is {self.warm_steps} of {self.steps} steps: none is left to learn in")

    @property
    def updates(self) -> int:
        """Updates of the critics in all."""
        return self.updates_after(self.steps)

    def updates_after(self, steps: int) -> int:
        """Updates that belong to the first `steps` environment steps."""
        return max(0, steps - self.warm_steps) * self.utd


@dataclass(frozen=True)
class Step:
    """One step of B environments.

    Attributes:
        obs, next_obs: before and after, name -> (B, ...).
        action: (B, A) what was executed.
        reward: (B,) of the task.
        terminated, success: (B,) bool, after the step.
        running: (B,) bool, whether the environment had not finished before it; the other rows mean nothing.
        ended: (B,) bool, whether it finished with this step.
        taken: (B,) bool, whether a supervisor acted.
    """

    obs: Obs
    action: Array
    reward: Array
    terminated: Array
    success: Array
    next_obs: Obs
    running: Array
    ended: Array
    taken: Array


class Labels(Protocol):
    """Turns steps into transitions to learn from."""

    def begin(self, count: int) -> None:
        """`count` fresh episodes are about to start."""
        ...

    def step(self, step: Step) -> list[Batch]:
        """What is known now: transitions of this step, or of earlier ones whose label had to wait."""
        ...


class TaskReward:
    """The task's own reward; no value follows a terminal state, a time limit cuts none off."""

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma

    def begin(self, count: int) -> None:
        return None

    def step(self, step: Step) -> list[Batch]:
        return [transitions(step, np.flatnonzero(step.running), step.reward, self.gamma * ~step.terminated)]


def transitions(step: Step, rows: Array, reward: Array, discount: Array) -> Batch:
    """The transitions of some environments; `reward` and `discount` are (B,)."""
    return Batch(
        obs={key: value[rows] for key, value in step.obs.items()},
        action=step.action[rows],
        reward=reward[rows].astype(np.float32),
        discount=discount[rows].astype(np.float32),
        next_obs={key: value[rows] for key, value in step.next_obs.items()},
    )


@dataclass
class Explored:
    """What was done up to now; saved with the replay and remembered by the agent.

    Attributes:
        steps: environment steps.
        rounds: one entry a round: its environment steps, those in which a supervisor acted, how often it took over,
            episodes that finished, and how many of them the task counts as solved.
    """

    steps: int = 0
    rounds: list[dict[str, int]] = field(default_factory=list[dict[str, int]])


def fit_offpolicy(
    method: OffPolicy,
    demos: Demos | None,
    run: Run,
    task: Task,
    *,
    labels: Labels | None = None,
    supervisor: Supervisor | None = None,
    without_reward: bool = False,
) -> Agent:
    """Trains `method.learner` by acting in `task`, beginning with the demonstrations where there are some.

    Args:
        method: settings.
        demos: with rewards, unless `without_reward`; they also fix the scaling of observations.
        run: where and how.
        task: where it acts.
        labels: what it learns from; default: the task's reward.
        supervisor: watches and may take over.
        without_reward: demonstrations count as having reward 0, and only their successes as ends.

    Raises:
        UserError: for actions that are not numbers with bounds, demonstrations without rewards, several processes.
    """
    if run.processes.count > 1:
        raise UserError(f"method '{method.name()}' acts in one process: leave out torchrun")
    demos = described(demos, task) if demos is not None else None
    spec = demos.spec if demos is not None else task.spec.select(list(task.spec.numbers) or list(task.spec.obs))
    scaler = box_scaler(spec, demos)
    source = prior(demos, method.gamma, without_reward, spec) if demos is not None else None
    identity = {"method": method.name(), "settings": method.to_json(), "task": task.name, "spec": spec.to_json()}
    data = demos.facts() if demos is not None else None
    run.identity = {**run.identity, **identity, "data": data}
    learner = run.build(lambda: method.learner(spec))
    explorer = Explorer(method, run, task, learner, scaler, spec, source)
    explored = explorer.explore(labels or TaskReward(method.gamma), supervisor)
    starts = training_starts(demos) if demos is not None else {}
    seeds = [seed for number in range(len(explored.rounds)) for seed in explorer.seeds(number)]
    starts[task.name] = sorted({*starts.get(task.name, []), *seeds})
    facts = {
        **identity,
        "data": data,
        "seed": run.seed,
        "starts": starts,
        "explored": dataclasses.asdict(explored),
        "precision": choose(run.precision, learner, run.place),
    }
    return Agent(method, learner, scaler, spec, facts)


def box_scaler(spec: Spec, demos: Demos | None) -> Scaler:
    """Actions from their bounds to [-1, 1]; observations to mean 0, deviation 1 of the demonstrations, or as they are.

    Raises:
        UserError: when the action has no bounds.
    """
    low, high = spec.action.low, spec.action.high
    if spec.action.kind != "number" or low is None or high is None:
        raise UserError("a squashed policy needs actions of numbers with bounds: choose a task that gives them")
    if demos is not None:
        scalings = {key: value for key, value in Scaler.fit(demos, "meanstd").scalings.items() if key != ACTION}
    else:
        scalings = {key: _plain(feature) for key, feature in spec.numbers.items()}
    bottom, top = np.asarray(low, np.float32), np.asarray(high, np.float32)
    scalings[ACTION] = Scaling("minmax", (bottom + top) / 2, (top - bottom) / 2)
    return Scaler(scalings)


def _plain(feature: Feature) -> Scaling:
    return Scaling("none", np.zeros(feature.shape, np.float32), np.ones(feature.shape, np.float32))


def prior(demos: Demos, gamma: float, without_reward: bool, spec: Spec) -> Transitions:
    """The transitions of the demonstrations.

    Without reward every reward is 0, and an end that is no known success is taken for a time limit: among rewards that
    are never positive, an end of value 0 would be worth seeking. (Where the observation after such an end is not
    stored, its last step is left out.)
    """
    if without_reward:
        rows = demos.columns[ACTION].shape[0]
        table = demos.table
        ended = np.where(table.success == 1, table.ended, ENDINGS.index("truncated")).astype(table.ended.dtype)
        demos = demos.with_columns({REWARD: ArrayColumn(np.zeros(rows, np.float32))}, "rewards set to 0")
        demos = demos.with_table(dataclasses.replace(table, ended=ended), "only successes end")
    low, high = (np.asarray(bound, np.float32) for bound in (spec.action.low, spec.action.high))
    middle, half = (low + high) / 2, BORDER * (high - low) / 2
    column = demos.columns[ACTION]
    clipped = np.clip(column.take(np.arange(column.shape[0])), middle - half, middle + half)
    demos = demos.with_columns({ACTION: ArrayColumn(clipped.astype(column.dtype))}, "actions moved off the border")
    return Transitions(demos, 1, gamma)


class Explorer:
    """One training by acting.

    Args:
        method: settings.
        run: where and how.
        task: where it acts.
        learner: trained in place.
        scaler: of observations and actions.
        spec: what the learner sees.
        source: transitions of demonstrations, or None.
    """

    def __init__(
        self,
        method: OffPolicy,
        run: Run,
        task: Task,
        learner: Learner,
        scaler: Scaler,
        spec: Spec,
        source: Transitions | None,
    ) -> None:
        self.method, self.run, self.task, self.learner, self.spec = method, run, task, learner, spec
        self.replay = Replay(spec, method.capacity)
        self.actor = Agent(method, learner, scaler, spec, {})
        self.scale = DeviceScaler(scaler, spec, run.place)
        self.explored = Explored()
        self._done = 0
        self._reported = dict.fromkeys(("steps", "taken", "take_overs"), 0)
        self.batches: Source = Draws(self.replay, method.batch, run.seed)
        if source is not None and method.offline_ratio:
            self.batches = MixedDraws(source, self.replay, method.batch, run.seed, method.offline_ratio)
        elif source is not None:
            for first in range(0, len(source), SPAN):
                self.replay.add(source.gather(np.arange(first, min(first + SPAN, len(source)))))

    def seeds(self, number: int) -> range:
        """Of the starts of round `number`."""
        return learning_starts(self.run.seed, number, self.method.together)

    def explore(self, labels: Labels, supervisor: Supervisor | None) -> Explored:
        """Acts and learns for `method.steps` environment steps."""
        method, task = self.method, self.task
        updates = self.run.begin(self.learner, method.optim(), method.updates, self.scale, stage=STAGE)
        self._done = updates.first
        if updates.first:
            self._resume(updates.first)
        if self.explored.steps < method.steps:
            world = task.make(method.together)
            try:
                with Progress(STAGE, method.steps, show=self.run.show) as progress:
                    while self.explored.steps < method.steps:
                        self._round(world, updates, labels, supervisor, progress)
                        if updates.due(self._done):
                            self._save(updates)
            finally:
                world.close()
        updates.finish()
        return self.explored

    def _round(
        self, world: World, updates: Updates, labels: Labels, supervisor: Supervisor | None, progress: Progress
    ) -> None:
        number, count = len(self.explored.rounds), self.method.together
        seeds = self.seeds(number)
        tally: dict[str, int] = dict.fromkeys(COUNTED, 0)
        self.explored.rounds.append(tally)
        obs, _ = world.reset(seed=list(seeds))
        memory, dice = self.actor.reset(count, seeds[0]), np.random.default_rng([seeds[0], STREAM])
        chance = RandomActor(self.spec)
        labels.begin(count)
        if supervisor:
            supervisor.begin(self.task, world, seeds)
        # Who acts from the first step on took over from nobody.
        running, taken = np.ones(count, bool), np.full(count, supervisor is not None)
        while running.any() and self.explored.steps < self.method.steps:
            if self.explored.steps < self.method.warm_steps:
                proposal, _ = chance.act(obs, dice)
            else:
                proposal, memory = self.actor.act(obs, memory)
            action, before = proposal, taken
            if supervisor:
                ruling = supervisor.decide(obs, proposal)
                taken = ruling.take_over
                action = np.where(taken.reshape(-1, *[1] * (proposal.ndim - 1)), ruling.action, proposal)
            # Of the last steps that may be taken, as many environments as there are steps left count.
            counted = running & (np.cumsum(running) <= self.method.steps - self.explored.steps)
            after, reward, terminated, truncated, info = world.step(action)
            ended = running & (terminated | truncated)
            success = np.asarray(info["success"], bool)
            step = Step(obs, action, reward, terminated, success, after, counted, ended, taken)
            for batch in labels.step(step):
                if len(batch):
                    self.replay.add(self._seen(batch))
            _count(tally, step, before)
            self.explored.steps += int(counted.sum())
            obs, running = after, running & ~ended
            self._learn(updates)
            progress.update(self.explored.steps)

    def _seen(self, batch: Batch) -> Batch:
        """Through the observations that the learner sees."""
        assert batch.next_obs is not None
        seen = {key: batch.obs[key] for key in self.spec.obs}, {key: batch.next_obs[key] for key in self.spec.obs}
        return dataclasses.replace(batch, obs=seen[0], next_obs=seen[1])

    def _learn(self, updates: Updates) -> None:
        """The updates that belong to the steps taken up to now."""
        critic_losses: Losses | None = getattr(self.learner, "critic_losses", None)
        due = self.method.updates_after(self.explored.steps) if len(self.replay) else 0
        while self._done < due:
            last = (self._done + 1) % self.method.utd == 0
            updates.step(self._done, self.batches(self._done), losses=None if last else critic_losses)
            self._done += 1
            if self._done % self.run.report_every == 0 or self._done == self.method.updates:
                updates.report(self._done, self._further())

    def _further(self) -> dict[str, float]:
        """Metrics of the steps since the last report: how often a supervisor acted and took over."""
        total = {key: sum(one[key] for one in self.explored.rounds) for key in self._reported}
        new = {key: total[key] - self._reported[key] for key in total}
        self._reported = total
        steps = max(1, new["steps"])
        return {
            "environment_steps": float(self.explored.steps),
            "intervention_rate": new["taken"] / steps,
            "take_over_rate": new["take_overs"] / steps,
        }

    def _files(self, done: int) -> tuple[Path, Path]:
        assert self.run.folder is not None
        folder = self.run.folder / "resume"
        return folder / f"replay-{done}.npz", folder / f"explored-{done}.json"

    def _save(self, updates: Updates) -> None:
        """Replay and record under the number of updates, then the resume point, which makes them the ones in force."""
        replay, explored = self._files(self._done)
        self.replay.save(replay)
        replace_text(explored, json.dumps(dataclasses.asdict(self.explored)))
        updates.save(self._done)
        for path in [*replay.parent.glob("replay-*.npz"), *replay.parent.glob("explored-*.json")]:
            if path not in (replay, explored):
                path.unlink(missing_ok=True)

    def _resume(self, done: int) -> None:
        replay, explored = self._files(done)
        self.replay.load(replay)
        try:
            data: dict[str, Any] = json.loads(explored.read_text(encoding="utf-8"))
            self.explored = Explored(int(data["steps"]), list(data["rounds"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{explored}: is missing or damaged: delete {explored.parent} and train again") from error
        self._reported = {key: sum(one[key] for one in self.explored.rounds) for key in self._reported}


def _count(tally: dict[str, int], step: Step, before: Array) -> None:
    tally["steps"] += int(step.running.sum())
    tally["taken"] += int((step.taken & step.running).sum())
    tally["take_overs"] += int((step.taken & ~before & step.running).sum())
    tally["episodes"] += int((step.ended & step.running).sum())
    tally["solved"] += int((step.ended & step.running & step.success).sum())
