"""Several tasks as one: the seed of a start decides which, and an instruction says it.

mixed/metaworld/reach-v3+push-v3      tasks of one suite
mixed/two_ways+maze/detour            tasks of several
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from imitari.core import registry
from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import INSTRUCTION, Feature, Spec
from imitari.core.task import Actor, Task, World
from imitari.data.instructions import Vectors, WordVectors
from imitari.envs import FOLDER, task_named
from imitari.envs._batched import space

OPEN = True  # any tasks joined by "+"
Constants = Mapping[str, Array]  # observations that stay as they are throughout an episode, name -> (*shape,)


def ids() -> list[str]:
    return ["metaworld/reach-v3+push-v3"]


def task(name: str, **options: Any) -> Task:
    """Tasks that observe and do the same: start s is start s of task number s % (number of tasks).

    Args:
        name: tasks joined by "+"; one that names no suite is of the suite of the one before.
        options: of every one of the tasks.
    """
    names: list[str] = []
    for one in name.split("+"):
        known = "/" in one or one in registry.entries(FOLDER) or not names
        suite = "" if known else names[-1].partition("/")[0] + "/"
        names.append(suite + one)
    return mixed(f"mixed/{name}", [task_named(one, **options) for one in names])


@dataclass(frozen=True)
class MixedTask(Task):
    """A task made of others.

    Attributes:
        parts: the tasks; start s is start s of number s % len(parts).
        constants: further observations of each part.
    """

    parts: tuple[Task, ...] = ()
    constants: tuple[Constants, ...] = ()

    def part(self, seed: int) -> Task:
        """The task that the start `seed` is of."""
        return self.parts[seed % len(self.parts)]

    def about(self, seed: int) -> dict[str, Any]:
        return self.part(seed).about(seed)


def mixed(name: str, parts: Sequence[Task], vectors: Vectors | None = None) -> MixedTask:
    """Several tasks of equal spec as one, told apart by `observation.instruction`.

    Args:
        name: of the whole.
        parts: the tasks; what each says about itself is its instruction.
        vectors: of the instructions (`WordVectors` when not given).

    Raises:
        UserError: when two tasks differ in observations or actions, or say the same about themselves.
    """
    for number, part in enumerate(parts):
        _refuse_difference(parts[0], part)
        for other in parts[:number]:
            if other.description == part.description:
                raise UserError(
                    f"tasks '{other.name}' and '{part.name}' are both described as '{part.description}', so that no "
                    "instruction tells them apart: mix others"
                )
    return instructed(given(name, parts, [{} for _ in parts]), vectors or WordVectors())


def instructed(task: Task, vectors: Vectors) -> MixedTask:
    """The task, or each task of a mixture, with its description as `observation.instruction`."""
    parts = task.parts if isinstance(task, MixedTask) else (task,)
    texts = vectors([part.description for part in parts])
    return telling(task, [{INSTRUCTION: vector} for vector in texts])


def telling(task: Task, constants: Sequence[Constants]) -> MixedTask:
    """The task with further constant observations, one dictionary for each of its parts."""
    if isinstance(task, MixedTask):
        both = [{**old, **new} for old, new in zip(task.constants, constants, strict=True)]
        return given(task.name, task.parts, both)
    return given(task.name, [task], constants)


def given(name: str, parts: Sequence[Task], constants: Sequence[Constants]) -> MixedTask:
    """A mixture of tasks of equal spec, each with its constant observations."""
    first = parts[0]
    spec = _common(parts)
    told = {key: Feature(value.shape, str(value.dtype)) for key, value in constants[0].items()}
    spec = Spec({**spec.obs, **told}, spec.action)
    whole = MixedTask(
        name,
        spec,
        max(part.limit for part in parts),
        lambda count: MixedWorld(count, spec, tuple(parts), tuple(constants)),
        _expert_in if all(part.expert_for for part in parts) else None,
        success_ends=all(part.success_ends for part in parts),
        description=f"{len(parts)} tasks, told apart by an instruction",
        parts=tuple(parts),
        constants=tuple(constants),
    )
    return whole if len(parts) > 1 else replace(whole, description=first.description)


@dataclass
class Sub:
    """Environments of one part. A place whose owner began another part's episode is idle.

    Attributes:
        part: which.
        world: of k places.
        owner: (k,) number of the environment in the whole that each place is, -1 where idle.
    """

    part: int
    world: World
    owner: Array

    def places(self, values: Array) -> Array:
        """Rows (k, ...) of the whole's `values` (B, ...); idle places get those of some other."""
        return values[np.where(self.owner >= 0, self.owner, self.owner.max())]


class MixedWorld(VectorEnv):  # pyright: ignore[reportMissingTypeArgument]
    """Worlds of the parts, stepped together. When environments begin again in other parts, places are made as needed.

    Args:
        count: environments.
        spec: of a step.
        parts: the tasks.
        constants: further observations of each.

    Attributes:
        subs: the worlds; one with no owner at all is not stepped.
    """

    def __init__(self, count: int, spec: Spec, parts: Sequence[Task], constants: Sequence[Constants]) -> None:
        super().__init__()
        self.num_envs, self.spec_of_step, self.parts, self.constants = count, spec, parts, constants
        self.single_observation_space = gym.spaces.Dict({key: space(feature) for key, feature in spec.obs.items()})
        self.single_action_space = space(spec.action)
        self.subs: list[Sub] = []
        shapes = {key: (feature.shape, feature.dtype) for key, feature in spec.obs.items()}
        self._obs = {key: np.zeros((count, *shape), dtype) for key, (shape, dtype) in shapes.items()}
        self._terminated, self._truncated = np.zeros(count, bool), np.zeros(count, bool)
        self._success = np.zeros(count, bool)

    @property
    def acting(self) -> list[Sub]:
        """The worlds that hold an environment of ours."""
        return [sub for sub in self.subs if (sub.owner >= 0).any()]

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        seeds = seed if isinstance(seed, (list, tuple, range)) else range(seed or 0, (seed or 0) + self.num_envs)
        self._begin(np.arange(self.num_envs), np.array([int(one) for one in seeds]))
        return self._copy(), {"success": self._success.copy()}

    def restart(self, which: Array, seeds: Sequence[int]) -> Obs:
        begun = np.flatnonzero(which)
        self._begin(begun, np.array([int(one) for one in seeds]))
        return {key: value[begun] for key, value in self._obs.items()}

    def step(self, actions: Any) -> tuple[Obs, Array, Array, Array, dict[str, Any]]:
        actions, reward = np.asarray(actions), np.zeros(self.num_envs, np.float32)
        for sub in self.acting:
            obs, gained, terminated, truncated, info = sub.world.step(sub.places(actions))
            here = sub.owner >= 0
            mine = sub.owner[here]
            for key, value in obs.items():
                self._obs[key][mine] = value[here]
            reward[mine] = gained[here]
            self._terminated[mine], self._truncated[mine] = terminated[here], truncated[here]
            self._success[mine] = np.asarray(info["success"], bool)[here]
        flags = self._terminated.copy(), self._truncated.copy()
        return self._copy(), reward, *flags, {"success": self._success.copy()}

    def _begin(self, numbers: Array, seeds: Array) -> None:
        """New episodes of the environments `numbers`, one seed each."""
        for sub in self.subs:
            sub.owner[np.isin(sub.owner, numbers)] = -1
        self._terminated[numbers] = self._truncated[numbers] = self._success[numbers] = False
        part = seeds % len(self.parts)
        for which in np.unique(part).tolist():
            chosen = part == which
            for key, value in self.constants[which].items():
                self._obs[key][numbers[chosen]] = value
            self._place(which, numbers[chosen], seeds[chosen])

    def _place(self, part: int, numbers: Array, seeds: Array) -> None:
        """Into idle places of the part's worlds, and into a new world where those do not suffice."""
        for sub in self.subs:
            idle = np.flatnonzero(sub.owner < 0)[: len(numbers)] if sub.part == part else np.zeros(0, np.int64)
            if len(idle):
                mine, numbers = numbers[: len(idle)], numbers[len(idle) :]
                now, seeds = seeds[: len(idle)], seeds[len(idle) :]
                sub.owner[idle] = mine
                which = np.zeros(len(sub.owner), bool)
                which[idle] = True
                self._see(sub.world.restart(which, now.tolist()), mine)
        if len(numbers):
            world = self.parts[part].make(len(numbers))
            self.subs.append(Sub(part, world, numbers.copy()))
            self._see(world.reset(seed=seeds.tolist())[0], numbers)

    def _see(self, obs: Obs, numbers: Array) -> None:
        for key, value in obs.items():
            self._obs[key][numbers] = value

    def _copy(self) -> Obs:
        return {key: value.copy() for key, value in self._obs.items()}

    def render(self) -> Any:
        """uint8 (B, height, width, 3), of parts whose pictures are of one size."""
        out: Array | None = None
        for sub in self.acting:
            world: Any = sub.world
            pictures = np.asarray(world.render())
            out = np.zeros((self.num_envs, *pictures.shape[1:]), np.uint8) if out is None else out
            out[sub.owner[sub.owner >= 0]] = pictures[sub.owner >= 0]
        return out

    def close_extras(self, **kwargs: Any) -> None:
        for sub in self.subs:
            sub.world.close()


class MixedExpert:
    """In each environment the expert of its own task.

    Args:
        world: in which it acts; it is reset when its episodes begin, as every actor is.
    """

    def __init__(self, world: MixedWorld) -> None:
        self.world = world

    def reset(self, count: int, seed: int = 0) -> list[tuple[Sub, Actor, Any]]:
        subs = self.world.acting
        experts = [self.world.parts[sub.part].expert(sub.world) for sub in subs]
        return [
            (sub, expert, expert.reset(len(sub.owner), seed=seed)) for sub, expert in zip(subs, experts, strict=True)
        ]

    def act(self, obs: Obs, memory: list[tuple[Sub, Actor, Any]]) -> tuple[Array, list[tuple[Sub, Actor, Any]]]:
        feature, after = self.world.spec_of_step.action, list[tuple[Sub, Actor, Any]]()
        shape = (1,) if feature.kind == "choice" else feature.shape
        out = np.zeros((self.world.num_envs, *shape), feature.dtype)
        for sub, expert, kept in memory:
            action, kept = expert.act({key: sub.places(value) for key, value in obs.items()}, kept)
            out[sub.owner[sub.owner >= 0]] = action[sub.owner >= 0]
            after.append((sub, expert, kept))
        return out, after


def _expert_in(world: Any) -> Actor:
    return MixedExpert(world)


def _refuse_difference(one: Task, other: Task) -> None:
    shapes = [{key: value.shape for key, value in task.spec.obs.items()} for task in (one, other)]
    if shapes[0] != shapes[1]:
        listed = [", ".join(f"{key} {shape}" for key, shape in each.items()) for each in shapes]
        raise UserError(
            f"task '{one.name}' observes {listed[0]}, and '{other.name}' {listed[1]}: mix tasks that observe the same"
        )
    a, b = one.spec.action, other.spec.action
    if (a.shape, a.kind, a.low, a.high) != (b.shape, b.kind, b.low, b.high):
        raise UserError(
            f"tasks '{one.name}' and '{other.name}' differ in the shape, kind or bounds of their actions "
            f"({a.shape} {a.kind}, {b.shape} {b.kind}): mix tasks of one robot"
        )


def _common(parts: Sequence[Task]) -> Spec:
    """What the parts' specs agree on."""
    first = parts[0].spec
    obs = {
        key: feature
        if all(part.spec.obs[key] == feature for part in parts)
        else Feature(feature.shape, feature.dtype, feature.kind)
        for key, feature in first.obs.items()
    }
    return Spec(obs, first.action)
