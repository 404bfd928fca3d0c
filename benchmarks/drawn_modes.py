"""Modes found in trials of drawn demonstrations: is success foretold, and are the recorded modes found again?

    python benchmarks/drawn_modes.py FOLDER [--sets 2 3 4] [--seed 0] [--steps 600]

FOLDER holds polygon_2, polygon_3 and polygon_4 (each data.csv with the drawn paths and the modes they went through,
succ_traj.npy and fail_traj.npy with changed ones, (N, 2, 100)). A fifth of the trials is kept aside, neither learned
from nor used to choose the guess; on it accuracy is counted. The recorded modes are those of the drawn paths, to which
no label was shown. Shares of time steps, and of the modes the mean of what is found of each.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch

from imitari.core.demos import Demos, Provenance
from imitari.core.episode import Array, Episode
from imitari.core.spec import Feature, Spec
from imitari.data.counterfactual import STATE, by_arc_length
from imitari.learn.method import method_class
from imitari.learn.run import Run
from imitari.models.modes import ModeClassifier

NUMBERS = {"free": 0, "yellow": 1, "red": 2, **{f"mode_{number}": number for number in range(1, 5)}}
KEPT = 0.2  # share of the trials on which accuracy is counted
POINTS = 100
EDGE = 8.0


def trials(folder: Path) -> tuple[Array, Array]:
    """Paths (N, T, 2) and whether each succeeded (N,)."""
    good, bad = (np.load(folder / f"{kind}_traj.npy").transpose(0, 2, 1) for kind in ("succ", "fail"))
    return np.concatenate([good, bad]), np.arange(len(good) + len(bad)) < len(good)


def drawn(folder: Path) -> tuple[Array, Array]:
    """The drawn paths (N, T, 2) and the mode (N, T) of every point."""
    with (folder / "data.csv").open() as file:
        rows = list(csv.DictReader(file))
    count = len({row["traj_id"] for row in rows})
    points = np.array([(float(row["x"]), float(row["y"])) for row in rows])
    changes = [
        next(name for name, told in row.items() if name.startswith("transition_") and told == "True") for row in rows
    ]
    modes = np.array([NUMBERS[name.partition("_to_")[2]] for name in changes])
    return points.reshape(count, -1, 2), modes.reshape(count, -1)


def as_demos(paths: Array, succeeded: Array, where: Path) -> Demos:
    """Paths as episodes whose actions are the ways from point to point."""
    plane = Feature((2,), names=("x", "y"), low=(-EDGE,) * 2, high=(EDGE,) * 2)
    episodes = [
        Episode(
            obs={STATE: path.astype(np.float32)},
            action=np.diff(path, axis=0).astype(np.float32),
            ended="terminated",
            success=bool(kind),
        )
        for path, kind in zip(paths, succeeded, strict=True)
    ]
    return Demos.from_episodes(episodes, Spec({STATE: plane}, Feature((2,))), Provenance(str(where)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=600)
    args = parser.parse_args()
    print("set         accuracy  steps agreed  modes agreed  accuracy of the last guesses when choosing")
    for polygons in args.sets:
        folder = args.folder / f"polygon_{polygons}"
        paths, succeeded = trials(folder)
        kept = np.random.default_rng([args.seed, 0xD3]).random(len(paths)) < KEPT
        method = method_class("glide").from_json({"modes": polygons + 1, "points": POINTS, "steps": args.steps})
        agent = method.fit(as_demos(paths[~kept], succeeded[~kept], folder), Run(seed=args.seed, show=False))
        classifier = agent.learner.get_submodule("classifier")
        assert isinstance(classifier, ModeClassifier)
        fresh = torch.from_numpy(by_arc_length(list(paths[kept]), POINTS)).float()
        said = classifier.predicted(fresh)[:, int(agent.facts["grounding"]["chosen"])].numpy()
        points, true = drawn(folder)
        found = classifier.modes_of(torch.from_numpy(points).float()).numpy()
        each = [(found == true)[true == mode].mean() for mode in range(polygons + 1)]
        guesses = " ".join(f"{value:.2f}" for value in agent.facts["grounding"]["held_out_accuracy"])
        print(
            f"{folder.name}   {(said == succeeded[kept]).mean():8.3f}  {(found == true).mean():12.3f}  "
            f"{np.mean(each):12.3f}  {guesses}",
            flush=True,
        )


if __name__ == "__main__":
    main()
