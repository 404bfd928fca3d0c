"""The verdict on a claim, from outcomes whose answer is known."""

from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats

from imitari.core.errors import UserError
from imitari.core.outcome import Outcome
from imitari.evaluate.intervals import crossed_interval, crossed_mean_interval
from imitari.jobs.claim import Always, Derived, Difference, Level, NotWorse, OverSeeds, Seen
from imitari.jobs.verdict import arm_facts, judge


def outcomes(arm: str, table: np.ndarray, field: str = "success") -> list[Outcome]:
    """(seeds, starts) values as rows, in an order that nothing should depend on."""
    rows = [
        Outcome(
            arm, "task", 100 + start, seed,
            success=bool(value) if field == "success" else False,
            total=float(value), best=float(value), length=10, ended="terminated",
        )
        for (seed, start), value in np.ndenumerate(table)
    ]  # fmt: skip
    return [rows[number] for number in np.random.default_rng(0).permutation(len(rows))]


def tables() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return (rng.random((3, 60)) < 0.8).astype(float), (rng.random((3, 60)) < 0.3).astype(float)


def both() -> dict[str, list[Outcome]]:
    good, poor = tables()
    return {"good": outcomes("good", good), "poor": outcomes("poor", poor)}


def test_what_is_not_met_is_refuted_only_where_the_whole_interval_lies_beyond_the_bound() -> None:
    (found,) = judge([Difference("good", "poor")], both())
    middle = found.estimate
    for criterion, refuted in (
        (Difference("good", "poor", middle), False),
        (Difference("good", "poor", found.high), True),
        (NotWorse("poor", "good", middle), False),
        (NotWorse("poor", "good", found.low), True),
    ):
        (one,) = judge([criterion], both())
        assert not one.holds
        assert one.refuted == refuted
        assert ("REFUTED" if refuted else "NOT shown") in one.sentence("success")
    whole = judge([Level("good", at_least=0.0)], both())[0]
    for level, refuted in (
        (Level("good", at_least=np.nextafter(whole.high, 2)), True),
        (Level("good", at_least=whole.high), False),
        (Level("good", at_most=np.nextafter(whole.low, -1)), True),
        (Level("good", at_most=whole.low), False),
        (Level("good", at_least=0.0, at_most=np.nextafter(whole.low, -1)), True),
    ):
        (one,) = judge([level], both())
        assert (one.holds, one.refuted) == (False, refuted)


def test_a_clear_difference_holds_and_its_reverse_does_not() -> None:
    forward = judge([Difference("good", "poor", 0.2)], both())[0]
    backward = judge([Difference("poor", "good", 0.0)], both())[0]
    good, poor = tables()
    expected = crossed_interval(poor, good)
    assert (forward.estimate, forward.low, forward.high) == (expected.estimate, expected.low, expected.high)
    assert forward.holds
    assert not backward.holds
    assert backward.estimate == pytest.approx(-forward.estimate)


def test_exactly_at_the_margin_a_difference_does_not_hold() -> None:
    low = judge([Difference("good", "poor")], both())[0].low
    assert not judge([Difference("good", "poor", low)], both())[0].holds
    assert judge([Difference("good", "poor", np.nextafter(low, -1))], both())[0].holds


def test_not_worse_allows_its_margin_and_no_more() -> None:
    found = judge([NotWorse("poor", "good", 0.9)], both())[0]
    assert found.holds
    assert not judge([NotWorse("poor", "good", -found.low)], both())[0].holds
    assert judge([NotWorse("good", "good", 0.2)], both())[0].estimate == 0.0


def test_over_seeds_takes_one_number_a_seed() -> None:
    good, poor = tables()
    gaps = good.std(1) - poor.mean(1)

    def of(arms: Sequence[Sequence[Outcome]]) -> float:
        first, second = (np.array([row.success for row in rows], float) for rows in arms)
        return float(first.std() - second.mean())

    found = judge([OverSeeds("a gap", ("good", "poor"), of, at_most=1.0)], both())[0]
    half = scipy.stats.t.ppf(0.975, 2) * gaps.std(ddof=1) / np.sqrt(3)
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (gaps.mean(), gaps.mean() - half, gaps.mean() + half)
    )
    assert found.holds
    assert found.arms == ("good", "poor")
    assert not judge([OverSeeds("a gap", ("good", "poor"), of, at_least=found.low + 1e-9)], both())[0].holds
    assert found.sentence("success") == found.sentence("total")  # no rate: not written in points
    with pytest.raises(UserError, match="no finite number"):
        judge([OverSeeds("nothing", ("good",), lambda arms: float("nan"))], both())


def test_a_level_needs_the_whole_interval() -> None:
    good, _ = tables()
    whole = crossed_mean_interval(good)
    assert judge([Level("good", at_least=whole.low)], both())[0].holds
    assert not judge([Level("good", at_least=np.nextafter(whole.low, 1))], both())[0].holds
    assert judge([Level("good", at_most=whole.high)], both())[0].holds
    assert not judge([Level("good", at_least=0.0, at_most=whole.estimate)], both())[0].holds


def test_returns_are_not_bounded_by_one() -> None:
    rng = np.random.default_rng(0)
    rows = {
        "a": outcomes("a", rng.normal(500, 1, (3, 20)), "total"),
        "b": outcomes("b", rng.normal(0, 1, (3, 20)), "total"),
    }
    found = judge([Difference("a", "b", 400)], rows, "total")[0]
    assert found.holds
    assert found.estimate == pytest.approx(500, abs=2)


def test_one_training_seed_or_a_missing_start_is_no_verdict() -> None:
    good, poor = tables()
    with pytest.raises(UserError, match="two of each"):
        judge([Difference("a", "b")], {"a": outcomes("a", good[:1]), "b": outcomes("b", poor[:1])})
    rows = outcomes("a", good)
    with pytest.raises(UserError, match="was not evaluated on start"):
        judge([Level("a", at_least=0.1)], {"a": rows[1:]})


def test_counts_are_kept_by_training_seed() -> None:
    good, _ = tables()
    facts = arm_facts(outcomes("good", good), "success")
    assert [entry["successes"] for entry in facts["seeds"].values()] == good.sum(1).astype(int).tolist()
    assert all(entry["episodes"] == 60 for entry in facts["seeds"].values())
    assert facts["mean"] == pytest.approx(good.mean())


def test_a_linear_number_has_the_interval_of_the_combined_outcomes() -> None:
    good, poor = tables()
    whole = crossed_mean_interval(2 * good - 3 * poor + 0.5, limits=None)
    number = Derived("2 good - 3 poor + 0.5", ("good", "poor"), lambda m: 2 * m[0] - 3 * m[1] + 0.5, at_least=0.0)
    found = judge([number], both())[0]
    assert (found.kind, found.words) == ("derived", number.words)
    assert (found.estimate, found.low, found.high) == pytest.approx((whole.estimate, whole.low, whole.high), abs=1e-6)
    assert found.holds == (whole.low >= 0)


def test_the_interval_of_a_ratio_covers_it() -> None:
    """Ratio of means 3 and 2 with seeds and starts that vary: the true ratio lies inside in 95 of 100 experiments."""
    rng = np.random.default_rng(0)
    ratio = Derived("a / b", ("a", "b"), lambda m: m[0] / m[1], at_most=2.0)
    inside = 0
    for _ in range(200):
        rows = {
            name: outcomes(name, mean + 0.1 * rng.normal(size=(4, 1)) + 0.3 * rng.normal(size=(4, 12)), "total")
            for name, mean in (("a", 3.0), ("b", 2.0))
        }
        found = judge([ratio], rows, "total")[0]
        inside += found.low <= 1.5 <= found.high
    assert inside >= 182


def test_a_number_that_is_not_finite_is_no_verdict() -> None:
    slope = Derived("log of nothing", ("zero",), lambda m: float(np.log(m[0])), at_most=0.0)
    with pytest.raises(UserError, match="log of nothing"), np.errstate(all="ignore"):
        judge([slope], {"zero": outcomes("zero", np.zeros((2, 3)), "total")}, "total")


def test_what_was_seen_in_one_seed_has_no_interval() -> None:
    """Two of three seeds have a mean of at most 0.25: enough where two are asked for, too few where three are."""
    rows = {"arm": outcomes("arm", np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]]))}
    found = judge([Seen("arm", at_most=0.25, seeds=2)], rows)[0]
    assert (found.estimate, found.low, found.high, found.margin) == pytest.approx((2 / 3,) * 4)
    assert found.holds
    assert not judge([Seen("arm", at_most=0.25, seeds=3)], rows)[0].holds
    assert not judge([Seen("arm", at_most=-0.1)], rows)[0].holds


def test_a_property_without_exceptions() -> None:
    table = np.ones((2, 30))
    assert judge([Always("arm")], {"arm": outcomes("arm", table)})[0].holds
    table[1, 7] = 0
    found = judge([Always("arm")], {"arm": outcomes("arm", table)})[0]
    assert not found.holds
    assert found.estimate == 59 / 60
