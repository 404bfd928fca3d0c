"""Frames a second of image batches, of training an inverse model and of labelling, beside a plain PyTorch pipeline.

The plain side is what most projects write: one picture file a frame, a Dataset that opens the files of a clip, a
DataLoader, and a window for every frame that is labelled. Both sides have the same network, data, batch and precision,
and one thread. The frames are those of human Push-T demonstrations where they are present, else synthetic ones.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demonstrations import CAMERA, pusht, synthetic
from benchmarks.harness import Line, Settings, Worker, WorkerFailed, compared, failed
from benchmarks.lines.windows import Caches
from imitari.core.demos import Demos
from imitari.data.formats import lerobot

PIXELS, BATCH, TARGET = 96, 8, 5.0
MODEL: dict[str, Any] = {"window": 16, "blocks": 0, "head": "mse", "channels": [16, 32, 32, 32]}
PLAIN = "plain PyTorch DataLoader"
WHAT = {
    "batch": ("random clips of pictures", "Clips of 16 frames ready for the network, in random order over the set."),
    "update": ("training the inverse model", "Batch, forward, backward and step of the same network."),
    "label": ("labelling with the inverse model", "Ours: half-overlapping windows, a label for every frame of them "
              "nearest to a middle. Plain: one window a labelled frame."),
}  # fmt: skip


def lines(settings: Settings) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as name, Caches(Path(name)):
        folder = Path(name)
        demos = frames_of(3 if settings.quick else 20)
        lerobot.write(demos, folder / "set", fps=10)
        as_files(demos, folder / "files")
        for precision in ("fp32", "bf16"):
            for what in WHAT:
                if what == "batch" and precision == "bf16":
                    continue
                yield from one(folder, what, precision, settings)


def one(folder: Path, what: str, precision: str, settings: Settings) -> Iterator[Line]:
    """One kind of work in one precision, beside the loader in the same process."""
    name, note = WHAT[what]
    line = Line("", name, PLAIN, "frames/s", target=TARGET, precision="" if what == "batch" else precision, note=note)
    words: dict[str, Any] = {"model": MODEL, "batch": BATCH, "precision": precision}
    try:
        with ExitStack() as stack:
            ours = stack.enter_context(Worker("labelling_imitari.py", root=str(folder / "set"), pixels=PIXELS, **words))
            theirs = stack.enter_context(Worker("labelling_plain.py", root=str(folder / "files"), workers=0, **words))
            peaks: dict[str, float] = {}

            def rate(side: Worker, who: str) -> float:
                found = side.ask(what=what, seconds=settings.seconds)
                peaks[who] = found["peak"]
                return found["rate"]

            line = compared(line, lambda: rate(ours, "ours"), lambda: rate(theirs, "theirs"), settings.repeats)
            yield replace(line, facts={f"MB of {who}": round(peak) for who, peak in peaks.items()})
    except WorkerFailed as error:
        yield failed(line, str(error))


def frames_of(episodes: int) -> Demos:
    """Episodes with pictures and actions."""
    demos = pusht(episodes)
    if demos is None:
        demos = Demos.concat([synthetic(seed, final=False) for seed in range(4 * episodes)])
    columns = {key: demos.columns[key] for key in (CAMERA, "action")}
    return Demos(demos.spec.select([CAMERA]), columns, demos.table)


def as_files(demos: Demos, folder: Path) -> None:
    """One PNG a frame, and the actions."""
    from PIL import Image

    folder.mkdir()
    rows = demos.rows()
    for number, row in enumerate(rows.tolist()):
        Image.fromarray(demos.columns[CAMERA].span(row, row + 1)[0]).save(folder / f"{number:06d}.png")
    np.save(folder / "actions.npy", demos.columns["action"].take(rows))
    about = {"key": CAMERA, "spec": demos.spec.to_json(), "lengths": demos.table.length.tolist()}
    (folder / "about.json").write_text(json.dumps(about))
