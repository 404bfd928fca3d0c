"""Collecting episodes in a task: an expert or chance acts, noise may be added, and every episode is kept at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imitari.core.demos import Demos, Provenance
from imitari.core.episode import Array, Episode, Obs
from imitari.core.errors import UserError
from imitari.core.interaction import Decision, interact
from imitari.core.spec import Feature
from imitari.core.task import Actor, Stateless, Task, World
from imitari.data.opening import save_demos
from imitari.data.procedures import traced
from imitari.data.recording import Journal, Recorder

NOISES = ("gaussian", "random", "hold")
STREAM = 0xC011EC7  # keeps the noise apart from what else the seed of a start decides


@dataclass(frozen=True)
class Noise:
    """How the executed action departs from the one that the actor meant.

    Attributes:
        kind: gaussian: normal noise, `amount` is its standard deviation as a share of the action's range; for a choice
            like random. random: with probability `amount` a step's action is drawn uniformly. hold: with probability
            `amount` the last executed action is repeated.
        amount: from 0 to 1.
    """

    kind: Literal["gaussian", "random", "hold"]
    amount: float

    @staticmethod
    def parse(text: str) -> Noise:
        """From "gaussian:0.1".

        Raises:
            UserError: for anything else.
        """
        kind, _, amount = text.partition(":")
        try:
            value = float(amount)
        except ValueError:
            value = -1.0
        if kind not in NOISES or not 0 <= value <= 1:
            raise UserError(f"noise '{text}' is unknown: write gaussian:0.1, random:0.1 or hold:0.1 (amount 0 to 1)")
        return Noise(kind, value)  # pyright: ignore[reportArgumentType]


class Noisy:
    """A `Decide` that adds noise; the noise of an episode depends on the seed of its start alone.

    Args:
        action: of the task.
        noise: kind and amount.
        seeds: of the starts, one an environment.
        recorded: which action is stored as `action`; the other one becomes the column `action.<intended or executed>`.
    """

    def __init__(
        self, action: Feature, noise: Noise, seeds: Sequence[int], recorded: Literal["executed", "intended"]
    ) -> None:
        self.action, self.noise, self.recorded = action, noise, recorded
        self.randoms = [np.random.default_rng([int(seed), STREAM]) for seed in seeds]
        shape = (1,) if action.kind == "choice" else action.shape
        self.low = np.broadcast_to(np.asarray(-1.0 if action.low is None else action.low), shape)
        self.high = np.broadcast_to(np.asarray(1.0 if action.high is None else action.high), shape)
        self._last: Array | None = None

    def __call__(self, obs: Obs, proposal: Array) -> Decision:
        proposal = np.asarray(proposal)
        executed = proposal.copy()
        for number, random in enumerate(self.randoms):
            executed[number] = self._one(random, proposal[number], None if self._last is None else self._last[number])
        self._last = executed
        kept = {"executed": executed, "intended": proposal}
        other = "intended" if self.recorded == "executed" else "executed"
        return Decision(executed, kept[self.recorded], {f"action.{other}": kept[other]})

    def _one(self, random: np.random.Generator, wanted: Array, last: Array | None) -> Array:
        strikes = random.random() < self.noise.amount
        if self.noise.kind == "hold":
            return last if strikes and last is not None else wanted
        if self.noise.kind == "gaussian" and self.action.kind != "choice":
            shaken = wanted + self.noise.amount * (self.high - self.low) * random.standard_normal(wanted.shape)
            return np.clip(shaken, self.low, self.high)
        if self.action.kind == "choice":
            drawn = random.integers(self.action.choices, size=wanted.shape)
        else:
            drawn = random.uniform(self.low, self.high)
        return drawn if strikes else wanted


@dataclass(frozen=True)
class Request:
    """What to collect.

    Attributes:
        task: its name.
        expert: "scripted", or "random": uniform actions.
        episodes: wanted in the set.
        first: seed of the first start; the following starts have the following seeds.
        noise: like "gaussian:0.1", or None.
        recorded: which action is stored as `action` when there is noise.
        keep_failures: failed episodes belong to the set and count.
        options: of the task (pixels, cameras).
        batch: environments stepped together.
    """

    task: str
    expert: Literal["scripted", "random"] = "scripted"
    episodes: int = 50
    first: int = 0
    noise: str | None = None
    recorded: Literal["executed", "intended"] = "executed"
    keep_failures: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    batch: int = 50

    def about(self) -> dict[str, Any]:
        """What decides each single episode: a recording may only go on with the same."""
        skip = ("episodes", "keep_failures", "batch", "first")
        return json.loads(json.dumps({key: value for key, value in asdict(self).items() if key not in skip}))


@dataclass(frozen=True)
class Collected:
    """What came of it: episodes in the set, episodes that failed, and how many were there from before."""

    demos: Demos
    failed: tuple[int, ...]
    resumed: int


def collect(
    request: Request, task: Task, out: Path, format: str = "lerobot", tell: Callable[[int, str], None] | None = None
) -> Collected:
    """Records into a journal beside `out`, then writes the set to `out` and removes the journal.

    Cut off at any moment, the same call goes on with the starts that are missing. Where the actor fails, further starts
    are tried, up to three times as many as episodes are wanted (and at least 20 more); then what there is is written.

    Args:
        request: who acts and how.
        task: where; its name and options as in the request.
        out: must not exist.
        format: of the set.
        tell: called with (episodes so far, remark).

    Raises:
        UserError: when the task has no expert, when no episode succeeded, when `out` exists.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise UserError(f"{out}: exists already: choose another path, or delete it first")
    noise = (
        Noise("random", 1.0) if request.expert == "random" else Noise.parse(request.noise) if request.noise else None
    )
    journal = Journal(out.with_name(out.name + ".recording"), request.about())
    state = _State(request, journal)
    last = request.first + max(3 * request.episodes, request.episodes + 20)
    resumed = state.good
    next_seed = request.first
    while state.good < request.episodes and next_seed < last:
        missing = [seed for seed in range(next_seed, last) if seed not in state.outcomes]
        group = missing[: min(request.batch, request.episodes - state.good)]
        if not group:
            break
        next_seed = group[0]
        _record(request, task, noise, group, state, tell)
    return _written(state, task, out, format, resumed)


class _State:
    """Which starts are recorded, and how they ended."""

    def __init__(self, request: Request, journal: Journal) -> None:
        self.request, self.journal = request, journal
        seeds = [number for number in journal.numbers() if number >= request.first]
        self.outcomes = {seed: bool(journal.load(seed).success) for seed in seeds}

    @property
    def good(self) -> int:
        return len(self.chosen())

    def chosen(self) -> list[int]:
        """The seeds of the set, ascending."""
        keep = self.request.keep_failures
        return [seed for seed in sorted(self.outcomes) if keep or self.outcomes[seed]][: self.request.episodes]

    def failed(self) -> tuple[int, ...]:
        return tuple(seed for seed in sorted(self.outcomes) if not self.outcomes[seed])


def _record(
    request: Request,
    task: Task,
    noise: Noise | None,
    seeds: Sequence[int],
    state: _State,
    tell: Callable[[int, str], None] | None,
) -> None:
    world = task.make(len(seeds))
    decide = Noisy(task.spec.action, noise, seeds, request.recorded) if noise else None

    def finished(seed: int, episode: Episode) -> None:
        source = {**episode.source, **task.about(seed), "expert": request.expert}
        if request.noise:
            source["noise"] = request.noise
        extra = {} if request.expert == "random" else episode.extra
        state.journal.add(seed, replace(episode, source=source, extra=extra))
        state.outcomes[seed] = bool(episode.success)
        if tell:
            tell(state.good, f"{len(state.failed())} failed")

    actor = _actor(request, task, world)
    recorder = Recorder(world, finished, traced(actor, decide))
    try:
        interact(actor, recorder, seeds, decide=recorder.decide, record=False)
    finally:
        world.close()


def _actor(request: Request, task: Task, world: World) -> Actor:
    if request.expert == "scripted":
        return task.expert(world)
    action = task.spec.action
    shape = (world.num_envs, *((1,) if action.kind == "choice" else action.shape))
    kind = np.int64 if action.kind == "choice" else np.float32
    return Stateless(lambda obs: np.zeros(shape, kind))  # the noise replaces all of it


def _written(state: _State, task: Task, out: Path, format: str, resumed: int) -> Collected:
    chosen, failed, request = state.chosen(), state.failed(), state.request
    if not chosen:
        raise UserError(
            f"{task.name}: none of {len(state.outcomes)} episodes succeeded: use less noise, or --keep-failures"
        )
    who = f"{request.expert} actor" + (f", noise {request.noise}, {request.recorded} recorded" if request.noise else "")
    dropped = 0 if request.keep_failures else len([seed for seed in failed if seed < chosen[-1]])
    steps = (f"{who}, starts {chosen[0]} to {chosen[-1]}", f"{dropped} failed episodes left out")
    episodes = [state.journal.load(seed) for seed in chosen]
    demos = Demos.from_episodes(episodes, task.spec, Provenance(f"made in {task.name}", "memory", steps))
    writing = out.with_name(f"{out.stem}.writing{out.suffix}")
    if writing.is_dir():
        shutil.rmtree(writing)
    writing.unlink(missing_ok=True)
    save_demos(demos, writing, format)
    if out.is_dir():
        out.rmdir()  # empty, as was checked
    writing.rename(out)
    state.journal.delete()
    return Collected(demos, failed, resumed)
