"""Two policies on the same starts: rates, difference with its interval, exact test, and what is still needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imitari.core.outcome import Outcome
from imitari.evaluate.intervals import Interval, tango, wilson
from imitari.evaluate.outcomes import paired, successes
from imitari.evaluate.planning import episodes_to_decide
from imitari.evaluate.resampling import paired_bootstrap
from imitari.evaluate.sequential import Decision, PairedSequentialTest
from imitari.evaluate.significance import mcnemar_exact

ALPHA = 0.05


@dataclass(frozen=True)
class Pairs:
    """Number of starts where both, only `a`, only `b`, neither succeeded."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def count(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither


@dataclass(frozen=True)
class Comparison:
    """`b` against `a`, paired by start. Differences are b - a: positive means that `b` is better.

    Attributes:
        names: of a and b.
        task: name.
        pairs: counts.
        starts: that were compared.
        rate_a, rate_b: success with Wilson intervals.
        difference: of the success rates (Tango's score interval for pairs).
        p_value: exact McNemar, two-sided.
        returns: difference of the mean returns with a paired bootstrap interval; None for a single start.
        more: further episodes that would decide with chance 0.8 if the rates stay; 0 decided, None: nothing points
            either way.
        winner: "a", "b", or None where the data do not decide at 5 %.
        sequential: how the sequential test ended, where one was run; then it decides and not `p_value`.
    """

    names: tuple[str, str]
    task: str
    pairs: Pairs
    starts: tuple[int, ...]
    rate_a: Interval
    rate_b: Interval
    difference: Interval
    p_value: float
    returns: Interval | None
    more: int | None
    winner: str | None
    sequential: Decision | None = None

    def sentence(self) -> str:
        """The verdict, for people."""
        gap = self.difference
        points = f"{100 * gap.estimate:+.0f} points [{100 * gap.low:+.0f}, {100 * gap.high:+.0f}]"
        if self.sequential is not None:
            return self._sequential_sentence(points)
        if self.winner:
            sign = 1 if self.winner == "b" else -1
            lead = sorted((100 * sign * gap.low, 100 * sign * gap.high))
            better, other = self.names if self.winner == "a" else self.names[::-1]
            return (
                f"{better} is better than {other}: {100 * sign * gap.estimate:+.0f} points [{lead[0]:.0f}, "
                f"{lead[1]:.0f}], p = {self.p_value:.2g} (exact McNemar, {self.pairs.count} paired starts)"
            )
        difference = f"{self.names[1]} - {self.names[0]} is {points}, p = {self.p_value:.2g}"
        if self.more is None:
            return f"no decision, and nothing points either way: {difference} ({self.pairs.count} paired starts)"
        return f"no decision: {difference}; about {self.more} more episodes of each would decide (chance 0.8)"

    def _sequential_sentence(self, points: str) -> str:
        found = self.sequential
        assert found is not None
        counts = f"{found.wins_a} starts went to {self.names[0]} alone, {found.wins_b} to {self.names[1]} alone"
        if found.winner is None:
            more = f"; about {self.more} more episodes of each would decide" if self.more else ""
            return f"no decision after all {found.pairs} pairs: {counts}{more}"
        better, other = self.names if found.winner == "a" else self.names[::-1]
        return (
            f"{better} is better than {other}: decided after {found.pairs} pairs ({counts}; error rate {ALPHA:.0%} "
            "kept while looking after every pair)"
        )

    def to_json(self) -> dict[str, Any]:
        def limits(value: Interval | None) -> dict[str, float] | None:
            return None if value is None else {"estimate": value.estimate, "low": value.low, "high": value.high}

        return {
            "a": self.names[0],
            "b": self.names[1],
            "task": self.task,
            "verdict": self.sentence(),
            "winner": {"a": self.names[0], "b": self.names[1]}.get(self.winner or ""),
            "pairs": {**vars(self.pairs), "count": self.pairs.count},
            "starts": [self.starts[0], self.starts[-1]],
            "success_a": limits(self.rate_a),
            "success_b": limits(self.rate_b),
            "difference": limits(self.difference),
            "p_value": self.p_value,
            "return_difference": limits(self.returns),
            "episodes_to_decide": self.more,
            "sequential": vars(self.sequential) if self.sequential else None,
        }


def compare(a: Sequence[Outcome], b: Sequence[Outcome], names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Compares on the starts that both have.

    Args:
        a, b: outcomes of one policy each, in one task.

    Raises:
        UserError: when no start is shared.
    """
    first, second = paired(a, b)
    wins_a, wins_b = successes(first), successes(second)
    pairs = Pairs(
        int((wins_a & wins_b).sum()),
        int((wins_a & ~wins_b).sum()),
        int((~wins_a & wins_b).sum()),
        int((~wins_a & ~wins_b).sum()),
    )
    counts = (pairs.both, pairs.only_a, pairs.only_b, pairs.neither)
    p_value = mcnemar_exact(pairs.only_a, pairs.only_b).p_value
    totals = [np.array([row.total for row in rows]) for rows in (first, second)]
    usable = len(first) > 1 and bool(np.isfinite(totals).all())
    return Comparison(
        names=names,
        task=first[0].task,
        pairs=pairs,
        starts=tuple(row.start for row in first),
        rate_a=wilson(int(wins_a.sum()), pairs.count),
        rate_b=wilson(int(wins_b.sum()), pairs.count),
        difference=tango(*counts),
        p_value=p_value,
        returns=paired_bootstrap(totals[0], totals[1]) if usable else None,
        more=episodes_to_decide(*counts),
        winner=None if p_value > ALPHA else ("b" if pairs.only_b > pairs.only_a else "a"),
    )


Pair = tuple[Outcome, Outcome]


def compare_sequentially(
    batches: Iterable[Sequence[Pair]],
    max_pairs: int,
    names: tuple[str, str] = ("A", "B"),
    told: Callable[[PairedSequentialTest], None] | None = None,
) -> Comparison:
    """Takes pairs as they come and stops asking for more when the winner is clear.

    Args:
        batches: pairs in an order that was fixed beforehand; asked for one batch at a time.
        max_pairs: budget, fixed beforehand.
        told: called after each batch.
    """
    test = PairedSequentialTest(max_pairs, ALPHA)
    used: list[Pair] = []
    for batch in batches:
        for pair in batch:
            used.append(pair)
            if test.update(pair[0].success, pair[1].success) is not None:
                break
        if told:
            told(test)
        if test.decision is not None:
            break
    whole = compare([pair[0] for pair in used], [pair[1] for pair in used], names)
    found = test.decision or Decision(None, test.pairs, test.wins_a, test.wins_b)
    return replace(whole, sequential=found, winner=found.winner)
