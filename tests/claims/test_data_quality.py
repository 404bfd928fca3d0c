"""The claims on data quality and compatible demonstrations: their data is composed as they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imitari.claims import compatible_demos as compatible
from imitari.claims import data_curation as curation
from imitari.claims.data_quality import SIGMA, Source, recorded
from imitari.envs import task_named
from imitari.envs.obstacle import SPEED, STATE
from imitari.jobs.claim import ArmRun, Claim


def arm_run(claim: Claim, arm: str, folder: Path) -> ArmRun:
    budget = claim.budgets["smoke"]
    settings = claim.settings(arm, budget)
    method = claim.arms[arm].method
    return ArmRun("claim", arm, method, settings, 7, budget, task_named(claim.task), range(3), folder / arm / "seed-7")


def test_both_noises_scatter_alike_and_only_the_hand_is_recorded() -> None:
    scatter, label = {}, {}
    for kind in ("system", "policy"):
        demos, failed = recorded(Source(kind, "few", SIGMA), 60, 1000)
        assert len(demos) == 60
        assert (demos.table.success == 1).all()
        assert 0 <= failed < 0.3
        steps = [np.diff(one.obs[STATE][:, :2].astype(np.float64), axis=0) for one in demos]
        # The direction of the first way is nearly the same from step to step: what varies is noise.
        scatter[kind] = np.std([np.diff(step[:8], axis=0) for step in steps]) / np.sqrt(2)
        label[kind] = max(np.linalg.norm(one.action, axis=1).max() for one in demos)
    np.testing.assert_allclose(scatter["system"], scatter["policy"], rtol=0.1)
    np.testing.assert_allclose(scatter["system"], SIGMA, rtol=0.15)
    assert label["system"] < 1.01
    assert label["policy"] > 1 + 2 * SIGMA / SPEED


def test_operators_are_who_they_are_said_to_be(tmp_path: Path) -> None:
    run = arm_run(curation.CLAIM, "all", tmp_path)
    demos = curation.everyone(run)
    each = run.budget.demos["each"]
    assert [source["operator"] for source in demos.table.source] == np.repeat(list(curation.OPERATORS), each).tolist()
    speed = {}
    for name in curation.OPERATORS:
        actions = np.concatenate([one.action for one in curation.of(demos, [name])])
        speed[name] = np.linalg.norm(actions, axis=1)
    assert speed["careful"].max() <= 1.001
    assert np.median(speed["slow"]) < 0.81
    assert (speed["pausing"] == 0).mean() > 0.1 > (speed["careful"] == 0).mean()
    assert speed["wild"].max() > speed["trembling"].max() > 1.3


def test_people_whom_nobody_tells_anything_stay_as_they_are(tmp_path: Path) -> None:
    run = arm_run(compatible.CLAIM, "collected", tmp_path)
    group = compatible.people(run)
    assert {one.source["behaviour"] for one in group.first} == {0}
    assert np.bincount(group.style).tolist() == [
        sum(len(one) for one in group.new if one.source["behaviour"] == side) for side in (0, 1)
    ]
    demos, asked = compatible.elicited(run, group.first, informed=False)
    assert demos is not None
    assert asked == run.budget.demos["taught"]
    assert sorted(one.source["behaviour"] for one in demos) == [0, 1]
    seeds = [int(source["seed"]) for part in (group.first, group.new, demos) for source in part.table.source]
    assert len(set(seeds)) == len(seeds)
