"""What the settings of a method may be: the type of each field, and bounds that hold for a name in every method."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from imitari.core.errors import UserError, nearest

# Whole numbers are counts: never negative, and of these there is at least one.
AT_LEAST_ONE = frozenset(
    {"steps", "batch", "history", "chunk", "execute", "modes", "width", "depth", "layers", "length", "levels"}
    | {"sampling", "euler", "n_step", "round_episodes", "heads", "inner", "kernel"}
)
# name -> (lowest, highest, whether the ends themselves are allowed)
RANGES: dict[str, tuple[float, float, bool, bool]] = {
    "lr": (0.0, math.inf, False, False),
    "weight_decay": (0.0, math.inf, True, False),
    "clip": (0.0, math.inf, True, False),
    "dropout": (0.0, 1.0, True, False),
    "ema": (0.0, 1.0, True, False),
    "gamma": (0.0, 1.0, True, True),
    "tau": (0.0, 1.0, False, True),
}
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def check_settings(method: str, hints: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Refuses settings that a method does not have, or that cannot be.

    Args:
        method: its name, for messages.
        hints: field -> type.
        values: plain values; lists as tuples.

    Raises:
        UserError: naming method, setting, value, and what it may be.
    """
    for name, value in values.items():
        if name not in hints:
            raise UserError(f"method '{method}' has no setting '{name}': {nearest(name, hints)}")
        expected = _expected(hints[name], value) or _bounds(name, value)
        if expected:
            raise UserError(f"method '{method}': setting '{name}' is {value!r}: it must be {expected}")


def _expected(hint: Any, value: Any) -> str | None:
    """What a value of this type would be; None where `value` is one."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return None if value in inner else "one of " + ", ".join(map(str, inner))
    if origin in (types.UnionType, typing.Union):
        wanted = [_expected(kind, value) for kind in inner if kind is not types.NoneType]
        return None if None in wanted or (value is None and types.NoneType in inner) else " or ".join(map(str, wanted))
    if origin is tuple:
        if isinstance(value, tuple) and value:
            members = typing.cast("tuple[Any, ...]", value)
            return next((f"a list, each {wrong}" for part in members if (wrong := _expected(inner[0], part))), None)
        return f"a list, each {WORDS.get(inner[0], 'a value')}"
    if hint is float:
        plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return None if plain else "a finite number"
    if hint is int:
        return None if isinstance(value, int) and not isinstance(value, bool) else WORDS[int]
    return None if not isinstance(hint, type) or isinstance(value, hint) else WORDS.get(hint, hint.__name__)


def _bounds(name: str, value: Any) -> str | None:
    if isinstance(value, tuple):
        counts = [part for part in typing.cast("tuple[Any, ...]", value) if isinstance(part, int)]
        return "a list of whole numbers of at least 1" if any(part < 1 for part in counts) else None
    if isinstance(value, int) and not isinstance(value, bool) and name not in RANGES:
        least = 1 if name in AT_LEAST_ONE else 0
        return f"at least {least}" if value < least else None
    if name not in RANGES or value is None:
        return None
    low, high, with_low, with_high = RANGES[name]
    inside = (value >= low if with_low else value > low) and (value <= high if with_high else value < high)
    if inside:
        return None
    first = f"{'at least' if with_low else 'above'} {low:g}"
    return first if high == math.inf else f"{first} and {'at most' if with_high else 'below'} {high:g}"
