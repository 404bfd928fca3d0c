"""The whole path in a few minutes: demonstrations, two methods, a paired verdict, a report.

  imitari demo --out runs/demo

Every step is a command that is printed; a demo that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from imitari.core.errors import UserError

TASK = "metaworld/pick-place-v3"
DEMONSTRATIONS = 8
STEPS = 2_000
METHODS: dict[str, tuple[str, ...]] = {
    "bc": ("--head", "mse", "--batch", "128"),
    "flow_policy": ("--width", "128", "--depth", "3", "--batch", "128", "--ema", "0.99"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder (default runs/demo)")
    parser.add_argument("--task", help="another task that has a scripted expert")
    parser.add_argument("--demonstrations", type=int, help="episodes of the expert (default 8)")
    parser.add_argument("--episodes", type=int, default=100, help="starts that both are evaluated on (default 100)")
    parser.add_argument("--steps", type=int, help="optimiser steps of each training (default: chosen for 2 cores)")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    began = time.monotonic()
    out: Path = args.out
    task = args.task or TASK
    demos = out / "demonstrations"
    print(f"1. Demonstrations of a scripted expert in {task}")
    if not (demos / "meta" / "info.json").exists():
        count = args.demonstrations or DEMONSTRATIONS
        _one(["collect", task, "--episodes", str(count), "--out", str(demos)])
    print("2. Two methods learn from them side by side, and are evaluated on the same starts")
    steps = ("--steps", str(args.steps or STEPS))
    runs = {method: out / method for method in METHODS}
    _train_and_evaluate({method: [*words, *steps] for method, words in METHODS.items()}, runs, demos, task, args)
    print("3. The verdict")
    _conclude(list(runs.values()), out / "report.html", task)
    print(f"{(time.monotonic() - began) / 60:.1f} minutes. Open {out / 'report.html'}")
    return 0


def _train_and_evaluate(
    settings: dict[str, list[str]], runs: dict[str, Path], demos: Path, task: str, args: argparse.Namespace
) -> None:
    """Two stages of two processes; the log of each lies in its folder."""
    common = ["--data", str(demos), "--task", task]
    trainings = {
        method: ["train", method, *common, "--out", str(runs[method]), *words] for method, words in settings.items()
    }
    evaluations = {
        method: ["evaluate", str(folder), "--task", task, "--episodes", str(args.episodes)]
        for method, folder in runs.items()
    }
    for label, stage in (("training", trainings), ("evaluation", evaluations)):
        _together(label, stage, runs, show=not args.quiet)


def _together(label: str, commands: dict[str, list[str]], runs: dict[str, Path], show: bool) -> None:
    from imitari.core.progress import Progress
    from imitari.jobs.engine import last_count, surroundings

    processes: dict[str, subprocess.Popen[bytes]] = {}
    logs = {name: runs[name] / f"{label}.log" for name in commands}
    try:
        for name, words in commands.items():
            print(f"   imitari {' '.join(words)}", flush=True)
            logs[name].parent.mkdir(parents=True, exist_ok=True)
            with logs[name].open("wb") as log:
                command = [sys.executable, "-m", "imitari", *words]
                processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=surroundings())
        with Progress(f"{label}, percent", 100, show=show, seconds=10.0) as progress:
            while any(process.poll() is None for process in processes.values()):
                time.sleep(0.2)
                shares = {
                    name: 1.0 if process.poll() is not None else last_count(logs[name])[1]
                    for name, process in processes.items()
                }
                note = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
                progress.update(min(99, int(100 * sum(shares.values()) / len(shares))), note)
            progress.update(100)
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.terminate()
    for name, process in processes.items():
        if process.returncode:
            raise _failure(f"{label} of {name}", logs[name].read_text(errors="replace"), process.returncode)


def _one(words: list[str]) -> None:
    print(f"   imitari {' '.join(words)}", flush=True)
    from imitari.jobs.engine import surroundings

    done = subprocess.run([sys.executable, "-m", "imitari", *words], env=surroundings(), check=False)
    if done.returncode:
        raise _failure(words[0], "", done.returncode)


def _failure(what: str, log: str, status: int) -> UserError:
    lines = [line for line in log.strip().splitlines() if line.strip()]
    sentence = lines[-1].removeprefix("imitari: ") if lines else f"ended with status {status}"
    error = UserError(f"{what}: {sentence}")
    error.status = status if status in (2, 3) else 2
    return error


def _conclude(runs: list[Path], report: Path, task: str) -> None:
    from imitari.jobs.comparison import compare_runs
    from imitari.jobs.report import runs_report

    found = compare_runs(runs[0], runs[1])
    for name, rate, wins in (
        (found.names[0], found.rate_a, found.pairs.both + found.pairs.only_a),
        (found.names[1], found.rate_b, found.pairs.both + found.pairs.only_b),
    ):
        print(f"   {name}: {wins} of {found.pairs.count}: {rate.estimate:.0%} [{rate.low:.0%}, {rate.high:.0%}]")
    print(f"   {found.sentence()}")
    note = runs_report(runs, report, title=f"{runs[0].name} and {runs[1].name} in {task}")
    if note:
        print(f"   {note}")
