"""Random windows, decoding, first batch and memory, beside LeRobot on the same LeRobotDataset v3 folders.

Two folders are written first, from the human Push-T demonstrations where they are present, else synthetic ones of the
same form: one with state only, one with 96x96 video besides. A sample is what a policy with a history of two and chunks
of 16 actions is trained on, drawn at random from the whole set. Each side is one process of one thread.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.demonstrations import CAMERA, pusht, synthetic
from benchmarks.harness import Line, Settings, Worker, WorkerFailed, compared, failed
from benchmarks.peers._environment import NotInstalled
from benchmarks.peers.lerobot import LEROBOT
from imitari.core.demos import Demos
from imitari.data.formats import lerobot

HISTORY, CHUNK, FPS, FRAME = 2, 16, 10, 96 * 96 * 3
STATE = "observation.state"
SAME = "Same folder, history 2, chunk 16, random order over the whole set, one process and thread a side."


@dataclass(frozen=True)
class Case:
    """One data set read with one memory budget."""

    name: str
    root: Path
    keys: tuple[str, ...]
    batch: int
    budget: int
    target: float | None

    def worker(self, peer: bool) -> Worker:
        words: dict[str, Any] = {"root": str(self.root), "keys": list(self.keys), "batch": self.batch}
        words |= {"budget": self.budget, "history": HISTORY, "chunk": CHUNK, "fps": FPS}
        return Worker("windows_lerobot.py", LEROBOT.python, **words) if peer else Worker("windows_imitari.py", **words)


def lines(settings: Settings) -> Iterator[Line]:
    try:
        LEROBOT.ensure()
    except NotInstalled as error:
        yield failed(Line("", "random windows", LEROBOT.title, "windows/s", target=100), str(error))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state, film, steps = write_sets(folder, 20 if settings.quick else 206)
        whole = 2 * steps * FRAME
        cases = (
            Case("random windows of state", state, (STATE,), 256, whole, 100),
            Case("random windows of video", film, (STATE, CAMERA), 64, whole, 50),
            Case("random windows of video, ten times the memory budget", film, (STATE, CAMERA), 64, whole // 20, 50),
        )
        with Caches(folder):
            for case in cases:
                try:
                    yield from sampling(case, settings)
                except WorkerFailed as error:
                    yield failed(Line("", case.name, LEROBOT.title, "windows/s", target=case.target), str(error))
        for case in cases[:2]:
            for cold in (True, False):
                yield first_batch(case, folder, cold, settings)
        yield decoding(cases[1], folder, settings)


def sampling(case: Case, settings: Settings) -> Iterator[Line]:
    """Windows a second beside its own item access and beside its loader, and the memory of both processes."""
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(case.worker(peer)) for peer in (False, True))
        steps = ours.ask(what="begin")["steps"]
        theirs.ask(what="begin")
        peaks: dict[bool, float] = {}

        def rate(peer: bool) -> float:
            found = (theirs if peer else ours).ask(what="sample", seconds=settings.seconds)
            peaks[peer] = found["peak"]
            return found["rate"]

        line = Line("", case.name, LEROBOT.title, "windows/s", target=case.target, note=SAME)
        line = compared(line, lambda: rate(False), lambda: rate(True), settings.repeats)
        yield replace(line, facts={"steps": steps, "batch of ours": case.batch, "budget in MB": case.budget >> 20})
        memory = Line("", f"{case.name}: peak memory", LEROBOT.title, "MB", note="Whole process, libraries included.")
        yield compared(memory, lambda: peaks[False], lambda: peaks[True], 1, larger=False)
        loader = Line("", f"{case.name}, its loader with 2 processes", LEROBOT.title, "windows/s", target=case.target)
        loader = replace(
            loader, note=f"DataLoader(num_workers=2, shuffle=True) of batch {case.batch}; ours: one process."
        )
        loading = stack.enter_context(case.worker(True))
        repeats, seconds = min(3, settings.repeats), settings.seconds
        yield compared(loader, lambda: rate(False), lambda: loading.ask(what="load", seconds=seconds)["rate"], repeats)


def first_batch(case: Case, folder: Path, cold: bool, settings: Settings) -> Line:
    """Seconds from opening to the first batch in a fresh process: with no cache at all, or with each side's own."""

    def once(peer: bool) -> float:
        with Caches(folder, keep=not cold), case.worker(peer) as worker:
            return worker.ask(what="begin")["seconds"]

    if not cold:  # the caches that the measured turns find
        once(False)
        once(True)
    name = f"first batch of {case.keys[-1].split('.')[1]}, {'no cache' if cold else 'cached before'}"
    line = Line("", name, LEROBOT.title, "s", note=FIRST)
    return compared(line, lambda: once(False), lambda: once(True), min(3, settings.repeats), larger=False)


FIRST = (
    "From opening the folder to a batch in hand, imports not counted, fresh process each time, files in the system's "
    "memory. Ours decodes every frame of a video set once before the first batch, LeRobot those of the batch."
)


def decoding(case: Case, folder: Path, settings: Settings) -> Line:
    """Frames a second of the pass that decodes everything."""
    steps = 0

    def ours() -> float:
        nonlocal steps
        with Caches(folder), case.worker(False) as worker:
            found = worker.ask(what="begin")
            steps = found["steps"]
            return steps / found["seconds"]

    def theirs() -> float:
        with case.worker(True) as worker:
            return steps / worker.ask(what="decode")["seconds"]

    note = "Ours: opening without a cache, frames stored decoded. LeRobot: reading every item in order, once."
    line = Line("", "every frame of the video once", LEROBOT.title, "frames/s", note=note)
    line = compared(line, ours, theirs, min(2, settings.repeats))
    return replace(line, facts={"frames": steps, "seconds of ours": steps / (line.ours or 1)})


class Caches:
    """Both sides' caches below `folder`, emptied first unless `keep`; the environment is restored after."""

    NAMES = ("IMITARI_CACHE", "HF_HOME", "HF_DATASETS_CACHE")

    def __init__(self, folder: Path, keep: bool = False) -> None:
        self.folder, self.keep = folder / "caches", keep
        self.before = {name: os.environ.get(name) for name in self.NAMES}

    def __enter__(self) -> None:
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        for name in self.NAMES:
            os.environ[name] = str(self.folder / name.lower())

    def __exit__(self, *_: object) -> None:
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def write_sets(folder: Path, episodes: int) -> tuple[Path, Path, int]:
    """(state only, with video, steps), from the same demonstrations."""
    demos = pusht(episodes)
    if demos is None:
        demos = Demos.concat([synthetic(seed, final=False) for seed in range(max(1, episodes // 3))])
    keys = [STATE, CAMERA]
    demos = Demos(demos.spec.select(keys), {key: demos.columns[key] for key in (*keys, "action")}, demos.table)
    numbers = {key: demos.columns[key] for key in (STATE, "action")}
    lerobot.write(Demos(demos.spec.select(keys[:1]), numbers, demos.table), folder / "state", fps=FPS)
    lerobot.write(demos, folder / "video", fps=FPS)
    return folder / "state", folder / "video", demos.steps
