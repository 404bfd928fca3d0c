"""Re-run a published claim and say whether it holds.

  imitari claim                                   lists the claims
  imitari claim NAME --budget quick               runs it; the same command resumes where it was cut off
  imitari claim NAME --set arm.field=value        with another setting of an arm ("all" for every arm)

Exit status: 0 the claim holds, 1 it does not, 2 bad usage, 3 something it needs is missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from imitari.core.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="without it: the list of claims")
    parser.add_argument("--budget", default="quick", help="smoke, quick or full (default quick)")
    parser.add_argument("--seeds", type=seed_range, help="training seeds: 0:3 or 0,4,7 (default: the budget's)")
    parser.add_argument("--task", help="run it on another task")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="ARM.FIELD=VALUE")
    parser.add_argument("--jobs", type=int, default=2, help="jobs side by side, one core each (default 2)")
    parser.add_argument("--engine", default="local", help="local, ray (a cluster), inline (this process)")
    parser.add_argument("--out", type=Path, help="default runs/claims/NAME-BUDGET")
    parser.add_argument("--record", action="store_true", help="keep the verdict in results/ of the checkout")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    if args.name is None:
        return list_claims()
    from imitari.jobs.claim import claim_named
    from imitari.jobs.claim_run import ClaimRequest, default_folder, run_claim

    claim = claim_named(args.name)
    claim.budget(args.budget)
    if args.record and (args.budget == "smoke" or args.changes or args.task):
        raise UserError("--record keeps verdicts of the claim as written: not of the smoke budget, --set or --task")
    if args.jobs < 1:
        raise UserError(f"--jobs is {args.jobs}: it must be at least 1")
    request = ClaimRequest(
        name=args.name,
        budget=args.budget,
        seeds=args.seeds,
        task=args.task,
        changes=changes_of(args.changes, {name: arm.method for name, arm in claim.arms.items()}),
        engine=args.engine,
        together=args.jobs,
        show=not args.quiet,
    )
    out = args.out or default_folder(request)
    verdict = run_claim(request, out)
    report(out)
    say(verdict, out)
    if args.record:
        record(verdict)
    return 0 if verdict["holds"] else 1


def list_claims() -> int:
    from imitari.core import registry

    found = registry.entries("claims")
    width = max(map(len, found), default=0)
    for name, entry in found.items():
        print(f"{name:<{width}}  {entry.description}")
    print("\nimitari claim NAME --budget quick    runs one")
    return 0


def seed_range(text: str) -> tuple[int, ...]:
    """ "0:3" -> (0, 1, 2); "0,4,7" -> (0, 4, 7)."""
    try:
        if ":" in text:
            first, last = text.split(":")
            return tuple(range(int(first or 0), int(last)))
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a range of seeds such as 0:3 or 0,4,7") from error


def changes_of(words: list[str], methods: dict[str, str]) -> dict[str, dict[str, Any]]:
    """ARM.FIELD=VALUE, read as the type of the field of the arm's method.

    Args:
        words: as given.
        methods: arm -> name of its method.
    """
    changes: dict[str, dict[str, Any]] = {}
    for word in words:
        place, equals, text = word.partition("=")
        arm, dot, field = place.partition(".")
        if not (equals and dot and field):
            raise UserError(f"--set {word}: must read ARM.FIELD=VALUE")
        field = field.replace("-", "_")
        arms = [name for name, method in methods.items() if method] if arm == "all" else [arm]
        for name in arms:
            if name not in methods:
                raise UserError(f"--set {word}: there is no arm '{name}': there are {', '.join(methods)}")
            changes.setdefault(name, {})[field] = value_of(methods[name], field, text, word)
    return changes


def value_of(method: str, field: str, text: str, word: str) -> Any:
    import typing

    from imitari.cli._parser import reader
    from imitari.learn.method import method_class

    if not method:
        raise UserError(f"--set {word}: this arm has no method, and so no settings")

    kind = method_class(method)
    hints = typing.get_type_hints(kind)
    known = kind.__dataclass_fields__
    if field not in known:
        raise UserError(f"--set {word}: method '{method}' has no setting '{field}': there are {', '.join(known)}")
    choices, convert, shape = reader(hints[field], field)
    try:
        value = tuple(convert(part) for part in text.split(",")) if shape == "tuple" else convert(text)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise UserError(f"--set {word}: {error}") from error
    if choices and value not in choices:
        raise UserError(f"--set {word}: setting '{field}' is one of {', '.join(map(str, choices))}")
    return value


def say(verdict: dict[str, Any], out: Path) -> None:
    """The verdict in a few lines."""
    from imitari.jobs.verdict import finding_of

    rate = verdict["metric"] == "success"
    print(f"{verdict['claim']}: {verdict['sentence']}")
    for name, arm in verdict["arms"].items():
        if rate:
            each = ", ".join(f"{seed['successes']}/{seed['episodes']}" for seed in arm["seeds"].values())
            print(f"  {name}: {arm['mean']:.1%} [{arm['low']:.1%}, {arm['high']:.1%}]   ({each} by training seed)")
        else:
            each = ", ".join(f"{seed[verdict['metric']]:.4g}" for seed in arm["seeds"].values())
            print(f"  {name}: {arm['mean']:.4g} [{arm['low']:.4g}, {arm['high']:.4g}]   ({each} by training seed)")
    for found in verdict["criteria"]:
        print(f"  {finding_of(found).sentence(verdict['metric'])}")
    word = "HOLDS" if verdict["holds"] else "DOES NOT HOLD"
    print(
        f"{word} at 95 % over {len(verdict['seeds'])} training seeds and {verdict['starts']['count']} paired starts "
        f"({verdict['budget']}, {verdict['minutes']} core minutes): {out / 'verdict.json'}"
    )


def report(out: Path) -> None:
    from imitari.jobs.report import claim_report

    claim_report(out)


def record(verdict: dict[str, Any]) -> None:
    from imitari.jobs.circumstances import checkout
    from imitari.jobs.folder import write_json

    root = checkout()
    if root is None:
        raise UserError("--record keeps verdicts in the results/ folder of a checkout, and this is an installed copy")
    path = root / "results" / f"{verdict['claim']}.json"
    write_json(path, verdict)
    print(f"recorded: {path}")
