"""The verdict on a claim: every criterion with its interval over training seeds and paired starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from imitari.core.errors import UserError
from imitari.core.outcome import Outcome
from imitari.evaluate.intervals import (
    Interval,
    crossed_interval,
    crossed_mean_interval,
    interval_of_function,
    t_interval,
)
from imitari.evaluate.outcomes import by_seed
from imitari.jobs.claim import Always, Criterion, Derived, Difference, Level, Metric, NotWorse, OverSeeds, Seen

OVER_SEEDS = "over seeds"  # the kind of findings that are numbers of their own and no rates
InTables = Difference | NotWorse | Level | Derived | Seen | Always  # criteria about means over seeds and starts


@dataclass(frozen=True)
class Finding:
    """How one criterion came out.

    Attributes:
        kind: "difference", "not worse", "level", "derived" or "over seeds".
        arms: that it is about, the favoured one first.
        estimate, low, high: of the difference (of the mean, for a level; of the number that was made), at `level`.
        needs: what must hold, in words.
        holds: whether it does.
        margin: the number that the criterion was written with.
        words: what the number is, where the arms alone do not say it.
        refuted: whether the whole interval lies where it must not. What neither holds nor is refuted, more training
            seeds may decide.
    """

    kind: str
    arms: tuple[str, ...]
    estimate: float
    low: float
    high: float
    level: float
    needs: str
    holds: bool
    margin: float | None
    words: str = ""
    refuted: bool = False

    def sentence(self, metric: str) -> str:
        """For people; success rates as points."""
        unit, points = (100.0, " points") if metric == "success" and self.kind != OVER_SEEDS else (1.0, "")
        numbers = f"{self.estimate * unit:+.3g} [{self.low * unit:+.3g}, {self.high * unit:+.3g}]{points}"
        what = self.words or " - ".join(self.arms)
        came = "met" if self.holds else "REFUTED" if self.refuted else "NOT shown"
        return f"{what}: {numbers}; needs {self.needs}: {came}"


def judge(
    criteria: Sequence[Criterion], outcomes: Mapping[str, Sequence[Outcome]], metric: Metric = "success"
) -> list[Finding]:
    """One finding a criterion.

    Args:
        criteria: of the claim.
        outcomes: arm -> outcomes of all its training seeds, each on the same starts.
        metric: field of the outcomes.

    Raises:
        UserError: when there are fewer than two training seeds or starts, or outcomes are missing.
    """
    limits = (0.0, 1.0) if metric == "success" else None
    tables = {arm: _table(arm, rows, metric) for arm, rows in outcomes.items()}
    return [
        _over_seeds(criterion, outcomes) if isinstance(criterion, OverSeeds) else _finding(criterion, tables, limits)
        for criterion in criteria
    ]


def _table(arm: str, rows: Sequence[Outcome], metric: Metric) -> Any:
    table = by_seed(rows, metric)
    if min(table.shape) < 2:
        raise UserError(
            f"arm '{arm}' has {table.shape[0]} training seeds and {table.shape[1]} starts: a verdict needs at least "
            "two of each (--seeds 0:3)"
        )
    return table


def _finding(criterion: InTables, tables: Mapping[str, Any], limits: tuple[float, float] | None) -> Finding:
    if isinstance(criterion, Level):
        found = crossed_mean_interval(tables[criterion.arm], limits=limits)
        return _level(criterion, found)
    if isinstance(criterion, Derived):
        return _level(criterion, _derived(criterion, tables))
    if isinstance(criterion, Always):
        return _always(criterion, tables[criterion.arm])
    if isinstance(criterion, Seen):
        return _seen(criterion, tables[criterion.arm])
    first, second = criterion.arms
    found = crossed_interval(tables[second], tables[first], limits=limits)
    if isinstance(criterion, Difference):
        return _beyond("difference", criterion, found, criterion.margin)
    assert isinstance(criterion, NotWorse)
    return _beyond("not worse", criterion, found, -criterion.margin)


def _beyond(kind: str, criterion: Difference | NotWorse, found: Interval, bound: float) -> Finding:
    return _pack(kind, criterion, found, f"> {bound:g}", found.low > bound, found.high <= bound)


def _derived(criterion: Derived, tables: Mapping[str, Any]) -> Interval:
    try:
        return interval_of_function([tables[arm] for arm in criterion.arms], criterion.of)
    except ValueError as error:
        raise UserError(f"criterion '{criterion.words}': {error}: more starts") from error


def _over_seeds(criterion: OverSeeds, outcomes: Mapping[str, Sequence[Outcome]]) -> Finding:
    seeds = sorted({row.train_seed for row in outcomes[criterion.arms[0]]})
    each = [
        criterion.of([[row for row in outcomes[arm] if row.train_seed == seed] for arm in criterion.arms])
        for seed in seeds
    ]
    if not np.isfinite(each).all():
        raise UserError(f"criterion '{criterion.words}' is no finite number for every training seed: more starts")
    return _level(criterion, t_interval(each))


def _level(criterion: Level | Derived | OverSeeds, found: Interval) -> Finding:
    parts, holds, refuted = [], True, False
    if criterion.at_least is not None:
        parts.append(f"at least {criterion.at_least:g}")
        holds, refuted = holds and found.low >= criterion.at_least, found.high < criterion.at_least
    if criterion.at_most is not None:
        parts.append(f"at most {criterion.at_most:g}")
        holds, refuted = holds and found.high <= criterion.at_most, refuted or found.low > criterion.at_most
    kind = "level" if isinstance(criterion, Level) else OVER_SEEDS if isinstance(criterion, OverSeeds) else "derived"
    return _pack(kind, criterion, found, " and ".join(parts) or "nothing", holds, refuted)


def _always(criterion: Always, table: Any) -> Finding:
    """The share of outcomes that are 1, as it was seen."""
    share = float((table == 1).mean())
    words = f"share of {criterion.arm}, {table.size} outcomes (no interval)"
    return Finding("derived", criterion.arms, share, share, share, 0.95, "all", share == 1, 1.0, words, share < 1)


def _seen(criterion: Seen, table: Any) -> Finding:
    """The share of seeds, as it was seen: its two limits are the share itself."""
    share = float((table.mean(1) <= criterion.at_most).mean())
    least = criterion.seeds / len(table)
    words = f"share of seeds with {criterion.arm} at most {criterion.at_most:g} (no interval)"
    holds = share >= least
    numbers = share, share, share, 0.95
    return Finding("derived", criterion.arms, *numbers, f"at least {least:.3g}", holds, least, words, not holds)


def _pack(
    kind: str,
    criterion: Difference | NotWorse | Level | Derived | OverSeeds,
    found: Interval,
    needs: str,
    holds: bool,
    refuted: bool,
) -> Finding:
    words = criterion.words if isinstance(criterion, Derived | OverSeeds) else ""
    if isinstance(criterion, Level | Derived | OverSeeds):
        margin = criterion.at_least if criterion.at_least is not None else criterion.at_most
    else:
        margin = criterion.margin
    ends = found.estimate, found.low, found.high, found.level
    return Finding(kind, criterion.arms, *ends, needs, bool(holds), margin, words, bool(refuted))


def arm_facts(rows: Sequence[Outcome], metric: Metric) -> dict[str, Any]:
    """Counts of every training seed, and the mean of all with its interval."""
    seeds = sorted({row.train_seed for row in rows})
    groups = {seed: [row for row in rows if row.train_seed == seed] for seed in seeds}
    whole = crossed_mean_interval(by_seed(rows, metric), limits=(0.0, 1.0) if metric == "success" else None)
    return {
        "mean": whole.estimate,
        "low": whole.low,
        "high": whole.high,
        "seeds": {
            str(seed): {
                "episodes": len(group),
                "successes": sum(row.success for row in group),
                "total": float(np.mean([row.total for row in group])),
                "best": float(np.mean([row.best for row in group])),
                "length": float(np.mean([row.length for row in group])),
            }
            for seed, group in groups.items()
        },
    }


def finding_of(found: Mapping[str, Any]) -> Finding:
    """From its part of verdict.json."""
    values: dict[str, Any] = {**found, "arms": tuple(found["arms"])}
    return Finding(**values)


def findings_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [{**asdict(finding), "arms": list(finding.arms)} for finding in findings]
