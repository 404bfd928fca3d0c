"""Opening and saving data sets of any format: which reader a path needs, and a Hub id's way to a path."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from imitari.core import registry
from imitari.core.demos import Demos
from imitari.core.errors import UserError, missing_extra

FORMATS = "data/formats"


@dataclass(frozen=True)
class ReadOptions:
    """How to read.

    Attributes:
        budget: bytes of decoded frames and mapped columns that may stay in memory.
        pixels: side to which images are resized when they are decoded; None: as recorded.
        missing_video: where some episodes lack a video file, leave out that camera ("camera"), or those episodes
            ("episodes"). Either way it is reported, never silent.
        cameras: observation names of images to read; None: all. An empty tuple: none.
        fields: of prompt and response in lines of texts; None: the usual names.
    """

    budget: int = 1 << 30
    pixels: int | None = None
    missing_video: Literal["camera", "episodes"] = "camera"
    cameras: tuple[str, ...] | None = None
    fields: tuple[str, str] | None = None


def open_demos(path: str | Path, format: str | None = None, options: ReadOptions | None = None) -> Demos:
    """Reads a data set.

    Args:
        path: a file or folder, or a Hub id ("lerobot/pusht") where no such path exists.
        format: a name from `imitari data formats`; None: recognised from what is there.
        options: see ReadOptions.

    Raises:
        UserError: one sentence with file, episode and column, when something is damaged or missing.
    """
    options = options or ReadOptions()
    place = Path(path)
    if not place.exists():
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
            raise UserError(f"{path}: does not exist: give the path of a data set, or a Hub id like lerobot/pusht")
        place = _download(str(path))
    reader = _reader(format, place)
    try:
        demos: Demos = reader.read(place, options)
    except PermissionError as error:
        raise UserError(
            f"{error.filename or place}: cannot be read (permission denied): change its permissions"
        ) from error
    if len(demos) == 0 or demos.steps == 0:
        raise UserError(f"{path}: holds no episode with a step: record some, or choose another path")
    return demos


def save_demos(demos: Demos, path: str | Path, format: str = "lerobot") -> None:
    """Writes a data set; refuses to overwrite one."""
    place = Path(path)
    if place.exists() and (place.is_file() or any(place.iterdir())):
        raise UserError(f"{place}: exists already: choose another path, or delete it first")
    module = registry.find(FORMATS, "format", format).load()
    if not hasattr(module, "write"):
        writers = [name for name, entry in registry.entries(FORMATS).items() if hasattr(entry.load(), "write")]
        raise UserError(f"format '{format}' can only be read: write one of {', '.join(writers)}")
    try:
        module.write(demos, place)
    except OSError as error:
        raise UserError(
            f"{error.filename or place}: cannot be written ({error.strerror}): free space or choose another path"
        ) from error


def notice(text: str) -> None:
    """Tells the person at the terminal what a reader could not take along."""
    print(f"notice: {text}", file=sys.stderr)


def _reader(format: str | None, place: Path) -> ModuleType:
    if format is not None:
        return registry.find(FORMATS, "format", format).load()
    for entry in registry.entries(FORMATS).values():
        module = entry.load()
        if module.detect(place):
            return module
    known = ", ".join(registry.entries(FORMATS))
    raise UserError(f"{place}: no reader recognises it: check the path, or name one with --format ({known})")


def _download(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise missing_extra("huggingface_hub", "hub") from error
    try:
        return Path(snapshot_download(name, repo_type="dataset"))
    except Exception as error:  # the client raises many kinds; all mean that the set did not arrive
        reason = type(error).__name__
        raise UserError(
            f"{name}: is not a path here and could not be downloaded as a Hub id ({reason}): "
            "check the name and the network, or give a local path"
        ) from error
