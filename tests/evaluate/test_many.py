"""Several policies compared: one error rate over all pairs, letters as defined, policies that are decided stop."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.core.outcome import Outcome
from imitari.evaluate.many import rank, rank_sequentially, sequential_test
from imitari.evaluate.significance import barnard, mcnemar_exact, welch_t
from imitari.evaluate.violins import draw_violins


def outcome(policy: str, start: int, success: bool, best: float | None = None) -> Outcome:
    return Outcome(policy, "task", start, 0, success, 0.0, float(success) if best is None else best, 1, "terminated")


def drawn(rates: Sequence[float], count: int, seed: int = 0) -> list[list[Outcome]]:
    chance = np.random.default_rng(seed).random((len(rates), count))
    return [
        [outcome(str(k), start, bool(chance[k, start] < rate)) for start in range(count)]
        for k, rate in enumerate(rates)
    ]


@pytest.mark.parametrize("test", ["mcnemar", "barnard"])
def test_pairs_are_tested_at_the_corrected_level(test: str) -> None:
    groups = drawn([0.2, 0.45, 0.5, 0.9], 80)
    found = rank(groups, "abcd", test=test)
    assert found.alpha_each == pytest.approx(0.05 / 6)
    for pair in found.pairs:
        a, b = ([row.success for row in groups[number]] for number in (pair.a, pair.b))
        if test == "mcnemar":
            only = [sum(x > y for x, y in zip(*each, strict=True)) for each in ((a, b), (b, a))]
            expected = mcnemar_exact(*only).p_value
        else:
            expected = barnard(sum(a), 80, sum(b), 80).p_value
        assert pair.p_value == pytest.approx(expected)
        assert pair.different == (expected <= 0.05 / 6)
        assert pair.different == (not set(found.letters[pair.a]) & set(found.letters[pair.b]))
    assert any(pair.different for pair in found.pairs)
    assert not all(pair.different for pair in found.pairs)


def test_what_is_shown_goes_from_best_to_worst_with_the_posterior() -> None:
    found = rank(drawn([0.1, 0.9, 0.5], 60), ["low", "high", "middle"])
    lines = found.lines()
    assert [line.split()[1] for line in lines[1:4]] == ["high", "middle", "low"]
    assert [line.split()[0] for line in lines[1:4]] == ["a", "b", "c"]
    best = found.posteriors[1]
    wins = found.successes[1]
    assert best.estimate == pytest.approx((1 + wins) / 62)
    assert [row["name"] for row in found.to_json()["policies"]] == ["low", "high", "middle"]


def test_completion_is_compared_by_welch() -> None:
    rng = np.random.default_rng(0)
    shares = rng.integers(0, 5, (3, 50)) / 4
    shares[2] = np.minimum(1, shares[2] + 0.5)
    groups = [
        [outcome(str(k), start, share == 1, best=float(share)) for start, share in enumerate(row)]
        for k, row in enumerate(shares)
    ]
    found = rank(groups, "abc", metric="completion", milestones=4)
    for pair, (a, b) in zip(found.pairs, combinations(range(3), 2), strict=True):
        assert pair.p_value == pytest.approx(welch_t(shares[a], shares[b]).p_value)
    assert found.letters[2] not in found.letters[0]
    # Dirichlet(1 + counts): the posterior mean is (sum of values + sum of the prior's) / (N + 5).
    assert found.posteriors[0].estimate == pytest.approx((shares[0].sum() + 2.5) / 55, abs=2e-3)
    with pytest.raises(UserError, match="none of the possible values"):
        rank(groups, "abc", metric="completion", milestones=3)


def test_a_sequential_comparison_asks_no_more_than_it_needs() -> None:
    groups = drawn([0.5, 0.55, 0.02], 200, seed=1)
    asked: list[tuple[int, int]] = []

    def ask(number: int, starts: Sequence[int]) -> list[Outcome]:
        asked.append((number, len(starts)))
        return [groups[number][start] for start in starts]

    found = rank_sequentially(ask, range(200), "abc")
    used = [sum(count for number, count in asked if number == k) for k in range(3)]
    assert tuple(used) == found.trials
    assert used[2] < 60 < used[0] == used[1] == 200
    assert found.letters == ("a", "a", "b")
    for pair in found.pairs:  # the same as each pair's own test
        one = sequential_test("lai", 200, 0.05 / 3)
        rows = zip(groups[pair.a], groups[pair.b], strict=True)
        decision = next((one.decision for a, b in rows if one.update(a.success, b.success)), None)
        assert pair.decision == decision


@pytest.mark.parametrize("test", ["lai", "evidence", "savi"])
def test_equal_policies_are_told_apart_no_more_often_than_allowed(test: str) -> None:
    repeats, wrong = 120, 0
    for seed in range(repeats):
        groups = drawn([0.5, 0.5, 0.5], 40, seed=100 + seed)

        def ask(number: int, starts: Sequence[int], groups: list[list[Outcome]] = groups) -> list[Outcome]:
            return [groups[number][start] for start in starts]

        found = rank_sequentially(ask, range(40), "abc", test=test)
        wrong += any(pair.different for pair in found.pairs)
    assert wrong <= 0.05 * repeats + 3 * (0.05 * 0.95 * repeats) ** 0.5


def test_violins_are_drawn(tmp_path: Path) -> None:
    draw_violins(rank(drawn([0.1, 0.9, 0.5], 60), "abc"), tmp_path / "v.png")
    assert (tmp_path / "v.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_input_is_one_sentence() -> None:
    with pytest.raises(UserError, match="common start"):
        rank([[outcome("a", 0, True)], [outcome("b", 1, True)]], "ab")
    with pytest.raises(UserError, match="did you mean mcnemar"):
        rank(drawn([0.5, 0.5], 5), "ab", test="macnemar")
    with pytest.raises(UserError, match="no sequential test"):
        sequential_test("stop", 10, 0.05)
