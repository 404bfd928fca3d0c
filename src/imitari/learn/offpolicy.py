"""Learning by acting: environments stepped together fill a replay, and every step is followed by updates from it.

A round is one fresh episode in each of `together` environments, in step. In every step of a round the new transitions
are added first; then each environment step brings `utd` updates of the critics, the last of them also of everything
else. Whatever is random is a function of (seed, round) or (seed, update), and a round is never entered half way: a
training that was cut off goes on after the last round that was saved, bit for bit. Where starts are learned one after
another, all environments of a round have the same, and a round ends where the next one's turn comes.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.files import replace_text
from imitari.core.progress import Progress
from imitari.core.spec import Spec
from imitari.core.starts import learning_starts
from imitari.core.supervisor import Supervisor
from imitari.core.task import RandomActor, Task, World
from imitari.data.replay import Draws, MixedDraws, Replay
from imitari.data.sampling import Transitions
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent, Memory
from imitari.learn.cloning import described, training_starts
from imitari.learn.in_turn import InTurn
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.precision import choose
from imitari.learn.prior_data import box_scaler, prior
from imitari.learn.run import Losses, Run, Source, Updates
from imitari.learn.scaled import DeviceScaler
from imitari.learn.tried import remembering, table_in
from imitari.nets.running import RunningStandard

SPAN = 4096  # transitions copied at once
STAGE = "explore"
COUNTED = ("steps", "taken", "take_overs", "episodes", "solved")
STREAM = 0xE8  # keeps random actions apart from what else the seed of a start decides


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
    maps: int = 0  # starts that are learned one after another, with equal shares of the steps; 0: always another start
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
        InTurn(0, self.maps)

    @property
    def updates(self) -> int:
        """Updates of the critics in all."""
        return self.updates_after(self.steps)

    def updates_after(self, steps: int) -> int:
        """Updates that belong to the first `steps` environment steps."""
        return max(0, steps - self.warm_steps) * self.utd

    def randomness(self, steps: int) -> float:
        """Share of the actions that are left to chance after so many environment steps."""
        return float(steps < self.warm_steps)

    @property
    def mask_key(self) -> str:
        """The observation that says which choices are allowed; "" where there is none."""
        return ""


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
        UserError: for actions that are neither choices nor numbers with bounds, demonstrations without rewards, several
            processes.
    """
    if run.processes.count > 1:
        raise UserError(f"method '{method.name()}' acts in one process: leave out torchrun")
    demos = described(demos, task) if demos is not None else None
    spec = demos.spec if demos is not None else seen_of(task.spec, method.mask_key)
    scaler = box_scaler(spec, demos, method.mask_key)
    source = prior(demos, method.gamma, without_reward, spec) if demos is not None else None
    identity = {"method": method.name(), "settings": method.to_json(), "task": task.name, "spec": spec.to_json()}
    data = demos.facts() if demos is not None else None
    run.identity = {**run.identity, **identity, "data": data}
    learner = run.build(lambda: method.learner(spec))
    explorer = Explorer(method, run, task, learner, scaler, spec, source)
    explored = explorer.explore(labels or TaskReward(method.gamma), supervisor)
    starts = training_starts(demos) if demos is not None else {}
    starts[task.name] = sorted({*starts.get(task.name, []), *explorer.begun()})
    facts = {
        **identity,
        "data": data,
        "seed": run.seed,
        "starts": starts,
        "explored": dataclasses.asdict(explored),
        "precision": choose(run.precision, learner, run.place),
        **({"maps": explorer.turns.found()} if method.maps else {}),
    }
    return Agent(method, learner, scaler, spec, facts)


def seen_of(spec: Spec, mask: str) -> Spec:
    """What is learned from where no demonstrations say it: all but pictures, or with them where there is nothing else
    but the mask."""
    small = [key for key, feature in spec.obs.items() if feature.kind not in ("image", "text")]
    return spec.select(small if set(small) - {mask} else list(spec.obs))


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
        self.chance, self.turns = RandomActor(spec, method.mask_key), InTurn(run.seed, method.maps)
        self.replay = Replay(spec, method.capacity)
        self.actor = Agent(method, learner, scaler, spec, {})
        self.scale = DeviceScaler(scaler, spec, run.place)
        self.explored = Explored()
        tried = table_in(learner)
        self.acting_in = task if tried is None else remembering(task, tried, self.scale)
        # Statistics of what is seen move where no demonstrations have fixed the scaling.
        standards = [part for part in learner.modules() if isinstance(part, RunningStandard)]
        self.standards = standards if source is None else []
        self._done = 0
        self._reported = dict.fromkeys(("steps", "taken", "take_overs"), 0)
        self.batches: Source = Draws(self.replay, method.batch, run.seed)
        if source is not None and method.offline_ratio:
            self.batches = MixedDraws(source, self.replay, method.batch, run.seed, method.offline_ratio)
        elif source is not None:
            for first in range(0, len(source), SPAN):
                self.replay.add(source.gather(np.arange(first, min(first + SPAN, len(source)))))

    def seeds(self, number: int) -> range:
        """Of round `number`, one an environment: of whatever is random in it, and of its starts unless one is learned
        after another."""
        return learning_starts(self.run.seed, number, self.method.together)

    def begun(self) -> list[int]:
        """Seeds of all starts up to now."""
        if self.method.maps:
            return self.turns.starts()
        return [seed for number in range(len(self.explored.rounds)) for seed in self.seeds(number)]

    def explore(self, labels: Labels, supervisor: Supervisor | None) -> Explored:
        """Acts and learns for `method.steps` environment steps."""
        method = self.method
        updates = self.run.begin(self.learner, method.optim(), method.updates, self.scale, stage=STAGE)
        self._done = updates.first
        if updates.first:
            self._resume(updates.first)
        if self.explored.steps < method.steps:
            world = self.acting_in.make(method.together)
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
        number, count, whole = len(self.explored.rounds), self.method.together, self.method.steps
        seeds = self.seeds(number)
        if self.method.maps:
            self.turns.enter(self.explored.steps, whole)
        tally: dict[str, int] = dict.fromkeys(COUNTED, 0)
        self.explored.rounds.append(tally)
        obs, _ = world.reset(seed=[self.turns.start] * count if self.method.maps else list(seeds))
        memory, dice = self.actor.reset(count, seeds[0]), np.random.default_rng([seeds[0], STREAM])
        labels.begin(count)
        if supervisor:
            supervisor.begin(self.task, world, seeds)
        # Who acts from the first step on took over from nobody.
        running, taken = np.ones(count, bool), np.full(count, supervisor is not None)
        age, until = 0, self.turns.until(whole)
        while running.any() and self.explored.steps < until:
            proposal, memory = self._proposed(obs, memory, dice)
            action, before = proposal, taken
            if supervisor:
                ruling = supervisor.decide(obs, proposal)
                taken = ruling.take_over
                action = np.where(taken.reshape(-1, *[1] * (proposal.ndim - 1)), ruling.action, proposal)
            # Of the last steps that may be taken, as many environments as there are steps left count.
            counted = running & (np.cumsum(running) <= until - self.explored.steps)
            after, reward, terminated, truncated, info = world.step(action)
            ended, age = running & (terminated | truncated), age + 1
            success = np.asarray(info["success"], bool)
            step = Step(obs, action, reward, terminated, success, after, counted, ended, taken)
            for batch in labels.step(step):
                if len(batch):
                    self._keep(batch)
            _count(tally, step, before)
            if self.method.maps:
                over = ended & counted
                self.turns.add(int(over.sum()), [age] * int((over & success).sum()))
            self.explored.steps += int(counted.sum())
            obs, running = after, running & ~ended
            self._learn(updates)
            progress.update(self.explored.steps)

    def _proposed(self, obs: Obs, memory: Memory, dice: np.random.Generator) -> tuple[Array, Memory]:
        """What the learner does, or chance where it is its turn: actions (B, A)."""
        share = self.method.randomness(self.explored.steps)
        if share >= 1:
            return self.chance.act(obs, dice)[0], memory
        proposal, memory = self.actor.act(obs, memory)
        if share > 0:
            by_chance = dice.random((len(proposal), *[1] * (proposal.ndim - 1))) < share
            proposal = np.where(by_chance, self.chance.act(obs, dice)[0], proposal)
        return proposal, memory

    def _keep(self, batch: Batch) -> None:
        batch = self._seen(batch)
        self.replay.add(batch)
        for standard in self.standards:
            standard.update(self.scale.obs(batch.obs))

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
        turns = {"map": self.turns.number, "maps": self.turns.counts.tolist()}
        replace_text(explored, json.dumps({**dataclasses.asdict(self.explored), **turns}))
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
            self.turns.restore(int(data["map"]), np.reshape(data["maps"], self.turns.counts.shape))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{explored}: is missing or damaged: delete {explored.parent} and train again") from error
        self._reported = {key: sum(one[key] for one in self.explored.rounds) for key in self._reported}


def _count(tally: dict[str, int], step: Step, before: Array) -> None:
    tally["steps"] += int(step.running.sum())
    tally["taken"] += int((step.taken & step.running).sum())
    tally["take_overs"] += int((step.taken & ~before & step.running).sum())
    tally["episodes"] += int((step.ended & step.running).sum())
    tally["solved"] += int((step.ended & step.running & step.success).sum())
