"""What every benchmark line shares: measuring two sides in turns, and what a line says."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parent.parent
WORKERS = Path(__file__).parent / "workers"


@dataclass(frozen=True)
class Settings:
    """How thoroughly to measure.

    Attributes:
        repeats: turns of each pair.
        seconds: of one measurement of a rate.
        quick: a short pass that proves the code path; its numbers are not written to docs.
    """

    repeats: int = 5
    seconds: float = 3.0
    quick: bool = False


@dataclass(frozen=True)
class Line:
    """One comparison. Where a side could not be measured its value and the ratio are None and the note says why.

    Attributes:
        group: file in `benchmarks/lines` that measured it.
        name: what was compared.
        peer: the other side, with its version.
        unit: of `ours` and `theirs`, such as "updates/s" or "s".
        ours, theirs: medians over the turns.
        ratio: median of the turns' ratios; above 1: we are ahead, whether small or large values are better.
        low, high: smallest and largest ratio of a turn.
        target: that the ratio should reach, None where there is none.
        precision: "fp32", "bf16", "as shipped", or "" where numbers play no part.
        note: what was equal, and what was not.
        facts: further measured numbers (parameters, share of the matrix-product limit, memory, ...).
        circumstances: machine, versions, commit.
    """

    group: str
    name: str
    peer: str
    unit: str
    ours: float | None = None
    theirs: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    target: float | None = None
    precision: str = ""
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    circumstances: dict[str, str] = field(default_factory=dict[str, str])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compared(
    line: Line, ours: Callable[[], float], theirs: Callable[[], float], repeats: int, *, larger: bool = True
) -> Line:
    """`line` with its numbers: ours, theirs, theirs, ours, ... so that a drift of the machine meets both sides.

    Args:
        line: names, target and note.
        ours, theirs: one measurement each.
        repeats: turns.
        larger: whether larger values are better (rates), or smaller ones (times).
    """
    mine, other = in_turns([ours, theirs], repeats)
    return with_numbers(line, mine, other, larger=larger)


def in_turns(sides: Sequence[Callable[[], float]], repeats: int) -> list[list[float]]:
    """Measurements of each side, forwards and backwards by turns: a, b, c, c, b, a, a, ..."""
    found: list[list[float]] = [[] for _ in sides]
    for turn in range(repeats):
        order = list(zip(found, sides, strict=True))
        for values, side in order if turn % 2 == 0 else reversed(order):
            values.append(side())
    return found


def with_numbers(line: Line, mine: Sequence[float], other: Sequence[float], *, larger: bool = True) -> Line:
    """`line` with medians and ratios of measurements that were made in the same turns."""
    ratios = [(one / two if larger else two / one) for one, two in zip(mine, other, strict=True)]
    return Line(
        **{
            **asdict(line),
            "ours": statistics.median(mine),
            "theirs": statistics.median(other),
            "ratio": statistics.median(ratios),
            "low": min(ratios),
            "high": max(ratios),
        }
    )


class WorkerFailed(Exception):
    """A worker ended; the message is the last line that it printed."""


class Worker:
    """A measuring process: a script of `benchmarks/workers` in some Python environment.

    It gives one JSON object a line for one JSON object a line (see `workers/_serve.py`) and waits while others measure.

    Args:
        script: file name in `benchmarks/workers`.
        python: its interpreter; None: this one.
        settings: what the script is set up with.
    """

    def __init__(self, script: str, python: Path | None = None, **settings: Any) -> None:
        words = [str(python or sys.executable), str(WORKERS / script), json.dumps(settings)]
        # A file, since a pipe that nobody reads would stop a talkative worker.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=quiet()
        )
        self.ready = self._answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def rate(self, count: int, by: Literal["seconds", "processor"] = "seconds") -> float:
        """Units a second over `count` of them, by the clock or of processor time."""
        return count / float(self.ask(count=count)[by])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read()[-4000:].strip()
        print(said, file=sys.stderr, flush=True)
        raise WorkerFailed((said.splitlines() or ["it ended without a word"])[-1])

    def close(self) -> None:
        self._process.communicate()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def quiet() -> dict[str, str]:
    """Environment of a worker: one thread, no network, no chatter, no screen."""
    words = {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "SVT_LOG": "1",
        "MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl"),
    }
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | words


def count_for(rate: Callable[[int], float], seconds: float, first: int = 3) -> int:
    """How many units take about `seconds`, from a warm-up and a trial of `first`."""
    rate(first)
    return max(1, math.ceil(rate(first) * seconds))


@cache
def circumstances() -> dict[str, str]:
    """Machine, versions and commit."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    versions = {name: metadata.version(name) for name in ("imitari", "torch", "numpy")}
    return {
        "machine": f"{model}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "commit": commit.stdout.strip() or "unknown",
        **versions,
    }


def failed(line: Line, reason: str) -> Line:
    """A line whose peer could not be measured: reported, not dropped."""
    return Line(**{**asdict(line), "note": " ".join(f"{line.note} Not measured: {reason}".split())})


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.mean(math.log(value) for value in values))
