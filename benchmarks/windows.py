"""Random windows a second, side by side with LeRobot 0.4.4 on the same LeRobotDataset v3 folders.

    python benchmarks/windows.py [--repeats 5] [--seconds 2] [--json FILE]

Two folders are written first, from the human Push-T demonstrations where they are present, else synthetic ones of the
same form: one with state only, one with 96x96 video besides. A sample is what a policy with a history of two and chunks
of 16 actions is trained on. Both sides run in one process and one thread, take turns, and draw samples at random from
the whole set. The video set is measured twice: with all frames inside the memory budget, and with a budget of a tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _lerobot
from lerobot_interop import CAMERA, pusht, synthetic

from imitari.core.demos import Demos
from imitari.data.formats import lerobot
from imitari.data.opening import ReadOptions, open_demos
from imitari.data.sampling import Batches, Windows

HISTORY, CHUNK, FPS = (-1, 0), 16, 10

# Serves measurements: a line with seconds and a seed on the way in, samples a second on the way out.
PEER = """
import json, sys, time
import numpy as np, torch
torch.set_num_threads(1)
from lerobot.datasets.lerobot_dataset import LeRobotDataset
root, keys, fps, chunk = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
past = {key: [-1 / fps, 0.0] for key in keys}
ahead = [step / fps for step in range(chunk)]
data = LeRobotDataset("local/set", root=root, delta_timestamps={**past, "action": ahead})
data[0]
print("ready", flush=True)
for line in sys.stdin:
    seconds, seed = line.split()
    order = np.random.default_rng(int(seed)).integers(len(data), size=100_000)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < float(seconds):
        data[int(order[count])]
        count += 1
    print(json.dumps(count / (time.perf_counter() - start)), flush=True)
"""


class Peer:
    """LeRobot in its own process, on one folder."""

    def __init__(self, root: Path, keys: list[str]) -> None:
        arguments = [str(_lerobot.PYTHON), "-c", PEER, str(root), json.dumps(keys), str(FPS), str(CHUNK)]
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_lerobot.quiet()
        )
        self._answer()

    def rate(self, seconds: float, seed: int) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds} {seed}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise SystemExit("LeRobot's process ended: its message is above")
        return line

    def close(self) -> None:
        self._process.communicate()


def our_rate(demos: Demos, batch: int, seconds: float, seed: int) -> float:
    """Samples a second of the library's own batches, in the random order that training uses."""
    batches = Batches(Windows(demos, HISTORY, range(CHUNK)), batch, seed)
    batches(0)
    number, start = 1, time.perf_counter()
    while time.perf_counter() - start < seconds:
        batches(number)
        number += 1
    return (number - 1) * batch / (time.perf_counter() - start)


def measure(
    root: Path, keys: list[str], batch: int, settings: argparse.Namespace, share: float = 2.0
) -> dict[str, Any]:
    """Interleaved: ours, theirs, ours, theirs ... `share`: the memory budget as a part of the frames' size."""
    demos = open_demos(root, options=ReadOptions(cameras=()))
    budget = int(share * demos.steps * 96 * 96 * 3)
    demos = open_demos(root, options=ReadOptions(budget=budget)).select(keys)
    repeats, seconds = settings.repeats, settings.seconds
    peer = Peer(root, keys)
    ours, theirs = [], []
    for repeat in range(repeats):
        ours.append(our_rate(demos, batch, seconds, repeat))
        theirs.append(peer.rate(seconds, repeat))
    peer.close()
    ratios = [one / two for one, two in zip(ours, theirs, strict=True)]
    return {
        "episodes": len(demos),
        "steps": demos.steps,
        "observations": keys,
        "batch": batch,
        "budget": budget,
        "ours": ours,
        "lerobot": theirs,
        "median ours": statistics.median(ours),
        "median lerobot": statistics.median(theirs),
        "ratio": statistics.median(ratios),
        "smallest ratio": min(ratios),
    }


def write_sets(folder: Path, episodes: int) -> tuple[Path, Path]:
    """(state only, with video), from the same demonstrations."""
    demos = pusht(episodes)
    if demos is None:
        demos = Demos.concat([synthetic(seed, final=False) for seed in range(max(1, episodes // 3))])
    keys = ["observation.state", CAMERA]
    demos = Demos(demos.spec.select(keys), {key: demos.columns[key] for key in (*keys, "action")}, demos.table)
    state = {key: demos.columns[key] for key in ("observation.state", "action")}
    lerobot.write(Demos(demos.spec.select(keys[:1]), state, demos.table), folder / "state", fps=FPS)
    lerobot.write(demos, folder / "video", fps=FPS)
    return folder / "state", folder / "video"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="a measurement")
    parser.add_argument("--episodes", type=int, default=206, help="of the human demonstrations")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    settings = parser.parse_args()
    _lerobot.ensure()
    with tempfile.TemporaryDirectory() as name:
        os.environ["IMITARI_CACHE"] = str(Path(name) / "cache")
        state, film = write_sets(Path(name), settings.episodes)
        start = time.perf_counter()
        open_demos(film)
        once = time.perf_counter() - start
        found = {
            "state": measure(state, ["observation.state"], 256, settings),
            "video": measure(film, ["observation.state", CAMERA], 64, settings),
            "video beyond the budget": measure(film, ["observation.state", CAMERA], 64, settings, share=0.1),
        }
    found["video"]["seconds to decode once"] = once
    for title, entry in found.items():
        print(
            f"{title}: {entry['median ours']:,.0f} samples/s, LeRobot {entry['median lerobot']:,.1f}: ratio "
            f"{entry['ratio']:,.0f} (smallest of {settings.repeats}: {entry['smallest ratio']:,.0f}); "
            f"{entry['episodes']} episodes, {entry['steps']:,} steps"
        )
    print(f"video: decoding once took {once:.1f} s")
    if settings.json:
        settings.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
