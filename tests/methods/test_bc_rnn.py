"""BC-RNN: it remembers what a memoryless policy cannot, and forgets when it is told to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.episode import Array, Episode
from imitari.core.spec import Feature, Spec
from imitari.data.sampling import Windows
from imitari.learn.agent import Agent
from imitari.learn.run import Run
from imitari.methods.cloning.bc import BehaviourCloning
from imitari.methods.cloning.bc_rnn import RecurrentCloning

STATE = "observation.state"
SPEC = Spec({STATE: Feature((2,))}, Feature((1,), low=(-1.0,), high=(1.0,)))
STEPS = 10


def cue_episodes(count: int = 32) -> Demos:
    """The first observation shows a sign, the others nothing but the time; the action is the sign, give or take."""
    episodes, rng = [], np.random.default_rng(0)
    for number in range(count):
        sign = 1.0 if number % 2 else -1.0
        seen = np.stack([np.zeros(STEPS), np.linspace(-1, 1, STEPS)], 1)
        seen[0, 0] = sign
        action = 0.7 * sign + 0.05 * rng.normal(size=(STEPS, 1))
        episodes.append(Episode({STATE: seen.astype(np.float32)}, action.astype(np.float32)))
    return Demos.from_episodes(episodes, SPEC)


def replay(agent: Agent, demos: Demos, which: list[int], steps: int = STEPS) -> Array:
    """Actions (B, steps, 1) for the observations of the chosen episodes."""
    memory = agent.reset(len(which), seed=0)
    actions = []
    for step in range(steps):
        obs = {STATE: np.stack([demos[number].obs[STATE][min(step, STEPS - 1)] for number in which])}
        action, memory = agent.act(obs, memory)
        actions.append(action)
    return np.stack(actions, 1)


@pytest.fixture(scope="module")
def agent() -> Agent:
    method = RecurrentCloning(steps=700, batch=32, width=24, lr=1e-2, length=STEPS, renew=0, masked=True)
    return method.fit(cue_episodes(), Run(show=False))


def test_it_remembers_the_cue_and_a_memoryless_policy_does_not(agent: Agent) -> None:
    demos = cue_episodes()
    assert np.abs(replay(agent, demos, [0, 1]) - np.array([[[-0.7]], [[0.7]]])).max() < 0.2

    blind = BehaviourCloning(steps=300, batch=32, hidden=(32, 32)).fit(demos, Run(show=False))
    late = replay(blind, demos, [0, 1])[:, 1:]
    assert np.abs(late).max() < 0.35  # the mean of both signs, wrong for either


def test_acting_step_by_step_equals_one_pass_over_the_sequence(agent: Agent) -> None:
    learner = agent.learner
    obs = {STATE: torch.randn(3, STEPS, 2)}
    with torch.inference_mode():
        whole, _ = learner.predict(obs, None)  # pyright: ignore[reportCallIssue]
        state, parts = learner.start(3), []
        for step in range(STEPS):
            now = {STATE: obs[STATE][:, step : step + 1]}
            prediction, state = learner.predict(now, state)  # pyright: ignore[reportCallIssue]
            parts.append(prediction.mode)
    assert torch.allclose(torch.cat(parts, 1), whole.mode, atol=1e-5)


def test_the_memory_is_cleared_every_renew_steps(agent: Agent) -> None:
    demos, settings = cue_episodes(), {**agent.method.to_json(), "renew": 5}
    forgetful = Agent(RecurrentCloning.from_json(settings), agent.learner, agent.scaler, agent.spec, agent.facts)
    actions, kept = replay(forgetful, demos, [0, 1]), replay(agent, demos, [0, 1])
    assert np.array_equal(actions[:, :5], kept[:, :5])
    # After the fifth step both episodes look alike to a blank memory: the same distribution, whichever the cue was.
    memory = forgetful.reset(2, seed=0)
    for step in range(6):
        _, memory = forgetful.act({STATE: np.stack([demos[n].obs[STATE][step] for n in (0, 1)])}, memory)
    assert torch.equal(memory.state[0][0], memory.state[0][1])


def test_masking_decides_whether_the_tail_is_learnt() -> None:
    demos = cue_episodes(4)
    index = np.arange(demos.steps)
    batch = Windows(demos, range(STEPS), range(STEPS)).gather(index).map(lambda _, value: torch.as_tensor(value))
    losses = []
    for masked in (False, True):
        torch.manual_seed(0)
        learner = RecurrentCloning(width=8, head="mse", masked=masked).learner(SPEC)
        losses.append((learner.losses(batch)["action_loss"], learner.predict(batch.obs, None)[0].loss(batch.action)))  # pyright: ignore[reportCallIssue]
    (repeated, error), (cut, _) = losses
    assert torch.isclose(repeated, error.mean())
    assert torch.isclose(cut, error[batch.valid].mean())
    assert not torch.isclose(repeated, cut)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_images_and_choices_train_and_survive_saving(cell: str, tmp_path: Path) -> None:
    spec = Spec(
        {STATE: Feature((2,)), "observation.images.top": Feature((24, 24, 3), "uint8", "image")},
        Feature((1,), "int64", "choice", high=(2.0,)),
    )
    rng = np.random.default_rng(0)
    episodes = [
        Episode(
            {
                STATE: rng.normal(size=(6, 2)).astype(np.float32),
                "observation.images.top": rng.integers(0, 255, (6, 24, 24, 3), np.uint8),
            },
            rng.integers(0, 3, (6, 1)),
        )
        for _ in range(3)
    ]
    method = RecurrentCloning.from_preset("small", **RecurrentCloning.smoke, cell=cell)
    agent = method.fit(Demos.from_episodes(episodes, spec), Run(show=False))
    agent.save(tmp_path)
    first = {key: value[:1] for key, value in episodes[0].obs.items()}
    actions = [one.act(first, one.reset(1, seed=3))[0] for one in (agent, Agent.load(tmp_path))]
    assert actions[0].shape == (1, 1)
    assert actions[0].dtype == np.int64
    assert np.array_equal(actions[0], actions[1])
