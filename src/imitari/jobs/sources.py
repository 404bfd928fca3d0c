"""Named data sets on the command line: NAME=PATH or NAME=PATH*WEIGHT."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.data.mixing import mix
from imitari.data.sampling import MIXTURE


@dataclass(frozen=True)
class Source:
    """A data set, what it is called, and how often it is drawn relative to others (None: by its size)."""

    name: str
    path: str
    weight: float | None


def parsed(words: Sequence[str]) -> list[Source]:
    """The named data sets among `words`; [] where none has a name.

    Raises:
        UserError: when only some have a name or two have the same, or a weight is no number.
    """
    found = [re.fullmatch(r"([\w.-]+)=(.+?)(?:\*([^*/]*))?", word) for word in words]
    named = [match if match and not Path(word).exists() else None for word, match in zip(words, found, strict=True)]
    if not any(named):
        return []
    out: list[Source] = []
    for word, match in zip(words, named, strict=True):
        if match is None:
            raise UserError(f"--data {word}: has no name where others have: write NAME=PATH for all, or for none")
        name, path, weight = match.groups()
        if name in [source.name for source in out]:
            raise UserError(f"--data {word}: another data set is called '{name}' too: choose another name")
        out.append(Source(name, path, None if weight is None else _weight(word, weight)))
    return out


def mixture(sources: Sequence[Source], read: Callable[[str], Demos]) -> Demos:
    """The data sets as one; where any has a weight, those without have 1."""
    weighted = any(source.weight is not None for source in sources)
    weights = {source.name: 1.0 if source.weight is None else source.weight for source in sources}
    return mix({source.name: read(source.path) for source in sources}, weights if weighted else None)


def tasks_of(demos: Demos) -> dict[str, list[str]]:
    """Data set of a mixture -> names of the tasks that its episodes were recorded in, as far as they say so."""
    found: dict[str, set[str]] = {}
    for source in demos.table.source:
        found.setdefault(source[MIXTURE]["name"], set()).update(filter(None, [source.get("task_name")]))
    return {name: sorted(tasks) for name, tasks in found.items()}


def _weight(word: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"--data {word}: weight '{text}' is no number: write it as in NAME=PATH*2") from error
