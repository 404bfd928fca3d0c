"""Roll a trained agent out and say how often it succeeds, with the interval.

  imitari evaluate RUN --task TASK --episodes 100 --seeds 100000 [--json FILE]
  imitari evaluate RUN --task pushing --episodes 320 --repeats 16     20 starts, 16 rollouts each: the ways seen

Every episode is one row of RUN/outcomes.parquet; the same command again goes on where it was cut off.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imitari.core.starts import FIRST_TEST

if TYPE_CHECKING:
    from imitari.core.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder that `imitari train --out` wrote")
    parser.add_argument("--task", help="default: the task of the training")
    parser.add_argument(
        "--shift", help="changed conditions, as in observation:0.01,action:0.9 (see the task `shifted`)"
    )
    parser.add_argument("--source", help="data set of a mixture whose part to play (default: the one of the task)")
    parser.add_argument("--episodes", type=int, default=100, help="starts to try (default 100)")
    parser.add_argument("--seeds", type=int, default=FIRST_TEST, help=f"first start (default {FIRST_TEST})")
    parser.add_argument("--repeats", type=int, help="episodes that share a start, where the task tells its ways apart")
    parser.add_argument("--together", type=int, default=50, help="environments stepped together (default 50)")
    parser.add_argument("--json", type=Path, help="also write the summary here")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    import json

    from imitari.core.errors import UserError
    from imitari.core.files import replace_text
    from imitari.evaluate.summary import summary
    from imitari.jobs.evaluation import OUTCOMES, evaluate
    from imitari.jobs.surroundings import task_of
    from imitari.learn.agent import Agent

    for flag, value, least in (
        ("episodes", args.episodes, 1),
        ("seeds", args.seeds, 0),
        ("together", args.together, 1),
        ("repeats", 1 if args.repeats is None else args.repeats, 1),
    ):
        if value < least:
            raise UserError(f"--{flag} is {value}: it must be at least {least}")
    agent = Agent.load(args.run, args.device)
    name = args.task or agent.facts.get("task")
    if not name:
        raise UserError(f"{args.run}: was trained without a task: say where to evaluate with --task")
    name = f"shifted/{args.shift}/{name}" if args.shift else name
    task = task_of(agent, name, args.source, repeats=args.repeats)
    starts = range(args.seeds, args.seeds + args.episodes)
    outcomes = evaluate(agent, task, starts, args.run / OUTCOMES, together=args.together, show=not args.quiet)
    facts = {"run": str(args.run), "agent": agent.identity(), **summary(outcomes, task)}
    _print(task.name, facts)
    parts: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        parts.setdefault(task.about(outcome.start)["task_name"], []).append(outcome)
    if len(parts) > 1:
        facts["parts"] = {part: summary(rows) for part, rows in sorted(parts.items())}
        for part, found in facts["parts"].items():
            _print(f"  {part}", found)
    if args.json:
        replace_text(args.json, json.dumps(facts, indent=1), "choose another --json")
    return 0


def _print(name: str, facts: dict[str, Any]) -> None:
    from imitari.evaluate.summary import in_words

    print(
        f"{name}: {facts['successes']} of {facts['episodes']} succeeded: {facts['success']:.1%} "
        f"[{facts['low']:.1%}, {facts['high']:.1%}] (95 % Wilson); mean return {facts['return']:.4g}, "
        f"mean best reward {facts['best_reward']:.4g}, mean length {facts['length']:.1f}"
    )
    if "behaviours" in facts:
        print(f"  {in_words(facts['behaviours'])}")
