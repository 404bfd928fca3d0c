"""List the tasks, or explain one."""

from __future__ import annotations

import argparse

from imitari.core import registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a suite, or explain this task (loads its simulator)")


def run(args: argparse.Namespace) -> int:
    suites = registry.entries("envs")
    if args.name and (args.name not in suites or suites[args.name].load().ids() == [""]):
        return _explain(args.name)
    for suite, entry in suites.items():
        if args.name in (None, suite):
            print(f"{suite}: {entry.description}")
            for name in entry.load().ids():
                print(f"  {suite}/{name}" if name else f"  {suite}")
    return 0


def _explain(name: str) -> int:
    from imitari.envs import task_named

    task = task_named(name)
    print(f"{task.name}: {task.description}")
    print(f"  at most {task.limit} steps; {'has' if task.expert_for else 'no'} scripted expert")
    if task.behaviours:
        names = f": {', '.join(task.behaviours)}" if len(task.behaviours) <= 24 else ""
        print(f"  {len(task.behaviours)} ways of being solved that are told apart{names}")
    if task.symmetries:
        names = ", ".join(symmetry.name for symmetry in task.symmetries)
        print(f"  symmetries: {names} (`imitari train --symmetry` adds the images of the demonstrations)")
    for key, feature in {**task.spec.obs, "action": task.spec.action}.items():
        names = f" ({', '.join(feature.names)})" if feature.names and len(feature.names) <= 12 else ""
        print(f"  {key:<28} {feature.kind} {feature.shape}{names}")
    return 0
