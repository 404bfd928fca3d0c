"""Errors that a user can act on: one sentence that names the place and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"`imitari {kind}s` lists what there is."
    return UserError(f"there is no {kind} named '{name}': {hint}")
