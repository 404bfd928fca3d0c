"""Compare trained agents on the same starts and say which is better, or what would decide.

  imitari compare RUN_A RUN_B [--episodes 200 --seeds 100000] [--json FILE]
  imitari compare RUN_A RUN_B --sequential --episodes 200     stops as soon as the winner is clear
  imitari compare RUN_A RUN_B RUN_C --episodes 200 --png FILE all pairs at one error rate, with letters

Outcomes that the runs have already are used, those that lack are made. The exit status is 0 whoever wins.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_a", type=Path, help="folder that `imitari train --out` wrote")
    parser.add_argument("run_b", type=Path, help="the other")
    parser.add_argument("more", type=Path, nargs="*", metavar="run", help="further ones: all pairs are compared")
    parser.add_argument("--task", help="default: the task of the trainings")
    parser.add_argument("--episodes", type=int, help="starts (default: those evaluated already, else 100)")
    parser.add_argument("--seeds", type=int, help="first start (default 100000)")
    parser.add_argument("--sequential", action="store_true", help="stop early with a kept error rate")
    parser.add_argument(
        "--test", help="mcnemar (default) or barnard; with --sequential lai (default), evidence or savi"
    )
    parser.add_argument(
        "--milestones", type=int, default=0, help="compare completion of so many milestones (best reward) by Welch"
    )
    parser.add_argument("--png", type=Path, help="draw the posteriors here, as violins")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    if args.more or args.test or args.milestones or args.png:
        return _all_pairs(args)
    import json

    from imitari.core.files import replace_text
    from imitari.jobs.comparison import compare_runs

    found = compare_runs(
        args.run_a,
        args.run_b,
        task=args.task,
        first=args.seeds,
        episodes=args.episodes,
        sequential=args.sequential,
        show=not args.quiet,
    )
    pairs = found.pairs
    print(f"{found.task}, {pairs.count} paired starts ({found.starts[0]} to {found.starts[-1]})")
    for name, rate, wins in (
        (found.names[0], found.rate_a, pairs.both + pairs.only_a),
        (found.names[1], found.rate_b, pairs.both + pairs.only_b),
    ):
        print(f"  {name}: {wins} of {pairs.count} succeeded: {rate.estimate:.1%} [{rate.low:.1%}, {rate.high:.1%}]")
    print(
        f"  both {pairs.both}, only {found.names[0]} {pairs.only_a}, only {found.names[1]} {pairs.only_b}, "
        f"neither {pairs.neither}"
    )
    if found.returns is not None:
        gap = found.returns
        print(
            f"  mean return, {found.names[1]} - {found.names[0]}: {gap.estimate:+.4g} [{gap.low:+.4g}, {gap.high:+.4g}]"
        )
    print(found.sentence())
    if args.json:
        replace_text(args.json, json.dumps(found.to_json(), indent=1), "choose another --json")
    return 0


def _all_pairs(args: argparse.Namespace) -> int:
    """Any number of runs: a table with letters."""
    import json

    from imitari.core.files import replace_text
    from imitari.evaluate.violins import draw_violins
    from imitari.jobs.comparison import rank_runs

    found = rank_runs(
        [args.run_a, args.run_b, *args.more],
        task=args.task,
        first=args.seeds,
        episodes=args.episodes,
        sequential=args.sequential,
        test=args.test,
        milestones=args.milestones,
        show=not args.quiet,
    )
    print("\n".join(found.lines()))
    if args.png:
        draw_violins(found, args.png)
        print(f"violins: {args.png}")
    if args.json:
        replace_text(args.json, json.dumps(found.to_json(), indent=1), "choose another --json")
    return 0
