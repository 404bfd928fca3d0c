"""Errors that a user can act on: one sentence that names the place and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# What lists the names of a kind.
LISTED_BY = {
    "verb": "imitari --help",
    "method": "imitari methods",
    "task": "imitari tasks",
    "claim": "imitari claim",
    "format": "imitari data formats",
}


class UserError(Exception):
    """Something outside the library is wrong (a file, a setting, a name). Shown without a traceback; exit status 2."""

    status = 2


class Missing(UserError):
    """A component that the request needs is not installed or not present. Exit status 3."""

    status = 3

    def __init__(self, component: str, remedy: str) -> None:
        super().__init__(f"{component} is missing: {remedy}")
        self.component = component


def missing_extra(component: str, extra: str) -> Missing:
    """The error for an optional package: names the command that installs it."""
    return Missing(component, f'install it with: pip install "imitari[{extra}]"')


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the nearest names that do.

    Args:
        kind: what the name stands for ("method", "task", ...).
        name: what the user wrote.
        known: every name that would have been right.
    """
    return UserError(f"there is no {kind} named '{name}': {nearest(name, known, LISTED_BY.get(kind))}")


def nearest(name: str, known: Iterable[str], command: str | None = None) -> str:
    """What to do about a wrong name: the nearest right ones, or else all of them, or the command that lists them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    if command is not None:
        return f"`{command}` lists what there is"
    return f"choose from {', '.join(known)}" if known else "there is none to choose from, leave it out"
