"""Tasks: batched environments with a judge of success, and whoever can act in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.symbols import Symbols
from imitari.core.symmetry import Symmetry

if TYPE_CHECKING:
    from imitari.core.supervisor import Judge


class Stepped(Protocol):
    """`count` environments stepped together: the part of gymnasium.vector.VectorEnv that is used here.

    An environment that has finished is frozen: its observation repeats, its reward is 0, its flags stay as they were.
    `step` returns (obs, reward (B,), terminated (B,), truncated (B,), info); `info["success"]` is (B,) bool: whether
    the environment counts the episode as solved up to now. `info["behaviour"]`, where the task has `behaviours`, is
    (B,) int: the number of the way in which it did so, -1 where none is known.
    """

    num_envs: int

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]: ...

    def step(self, actions: Any) -> tuple[Obs, Array, Array, Array, dict[str, Any]]: ...

    def close(self) -> None: ...


class World(Stepped, Protocol):
    """Environments of which some can begin anew while the others go on."""

    def restart(self, which: Array, seeds: Sequence[int]) -> Obs:
        """New episodes where `which` (B,) is True, one seed each; their observations, name -> (n, ...).

        The other environments stay where they are.
        """
        ...


class Actor(Protocol):
    """Anything that acts in `count` environments at once: a policy, an expert, a person, a supervisor over a policy."""

    def reset(self, count: int, seed: int = 0) -> Any:
        """Fresh memory for `count` episodes."""
        ...

    def act(self, obs: Obs, memory: Any) -> tuple[Array, Any]:
        """Observations name -> (B, ...) and memory to actions (B, A) and memory."""
        ...


@dataclass(frozen=True)
class Task:
    """A named environment.

    Attributes:
        name: as on the command line ("metaworld/reach-v3").
        spec: observations and action.
        limit: steps after which an episode is truncated.
        factory: (count) -> World.
        expert_for: (world) -> Actor that solves the task in that world, or None where there is none.
        success_ends: whether the world ends an episode at success.
        description: one line.
        symmetries: changes of observations and actions under which the world behaves the same.
        judge_for: (world) -> Judge of single actions in that world, or None where there is none.
        symbols: how its observations and actions are read in the words of planning, None where they are not.
        follow_for: (world, paths (B, N, D) of `observation.state`) -> Actor that takes environment b along path b, or
            None where that cannot be asked for.
        behaviours: names of the ways in which it can be solved, where they can be told apart; () where not.
        repeats: starts s with the same s // repeats begin in the same state; 0: all do.
    """

    name: str
    spec: Spec
    limit: int
    factory: Callable[[int], World]
    expert_for: Callable[[World], Actor] | None = None
    success_ends: bool = True
    description: str = ""
    symmetries: tuple[Symmetry, ...] = ()
    judge_for: Callable[[World], Judge] | None = None
    symbols: Symbols | None = None
    follow_for: Callable[[World, Array], Actor] | None = None
    behaviours: tuple[str, ...] = ()
    repeats: int = 1

    def make(self, count: int) -> World:
        """`count` environments; `reset(seed=[...])` takes one seed each."""
        return self.factory(count)

    def context(self, seed: int) -> int:
        """Number of the state that a start begins in; within a context only the noise of who acts differs."""
        return seed // self.repeats if self.repeats else 0

    def about(self, seed: int) -> dict[str, Any]:
        """What the start `seed` is a start of, for `Episode.source`: the name of the task, and what is to be done."""
        return {"task_name": self.name, "task": self.description}

    def expert(self, world: World) -> Actor:
        """The scripted expert, acting in `world` (it may read its state).

        Raises:
            UserError: when the task has none.
        """
        if self.expert_for is None:
            raise UserError(f"task '{self.name}' has no scripted expert: give demonstrations with --data")
        return self.expert_for(world)


@dataclass
class Stateless:
    """An actor without memory, from a function of the observations (B, ...) -> actions (B, A)."""

    function: Callable[[Obs], Array]

    def reset(self, count: int, seed: int = 0) -> None:
        return None

    def act(self, obs: Obs, memory: Any) -> tuple[Array, None]:
        return self.function(obs), None


class RandomActor:
    """Uniform actions within the spec's box.

    Args:
        spec: its action.
        mask: observation (K,) that is 0 for choices that are not allowed; where none is, all are. "": all are.
    """

    def __init__(self, spec: Spec, mask: str = "") -> None:
        self.action, self.mask = spec.action, mask

    def reset(self, count: int, seed: int = 0) -> np.random.Generator:
        return np.random.default_rng(seed)

    def act(self, obs: Obs, memory: np.random.Generator) -> tuple[Array, np.random.Generator]:
        count = len(next(iter(obs.values())))
        if self.mask:
            allowed = obs[self.mask] != 0
            allowed |= ~allowed.any(1, keepdims=True)
            return ((1 - memory.random(allowed.shape)) * allowed).argmax(1)[:, None], memory
        if self.action.kind == "choice":
            return memory.integers(self.action.choices, size=(count, 1)), memory
        low = np.asarray(self.action.low if self.action.low else -1.0)
        high = np.asarray(self.action.high if self.action.high else 1.0)
        return memory.uniform(low, high, size=(count, *self.action.shape)).astype(np.float32), memory


def seeds_from(first: int, count: int) -> Sequence[int]:
    """The `count` seeds that begin at `first`."""
    return range(first, first + count)
