"""Files that are replaced as a whole, and the one sentence when that fails."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError

REMEDY = "choose another --out or free some space"


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Exclusive while the block runs, and given back by the system when the process dies."""
    try:
        import fcntl
    except ImportError:  # no such locks here: two processes then do the same work
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def replacing(path: Path, remedy: str = REMEDY) -> Generator[Path]:
    """Gives the place to write to, beside `path`, and renames it afterwards: a reader sees the old file or all of the
    new. Makes the folder.

    Raises:
        UserError: naming the file and the system's reason.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise unwritable(path, error, remedy) from error


def replace_text(path: Path, text: str, remedy: str = REMEDY) -> None:
    """Replaces a text file as a whole; raises as `replacing`."""
    with replacing(path, remedy) as partial:
        partial.write_text(text, encoding="utf-8")


def replace_arrays(path: Path, arrays: Mapping[str, Array], remedy: str = REMEDY) -> None:
    """Replaces an .npz of arrays without objects as a whole, even after a power cut; raises as `replacing`."""
    with replacing(path, remedy) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)  # pyright: ignore[reportArgumentType]
        file.flush()
        os.fsync(file.fileno())


def unwritable(path: Path, error: OSError, remedy: str = REMEDY) -> UserError:
    """The error for a file that the system does not let us write."""
    return UserError(f"{path}: cannot be written ({error.strerror or error}): {remedy}")
