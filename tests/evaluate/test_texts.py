"""Diversity of texts by hand."""

from __future__ import annotations

import math

import pytest

from imitari.evaluate.texts import bleu, distinct_fraction, self_bleu


def test_distinct_fraction() -> None:
    assert distinct_fraction([["a", "a", "b", "c"], ["x"] * 5]).tolist() == [0.75, 0.2]


def test_bleu_of_the_paper() -> None:
    """The clipped unigram precision of Papineni et al. (2002), example 2: two of seven."""
    candidate = ["the", "the", "the", "the", "the", "the", "the"]
    references = [["the", "cat", "is", "on", "the", "mat"], ["there", "is", "a", "cat", "on", "the", "mat"]]
    assert bleu(candidate, references, longest=1) == pytest.approx(2 / 7)
    assert bleu(references[0], references) == pytest.approx(1)
    # A prefix: full precision, and the penalty on its brevity.
    assert bleu(["the", "cat", "is", "on"], references[:1]) == pytest.approx(math.exp(1 - 6 / 4))
    assert bleu(["some", "other", "words"], references) == 0


def test_self_bleu_tells_equal_from_different() -> None:
    same, near, far = self_bleu([["a b c d"] * 3, ["a b c d", "a b c e", "a b c f"], ["a b c d", "e f g h", "i j k l"]])
    assert same == pytest.approx(1)
    assert 0 < near < 1
    assert far == 0
    assert self_bleu([["1+2", "1+3"]], words=False)[0] > 0
    with pytest.raises(ValueError, match="at least two"):
        self_bleu([["a"]])
