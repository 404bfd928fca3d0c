"""What several arms of a claim need and one of them makes: the others wait for it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imitari.core.demos import Demos
from imitari.core.files import locked
from imitari.core.outcome import Outcome
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.jobs.claim import ArmRun

if TYPE_CHECKING:
    from imitari.jobs.training import TrainRequest


def shared(run: ArmRun, what: str) -> Path:
    """Folder of something that the arms of the run's training seed have in common."""
    return run.folder.parent.parent / "shared" / what.replace(" ", "-") / run.folder.name


@contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """One process at a time has `folder` (made where it is missing): the others wait for what it makes."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        yield


def trained_once(folder: Path, request: TrainRequest, data: Callable[[], Demos], task: Task | None = None) -> Path:
    """`folder` with the agent of a training, whose data are made only where it is not there yet."""
    from imitari.jobs.training import train

    with alone_in(folder):
        if not (folder / "agent.json").exists():
            train(request, folder, data(), task)
    return folder


def recorded_once(folder: Path, data: Callable[[], Demos], spec: Spec) -> Demos:
    """The data set in `folder`, made only where it is not there yet."""
    from imitari.data.opening import open_demos, save_demos

    with alone_in(folder):
        if not (folder / "done").exists():
            (folder / "demos.npz").unlink(missing_ok=True)  # of a run that was cut off
            save_demos(data(), folder / "demos.npz", "npz")
            (folder / "done").touch()
    return open_demos(folder / "demos.npz").with_spec(spec)


def told(run: ArmRun, value: float) -> list[Outcome]:
    """A number of a training seed as the `total` of all its starts: for arms that measure and do not act."""
    return [
        Outcome(run.arm, run.task.name, start, run.seed, True, value, value, 0, "terminated") for start in run.starts
    ]
