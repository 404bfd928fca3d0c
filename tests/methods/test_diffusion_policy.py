"""Diffusion policy: it keeps both ways of two-sided demonstrations where regression takes neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.episode import Array, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.learn.agent import Agent
from imitari.learn.run import Run
from imitari.methods.cloning.bc import BehaviourCloning
from imitari.methods.cloning.diffusion_policy import DiffusionPolicy

STATE = "observation.state"
SPEC = Spec({STATE: Feature((1,))}, Feature((1,), low=(-1.0,), high=(1.0,)))
CHUNK = 4


def two_sided(count: int = 40) -> Demos:
    """Each episode goes left or right all along; what is seen (a number without meaning) does not say which."""
    rng = np.random.default_rng(0)
    episodes = []
    for number in range(count):
        side = 0.8 if number % 2 else -0.8
        action = side + 0.03 * rng.normal(size=(12, 1))
        episodes.append(Episode({STATE: rng.uniform(-1, 1, (12, 1)).astype(np.float32)}, action.astype(np.float32)))
    return Demos.from_episodes(episodes, SPEC)


def chunks(agent: Agent, count: int = 200) -> Array:
    """(count, CHUNK) predicted at observations spread over the range."""
    memory = agent.reset(count, seed=0)
    obs = {STATE: np.linspace(-1, 1, count, dtype=np.float32)[:, None]}
    agent.act(obs, memory)
    return memory.queue[:, :, 0]


@pytest.mark.parametrize(("net", "sampler"), [("unet", "ddim"), ("transformer", "ddpm")])
def test_it_takes_one_side_or_the_other_with_the_demonstrated_share(net: str, sampler: str) -> None:
    method = DiffusionPolicy.from_preset(
        "small", net=net, sampler=sampler, sampling=10, levels=50, steps=400, batch=64, lr=2e-3, warmup=20, ema=0.98,
        channels=(16, 32), kernel=3, width=32, layers=2, history=1, chunk=CHUNK, execute=CHUNK,
    )  # fmt: skip
    drawn = chunks(method.fit(two_sided(), Run(show=False)))
    right = drawn.mean(1) > 0
    assert 0.3 < right.mean() < 0.7
    # One side for the whole chunk, and near what was demonstrated there.
    assert (np.abs(np.abs(drawn) - 0.8) < 0.3).mean() > 0.8
    assert (np.sign(drawn) == np.sign(drawn[:, :1])).mean() > 0.8

    averaged = chunks(BehaviourCloning(steps=200, chunk=CHUNK, hidden=(32, 32)).fit(two_sided(), Run(show=False)))
    assert np.abs(averaged).mean() < 0.3


def test_observations_are_encoded_once_a_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = DiffusionPolicy.from_preset(None, **DiffusionPolicy.smoke).learner(SPEC).eval()
    parts = {"encoder": learner.get_submodule("encoder"), "net": learner.get_submodule("net.outlet.3")}
    calls = dict.fromkeys(parts, 0)
    for name, part in parts.items():

        def counted(*_: object, name: str = name) -> None:
            calls[name] += 1

        part.register_forward_hook(counted)
    with torch.inference_mode():
        learner.act({STATE: torch.zeros(3, 2, 1)})
    assert calls == {"encoder": 1, "net": DiffusionPolicy.smoke["sampling"]}


@pytest.mark.parametrize("net", ["unet", "transformer"])
def test_cameras_train_and_survive_saving(net: str, tmp_path: Path) -> None:
    camera = Feature((24, 24, 3), "uint8", "image")
    spec = Spec({STATE: Feature((2,)), "left": camera, "right": camera}, Feature((3,)))
    rng = np.random.default_rng(0)

    def episode() -> Episode:
        images = {key: rng.integers(0, 255, (7, 24, 24, 3), np.uint8) for key in ("left", "right")}
        state, action = (rng.normal(size=(7, size)).astype(np.float32) for size in (2, 3))
        return Episode({STATE: state, **images}, action)

    demos = Demos.from_episodes([episode() for _ in range(3)], spec)
    settings = {**DiffusionPolicy.smoke, "steps": 4, "net": net, "masked": True}
    agent = DiffusionPolicy.from_preset(None, **settings).fit(demos, Run(show=False))
    agent.save(tmp_path)
    first = {key: value[:1] for key, value in demos[0].obs.items()}
    actions = [one.act(first, one.reset(1, seed=3))[0] for one in (agent, Agent.load(tmp_path))]
    assert actions[0].shape == (1, 3)
    assert np.array_equal(actions[0], actions[1])


def test_choices_are_refused() -> None:
    spec = Spec({STATE: Feature((1,))}, Feature((1,), "int64", "choice", high=(3.0,)))
    with pytest.raises(UserError, match="numeric actions"):
        DiffusionPolicy().learner(spec)
