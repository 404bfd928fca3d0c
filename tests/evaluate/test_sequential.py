"""Sequential tests: published reference numbers, exact error by an independent enumeration, anytime validity."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.integrate

from imitari.evaluate.sequential import (
    Boundary,
    Decision,
    PairedEvidenceTest,
    PairedSequentialTest,
    characteristics,
    evidence_boundary,
    lai_boundary,
    lai_constant,
    lai_threshold,
    log_evidence,
    peeked_error,
)


def _by_pairs(boundary: Boundary, pairs: int, a: float, b: float, two_sided: bool) -> tuple[float, float, float]:
    """Forward recursion over (pairs, discordant, wins) as written in the paper's notes: slow, independent of ours."""
    mass = np.zeros((pairs + 2, pairs + 2))
    mass[0, 0] = 1.0
    n, k = np.mgrid[0 : pairs + 2, 0 : pairs + 2]
    needed = np.append(boundary, pairs + 2)[:, None]
    upper, lower = k >= needed, (n - k >= needed) & (k <= n) & two_sided
    better_a = better_b = mean = 0.0
    for _ in range(pairs):
        mean += mass.sum()
        moved = mass * (1 - a - b)
        moved[1:, 1:] += a * mass[:-1, :-1]
        moved[1:] += b * mass[:-1]
        better_a += moved[upper].sum()
        better_b += moved[lower].sum()
        mass = np.where(upper | lower, 0.0, moved)
    return better_a, better_b, mean


@pytest.mark.parametrize(
    ("pairs", "constant", "error", "needed"),
    [(50, 6.3e-4, 0.0495, (8, 9, 13, 15, 21, 26)), (100, 3.23e-4, 0.0498, (8, 10, 13, 16, 22, 28))],
)
def test_reference_boundaries(pairs: int, constant: float, error: float, needed: tuple[int, ...]) -> None:
    boundary = lai_boundary(pairs, constant)
    assert tuple(boundary[[8, 10, 15, 20, 30, 40]]) == needed
    found = characteristics(boundary, pairs, 0.25, 0.25, two_sided=False)
    assert found.a_better == pytest.approx(error, abs=5e-5)


def test_reference_power_and_mean_pairs() -> None:
    boundary = lai_boundary(50, 5.6e-4)
    for rate, power, pairs in ((0.7, 0.535, 39), (0.8, 0.878, 29), (0.9, 0.994, 20)):
        found = characteristics(boundary, 50, rate / 2, (1 - rate) / 2, two_sided=False)
        assert found.a_better == pytest.approx(power, abs=6e-4)
        assert found.mean_pairs == pytest.approx(pairs, abs=0.5)
    boundary = lai_boundary(200, 1.41e-4)
    assert characteristics(boundary, 200, 0.25, 0.25, False).a_better == pytest.approx(0.042, abs=5e-4)
    found = characteristics(boundary, 200, 0.35, 0.15, False)
    assert found.mean_pairs == pytest.approx(81, abs=0.5)
    assert found.a_better == pytest.approx(0.98, abs=5e-3)
    assert characteristics(boundary, 200, 0.3, 0.2, False).a_better == pytest.approx(0.53, abs=5e-3)


@pytest.mark.parametrize("pairs", [50, 200])
@pytest.mark.parametrize("two_sided", [False, True])
def test_error_is_kept_at_every_rate_by_independent_enumeration(pairs: int, two_sided: bool) -> None:
    test = PairedSequentialTest(pairs, alpha=0.05, two_sided=two_sided)
    for rate in (0.1, 0.3, 0.5, 0.8):
        step = rate * (1 - rate)
        better_a, better_b, mean = _by_pairs(test.boundary, pairs, step, step, two_sided)
        assert better_a + better_b <= 0.05
        found = test.characteristics(rate, rate)
        assert (found.a_better, found.b_better) == pytest.approx((better_a, better_b), abs=1e-12)
        assert found.mean_pairs == pytest.approx(mean)
    # Not needlessly strict: a whole step of the error function is all that is left unused.
    assert test.characteristics(0.5, 0.5).a_better > (0.02 if two_sided else 0.04)


def test_claimed_power_with_fifty_pairs() -> None:
    found = PairedSequentialTest(50, two_sided=False).characteristics(0.8, 0.5)
    assert found.a_better >= 0.85
    assert found.mean_pairs <= 32


def test_full_discordance_calibration_covers_policies_that_specialise() -> None:
    for pairs in (20, 50, 200):
        strict = PairedSequentialTest(pairs, discordance=1.0)
        assert 1 - characteristics(strict.boundary, pairs, 0.5, 0.5).undecided <= 0.05
    usual = PairedSequentialTest(50)
    assert 1 - characteristics(usual.boundary, 50, 0.5, 0.5).undecided == pytest.approx(
        0.102, abs=1e-3
    )  # as documented


def test_calibration_is_the_largest_allowed_constant() -> None:
    constant = lai_constant(50, 0.05)
    assert math.log(constant) == pytest.approx(-1.0126 * math.log(50) - 3.534, abs=0.15)  # published calibration line
    larger = lai_boundary(50, constant * 1.001)
    assert characteristics(larger, 50, 0.25, 0.25, two_sided=False).a_better > 0.05


def test_characteristics_by_listing_all_sequences() -> None:
    boundary, a, b, pairs = np.array([1, 2, 2, 3, 4, 4, 5]), 0.3, 0.25, 6
    expected = {"a": 0.0, "b": 0.0, "pairs": 0.0}
    for outcomes in itertools.product((1, -1, 0), repeat=pairs):
        chance = math.prod({1: a, -1: b, 0: 1 - a - b}[x] for x in outcomes)
        wins = losses = used = 0
        for outcome in outcomes:
            used += 1
            wins, losses = wins + (outcome == 1), losses + (outcome == -1)
            needed = boundary[wins + losses]
            if wins >= needed or losses >= needed:
                expected["a" if wins >= needed else "b"] += chance
                break
        expected["pairs"] += chance * used
    found = characteristics(boundary, pairs, a, b)
    assert (found.a_better, found.b_better) == pytest.approx((expected["a"], expected["b"]))
    assert found.mean_pairs == pytest.approx(expected["pairs"])
    assert found.a_better + found.b_better + found.undecided == pytest.approx(1)


def test_threshold_pieces() -> None:
    # By hand: t = 0.05 -> h = .39 - .015 / sqrt(.05); t = 0.5 -> exp(-1.345); t = 1 -> .25 sqrt(2/pi) (1 - 5/(48 pi))
    heights = np.array([0.322918, 0.260540, 0.192857])
    times = np.array([0.05, 0.5, 1.0])
    assert lai_threshold(times) == pytest.approx(heights**2 / (2 * times), rel=1e-4)
    # t = 0.001: 2 ln 1000 + ln ln 1000 - ln 4 pi - 3 exp(-0.505964) = 11.40836, halved
    assert lai_threshold(np.array([0.001])) == pytest.approx([5.70418], rel=1e-5)


def test_a_known_gap_keeps_the_error() -> None:
    plain, informed = PairedSequentialTest(50), PairedSequentialTest(50, gap=0.3)
    assert not np.array_equal(plain.boundary, informed.boundary)
    assert 1 - informed.characteristics(0.5, 0.5).undecided <= 0.05
    assert informed.characteristics(0.8, 0.5).a_better > 0.75


def test_stepwise_use_follows_the_boundary() -> None:
    test = PairedSequentialTest(50)
    assert test.update(True, True) is None
    needed = next(n for n in range(1, 51) if test.boundary[n] <= n)
    for _ in range(needed - 1):
        assert test.update(False, True) is None
    assert test.update(False, True) == Decision("b", needed + 1, 0, needed)
    with pytest.raises(ValueError, match="ended"):
        test.update(True, False)
    undecided = PairedSequentialTest(3)
    assert [undecided.update(True, True) for _ in range(3)] == [None, None, Decision(None, 3, 0, 0)]
    one_sided = PairedSequentialTest(20, two_sided=False)
    decisions = [one_sided.update(False, True) for _ in range(20)]
    assert decisions[-1] == Decision(None, 20, 0, 20)


def test_stepwise_use_has_the_exact_error_and_power() -> None:
    generator = np.random.default_rng(0)
    ended = {"a": 0, "b": 0, None: 0}
    for _ in range(1500):
        test = PairedSequentialTest(50)
        decision = None
        while decision is None:
            decision = test.update(bool(generator.random() < 0.8), bool(generator.random() < 0.5))
        ended[decision.winner] += 1
    exact = PairedSequentialTest(50).characteristics(0.8, 0.5)
    assert ended["a"] / 1500 == pytest.approx(exact.a_better, abs=0.04)
    assert ended["b"] <= 2


@pytest.mark.parametrize(("wins", "discordant"), [(0, 0), (1, 1), (3, 3), (7, 9), (2, 9), (30, 45)])
def test_evidence_is_the_mixture_integral(wins: int, discordant: int) -> None:
    integral = scipy.integrate.quad(lambda q: 2 * (2 * q) ** wins * (2 - 2 * q) ** (discordant - wins), 0.5, 1)[0]
    assert math.exp(log_evidence(wins, discordant)) == pytest.approx(integral, rel=1e-9)


def test_evidence_is_a_fair_bet() -> None:
    for n in range(6):
        for k in range(n + 1):
            win, lose = math.exp(log_evidence(k + 1, n + 1)), math.exp(log_evidence(k, n + 1))
            now = math.exp(log_evidence(k, n))
            assert (win + lose) / 2 == pytest.approx(now)  # expected stake stays when the policies are equal
            assert 0.4 * win + 0.6 * lose < now  # and falls when this policy is worse


def test_evidence_keeps_its_error_at_any_horizon() -> None:
    boundary = evidence_boundary(600, 0.025)
    for pairs in (50, 600):
        found = characteristics(boundary, pairs, 0.5, 0.5)
        assert found.a_better + found.b_better <= 0.05
    power = characteristics(boundary, 600, 0.4, 0.1)
    assert power.a_better > 0.999
    assert power.mean_pairs < 60


def test_evidence_test_stepwise() -> None:
    test = PairedEvidenceTest(alpha=0.05)
    boundary = evidence_boundary(30, 0.025)
    needed = next(n for n in range(1, 31) if boundary[n] <= n)
    decisions = [test.update(True, False) for _ in range(needed)]
    assert decisions == [None] * (needed - 1) + [Decision("a", needed, needed, 0)]
    assert test.evidence()[0] >= 40 > test.evidence()[1]
    budget = PairedEvidenceTest(max_pairs=2)
    assert [budget.update(True, True), budget.update(False, False)] == [None, Decision(None, 2, 0, 0)]
    assert log_evidence(0, 5000) == -math.inf


@pytest.mark.parametrize(
    ("pairs", "every", "expected"), [(50, 1, 0.28), (200, 1, 0.36), (50, 10, 0.13), (200, 10, 0.26)]
)
def test_peeking_at_a_fixed_test_does_not_keep_its_error(pairs: int, every: int, expected: float) -> None:
    # The reason for this module: a z-test at 5 %, looked at after every pair from the 5th on, or every tenth:
    # two policies of equal success 0.5. Lai's test, looked at as often, keeps 5 % a direction.
    found = peeked_error(pairs, every, repetitions=4000, seed=7)
    assert found == pytest.approx(expected, abs=0.03)
    lai = PairedSequentialTest(pairs, alpha=0.1).characteristics(0.5, 0.5)
    assert max(lai.a_better, lai.b_better) <= 0.05


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: PairedSequentialTest(0),
        lambda: PairedSequentialTest(10, alpha=0.0),
        lambda: PairedSequentialTest(10, discordance=0.0),
        lambda: PairedEvidenceTest(alpha=2),
        lambda: characteristics(np.array([1, 2]), 1, 0.7, 0.6),
    ],
)
def test_wrong_settings_are_refused(wrong) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"\w"):
        wrong()


def test_nothing_ever_differs() -> None:
    found = characteristics(lai_boundary(10, 1e-3), 10, 0.0, 0.0)
    assert (found.undecided, found.mean_pairs) == (1.0, 10.0)
