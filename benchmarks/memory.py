"""Peak resident memory with a data set ten times the byte budget.

A replay buffer of 64 x 64 pictures is written (uncompressed zarr), then fresh processes open it with the budget, decode
it into the frame cache, gather random windows from all of it, and train on them. Each reports its peak (VmHWM, which
counts mapped pages too). It must stay below budget + 500 MB, interpreter and libraries included.

    OMP_NUM_THREADS=1 python benchmarks/memory.py [--budget-mb 150] [--times 10]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ALLOWANCE = 500 << 20
SIDE, EPISODE = 64, 300
FRAME = SIDE * SIDE * 3
BATCH, BATCHES, STEPS = 64, 1500, 40


def write(place: Path, size: int) -> int:
    """A buffer of about `size` bytes of pictures; returns the number of steps."""
    import numpy as np
    import zarr

    episodes = -(-size // (FRAME * EPISODE))
    steps = episodes * EPISODE
    rng = np.random.default_rng(0)
    root = zarr.open_group(str(place), mode="w", zarr_format=2)
    pictures = root.create_array(
        "data/img", shape=(steps, SIDE, SIDE, 3), chunks=(EPISODE, SIDE, SIDE, 3), dtype="uint8", compressors=None
    )
    for begin in range(0, steps, EPISODE):
        pictures[begin : begin + EPISODE] = rng.integers(0, 256, (EPISODE, SIDE, SIDE, 3), np.uint8)
    root.create_array("data/state", data=rng.normal(size=(steps, 4)).astype(np.float32))
    root.create_array("data/action", data=rng.uniform(-1, 1, (steps, 2)).astype(np.float32))
    root.create_array("meta/episode_ends", data=np.arange(EPISODE, steps + 1, EPISODE))
    return steps


def gather(place: Path, budget: int) -> str:
    """Opens (and the first time decodes) the buffer, and draws random windows."""
    from imitari.data.opening import ReadOptions, open_demos
    from imitari.data.sampling import Batches, Windows

    batches = Batches(Windows(open_demos(place, options=ReadOptions(budget=budget)), (-1, 0), range(16)), BATCH, seed=0)
    batches(0)
    begun = time.perf_counter()
    for number in range(1, BATCHES):
        batches(number)
    rate = BATCH * (BATCHES - 1) / (time.perf_counter() - begun)
    return f"{rate:,.0f} windows/s of two pictures"


def train(place: Path, budget: int) -> str:
    """Cloning from pictures."""
    from imitari.data.opening import ReadOptions, open_demos
    from imitari.learn.method import method_named
    from imitari.learn.run import Run

    settings = {"steps": STEPS, "batch": BATCH, "hidden": (64,)}
    method_named("bc", settings).fit(open_demos(place, options=ReadOptions(budget=budget)), Run(show=False))
    return f"{STEPS} steps of batch {BATCH}"


def peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def child(stage: str, place: Path, budget: int) -> int:
    words = {"gather": gather, "train": train}[stage](place, budget)
    print(f"{peak()} {words}")
    return 0


def measure(stage: str, place: Path, budget: int) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, __file__, "--stage", stage, "--place", str(place), "--budget", str(budget)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    used, _, words = done.stdout.strip().partition(" ")
    return int(used), words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget-mb", type=int, default=150)
    parser.add_argument("--times", type=int, default=10)
    for hidden in ("stage", "place", "budget"):
        parser.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stage:
        return child(args.stage, Path(args.place), int(args.budget))
    budget = args.budget_mb << 20
    size = budget * args.times
    folder = Path(tempfile.mkdtemp(prefix="imitari-memory-"))
    try:
        needed, free = 2 * size + (1 << 30), shutil.disk_usage(folder).free
        if free < needed:
            print(f"{folder}: needs {needed >> 20:,} MB and {free >> 20:,} MB are free: set TMPDIR to another folder")
            return 2
        os.environ["IMITARI_CACHE"] = str(folder / "cache")
        steps = write(folder / "pictures.zarr", size)
        limit = budget + ALLOWANCE
        print(f"{steps:,} pictures, {steps * FRAME >> 20:,} MB; budget {budget >> 20} MB, limit {limit >> 20} MB")
        worst = 0
        for name, stage in (("decode and gather", "gather"), ("gather", "gather"), ("train", "train")):
            used, words = measure(stage, folder / "pictures.zarr", budget)
            worst = max(worst, used)
            print(f"{name:<20} peak {used >> 20:>5} MB   {words}", flush=True)
        print("holds" if worst <= limit else "DOES NOT HOLD")
        return 0 if worst <= limit else 1
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
