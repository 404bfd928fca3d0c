"""Data sets that several lines measure on: human Push-T demonstrations where they are present, and synthetic ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from benchmarks.harness import ROOT
from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.spec import Feature, Spec
from imitari.data.opening import open_demos

CAMERA, PICTURE = "observation.images.top", "observation.images.mask"
DATA = Path(os.environ.get("IMITARI_DATA") or ROOT.parent / "shared" / "data")


def pusht(episodes: int) -> Demos | None:
    """Human demonstrations, where they are present."""
    if not (DATA / "pusht_human").exists():
        return None
    demos = open_demos(DATA / "pusht_human")
    for entry in demos.table.source:
        entry["fps"] = 10
    return demos.keep(list(range(episodes)))


def synthetic(seed: int = 0, final: bool = True) -> Demos:
    """Episodes with every kind of column: vectors, a matrix, a scalar, flags, video and a one-channel picture."""
    rng = np.random.default_rng(seed)
    obs = {
        "observation.state": Feature((5,), names=("a", "b", "c", "d", "e")),
        "observation.grid": Feature((3, 4), "int64", "symbol"),
        "observation.height": Feature((), "float64"),
        CAMERA: Feature((96, 96, 3), "uint8", "image"),
        PICTURE: Feature((32, 32, 1), "uint8", "image"),
    }
    episodes = []
    for number, length in enumerate((25, 3, 40)):
        rows = length + final
        at = np.arange(rows)[:, None, None]
        ramp = (np.arange(96)[None, :, None] + 2 * at + np.zeros((1, 1, 96))) % 200
        values = {
            "observation.state": rng.normal(size=(rows, 5)).astype(np.float32),
            "observation.grid": rng.integers(-5, 5, (rows, 3, 4)),
            "observation.height": rng.normal(size=rows),
            CAMERA: np.stack([ramp, 200 - ramp, np.full_like(ramp, 60 * number)], -1).astype(np.uint8),
            PICTURE: rng.integers(0, 255, (rows, 32, 32, 1)).astype(np.uint8),
        }
        action, reward = rng.normal(size=(length, 2)).astype(np.float32), rng.random(length).astype(np.float32)
        source = {"task": f"push {number}", "fps": 25}
        episodes.append(Episode(values, action, reward, "terminated", bool(number % 2), source=source))
    return Demos.from_episodes(episodes, Spec(obs, Feature((2,))))
