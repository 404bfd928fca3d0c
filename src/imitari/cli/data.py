"""Look at demonstrations, check them, convert them, and choose among them.

imitari data info PATH                                 what it holds
imitari data doctor PATH                               what is wrong with it (exit status 1: errors were found)
imitari data show PATH --episode 3 --png look.png      one episode
imitari data convert PATH --out NEW.hdf5               to lerobot (folder), robomimic (.hdf5) or npz (.npz)
imitari data filter PATH --success --out NEW           keep some episodes
imitari data merge PATH PATH --out NEW                 several sets as one
imitari data split PATH --fraction 0.1 --out NEW       a training part and a held-out part, by episode
imitari data cut PATH --steps 50 --out NEW             long recordings as pieces
imitari data score PATH --by operator --out S.npz      how good every episode and every step is
imitari data filter PATH --scores S.npz --best 0.5     keep the best half
imitari data trim PATH --model RUN --out NEW           leave out steps inside episodes
imitari data report PATH --scale DIR --out page.html   doctor, scores and what more data is worth, on one page
imitari data strip PATH --share 0.9 --out NEW          a copy without the actions of some or all episodes
imitari data label PATH --model RUN --out NEW          infer actions that are not known, with a trained inverse model
imitari data formats                                   what can be read and written
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imitari.cli._curate import ACTIONS, add_actions
from imitari.cli._data import as_json, console, numbers, opened, put_json, reading, saved, words, writing

if TYPE_CHECKING:
    from imitari.core.demos import Demos
    from imitari.data.doctor import Finding

SEVERITY_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    below = parser.add_subparsers(title="what to do", metavar="ACTION", dest="action", required=True)
    info = reading(below.add_parser("info", help="what a data set holds"))
    as_json(info)
    doctor = reading(below.add_parser("doctor", help="what is wrong with it"))
    doctor.add_argument("--only", type=words, metavar="CHECK,...", help="only these checks (default: all)")
    doctor.add_argument("--limit", type=int, default=10, help="lines a check in the table (default 10; --json has all)")
    as_json(doctor)
    show = reading(below.add_parser("show", help="one episode, or the list of them"))
    show.add_argument("--episode", type=int, help="which one; without it: the list")
    show.add_argument("--png", type=Path, help="also draw its columns and frames here")
    convert = writing(reading(below.add_parser("convert", help="write it in another format")))
    convert.add_argument("--episodes", type=numbers, metavar="0,3,10:20", help="only these")
    add_actions(below)
    below.add_parser("formats", help="what can be read and written")


def run(args: argparse.Namespace) -> int:
    actions = {
        "info": _info, "doctor": _doctor, "show": _show, "convert": _convert, "formats": _formats, **ACTIONS,
    }  # fmt: skip
    return actions[args.action](args)


def _info(args: argparse.Namespace) -> int:
    from rich.table import Table

    from imitari.data.curate.describe import describe

    about = describe(opened(args))
    if args.json:
        put_json(about, args.json)
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
    terminal = console()
    terminal.print("\n".join(lines), markup=False, soft_wrap=True)
    terminal.print(table)
    return 0


def _size(count: int | None) -> str:
    return "" if count is None else f", {count / 1e6:,.1f} MB"


def _doctor(args: argparse.Namespace) -> int:
    from imitari.data.doctor import examine

    demos = opened(args)
    findings = examine(demos, args.only, Path(args.path) if Path(args.path).exists() else None)
    counts = {what: sum(one.severity == what for one in findings) for what in SEVERITY_COLOURS}
    if args.json:
        found = [one.to_json() for one in findings]
        about = {"path": args.path, "episodes": len(demos), "steps": demos.steps, "counts": counts, "findings": found}
        put_json(about, args.json)
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
    console().print(table)


def _show(args: argparse.Namespace) -> int:
    from imitari.core.errors import UserError

    demos = opened(args)
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

    demos = opened(args)
    saved(demos if args.episodes is None else keep(demos, Wanted(episodes=args.episodes)), args.out, args.to)
    return 0


def _formats(args: argparse.Namespace) -> int:
    from imitari.core import registry
    from imitari.data.opening import FORMATS

    for name, entry in registry.entries(FORMATS).items():
        writes = "read, write" if hasattr(entry.load(), "write") else "read"
        print(f"{name:14} {writes:12} {entry.description}")
    return 0
