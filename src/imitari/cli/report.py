"""Write a report of run folders: one HTML file with success, intervals, learning curves, paired starts and rollouts.

imitari report runs/bc runs/flow --out report.html
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, help="folders that `imitari train` or `imitari claim` wrote")
    parser.add_argument("--out", type=Path, help="default report.html beside the runs (of a claim: in its folder)")
    parser.add_argument("--title", default="", help="headline")
    parser.add_argument("--no-films", action="store_true", help="leave out the pictures of rollouts")


def run(args: argparse.Namespace) -> int:
    from imitari.core.errors import UserError
    from imitari.jobs.report import claim_report, runs_report

    claims = [folder for folder in args.runs if (folder / "verdict.json").exists()]
    if claims:
        if len(args.runs) > 1 or args.out:
            raise UserError(f"{claims[0]}: is the folder of a claim: report it alone, it is written into that folder")
        path, note = claim_report(claims[0], films=not args.no_films), ""
    else:
        out = args.out or args.runs[0].resolve().parent / "report.html"
        path, note = out, runs_report(args.runs, out, films=not args.no_films, title=args.title)
    print(f"report: {path}")
    if note:
        print(note)
    return 0
