"""Method: frozen settings that know how to build a learner and how to fit it. Its fields are its command-line flags."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from imitari.core import registry
from imitari.core.errors import UserError, nearest
from imitari.core.pictures import Picture
from imitari.core.spec import Spec, as_tuple
from imitari.core.task import Task
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.optim import Optim, Schedule
from imitari.learn.run import Run
from imitari.learn.settings import check_settings

if TYPE_CHECKING:
    from imitari.core.demos import Demos
    from imitari.data.curate.scores import Scores
    from imitari.learn.agent import Agent

Need = Literal["reward", "task", "expert", "image", "symbols", "text", "map", "trials", "choice"]


@dataclass(frozen=True)
class Method:
    """A method with its settings.

    Class attributes:
        presets: name -> settings that differ from the defaults ("small", "paper").
        needs: what `fit` cannot do without, beyond demonstrations.
        smoke: settings that make a fit take a second, for tests.
        exact: whether it solves for its weights in one pass: no gradient steps, nothing to resume.
        acts: whether what is trained is a policy (and not an encoder for others).
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    needs: ClassVar[frozenset[Need]] = frozenset()
    smoke: ClassVar[dict[str, Any]] = {}
    exact: ClassVar[bool] = False
    acts: ClassVar[bool] = True

    @classmethod
    def name(cls) -> str:
        """As on the command line: the stem of its file (of its folder, where it has one)."""
        return cls.__module__.split(".")[-1]

    @classmethod
    def from_preset(cls, preset: str | None, **settings: Any) -> Method:
        """The method with a preset's settings, then the given ones."""
        if preset is not None and preset not in cls.presets:
            raise UserError(f"method '{cls.name()}' has no preset '{preset}': {nearest(preset, cls.presets)}")
        return cls.from_json({**(cls.presets[preset] if preset else {}), **settings})

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Method:
        """Settings from plain values, with lists where tuples belong.

        Raises:
            UserError: for a name, a type or a value that cannot be.
        """
        hints = typing.get_type_hints(cls)
        values = {key: as_tuple(value) for key, value in data.items()}
        check_settings(cls.name(), {entry.name: hints[entry.name] for entry in dataclasses.fields(cls)}, values)
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def framing(self) -> Framing:
        """How steps are cut for this method."""
        return Framing()

    def learner(self, spec: Spec) -> Learner:
        """The untrained networks for data of `spec`."""
        raise NotImplementedError

    def rebuilt(self, spec: Spec, parts: dict[str, Any]) -> Learner:
        """The untrained networks of a saved agent, from what its `Learner.parts` gave."""
        return self.learner(spec)

    def moved(self, agent: Agent, task: Task) -> Agent:
        """The agent as it acts in `task`: another one where what was learned holds in tasks of another size too."""
        return agent

    def scored(self, agent: Agent, demos: Demos) -> Scores:
        """What the agent says of the steps and episodes of a data set.

        Raises:
            UserError: where this method has nothing to say of data.
        """
        raise UserError(f"method '{self.name()}' says nothing of data: score with a model of a method that does")

    def pictures(self, agent: Agent, task: Task) -> list[Picture]:
        """What an agent shows of itself in a report, besides its acting in `task`."""
        return []

    def acting_in(self, task: Task | None) -> Task:
        """The task that a method which acts while it learns was given.

        Raises:
            UserError: when there is none.
        """
        if task is None:
            raise UserError(f"method '{self.name()}' acts while it learns: give --task")
        return task

    def fit(self, demos: Any, run: Run, task: Task | None = None) -> Agent:
        """Trains on `demos` (and in `task`, where the method needs one; only then `demos` may be None)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Trained(Method):
    """Settings that all methods trained by gradient steps share."""

    steps: int = 10_000  # optimiser steps
    batch: int = 256  # samples a batch
    lr: float = 1e-3  # peak learning rate
    weight_decay: float = 0.0  # decoupled weight decay on matrices
    schedule: Schedule = "constant"  # constant or cosine
    warmup: int = 0  # steps of linear increase of the rate
    clip: float = 0.0  # bound on the norm of the gradient; 0: none
    ema: float = 0.0  # decay of the average of the weights that is kept; 0: none

    def optim(self) -> Optim:
        return Optim(self.lr, self.weight_decay, self.schedule, self.warmup, self.clip, self.ema)


def method_class(name: str) -> type[Method]:
    """The method class of a name: the `Method` that its module defines."""
    module = registry.find("methods", "method", name).load()
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__:
            return value
    raise TypeError(f"{module.__name__} defines no Method")


def method_named(name: str, settings: dict[str, Any]) -> Method:
    """A method from its name and plain settings."""
    return method_class(name).from_json(settings)
