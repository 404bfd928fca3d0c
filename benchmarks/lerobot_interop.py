"""Data sets between imitari and LeRobot 0.4.4, in both directions: numbers must be equal, frames as decoded.

    python -m benchmarks.lerobot_interop [--json FILE]

Builds LeRobot's environment on first use. Ends with 1 when something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demonstrations import CAMERA, pusht, synthetic
from benchmarks.harness import quiet
from benchmarks.peers.lerobot import LEROBOT
from imitari.core.demos import Demos
from imitari.data.formats import lerobot
from imitari.data.opening import open_demos

FRAME_TOLERANCE = 2.0
"""Mean difference of 256 levels: two decoders round the way from YUV to RGB differently."""

# Everything that LeRobot gives for every step of a data set, through its own item access.
READ = """
import json, sys
import numpy as np, torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
data = LeRobotDataset("local/set", root=sys.argv[1])
items = [data[number] for number in range(len(data))]
cells = {}
for key in items[0]:
    values = [item[key] for item in items]
    cells[key] = np.stack([value.numpy() if isinstance(value, torch.Tensor) else np.array(value) for value in values])
np.savez(sys.argv[2], **cells)
print(json.dumps({"episodes": data.num_episodes, "frames": data.num_frames, "fps": data.fps}))
"""

WRITE = """
import json, sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
given = np.load(sys.argv[2])
features = json.loads(sys.argv[3])
for entry in features.values():
    entry["shape"] = tuple(entry["shape"])
data = LeRobotDataset.create("local/set", 10, features, root=sys.argv[1], robot_type="arm", use_videos=True)
number = 0
for episode, length in enumerate(given["length"]):
    for step in range(length):
        frame = {key: given[key][number] for key in features}
        frame["task"] = "push" if episode % 2 == 0 else "pull"
        data.add_frame(frame)
        number += 1
    data.save_episode()
data.finalize()
print(json.dumps({"frames": number}))
"""


def call(code: str, *arguments: str) -> dict[str, Any]:
    """Runs code in LeRobot's environment; its last line of output is JSON."""
    words = [str(LEROBOT.python), "-c", code, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, env=quiet())
    if done.returncode:
        raise SystemExit(f"LeRobot failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(demos: Demos, cells: dict[str, np.ndarray]) -> dict[str, Any]:
    """Largest difference of every numeric column, mean difference of every image column."""
    rows = demos.rows()
    found: dict[str, Any] = {}
    for key, column in demos.columns.items():
        theirs = cells[key]
        ours = column.take(rows)
        if ours.dtype == object:
            found[key] = {"equal": bool(np.array_equal(ours.astype(str), theirs.astype(str)))}
        elif ours.ndim == 4 and ours.dtype == np.uint8:
            theirs = np.rint(np.moveaxis(theirs, 1, -1) * 255)
            apart = np.abs(ours.astype(np.float32) - theirs)
            found[key] = {"mean": float(apart.mean()), "max": float(apart.max())}
            found[key]["equal"] = bool(apart.mean() <= (FRAME_TOLERANCE if key == CAMERA else 0))
        else:
            theirs = theirs.reshape(ours.shape)
            # LeRobot hands numbers out as torch tensors: float64 columns come as float32 there.
            found[key] = {"dtype": str(theirs.dtype), "equal": bool(np.array_equal(ours.astype(theirs.dtype), theirs))}
    return found


def ours_to_theirs(demos: Demos, name: str, folder: Path) -> dict[str, Any]:
    """Written by imitari, opened by LeRobot, compared with what imitari reads from the same folder."""
    place = folder / name
    lerobot.write(demos, place)
    told = call(READ, str(place), str(folder / f"{name}.npz"))
    cells = dict(np.load(folder / f"{name}.npz"))
    again = open_demos(place)
    columns = compare(again, cells)
    exact = {key: bool(np.array_equal(demos.columns[key].take(demos.rows()), again.columns[key].take(again.rows())))
             for key in demos.columns if key != CAMERA and demos.columns[key].dtype != object}  # fmt: skip
    names = [str(entry.get("task") or "") for entry in demos.table.source]
    task = np.repeat(names, demos.table.length).tolist() == cells["task"].tolist()
    bounds = told["episodes"] == len(demos) and told["frames"] == demos.steps
    equal = all(entry["equal"] for entry in columns.values()) and all(exact.values()) and task and bounds
    return {"told": told, "columns": columns, "task": task, "round trip exact": exact, "equal": equal}


def theirs_to_ours(folder: Path) -> dict[str, Any]:
    """Written by LeRobot, opened by imitari, compared with what was handed to LeRobot (numbers) and what it decodes."""
    source = synthetic(1, final=False)
    picked = ["observation.state", "observation.grid", CAMERA, "action", "next.reward"]
    cells = {key: source.columns[key].take(source.rows()) for key in picked}
    cells["next.reward"] = cells["next.reward"][:, None]
    np.savez(folder / "given.npz", length=source.table.length, **cells)
    features = {
        key: {
            "dtype": "video" if key == CAMERA else str(values.dtype),
            "shape": list(values.shape[1:]),
            "names": ["height", "width", "channels"] if key == CAMERA else None,
        }
        for key, values in cells.items()
    }
    place = folder / "theirs"
    call(WRITE, str(place), str(folder / "given.npz"), json.dumps(features))
    told = call(READ, str(place), str(folder / "theirs.npz"))
    demos = open_demos(place)
    columns = compare(demos, dict(np.load(folder / "theirs.npz")))
    rows = demos.rows()
    given = {key: bool(np.array_equal(demos.columns[key].take(rows).reshape(cells[key].shape), cells[key]))
             for key in picked if key != CAMERA}  # fmt: skip
    lengths = demos.table.length.tolist() == source.table.length.tolist()
    tasks = [entry["task"] for entry in demos.table.source] == ["push", "pull", "push"]
    equal = all(entry["equal"] for entry in columns.values()) and all(given.values()) and lengths and tasks
    return {"told": told, "columns": columns, "as given": given, "lengths": lengths, "tasks": tasks, "equal": equal}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="where to write the findings")
    parser.add_argument("--episodes", type=int, default=4, help="of the human demonstrations")
    settings = parser.parse_args()
    LEROBOT.ensure()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["IMITARI_CACHE"] = str(folder / "cache")
        found = {"synthetic: imitari to LeRobot": ours_to_theirs(synthetic(), "synthetic", folder)}
        human = pusht(settings.episodes)
        if human is not None:
            found["Push-T: imitari to LeRobot"] = ours_to_theirs(human, "pusht", folder)
        found["synthetic: LeRobot to imitari"] = theirs_to_ours(folder)
    for title, entry in found.items():
        print(f"{title}: {'equal' if entry['equal'] else 'DIFFERENT'} ({entry['told']['frames']} steps)")
        for key, column in entry["columns"].items():
            print(f"  {key}: {column}")
    if settings.json:
        settings.json.write_text(json.dumps(found, indent=1))
    return 0 if all(entry["equal"] for entry in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
