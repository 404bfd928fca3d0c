"""Ask what more data is worth: train on growing parts of a data set and fit how the gap to perfect falls.

  imitari scale METHOD --data PATH --task TASK --sizes 10,25,50,100 --out DIR
  imitari scale METHOD --data PATH --metric error --sizes 10,25,50 --out DIR       without a world: held-out actions
  imitari scale METHOD --data PATH --axis operator --sizes 1,2,4 --each 20 ...     more operators, 20 each

The same command again goes on where it was cut off. Exit status 0 whatever comes out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from imitari.cli._parser import add_settings, chosen_settings
from imitari.cli.claim import seed_range
from imitari.core import registry
from imitari.core.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", help="see `imitari methods`; its settings become flags")
    parser.add_argument("--data", action="append", help="path or Hub id of demonstrations; repeat to join several")
    parser.add_argument("--sizes", type=_sizes, required=True, metavar="N,N,...", help="amounts, at least 3, ascending")
    parser.add_argument(
        "--axis", default="demos", metavar="KEY",
        help="what is added: demos (default), or a key of the episodes' source (environment, object, operator, ...)",
    )  # fmt: skip
    parser.add_argument("--each", type=int, help="demonstrations of every item (default: all)")
    parser.add_argument("--task", help="where to evaluate: see `imitari tasks`")
    parser.add_argument("--episodes", type=int, default=100, help="starts to evaluate on (default 100)")
    parser.add_argument(
        "--metric", default="success", choices=["success", "total", "best", "error"], help="what counts"
    )
    parser.add_argument(
        "--perfect", type=float, default=1.0, help="total or best reward with nothing missing (default 1)"
    )
    parser.add_argument("--held", type=float, default=0.2, help="share held out with --metric error (default 0.2)")
    parser.add_argument("--more", type=int, default=20, help="ask what so many more are worth (default 20)")
    parser.add_argument("--seeds", type=seed_range, default=(0, 1, 2), help="training seeds (default 0:3)")
    parser.add_argument("--preset", help="a named group of settings (small, paper)")
    parser.add_argument("--obs", nargs="+", help="observations to use (default: all that the task has too)")
    parser.add_argument("--pixels", type=int, help="side of camera images; without it images are left out")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side, one core each (default 2)")
    parser.add_argument("--engine", default="local", help="local, ray (a cluster), inline (this process)")
    parser.add_argument("--out", required=True, type=Path, help="folder of the study")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def add_settings_for(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Adds the settings of the method, which is the first word, as flags."""
    if words and words[0] in registry.entries("methods"):
        from imitari.learn.method import method_class

        add_settings(parser, method_class(words[0]))


def run(args: argparse.Namespace) -> int:
    from imitari.jobs.scaling import SCALE, ScaleRequest, run_scale
    from imitari.jobs.training import TrainRequest

    if not args.data:
        raise UserError("a study of data needs data: give --data PATH")
    train = TrainRequest(
        method=args.method, settings=chosen_settings(args), preset=args.preset, data=tuple(args.data), task=args.task,
        obs=tuple(args.obs) if args.obs else None, pixels=args.pixels,
    )  # fmt: skip
    request = ScaleRequest(
        train=train, sizes=args.sizes, axis=args.axis, each=args.each, seeds=args.seeds, episodes=args.episodes,
        metric=args.metric, perfect=args.perfect, held=args.held, more=args.more, engine=args.engine,
        together=args.jobs, show=not args.quiet,
    )  # fmt: skip
    found = run_scale(request, args.out)
    for size, gap in zip(found["sizes"], found["gaps"], strict=True):
        each = ", ".join(f"{score:.3g}" for score in found["scores"][str(size)])
        print(f"  {size:>6} {found['axis']}: {found['metric']} {each} by training seed; missing {gap:.3g}")
    print(f"{found['sentence']}; correlation of the logarithms {found['correlation']:.2f}: {args.out / SCALE}")
    return 0


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"needs numbers such as 10,25,50, not '{text}'") from error
