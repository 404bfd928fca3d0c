"""Inverse models on recordings of people: frames in, actions out, compared with what was recorded, as a Markdown table.

  python benchmarks/labels_of_people.py [pusht] [atari] [--steps 1500] [--seeds 1000 1001]

`pusht`: 96x96 pictures of human Push-T demonstrations, the action is where the mouse was (R2, mean of both axes).
`atari`: a replayed game of Private Eye, 60 frames a second, 18 joystick actions (share of frames labelled right); needs
`ale-py`. A fifth of the episodes (of stretches of 300 frames) keeps its actions; the others are labelled.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.demonstrations import DATA
from imitari.core.demos import Demos, Provenance
from imitari.core.episode import ACTION, Episode
from imitari.core.spec import Feature, Spec
from imitari.data.opening import ReadOptions, open_demos
from imitari.learn.method import method_class
from imitari.learn.run import Run
from imitari.models.inverse import InverseModel, Labeller, agreement

VIEW, STRETCH, SIDE = "observation.images.view", 300, 80
GAME, ROM = "PrivateEye", "private_eye"
SETTINGS: dict[str, Any] = {"window": 8, "blocks": 0, "batch": 8, "schedule": "cosine", "channels": (16, 32, 32, 32)}


def pusht() -> Demos:
    """The demonstrations, pictures only."""
    demos = open_demos(DATA / "pusht_human", options=ReadOptions(pixels=SIDE))
    return demos.select(list(demos.spec.images))


def atari() -> Demos:
    """The replayed game in stretches of 300 frames, each an episode."""
    from ale_py import ALEInterface, LoggerMode, roms  # pyright: ignore[reportMissingImports]
    from PIL import Image

    ALEInterface.setLoggerMode(LoggerMode.Error)
    game = ALEInterface()
    game.setFloat("repeat_action_probability", 0.0)
    game.loadROM(roms.get_rom_path(ROM))
    with np.load(DATA / "atari_human" / f"{GAME}.npz", allow_pickle=False) as file:
        actions, rewards = file["actions"].astype(np.int64), file["rewards"]
    known, frames = game.getMinimalActionSet(), []
    for action, reward in zip(actions, rewards, strict=True):
        picture = Image.fromarray(game.getScreenRGB()).resize((SIDE, SIDE), Image.Resampling.BOX)
        frames.append(np.asarray(picture))
        assert game.act(known[action]) == reward, "the replay went another way"
    frames.append(frames[-1])
    spec = Spec(
        {VIEW: Feature((SIDE, SIDE, 3), "uint8", "image")},
        Feature((1,), "int64", "choice", low=(0.0,), high=(float(len(known) - 1),)),
    )
    pieces = [slice(begin, min(begin + STRETCH, len(actions))) for begin in range(0, len(actions), STRETCH)]
    episodes = [
        Episode({VIEW: np.stack(frames[part.start : part.stop + 1])}, actions[part][:, None]) for part in pieces
    ]
    return Demos.from_episodes(episodes, spec, Provenance(GAME))


def measured(demos: Demos, seed: int, steps: int, **changes: Any) -> dict[str, float]:
    """Agreement on the episodes whose actions the model was not given."""
    order = np.random.default_rng([seed, 0x1ABE1]).permutation(len(demos))
    few = max(2, len(demos) // 5)
    train, rest = demos.keep(np.sort(order[:few])), np.sort(order[few:])
    settings = {**SETTINGS, "steps": steps, **changes}
    began = time.process_time()
    method = method_class("inverse_dynamics").from_preset("small", **settings)
    agent = method.fit(train, Run(seed=seed, show=False, precision="bf16"))
    between = time.process_time()
    assert isinstance(agent.learner, InverseModel)
    label = Labeller(agent.learner, agent.scaler, agent.spec, "bf16")
    found = agreement(label(demos, rest), demos, rest)
    spent = time.process_time() - between
    frames = int(demos.table.length[rest].sum())
    return {
        **found,
        "known": float(train.steps),
        "labelled": float(frames),
        "training s": between - began,
        "frames/s": frames / spent,
    }


def usual(demos: Demos) -> float:
    """The share of the commonest choice."""
    counts = np.bincount(demos.columns[ACTION].take(demos.rows()).reshape(-1))
    return float(counts.max() / counts.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["pusht", "atari"])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1000, 1001])
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    for name in args.sets:
        demos = {"pusht": pusht, "atari": atari}[name]()
        print(f"{name}: {len(demos)} episodes, {demos.steps} steps", end="")
        print(f", commonest action {usual(demos):.3f}" if demos.spec.action.kind == "choice" else "", flush=True)
        variants: dict[str, dict[str, Any]] = {"past and future": {}, "past alone": {"context": "past"}}
        if demos.spec.action.kind == "number":
            variants = {key: {"head": "mse", **value} for key, value in variants.items()}
            variants["past and future, bins"] = {"bins": 21, "mu": 0.0}
        for words, changes in variants.items():
            for seed in args.seeds:
                found = measured(demos, seed, args.steps, **changes)
                said = ", ".join(f"{key} {value:.4g}" for key, value in found.items())
                print(f"| {name} | {words} | seed {seed} | {said} |", flush=True)


if __name__ == "__main__":
    main()
