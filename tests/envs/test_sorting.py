"""Blocks into trays: sizes, when a colour is noted, and hands that show every order."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.interaction import interact
from imitari.envs import sorting, task_named
from imitari.envs._blocks import overlap
from imitari.envs._table import STATE


@pytest.mark.parametrize(("blocks", "size", "ways", "limit"), [(2, 10, 2, 500), (4, 16, 6, 700), (6, 22, 20, 1200)])
def test_sizes(blocks: int, size: int, ways: int, limit: int) -> None:
    task = task_named(f"sorting/{blocks}")
    assert task.spec.obs[STATE].shape == (size,)
    assert len(task.behaviours) == len(set(task.behaviours)) == ways
    assert task.limit == limit
    assert all(name.count("r") == name.count("b") == blocks // 2 for name in task.behaviours)


def test_blocks_begin_in_different_cells_and_apart() -> None:
    world = sorting.Sorting(200, task_named("sorting/6").spec, 1200, 6, 1, None, "tan")
    world.reset(seed=range(200))
    block, yaw = world.state["block"], world.state["yaw"]
    deepest = max(
        overlap(block[:, a], yaw[:, a], block[:, b], yaw[:, b], sorting.HALF)[0].max()
        for a in range(6)
        for b in range(a)
    )
    assert deepest < 1e-3
    middle = sorting.CELLS.mean(1)
    nearest = np.linalg.norm(block[:, :, None] - middle, axis=3).argmin(2)
    assert np.mean([len(set(row)) == 6 for row in nearest.tolist()]) > 0.9
    assert not world.inside(block).any()


def test_a_colour_is_noted_when_a_block_is_first_in_its_own_tray() -> None:
    world = sorting.Sorting(1, task_named("sorting/4").spec, 700, 4, 1, None, "tan")
    red, blue, out = (0.4, 0.3), (0.62, 0.3), (0.5, 0.0)
    entered, order = np.zeros((1, 4), bool), np.array([1])
    for places in (
        [out, out, out, out],
        [out, out, blue, out],  # b
        [blue, out, blue, out],  # a red block in the blue tray is nothing
        [red, out, out, out],  # r; the blue one leaves
        [red, out, blue, out],  # and comes back: nothing new
        [red, red, blue, (0.7, 0.23)],  # two at once: the nearer one first
    ):
        block = np.array([places])
        entered, order = world.noted(entered, order, block, world.inside(block))
    assert order.tolist() == [int("11001", 2)]
    assert task_named("sorting/4").behaviours[world.number_of[order[0]]] == "brrb"
    assert world.number_of[int("1100", 2)] == -1  # not all are in


def test_solved_is_when_all_are_inside() -> None:
    world = sorting.Sorting(2, task_named("sorting/2").spec, 500, 2, 1, None, "tan")
    world.reset(seed=[0, 1])
    world.state["block"] = np.array([[(0.4, 0.3), (0.6, 0.3)], [(0.4, 0.3), (0.4, 0.35)]])
    _, _, terminated, _, info = world.step(np.zeros((2, 2), np.float32))
    assert info["success"].tolist() == terminated.tolist() == [True, False]


@pytest.mark.parametrize("blocks", [2, 4])
def test_hands_show_every_order(blocks: int) -> None:
    task = task_named(f"sorting/{blocks}")
    ways = len(task.behaviours)
    starts = range(3_000_000, 3_000_000 + 60)
    world = task.make(60)
    episodes = interact(task.expert(world), world, starts, record=False)
    solved = np.array([bool(episode.success) for episode in episodes])
    found = np.array([episode.source.get("behaviour", -1) for episode in episodes])
    assert solved.mean() >= 0.95
    assert (found == np.array(starts) % ways)[solved].mean() > 0.9
    assert len(set(found[solved])) == ways
