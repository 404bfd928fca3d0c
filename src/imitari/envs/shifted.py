"""Another task under shifted conditions: sensors that are off, actions that are weaker, starts from a wider region.

shifted/observation:0.01,action:0.9/two_ways
shifted/region:1.3/errands/ring
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError, nearest
from imitari.core.spec import CIRCUMSTANCES, Feature
from imitari.core.task import Actor, Task, World
from imitari.envs import task_named
from imitari.envs.mixed import MixedTask, given

OPEN = True  # any task behind any changes
OBSERVATION, ACTION, REGION = "observation", "action", "region"
KINDS = (OBSERVATION, ACTION, REGION)
SIGNS = 0x5F17  # keeps what is drawn here apart from what else the seed of a start decides


def ids() -> list[str]:
    return ["observation:0.01,action:0.9/two_ways"]


def task(name: str, **options: Any) -> Task:
    """The task behind the changes; its starts are those of the task itself, but for a wider region.

    Args:
        name: changes joined by commas, then the task. "observation:0.01": every observed coordinate is off by 0.01, up
            or down, the same throughout an episode (numbers named ..x, ..y, ..z where numbers have names, else all but
            angles); "action:0.9": actions are carried out at 0.9 of their size; "region:1.3": things and agent start
            in a region 1.3 times as wide, in tasks that have this option.
        options: of the task.

    Raises:
        UserError: for a change that there is not, or that the task cannot make.
    """
    said, _, inner = name.partition("/")
    changes = changes_named(said)
    region = changes.pop(REGION, None)
    wider: dict[str, Any] = {} if region is None else {REGION: region}
    try:
        task = task_named(inner, **options, **wider)
    except UserError as error:
        if region is not None and f"--{REGION}" in str(error):
            raise UserError(f"task '{inner}' has no start region that could be changed: leave out region") from error
        raise
    return shifted(task, f"shifted/{name}", changes)


def changes_named(said: str) -> dict[str, float]:
    """From "observation:0.01,action:0.9".

    Raises:
        UserError: for a change that there is not, a bad number, or one named twice.
    """
    changes: dict[str, float] = {}
    for one in said.split(","):
        kind, _, amount = one.partition(":")
        if kind not in KINDS:
            raise UserError(f"there is no change '{kind}': {nearest(kind, KINDS)}")
        if not re.fullmatch(r"\d+(\.\d+)?|\.\d+", amount) or float(amount) == 0:
            raise UserError(f"change '{one}' needs a positive number, as in {kind}:0.9")
        if kind in changes:
            raise UserError(f"change '{kind}' is named twice: name it once")
        changes[kind] = float(amount)
    return changes


@dataclass(frozen=True)
class ShiftedTask(Task):
    """Attributes:
    inner: the task whose starts these are.
    """

    inner: Task | None = None

    def about(self, seed: int) -> dict[str, Any]:
        assert self.inner is not None
        return self.inner.about(seed)


def shifted(task: Task, name: str, changes: Mapping[str, float]) -> Task:
    """The task with its observations and actions changed.

    Raises:
        UserError: when it observes no coordinates that could be off, or its actions are choices.
    """
    if isinstance(task, MixedTask):
        return given(name, [shifted(part, part.name, changes) for part in task.parts], task.constants)
    reach = {key: _coordinates(feature) for key, feature in task.spec.numbers.items() if key not in CIRCUMSTANCES}
    reach = {key: places for key, places in reach.items() if len(places)}
    if OBSERVATION in changes and not reach:
        raise UserError(f"task '{task.name}' observes no coordinates that could be off: leave out {OBSERVATION}")
    if ACTION in changes and task.spec.action.kind != "number":
        raise UserError(f"task '{task.name}' has actions that are choices: leave out {ACTION}")
    offset, gain = changes.get(OBSERVATION, 0.0), changes.get(ACTION, 1.0)
    names = {key: _names(task.spec.obs[key], places) for key, places in reach.items()}
    made = {entry.name: getattr(task, entry.name) for entry in dataclasses.fields(Task)}
    inner_expert = task.expert_for
    made |= {
        "name": name,
        "factory": lambda count: ShiftedWorld(task.make(count), reach, names, offset, gain),
        "expert_for": None if inner_expert is None else lambda world: _Inside(world, inner_expert),
        "symmetries": (),
        "judge_for": None,
        "symbols": None,
        "follow_for": None,
    }
    return ShiftedTask(**made, inner=task)


def _coordinates(feature: Feature) -> Array:
    """Which numbers of a feature are coordinates."""
    every = np.arange(feature.size)
    if feature.names:
        return every[[re.search(r"(^|_)[xyz]$", name) is not None for name in feature.names]]
    return np.setdiff1d(every, feature.periodic)


def _names(feature: Feature, places: Array) -> list[str]:
    """What each number is a reading of: the step before is read with the same sensor."""
    names = feature.names or [str(number) for number in range(feature.size)]
    return [names[place].removeprefix("previous_") for place in places]


class ShiftedWorld:
    """The world of a task, seen with sensors that are off, and moved by weaker actions.

    Args:
        inner: the world.
        reach: observation -> numbers that are off.
        names: observation -> the reading of which each of them is: one error a reading.
        offset: by how much; up or down as the seed of the start decides.
        gain: factor on actions.
    """

    def __init__(
        self, inner: World, reach: Mapping[str, Array], names: Mapping[str, list[str]], offset: float, gain: float
    ) -> None:
        self.inner, self.reach, self.names, self.offset, self.gain = inner, reach, names, offset, gain
        self.readings = sorted({name for each in names.values() for name in each})
        self.num_envs = inner.num_envs
        self.errors = np.zeros((self.num_envs, len(self.readings)), np.float32)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        seeds = seed if isinstance(seed, (list, tuple, range)) else range(seed or 0, (seed or 0) + self.num_envs)
        self.errors = self._errors([int(one) for one in seeds])
        obs, info = self.inner.reset(seed=seeds, options=options)
        return self._seen(obs, self.errors), info

    def restart(self, which: Array, seeds: Sequence[int]) -> Obs:
        self.errors[which] = self._errors(seeds)
        return self._seen(self.inner.restart(which, seeds), self.errors[which])

    def step(self, actions: Any) -> tuple[Obs, Array, Array, Array, dict[str, Any]]:
        given = np.asarray(actions) if self.gain == 1 else np.asarray(actions) * np.float32(self.gain)
        obs, reward, terminated, truncated, info = self.inner.step(given)
        return self._seen(obs, self.errors), reward, terminated, truncated, info

    def close(self) -> None:
        self.inner.close()

    def _errors(self, seeds: Sequence[int]) -> Array:
        """(N, readings) of the starts."""
        signs = [np.random.default_rng([seed, SIGNS]).choice([-1.0, 1.0], len(self.readings)) for seed in seeds]
        return (self.offset * np.array(signs).reshape(len(seeds), -1)).astype(np.float32)

    def _seen(self, obs: Obs, errors: Array) -> Obs:
        if not self.offset:
            return obs
        out = dict(obs)
        for key, places in self.reach.items():
            flat = np.array(obs[key]).reshape(len(obs[key]), -1)
            flat[:, places] += errors[:, [self.readings.index(name) for name in self.names[key]]]
            out[key] = flat.reshape(obs[key].shape)
        return out


class _Inside:
    """The expert of the inner world, which sees what is seen outside."""

    def __init__(self, world: Any, expert_for: Any) -> None:
        self.expert: Actor = expert_for(world.inner)

    def reset(self, count: int, seed: int = 0) -> Any:
        return self.expert.reset(count, seed=seed)

    def act(self, obs: Obs, memory: Any) -> tuple[Array, Any]:
        return self.expert.act(obs, memory)
