"""RLIF: what enters the replay is what the interveners did to whom, and hands of no use do not hold the policy back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.core.task import RandomActor
from imitari.data.opening import open_demos, save_demos
from imitari.data.replay import Replay
from imitari.envs import task_named
from imitari.learn.agent import Agent
from imitari.learn.blame import blamed
from imitari.learn.interactive import ONSET, gather
from imitari.learn.interveners import Watched, intervener
from imitari.learn.method import method_class
from imitari.learn.run import Run
from imitari.methods.online.rlif import InterventionsAsReward

SMALL: dict[str, Any] = {
    "steps": 800,
    "utd": 1,
    "critics": 2,
    "hidden": (16,),
    "batch": 16,
    "together": 4,
    "delta": 0.8,
}


def demos(count: int = 3) -> Demos:
    """With the task's reward, which must not matter."""
    task = task_named("umaze")
    world = task.make(count)
    return Demos.from_episodes(interact(task.expert(world), world, range(count)), task.spec)


def fit(folder: Path | None = None, data: Demos | None = None, **settings: Any) -> Agent:
    run = Run(device="cpu", show=False, folder=folder)
    return InterventionsAsReward.from_json({**SMALL, **settings}).fit(data, run, task_named("umaze"))


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    batches: list[Any] = []
    add = Replay.add

    def noting(self: Replay, batch: Any) -> None:
        batches.append(batch)
        add(self, batch)

    monkeypatch.setattr(Replay, "add", noting)
    return batches


def column(batches: list[Any], name: str) -> np.ndarray:
    return np.concatenate([getattr(batch, name) for batch in batches])


def test_only_take_overs_are_blamed_and_each_once(stored: list[Any]) -> None:
    agent = fit(data=demos())
    prior, online = stored[0], stored[1:]
    assert prior.reward.shape == (3 * 200,)
    assert not prior.reward.any()
    rewards = column(online, "reward")
    assert set(rewards.tolist()) == {0.0, -1.0}
    [only] = agent.facts["explored"]["rounds"]
    assert only["steps"] == 800
    assert -rewards.sum() == only["take_overs"] > 20
    assert len(rewards) == 800 - 4  # one round; the last step of each episode is left out
    np.testing.assert_allclose(column(online, "discount"), 0.99)


def test_released_code_keeps_less_of_what_the_intervener_did(stored: list[Any]) -> None:
    agent = fit(store_inside=False, ending="continue")
    [only] = agent.facts["explored"]["rounds"]
    rewards = column(stored, "reward")
    assert -rewards.sum() == only["take_overs"]
    # Of four steps that an intervener holds the last is kept.
    assert len(rewards) == pytest.approx(800 - 0.75 * only["taken"], abs=4 * 4)


@pytest.mark.parametrize("kind", ["random", "distance"])
def test_other_interveners_need_no_judge(kind: str) -> None:
    agent = fit(intervener=kind, hands_bias=0.3, hands_hold=0.5)
    assert 0.1 < agent.facts["explored"]["rounds"][0]["taken"] / 800 < 0.9


def test_problems_are_one_sentence() -> None:
    run = Run(device="cpu", show=False)
    with pytest.raises(UserError, match="give --task"):
        InterventionsAsReward().fit(None, run)
    with pytest.raises(UserError, match="has no judge of actions"):
        InterventionsAsReward.from_json(SMALL).fit(None, run, task_named("two_ways"))
    with pytest.raises(UserError, match="blame_window is 0"):
        InterventionsAsReward(blame_window=0)


def test_recorded_interventions_are_rewards_for_learning_offline(tmp_path: Path) -> None:
    """The paper's variant with IQL: gather under an intervener, blame, save, open, train."""
    task = task_named("umaze")
    supervisor = intervener(Watched(delta=0.8), task, task.judge_for, 0)
    episodes = gather(RandomActor(task.spec), task, supervisor, range(3))
    taken = sum(int(episode.extra[ONSET].sum()) for episode in episodes)
    save_demos(blamed(Demos.from_episodes(episodes, task.spec)), tmp_path / "blamed.npz", "npz")
    demos = open_demos(str(tmp_path / "blamed.npz"))
    rewards = np.concatenate([episode.reward for episode in demos if episode.reward is not None])
    assert -rewards.sum() == taken > 20
    learn = method_class("iql")
    agent = learn.from_json(dict(learn.smoke)).fit(demos, Run(device="cpu", show=False), task)
    assert agent.facts["data"]["fingerprint"] == demos.fingerprint()
