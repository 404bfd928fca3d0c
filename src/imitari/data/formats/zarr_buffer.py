"""Zarr replay buffer (Diffusion Policy, UMI): /data/<column> over all steps, /meta/episode_ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array
from imitari.core.errors import UserError, missing_extra
from imitari.data.formats._assemble import Draft, Frames, assemble, observation_name, wanted
from imitari.data.opening import ReadOptions, notice

# Columns that describe a step but that no robot would sense.
LABELS = ("n_contacts", "timestamp", "stage", "discount")
REWARDS = ("reward", "rewards", "next.reward")


def detect(path: Path) -> bool:
    return _store(path) is not None


def read(path: Path, options: ReadOptions) -> Demos:
    """`state` becomes `observation.state`, `img` `observation.images.top`, other columns `observation.<name>`.

    Images are read when they are first asked for, an episode at a time; floats in [0, 255] or [0, 1] become bytes.
    """
    place = _store(path)
    if place is None:
        raise UserError(f"{path}: is no zarr replay buffer: it needs meta/episode_ends and data/action")
    root = _open(place)
    ends = _ends(place, root)
    data = root["data"]
    arrays: dict[str, Any] = dict(sorted(data.arrays()))
    if ACTION not in arrays:
        have = ", ".join(arrays) or "nothing"
        raise UserError(f"{place}: column 'data/action' is missing: it holds {have}; rename the one with the actions")
    for key, array in arrays.items():
        if array.shape[0] != ends[-1]:
            raise UserError(
                f"{place}: column 'data/{key}' has {array.shape[0]} rows, but the last of meta/episode_ends is "
                f"{ends[-1]}: the buffer was cut off; copy it again"
            )
        _check_chunks(place, key, array)
    images = {key: array for key, array in arrays.items() if _is_image(array)}
    numbers = {key: _values(place, key, array) for key, array in arrays.items() if key not in images}
    cameras = {observation_name(key, image=True): (key, array) for key, array in images.items()}
    cameras = {name: entry for name, entry in cameras.items() if wanted(name, options)}
    drafts: list[Draft] = []
    for number, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        frames = {
            name: Frames((int(end - begin), *array.shape[1:]), _frames(place, key, array, int(begin), int(end)))
            for name, (key, array) in cameras.items()
        }
        drafts.append(_draft(number, {key: value[begin:end] for key, value in numbers.items()}, frames))
    return assemble(path, "zarr_buffer", drafts, options)


def _draft(number: int, values: dict[str, Array], frames: dict[str, Frames]) -> Draft:
    action = values.pop(ACTION)
    reward = next((values.pop(key) for key in REWARDS if key in values), None)
    extra = {key: values.pop(key) for key in LABELS if key in values}
    obs = {observation_name(key): value for key, value in values.items()}
    return Draft(str(number), action, obs, frames, reward, extra, source={"episode": number})


def _store(path: Path) -> Path | None:
    """The buffer itself, or the only one in a folder."""
    if path.name.endswith(".zarr.zip") and path.is_file():
        return path
    if (path / "meta" / "episode_ends").is_dir():
        return path
    inside = [*path.glob("*.zarr"), *path.glob("*.zarr.zip")] if path.is_dir() else []
    return inside[0] if len(inside) == 1 else path if path.suffix == ".zarr" and path.is_dir() else None


def _open(place: Path) -> Any:
    try:
        import zarr
        import zarr.errors
        import zarr.storage
    except ImportError as error:
        raise missing_extra("zarr", "zarr") from error
    try:
        store: Any = zarr.storage.ZipStore(place, mode="r") if place.suffix == ".zip" else str(place)
        root = cast("Any", zarr.open_group(store, mode="r"))
        if "data" not in root or "meta" not in root:
            raise UserError(f"{place}: group 'data' or 'meta' is missing: copy the buffer again")
    except (OSError, ValueError, KeyError, zarr.errors.BaseZarrError) as error:
        raise UserError(f"{place}: is no readable zarr group ({str(error)[:120]}): copy the buffer again") from error
    return root


def _ends(place: Path, root: Any) -> Array:
    if "episode_ends" not in root["meta"]:
        raise UserError(f"{place}: column 'meta/episode_ends' is missing: it says where episodes end; copy it again")
    ends = _values(place, "episode_ends", root["meta"]["episode_ends"]).astype(np.int64)
    if len(ends) == 0:
        raise UserError(f"{place}: holds no episode: record some, or choose another path")
    if (np.diff(ends, prepend=0) <= 0).any():
        number = int(np.argmax(np.diff(ends, prepend=0) <= 0))
        raise UserError(f"{place}: meta/episode_ends does not increase at episode {number}: copy the buffer again")
    return ends


def _values(place: Path, key: str, array: Any) -> Array:
    try:
        return np.asarray(array[:])
    except Exception as error:  # every codec raises its own kind; all mean that the stored bytes are damaged
        raise UserError(
            f"{place}: column '{key}' is damaged ({type(error).__name__}): copy the buffer again"
        ) from error


def _check_chunks(place: Path, key: str, array: Any) -> None:
    """Chunks that are absent read as zeros and a cut-off Blosc chunk as whatever lies behind it: neither must pass."""
    absent = array.nchunks - array.nchunks_initialized
    if absent:
        notice(
            f"{place}: column '{key}': {absent} of {array.nchunks} chunks are not there and read as {array.fill_value}"
        )
    if not place.is_dir() or "Blosc" not in type(array.compressors[-1] if array.compressors else None).__name__:
        return
    for file in (place / "data" / key).rglob("*"):
        if file.name.startswith((".", "zarr.json")) or not file.is_file():
            continue
        with file.open("rb") as chunk:
            head = chunk.read(16)
        # A Blosc header is 16 bytes; the last four are the size of the whole chunk.
        if len(head) < 16 or int.from_bytes(head[12:16], "little") != file.stat().st_size:
            raise UserError(f"{place}: column '{key}': chunk {file.name} is cut off: copy the buffer again")


def _is_image(array: Any) -> bool:
    return len(array.shape) == 4 and array.shape[-1] in (1, 3, 4) and min(array.shape[1:3]) >= 8


def _frames(place: Path, key: str, array: Any, begin: int, end: int) -> Callable[[], Array]:
    def load() -> Array:
        images = _values(place, key, _Slice(array, begin, end))
        if images.dtype == np.uint8:
            return images
        scale = 255.0 if images.max(initial=0) <= 1.0 else 1.0
        return np.clip(np.rint(images * scale), 0, 255).astype(np.uint8)

    return load


class _Slice:
    """Rows of an array that is read on `[:]`."""

    def __init__(self, array: Any, begin: int, end: int) -> None:
        self.array, self.begin, self.end = array, begin, end

    def __getitem__(self, _: slice) -> Any:
        return self.array[self.begin : self.end]
