"""Carrying out a job of any kind: an arm of a claim, or one amount of data of a scaling study."""

from __future__ import annotations

from pathlib import Path

from imitari.jobs.folder import JOB, read_json


def carry_out(folder: Path, show: bool = True) -> None:
    """Does the job in `folder`; nothing when it is done already."""
    kind = read_json(folder / JOB).get("kind", "arm")
    if kind == "amount":
        from imitari.jobs.scaling import carry_out as carry_out_amount

        carry_out_amount(folder, show)
        return
    from imitari.jobs.arm import carry_out as carry_out_arm

    carry_out_arm(folder, show)
