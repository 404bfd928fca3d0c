"""HG-DAgger: only what the intervener did joins the data; a killed run ends with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.envs import task_named
from imitari.learn.agent import Agent
from imitari.learn.interactive import EXECUTED, INTERVENTION
from imitari.learn.recorded import load_episodes
from imitari.learn.run import Run
from imitari.methods.online.hg_dagger import HumanGated
from tests.conftest import CutAt

SMALL: dict[str, Any] = {
    "steps": 20,
    "batch": 16,
    "hidden": (16,),
    "rounds": 2,
    "round_episodes": 2,
    "delta": 0.8,
    "hands_bias": 0.2,
}


def fit(folder: Path | None = None, **settings: Any) -> Agent:
    task = task_named("umaze")
    world = task.make(2)
    data = Demos.from_episodes(interact(task.expert(world), world, range(2)), task.spec)
    run = Run(device="cpu", show=False, folder=folder, save_seconds=0.0)
    return HumanGated.from_json({**SMALL, **settings}).fit(data, run, task)


def test_only_the_interveners_steps_are_added(tmp_path: Path) -> None:
    agent = fit(tmp_path)
    added = 0
    for number in (1, 2):
        episodes, _ = load_episodes(tmp_path / "episodes" / f"round_{number}.npz")
        for episode in episodes:
            mask = episode.extra[INTERVENTION]
            assert 0 < mask.sum() < len(mask)
            added += int(mask.sum())
            bent = episode.extra[EXECUTED][mask]
            assert (np.abs(bent) <= 0.8 + 0.2 + 1e-6).all()
    assert agent.facts["data"]["steps"] == 2 * 200 + added
    assert agent.facts["environment_steps"] == 4 * 200


def test_it_stops_after_so_many_environment_steps() -> None:
    assert fit(rounds=9, environment_steps=500).facts["environment_steps"] == 800


def test_without_an_intervention_nothing_is_added() -> None:
    agent = fit(hit=0.0, false_alarm=0.0)
    assert agent.facts["data"]["steps"] == 400


def test_random_interventions_are_a_setting() -> None:
    agent = fit(intervener="random", probability=0.85, rounds=1)
    assert agent.facts["data"]["steps"] == pytest.approx(400 + 0.85 * 400, abs=40)


@pytest.mark.parametrize("death", [5, 33, 50])
@pytest.mark.parametrize("start", ["warm", "scratch"])
def test_a_killed_run_ends_with_the_same_weights(death: int, start: str, tmp_path: Path, cut_at: CutAt) -> None:
    whole = fit(tmp_path / "whole", start=start)
    with cut_at(death):
        fit(tmp_path / "cut", start=start)
    again = fit(tmp_path / "cut", start=start)
    for key, value in whole.learner.state_dict().items():
        assert torch.equal(value, again.learner.state_dict()[key]), key


def test_problems_are_one_sentence() -> None:
    with pytest.raises(UserError, match="give --data and --task"):
        HumanGated().fit(None, Run(device="cpu", show=False), task_named("umaze"))
    with pytest.raises(UserError, match="round_episodes"):
        HumanGated(round_episodes=0)
