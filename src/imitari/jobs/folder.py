"""A job: a folder with job.json, carried out by `python -m imitari.jobs FOLDER`, finished when done.json is there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imitari.core.errors import UserError
from imitari.core.files import replace_text

JOB, DONE, ERROR, LOG = "job.json", "done.json", "error.json", "log.txt"


@dataclass(frozen=True)
class Job:
    """One arm of a claim with one training seed, as plain values: equal jobs give equal outcomes.

    Attributes:
        claim, arm, budget: names.
        seed: of the training.
        task: its name.
        starts: first evaluation start and their number.
        settings: of the arm's method, complete; preset beside them.
        demos: the budget's settings for the data.
    """

    claim: str
    arm: str
    budget: str
    seed: int
    task: str
    starts: tuple[int, int]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    preset: str | None = None
    demos: dict[str, Any] = field(default_factory=dict[str, Any])

    def name(self) -> str:
        return f"{self.arm}/seed-{self.seed}"


def prepare(folder: Path, job: Job) -> None:
    """Writes job.json, or checks that the one that is there asks for the same.

    Raises:
        UserError: when the folder belongs to another job, or cannot be written.
    """
    lay_out(folder, asdict(job))


def lay_out(folder: Path, job: dict[str, Any]) -> None:
    """As `prepare`, for a job as plain values (`kind` tells those that are no arm of a claim)."""
    wanted = json.loads(json.dumps(job))
    path = folder / JOB
    if path.exists():
        found = read_json(path)
        if found != wanted:
            changed = sorted(key for key in wanted if found.get(key) != wanted[key])
            raise UserError(
                f"{path}: field '{changed[0] if changed else 'job'}' differs from what is asked for now: choose "
                "another --out, or delete that folder"
            )
        return
    write_json(path, wanted)


def read_job(folder: Path) -> Job:
    data: dict[str, Any] = read_json(folder / JOB)
    try:
        data["starts"] = tuple(data["starts"])
        return Job(**data)
    except (TypeError, KeyError) as error:
        raise UserError(f"{folder / JOB}: is damaged ({error}): delete that folder and run again") from error


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: is missing or damaged ({error}): delete that folder and run again") from error


def write_json(path: Path, data: Any) -> None:
    """Atomically: either the old text or all of the new."""
    replace_text(path, json.dumps(data, indent=1) + "\n")


def finished(folder: Path) -> bool:
    return (folder / DONE).exists()
