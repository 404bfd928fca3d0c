"""What the actions on data sets share: how sets are named on the command line, opened and written."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imitari.core.demos import Demos

SUFFIXES = {".npz": "npz", ".hdf5": "robomimic", ".h5": "robomimic"}


def reading(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("path", metavar="PATH", help="a data set of any readable format, or a Hub id")
    return reading_options(parser)


def reading_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--format", help="reader (default: recognised; `imitari data formats` lists them)")
    parser.add_argument(
        "--cameras", type=words, metavar="NAME,...", help="image columns to read, or none (default: all)"
    )
    parser.add_argument("--pixels", type=int, help="resize images to this side")
    parser.add_argument(
        "--missing-video", choices=["camera", "episodes"], default="camera", help="what to leave out where files lack"
    )
    return parser


def writing(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--out", type=Path, required=True, help="where to write; must not exist")
    parser.add_argument("--to", help="format to write (default: by the suffix of --out; a folder is lerobot)")
    return parser


def as_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="as JSON, to the terminal or to a file")


def words(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(part for part in text.split(",") if part)


def numbers(text: str) -> list[int]:
    out: list[int] = []
    for part in text.split(","):
        first, colon, last = part.partition(":")
        try:
            out += range(int(first), int(last)) if colon else [int(first)]
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"needs numbers and ranges such as 0,3,10:20, not '{text}'") from error
    return out


def pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"needs KEY=TEXT, not '{text}'")
    return key, value


def opened(args: argparse.Namespace, path: str | None = None) -> Demos:
    from imitari.data.opening import ReadOptions, open_demos

    options = ReadOptions(pixels=args.pixels, missing_video=args.missing_video, cameras=args.cameras)
    return open_demos(path or args.path, args.format, options)


def saved(demos: Demos, out: Path, to: str | None) -> None:
    from imitari.data.opening import save_demos

    to = to or SUFFIXES.get(out.suffix, "lerobot")
    save_demos(demos, out, to)
    print(f"{out}: {len(demos)} episodes, {demos.steps:,} steps ({to})")


def put_json(data: Any, where: str) -> None:
    import json

    text = json.dumps(data, indent=1)
    if where == "-":
        print(text)
    else:
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        Path(where).write_text(text, encoding="utf-8")


def console() -> Any:
    """The terminal; in a file or a pipe, lines wide enough for a table."""
    import sys

    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 140)
