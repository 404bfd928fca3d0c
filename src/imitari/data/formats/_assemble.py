"""From what a reader found in a file, episode by episode, to Demos: names, checks and images that are read late."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.columns import ArrayColumn, Column
from imitari.core.demos import Demos, Provenance
from imitari.core.episode import ACTION, Array, Ending, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data import frames
from imitari.data.opening import ReadOptions, notice

IMAGE_SUFFIXES = ("_image", "_img", "_rgb")
# Decoded images beyond this many bytes go to a mapped file instead of memory.
MEMORY_LIMIT = 256 << 20
STAND_IN = "rows"


@dataclass(frozen=True)
class Frames:
    """The images of one camera in one episode, not read yet.

    Attributes:
        shape: (rows, height, width, channels).
        read: gives them as uint8.
    """

    shape: tuple[int, ...]
    read: Callable[[], Array]


@dataclass(frozen=True)
class Draft:
    """One episode as found in a file. `name` is what the file calls it; it appears in errors."""

    name: str
    action: Array
    obs: dict[str, Array] = field(default_factory=dict[str, Array])
    frames: dict[str, Frames] = field(default_factory=dict[str, Frames])
    reward: Array | None = None
    extra: dict[str, Array] = field(default_factory=dict[str, Array])
    ended: Ending = "unknown"
    success: bool | None = None
    source: dict[str, Any] = field(default_factory=dict[str, Any])


class LateColumn:
    """A column that is read when a row of it is asked for the first time: who learns from states pays for no image."""

    def __init__(self, shape: tuple[int, ...], dtype: str, load: Callable[[], Column]) -> None:
        self._shape, self._dtype, self._load = shape, np.dtype(dtype), load
        self._column: Column | None = None
        self._lock = threading.Lock()

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._dtype

    @property
    def loaded(self) -> bool:
        return self._column is not None

    def take(self, rows: Array) -> Array:
        return self._get().take(rows)

    def span(self, start: int, stop: int) -> Array:
        return self._get().span(start, stop)

    def _get(self) -> Column:
        with self._lock:
            if self._column is None:
                self._column = self._load()
            return self._column


def observation_name(key: str, *, image: bool = False) -> str:
    """The column name of an observation that a file calls `key`."""
    if key.startswith("observation."):
        return key
    if not image:
        return f"observation.{key}"
    for suffix in IMAGE_SUFFIXES:
        if key.endswith(suffix):
            return f"observation.images.{key.removesuffix(suffix)}"
    return f"observation.images.{'top' if key in ('img', 'image', 'pixels') else key}"


def is_image(shape: Sequence[int], dtype: np.dtype[Any]) -> bool:
    """Whether a step of (rows, *) values looks like an image: height x width x 1, 3 or 4 of bytes."""
    return len(shape) == 4 and shape[-1] in (1, 3, 4) and min(shape[1:3]) >= 8 and dtype == np.uint8


def wanted(key: str, options: ReadOptions) -> bool:
    """Whether the images of column `key` were asked for."""
    return options.cameras is None or key in options.cameras


def action_feature(actions: Sequence[Array]) -> Feature:
    """Integers, one a step, are a choice; everything else is a vector of numbers."""
    first = actions[0]
    if first.dtype.kind in "iub" and first.shape[1:] in ((), (1,)):
        high = max(int(part.max()) for part in actions if len(part))
        return Feature((1,), "int64", "choice", high=(float(high),))
    return Feature(first.shape[1:] or (1,), first.dtype.name)


def assemble(
    path: Path,
    format: str,
    drafts: Sequence[Draft],
    options: ReadOptions,
    annotation: Spec | None = None,
    action: Feature | None = None,
) -> Demos:
    """Checks that the episodes fit together and joins them.

    Args:
        path: named in errors and in the provenance.
        format: reader's name.
        drafts: the episodes in their order.
        options: `pixels` and `budget` govern the images.
        annotation: names and bounds to fill in.
        action: the action's feature, where the file says it.

    Raises:
        UserError: naming file, episode and column, where shapes or lengths differ.
    """
    drafts = _without_empty(path, drafts)
    drafts = _with_common_extra(path, [_tidy(draft) for draft in drafts])
    for draft in drafts:
        _check(path, draft, drafts[0])
    action = action or action_feature([draft.action for draft in drafts])
    obs = {key: _feature(value) for key, value in drafts[0].obs.items()}
    # A stand-in of no width keeps the number of rows where images are all that was observed.
    marked = Spec(obs or {STAND_IN: Feature((0,))}, action)
    demos = Demos.from_episodes([_episode(draft) for draft in drafts], marked, Provenance(str(path), format))
    images: dict[str, Column] = {}
    for key in drafts[0].frames:
        height, width, channels = drafts[0].frames[key].shape[1:]
        if options.pixels:
            height = width = options.pixels
        obs[key] = Feature((height, width, channels), "uint8", "image")
        images[key] = image_column(path, key, [draft.frames[key] for draft in drafts], drafts, options)
    spec = Spec(obs, action)
    columns = {key: value for key, value in {**demos.columns, **images}.items() if key != STAND_IN}
    return Demos(spec.annotated(annotation) if annotation else spec, columns, demos.table, demos.provenance)


def image_column(
    path: Path, key: str, parts: Sequence[Frames], drafts: Sequence[Draft], options: ReadOptions
) -> LateColumn:
    """The images of all episodes as one column, read episode by episode when they are first needed."""
    side = options.pixels
    shape = (sum(part.shape[0] for part in parts), *((side, side) if side else parts[0].shape[1:3]), parts[0].shape[3])

    def fill(file: Any, advance: Callable[[int], None]) -> None:
        begin = 0
        for number, (part, draft) in enumerate(zip(parts, drafts, strict=True)):
            images = part.read()
            if images.shape != part.shape:
                raise UserError(
                    f"{path}: episode {draft.name}: column '{key}' holds images of shape {images.shape}, "
                    f"not {part.shape}: leave out the episode, or record it again"
                )
            file.write(begin, resized(images, side) if side else images)
            begin += len(images)
            advance(number + 1)

    def load() -> Column:
        if int(np.prod(shape, dtype=np.int64)) <= MEMORY_LIMIT:
            memory = _Memory(np.empty(shape, np.uint8))
            fill(memory, lambda done: None)
            return ArrayColumn(memory.out)
        settings = {"column": key, "episodes": [draft.name for draft in drafts]}
        recipe = frames.Recipe(f"{path.name}-{key}", path.parent, _files_of(path), shape, "uint8", settings)
        return frames.column(recipe, fill, f"reading {key}", len(parts), options.budget)

    return LateColumn(shape, "uint8", load)


class _Memory:
    """What `fill` writes to where the images fit into memory."""

    def __init__(self, out: Array) -> None:
        self.out = out

    def write(self, row: int, values: Array) -> None:
        self.out[row : row + len(values)] = values


def _files_of(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def resized(images: Array, side: int) -> Array:
    """Images (rows, H, W, C) of bytes at side x side, averaged over the area that a new pixel covers."""
    from PIL import Image

    if images.shape[1:3] == (side, side):
        return images
    out = np.empty((len(images), side, side, images.shape[3]), np.uint8)
    for number, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        out[number] = np.asarray(picture.resize((side, side), Image.Resampling.BOX)).reshape(out.shape[1:])
    return out


def decoded(data: bytes | memoryview, place: str) -> Array:
    """A JPEG or PNG as (height, width, channels) bytes. `place` is named in the error."""
    import io

    from PIL import Image

    try:
        image = np.asarray(Image.open(io.BytesIO(data)))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{place}: is not a readable image ({error}): record or copy the episode again") from error
    return image[..., None] if image.ndim == 2 else image


def _tidy(draft: Draft) -> Draft:
    """Scalars a step become vectors of one; a reward of shape (T, 1) becomes (T,)."""
    obs = {key: value[:, None] if value.ndim == 1 else value for key, value in draft.obs.items()}
    action = draft.action[:, None] if draft.action.ndim == 1 else draft.action
    reward = draft.reward
    if reward is not None and reward.ndim == 2 and reward.shape[1] == 1:
        reward = reward[:, 0]
    return replace(draft, obs=obs, action=action, reward=reward)


def _episode(draft: Draft) -> Episode:
    rows = max([len(draft.action), *(part.shape[0] for part in draft.frames.values())])
    obs = draft.obs or {STAND_IN: np.zeros((rows, 0), np.float32)}
    return Episode(obs, draft.action, draft.reward, draft.ended, draft.success, draft.extra, draft.source)


def _feature(value: Array) -> Feature:
    if value.dtype.kind in "OUS":
        return Feature((1,), "object", "text")
    return Feature(value.shape[1:], value.dtype.name)


def _without_empty(path: Path, drafts: Sequence[Draft]) -> list[Draft]:
    empty = [draft.name for draft in drafts if len(draft.action) == 0]
    if empty:
        notice(f"{path}: {len(empty)} of {len(drafts)} episodes hold no step and are left out ({', '.join(empty[:5])})")
    kept = [draft for draft in drafts if len(draft.action)]
    if not kept:
        raise UserError(f"{path}: holds no episode with a step: record some, or choose another path")
    return kept


def _with_common_extra(path: Path, drafts: list[Draft]) -> list[Draft]:
    """Only extra columns that every episode has in the same shape; what is dropped is said."""
    first = drafts[0].extra
    everywhere = [
        key
        for key, value in first.items()
        if all(key in draft.extra and draft.extra[key].shape[1:] == value.shape[1:] for draft in drafts)
    ]
    seen = dict.fromkeys(key for draft in drafts for key in draft.extra)
    dropped = [key for key in seen if key not in everywhere]
    if dropped:
        notice(f"{path}: columns that not every episode has in one shape are left out: {', '.join(dropped)}")
    return [replace(draft, extra={key: draft.extra[key] for key in everywhere}) for draft in drafts]


def _check(path: Path, draft: Draft, first: Draft) -> None:
    steps = len(draft.action)
    if draft.action.dtype.kind not in "fiub":
        raise UserError(
            f"{path}: episode {draft.name}: column '{ACTION}' holds text or objects ({draft.action.dtype}): convert it "
            "to numbers"
        )
    _same(path, draft, ACTION, draft.action.shape[1:], first.action.shape[1:])
    have: dict[str, tuple[int, ...]] = {**_shapes(draft.obs), **_shapes(draft.frames)}
    need = {**_shapes(first.obs), **_shapes(first.frames)}
    for key in need:
        if key not in have:
            raise UserError(
                f"{path}: episode {draft.name}: column '{key}' is missing, although episode {first.name} has it: "
                "leave out the episode, or record it again"
            )
        _same(path, draft, key, have[key][1:], need[key][1:])
    rows = {key: shape[0] for key, shape in have.items()}
    for key, count in rows.items():
        if count not in (steps, steps + 1) or count != next(iter(rows.values())):
            raise UserError(
                f"{path}: episode {draft.name}: column '{key}' has {count} rows for {steps} actions: "
                "the file was cut off or edited; leave out the episode, or record it again"
            )
    rest = {**draft.extra, **({} if draft.reward is None else {"reward": draft.reward})}
    for key, value in rest.items():
        if len(value) != steps:
            raise UserError(
                f"{path}: episode {draft.name}: column '{key}' has {len(value)} rows for {steps} actions: "
                "the file was cut off or edited; leave out the episode, or record it again"
            )


def _shapes(values: Mapping[str, Array | Frames]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in values.items()}


def _same(path: Path, draft: Draft, key: str, have: tuple[int, ...], need: tuple[int, ...]) -> None:
    if have != need:
        raise UserError(
            f"{path}: episode {draft.name}: column '{key}' has shape {have} a step, not {need} as in the first "
            "episode: leave the episode out, or convert it first"
        )
