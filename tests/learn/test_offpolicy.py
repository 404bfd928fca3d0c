"""Learning by acting: what enters the replay, how many updates follow, and a training that is cut off in any round."""

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
from imitari.core.supervisor import Ruling
from imitari.core.task import RandomActor, Task
from imitari.data.replay import Replay
from imitari.envs._batched import State
from imitari.learn.actor_critic import SoftSettings
from imitari.learn.agent import Agent
from imitari.learn.offpolicy import fit_offpolicy
from imitari.learn.run import Run, Updates
from tests.conftest import CutAt
from tests.worlds import KEY, Point

SPEC = Spec({KEY: Feature((2,))}, Feature((2,), low=(-2.0, -2.0), high=(2.0, 2.0)))
LIMIT = 12
SMALL = SoftSettings(
    steps=150, utd=2, together=3, warm_steps=20, critics=3, hidden=(16,), batch=16, capacity=500, gamma=0.9
)


class Plane(Point):
    """A point is driven to the origin, which ends the episode; far away it falls off."""

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        place = state["place"] + 0.2 * np.clip(action, -2, 2)
        size = np.linalg.norm(place, axis=1)
        there = size < 0.4
        return {"place": place}, there.astype(np.float64), there | (size > 1.5), there


TASK = Task("plane", SPEC, LIMIT, lambda count: Plane(count, SPEC, LIMIT))


def demos() -> Demos:
    return Demos.from_episodes(interact(RandomActor(SPEC), Plane(20, SPEC, LIMIT), range(20)), SPEC)


def fit(folder: Path | None = None, data: Demos | None = None, **settings: Any) -> Agent:
    run = Run(device="cpu", show=False, folder=folder, save_seconds=settings.pop("save_seconds", 0.0))
    supervisor = settings.pop("supervisor", None)
    without = settings.pop("without_reward", False)
    method = dataclasses.replace(SMALL, **settings)
    return fit_offpolicy(method, data, run, TASK, supervisor=supervisor, without_reward=without)


def same(one: Agent, other: Agent) -> bool:
    weights = other.learner.state_dict()
    return all(torch.equal(value, weights[key]) for key, value in one.learner.state_dict().items())


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every batch that is put into a replay."""
    batches: list[Any] = []
    add = Replay.add

    def noting(self: Replay, batch: Any) -> None:
        batches.append(batch)
        add(self, batch)

    monkeypatch.setattr(Replay, "add", noting)
    return batches


def test_every_environment_step_is_stored_once_as_it_happened(added: list[Any]) -> None:
    agent = fit()
    obs, after = (np.concatenate([getattr(batch, name)[KEY] for batch in added]) for name in ("obs", "next_obs"))
    action, reward, discount = (
        np.concatenate([getattr(batch, name) for batch in added]) for name in ("action", "reward", "discount")
    )
    assert len(obs) == SMALL.steps == agent.facts["explored"]["steps"]
    np.testing.assert_allclose(after, obs + 0.2 * action, atol=1e-6)
    there, fell = np.linalg.norm(after, axis=1) < 0.4, np.linalg.norm(after, axis=1) > 1.5
    np.testing.assert_array_equal(reward, there)
    np.testing.assert_allclose(discount, np.where(there | fell, 0, 0.9), atol=1e-6)
    assert there.any()
    assert fell.any()
    rounds = agent.facts["explored"]["rounds"]
    assert sum(one["steps"] for one in rounds) == SMALL.steps
    assert sum(one["solved"] for one in rounds) == there.sum()
    assert all(one["taken"] == 0 for one in rounds)


def test_updates_follow_environment_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[bool] = []
    update = Updates.step

    def noting(self: Updates, step: int, batch: Any, losses: Any = None) -> None:
        assert step == len(kinds)
        kinds.append(losses is None)
        update(self, step, batch, losses)

    monkeypatch.setattr(Updates, "step", noting)
    fit()
    assert len(kinds) == (SMALL.steps - SMALL.warm_steps) * SMALL.utd
    assert kinds == [False, True] * (SMALL.steps - SMALL.warm_steps)  # the policy once an environment step


@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_demonstrations_enter_before_or_beside(ratio: float, added: list[Any]) -> None:
    data = demos()
    agent = fit(data=data, offline_ratio=ratio, batch=32)
    stored = sum(map(len, added))
    assert stored == SMALL.steps + (0 if ratio else data.steps)
    assert agent.facts["data"]["episodes"] == 20
    assert agent.scaler.scalings[KEY].width[0] != 1
    np.testing.assert_array_equal(agent.scaler.scalings["action"].width, [2, 2])  # the box, not what was demonstrated


def test_without_reward_only_successes_end(added: list[Any]) -> None:
    data = demos()
    fit(data=data, without_reward=True)
    first, flags = added[0], np.asarray(data.table.success)
    last = np.cumsum(data.table.length) - 1
    assert not first.reward.any()
    np.testing.assert_allclose(first.discount[last], np.where(flags == 1, 0, 0.9), atol=1e-6)
    assert (flags == 0).any()
    assert (np.asarray(data.table.ended) == 1).any()
    assert np.abs(first.action).max() <= 2 * 0.999 + 1e-6


def test_starts_are_remembered_and_belong_to_the_seed() -> None:
    one = fit()
    starts = one.facts["starts"]["plane"]
    assert starts == list(range(1_500_000, 1_500_000 + 3 * len(one.facts["explored"]["rounds"])))


@pytest.mark.parametrize("death", [1, 60, 130, 259])
@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_a_killed_training_ends_with_the_same_weights(death: int, ratio: float, tmp_path: Path, cut_at: CutAt) -> None:
    data = demos()
    whole = fit(tmp_path / "whole", data, offline_ratio=ratio)
    assert len(whole.facts["explored"]["rounds"]) > 4
    with cut_at(death):
        fit(tmp_path / "cut", data, offline_ratio=ratio)
    kept = sorted(path.name for path in (tmp_path / "cut" / "resume").glob("*"))
    assert len(kept) == (0 if death == 1 else 3), kept
    again = fit(tmp_path / "cut", data, offline_ratio=ratio)
    assert same(whole, again)
    assert whole.facts == again.facts
    assert same(whole, fit(tmp_path / "cut", data, offline_ratio=ratio))  # and once more, when all is done


def test_it_learns_to_reach_the_origin() -> None:
    agent = fit(steps=500, warm_steps=100, lr=3e-3, tau=0.02, batch=64, hidden=(32, 32), entropy_backup=False)
    trained = interact(agent, Plane(100, SPEC, LIMIT), range(100))
    chance = interact(RandomActor(SPEC), Plane(100, SPEC, LIMIT), range(100))
    assert np.mean([one.success for one in trained]) > np.mean([one.success for one in chance]) + 0.2


class Second:
    """Acts in every second step, always the same."""

    reasons = ("policy", "second")

    def begin(self, task: Any, world: Any, seeds: Any) -> None:
        self.step = 0

    def decide(self, obs: Obs, proposal: Array) -> Ruling:
        self.step += 1
        mask = np.full(len(proposal), self.step % 2 == 0)
        return Ruling(mask, np.full_like(proposal, 0.125), mask.astype(np.uint8))


def test_what_a_supervisor_does_is_executed_and_counted(added: list[Any]) -> None:
    agent = fit(supervisor=Second())
    action = np.concatenate([batch.action for batch in added])
    taken = (action == 0.125).all(1).sum()
    rounds = agent.facts["explored"]["rounds"]
    assert taken == sum(one["taken"] for one in rounds) == sum(one["take_overs"] for one in rounds) > 20


def test_problems_are_one_sentence() -> None:
    with pytest.raises(UserError, match="warm_steps is 150"):
        dataclasses.replace(SMALL, warm_steps=150)
    with pytest.raises(UserError, match="offline_ratio is 1"):
        dataclasses.replace(SMALL, offline_ratio=1.0)
    with pytest.raises(UserError, match="together 0"):
        dataclasses.replace(SMALL, together=0)
    unbounded = dataclasses.replace(TASK, spec=Spec(SPEC.obs, Feature((2,))))
    with pytest.raises(UserError, match="with bounds"):
        fit_offpolicy(SMALL, None, Run(device="cpu", show=False), unbounded)
