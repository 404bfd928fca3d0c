"""The ledger: every claim with what was seen when it was run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imitari.core import registry
from imitari.core.errors import UserError
from imitari.jobs.claim import FOLDER
from imitari.jobs.verdict import Finding, finding_of

MOST_EFFECTS = 3
HEADS = ("claim", "verdict", "lines met", "effect", "budget", "minutes", "commit")


@dataclass(frozen=True)
class Row:
    """One claim. `effect` holds the first criteria's estimates with their intervals."""

    claim: str
    description: str
    verdict: str
    met: str = ""
    effect: str = ""
    budget: str = ""
    minutes: str = ""
    commit: str = ""

    def cells(self) -> tuple[str, ...]:
        return self.claim, self.verdict, self.met, self.effect, self.budget, self.minutes, self.commit


def ledger(results: Path) -> list[Row]:
    """A row for every claim that there is, recorded or not.

    Args:
        results: folder of verdicts, NAME.json each.

    Raises:
        UserError: a record is damaged.
    """
    return [_row(entry, results / f"{name}.json") for name, entry in registry.entries(FOLDER).items()]


def _row(entry: registry.Entry, path: Path) -> Row:
    if not path.exists():
        return Row(entry.name, entry.description, "not run yet")
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        return Row(
            entry.name,
            entry.description,
            "holds" if data["holds"] else "does not hold",
            met([finding_of(found) for found in data["criteria"]]),
            effects(data["criteria"], data["metric"]),
            f"{data['budget']}, {len(data['seeds'])} x {data['starts']['count']}",
            f"{data['minutes']:.1f}",
            ", ".join(data["commits"]),
        )
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is damaged ({error!r}): run `imitari claim {entry.name} --record` again") from error


def met(findings: Sequence[Finding]) -> str:
    """How many criteria are met, refuted, and neither: "6 of 8, 1 refuted, 1 not shown"."""
    refuted = sum(found.refuted for found in findings)
    open_ = sum(not found.holds and not found.refuted for found in findings)
    parts = [f"{sum(found.holds for found in findings)} of {len(findings)}"]
    parts += [f"{number} {word}" for number, word in ((refuted, "refuted"), (open_, "not shown")) if number]
    return ", ".join(parts)


def effects(criteria: list[dict[str, Any]], metric: str) -> str:
    """Of the first criteria; how many more there are."""
    shown = [effect(found, metric) for found in criteria[:MOST_EFFECTS]]
    more = len(criteria) - len(shown)
    return "; ".join([*shown, f"and {more} more"] if more else shown)


def effect(found: dict[str, Any], metric: str) -> str:
    """ "+85 [+60, +95] pt" for rates, plain numbers for returns."""
    rate = metric == "success"
    numbers = [100 * found[key] if rate else found[key] for key in ("estimate", "low", "high")]
    sign = "" if found["kind"] in ("level", "derived") else "+"
    shown = [f"{number:{sign}.3g}" for number in numbers]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]" + (" pt" if rate else "")


def text(rows: list[Row]) -> str:
    """For a terminal."""
    table = [HEADS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table
    )


def markdown(rows: list[Row]) -> str:
    """For docs/ledger.md."""
    head = f"| {' | '.join(HEADS)} | says |\n|{'---|' * (len(HEADS) + 1)}"
    body = "\n".join(f"| {' | '.join(row.cells())} | {row.description} |" for row in rows)
    why = (
        "Every claim, and what was seen when it was run. Lines are its criteria: one that is not met is refuted where "
        "its whole interval lies beyond the bound, and not shown where the interval reaches over it. Effect: what "
        "the first lines are about, with its 95 % interval over training seeds and paired starts, in percentage points "
        "for success rates. Budget: its name, training seeds x evaluation starts. Minutes: of one core, all jobs "
        "together. Written by `imitari ledger --out`."
    )
    return f"# Ledger\n\n{why}\n\n{head}\n{body}\n"
