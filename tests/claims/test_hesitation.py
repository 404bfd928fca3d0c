"""The demonstrator that hesitates: how often, where to, and that it still gets there."""

from typing import Any

import numpy as np
import pytest

from imitari.claims.vpt_hesitation import CLAIM, HESITATES, LOOKS, Hesitating, hesitating
from imitari.core.episode import ACTION, Array, Obs
from imitari.jobs.claim import claim_named


class Ahead:
    """Always wants to go on."""

    def reset(self, count: int, seed: int = 0) -> Any:
        return count

    def act(self, obs: Obs, memory: Any) -> tuple[Array, Any]:
        return np.full((memory, 1), 2, np.int64), memory


def shown(seed: int) -> Array:
    actor = Hesitating(Ahead(), HESITATES)
    memory = actor.reset(100, seed)
    return np.stack([actor.act({}, memory)[0] for _ in range(100)])


def test_looks_aside_as_often_as_said_and_the_same_again() -> None:
    actions = shown(3)
    assert actions.dtype == np.int64
    assert set(np.unique(actions)) == {*LOOKS, 2}
    for look in LOOKS:  # five standard errors of 10,000 steps
        assert abs((actions == look).mean() - HESITATES / 2) < 0.018
    np.testing.assert_array_equal(actions, shown(3))
    assert (actions != shown(4)).any()


def test_what_is_recorded_was_executed_and_the_door_still_opens() -> None:
    pytest.importorskip("minigrid")
    from imitari.envs import task_named
    from imitari.jobs.demonstrations import demonstrate

    task = task_named("minigrid/BabyAI-UnlockPickup-v0")
    plain, demos = demonstrate(task, range(20)), demonstrate(hesitating(task), range(20))
    assert demos.table.success.mean() >= 0.9
    assert demos.steps > 1.2 * plain.steps
    turns = np.isin(demos.columns[ACTION].take(demos.rows()), LOOKS).mean()
    assert turns > np.isin(plain.columns[ACTION].take(plain.rows()), LOOKS).mean()


def test_the_claim_that_is_found_is_this_one() -> None:
    assert claim_named("vpt_hesitation") is CLAIM
