"""The safe test: the e-value never grows on average when neither policy is better, and it finds those that are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from imitari.evaluate.savi import SafeTest, log_factor

PAIRS = list(itertools.product((False, True), repeat=2))


def mean_factor(successes: tuple[int, int], pairs: int, rates: tuple[float, float]) -> float:
    """What the e-value of "the first is better" is multiplied by on average, at true rates."""
    total = 0.0
    for outcomes in PAIRS:
        chance = math.prod(rate if got else 1 - rate for rate, got in zip(rates, outcomes, strict=True))
        total += chance * math.exp(log_factor(successes, pairs, outcomes))
    return total


@pytest.mark.parametrize("pairs", [0, 1, 5, 20])
def test_it_is_an_e_value_whenever_the_first_is_no_better(pairs: int) -> None:
    for successes in itertools.product(range(0, pairs + 1, max(1, pairs // 4)), repeat=2):
        for first, second in itertools.product(np.linspace(0, 1, 11), repeat=2):
            if first <= second:
                assert mean_factor(successes, pairs, (first, second)) <= 1 + 1e-9
    assert mean_factor((0, 0), 0, (0.9, 0.2)) > 1


def test_the_first_pair_by_hand() -> None:
    # Beta(2, 1) and Beta(1, 2) guess 2/3 and 1/3; the closest equal rates are 1/2 each.
    for outcomes, expected in zip(PAIRS, (8 / 9, 4 / 9, 16 / 9, 8 / 9), strict=True):
        assert math.exp(log_factor((0, 0), 0, outcomes)) == pytest.approx(expected)


def test_decisions() -> None:
    test = SafeTest(0.05)
    rng = np.random.default_rng(0)
    decision = None
    while decision is None:
        decision = test.update(bool(rng.random() < 0.2), bool(rng.random() < 0.9))
    assert decision.winner == "b"
    assert test.evidence()[1] >= 40 > test.evidence()[0]
    ended = SafeTest(0.05, max_pairs=3)
    assert [ended.update(True, True) is None for _ in range(3)] == [True, True, False]
    with pytest.raises(ValueError, match="alpha"):
        SafeTest(1.5)


def test_error_at_any_time_is_kept() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        test = SafeTest(0.05, max_pairs=150)
        while test.decision is None:
            test.update(bool(rng.random() < 0.5), bool(rng.random() < 0.5))
        wrong += test.decision.winner is not None
    assert wrong / 300 <= 0.05
