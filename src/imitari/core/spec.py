"""What one step of a task or a data set holds: written once, into data, agents and reports."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from imitari.core.errors import UserError

Kind = Literal["number", "image", "text", "symbol", "choice"]

# Observations that say what is to be done, which data set it is, and which of the other observations are there. Scaling
# with statistics of one such case would wipe out what tells it from the others, so they are never scaled.
INSTRUCTION, SOURCE, PRESENT = "observation.instruction", "observation.source", "observation.present"
CIRCUMSTANCES = (INSTRUCTION, SOURCE, PRESENT)


@dataclass(frozen=True)
class Feature:
    """One named quantity of a step.

    Attributes:
        shape: of one value, without time or batch. Images are (height, width, channels). A choice is (1,).
        dtype: numpy name of the stored type. Images are uint8.
        kind: number (continuous), image, text, symbol (integer code), choice (integer in [0, high]).
        names: one name a dimension of a flat feature, if known.
        unit: physical unit as text, if known.
        low, high: bounds a dimension, or None where unbounded or unknown.
        periodic: dimensions that are angles in radians, where 0 and 2 pi are the same state.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    kind: Kind = "number"
    names: tuple[str, ...] | None = None
    unit: str | None = None
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    periodic: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Number of scalars in one value."""
        return int(np.prod(self.shape))

    @property
    def choices(self) -> int:
        """How many values a choice can take.

        Raises:
            UserError: when the feature is not a choice or its bound is unknown.
        """
        if self.kind != "choice" or self.high is None:
            raise UserError("a choice feature needs its upper bound `high` to be known")
        return int(self.high[0]) + 1

    def to_json(self) -> dict[str, Any]:
        values = dataclasses.asdict(self).items()
        return {key: value for key, value in values if key == "shape" or value not in (None, ())}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Feature:
        known = {entry.name for entry in dataclasses.fields(Feature)}
        return Feature(**{key: as_tuple(value) for key, value in data.items() if key in known})


@dataclass(frozen=True)
class Spec:
    """Observations and action of one step. Observation names are column names (`observation.state`, ...)."""

    obs: dict[str, Feature] = field(default_factory=dict[str, Feature])
    action: Feature = field(default_factory=lambda: Feature((0,)))

    @property
    def numbers(self) -> dict[str, Feature]:
        """The numeric observations, in their order."""
        return {key: feature for key, feature in self.obs.items() if feature.kind == "number"}

    @property
    def images(self) -> dict[str, Feature]:
        """The image observations, in their order."""
        return {key: feature for key, feature in self.obs.items() if feature.kind == "image"}

    def select(self, keys: list[str]) -> Spec:
        """The same spec with only the named observations."""
        for key in keys:
            if key not in self.obs:
                raise UserError(f"observation '{key}' is not there: choose from {', '.join(self.obs)}")
        return Spec({key: self.obs[key] for key in keys}, self.action)

    def annotated(self, other: Spec) -> Spec:
        """This spec, with names, units, bounds and periods filled in from another of the same shapes."""
        obs = {key: _fill(feature, other.obs.get(key)) for key, feature in self.obs.items()}
        return Spec(obs, _fill(self.action, other.action))

    def to_json(self) -> dict[str, Any]:
        return {"obs": {key: value.to_json() for key, value in self.obs.items()}, "action": self.action.to_json()}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Spec:
        obs = {key: Feature.from_json(value) for key, value in data["obs"].items()}
        return Spec(obs, Feature.from_json(data["action"]))


def as_tuple(value: Any) -> Any:
    """A JSON list as the tuple that it was before it was saved."""
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType]


def _fill(feature: Feature, other: Feature | None) -> Feature:
    if other is None or other.shape != feature.shape or other.kind != feature.kind:
        return feature
    return dataclasses.replace(
        feature,
        names=feature.names or other.names,
        unit=feature.unit or other.unit,
        low=feature.low or other.low,
        high=feature.high or other.high,
        periodic=feature.periodic or other.periodic,
    )


def mismatch(have: Spec, need: Spec, *, any_size: bool = False) -> str | None:
    """Why data or a task of spec `have` cannot serve an agent that needs `need`; None when it can.

    `any_size`: maps may have another height and width.
    """
    for key, feature in need.obs.items():
        if key not in have.obs:
            return f"observation '{key}' is not there (there are: {', '.join(have.obs)})"
        skip = 2 if any_size and len(feature.shape) == len(have.obs[key].shape) == 3 else 0
        if have.obs[key].shape[skip:] != feature.shape[skip:]:
            return f"observation '{key}' has shape {have.obs[key].shape}, not {feature.shape}"
    if have.action.shape != need.action.shape:
        return f"action has shape {have.action.shape}, not {need.action.shape}"
    return None
