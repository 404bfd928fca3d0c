"""Verifiers against texts whose worth is known."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from imitari.data.arithmetic import expressions_of, value_of
from imitari.data.opening import open_demos
from imitari.data.texts import pairs
from imitari.language.verify import FinalAnswers, final_answer, right_expressions


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3+4", 7),
        ("10-12", -2),
        ("6*7", 42),
        ("007+1", 8),
        ("3", None),
        ("1+2+3", None),
        (" 1+2", None),
        ("1+2\n", None),
    ],
)
def test_values(text: str, value: int | None) -> None:
    assert value_of(text) == value
    assert value_of("٣+٤") is None


@pytest.mark.parametrize("target", [0, 1, 36, 97, 99])
def test_all_expressions_of_a_number(target: int) -> None:
    """Against all sums, differences and products of numbers up to 99."""
    every = {f"{a}{mark}{b}" for a in range(100) for b in range(100) for mark in "+-*"}
    right = {text for text in every if value_of(text) == target}
    found = [text for group in expressions_of(target).values() for text in group]
    assert len(found) == len(set(found))
    assert set(found) == right


def test_right_expressions() -> None:
    assert right_expressions(["7=", "7=", "x", "7="], ["3+4", "3*4", "3+4", ""]).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so 3\n#### 1,234", "1234"),
        ("#### -2.50", "-2.5"),
        ("12 and 7", "7"),
        ("#### 5 apples and 6", "5"),
        ("none", None),
    ],
)
def test_final_answers(text: str, answer: str | None) -> None:
    assert final_answer(text) == (None if answer is None else Decimal(answer))


def test_references_of_gsm8k_are_right_by_their_own_answers(data_folder: Path) -> None:
    path = data_folder / "gsm8k" / "test.jsonl"
    if not path.exists():
        pytest.skip("GSM8K is absent")
    prompts, responses = pairs(open_demos(path))
    verify = FinalAnswers(dict(zip(prompts, responses, strict=True)))
    assert verify(prompts, responses).all()
    assert verify(prompts[:-1], responses[1:]).mean() < 0.1
