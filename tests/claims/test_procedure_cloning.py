"""The claim on procedure cloning: its data leaves a start of every maze out, its agents differ in acting alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from imitari.claims.procedure_cloning import CLAIM, LEARNERS, TRIALS, changed, shown, trained
from imitari.envs import task_named
from imitari.envs.tunnels import MAP, layout
from imitari.jobs.claim import ArmRun


def arm_run(arm: str, folder: Path) -> ArmRun:
    budget, task = CLAIM.budgets["smoke"], task_named(CLAIM.task)
    method, settings = LEARNERS[TRIALS[arm].learner]
    settings = {**settings, **CLAIM.settings(arm, budget)}
    return ArmRun("procedure_cloning", arm, method, settings, 7, budget, task, range(3), folder / arm / "seed-7")


def test_four_ways_through_every_maze(tmp_path: Path) -> None:
    demos = shown(arm_run("procedure few", tmp_path), "many")
    seeds = [source["seed"] for source in demos.table.source]
    assert seeds == [8_000_000 + number for number in (0, 1, 2, 3, 5, 6, 7, 8)]
    for number, seed in enumerate(seeds):
        np.testing.assert_array_equal(demos[number].obs[MAP][0, ..., 0] > 0, layout(16, seed // 5))
    assert (demos.table.success == 1).all()


def test_arms_of_one_agent_share_its_weights(tmp_path: Path) -> None:
    whole = trained(arm_run("procedure many", tmp_path), TRIALS["procedure many"])
    one = trained(arm_run("one step many", tmp_path), TRIALS["one step many"])
    for key, value in whole.learner.state_dict().items():
        assert torch.equal(value, one.learner.state_dict()[key])
    assert (whole.learner.longest, one.learner.longest) == (100, 1)
    assert whole.facts == one.facts
    assert changed(whole, {}) is whole
