"""Comparing two policies on the same starts."""

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.core.outcome import Outcome
from imitari.evaluate.compare import compare, compare_sequentially
from imitari.evaluate.intervals import tango, wilson
from imitari.evaluate.planning import episodes_to_decide
from imitari.evaluate.significance import mcnemar_exact


def rows(policy: str, wins: list[int], first: int = 0) -> list[Outcome]:
    return [
        Outcome(policy, "task", first + number, 0, bool(win), float(win) - 0.5, 1.0, 10, "terminated")
        for number, win in enumerate(wins)
    ]


def drawn(both: int, only_a: int, only_b: int, neither: int) -> tuple[list[Outcome], list[Outcome]]:
    a = [1] * both + [1] * only_a + [0] * only_b + [0] * neither
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    order = np.random.default_rng(1).permutation(len(a))
    return rows("a", [a[k] for k in order]), rows("b", [b[k] for k in order])


def test_counts_and_statistics_agree_with_their_sources() -> None:
    found = compare(*drawn(20, 5, 18, 7), names=("bc", "flow"))
    assert vars(found.pairs) == {"both": 20, "only_a": 5, "only_b": 18, "neither": 7}
    assert found.difference == tango(20, 5, 18, 7)
    assert found.p_value == mcnemar_exact(5, 18).p_value
    assert found.rate_b == wilson(38, 50)
    assert found.returns is not None
    assert found.returns.estimate == pytest.approx(13 / 50)
    assert found.winner == "b"
    assert found.sentence().startswith("flow is better than bc: +26 points [")


def test_a_win_of_the_first_is_told_from_its_side() -> None:
    found = compare(*drawn(20, 18, 5, 7), names=("bc", "flow"))
    assert found.winner == "a"
    assert found.sentence().startswith("bc is better than flow: +26 points [")
    low, high = -found.difference.high, -found.difference.low
    assert f"[{100 * low:.0f}, {100 * high:.0f}]" in found.sentence()


def test_no_decision_says_what_would_decide() -> None:
    found = compare(*drawn(20, 7, 11, 12))
    assert found.winner is None
    assert found.more == episodes_to_decide(20, 7, 11, 12)
    assert f"about {found.more} more episodes" in found.sentence()
    equal = compare(*drawn(20, 5, 5, 10))
    assert equal.more is None
    assert "nothing points either way" in equal.sentence()


def test_only_shared_starts_count() -> None:
    found = compare(rows("a", [1] * 10), rows("b", [0] * 10, first=5))
    assert found.starts == (5, 6, 7, 8, 9)
    with pytest.raises(UserError, match="same --seeds"):
        compare(rows("a", [1] * 5), rows("b", [1] * 5, first=50))


def test_sequential_stops_early_and_asks_for_no_more() -> None:
    a, b = rows("a", [0] * 100), rows("b", [1] * 100)
    asked: list[int] = []

    def batches():
        for begin in range(0, 100, 10):
            asked.append(begin)
            yield list(zip(a[begin : begin + 10], b[begin : begin + 10], strict=True))

    found = compare_sequentially(batches(), 100, ("old", "new"))
    assert found.sequential is not None
    assert found.winner == "b"
    assert found.sequential.pairs < 15
    assert len(asked) == -(-found.sequential.pairs // 10)
    assert found.pairs.count == found.sequential.pairs
    assert "new is better than old: decided after" in found.sentence()


def test_sequential_without_a_difference_uses_its_budget() -> None:
    a, b = drawn(15, 5, 5, 15)
    found = compare_sequentially([list(zip(a, b, strict=True))], 40)
    assert found.winner is None
    assert found.sequential is not None
    assert found.sequential.pairs == 40
    assert found.sentence().startswith("no decision after all 40 pairs")
    assert found.to_json()["winner"] is None
