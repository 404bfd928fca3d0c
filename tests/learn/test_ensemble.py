"""Temporal ensembling against the weighted mean written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from imitari.core.demos import Demos
from imitari.core.episode import Array, Episode
from imitari.core.spec import Feature, Spec
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Method

SPEC = Spec({"clock": Feature((1,))}, Feature((2,)))
CHUNK = 5


class Predictor(Learner):
    """At time t, the prediction for time t + k is noise that only t and k decide."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(40, CHUNK, 2))

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        return self.table[obs["clock"][:, -1, 0].round().long()]


class Fixed(Method):
    def __init__(self, framing: Framing) -> None:
        object.__setattr__(self, "_framing", framing)

    def framing(self) -> Framing:
        return self._framing  # pyright: ignore[reportAttributeAccessIssue]


def agent_of(framing: Framing) -> Agent:
    torch.manual_seed(0)
    numbers = np.linspace(-1, 1, 8, dtype=np.float32)
    demos = Demos.from_episodes([Episode({"clock": numbers[:, None]}, np.stack([numbers, numbers], 1))], SPEC)
    return Agent(Fixed(framing), Predictor(), Scaler.fit(demos, "none", "none"), SPEC, {})


def run(agent: Agent, steps: int, interrupted: int | None = None) -> Array:
    """Actions (steps, 2, A) of two episodes; the second is taken over before step `interrupted`."""
    memory, actions = agent.reset(2), []
    for step in range(steps):
        if step == interrupted:
            agent.interrupt(np.array([False, True]), memory)
        action, memory = agent.act({"clock": np.full((2, 1), step, np.float32)}, memory)
        actions.append(action)
    return np.stack(actions)


def expected(table: Array, step: int, execute: int, rate: float, first: int = 0) -> Array:
    """The mean over the decisions at `first`, `first` + execute, ... whose chunks reach `step`, the oldest first."""
    decisions = [at for at in range(first, step + 1, execute) if step - at < CHUNK]
    weight = np.exp(-rate * np.arange(len(decisions)))
    return sum(w * table[at, step - at] for w, at in zip(weight, decisions, strict=True)) / weight.sum()


@pytest.mark.parametrize("execute", [1, 2, 3, 5])
@pytest.mark.parametrize("rate", [0.0, 0.01, 1.5, -0.5])
def test_it_is_the_weighted_mean_of_all_predictions(execute: int, rate: float) -> None:
    agent = agent_of(Framing(1, CHUNK, execute, ensemble=rate))
    table = next(agent.learner.parameters()).detach().numpy()
    actions = run(agent, 15)
    for step in range(15):
        assert np.allclose(actions[step], expected(table, step, execute, rate), atol=1e-5)


def test_an_interruption_drops_what_was_predicted_before_it() -> None:
    agent = agent_of(Framing(1, CHUNK, 2, ensemble=0.3))
    table = next(agent.learner.parameters()).detach().numpy()
    actions = run(agent, 12, interrupted=5)
    for step in range(5, 12):
        assert np.allclose(actions[step, 0], expected(table, step, 2, 0.3), atol=1e-5)
        assert np.allclose(actions[step, 1], expected(table, step, 2, 0.3, first=5), atol=1e-5)


def test_without_it_the_newest_prediction_is_executed() -> None:
    agent = agent_of(Framing(1, CHUNK, 3))
    table = next(agent.learner.parameters()).detach().numpy()
    actions = run(agent, 9)
    assert np.array_equal(actions[:, 0], [table[step - step % 3, step % 3] for step in range(9)])
