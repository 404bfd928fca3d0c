"""Jobs on a Ray cluster: a local one, or the one that RAY_ADDRESS names."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imitari.core.errors import UserError, missing_extra
from imitari.core.progress import Progress
from imitari.jobs.engine import end, raise_failure, start
from imitari.jobs.folder import JOB, finished

LEFT_BEHIND = "resume"  # resume points stay on the worker


def ray_engine(folders: Sequence[Path], together: int = 2, show: bool = True) -> None:
    """Submits every unfinished job, one core each, at most `together` at a time.

    A worker that sees the job's folder (a shared file system) works in it and can resume there; any other works in a
    temporary folder and sends the files back.

    Raises:
        Missing: Ray is not installed.
        UserError: what the first failing job said.
    """
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        raise missing_extra("ray", "ray") from error
    waiting = [folder for folder in folders if not finished(folder)]
    if not waiting:
        return
    if not ray.is_initialized():
        # RAY_ADDRESS is read by Ray itself.
        ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
    remote: Any = ray.remote(num_cpus=1, max_retries=0)(work)
    running: dict[Any, Path] = {}
    began = len(folders) - len(waiting)
    with Progress("jobs", len(folders), show=show, seconds=10.0) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < max(1, together):
                    folder = waiting.pop(0)
                    running[remote.remote(str(folder.resolve()), (folder / JOB).read_text())] = folder
                ready, _ = ray.wait(list(running), timeout=1.0)
                for reference in ready:
                    folder = running.pop(reference)
                    try:
                        status, files = ray.get(reference)
                    except RayError as error:
                        first = str(error).strip().split("\n")[0]
                        raise UserError(f"{folder}: the Ray worker failed ({first}): run the same again") from error
                    take_back(folder, files)
                    raise_failure(folder, status)
                    began += 1
                progress.update(began)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def work(path: str, job: str) -> tuple[int, dict[str, bytes]]:
    """On the worker: (exit status, files to send back)."""
    folder = Path(path)
    if (folder / JOB).exists() and (folder / JOB).read_text() == job:
        return end(start(folder)), {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / JOB).write_text(job)
        status = end(start(folder))
        files = {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file() and LEFT_BEHIND not in file.relative_to(folder).parts
        }
    return status, files


def take_back(folder: Path, files: dict[str, bytes]) -> None:
    """Writes what a worker sent; done.json last, so that a half-written folder is not a finished job."""
    for name in sorted(files, key=lambda name: name == "done.json"):
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{folder}: a worker sent a file outside the job's folder ('{name}')")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files[name])
