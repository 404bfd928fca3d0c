"""Look at demonstrations, check them, convert them, and choose among them.

imitari data info PATH                                 what it holds
imitari data doctor PATH                               what is wrong with it (exit status 1: errors were found)
imitari data show PATH --episode 3 --png look.png      one episode
imitari data convert PATH --out NEW.hdf5               to lerobot (folder), robomimic (.hdf5) or npz (.npz)
imitari data filter PATH --success --out NEW           keep some episodes
imitari data merge PATH PATH --out NEW                 several sets as one
imitari data split PATH --fraction 0.1 --out NEW       a training part and a held-out part, by episode
imitari data strip PATH --share 0.9 --out NEW          a copy without the actions of some or all episodes
imitari data label PATH --model RUN --out NEW          infer actions that are not known, with a trained inverse model
imitari data formats                                   what can be read and written
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imitari.core.demos import Demos
    from imitari.data.doctor import Finding

SUFFIXES = {".npz": "npz", ".hdf5": "robomimic", ".h5": "robomimic"}
SEVERITY_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    below = parser.add_subparsers(title="what to do", metavar="ACTION", dest="action", required=True)
    info = _reading(below.add_parser("info", help="what a data set holds"))
    _json(info)
    doctor = _reading(below.add_parser("doctor", help="what is wrong with it"))
    doctor.add_argument("--only", type=_words, metavar="CHECK,...", help="only these checks (default: all)")
    doctor.add_argument("--limit", type=int, default=10, help="lines a check in the table (default 10; --json has all)")
    _json(doctor)
    show = _reading(below.add_parser("show", help="one episode, or the list of them"))
    show.add_argument("--episode", type=int, help="which one; without it: the list")
    show.add_argument("--png", type=Path, help="also draw its columns and frames here")
    convert = _writing(_reading(below.add_parser("convert", help="write it in another format")))
    convert.add_argument("--episodes", type=_numbers, metavar="0,3,10:20", help="only these")
    merge = below.add_parser("merge", help="several sets of one spec as one")
    merge.add_argument("paths", nargs="+", metavar="PATH", help="two or more data sets, or Hub ids")
    _writing(_reading_options(merge))
    split = _writing(_reading(below.add_parser("split", help="OUT/train and OUT/held_out, by episode")))
    split.add_argument("--fraction", type=float, default=0.1, help="held-out share of the episodes (default 0.1)")
    split.add_argument("--seed", type=int, default=0, help="of the choice (default 0)")
    _filter_arguments(_writing(_reading(below.add_parser("filter", help="keep some episodes"))))
    bare = _writing(_reading(below.add_parser("strip", help="a copy without actions")))
    bare.add_argument("--share", type=float, default=1.0, help="of the episodes that lose theirs (default 1)")
    bare.add_argument("--seed", type=int, default=0, help="of the choice (default 0)")
    _label_arguments(_writing(_reading(below.add_parser("label", help="infer actions that are not known"))))
    below.add_parser("formats", help="what can be read and written")


def run(args: argparse.Namespace) -> int:
    actions = {
        "info": _info, "doctor": _doctor, "show": _show, "convert": _convert, "merge": _merge, "split": _split,
        "filter": _filter, "formats": _formats, "strip": _strip, "label": _label,
    }  # fmt: skip
    return actions[args.action](args)


def _reading(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("path", metavar="PATH", help="a data set of any readable format, or a Hub id")
    return _reading_options(parser)


def _reading_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--format", help="reader (default: recognised; `imitari data formats` lists them)")
    parser.add_argument(
        "--cameras", type=_words, metavar="NAME,...", help="image columns to read, or none (default: all)"
    )
    parser.add_argument("--pixels", type=int, help="resize images to this side")
    parser.add_argument(
        "--missing-video", choices=["camera", "episodes"], default="camera", help="what to leave out where files lack"
    )
    return parser


def _writing(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--out", type=Path, required=True, help="where to write; must not exist")
    parser.add_argument("--to", help="format to write (default: by the suffix of --out; a folder is lerobot)")
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="as JSON, to the terminal or to a file")


def _filter_arguments(parser: argparse.ArgumentParser) -> None:
    flags = parser.add_mutually_exclusive_group()
    flags.add_argument("--success", action="store_true", default=None, help="only successful ones")
    flags.add_argument("--failure", action="store_true", default=None, help="only failed ones")
    parser.add_argument("--episodes", type=_numbers, metavar="0,3,10:20", help="only these numbers")
    parser.add_argument("--drop", type=_numbers, metavar="4,7", help="not these numbers")
    parser.add_argument("--min-steps", type=int)
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--min-return", type=float)
    parser.add_argument("--max-return", type=float)
    parser.add_argument("--finite", action="store_true", help="only those without NaN or infinity")
    parser.add_argument(
        "--source", type=_pair, action="append", default=[], metavar="KEY=TEXT",
        help="what their source says, such as masks=better or task='lift the cup'; may be repeated",
    )  # fmt: skip


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


def _words(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(part for part in text.split(",") if part)


def _numbers(text: str) -> list[int]:
    out: list[int] = []
    for part in text.split(","):
        first, colon, last = part.partition(":")
        try:
            out += range(int(first), int(last)) if colon else [int(first)]
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"needs numbers and ranges such as 0,3,10:20, not '{text}'") from error
    return out


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"needs KEY=TEXT, not '{text}'")
    return key, value


def _open(args: argparse.Namespace, path: str | None = None) -> Demos:
    from imitari.data.opening import ReadOptions, open_demos

    options = ReadOptions(pixels=args.pixels, missing_video=args.missing_video, cameras=args.cameras)
    return open_demos(path or args.path, args.format, options)


def _save(demos: Demos, out: Path, to: str | None) -> None:
    from imitari.data.opening import save_demos

    to = to or SUFFIXES.get(out.suffix, "lerobot")
    save_demos(demos, out, to)
    print(f"{out}: {len(demos)} episodes, {demos.steps:,} steps ({to})")


def _put_json(data: Any, where: str) -> None:
    import json

    text = json.dumps(data, indent=1)
    if where == "-":
        print(text)
    else:
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        Path(where).write_text(text, encoding="utf-8")


def _info(args: argparse.Namespace) -> int:
    from rich.table import Table

    from imitari.data.curate.describe import describe

    about = describe(_open(args))
    if args.json:
        _put_json(about, args.json)
        return 0
    length, success = about["length"], about["success"]
    lines = [
        f"{about['path']} ({about['format']}{_size(about['bytes_on_disk'])})",
        f"{about['episodes']:,} episodes, {about['steps']:,} steps; "
        f"{length['min']} to {length['max']} steps each, median {length['median']:g}",
        f"final observation known in {about['final_observations']} of {about['episodes']} episodes; success: "
        + (f"{success['succeeded']} of {success['known']} that say so" if success["known"] else "not recorded"),
        *(f"- {step}" for step in about["history"]),
    ]
    table = Table(box=None, pad_edge=False)
    for title in ("column", "role", "shape", "type", "min", "mean", "max", ""):
        right = title in ("min", "mean", "max")
        table.add_column(title, justify="right" if right else "left", no_wrap=title != "", overflow="fold")
    for key, entry in about["features"].items():
        shape = "x".join(map(str, entry["shape"]))
        kind = entry["dtype"] if entry["kind"] == "number" else f"{entry['kind']} {entry['dtype']}"
        numbers = [f"{entry[what]:.4g}" if what in entry else "" for what in ("min", "mean", "max")]
        rest = f"{entry['texts']} texts, first: {entry['first'][:40]}" if "texts" in entry else entry.get("unit", "")
        rest = f"{entry['not_finite']} not finite" if entry.get("not_finite") else rest
        table.add_row(key, entry["role"], shape, kind, *numbers, rest)
    console = _console()
    console.print("\n".join(lines), markup=False, soft_wrap=True)
    console.print(table)
    return 0


def _console() -> Any:
    """The terminal; in a file or a pipe, lines wide enough for a table."""
    import sys

    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def _size(count: int | None) -> str:
    return "" if count is None else f", {count / 1e6:,.1f} MB"


def _doctor(args: argparse.Namespace) -> int:
    from imitari.data.doctor import examine

    demos = _open(args)
    findings = examine(demos, args.only, Path(args.path) if Path(args.path).exists() else None)
    counts = {what: sum(one.severity == what for one in findings) for what in SEVERITY_COLOURS}
    if args.json:
        found = [one.to_json() for one in findings]
        about = {"path": args.path, "episodes": len(demos), "steps": demos.steps, "counts": counts, "findings": found}
        _put_json(about, args.json)
    if args.json != "-":
        _print_findings(findings, args.limit)
        said = ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items())
        print(f"{args.path}: {said} in {len(demos)} episodes of {demos.steps:,} steps")
    return 1 if counts["error"] else 0


def _print_findings(findings: list[Finding], limit: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not findings:
        return
    table = Table(box=None, pad_edge=False)
    for title in ("", "check", "episode", "frame", "column", "what was seen, and what to do"):
        right = title in ("episode", "frame")
        table.add_column(title, justify="right" if right else "left", no_wrap=not title.startswith("what"))
    shown: dict[tuple[str, str], int] = {}
    for one in findings:
        kind = (one.severity, one.check)
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] > limit:
            continue
        colour = SEVERITY_COLOURS[one.severity]
        place = ["" if value is None else str(value) for value in (one.episode, one.frame, one.column)]
        text = f"{escape(one.message)}\n[dim]{escape(one.remedy)}[/dim]"
        table.add_row(f"[{colour}]{one.severity}[/{colour}]", one.check, *place, text)
    for (severity, check), count in shown.items():
        if count > limit:
            table.add_row(severity, check, "", "", "", f"and {count - limit} more (--limit, --json)")
    _console().print(table)


def _show(args: argparse.Namespace) -> int:
    from imitari.core.errors import UserError

    demos = _open(args)
    if args.episode is None:
        _list(demos)
        return 0
    if not 0 <= args.episode < len(demos):
        raise UserError(f"{args.path}: there is no episode {args.episode}: choose from 0 to {len(demos) - 1}")
    title = _print_episode(demos, args.episode)
    if args.png:
        from imitari.data.curate.draw import draw

        draw(demos, args.episode, args.png, title)
        print(f"drawn: {args.png}")
    return 0


def _list(demos: Demos) -> None:
    from imitari.core.demos import ENDINGS
    from imitari.data.curate.filter import returns

    totals = returns(demos) if demos.has_reward else None
    print(f"{'episode':>7} {'steps':>6} {'return':>9} {'success':>7} {'ended':>10}  source")
    for number in range(len(demos)):
        total = f"{totals[number]:9.4g}" if totals is not None else "        -"
        flag = {1: "yes", 0: "no"}.get(int(demos.table.success[number]), "-")
        ended = ENDINGS[int(demos.table.ended[number])]
        source = _short(demos.table.source[number], 60)
        print(f"{number:>7} {demos.table.length[number]:>6} {total} {flag:>7} {ended:>10}  {source}")


def _print_episode(demos: Demos, number: int) -> str:
    import numpy as np

    from imitari.core.demos import ENDINGS
    from imitari.core.spec import Feature
    from imitari.data.curate.draw import DIMENSIONS, curves, sparkline

    flag = {1: "success", 0: "failure"}.get(int(demos.table.success[number]), "success not recorded")
    title = f"episode {number} of {len(demos)}: {demos.table.length[number]} steps, {flag}"
    print(f"{title}, {ENDINGS[int(demos.table.ended[number])]} end")
    for key, value in demos.table.source[number].items():
        print(f"  {key}: {_short(value, 100)}")
    for key, values in curves(demos, number).items():
        print(key)
        feature = demos.spec.obs.get(key) or (demos.spec.action if key == "action" else Feature((1,)))
        for dimension in range(min(values.shape[1], DIMENSIONS)):
            name = feature.names[dimension] if feature.names and dimension < len(feature.names) else str(dimension)
            part = np.asarray(values[:, dimension], np.float64)
            print(f"  {name:>16} {part.min():10.4g} {sparkline(part)} {part.max():.4g}")
        if values.shape[1] > DIMENSIONS:
            print(f"  {'':>16} and {values.shape[1] - DIMENSIONS} more dimensions")
    for key, feature in demos.spec.images.items():
        print(f"{key}: {'x'.join(map(str, feature.shape))} images")
    return title


def _short(value: Any, width: int) -> str:
    text = ", ".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else str(value)
    text = text.replace("\n", " ")
    return text if len(text) <= width else text[: width - 3] + "..."


def _convert(args: argparse.Namespace) -> int:
    from imitari.data.curate.filter import Wanted, keep

    demos = _open(args)
    _save(demos if args.episodes is None else keep(demos, Wanted(episodes=args.episodes)), args.out, args.to)
    return 0


def _merge(args: argparse.Namespace) -> int:
    from imitari.data.curate.merge import merge

    _save(merge([_open(args, path) for path in args.paths]), args.out, args.to)
    return 0


def _split(args: argparse.Namespace) -> int:
    from imitari.core.errors import UserError
    from imitari.data.curate.split import split

    if not 0 < args.fraction < 1:
        raise UserError(f"--fraction is {args.fraction:g}: it must be above 0 and below 1")
    parts = split(_open(args), args.fraction, args.seed)
    suffix = {"npz": ".npz", "robomimic": ".hdf5"}.get(args.to or "", "")
    for name, part in zip(("train", "held_out"), parts, strict=True):
        _save(part, args.out / f"{name}{suffix}", args.to)
    return 0


def _filter(args: argparse.Namespace) -> int:
    from imitari.data.curate.filter import Wanted, keep

    wanted = Wanted(
        episodes=args.episodes,
        drop=args.drop,
        success=True if args.success else False if args.failure else None,
        length=(args.min_steps, args.max_steps),
        returned=(args.min_return, args.max_return),
        source=tuple(args.source),
        finite=args.finite,
    )
    _save(keep(_open(args), wanted), args.out, args.to)
    return 0


def _strip(args: argparse.Namespace) -> int:
    from imitari.data.curate.strip import strip

    _save(strip(_open(args), args.share, args.seed), args.out, args.to)
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


def _formats(args: argparse.Namespace) -> int:
    from imitari.core import registry
    from imitari.data.opening import FORMATS

    for name, entry in registry.entries(FORMATS).items():
        writes = "read, write" if hasattr(entry.load(), "write") else "read"
        print(f"{name:14} {writes:12} {entry.description}")
    return 0
