"""Small files that are replaced as a whole, and the one sentence when that fails."""

from __future__ import annotations

import os
from pathlib import Path

from imitari.core.errors import UserError


def replace_text(path: Path, text: str, remedy: str = "choose another --out or free some space") -> None:
    """Writes beside `path` and renames: a reader sees the old text or all of the new. Makes the folder.

    Raises:
        UserError: naming the file and the system's reason.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise unwritable(path, error, remedy) from error


def unwritable(path: Path, error: OSError, remedy: str = "choose another --out or free some space") -> UserError:
    """The error for a file that the system does not let us write."""
    return UserError(f"{path}: cannot be written ({error.strerror or error}): {remedy}")
