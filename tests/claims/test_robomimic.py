"""What the claims about the study of offline learning from people rest on: data, checkpoints, ranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from imitari.claims import robomimic_checkpoints as checkpoints
from imitari.claims import robomimic_sources as sources
from imitari.core.starts import evaluation_starts, judging_starts
from imitari.envs import task_named
from imitari.jobs.claim import ArmRun, Budget
from imitari.learn.agent import Agent


def test_machines_are_of_every_quality_and_rewarded_at_success_alone() -> None:
    task = task_named(sources.CLAIM.task)
    budget = replace(sources.CLAIM.budgets["quick"], demos={"each": 40, "shown": 40})
    demos = sources.machines(budget, 1000, task)
    assert len(demos) == 40 * len(sources.SHARES)
    rates = (demos.table.success == 1).reshape(-1, 40).mean(1)
    assert rates[0] > 0.9
    assert rates[-1] < 0.3
    assert 0.35 < rates.mean() < 0.65
    for episode in demos:
        assert episode.reward is not None
        assert episode.reward[:-1].tolist() == [0.0] * (len(episode) - 1)
        assert episode.reward[-1] == float(bool(episode.success))
    assert (sources.people(budget, 1000, task).table.success == 1).all()


def test_a_shaken_hand_is_a_mixture_of_what_is_wanted_and_of_chance() -> None:
    task = task_named(sources.CLAIM.task)
    world = task.make(2000)
    obs, _ = world.reset(seed=list(range(2000)))
    actor = sources.Shaken(task.expert(world), 0.4)
    memory = actor.reset(2000, seed=1)
    plain = task.expert(world)
    wanted, _ = plain.act(obs, plain.reset(2000, seed=1))
    action, memory = actor.act(obs, memory)
    chance = (action - 0.6 * wanted) / 0.4
    assert np.abs(chance).max() <= 1 + 1e-5
    again, _ = actor.act(obs, memory)
    same = np.isclose(again, action, atol=1e-6).all(1).mean()
    assert abs(same - sources.KEPT) < 0.03


def test_ranks_are_those_of_spearman() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=15).tolist(), rng.integers(0, 4, 15).astype(float).tolist()
    assert checkpoints.rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert checkpoints.rank_correlation(a, [1.0] * 15) == 0.0


def test_checkpoints_are_those_of_the_training(tmp_path: Path) -> None:
    budget = Budget(range(2), 5, {"episodes": 10, "shown": 10, "rollouts": 3})
    policy = checkpoints.POLICIES["recurrent"]
    task = task_named(policy.task)
    settings = {**policy.arm.settings, "steps": 6, "batch": 8, "width": 8}
    run = ArmRun(
        "c", "recurrent_best", "bc_rnn", settings, 1000, budget, task, evaluation_starts(5), tmp_path / "a" / "s"
    )
    folder = checkpoints.shared(run, "recurrent")
    looks = checkpoints.studied(run, policy, task, folder)
    assert [look.step for look in looks] == [1, 2, 3, 4, 5, 6]
    assert len({look.loss for look in looks}) == len(looks)
    last, first = checkpoints.checkpoint(folder, 6), checkpoints.checkpoint(folder, 1)
    final = Agent.load(folder)
    for name, value in final.learner.state_dict().items():
        assert torch.equal(last.learner.state_dict()[name], value)
    assert first.identity() != last.identity() == final.identity()
    assert looks == checkpoints.studied(run, policy, task, folder)
    chosen, judged = set(judging_starts(1000, 3)), set(run.starts)
    trained = {start for starts in final.facts["starts"].values() for start in starts}
    assert not chosen & judged
    assert not chosen & trained
