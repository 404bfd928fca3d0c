"""The tabular worlds behave as their tables say; starts and layouts depend on their seeds alone."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.core.task import RandomActor
from imitari.envs import contextual_bandit, slippery_grid, task_named
from imitari.envs.slippery_grid import GAMMA, GOAL, START, grid_mdp, hole_cells


def test_walks_follow_the_table() -> None:
    task = task_named("slippery_grid/3")
    mdp = grid_mdp(hole_cells(3))
    episodes = interact(RandomActor(task.spec), task.make(300), range(300))
    assert {(len(one), one.ended) for one in episodes} == {(100, "truncated")}
    state = np.concatenate([one.obs["observation.cell"][:-1, 0] for one in episodes])
    after = np.concatenate([one.obs["observation.cell"][1:, 0] for one in episodes])
    action, reward = (
        np.concatenate([getattr(one, name).reshape(-1) for one in episodes]) for name in ("action", "reward")
    )
    np.testing.assert_array_equal(reward, state == GOAL)
    assert (mdp.transition[state, action, after] > 0).all()
    pairs = [(START, 1), (START, 2), (9, 0)]
    for cell, move in pairs:
        mine = after[(state == cell) & (action == move)]
        expected = mdp.transition[cell, move] * len(mine)
        counts = np.bincount(mine, minlength=64)
        assert np.abs(counts - expected).max() < 5 * np.sqrt(len(mine) / 4)


def test_the_expert_earns_what_the_table_promises() -> None:
    task = task_named("slippery_grid")
    world = task.make(400)
    episodes = interact(task.expert(world), world, range(400))
    earned = np.array([float((one.reward * GAMMA ** np.arange(len(one))).sum()) for one in episodes])  # type: ignore[operator]
    promised = grid_mdp(hole_cells(0)).optimal().value[START]
    assert promised >= slippery_grid.WORTH
    assert abs(earned.mean() - promised) < 4 * earned.std() / 20 + GAMMA**100 / (1 - GAMMA)
    random = interact(RandomActor(task.spec), task.make(100), range(100))
    assert np.mean([one.total for one in episodes]) > 10 * np.mean([one.total for one in random])


def test_a_move_at_a_wall_and_from_a_hole() -> None:
    holes = hole_cells(0)
    table = grid_mdp(holes).transition
    assert table[START, 0, START] == pytest.approx(0.9)  # up into the wall, or left into the other one
    assert (table[holes][..., START] == 1).all()
    assert (table[GOAL, :, START] == 1).all()


def test_layouts_differ_and_can_be_solved() -> None:
    layouts = [hole_cells((4, number), worth=0.0) for number in range(30)]
    assert len({tuple(one) for one in layouts}) == 30
    assert all(grid_mdp(one).optimal().value[START] > 0 for one in layouts)
    np.testing.assert_array_equal(hole_cells(5), hole_cells(5))


def test_the_bandit_pays_as_its_table_says() -> None:
    task = task_named("contextual_bandit/2")
    mdp = contextual_bandit.bandit_mdp(2)
    world = task.make(4000)
    episodes = interact(task.expert(world), world, range(4000))
    assert {(len(one), one.ended) for one in episodes} == {(1, "terminated")}
    contexts = np.array([int(one.obs["observation.context"][0, 0]) for one in episodes])
    assert np.abs(np.bincount(contexts, minlength=20) / 4000 - mdp.start).max() < 0.04
    assert abs(np.mean([one.total for one in episodes]) - 0.75) < 0.03
    assert set(np.concatenate([one.reward for one in episodes]).tolist()) == {0.0, 1.0}  # type: ignore[misc]
    assert mdp.score(mdp.optimal().policy) == pytest.approx(0.75)


def test_a_start_is_its_seed() -> None:
    for name in ("slippery_grid", "contextual_bandit"):
        task = task_named(name)
        together = interact(RandomActor(task.spec), task.make(3), [5, 6, 7])
        world = task.make(2)
        first, _ = world.reset(seed=[7, 5])
        key = next(iter(task.spec.obs))
        assert first[key][0] == together[2].obs[key][0]
        assert first[key][1] == together[0].obs[key][0]


def test_the_grid_can_be_drawn() -> None:
    world = task_named("slippery_grid").make(2)
    world.reset(seed=[0, 1])
    picture = world.render()  # type: ignore[attr-defined]
    assert picture.shape == (2, 96, 96, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 4


@pytest.mark.parametrize("name", ["slippery_grid/left", "contextual_bandit/-1"])
def test_a_name_that_is_no_number_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="give a number"):
        task_named(name)
