"""Idle frames of human Push-T demonstrations: how many there are, and how many of them a vote leaves out, as a table.

  python benchmarks/idle_frames.py [--episodes 60] [--steps 300] [--seeds 1000] [--picture strips.png]

Idle: neither pusher nor block moves by 0.005 of its range a step, for 3 steps (`data/curate/idle`); no learning.
The vote (`data/curate/voting`) keeps what all videos have in common, by vectors of temporal cycle-consistency
with actions (scaled: they are places and have no direction) and without.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.demonstrations import DATA
from imitari.core.demos import Demos
from imitari.data.curate.idle import idle, speeds
from imitari.data.curate.strips import draw_strips
from imitari.data.opening import ReadOptions, open_demos
from imitari.learn.method import method_class
from imitari.learn.run import Run

STATE, SIDE = "observation.state", 24
SLOWEST, LASTING = 5e-3, 3


def pauses(demos: Demos) -> np.ndarray:
    """Prints how many steps are idle by several thresholds; gives those of the standard one."""
    fastest = speeds(demos, [STATE])
    print("| slower than (share of the range a step) | steps in a row | idle steps | share | episodes with any |")
    print("|---|---|---|---|---|")
    owner = np.repeat(np.arange(len(demos)), demos.table.length)
    for slowest, lasting in ((1e-3, 1), (1e-3, LASTING), (SLOWEST, 1), (SLOWEST, LASTING), (SLOWEST, 10)):
        still = idle(demos, [STATE], slowest, lasting)
        any_idle = len(np.unique(owner[still]))
        print(f"| {slowest:g} | {lasting} | {still.sum()} | {still.mean():.3f} | {any_idle} of {len(demos)} |")
    print(f"\nmedian of the fastest number's speed: {np.median(fastest):.4f} of its range a step\n")
    return idle(demos, [STATE], SLOWEST, LASTING)


def left_out(demos: Demos, actions: bool, steps: int, seed: int) -> tuple[np.ndarray, float]:
    """(steps,) bool of what the vote leaves out, and seconds."""
    began = time.perf_counter()
    settings = {"actions": actions, "direction": False, "channels": (16, 32), "embedding": 64, "steps": steps}
    pictures = demos.select(list(demos.spec.images))
    agent = method_class("tcc").from_json(settings).fit(pictures, Run(seed=seed, show=False, precision="fp32"))
    keep = agent.method.scored(agent, pictures).keep
    assert keep is not None
    return ~keep, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=60, help="the first so many are voted on")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1000])
    parser.add_argument("--picture", type=Path, help="where to draw what was left out")
    args = parser.parse_args()
    demos = open_demos(DATA / "pusht_human", options=ReadOptions(pixels=SIDE))
    pauses(demos)
    part = demos.keep(range(min(args.episodes, len(demos))), "first episodes")
    still = idle(part, [STATE], SLOWEST, LASTING)
    print(f"{len(part)} episodes, {part.steps} steps, {still.mean():.3f} idle\n")
    print("| vectors | seed | left out | of idle steps | of the others | seconds |\n|---|---|---|---|---|---|")
    for seed in args.seeds:
        for actions in (True, False):
            gone, seconds = left_out(part, actions, args.steps, seed)
            words = "with actions" if actions else "without"
            shares = f"{gone.mean():.2f} | {gone[still].mean():.2f} | {gone[~still].mean():.2f}"
            print(f"| {words} | {seed} | {shares} | {seconds:.0f} |", flush=True)
            if args.picture and actions:
                draw_strips(part, ~gone, args.picture, "Push-T: what the vote keeps; marked: idle", still)


if __name__ == "__main__":
    main()
