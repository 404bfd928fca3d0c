"""Sums, differences and products of two whole numbers: what they are worth, and all that are worth a number."""

from __future__ import annotations

import re

EXPRESSION = re.compile(r"(\d{1,9})([-+*])(\d{1,9})")
TARGET = re.compile(r"(\d{1,9})=")


def value_of(text: str) -> int | None:
    """The value of "a+b", "a-b" or "a*b"; None for every other text."""
    match = EXPRESSION.fullmatch(text)
    if match is None or not text.isascii():
        return None
    a, b = int(match[1]), int(match[3])
    return {"+": a + b, "-": a - b, "*": a * b}[match[2]]


def is_worth(prompt: str, text: str) -> bool:
    """Whether `text` is an expression of the number that the prompt "T=" asks for."""
    target = TARGET.fullmatch(prompt)
    return target is not None and value_of(text) == int(target[1])


def expressions_of(target: int, highest: int = 99) -> dict[str, list[str]]:
    """Operator -> all expressions worth `target` whose numbers lie between 0 and `highest`."""
    numbers = range(highest + 1)
    return {
        "+": [f"{a}+{target - a}" for a in numbers if 0 <= target - a <= highest],
        "-": [f"{a}-{a - target}" for a in numbers if 0 <= a - target <= highest],
        "*": [f"{a}*{b}" for a in numbers for b in _cofactors(a, target, highest)],
    }


def _cofactors(a: int, target: int, highest: int) -> list[int]:
    if a == 0:
        return list(range(highest + 1)) if target == 0 else []
    return [target // a] if target % a == 0 and target // a <= highest else []
