"""Replay: a ring buffer of transitions that resumes exactly, and batches drawn from one or two growing sources."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from imitari.core.batch import Batch
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.files import replace_arrays
from imitari.core.spec import Feature, Spec
from imitari.data.sampling import Sampler


class Replay:
    """The latest `capacity` transitions, in memory.

    Args:
        spec: observations and action.
        capacity: transitions kept; older ones are overwritten.
        extra: further columns: name -> feature (shape and type).
    """

    def __init__(self, spec: Spec, capacity: int, extra: Mapping[str, Feature] | None = None) -> None:
        if capacity < 1:
            raise UserError(f"capacity is {capacity}: it must be at least 1")
        self.spec, self.capacity = spec, capacity
        scalar = Feature(())
        features = {f"obs/{key}": feature for key, feature in spec.obs.items()}
        features |= {f"next/{key}": feature for key, feature in spec.obs.items()}
        features |= {"action": spec.action, "reward": scalar, "discount": scalar}
        features |= {f"extra/{key}": feature for key, feature in (extra or {}).items()}
        for key, feature in features.items():
            if feature.kind == "text":
                raise UserError(f"column '{key}' is text: a replay holds numbers, images, symbols and choices")
        self._arrays = {key: np.zeros((capacity, *value.shape), value.dtype) for key, value in features.items()}
        self.added = 0

    def __len__(self) -> int:
        """Transitions held."""
        return min(self.added, self.capacity)

    def add(self, batch: Batch) -> None:
        """Appends the transitions of `batch` (numpy) in their order; the oldest give way.

        Raises:
            UserError: when a column is missing or has another shape.
        """
        values = _columns(batch)
        count = len(batch)
        for key, array in self._arrays.items():
            if key not in values:
                raise UserError(f"column '{key}' is missing in the transitions: there are {', '.join(values)}")
            shape = (count, *array.shape[1:])
            if values[key].shape != shape:
                raise UserError(f"column '{key}' has shape {values[key].shape}, not {shape} as this replay holds")
        kept = min(count, self.capacity)
        rows = (self.added + count - kept + np.arange(kept)) % self.capacity
        for key, array in self._arrays.items():
            array[rows] = values[key][count - kept :]
        self.added += count

    def gather(self, index: Array, rng: np.random.Generator | None = None) -> Batch:
        """Transitions by number, 0 the oldest that is held: a copy."""
        oldest = self.added % self.capacity if self.added > self.capacity else 0
        rows = (np.asarray(index, np.int64) + oldest) % self.capacity
        taken = {key: array[rows] for key, array in self._arrays.items()}
        return Batch(
            obs=_under("obs/", taken),
            action=taken["action"],
            reward=taken["reward"],
            discount=taken["discount"],
            next_obs=_under("next/", taken),
            extra=_under("extra/", taken),
        )

    def save(self, path: Path) -> None:
        """Writes what is held, with its place in the ring; a reader sees the whole file or the one before.

        Raises:
            UserError: when the file cannot be written.
        """
        held = {key: array[: len(self)] for key, array in self._arrays.items()}
        ring = {"added": np.asarray(self.added, np.int64), "capacity": np.asarray(self.capacity, np.int64)}
        replace_arrays(path, {**held, **ring}, "free space or choose another --out")

    def load(self, path: Path) -> None:
        """Restores what `save` wrote: the same transitions under the same numbers.

        Raises:
            UserError: when the file is damaged, or was written by a replay of another shape.
        """
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                stored = {key: file[key] for key in file.files}
            added, capacity = int(stored.pop("added")), int(stored.pop("capacity"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: not a readable replay ({error}): delete it and start again") from error
        if capacity != self.capacity:
            raise UserError(f"{path}: holds a replay of capacity {capacity}, not {self.capacity}: set it to {capacity}")
        shapes = {key: (min(added, capacity), *array.shape[1:]) for key, array in self._arrays.items()}
        if {key: value.shape for key, value in stored.items()} != shapes:
            raise UserError(f"{path}: holds other columns or shapes than this replay: use the task that it came from")
        for key, array in self._arrays.items():
            array[: len(stored[key])] = stored[key]
        self.added = added


def _columns(batch: Batch) -> dict[str, Array]:
    columns = {f"obs/{key}": np.asarray(value) for key, value in batch.obs.items()}
    columns |= {f"next/{key}": np.asarray(value) for key, value in (batch.next_obs or {}).items()}
    columns |= {f"extra/{key}": np.asarray(value) for key, value in batch.extra.items()}
    single = {"action": batch.action, "reward": batch.reward, "discount": batch.discount}
    return columns | {key: np.asarray(value) for key, value in single.items() if value is not None}


def _under(prefix: str, values: dict[str, Array]) -> dict[str, Array]:
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


class Draws:
    """Batch number -> batch, drawn with replacement: for sources that grow, where `Batches` has no passes to make.

    A function of (seed, number) and of what the source holds at that time.

    Args:
        sampler: what to draw from.
        size: samples a batch.
        seed: of the draws.
    """

    def __init__(self, sampler: Sampler, size: int, seed: int) -> None:
        if size < 1:
            raise UserError(f"batch is {size}: it must be at least 1")
        self.sampler, self.size, self.seed = sampler, size, seed

    def __call__(self, number: int) -> Batch:
        if len(self.sampler) == 0:
            raise UserError("there is no transition to learn from yet: gather some before the first update")
        rng = np.random.default_rng([self.seed, number])
        return self.sampler.gather(rng.integers(len(self.sampler), size=self.size), rng)


class MixedDraws:
    """Batches with a fixed share from each of two sources, whatever their sizes.

    Half and half is the symmetric sampling of Ball et al. 2023 (RLPD): as much prior data as online data.

    Args:
        first, second: sources of transitions with the same columns.
        size: samples a batch.
        seed: of the draws.
        share: of the first source.
    """

    def __init__(self, first: Sampler, second: Sampler, size: int, seed: int, share: float = 0.5) -> None:
        count = round(size * share)
        if not 0 < count < size:
            raise UserError(f"share {share} of a batch of {size} leaves one source out: use a value between")
        self.parts = (Draws(first, count, 2 * seed), Draws(second, size - count, 2 * seed + 1))

    def __call__(self, number: int) -> Batch:
        return joined(*(part(number) for part in self.parts))


def joined(first: Batch, second: Batch) -> Batch:
    """One batch of the samples of both, the first before the second. Columns that only one has are left out."""

    def both(mine: dict[str, Array] | None, theirs: dict[str, Array] | None) -> dict[str, Array] | None:
        if mine is None or theirs is None:
            return None
        return {key: np.concatenate([value, theirs[key]]) for key, value in mine.items() if key in theirs}

    def one(mine: Array | None, theirs: Array | None) -> Array | None:
        return None if mine is None or theirs is None else np.concatenate([mine, theirs])

    return Batch(
        obs=both(first.obs, second.obs) or {},
        action=np.concatenate([first.action, second.action]),
        valid=one(first.valid, second.valid),
        reward=one(first.reward, second.reward),
        discount=one(first.discount, second.discount),
        next_obs=both(first.next_obs, second.next_obs),
        goal=both(first.goal, second.goal),
        extra=both(first.extra, second.extra) or {},
    )
