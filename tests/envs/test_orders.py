"""Orders: what a picture shows, what taking does, and that the expert goes straight to what is wanted."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.envs import task_named
from imitari.envs.orders import COLOURS, GREY, LIGHT, MOVES, SEEN, SIDE, TAKE, THINGS, VIEW, Orders, ids


@pytest.mark.parametrize("name", ids())
def test_the_expert_fetches_everything_on_the_shortest_way(name: str) -> None:
    world = task_named(f"orders/{name}").make(20)
    assert isinstance(world, Orders)
    world.reset(seed=range(20))
    begun = {key: value.copy() for key, value in world.state.items()}
    for number, episode in enumerate(interact(task_named(f"orders/{name}").expert(world), world, range(20))):
        assert episode.success
        assert episode.reward is not None
        assert episode.reward.sum() == pytest.approx(1)
        stops = np.concatenate([begun["at"][number][None], begun["cells"][number, : int(name)]])
        assert len(episode.action) == np.abs(np.diff(stops, axis=0)).sum() + int(name)


def test_ways_are_drawn_anew_by_the_experts_seed() -> None:
    task = task_named("orders/3")
    world = task.make(30)
    assert isinstance(world, Orders)
    taken = []
    for seed in (0, 1):
        expert = task.expert(world)
        obs, _ = world.reset(seed=range(30))
        taken.append(expert.act(obs, expert.reset(30, seed))[0])
    assert (taken[0] != taken[1]).any()
    state = world.state
    way = state["cells"][:, 0] - state["at"]
    straight = (way == 0).any(1)
    np.testing.assert_array_equal(taken[0][straight], taken[1][straight])


def test_the_picture_shows_the_floor_from_where_the_picker_is() -> None:
    world = task_named("orders/2").make(12)
    assert isinstance(world, Orders)
    obs, _ = world.reset(seed=range(12))
    cell = obs[VIEW].shape[1] // SEEN
    middles = obs[VIEW][:, cell // 2 :: cell, cell // 2 :: cell].astype(int)  # (B, SEEN, SEEN, 3) by rows
    for seen, at, cells, colours in zip(
        middles, *(world.state[key] for key in ("at", "cells", "colours")), strict=True
    ):
        expected = np.zeros((SEEN, SEEN, 3))
        for x in range(SIDE):
            for y in range(SIDE):
                shown = COLOURS[colours[0]] * LIGHT[(x + y) % 2]
                for place, colour in zip(cells, colours, strict=True):
                    if tuple(place) == (x, y):
                        shown = COLOURS[colour]
                expected[SIDE - 1 + y - at[1], SIDE - 1 + x - at[0]] = shown
        np.testing.assert_allclose(seen, expected, atol=1)


def test_the_light_follows_the_order_and_goes_out() -> None:
    task = task_named("orders/2")
    world = task.make(1)
    assert isinstance(world, Orders)
    (episode,) = interact(task.expert(world), world, [4])
    colours = world.state["colours"][0]
    at_the_picker = episode.obs[VIEW][:, SEEN * 5 // 2, SEEN * 5 // 2].astype(int)
    takes = np.flatnonzero(episode.action[:, 0] == TAKE)
    after = at_the_picker[takes + 1]  # the thing is gone, the floor is lit for what follows
    for light, expected in zip(after, (COLOURS[colours[1]], np.full(3, GREY)), strict=True):
        assert min(np.abs(light - share * expected).max() for share in LIGHT) <= 1


def test_taking_a_wrong_thing_ends_it_and_taking_nothing_does_nothing() -> None:
    world = task_named("orders/1").make(3)
    assert isinstance(world, Orders)
    world.reset(seed=range(3))
    cells = world.state["cells"]
    free = next(np.array([x, y]) for x in range(SIDE) for y in range(SIDE) if not (cells[2] == [x, y]).all(1).any())
    world.state["at"] = np.stack([cells[0, 0], cells[1, 1], free])
    before = world.state["at"].copy()
    _, reward, terminated, _, info = world.step(np.full((3, 1), TAKE))
    np.testing.assert_array_equal(terminated, [True, True, False])
    np.testing.assert_array_equal(info["success"], [True, False, False])
    np.testing.assert_array_equal(reward, [1, 0, 0])
    np.testing.assert_array_equal(world.state["at"], before)
    assert world.state["done"].tolist() == [1, 0, 0]


def test_moves_stop_at_the_edge() -> None:
    world = task_named("orders/6").make(len(MOVES))
    assert isinstance(world, Orders)
    world.reset(seed=range(len(MOVES)))
    for _ in range(SIDE):
        world.step(np.arange(len(MOVES))[:, None])
    at = world.state["at"]
    assert at[0, 1] == at[3, 0] == 0
    assert at[1, 0] == at[2, 1] == SIDE - 1
    assert len(np.unique(world.state["cells"][0], axis=0)) == THINGS


def test_pictures_that_are_too_small_are_refused() -> None:
    with pytest.raises(UserError, match="--pixels is 20"):
        task_named("orders/3", pixels=20)
    with pytest.raises(UserError, match="orders/7"):
        task_named("orders/7")
