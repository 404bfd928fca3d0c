"""Policies over single actions and windows: both of two ways are taken to their ends, where regression takes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from imitari.core.demos import Demos
from imitari.core.episode import Array, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.learn.agent import Agent
from imitari.learn.method import method_class
from imitari.learn.run import Run
from imitari.nets.mlp import ResidualMLP

STATE = "observation.state"
SPEC = Spec({STATE: Feature((1,))}, Feature((1,)))
STEPS, PACE = 12, 0.1
SMALL: dict[str, dict[str, Any]] = {
    "bet": {"steps": 250, "batch": 64, "width": 16, "layers": 1, "heads": 2, "bins": 8, "window": 3, "dropout": 0.0},
    "diffusion_mlp": {"steps": 500, "batch": 128, "width": 32, "blocks": 1, "levels": 6, "ema": 0.98},
    "diffusion_gpt": {
        "lr": 5e-3, "steps": 400, "batch": 64, "width": 16, "layers": 1, "heads": 2, "levels": 6, "window": 3,
        "dropout": 0.0, "ema": 0.98,
    },
    "beso": {
        "steps": 300, "batch": 64, "width": 16, "layers": 1, "heads": 2, "sampling": 6, "window": 3, "dropout": 0.0,
        "ema": 0.98,
    },
    "ibc": {
        "steps": 250, "batch": 48, "width": 24, "blocks": 1, "iterations": 3, "negatives": 32, "candidates": 64,
        "penalty": 0.0,
    },
    "vae_state": {"steps": 500, "batch": 128, "hidden": (32, 32), "latent": 1, "kl_weight": 0.2},
}  # fmt: skip


def walks(count: int = 60) -> Demos:
    """Along a line from near 0, to either side."""
    rng = np.random.default_rng(0)
    episodes = []
    for number in range(count):
        action = (PACE if number % 2 else -PACE) + 0.005 * rng.normal(size=(STEPS, 1))
        place = 0.02 * rng.normal() + np.concatenate([[[0.0]], np.cumsum(action, 0)[:-1]])
        episodes.append(Episode({STATE: place.astype(np.float32)}, action.astype(np.float32)))
    return Demos.from_episodes(episodes, SPEC)


def walked(agent: Agent, count: int = 200, seed: int = 0) -> Array:
    """(STEPS + 1, count) places on walks of the agent, all from 0."""
    memory, place = agent.reset(count, seed), np.zeros((count, 1), np.float32)
    places = [place]
    for _ in range(STEPS):
        action, memory = agent.act({STATE: place}, memory)
        place = place + action
        places.append(place)
    return np.stack(places)[..., 0]


def trained(name: str, **settings: Any) -> Agent:
    method = method_class(name).from_preset("small", **settings)
    return method.fit(walks(), Run(show=False, precision="fp32"))


@pytest.mark.parametrize("name", SMALL)
def test_both_ways_are_taken_and_each_to_its_end(name: str) -> None:
    agent = trained(name, **{"lr": 3e-3, "warmup": 20, "schedule": "cosine", **SMALL[name]})
    places = walked(agent, 100)
    end = places[-1] / (STEPS * PACE)
    assert 0.25 < (end > 0).mean() < 0.75
    # What lies between the two halves of the autoencoder's latent lies between the ways.
    assert (np.abs(np.abs(end) - 1) < 0.3).mean() > (0.6 if name == "vae_state" else 0.85)
    actions = np.diff(places, axis=0)
    shown = walks().columns["action"].take(np.arange(60 * STEPS))
    assert shown.min() - 1e-5 < actions.min() < actions.max() < shown.max() + 1e-5


def test_regression_takes_the_mean_of_both() -> None:
    end = walked(trained("bc", steps=300, batch=64, hidden=(32, 32)))[-1]
    assert np.ptp(end) < 1e-4  # every walk from the same place is the same


def test_the_residual_perceptron_of_the_benchmark_learns_as_well() -> None:
    settings = {"hidden": (32,) * 6, "activation": "mish", "residual": True, "steps": 200, "batch": 64}
    demos = walks(2).keep([1])  # one way
    agent = method_class("bc").from_preset("small", **settings).fit(demos, Run(show=False))
    blocks = [part for part in agent.learner.modules() if isinstance(part, ResidualMLP)]
    assert [len(part.blocks) for part in blocks] == [3]
    assert any(isinstance(part, nn.Mish) for part in blocks[0].modules())
    assert np.abs(walked(agent)[-1] / (STEPS * PACE) - 1).max() < 0.1
    with pytest.raises(UserError, match="equally wide"):
        method_class("bc").from_preset("small", **{**settings, "hidden": (32, 16)}).learner(SPEC)


@pytest.mark.parametrize("name", ["bet", "diffusion_gpt", "beso"])
def test_the_window_grows_from_one_step_and_forgets_the_oldest(name: str) -> None:
    agent = trained(name, **{**method_class(name).smoke, "window": 3})
    memory, seen = agent.reset(2), []
    for step in range(5):
        agent.act({STATE: np.full((2, 1), step, np.float32)}, memory)
        seen.append(memory.state[0].shape[1])
    assert seen == [1, 2, 3, 3, 3]
    newest = agent.scaler.scalings[STATE].apply(np.array([[2.0], [3.0], [4.0]], np.float32))
    assert np.allclose(memory.state[0][0], newest, atol=1e-5)


def test_the_perceptron_backbone_sees_the_present_alone() -> None:
    settings = {**method_class("bet").smoke, "backbone": "mlp"}
    agent = trained("bet", **settings)
    memory = agent.reset(2)
    for _ in range(3):
        agent.act({STATE: np.zeros((2, 1), np.float32)}, memory)
    assert memory.state[0].shape[1] == 1


@pytest.mark.parametrize("name", SMALL)
def test_cameras_train_and_survive_saving(name: str, tmp_path: Path) -> None:
    camera = Feature((24, 24, 3), "uint8", "image")
    spec = Spec({STATE: Feature((2,)), "left": camera}, Feature((3,)))
    rng = np.random.default_rng(0)

    def episode() -> Episode:
        image = rng.integers(0, 255, (7, 24, 24, 3), np.uint8)
        state, action = (rng.normal(size=(7, size)).astype(np.float32) for size in (2, 3))
        return Episode({STATE: state, "left": image}, action)

    demos = Demos.from_episodes([episode() for _ in range(3)], spec)
    method = method_class(name).from_preset(None, **{**method_class(name).smoke, "steps": 3})
    agent = method.fit(demos, Run(show=False))
    agent.save(tmp_path)
    first = {key: value[:1] for key, value in demos[0].obs.items()}
    actions = [one.act(first, one.reset(1, seed=3))[0] for one in (agent, Agent.load(tmp_path))]
    assert actions[0].shape == (1, 3)
    assert np.array_equal(actions[0], actions[1])


@pytest.mark.parametrize("name", SMALL)
def test_choices_are_refused(name: str) -> None:
    spec = Spec({STATE: Feature((1,))}, Feature((1,), "int64", "choice", high=(3.0,)))
    with pytest.raises(UserError, match=f"'{name}' needs numeric actions"):
        method_class(name).from_preset(None).learner(spec)
