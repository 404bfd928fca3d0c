"""Comparing two policies while the rollouts run: stop as soon as the winner is clear, with a kept error rate.

Both policies run from the same start, pair after pair. Only pairs with different outcomes tell which one is better, so
a test is a boundary on the walk (n discordant pairs, k of them won): for each n the smallest k that decides. The chance
of every outcome follows exactly from a forward recursion over this walk; nothing here is simulated.

`PairedSequentialTest` (Lai's test, the default everywhere) has a budget of pairs and uses it best; `PairedEvidenceTest`
may run and be looked at for ever, as may `savi.SafeTest`. The test whose decision regions are synthesised backwards by
linear programs (STEP, arXiv 2503.10966) is not here: it is a little tighter, and needs a synthesis for every budget.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imitari.evaluate.intervals import normal_quantile, scipy_part

Floats = NDArray[np.float64]
Boundary = NDArray[np.int64]


@dataclass(frozen=True)
class Decision:
    """How a sequential comparison ended. `winner` None means "no decision", which is not "equal"."""

    winner: Literal["a", "b"] | None
    pairs: int
    wins_a: int
    wins_b: int


@dataclass(frozen=True)
class Characteristics:
    """Exact behaviour of a test under given outcome probabilities: chance of each ending, mean number of pairs used."""

    a_better: float
    b_better: float
    undecided: float
    mean_pairs: float


# ---------------------------------------------------------------- the Lai boundary


def lai_threshold(t: Floats, gap: float = 0.0, constant: float = 1.0) -> Floats:
    """g(t): the evidence n KL(k/n || 1/2) at which Lai's test decides, at scaled time t = constant * n > 0.

    `gap` is a difference of the two success rates known to be exceeded if there is any; 0 when nothing is known.
    Source: Lai 1988, as parametrised in sequentialized Barnard tests (arXiv 2503.10966) and LBM (arXiv 2507.05331).
    """
    root = np.sqrt(t)
    early = np.minimum(t, 0.0099)
    inside = (
        2 * np.log(1 / early) + np.log(np.log(1 / early)) - math.log(4 * math.pi) - 3 * np.exp(-0.016 / np.sqrt(early))
    )
    late = 0.25 * math.sqrt(2 / math.pi) * (1 / root - 5 / (48 * math.pi) * root**-5)
    height = np.select(
        [t < 0.01, t < 0.1, t < 0.8],
        [np.sqrt(t * inside), 0.39 - 0.015 / root, np.exp(-0.69 * t - 1)],
        default=late,
    )
    if gap:
        slope = gap / (2 * gap + (1 - gap) ** 2) / (2 * math.sqrt(constant))
        height = height * np.exp(-(slope**2) * np.where(t < 1, t**1.125, t) / 2) + slope * t
    return height**2 / (2 * t)


def lai_boundary(max_pairs: int, constant: float, gap: float = 0.0) -> Boundary:
    """Smallest number of wins that decides after n = 0 .. max_pairs discordant pairs, shape (max_pairs + 1,).

    n + 1 stands for "no number of wins decides yet".
    """
    numbers = np.arange(1, max_pairs + 1)
    needed = lai_threshold(constant * numbers.astype(np.float64), gap, constant) / numbers
    boundary = np.empty(max_pairs + 1, dtype=np.int64)
    boundary[0] = 1
    for n in range(1, max_pairs + 1):
        wins = np.arange(n // 2 + 1, n + 1)
        # The last entry is always true: it stands for n + 1, "none decides".
        enough = np.append(_divergence_from_half(wins / n) >= needed[n - 1], True)
        boundary[n] = n // 2 + 1 + int(np.argmax(enough))
    return boundary


def _divergence_from_half(share: Floats) -> Floats:
    """KL(share || 1/2) in nats, with 0 ln 0 = 0."""
    other = 1 - share
    logs = np.log(2 * other, out=np.zeros_like(other), where=other > 0)
    return share * np.log(2 * share) + other * logs


@functools.lru_cache(maxsize=256)
def lai_constant(max_pairs: int, alpha: float, discordance: float = 0.5, gap: float = 0.0) -> float:
    """Largest scale constant whose exact chance of a wrong "a is better" within `max_pairs` pairs is at most `alpha`.

    Args:
        max_pairs: pairs that the experiment may use.
        alpha: error allowed in one direction.
        discordance: chance that equally good policies differ on a pair. 0.5 is the worst case for independent outcomes
            (both rates 0.5; the published calibration); 1.0 is the worst case for any dependence through the start.
    """
    if max_pairs < 1 or not 0 < alpha < 0.5 or not 0 < discordance <= 1:
        raise ValueError(
            f"need max_pairs >= 1, 0 < alpha < 0.5, 0 < discordance <= 1; got {max_pairs}, {alpha}, {discordance}"
        )

    def error(log_constant: float) -> float:
        boundary = lai_boundary(max_pairs, math.exp(log_constant), gap)
        return characteristics(boundary, max_pairs, discordance / 2, discordance / 2, two_sided=False).a_better

    low, high = -30.0, 0.0
    if error(high) <= alpha:
        return 1.0
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (middle, high) if error(middle) <= alpha else (low, middle)
    return math.exp(low)


# ---------------------------------------------------------------- exact behaviour of any boundary


def characteristics(
    boundary: Boundary, max_pairs: int, only_a: float, only_b: float, two_sided: bool = True
) -> Characteristics:
    """Exact chance of each ending and mean number of pairs of a test that stops at `boundary` or after `max_pairs`.

    Args:
        boundary: smallest deciding number of wins by number of discordant pairs, at least (max_pairs + 1,).
        only_a, only_b: chance that in a pair only `a`, only `b` succeeds: p_a (1 - p_b) and p_b (1 - p_a) when outcomes
            are independent.
        two_sided: whether the mirrored boundary decides for `b`.

    The walk of wins over discordant pairs does not depend on how often pairs are discordant, and their number after t
    pairs is binomial: first passages by recursion, then one binomial tail each.
    """
    if min(only_a, only_b) < 0 or only_a + only_b > 1 + 1e-12:
        raise ValueError(f"only_a {only_a} and only_b {only_b} must be probabilities that sum to at most 1")
    discordance = min(1.0, only_a + only_b)
    if discordance == 0:
        return Characteristics(0.0, 0.0, 1.0, float(max_pairs))
    exit_a, exit_b = _first_passages(boundary, max_pairs, only_a / discordance, two_sided)
    reached = _chance_of_discordant(max_pairs, discordance)
    a_better, b_better = float(exit_a @ reached[-1]), float(exit_b @ reached[-1])
    # E[pairs] = sum over t < max_pairs of P(undecided after t pairs)
    mean_pairs = float((1 - reached[:-1] @ (exit_a + exit_b)).sum())
    return Characteristics(a_better, b_better, max(0.0, 1 - a_better - b_better), mean_pairs)


def _first_passages(boundary: Boundary, steps: int, win: float, two_sided: bool) -> tuple[Floats, Floats]:
    """Chance that the walk first crosses the upper, the lower boundary at discordant pair n = 0 .. steps."""
    exit_a, exit_b = np.zeros(steps + 1), np.zeros(steps + 1)
    mass = np.zeros(steps + 2)
    mass[0] = 1.0
    for n in range(1, steps + 1):
        moved = mass * (1 - win)
        moved[1:] += mass[:-1] * win
        upper, lower = int(boundary[n]), n - int(boundary[n])
        exit_a[n] = moved[upper : n + 1].sum()
        moved[upper:] = 0.0
        if two_sided and lower >= 0:
            exit_b[n] = moved[: lower + 1].sum()
            moved[: lower + 1] = 0.0
        mass = moved
    return exit_a, exit_b


@functools.lru_cache(maxsize=8)
def _chance_of_discordant(max_pairs: int, discordance: float) -> Floats:
    """P(at least m of t pairs are discordant), shape (max_pairs + 1, max_pairs + 1), rows t, columns m."""
    pairs, needed = np.mgrid[0 : max_pairs + 1, 0 : max_pairs + 1]
    possible = np.clip(needed - 1, 0, pairs)
    tail = scipy_part("special").bdtrc(possible, pairs, discordance)
    return np.where(needed == 0, 1.0, np.where(needed > pairs, 0.0, tail))


# ---------------------------------------------------------------- tests fed with one pair at a time


class PairedTest:
    """Counts pairs and asks `_decides` whether so many wins decide; what all tests share."""

    def __init__(self, max_pairs: int | None, two_sided: bool) -> None:
        if max_pairs is not None and max_pairs < 1:
            raise ValueError(f"max_pairs is {max_pairs}, but a comparison needs at least 1 pair")
        self.max_pairs = max_pairs
        self.two_sided = two_sided
        self.pairs = self.wins_a = self.wins_b = 0
        self.decision: Decision | None = None

    def update(self, a_success: bool, b_success: bool) -> Decision | None:
        """Count one pair (both policies from the same start). None: go on. A `Decision`: stop, add no more pairs.

        The order of the starts must be fixed beforehand.

        Raises:
            ValueError: the test has already ended; more data would break its error rate.
        """
        if self.decision is not None:
            raise ValueError(f"the comparison ended after {self.pairs} pairs: start a new one for new rollouts")
        self._count(a_success, b_success)
        winner = self._winner()
        if winner is not None or self.pairs == self.max_pairs:
            self.decision = Decision(winner, self.pairs, self.wins_a, self.wins_b)
        return self.decision

    def _count(self, a_success: bool, b_success: bool) -> None:
        self.pairs += 1
        self.wins_a += bool(a_success) and not b_success
        self.wins_b += bool(b_success) and not a_success

    def _winner(self) -> Literal["a", "b"] | None:
        discordant = self.wins_a + self.wins_b
        if discordant == 0:
            return None
        if self._decides(self.wins_a, discordant):
            return "a"
        return "b" if self.two_sided and self._decides(self.wins_b, discordant) else None

    def _decides(self, wins: int, discordant: int) -> bool:
        raise NotImplementedError


class PairedSequentialTest(PairedTest):
    """Lai's test with a budget of `max_pairs`: the winner is declared as soon as the boundary is crossed.

    `alpha` is the chance of declaring any winner between equally good policies: alpha / 2 a direction when two-sided,
    all of it on "a is better" when not. For k policies in pairs pass alpha / (k (k - 1) / 2).

    The calibration is exact for outcomes that are independent or positively correlated over starts (the usual case:
    what is hard for one policy is hard for the other). Policies that are equally good but specialise in opposite
    starts differ on more than half of the pairs. At the very worst, on all of them, the error is 0.10 (50 pairs) or
    0.11 (200 pairs) instead of 0.05. `discordance` 1 excludes that too, at the price of power (0.71 instead of 0.82
    for success 0.8 against 0.5 with 50 pairs).

    Args:
        max_pairs: budget, fixed beforehand. When it is used up the decision has no winner.
        discordance: largest chance that equally good policies differ on a pair (see `lai_constant`).
        gap: difference of the success rates that is known to be exceeded if there is any; 0 by default.
    """

    def __init__(
        self,
        max_pairs: int,
        alpha: float = 0.05,
        two_sided: bool = True,
        discordance: float = 0.5,
        gap: float = 0.0,
    ) -> None:
        super().__init__(max_pairs, two_sided)
        constant = lai_constant(max_pairs, alpha / 2 if two_sided else alpha, discordance, gap)
        self.boundary = lai_boundary(max_pairs, constant, gap)

    def _decides(self, wins: int, discordant: int) -> bool:
        return wins >= int(self.boundary[discordant])

    def characteristics(self, rate_a: float, rate_b: float) -> Characteristics:
        """Exact chance of each ending, and mean pairs, for independent outcomes with these success rates."""
        only_a, only_b = rate_a * (1 - rate_b), rate_b * (1 - rate_a)
        return characteristics(self.boundary, int(self.boundary.size - 1), only_a, only_b, self.two_sided)


class PairedEvidenceTest(PairedTest):
    """Anytime-valid comparison: bets on the discordant pairs, and decides when the stake has grown by 1 / alpha.

    Start with 1 and bet on "this policy wins the next discordant pair". If the policy is no better the stake cannot be
    expected to grow, so it ever reaches 1 / alpha with chance at most alpha (Ville's inequality), however long one
    goes on and whenever one looks. The bet mixes all win chances above 1/2 evenly, which has a closed form. alpha is
    halved when two-sided. Decides later than `PairedSequentialTest`; it needs no budget and may be continued.
    Source: Ramdas et al. 2023, "Game-theoretic statistics and safe anytime-valid inference".
    """

    def __init__(self, alpha: float = 0.05, two_sided: bool = True, max_pairs: int | None = None) -> None:
        super().__init__(max_pairs, two_sided)
        if not 0 < alpha < 1:
            raise ValueError(f"alpha is {alpha}, but must lie strictly between 0 and 1")
        self.needed = math.log((2 if two_sided else 1) / alpha)

    def _decides(self, wins: int, discordant: int) -> bool:
        return log_evidence(wins, discordant) >= self.needed

    def evidence(self) -> tuple[float, float]:
        """E-values of "a is better" and of "b is better": 20 is as strong as p = 0.05, at any time."""
        discordant = self.wins_a + self.wins_b
        return math.exp(log_evidence(self.wins_a, discordant)), math.exp(log_evidence(self.wins_b, discordant))


def log_evidence(wins: int, discordant: int) -> float:
    """Log of the e-value for "wins more than half of the discordant pairs".

    With n discordant pairs and k wins: ln of 2^(n+1) times the integral of q^k (1-q)^(n-k) over q from 1/2 to 1.
    """
    special = scipy_part("special")
    losses = discordant - wins
    upper_half = float(special.betainc(losses + 1, wins + 1, 0.5))
    if upper_half == 0.0:
        return -math.inf
    return (discordant + 1) * math.log(2) + float(special.betaln(wins + 1, losses + 1)) + math.log(upper_half)


def evidence_boundary(max_pairs: int, alpha: float) -> Boundary:
    """Smallest number of wins whose e-value reaches 1 / alpha after n = 0 .. max_pairs discordant pairs."""
    boundary = np.arange(1, max_pairs + 2)
    for n in range(1, max_pairs + 1):
        enough = (k for k in range(n // 2 + 1, n + 1) if log_evidence(k, n) >= -math.log(alpha))
        boundary[n] = next(enough, n + 1)
    return boundary


def peeked_error(
    pairs: int, every: int = 1, repetitions: int = 4000, seed: int = 0, rate: float = 0.5, level: float = 0.95
) -> float:
    """Share of simulated experiments with two equally good policies in which a z-test for a fixed number of rollouts,
    looked at again and again, says that they differ: what the tests of this module are against.

    Args:
        pairs: rollouts of each.
        every: pairs between two looks, the first after the fifth (or the `every`th).
        repetitions: simulated experiments.
        rate: success of both.
        level: of the z-test; pooled variance.
    """
    generator = np.random.default_rng(seed)
    a, b = (generator.random((2, repetitions, pairs)) < rate).cumsum(2)
    count = np.arange(1, pairs + 1)
    pooled = (a + b) / (2 * count)
    spread = np.sqrt(np.maximum(2 * pooled * (1 - pooled), 1e-12) / count)
    looks = np.arange(max(5, every) - 1, pairs, every)
    beyond = np.abs((a - b) / count)[:, looks] / spread[:, looks] > normal_quantile(level)
    return float(beyond.any(axis=1).mean())
