"""The command line: one file a verb, each with `add_arguments(parser)` and `run(args) -> exit status`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

WELCOME = """\
imitari turns demonstrations into policies and says how sure it is.

  imitari collect metaworld/reach-v3 --episodes 50 --out demos/reach      record a scripted expert
  imitari data doctor demos/reach                                         look for damage before training
  imitari train bc --data demos/reach --task metaworld/reach-v3 --out runs/bc
  imitari train flow_policy --data demos/reach --task metaworld/reach-v3 --out runs/flow
  imitari evaluate runs/bc --task metaworld/reach-v3 --episodes 100       success with its interval
  imitari compare runs/bc runs/flow                                       paired by start, with a verdict
  imitari claim two_sided --budget quick                                  re-run a published claim

`imitari methods` and `imitari tasks` list what there is, `imitari VERB --help` explains a verb.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status (2: bad usage or input, 3: something needed is missing)."""
    from imitari.cli._parser import build_parser
    from imitari.core.errors import UserError

    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        print(WELCOME, end="")
        return 0
    try:
        args = build_parser(given).parse_args(given)
        if given[0] != "train" and os.environ.get("WORLD_SIZE", "1") != "1":
            raise UserError(f"imitari {given[0]} is one process: leave out torchrun, or unset WORLD_SIZE")
        return int(args.carry_out(args))
    except UserError as error:
        print(f"imitari: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("imitari: interrupted; the same command resumes where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
