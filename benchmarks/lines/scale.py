"""What grows as a data set grows from 10^3 to 10^7 steps, and what a second process adds to a training.

The sets are random numbers (state of 10, action of 4, float32) in LeRobotDataset v3 folders of our own writer. A sample
is what a policy with a history of two and chunks of 16 actions is trained on, drawn at random from the whole set.
LeRobot reads the same folders up to 10^5 steps. Bounds stand where a peer would: a ratio above 1 is ahead of the bound.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Line, Settings, Worker, WorkerFailed, compared, failed, in_turns, quiet, with_numbers
from benchmarks.lines.windows import Caches
from benchmarks.peers._environment import NotInstalled
from benchmarks.peers.lerobot import LEROBOT
from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos, EpisodeTable
from imitari.core.spec import Feature, Spec
from imitari.data.formats import lerobot

STATE, STEPS, FPS = 10, 1000, 10  # numbers a state, steps an episode, steps a second
ROW = 4 * (STATE + 4)
BATCH, HISTORY, CHUNK = 64, 2, 16
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)
PEER = 10**5
BUDGET, SMALL = 1 << 30, 100 << 20
GROWTH, OPENING, SHARE = (
    1.5,
    2.0,
    500,
)  # bounds: times; seconds; MB beside the budget, interpreter and libraries included
WARM = 6_000  # batches that are not counted: they touch every page of a mapped file, which costs once
ROOM = 3 << 30  # of disk for 10^7 steps: the folder, the cache, and some


@dataclass(frozen=True)
class Set:
    """One folder."""

    steps: int
    root: Path

    @property
    def name(self) -> str:
        return f"10^{len(str(self.steps)) - 1} steps"

    def worker(self, budget: int = BUDGET) -> Worker:
        return Worker("scale_imitari.py", **self._words(), budget=budget)

    def beside_peer(self) -> Worker:
        return Worker("windows_imitari.py", **self._words(), budget=BUDGET)

    def peer(self) -> Worker:
        return Worker("windows_lerobot.py", LEROBOT.python, **self._words(), fps=FPS)

    def _words(self) -> dict[str, Any]:
        words: dict[str, Any] = {"root": str(self.root), "keys": ["observation.state"], "batch": BATCH}
        return {**words, "history": HISTORY, "chunk": CHUNK}


def lines(settings: Settings) -> Iterator[Line]:
    with tempfile.TemporaryDirectory(prefix="imitari-scale-") as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        sizes = SIZES[:3] if settings.quick else SIZES if free > ROOM else SIZES[:4]
        sets = [written(folder, steps) for steps in sizes]
        with Caches(folder):
            cold = [begun(one) for one in sets]
            yield from growth(sets, settings)
            yield opening(sets, cold, settings)
            yield memory(sets[-1], settings)
            yield from beside_lerobot([one for one in sets if one.steps <= PEER], settings)
        yield two_processes(sets[1], folder, settings)


def written(folder: Path, steps: int) -> Set:
    """A set of random numbers; nothing of it stays in memory."""
    draw = np.random.default_rng(steps)
    spec = Spec({"observation.state": Feature((STATE,))}, Feature((4,)))
    columns = {
        key: ArrayColumn(draw.standard_normal((steps, feature.shape[0]), np.float32))
        for key, feature in {**spec.obs, "action": spec.action}.items()
    }
    root = folder / f"steps-{steps}"
    lerobot.write(Demos(spec, columns, EpisodeTable.of([STEPS] * (steps // STEPS))), root, fps=FPS)
    return Set(steps, root)


def begun(one: Set) -> float:
    """Seconds from opening to the first batch, in a fresh process."""
    with one.worker() as worker:
        return worker.ask(what="begin")["seconds"]


def growth(sets: Sequence[Set], settings: Settings) -> Iterator[Line]:
    """Cost of a training step's batch on the largest set over that on 10^4 steps, within the memory budget and not."""
    for title, budget in (("", BUDGET), (", data beyond the memory budget", min(SMALL, sets[-1].steps * ROW // 5))):
        with ExitStack() as stack:
            workers = [stack.enter_context(one.worker(budget)) for one in sets]
            for worker in workers:
                worker.ask(what="begin")
                worker.ask(what="warm", count=WARM)
            scaled = _costs(workers, settings, settings.repeats, scaled=True)
            gathered = _costs(workers, settings, min(2, settings.repeats), scaled=False)
        line = Line("", f"cost of a batch, {sets[-1].name} over {sets[1].name}{title}", "bound", "times", note=SAME)
        line = with_numbers(line, _growths(scaled), [GROWTH] * len(scaled[0]), larger=False)
        facts: dict[str, Any] = {
            f"{one.name}, gathered alone": " us, ".join(
                f"{1e6 * statistics.median(side):.0f}" for side in (whole, part)
            )
            for one, whole, part in zip(sets, scaled, gathered, strict=True)
        }
        facts |= {"gathered alone, times": statistics.median(_growths(gathered))}
        facts |= {"data in MB": sets[-1].steps * ROW >> 20, "budget in MB": budget >> 20}
        yield replace(line, target=None if title else 1.0, facts=facts)


def _costs(workers: Sequence[Worker], settings: Settings, repeats: int, *, scaled: bool) -> list[list[float]]:
    """Worker by worker, turn by turn."""
    return in_turns(
        [
            lambda worker=worker: worker.ask(what="sample", seconds=settings.seconds / 4, scaled=scaled)["cost"]
            for worker in workers
        ],
        repeats,
    )


def _growths(costs: Sequence[Sequence[float]]) -> list[float]:
    return [after / before for before, after in zip(costs[1], costs[-1], strict=True)]


SAME = (
    f"Processor time of {BATCH} windows of history {HISTORY} and chunk {CHUNK}, in random order over the whole set, as "
    "scaled tensors."
)


def opening(sets: Sequence[Set], cold: Sequence[float], settings: Settings) -> Line:
    """Seconds from opening the largest set to its first batch, when it was opened before."""
    repeats = min(3, settings.repeats)
    warm = [[begun(one) for _ in range(repeats if one is sets[-1] else 1)] for one in sets]
    facts = {
        f"{one.name}, first and later": f"{first:.2f} s, {statistics.median(later):.2f} s"
        for one, first, later in zip(sets, cold, warm, strict=True)
    }
    note = "Fresh process, imports not counted. The first opening beyond 64 MB of numbers makes mapped files of them."
    line = Line("", f"first batch of {sets[-1].name}, opened before", "bound", "s", target=1.0, note=note, facts=facts)
    return with_numbers(line, warm[-1], [OPENING] * repeats, larger=False)


def memory(largest: Set, settings: Settings) -> Line:
    """Peak of a process that draws from all of a set that is larger than its budget."""
    budget = min(SMALL, largest.steps * ROW // 5)
    with largest.worker(budget) as worker:
        worker.ask(what="begin")
        peak = worker.ask(what="sample", seconds=2 * settings.seconds, scaled=True)["peak"]
    note = f"The bound is the budget and {SHARE} MB; the peak counts interpreter, libraries and mapped pages."
    line = Line("", f"peak memory, {largest.name}", "bound", "MB", target=1.0, note=note)
    line = with_numbers(line, [peak], [(budget >> 20) + SHARE], larger=False)
    return replace(line, facts={"data in MB": largest.steps * ROW >> 20, "budget in MB": budget >> 20})


def beside_lerobot(sets: Sequence[Set], settings: Settings) -> Iterator[Line]:
    """Windows a second, opening and memory on the sets that it reads in reasonable time."""
    try:
        LEROBOT.ensure()
        for one in sets:
            yield from _beside(one, settings)
    except (NotInstalled, WorkerFailed) as error:
        yield failed(Line("", "random windows as the set grows", LEROBOT.title, "windows/s"), str(error))


DRAWN = (
    "Same folder and windows, one process and thread a side; ours in batches, LeRobot's one by one as it gives them."
)


def _beside(one: Set, settings: Settings) -> Iterator[Line]:
    with one.beside_peer() as ours, one.peer() as theirs:
        first = [worker.ask(what="begin")["seconds"] for worker in (ours, theirs)]
        last: dict[int, dict[str, float]] = {}

        def rate(side: int) -> float:
            last[side] = (ours, theirs)[side].ask(what="sample", seconds=settings.seconds)
            return last[side]["rate"]

        line = Line("", f"random windows, {one.name}", LEROBOT.title, "windows/s", note=DRAWN)
        yield compared(line, lambda: rate(0), lambda: rate(1), min(2, settings.repeats))
        line = Line("", f"first batch, {one.name}", LEROBOT.title, "s", note="Fresh process, imports not counted.")
        yield with_numbers(line, first[:1], first[1:], larger=False)
        line = Line("", f"peak memory, {one.name}", LEROBOT.title, "MB", note="Whole process, libraries included.")
        yield with_numbers(line, [last[0]["peak"]], [last[1]["peak"]], larger=False)


def two_processes(one: Set, folder: Path, settings: Settings) -> Line:
    """Samples a second of one training: two processes under torchrun beside one."""
    steps = 200 if settings.quick else 600
    load = os.getloadavg()[0]
    rates: list[list[float]] = [[], []]
    for turn in range(1 if settings.quick else 2):
        for count in (1, 2) if turn % 2 == 0 else (2, 1):
            out = folder / f"run-{turn}-{count}"
            rates[count - 1].append(trained(one, out, steps, count))
    note = (
        f"`imitari train bc` (3 layers of 512, batch 256 a process) under torchrun, {os.cpu_count()} cores, one thread "
        f"a process; load of the machine before: {load:.1f}."
    )
    if load > 0.5:
        note += " The machine was not quiet."
    return with_numbers(Line("", "training on 2 processes", "1 process", "samples/s", note=note), rates[1], rates[0])


def trained(one: Set, out: Path, steps: int, processes: int) -> float:
    """Samples a second over the second half of a training."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    words = ["-m", "imitari", "train", "bc", "--data", str(one.root), "--out", str(out), "--quiet", "--device", "cpu"]
    words += ["--steps", str(steps), "--batch", "256", "--hidden", "512", "512", "512", "--chunk", str(CHUNK)]
    done = subprocess.run([sys.executable, *launch, *words], env=quiet(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkerFailed((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    pace = statistics.median(row["steps_per_second"] for row in rows if row["step"] > steps // 2)
    return pace * 256 * processes
