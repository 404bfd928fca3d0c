"""The folder is the registry: a module file's stem is its name, the first line of its docstring its description."""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from imitari.core.errors import unknown

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Entry:
    """A module that can be named: found without importing it."""

    name: str
    shelf: str
    description: str
    module: str

    def load(self) -> ModuleType:
        return importlib.import_module(self.module)


@cache
def entries(folder: str) -> dict[str, Entry]:
    """All entries below `imitari/<folder>`, by name: files, and packages that lie on a shelf."""
    found: dict[str, Entry] = {}
    root = PACKAGE / folder
    for path in sorted(root.rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        if parts[-1] == "__init__" and len(parts) == 3:
            parts.pop()  # <shelf>/<name>/__init__.py: a method in a folder of its own
        if parts[-1].startswith("_") or len(parts) > 2 or (len(parts) == 2 and parts[0].startswith("_")):
            continue
        name, shelf = parts[-1], parts[0] if len(parts) > 1 else ""
        module = ".".join(("imitari", *folder.split("/"), *parts))
        found[name] = Entry(name, shelf, _summary(path), module)
    return found


def find(folder: str, kind: str, name: str) -> Entry:
    """The entry `name`.

    Raises:
        UserError: when there is none: with the nearest names.
    """
    known = entries(folder)
    if name not in known:
        raise unknown(kind, name, known)
    return known[name]


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n", 1)[0]
