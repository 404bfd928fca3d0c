"""List the methods, or explain one with its settings."""

from __future__ import annotations

import argparse

from imitari.core import registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="explain this method")


def run(args: argparse.Namespace) -> int:
    if args.name:
        return _explain(args.name)
    shelves: dict[str, list[registry.Entry]] = {}
    for entry in registry.entries("methods").values():
        shelves.setdefault(entry.shelf, []).append(entry)
    for shelf, entries in shelves.items():
        print(f"{shelf}:")
        for entry in entries:
            print(f"  {entry.name:<18} {entry.description}")
    print("\n`imitari methods NAME` explains one, `imitari train NAME --help` shows its flags.")
    return 0


def _explain(name: str) -> int:
    import dataclasses
    import inspect
    import sys

    from imitari.cli._parser import field_comments
    from imitari.learn.method import method_class

    method = method_class(name)
    print(inspect.cleandoc(sys.modules[method.__module__].__doc__ or ""))
    if method.needs:
        print(f"\nneeds: demonstrations and {', '.join(sorted(method.needs))}")
    comments = field_comments(method)
    print("\nsettings:")
    for field in dataclasses.fields(method):
        print(f"  {field.name:<16} {field.default!s:<14} {comments.get(field.name, '')}")
    for preset, values in method.presets.items():
        print(f"preset {preset}: " + ", ".join(f"{key} {value}" for key, value in values.items()))
    return 0
