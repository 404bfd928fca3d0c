"""Record demonstrations of a task's scripted expert.

  imitari collect TASK --episodes N --out DIR [--expert scripted|random] [--noise gaussian:0.1] [--pixels 64]

Every finished episode is kept at once: the same command again goes on where it was cut off.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", help="see `imitari tasks`")
    parser.add_argument("--out", required=True, type=Path, help="folder (or .npz file) of the data set")
    parser.add_argument("--episodes", type=int, default=50, help="wanted in the set (default 50)")
    parser.add_argument(
        "--expert", default="scripted", choices=["scripted", "random"], help="who acts (default scripted)"
    )
    parser.add_argument("--seeds", type=int, default=0, metavar="FIRST", help="seed of the first start (default 0)")
    parser.add_argument(
        "--noise",
        metavar="KIND:AMOUNT",
        help="gaussian:0.1 (standard deviation as a share of the action's range), random:0.1 (share of steps with a "
        "uniform action) or hold:0.1 (share of steps that repeat the last action)",
    )
    parser.add_argument(
        "--noise-recorded",
        default="executed",
        choices=["executed", "intended"],
        help="which action is stored as `action`; the other is stored beside it (default executed)",
    )
    parser.add_argument("--keep-failures", action="store_true", help="failed episodes belong to the set too")
    parser.add_argument("--pixels", type=int, help="side of camera images to record")
    parser.add_argument("--cameras", nargs="+", help="which cameras (default: the task's)")
    parser.add_argument(
        "--format", choices=["lerobot", "npz"], help="of the data set (default: from --out, else lerobot)"
    )
    parser.add_argument("--batch", type=int, default=50, help="environments stepped together (default 50)")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    from imitari.core.errors import UserError
    from imitari.core.progress import Progress
    from imitari.data.collecting import Noise, Request, collect
    from imitari.envs import task_named

    if args.episodes < 1 or args.batch < 1:
        raise UserError(f"--episodes {args.episodes}, --batch {args.batch}: both must be at least 1")
    if args.seeds < 0:
        raise UserError(f"--seeds is {args.seeds}: it must be at least 0")
    if args.pixels is not None and args.pixels < 1:
        raise UserError(f"--pixels is {args.pixels}: it must be at least 1")
    if args.noise:
        Noise.parse(args.noise)
    if args.noise and args.expert == "random":
        raise UserError("--noise has no meaning with --expert random: leave one of them out")
    options: dict[str, Any] = {}
    if args.pixels:
        options["pixels"] = args.pixels
    if args.cameras:
        options["cameras"] = tuple(args.cameras)
    task = task_named(args.task, **options)
    if args.expert == "scripted" and task.expert_for is None:
        raise UserError(f"task '{task.name}' has no scripted expert: use --expert random, or choose another task")
    request = Request(
        task=task.name,
        expert=args.expert,
        episodes=args.episodes,
        first=args.seeds,
        noise=args.noise,
        recorded=args.noise_recorded,
        keep_failures=args.keep_failures or args.expert == "random",
        options=tuple(sorted(options.items())),
        batch=args.batch,
    )
    form = args.format or ("npz" if args.out.suffix == ".npz" else "lerobot")
    out = args.out.with_name(args.out.name + ".npz") if form == "npz" and args.out.suffix != ".npz" else args.out
    with Progress(f"{task.name}: episodes", args.episodes, show=not args.quiet) as progress:
        result = collect(request, task, out, form, progress.update)
    return _report(result, out, args.episodes, request.keep_failures)


def _report(result: Any, out: Path, wanted: int, keep_failures: bool) -> int:
    count = len(result.demos)
    again = f", {result.resumed} of them recorded before" if result.resumed else ""
    print(f"{out}: {count} episodes, {result.demos.steps} steps{again}")
    if result.failed:
        some = ", ".join(map(str, result.failed[:8])) + (", ..." if len(result.failed) > 8 else "")
        what = "kept" if keep_failures else "left out"
        print(f"{len(result.failed)} episodes failed ({what}); seeds of their starts: {some}")
    if count < wanted:
        print(f"only {count} of {wanted} episodes succeeded in time: use less noise, or --keep-failures")
        return 1
    return 0
