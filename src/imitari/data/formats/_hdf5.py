"""What the HDF5 readers share: opening with clear errors, the order of episodes, attributes as JSON values."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError, missing_extra

SUFFIXES = (".hdf5", ".h5")


@contextmanager
def opened(path: Path, mode: str = "r") -> Generator[Any]:
    """An open HDF5 file.

    Raises:
        Missing: when h5py is not installed.
        UserError: when the file is damaged.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing_extra("h5py", "hdf5") from error
    try:
        file = h5py.File(path, mode)
    except PermissionError:
        raise
    except OSError as error:
        if mode != "r":
            raise
        raise UserError(f"{path}: is cut off or no HDF5 file ({_reason(error)}): copy or record it again") from error
    try:
        yield file
    finally:
        file.close()


def values(path: Path, episode: str, group: Any, key: str) -> Array:
    """All values of the data set `key` in the group of one episode."""
    try:
        found = group[key]
        out = found[()]
    except KeyError as error:
        raise UserError(
            f"{path}: episode {episode}: column '{key}' is missing: it holds {', '.join(group) or 'nothing'}; copy "
            "the file again, or leave out the episode"
        ) from error
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{path}: episode {episode}: column '{key}' is damaged ({_reason(error)}): copy or record the file again"
        ) from error
    if not isinstance(out, np.ndarray) or out.ndim == 0:
        raise UserError(f"{path}: episode {episode}: column '{key}' is not an array with one row a step")
    return text(out) if out.dtype.kind in "OS" else out


def text(found: Array) -> Array:
    """Stored byte strings as str."""
    return np.array([item.decode("utf-8") if isinstance(item, bytes) else str(item) for item in found], dtype=object)


def by_number(names: Iterable[str]) -> list[str]:
    """Episode names in the order of the number at their end: demo_2 before demo_10."""
    return sorted(names, key=lambda name: (int(match[1]) if (match := re.search(r"(\d+)$", name)) else -1, name))


def attributes(group: Any) -> dict[str, Any]:
    """Attributes as JSON values; text that is JSON itself is parsed."""
    return {key: _plain(value) for key, value in group.attrs.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def demo_keys(path: Path) -> set[str] | None:
    """What the first episode under /data holds; None when the file is none of this layout or cannot be opened."""
    if path.suffix not in SUFFIXES or not path.is_file():
        return None
    try:
        with opened(path) as file:
            group = file.get("data")
            if group is None or not len(group):
                return None
            return set(group[by_number(group)[0]])
    except (UserError, AttributeError, TypeError):
        return None


def _reason(error: Exception) -> str:
    return str(error).split("\n")[0][:120]
