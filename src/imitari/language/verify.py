"""Verifiers: what says whether texts answer their prompts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from imitari.data.arithmetic import is_worth

Floats = NDArray[np.float64]
ANSWER = re.compile(r"####\s*([^\n]*)")
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")


class Verifier(Protocol):
    """Scores between 0 (wrong) and 1 (right) of texts that answer prompts."""

    def __call__(self, prompts: Sequence[str], texts: Sequence[str]) -> Floats:
        """(N,) one score a pair."""
        ...


def right_expressions(prompts: Sequence[str], texts: Sequence[str]) -> Floats:
    """Whether a text is a sum, difference or product worth the number of its prompt "T="."""
    return np.array([float(is_worth(prompt, text)) for prompt, text in zip(prompts, texts, strict=True)])


class FinalAnswers:
    """Whether the number after "####" (of GSM8K, Cobbe et al. 2021), or else the last number, is that of the reference.

    Args:
        references: prompt -> a right response.
    """

    def __init__(self, references: Mapping[str, str]) -> None:
        self.right = {prompt: final_answer(response) for prompt, response in references.items()}

    def __call__(self, prompts: Sequence[str], texts: Sequence[str]) -> Floats:
        given = (final_answer(text) for text in texts)
        wanted = (self.right[prompt] for prompt in prompts)
        return np.array([float(one is not None and one == other) for one, other in zip(given, wanted, strict=True)])


def final_answer(text: str) -> Decimal | None:
    """The number that a text ends in; None where it has none."""
    marked = ANSWER.findall(text)
    found = NUMBER.findall(marked[-1] if marked else text)
    if not found:
        return None
    try:
        return Decimal(found[0 if marked else -1].replace(",", ""))
    except InvalidOperation:
        return None
