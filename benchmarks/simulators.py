"""Steps a second of every suite: `python benchmarks/simulators.py [--count 20] [--seconds 3] [NAME ...]`.

Each task is stepped with its scripted expert where it has one (else with random actions), first with its state alone,
then with 64 x 64 images. One process, one thread. Prints a table; `--json FILE` keeps the numbers.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.errors import UserError
from imitari.core.task import RandomActor, Task
from imitari.envs import task_named

TASKS = (
    "two_ways track pusht metaworld/reach-v3 metaworld/pick-place-v3 gym/HalfCheetah-v5 gym/CartPole-v1 "
    "robotics/PointMaze_Medium-v3 robotics/FetchPush-v4 robotics/AdroitHandDoor-v1 robotics/FrankaKitchen-v1 "
    "dmc/walker-walk minigrid/BabyAI-GoToLocal-v0 kinder/Motion2D-p2"
)


def rate(task: Task, count: int, seconds: float) -> tuple[float, float]:
    """(environment steps a second, seconds to make `count` environments); worlds start anew when all have ended."""
    began = time.perf_counter()
    world = task.make(count)
    made = time.perf_counter() - began
    try:
        actor: Any = task.expert(world)
    except UserError:
        actor = RandomActor(task.spec)
    steps, seed, began = 0, 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        obs, _ = world.reset(seed=range(seed, seed + count))
        memory, running = actor.reset(count, seed), np.ones(count, bool)
        while running.any() and time.perf_counter() - began < seconds:
            action, memory = actor.act(obs, memory)
            steps += int(running.sum())
            obs, _, terminated, truncated, _ = world.step(action)
            running &= ~(terminated | truncated)
        seed += count
    pace = steps / (time.perf_counter() - began)
    world.close()
    return pace, made


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", default=TASKS.split())
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[dict[str, Any]] = []
    print(f"{'task':36} {'make [s]':>9} {'state/s':>9} {'64 px/s':>9}")
    for name in args.names:
        row: dict[str, Any] = {"task": name, "count": args.count}
        try:
            row["state"], row["make"] = rate(task_named(name), args.count, args.seconds)
        except UserError as error:
            print(f"{name:36} {error}")
            continue
        try:
            row["pixels"], _ = rate(task_named(name, pixels=64), args.count, args.seconds)
        except UserError:
            row["pixels"] = None  # no camera, or no graphics library
        shown = "-" if row["pixels"] is None else f"{row['pixels']:.0f}"
        print(f"{name:36} {row['make']:9.2f} {row['state']:9.0f} {shown:>9}", flush=True)
        rows.append(row)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
