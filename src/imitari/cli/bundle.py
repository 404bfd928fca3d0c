"""Compare policies blind: numbered runs in random order, rated without knowing whose they are, joined at the end.

imitari bundle make RUN RUN --task TASK --episodes 20 --question "Was the block grasped?" --out STUDY
imitari bundle play STUDY                              in simulation; goes on where it was cut off
imitari bundle show STUDY                              the order of the runs, for whoever carries them out by hand
imitari bundle join STUDY --ratings ratings.csv        names, letters, task completion
"""

from __future__ import annotations

import argparse
from pathlib import Path

from imitari.core.starts import FIRST_TEST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    below = parser.add_subparsers(title="what to do", metavar="ACTION", dest="action", required=True)
    make = below.add_parser("make", help="draw a plan: one bundle a start, every policy once in it")
    make.add_argument("policies", nargs="+", help="folders that `imitari train --out` wrote (with --by-hand: names)")
    make.add_argument("--task", required=True, help="where")
    make.add_argument("--episodes", type=int, required=True, help="starts, fixed beforehand")
    make.add_argument("--seeds", type=int, default=FIRST_TEST, help=f"first start (default {FIRST_TEST})")
    make.add_argument(
        "--question", action="append", default=[], help="a milestone, as a yes or no question; repeatable"
    )
    make.add_argument("--seed", type=int, default=0, help="of the order (default 0)")
    make.add_argument("--by-hand", action="store_true", help="the runs are carried out elsewhere, as on a real robot")
    make.add_argument("--out", type=Path, required=True, help="folder to write")
    play = below.add_parser("play", help="carry the next runs out in simulation")
    play.add_argument("study", type=Path, help="folder that `imitari bundle make --out` wrote")
    play.add_argument("--bundles", type=int, help="so many (default: all that are left)")
    play.add_argument("--quiet", action="store_true", help="no progress")
    show = below.add_parser("show", help="the order of the runs")
    show.add_argument("study", type=Path, help="folder that `imitari bundle make --out` wrote")
    show.add_argument("--template", type=Path, help="write a ratings file to be filled in here")
    join = below.add_parser("join", help="put names to the runs, and compare")
    join.add_argument("study", type=Path, help="folder that `imitari bundle make --out` wrote")
    join.add_argument("--ratings", type=Path, nargs="+", default=[], help="of the rater who counts, and of a second")
    join.add_argument("--png", type=Path, help="draw the posteriors here, as violins")
    join.add_argument("--json", type=Path, help="also write the numbers here")


def run(args: argparse.Namespace) -> int:
    return {"make": _make, "play": _play, "show": _show, "join": _join}[args.action](args)


def _make(args: argparse.Namespace) -> int:
    from imitari.core.errors import UserError
    from imitari.jobs.bundling import make_study

    if args.episodes < 1 or args.seeds < 0 or args.seed < 0:
        raise UserError("--episodes must be at least 1, --seeds and --seed at least 0")
    starts = range(args.seeds, args.seeds + args.episodes)
    study = make_study(
        args.policies, args.task, starts, args.out, questions=args.question, seed=args.seed, by_hand=args.by_hand
    )
    print(
        f"{len(study.trials)} runs in {args.episodes} bundles: {args.out}/plan.json; do not look into {args.out}/sealed"
    )
    return 0


def _play(args: argparse.Namespace) -> int:
    from imitari.core.errors import UserError
    from imitari.jobs.bundling import Study, play

    if args.bundles is not None and args.bundles < 1:
        raise UserError(f"--bundles is {args.bundles}: it must be at least 1")
    left = play(Study.load(args.study), args.bundles, show=not args.quiet)
    print(f"{left} runs are left" if left else f"all runs are played: rate them on {args.study}/rate.html")
    return 0


def _show(args: argparse.Namespace) -> int:
    from imitari.core.files import replace_text
    from imitari.jobs.bundling import Study, plan_lines, ratings_template

    study = Study.load(args.study)
    print("\n".join(plan_lines(study)))
    if args.template:
        replace_text(args.template, ratings_template(study), "choose another --template")
    return 0


def _join(args: argparse.Namespace) -> int:
    from imitari.core.errors import UserError
    from imitari.core.files import replace_text
    from imitari.evaluate.violins import draw_violins
    from imitari.jobs.bundling import Study, facts, join

    if len(args.ratings) > 2:
        raise UserError("--ratings takes the file of the rater who counts, and that of a second one")
    found = join(Study.load(args.study), args.ratings)
    print("\n".join(found.lines()))
    ranking = found.success or found.judged
    if args.png and ranking:
        draw_violins(ranking, args.png)
    if args.json:
        replace_text(args.json, facts(found), "choose another --json")
    return 0
