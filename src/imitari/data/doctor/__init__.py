"""The doctor: finds what is wrong with demonstrations before anybody trains on them. One check a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from imitari.core.demos import Demos
from imitari.core.errors import unknown
from imitari.data.doctor import episodes, motion, pictures, values
from imitari.data.doctor._steps import Finding, Severity, Steps

__all__ = ["CHECKS", "Finding", "Severity", "examine"]

Check = Callable[[Steps], list[Finding]]

CHECKS: dict[str, Check] = {
    "not_finite": values.not_finite,
    "constant": values.constant,
    "outside_bounds": values.outside_bounds,
    "unit_jump": values.unit_jump,
    "wrong_length": episodes.wrong_length,
    "duplicate": episodes.duplicate,
    "success_contradiction": episodes.success_contradiction,
    "timestamps": episodes.timestamps,
    "idle": episodes.idle,
    "action_lag": motion.action_lag,
    "missing_video": pictures.missing_video,
    "frozen_video": pictures.frozen_video,
}
"""Name -> check. Every one gives its findings in the order of the episodes and never changes the data."""


def examine(demos: Demos, checks: Iterable[str] | None = None, folder: Path | None = None) -> list[Finding]:
    """All findings, the severest first.

    Args:
        demos: what to look at. Image columns are read by "frozen_video" alone.
        checks: names from CHECKS; None: all.
        folder: where the data set lies, for "missing_video"; None: what the provenance says.

    Raises:
        UserError: when a check has an unknown name.
    """
    names = list(CHECKS) if checks is None else list(checks)
    for name in names:
        if name not in CHECKS:
            raise unknown("check", name, CHECKS)
    steps = Steps(demos, folder or Path(demos.provenance.path))
    found = [finding for name in names for finding in CHECKS[name](steps)]
    order: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda finding: order[finding.severity])
