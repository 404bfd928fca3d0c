"""Large behaviour model: percentiles of each chunk step, instructions, going on from an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array, Episode
from imitari.core.errors import UserError
from imitari.core.spec import INSTRUCTION, Feature, Spec
from imitari.data.sampling import Windows
from imitari.learn.agent import Agent
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.methods.cloning.lbm import LargeBehaviourModel

STATE = "observation.state"
SPEC = Spec({STATE: Feature((1,)), INSTRUCTION: Feature((4,))}, Feature((2,)))
CHUNK = 4


def two_tasks(count: int = 40, scale: float = 1.0) -> Demos:
    """The instruction says the side: left or right all along. The second number of the action grows with time."""
    rng = np.random.default_rng(0)
    episodes = []
    for number in range(count):
        side = number % 2
        instruction = np.tile(np.where(side, [1, 1, -1, 1], [1, -1, 1, -1]).astype(np.float32), (12, 1))
        action = np.column_stack([(0.8 if side else -0.8) + 0.03 * rng.normal(size=12), np.arange(12.0)])
        state = rng.uniform(-1, 1, (12, 1)).astype(np.float32)
        episodes.append(Episode({STATE: state, INSTRUCTION: instruction}, (scale * action).astype(np.float32)))
    return Demos.from_episodes(episodes, SPEC)


def small(**settings: Any) -> LargeBehaviourModel:
    made = LargeBehaviourModel.from_json({
        "steps": 250, "batch": 32, "lr": 4e-3, "warmup": 20, "ema": 0.97, "width": 32, "layers": 1, "heads": 2,
        "words": 8, "history": 1, "chunk": CHUNK, "execute": 2, **settings,
    })  # fmt: skip
    assert isinstance(made, LargeBehaviourModel)
    return made


def chunks(agent: Agent, side: int, count: int = 100) -> Array:
    """(count, CHUNK, 2) predicted at states spread over the range."""
    memory = agent.reset(count, seed=0)
    told = two_tasks(2)[side].obs[INSTRUCTION][:1]
    agent.act({STATE: np.linspace(-1, 1, count, dtype=np.float32)[:, None], INSTRUCTION: told.repeat(count, 0)}, memory)
    return memory.queue


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Agent:
    folder = tmp_path_factory.mktemp("agent")
    small().fit(two_tasks(), Run(show=False)).save(folder)
    return Agent.load(folder)


def test_it_does_what_the_instruction_says(agent: Agent) -> None:
    for side, where in ((0, -0.8), (1, 0.8)):
        found = chunks(agent, side)
        assert (np.sign(found[..., 0]) == np.sign(where)).mean() > 0.98
        assert np.median(found[..., 0]) == pytest.approx(where, abs=0.1)
        assert (np.diff(found[..., 1].mean(0)) > 0.3).all()  # it goes up within the chunk


def test_actions_are_scaled_by_the_percentiles_of_each_step_of_the_chunk(agent: Agent) -> None:
    demos = two_tasks()
    windows = Windows(demos, (0,), range(CHUNK))
    batch = windows.gather(np.arange(len(windows)))
    scaled = DeviceScaler(agent.scaler, agent.spec, torch.device("cpu")).batch(batch).action.numpy()
    for step in range(CHUNK):
        low, high = np.quantile(batch.action[:, step], [0.02, 0.98], axis=0)
        expected = np.clip((batch.action[:, step] - (low + high) / 2) / ((high - low) / 2), -1.5, 1.5)
        np.testing.assert_allclose(scaled[:, step], expected, rtol=1e-3, atol=1e-3)
    # Steps differ: late in the chunk the second number is larger.
    offset = agent.scaler.scalings[ACTION].offset
    assert offset.shape == (CHUNK, 2)
    assert offset[-1, 1] > offset[0, 1]


def test_numbers_that_are_left_as_they_are() -> None:
    scaling = small(steps=1, unscaled=(2,)).fit(two_tasks(), Run(show=False)).scaler.scalings[ACTION]
    assert (scaling.offset[:, 1] == 0).all()
    assert (scaling.width[:, 1] == 1).all()
    assert (scaling.width[:, 0] < 1).all()
    with pytest.raises(UserError, match="unscaled 3"):
        small(steps=1, unscaled=(3,)).fit(two_tasks(), Run(show=False))


def test_tuning_goes_on_from_an_agent_with_its_statistics(agent: Agent, tmp_path: Path) -> None:
    agent.save(tmp_path)
    tuned = small(steps=1, lr=1e-9, policy_start=str(tmp_path)).fit(two_tasks(4, scale=5.0), Run(show=False))
    np.testing.assert_array_equal(tuned.scaler.scalings[ACTION].width, agent.scaler.scalings[ACTION].width)
    np.testing.assert_allclose(chunks(tuned, 1), chunks(agent, 1), atol=1e-2)
    with pytest.raises(UserError, match="networks differ"):
        small(steps=1, width=16, policy_start=str(tmp_path)).fit(two_tasks(4), Run(show=False))


def test_mixed_data_sets_have_statistics_of_their_own() -> None:
    from imitari.data.mixing import mix

    demos = mix({"one": two_tasks(), "five": two_tasks(scale=5.0)})
    made = small(steps=1).fit(demos, Run(show=False))
    scaling = made.scaler.scalings[ACTION]
    assert scaling.offset.shape == (2, CHUNK, 2)
    np.testing.assert_allclose(scaling.width[1], 5 * scaling.width[0], rtol=1e-4)


def test_without_an_instruction_it_needs_none() -> None:
    demos = two_tasks()
    plain = demos.with_spec(Spec({STATE: SPEC.obs[STATE]}, SPEC.action))
    assert small(steps=1).fit(plain, Run(show=False)).spec.obs.keys() == {STATE}


def test_wrong_settings_are_one_sentence() -> None:
    with pytest.raises(UserError, match="heads"):
        small(width=30, heads=4)
    with pytest.raises(UserError, match="words"):
        small(words=0)
