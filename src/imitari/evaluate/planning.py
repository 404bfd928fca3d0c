"""How many rollouts a comparison needs: before it starts, and when it is undecided.

All counts are for the exact McNemar test of paired starts, computed exactly (no normal approximation), except
`rollouts_unpaired`, the textbook formula for two independent samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from imitari.evaluate.intervals import check_pairs, scipy_part

Integers = NDArray[np.int64]

MAX_ROLLOUTS = 1_000_000


def paired_rates(rate_a: float, rate_b: float, correlation: float = 0.0) -> tuple[float, float]:
    """Chance that from one start only `a`, only `b` succeeds.

    Args:
        correlation: phi coefficient of the two outcomes over starts; positive when both find the same starts hard.

    Raises:
        ValueError: no two outcomes with these rates can have this correlation.
    """
    if not (0 <= rate_a <= 1 and 0 <= rate_b <= 1):
        raise ValueError(f"success rates {rate_a} and {rate_b} must lie between 0 and 1")
    shared = correlation * math.sqrt(rate_a * (1 - rate_a) * rate_b * (1 - rate_b))
    only_a, only_b = rate_a * (1 - rate_b) - shared, rate_b * (1 - rate_a) - shared
    both, neither = rate_a * rate_b + shared, (1 - rate_a) * (1 - rate_b) + shared
    if min(only_a, only_b, both, neither) < -1e-12:
        raise ValueError(
            f"outcomes with success rates {rate_a} and {rate_b} cannot have a correlation of {correlation}"
        )
    return max(0.0, only_a), max(0.0, only_b)


def critical_losses(discordant: Integers, alpha: float) -> Integers:
    """Largest number of losses among `discordant` pairs at which the exact McNemar test has p <= alpha; -1 if none."""
    special = scipy_part("special")
    # Invert the binomial tail approximately, then step to the exact whole number.
    guess: NDArray[np.float64] = np.floor(np.nan_to_num(special.bdtrik(alpha / 2, discordant, 0.5), nan=-1.0))
    found: Integers = np.clip(guess.astype(np.int64), -1, discordant) + 1
    for _ in range(3):
        tail: NDArray[np.float64] = special.bdtr(np.maximum(found, 0), discordant, 0.5)
        found = np.where((found >= 0) & (2 * tail > alpha), found - 1, found)
    return found


def paired_power(pairs: int, only_a: float, only_b: float, alpha: float = 0.05) -> float:
    """Exact chance that McNemar's test over `pairs` starts is significant in the right direction.

    Args:
        only_a, only_b: chance that only `a`, only `b` succeeds from one start (see `paired_rates`).
    """
    return _chance_of_verdict(pairs, only_a, only_b, alpha)


def _chance_of_verdict(
    more: int, only_a: float, only_b: float, alpha: float, wins_a: int = 0, wins_b: int = 0
) -> float:
    """Chance that McNemar's test finds the better policy after `more` pairs on top of the present discordant counts."""
    special = scipy_part("special")
    discordance, win = only_a + only_b, max(only_a, only_b)
    if discordance == 0:
        return 0.0
    present_losses = wins_b if only_a >= only_b else wins_a
    spread = 9 * math.sqrt(more * discordance * (1 - discordance)) + 2
    first = max(0, math.floor(more * discordance - spread))
    last = min(more, math.ceil(more * discordance + spread))
    fresh = np.arange(first, last + 1)
    allowed = critical_losses(fresh + wins_a + wins_b, alpha) - present_losses
    lose = 1 - win / discordance
    verdict = np.where(allowed >= 0, special.bdtr(np.clip(allowed, 0, fresh), fresh, lose), 0.0)
    below = np.where(fresh > 0, special.bdtr(np.maximum(fresh - 1, 0), more, discordance), 0.0)
    weight = special.bdtr(fresh, more, discordance) - below
    return float(weight @ verdict)


def rollouts_for_power(
    rate_a: float, rate_b: float, power: float = 0.8, alpha: float = 0.05, correlation: float = 0.0
) -> int | None:
    """Rollouts of each policy, from the same starts, for McNemar's test to find a true difference with chance `power`.

    None when the rates are equal or more than a million rollouts would be needed.
    """
    _check_shares(power, alpha)
    only_a, only_b = paired_rates(rate_a, rate_b, correlation)
    if math.isclose(only_a, only_b, abs_tol=1e-12):
        return None
    return _smallest(lambda pairs: paired_power(pairs, only_a, only_b, alpha) >= power)


def rollouts_unpaired(rate_a: float, rate_b: float, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Rollouts of each policy from independent starts: normal formula, pooled null variance (Fleiss 1981)."""
    _check_shares(power, alpha)
    if rate_a == rate_b:
        return None
    quantile = scipy_part("special").ndtri
    middle = (rate_a + rate_b) / 2
    null = float(quantile(1 - alpha / 2)) * math.sqrt(2 * middle * (1 - middle))
    alternative = float(quantile(power)) * math.sqrt(rate_a * (1 - rate_a) + rate_b * (1 - rate_b))
    return math.ceil(((null + alternative) / (rate_a - rate_b)) ** 2)


def episodes_to_decide(
    both: int, only_a: int, only_b: int, neither: int, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """More episodes (of each policy, from new common starts) after which the comparison is decided with chance `power`.

    Takes the observed rates of discordant pairs as the true ones and adds new pairs to the present counts. 0 when the
    exact McNemar test is significant already; None when nothing points either way (equal discordant counts) or a
    million episodes would not do. It is a plan, not a verdict: testing again and again on a growing sample inflates
    the error. Decide on the new pairs alone, or run `sequential.PairedSequentialTest` from the start.
    """
    _check_shares(power, alpha)
    pairs = check_pairs(both, only_a, only_b, neither)
    if only_a == only_b:
        return None
    rates = (only_a / pairs, only_b / pairs)
    return _smallest(lambda more: _chance_of_verdict(more, *rates, alpha, only_a, only_b) >= power, start=0)


def _check_shares(power: float, alpha: float) -> None:
    if not (0 < power < 1 and 0 < alpha < 1):
        raise ValueError(f"power {power} and alpha {alpha} must lie strictly between 0 and 1")


def _smallest(enough: Callable[[int], bool], start: int = 1) -> int | None:
    """Smallest number that is enough: doubling, then bisection (power grows with rollouts, but for tiny teeth)."""
    if enough(start):
        return start
    low, high = start, max(1, start)
    while not enough(high):
        low, high = high, high * 2
        if low >= MAX_ROLLOUTS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
