"""Measures the library beside its peers and writes docs/benchmarks.json and docs/benchmarks.md.

    python -m benchmarks [GROUP ...] [--repeats 5] [--seconds 3] [--quick]

Without a group all are measured. Lines of a group that is measured again replace that group's earlier ones; the others
stay, each with the machine, versions and commit of its own run.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time
from collections.abc import Iterator

from benchmarks import lines as groups
from benchmarks.harness import ROOT, Line, Settings, circumstances
from benchmarks.page import read, render, replaced, write

PLACE = ROOT / "docs" / "benchmarks.json"


def names() -> list[str]:
    return sorted(entry.name for entry in pkgutil.iter_modules(groups.__path__) if not entry.name.startswith("_"))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("group", nargs="*", help=f"which lines: {', '.join(names())}")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each pair (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement of a rate (default 3)")
    parser.add_argument("--quick", action="store_true", help="a short pass; nothing is written")
    parser.add_argument("--render", action="store_true", help="only render the page from the JSON")
    words = parser.parse_args()
    unknown = sorted(set(words.group) - set(names()))
    if unknown:
        parser.error(f"unknown group '{unknown[0]}': choose {', '.join(names())}")
    settings = Settings(2, 0.5, True) if words.quick else Settings(words.repeats, words.seconds)
    if words.render:
        render(read(PLACE), PLACE.with_suffix(".md"))
        return 0
    for name in words.group or names():
        found: list[Line] = []
        for line in measured(name, settings):
            found.append(line)
            if not words.quick:
                kept(name, found, whole=False)  # what a pass that is cut off has measured stays
        if not words.quick:
            kept(name, found, whole=True)
    return 0


def kept(name: str, found: list[Line], *, whole: bool) -> None:
    write(replaced(read(PLACE), name, found, whole=whole), PLACE)
    render(read(PLACE), PLACE.with_suffix(".md"))


def measured(name: str, settings: Settings) -> Iterator[Line]:
    """The lines of a group, printed as they come."""
    began, count = time.monotonic(), 0
    for line in importlib.import_module(f"benchmarks.lines.{name}").lines(settings):
        count += 1
        ratio = "-" if line.ratio is None else f"{line.ratio:.3g}x ({line.low:.3g} to {line.high:.3g})"
        ours, theirs = ("-" if value is None else f"{value:.4g}" for value in (line.ours, line.theirs))
        print(f"{line.name} | {line.peer} | {ours} : {theirs} {line.unit} | {ratio} | {line.note}", flush=True)
        yield Line(**{**line.to_json(), "group": name, "circumstances": circumstances()})
    print(f"{name}: {count} lines in {(time.monotonic() - began) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
