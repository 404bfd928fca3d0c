"""Show every claim with its recorded verdict.

  imitari ledger                        a table
  imitari ledger --out docs/ledger.md   the same as a page

Verdicts are recorded by `imitari claim NAME --record`.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, help="folder of recorded verdicts (default: results/ of the checkout)")
    parser.add_argument("--out", type=Path, help="also write a Markdown page")


def run(args: argparse.Namespace) -> int:
    from imitari.jobs import ledger
    from imitari.jobs.circumstances import checkout

    results = args.results or (checkout() or Path()) / "results"
    rows = ledger.ledger(results)
    print(ledger.text(rows))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(ledger.markdown(rows))
    return 0
