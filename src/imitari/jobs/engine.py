"""Engines carry out jobs: local processes on one thread each, this very process, or a Ray cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imitari.core.errors import Missing, UserError
from imitari.core.progress import Progress
from imitari.jobs.folder import ERROR, LOG, finished, read_json

Engine = Callable[[Sequence[Path], int, bool], None]
TRAINING_SHARE = 0.85  # of a job's progress


def engine_named(name: str) -> Engine:
    """(folders of jobs, how many side by side, whether to show progress) -> None, when all are done."""
    if name == "ray":
        from imitari.jobs.engine_ray import ray_engine

        return ray_engine
    known: dict[str, Engine] = {"local": local_engine, "inline": inline_engine}
    if name not in known:
        raise UserError(f"there is no engine named '{name}': choose local, ray or inline")
    return known[name]


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "imitari.jobs", str(folder)]


def surroundings() -> dict[str, str]:
    """One thread a job: two threads that share their cores with other jobs are many times slower than one."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def local_engine(folders: Sequence[Path], together: int = 2, show: bool = True) -> None:
    """Processes on this machine, `together` side by side; they end when this process does.

    Raises:
        UserError, Missing: what the first failing job said; the others are stopped and resume in the next run.
    """
    waiting = [folder for folder in folders if not finished(folder)]
    running: dict[Path, subprocess.Popen[bytes]] = {}
    with Progress(f"percent of {len(folders)} jobs", 100, show=show, seconds=10.0) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < max(1, together):
                    folder = waiting.pop(0)
                    running[folder] = start(folder)
                time.sleep(0.05)
                for folder, process in list(running.items()):
                    if process.poll() is not None:
                        end(running.pop(folder))
                        raise_failure(folder, process.returncode)
                shares = {folder: share(folder) for folder in folders if folder in running}
                done = len(folders) - len(waiting) - len(running)
                note = ", ".join(f"{_short(folder)} {part:.0%}" for folder, part in shares.items())
                progress.update(int(100 * (done + sum(shares.values())) / len(folders)), note)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                end(process)


def inline_engine(folders: Sequence[Path], together: int = 1, show: bool = True) -> None:
    """In this process, one after the other: for looking into a job with a debugger, and for tests."""
    from imitari.jobs.carrying import carry_out

    for folder in folders:
        carry_out(folder, show)


def end(process: subprocess.Popen[bytes]) -> int:
    """Waits for a process and lets go of its leash; gives its exit status."""
    status = process.wait()
    if process.stdin:
        process.stdin.close()
    return status


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The job as a process that ends when this one does; what it says goes to its log."""
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [*command(folder), "--leash"], stdin=subprocess.PIPE, stdout=log, stderr=log, env=surroundings()
        )


def raise_failure(folder: Path, status: int) -> None:
    """Nothing when the job is done; else its own sentence, as the error that it was."""
    if finished(folder):
        return
    found: dict[str, Any] = read_json(folder / ERROR) if (folder / ERROR).exists() else {}
    if found.get("status") == Missing.status and "component" in found:
        component = str(found["component"])
        raise Missing(component, str(found["sentence"]).removeprefix(f"{component} is missing: "))
    sentence = found.get("sentence", f"ended with status {status} and without a word")
    hint = "" if found.get("status") == UserError.status else f" (see {folder / LOG})"
    raise UserError(f"job {_short(folder)}: {sentence}{hint}")


_COUNT = re.compile(rb"(\w[\w /-]*): (\d+)/(\d+)")


def share(folder: Path) -> float:
    """How much of a running job is done, from the last count in its log."""
    label, part = last_count(folder / LOG)
    whole = TRAINING_SHARE + (1 - TRAINING_SHARE) * part if label.endswith("steps") else TRAINING_SHARE * part
    return min(0.99, whole)  # it is done when it has ended


def last_count(log: Path) -> tuple[str, float]:
    """(label, share done) of the last "label: done/total" that a progress wrote into a log."""
    if not log.exists():
        return "", 0.0
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 2000))
        counts = _COUNT.findall(file.read())
    if not counts:
        return "", 0.0
    label, done, total = counts[-1]
    return label.decode(), int(done) / max(1, int(total))


def _short(folder: Path) -> str:
    return "/".join(folder.parts[-2:])


@contextmanager
def only_one(folder: Path) -> Generator[None]:
    """Refuses a second run in the same folder while the first is alive (on systems that can tell)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{folder}: another run is at work there: wait for it, or choose another --out") from error
        yield
