"""A paired sequential test keeps its error exactly and stops early, where looking again at a fixed test does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from imitari.core.outcome import Outcome
from imitari.evaluate.intervals import beta_posterior
from imitari.evaluate.letters import compact_letters
from imitari.evaluate.planning import rollouts_for_power
from imitari.evaluate.sequential import Boundary, PairedSequentialTest, peeked_error
from imitari.jobs.claim import Arm, ArmRun, Budget, Claim, Level
from imitari.jobs.sharing import told

Floats = NDArray[np.float64]
RATES, BUDGETS = (0.1, 0.3, 0.5, 0.8), (50, 200)
ALPHA = 0.05

# ---------------------------------------------------------------- enumerated, independently of the package's recursion


def by_pairs(boundary: Boundary, pairs: int, rate_a: float, rate_b: float) -> tuple[float, float]:
    """(chance that "a is better" is declared, mean pairs used) of the one-direction test, pair by pair.

    The probability of every (discordant pairs n, pairs won k) that is still undecided; each pair moves it.
    """
    only_a, only_b = rate_a * (1 - rate_b), rate_b * (1 - rate_a)
    mass = np.zeros((pairs + 2, pairs + 2))
    mass[0, 0] = 1.0
    decided = np.arange(pairs + 2)[None] >= np.append(boundary, pairs + 2)[:, None]
    better = mean = 0.0
    for _ in range(pairs):
        mean += float(mass.sum())
        moved = mass * (1 - only_a - only_b)
        moved[1:, 1:] += only_a * mass[:-1, :-1]
        moved[1:] += only_b * mass[:-1]
        better += float(moved[decided].sum())
        mass = np.where(decided, 0.0, moved)
    return better, mean


def lai(pairs: int) -> Boundary:
    """The one-direction test at 5 %."""
    return PairedSequentialTest(pairs, ALPHA, two_sided=False).boundary


def error(run: ArmRun) -> float:
    """Largest chance of a wrong "a is better" over rates and budgets."""
    return max(by_pairs(lai(pairs), pairs, rate, rate)[0] for pairs in BUDGETS for rate in RATES)


def power(run: ArmRun) -> float:
    return by_pairs(lai(50), 50, 0.8, 0.5)[0]


def pairs_used(run: ArmRun) -> float:
    return by_pairs(lai(50), 50, 0.8, 0.5)[1]


# ---------------------------------------------------------------- simulated


def peeking(pairs: int) -> Callable[[ArmRun], float]:
    """Share of experiments with equal policies that a z-test at 5 %, looked at after every pair, tells apart."""
    return lambda run: peeked_error(pairs, repetitions=run.budget.demos["repetitions"], seed=run.seed)


def looking(pairs: int) -> Callable[[ArmRun], float]:
    """The same with Lai's test in one direction, looked at after every pair."""

    def share(run: ArmRun) -> float:
        rng, boundary = np.random.default_rng(run.seed), lai(pairs)
        a, b = rng.random((2, run.budget.demos["repetitions"], pairs)) < 0.5
        wins, discordant = (a & ~b).cumsum(1), (a != b).cumsum(1)
        return float((wins >= boundary[discordant]).any(1).mean())

    return share


def family(run: ArmRun) -> float:
    """Share of experiments with four equal policies in which some pair of them is said to differ (Bonferroni)."""
    pairs, count = 50, run.budget.demos["repetitions"] // 4
    wins = np.random.default_rng(run.seed).random((4, count, pairs)) < 0.5
    boundary = PairedSequentialTest(pairs, ALPHA / 6).boundary
    wrong = np.zeros(count, bool)
    for a, b in combinations(wins, 2):
        needed = boundary[(a != b).cumsum(1)]
        wrong |= (((a & ~b).cumsum(1) >= needed) | ((b & ~a).cumsum(1) >= needed)).any(1)
    return float(wrong.mean())


def letters(run: ArmRun) -> float:
    """Pairs for which sharing no letter is not the same as differing, over random sets of differences."""
    rng, wrong = np.random.default_rng(run.seed), 0
    for _ in range(run.budget.demos["displays"]):
        count = int(rng.integers(2, 9))
        pairs = list(combinations(range(count), 2))
        different = {pair for pair in pairs if rng.random() < rng.choice([0.2, 0.5, 0.8])}
        shown = compact_letters(count, different, rng.random(count).tolist())
        wrong += sum((not set(shown[a]) & set(shown[b])) != ((a, b) in different) for a, b in pairs)
    return float(wrong)


def coverage(run: ArmRun) -> float:
    """Share of experiments of 50 rollouts whose 95 % Beta interval holds the true rate, rates uniform."""
    rng, ends = np.random.default_rng(run.seed), [beta_posterior(number, 50) for number in range(51)]
    low, high = np.array([end.low for end in ends]), np.array([end.high for end in ends])
    truth = rng.random(50 * run.budget.demos["repetitions"])
    seen = rng.binomial(50, truth)
    return float(((low[seen] <= truth) & (truth <= high[seen])).mean())


# ---------------------------------------------------------------- too few rollouts


def after_ten() -> tuple[float, float]:
    """Chance that after ten rollouts each the better of two policies (0.6 and 0.5) looks worse, and no better."""
    count = np.arange(11)
    ways = np.array([math.comb(10, number) for number in count], np.float64)
    better, worse = (ways * rate**count * (1 - rate) ** (10 - count) for rate in (0.6, 0.5))
    both = better[:, None] * worse[None]
    return float(both[count[:, None] < count].sum()), float(both[count[:, None] <= count].sum())


def needed(run: ArmRun) -> float:
    """Rollouts of each policy, from the same starts, for 80 % power at 0.6 against 0.5."""
    return float(rollouts_for_power(0.6, 0.5) or 0)


MEASURED: dict[str, Callable[[ArmRun], float]] = {
    "error": error,
    "power": power,
    "pairs": pairs_used,
    "peeking 50": peeking(50),
    "peeking 200": peeking(200),
    "looking 50": looking(50),
    "looking 200": looking(200),
    "family": family,
    "letters": letters,
    "coverage": coverage,
    "worse after 10": lambda run: after_ten()[0],
    "no better after 10": lambda run: after_ten()[1],
    "rollouts needed": needed,
}


def run_arm(run: ArmRun) -> list[Outcome]:
    """`total`: what was measured, at every start."""
    return told(run, MEASURED[run.arm](run))


CLAIM = Claim(
    paper="TRI LBM team 2025, A Careful Examination of Large Behavior Models for Multitask Dexterous Manipulation",
    sentence="Lai's test on paired rollouts keeps its error at every success rate however often one looks, and needs "
    "about 30 pairs to tell 80 from 50 %, where looking again and again at a fixed test errs in a third of "
    "experiments, and ten rollouts hide a gap of ten points.",
    arms={name: Arm("") for name in MEASURED},
    task="two_ways",
    criteria=(
        Level("error", at_most=ALPHA),
        Level("power", at_least=0.85),
        Level("pairs", at_most=32),
        Level("peeking 50", at_least=0.25, at_most=0.31),
        Level("peeking 200", at_least=0.33, at_most=0.42),
        Level("looking 50", at_most=0.055),
        Level("looking 200", at_most=0.055),
        Level("family", at_most=0.055),
        Level("letters", at_most=0),
        Level("coverage", at_least=0.94, at_most=0.96),
        Level("worse after 10", at_least=0.24, at_most=0.255),
        Level("no better after 10", at_least=0.40, at_most=0.42),
        Level("rollouts needed", at_least=300),
    ),
    budgets={
        "smoke": Budget(range(2), 2, {"repetitions": 100, "displays": 5}, minutes=0.2),
        "quick": Budget(range(5), 2, {"repetitions": 10_000, "displays": 500}, minutes=3),
        "full": Budget(range(20), 2, {"repetitions": 40_000, "displays": 2_000}, minutes=30),
    },
    metric="total",
    run_arm=run_arm,
    notes="No policy is trained: the arms measure the instrument, and their returns are what was measured. Exact, by "
    "enumeration of all courses pair by pair: the largest chance of a wrong decision in one direction over success "
    "rates 0.1, 0.3, 0.5, 0.8 and budgets of 50 and 200 pairs, power and mean pairs at 0.8 against 0.5, and what ten "
    "rollouts of 0.6 and 0.5 show. Simulated, with the training seed as the seed: a z-test at 5 % (pooled) looked at "
    "after every pair from the fifth on, Lai's test in one direction looked at as often, four equal policies compared "
    "in all pairs with Bonferroni, coverage of the Beta interval over uniform rates, letters for random sets of "
    "differences. Bounds on simulated shares leave room for the simulation (a tenth of 5 %). Seeds stand for repeated "
    "simulations; there are no starts.",
)
