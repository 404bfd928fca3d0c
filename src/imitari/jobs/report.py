"""Reports of run folders."""

from pathlib import Path


def claim_report(out: Path) -> None: ...
