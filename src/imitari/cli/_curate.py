"""Actions of `imitari data` that give another data set: choosing, joining, scoring, leaving out, labelling."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imitari.cli._data import (
    SUFFIXES,
    as_json,
    console,
    numbers,
    opened,
    pair,
    put_json,
    reading,
    reading_options,
    saved,
    writing,
)

if TYPE_CHECKING:
    from imitari.data.curate.scores import Scores


def add_actions(below: Any) -> None:
    """The actions of this file, to the parsers of the verb."""
    merge = below.add_parser("merge", help="several sets of one spec as one")
    merge.add_argument("paths", nargs="+", metavar="PATH", help="two or more data sets, or Hub ids")
    writing(reading_options(merge))
    split = writing(reading(below.add_parser("split", help="OUT/train and OUT/held_out, by episode")))
    split.add_argument("--fraction", type=float, default=0.1, help="held-out share of the episodes (default 0.1)")
    split.add_argument("--seed", type=int, default=0, help="of the choice (default 0)")
    split.add_argument(
        "--marks", nargs="?", const="", metavar="KEY", help="one set with masks train and valid (KEY_train, KEY_valid)"
    )
    pieces = writing(reading(below.add_parser("cut", help="every episode as pieces of so many steps")))
    pieces.add_argument("--steps", type=int, required=True, metavar="N", help="of a piece; the last one has the rest")
    _filter_arguments(writing(reading(below.add_parser("filter", help="keep some episodes"))))
    _score_arguments(reading(below.add_parser("score", help="how good every episode and every step is")))
    _report_arguments(reading(below.add_parser("report", help="all that is known of it, on one page")))
    _trim_arguments(writing(reading(below.add_parser("trim", help="leave out steps inside episodes"))))
    bare = writing(reading(below.add_parser("strip", help="a copy without actions")))
    bare.add_argument("--share", type=float, default=1.0, help="of the episodes that lose theirs (default 1)")
    bare.add_argument("--seed", type=int, default=0, help="of the choice (default 0)")
    _label_arguments(writing(reading(below.add_parser("label", help="infer actions that are not known"))))


def _filter_arguments(parser: argparse.ArgumentParser) -> None:
    flags = parser.add_mutually_exclusive_group()
    flags.add_argument("--success", action="store_true", default=None, help="only successful ones")
    flags.add_argument("--failure", action="store_true", default=None, help="only failed ones")
    parser.add_argument("--episodes", type=numbers, metavar="0,3,10:20", help="only these numbers")
    parser.add_argument("--drop", type=numbers, metavar="4,7", help="not these numbers")
    parser.add_argument("--min-steps", type=int)
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--min-return", type=float)
    parser.add_argument("--max-return", type=float)
    parser.add_argument("--scores", type=Path, metavar="FILE", help="what `imitari data score --out` wrote")
    parser.add_argument("--best", type=float, default=0.5, help="share to keep by these scores (default 0.5)")
    parser.add_argument("--score", metavar="NAME", help="which of them (default: the first)")
    parser.add_argument("--finite", action="store_true", help="only those without NaN or infinity")
    parser.add_argument(
        "--source", type=pair, action="append", default=[], metavar="KEY=TEXT",
        help="what their source says, such as masks=better or task='lift the cup'; may be repeated",
    )  # fmt: skip


def _score_arguments(parser: argparse.ArgumentParser) -> None:
    _model_argument(parser, "that scores (default: measures without learning)")
    parser.add_argument("--neighbours", type=int, default=10, help="steps that one is compared with (default 10)")
    parser.add_argument("--by", metavar="KEY", help="also one line for each operator, mask, ...: a key of the source")
    parser.add_argument("--out", type=Path, metavar="FILE.npz", help="keep the scores, for `filter` and `trim`")
    parser.add_argument("--limit", type=int, default=5, help="episodes to show of either end (default 5)")
    as_json(parser)


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="where to write the page")
    parser.add_argument("--scores", type=Path, metavar="FILE", help="of `imitari data score --out` (default: made now)")
    parser.add_argument("--by", metavar="KEY", help="also one line for each operator, mask, ...: a key of the source")
    parser.add_argument(
        "--best", type=float, default=0.5, help="share of the episodes that counts as best (default 0.5)"
    )
    parser.add_argument("--scale", type=Path, metavar="DIR", help="folder of `imitari scale`: what more data is worth")
    parser.add_argument("--title", default="", help="headline")


def _trim_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--scores", type=Path, metavar="FILE", help="what `imitari data score --out` wrote")
    _model_argument(which, "that scores")
    which.add_argument(
        "--idle", type=float, metavar="SPEED", help="steps in which no number moves by this share of its range"
    )
    parser.add_argument("--lasting", type=int, default=3, help="steps that idleness must last (default 3)")
    parser.add_argument("--forget", action="store_true", help="keep the steps and only forget their actions")


def _model_argument(parser: Any, what: str) -> None:
    parser.add_argument("--model", type=Path, metavar="RUN", help=f"folder of a trained model {what}")


def _label_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="RUN", help="folder of a trained inverse model")
    parser.add_argument("--sampled", action="store_true", help="draw each action instead of taking the likeliest one")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default 0)")
    parser.add_argument(
        "--confidence", type=float, default=0.0, help="leave actions unknown that are inferred with less (default 0)"
    )
    parser.add_argument("--engine", default="local", help="local: this process; ray: shards on a cluster")
    parser.add_argument("--jobs", type=int, default=2, help="shards side by side with --engine ray (default 2)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf32", "bf16"], help="arithmetic")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _merge(args: argparse.Namespace) -> int:
    from imitari.data.curate.merge import merge

    saved(merge([opened(args, path) for path in args.paths]), args.out, args.to)
    return 0


def _split(args: argparse.Namespace) -> int:
    from imitari.core.errors import UserError
    from imitari.data.curate.split import marked, split

    if not 0 < args.fraction < 1:
        raise UserError(f"--fraction is {args.fraction:g}: it must be above 0 and below 1")
    if args.marks is not None:
        saved(marked(opened(args), args.fraction, args.seed, args.marks), args.out, args.to)
        return 0
    parts = split(opened(args), args.fraction, args.seed)
    suffix = {"npz": ".npz", "robomimic": ".hdf5"}.get(args.to or "", "")
    for name, part in zip(("train", "held_out"), parts, strict=True):
        saved(part, args.out / f"{name}{suffix}", args.to)
    return 0


def _cut(args: argparse.Namespace) -> int:
    from imitari.data.curate.cut import cut

    saved(cut(opened(args), args.steps), args.out, args.to)
    return 0


def _filter(args: argparse.Namespace) -> int:
    from imitari.data.curate.filter import Wanted, keep
    from imitari.data.curate.scores import Scores

    demos, best = opened(args), None
    if args.scores:
        scores = Scores.load(args.scores).of(demos, args.scores)
        name, _ = scores.episode(args.score)
        best = f"best {args.best:g} by {name}", scores.best(args.best, name)
    wanted = Wanted(
        episodes=args.episodes,
        drop=args.drop,
        success=True if args.success else False if args.failure else None,
        length=(args.min_steps, args.max_steps),
        returned=(args.min_return, args.max_return),
        source=tuple(args.source),
        finite=args.finite,
        scored=best,
    )
    saved(keep(demos, wanted), args.out, args.to)
    return 0


def _score(args: argparse.Namespace) -> int:
    from imitari.jobs.scoring import score

    scores = score(opened(args), args.model, args.neighbours, args.by)
    if args.out:
        scores.save(args.out)
    if args.json:
        told = {
            name: [None if value != value else value for value in values.tolist()]
            for name, values in scores.episodes.items()
        }
        put_json({"path": args.path, "about": scores.about, "episodes": told, "groups": scores.groups}, args.json)
    if args.json != "-":
        _print_scores(scores, args.limit)
        if args.out:
            print(
                f"{args.out}: keep the best half with `imitari data filter {args.path} --scores {args.out} --best 0.5`"
            )
    return 0


def _print_scores(scores: Scores, limit: int) -> None:
    from rich.table import Table

    from imitari.jobs.scoring import worth

    names = list(scores.episodes)
    table = Table(box=None, pad_edge=False)
    for title in ("episode", *(f"{name} ({scores.better[name]})" if name in scores.better else name for name in names)):
        table.add_column(title, justify="right")
    for group, means in scores.groups.items():
        table.add_row(group, *(f"{means[name]:.4g}" if name in means else "" for name in names))
    order = worth(scores)
    ends = order if len(order) <= 2 * limit else [*order[:limit], None, *order[-limit:]]
    for number in ends:
        shown = ["..."] * len(names) if number is None else [f"{scores.episodes[name][number]:.4g}" for name in names]
        table.add_row("..." if number is None else str(number), *shown)
    console().print(table)
    print("; ".join(f"{key}: {value}" for key, value in scores.about.items()))
    if scores.keep is not None:
        print(f"{int(scores.keep.sum()):,} of {len(scores.keep):,} steps would be kept")


def _report(args: argparse.Namespace) -> int:
    from imitari.jobs.scoring import data_report

    demos = opened(args)
    place = Path(args.path) if Path(args.path).exists() else None
    data_report(demos, args.out, args.scores, args.scale, args.by, args.best, args.title, place)
    print(f"report: {args.out}")
    return 0


def _trim(args: argparse.Namespace) -> int:
    from imitari.data.curate.trim import masked, trimmed
    from imitari.jobs.scoring import kept

    demos = opened(args)
    keep, why = kept(demos, args.scores, args.model, args.idle, args.lasting)
    saved((masked if args.forget else trimmed)(demos, keep, why), args.out, args.to)
    return 0


def _strip(args: argparse.Namespace) -> int:
    from imitari.data.curate.strip import strip

    saved(strip(opened(args), args.share, args.seed), args.out, args.to)
    return 0


def _label(args: argparse.Namespace) -> int:
    from imitari.jobs.labelling import LabelRequest, label

    request = LabelRequest(
        model=str(args.model),
        data=args.path,
        format=args.format,
        pixels=args.pixels,
        cameras=args.cameras,
        missing_video=args.missing_video,
        pick="sampled" if args.sampled else "argmax",
        seed=args.seed,
        confidence=args.confidence,
        device=args.device,
        precision=args.precision,
    )
    to = args.to or SUFFIXES.get(args.out.suffix, "lerobot")
    done = label(request, args.out, to, args.engine, args.jobs, show=not args.quiet)
    print(f"{args.out}: {len(done)} episodes, {done.steps:,} steps ({to}); {done.provenance.steps[-1]}")
    return 0


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "merge": _merge, "split": _split, "cut": _cut, "filter": _filter, "score": _score, "report": _report,
    "trim": _trim, "strip": _strip, "label": _label,
}  # fmt: skip
