"""DAgger: data grows by expert labels on the states that the policy visits; a killed run ends with the same weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.core.spec import Feature, Spec
from imitari.core.task import Stateless, Task
from imitari.envs._batched import State
from imitari.learn.agent import Agent
from imitari.learn.optim import FusedAdamW
from imitari.learn.recorded import load_episodes
from imitari.learn.run import Run
from imitari.methods.online.dagger import DatasetAggregation
from tests.worlds import KEY, Point

SPEC = Spec({KEY: Feature((2,))}, Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))
LIMIT = 25
SMALL = DatasetAggregation(steps=40, batch=32, hidden=(32,), rounds=2, round_episodes=3)


class Plane(Point):
    """A point is driven to the origin; the action is its velocity."""

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        place = state["place"] + 0.1 * np.clip(action, -1, 1)
        there = np.linalg.norm(place, axis=1) < 0.1
        return {"place": place}, there.astype(np.float64), there, there


def expert(obs: Obs) -> Array:
    """Around the origin in a spiral, so that straight extrapolation from one demonstration fails."""
    x, y = obs[KEY].T
    way = np.stack([-x - 0.5 * y, -y + 0.5 * x], 1)
    return (way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 0.1)).astype(np.float32)


def task(limit_calls: int | None = None) -> Task:
    """With `limit_calls`, the expert dies in that call."""
    calls = [0]

    def mortal(obs: Obs) -> Array:
        calls[0] += 1
        if calls[0] == limit_calls:
            raise KeyboardInterrupt
        return expert(obs)

    return Task("plane", SPEC, LIMIT, lambda count: Plane(count, SPEC, LIMIT), lambda world: Stateless(mortal))


def one_demo() -> Demos:
    return Demos.from_episodes(interact(Stateless(expert), Plane(1, SPEC, LIMIT), [7]), SPEC)


def fit(folder: Path | None, method: DatasetAggregation = SMALL, where: Task | None = None, **settings: Any) -> Agent:
    run = Run(device="cpu", show=False, folder=folder, seed=settings.pop("seed", 0))
    return method.fit(settings.pop("demos", one_demo()), run, where or task())


def weights(agent: Agent) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in agent.learner.state_dict().items()}


def assert_same(one: Agent, other: Agent) -> None:
    for key, value in weights(one).items():
        assert torch.equal(value, weights(other)[key]), key
    assert one.identity() == other.identity()


def test_labels_are_the_experts_and_states_are_the_policys(tmp_path: Path) -> None:
    agent = fit(tmp_path, dataclasses.replace(SMALL, expert_decay=0.0))
    for number in (1, 2):
        episodes, _ = load_episodes(tmp_path / "episodes" / f"round_{number}.npz")
        assert len(episodes) == 3
        for episode in episodes:
            visited = {KEY: episode.obs[KEY][:-1]}
            np.testing.assert_allclose(episode.action, expert(visited), atol=1e-6)
            assert not episode.extra["intervention"].any()
            moved = np.diff(episode.obs[KEY], axis=0) / 0.1
            np.testing.assert_allclose(moved, np.clip(episode.extra["executed"], -1, 1), atol=1e-4)
            assert np.abs(moved - episode.action).max() > 0.01  # the policy is not the expert
    data = agent.facts["data"]
    assert data["episodes"] == 1 + 2 * 3


def test_the_experts_share_falls_by_decay(tmp_path: Path) -> None:
    method = dataclasses.replace(SMALL, steps=2, round_episodes=40, rounds=3, expert_decay=0.5, mixing="episode")
    fit(tmp_path, method)
    for number, share in [(1, 0.5), (2, 0.25), (3, 0.125)]:
        episodes, facts = load_episodes(tmp_path / "episodes" / f"round_{number}.npz")
        acted = np.mean([episode.extra["intervention"][0] for episode in episodes])
        assert facts["beta"] == pytest.approx(share)
        assert acted == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 40))


def test_starts_are_remembered_and_belong_to_the_seed() -> None:
    starts = [
        set(fit(None, dataclasses.replace(SMALL, steps=2), seed=seed).facts["starts"]["plane"]) for seed in (0, 1)
    ]
    assert all(len(one) == 6 for one in starts)
    assert not starts[0] & starts[1]


def test_rounds_bring_the_policy_nearer_to_the_expert() -> None:
    method = dataclasses.replace(SMALL, steps=300, lr=3e-3, rounds=3, round_episodes=8, expert_decay=0.0)
    states = np.random.default_rng(0).uniform(-1, 1, (400, 2)).astype(np.float32)

    def error(agent: Agent) -> float:
        action, _ = agent.act({KEY: states}, agent.reset(len(states)))
        return float(np.abs(action - expert({KEY: states})).mean())

    cloned, aggregated = error(fit(None, dataclasses.replace(method, rounds=0))), error(fit(None, method))
    assert aggregated < 0.5 * cloned


@pytest.mark.parametrize("start", ["scratch", "warm"])
@pytest.mark.parametrize("death", [3, 40])
def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path, start: Any, death: int) -> None:
    method = dataclasses.replace(SMALL, start=start)
    whole = fit(tmp_path / "whole", method)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", method, task(limit_calls=death))
    assert_same(fit(tmp_path / "cut", method), whole)
    assert_same(fit(tmp_path / "cut", method), whole)  # and once more, when all is done


def test_a_run_killed_in_training_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(tmp_path / "whole")
    steps = [0]
    original = FusedAdamW.descend

    def mortal(self: FusedAdamW) -> None:
        steps[0] += 1
        if steps[0] == 40 + 17:
            raise KeyboardInterrupt
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(FusedAdamW, "descend", mortal)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "cut")
    assert_same(fit(tmp_path / "cut"), whole)


def test_warm_start_keeps_scaling_and_goes_on_from_the_weights() -> None:
    method = dataclasses.replace(SMALL, start="warm")
    before = fit(None, dataclasses.replace(method, rounds=0))
    after, scratch = fit(None, method), fit(None)
    assert after.scaler.to_json() == before.scaler.to_json()
    assert scratch.scaler.to_json() != before.scaler.to_json()
    assert not torch.equal(weights(after)["head.out.weight"], weights(scratch)["head.out.weight"])


def test_without_demonstrations_the_expert_begins(tmp_path: Path) -> None:
    agent = fit(tmp_path, demos=None)
    episodes, _ = load_episodes(tmp_path / "episodes" / "round_0.npz")
    assert all(episode.extra["intervention"].all() for episode in episodes)
    assert agent.facts["data"]["episodes"] == 9


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    fit(tmp_path)
    with pytest.raises(UserError, match="other settings"):
        fit(tmp_path, dataclasses.replace(SMALL, expert_decay=0.1))


def test_problems_are_one_sentence() -> None:
    with pytest.raises(UserError, match="--task"):
        SMALL.fit(one_demo(), Run(device="cpu", show=False))
    with pytest.raises(UserError, match="no scripted expert"):
        fit(None, where=Task("plane", SPEC, LIMIT, lambda count: Plane(count, SPEC, LIMIT)))
    with pytest.raises(UserError, match="expert_decay 2"):
        DatasetAggregation(expert_decay=2)
