"""Settings: the right type, a possible value, and every method's own defaults and presets among them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal

import pytest

from imitari.core import registry
from imitari.core.errors import UserError
from imitari.learn.method import method_class
from imitari.learn.settings import check_settings

HINTS: dict[str, Any] = {
    "steps": int,
    "warmup": int,
    "lr": float,
    "dropout": float,
    "tau": float,
    "masked": bool,
    "hidden": tuple[int, ...],
    "head": Literal["mse", "gmm"],
    "ensemble": float | None,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 1), ("warmup", 0), ("lr", 1), ("lr", 1e-9), ("dropout", 0.0), ("tau", 1.0), ("masked", True),
        ("hidden", (1, 2)), ("head", "gmm"), ("ensemble", None), ("ensemble", 0.1),
    ],
)  # fmt: skip
def test_what_can_be(name: str, value: Any) -> None:
    check_settings("bc", HINTS, {name: value})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", 0, "at least 1"),
        ("steps", 1.0, "a whole number"),
        ("steps", True, "a whole number"),
        ("warmup", -1, "at least 0"),
        ("lr", 0.0, "above 0"),
        ("lr", float("inf"), "a finite number"),
        ("lr", "1", "a finite number"),
        ("dropout", 1.0, "at least 0 and below 1"),
        ("tau", 0.0, "above 0 and at most 1"),
        ("masked", 1, "true or false"),
        ("hidden", (), "a list"),
        ("hidden", 8, "a list"),
        ("hidden", (8, 0), "at least 1"),
        ("hidden", (8, "9"), "each a whole number"),
        ("head", "mes", "one of mse, gmm"),
        ("ensemble", "none", "a finite number"),
        ("hiden", (8,), "did you mean hidden"),
    ],
)
def test_what_cannot_be(name: str, value: Any, words: str) -> None:
    with pytest.raises(UserError, match="method 'bc'") as error:
        check_settings("bc", HINTS, {name: value})
    assert f"'{name}'" in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize("name", registry.entries("methods"))
def test_every_method_accepts_its_own_settings(name: str) -> None:
    kind = method_class(name)
    for values in ({}, kind.smoke, *kind.presets.values()):
        method = kind.from_json(values)
        assert kind.from_json(json.loads(json.dumps(method.to_json()))) == method
    assert {key for values in (kind.smoke, *kind.presets.values()) for key in values} <= {
        field.name for field in dataclasses.fields(kind)
    }
