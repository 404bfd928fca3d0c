"""The mask that is learned: against a plain table; it goes with the step, the agent and the resume point. And starts
that are learned one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.continuing import Continuing
from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.starts import learning_starts
from imitari.core.task import Task
from imitari.envs import task_named
from imitari.envs._batched import BatchedWorld, State
from imitari.learn.agent import Agent
from imitari.learn.rollout import LOG_DENSITY, Practice
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.learn.tried import UNTRIED, Tried, remembering, with_untried
from imitari.methods.online.ppo import ProximalPolicyOptimisation
from tests.conftest import CutAt

KEY = "observation.state"
LINE = Spec({KEY: Feature((2,))}, Feature((1,), "int64", "choice", low=(0,), high=(3,)))
SMALL = ProximalPolicyOptimisation(
    steps=96, together=2, horizon=8, batch=8, epochs=1, hidden=(8,), clone_steps=0, mask="learned", acting="mean"
)


class Line(BatchedWorld):
    """Places 0 to 4 of a line; choice 0 goes back, 1 goes on, 2 and 3 do nothing. It ends at the last place."""

    def start(self, rng: np.random.Generator) -> State:
        return {"place": rng.integers(1, 3, ()), "kind": rng.integers(0, 9, ())}

    def observe(self, state: State) -> Obs:
        return {KEY: np.stack([state["place"], state["kind"]], 1).astype(np.float32)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        step = np.array([-1, 1, 0, 0])[action.reshape(-1)]
        place = np.clip(state["place"] + step, 0, 4)
        there = place == 4
        return {**state, "place": place}, there.astype(np.float32), there, there


def line() -> Task:
    return Task("line", LINE, 12, lambda count: Line(count, LINE, 12))


def scale_of(spec: Spec) -> DeviceScaler:
    from imitari.data.scaling import Scaler
    from imitari.learn.policy_start import plain

    return DeviceScaler(Scaler({key: plain(one) for key, one in spec.numbers.items()}), spec, torch.device("cpu"))


def test_the_table_is_a_table() -> None:
    rng = np.random.default_rng(0)
    tried, known = Tried(with_untried(LINE)), {}
    for _ in range(40):
        states = rng.integers(-5, 6, (6, 2)).astype(np.float32)
        choices = rng.integers(0, 4, 6)
        tried.refuse({KEY: torch.from_numpy(states)}, torch.from_numpy(choices))
        for state, choice in zip(states, choices, strict=True):
            known.setdefault(tuple(state), set()).add(int(choice))
    every = np.array([(a, b) for a in range(-6, 7) for b in range(-6, 7)], np.float32)
    found = tried({KEY: torch.from_numpy(every)}).numpy()
    for state, row in zip(every, found, strict=True):
        assert {n for n in range(4) if row[n] == 0} == known.get(tuple(state), set())


def test_what_changed_nothing_is_masked_where_it_was_tried() -> None:
    tried = Tried(with_untried(LINE))
    world = remembering(line(), tried, scale_of(with_untried(LINE))).make(3)
    obs, _ = world.reset(seed=[0, 1, 2])
    assert obs[UNTRIED].min() == 1
    obs, *_ = world.step(np.array([[2], [1], [3]]))
    assert obs[UNTRIED].tolist() == [[1, 1, 0, 1], [1, 1, 1, 1], [1, 1, 1, 0]]
    for _ in range(6):  # the last place is an end: what is frozen there was not tried in vain
        obs, *_ = world.step(np.array([[1], [1], [1]]))
    assert obs[KEY][:, 0].tolist() == [4, 4, 4]
    assert obs[UNTRIED].min() == 1
    again = world.restart(np.array([True, False, False]), [0])
    assert again[UNTRIED].tolist() == [[1, 1, 0, 1]]


def test_the_mask_is_stored_with_the_step_and_its_density() -> None:
    torch.manual_seed(0)
    learner = SMALL.learner(LINE)
    assert learner.tried is not None
    spec = with_untried(LINE)
    scale = scale_of(spec)
    stream = Continuing(remembering(line(), learner.tried, scale), 2, lambda number: number)
    rollout = Practice(stream, learner, scale, spec, "fp32", 0.9, 0.9).act(40)
    known: dict[tuple[float, ...], set[int]] = {}
    states, masks = (rollout.obs[key].reshape(40, 2, -1) for key in (KEY, UNTRIED))
    actions = rollout.action.reshape(40, 2)
    for step in range(40):
        for row in range(2):
            state = tuple(states[step, row])
            assert {n for n in range(4) if masks[step, row, n] == 0} == known.get(state, set())
        for row in range(2):
            state, action = tuple(states[step, row]), int(actions[step, row])
            assert action not in known.get(state, set()) or len(known[state]) == 4
            if action > 1 or (action == 0 and state[0] == 0):
                known.setdefault(state, set()).add(action)
    assert masks.min() == 0
    with torch.no_grad():
        plain = learner.net({KEY: torch.from_numpy(rollout.obs[KEY])})[0].logits  # type: ignore[union-attr]
    plain[torch.from_numpy(rollout.obs[UNTRIED] == 0)] = -np.inf
    density = torch.log_softmax(plain, 1).gather(1, torch.from_numpy(rollout.action))[:, 0]
    np.testing.assert_allclose(rollout.extra[LOG_DENSITY], density, atol=1e-5)


def fit(method: ProximalPolicyOptimisation, task: Task, **settings: Any) -> Agent:
    return method.fit(None, Run(device="cpu", show=False, **settings), task)


def test_an_agent_keeps_its_table(tmp_path: Path) -> None:
    agent = fit(SMALL, line())
    assert UNTRIED not in agent.spec.obs
    tried = agent.learner.get_submodule("tried")
    assert bool(tried.get_buffer("refused").any())
    agent.save(tmp_path)
    loaded = Agent.load(tmp_path)
    states = np.array([(a, b) for a in range(5) for b in range(9)], np.float32)
    told = []
    for one in (agent, loaded):
        action, _ = one.act({KEY: states}, one.reset(len(states)))
        refused = one.learner.get_submodule("tried")({KEY: torch.from_numpy(states)}).numpy() == 0
        assert refused.any()
        assert not refused[np.arange(len(states)), action[:, 0]].any()
        told.append(action)
    np.testing.assert_array_equal(*told)


def test_starts_are_learned_one_after_another_and_resumed(tmp_path: Path, cut_at: CutAt) -> None:
    method = ProximalPolicyOptimisation.from_json({**SMALL.to_json(), "maps": 3})
    assert isinstance(method, ProximalPolicyOptimisation)
    whole = fit(method, line(), folder=tmp_path / "whole")
    with cut_at(9):
        fit(method, line(), folder=tmp_path / "cut", save_seconds=0.0)
    again = fit(method, line(), folder=tmp_path / "cut", save_seconds=0.0)
    assert again.identity() == whole.identity()
    assert again.facts["maps"] == whole.facts["maps"]
    assert [one["start"] for one in whole.facts["maps"]] == [learning_starts(0, number)[0] for number in range(3)]
    assert whole.facts["starts"] == {"line": [learning_starts(0, number)[0] for number in range(3)]}
    assert sum(one["solved"] for one in whole.facts["maps"]) > 0
    for one in whole.facts["maps"]:
        assert one["solved"] <= one["episodes"]
        assert (one["best"] > 0) == (one["solved"] > 0)


def test_numbers_cannot_be_masked() -> None:
    with pytest.raises(UserError, match="only choices"):
        fit(SMALL, task_named("two_ways"))
