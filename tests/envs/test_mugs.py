"""Mugs: the expert solves it in thirds, starts go through the looks in turn, and looks that are held out are others."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.envs import mugs, task_named
from imitari.envs.mugs import HELD_OUT, TOP, TRAINING
from imitari.jobs.demonstrations import demonstrate


def test_the_expert_solves_every_start_in_thirds() -> None:
    task = task_named("mugs/pair", pixels=8)
    world = task.make(60)
    episodes = interact(task.expert(world), world, range(60), record=False)
    assert all(episode.success for episode in episodes)
    for episode in episodes:
        assert episode.reward is not None
        assert_allclose(episode.reward[episode.reward > 0].sum(), 1, rtol=1e-6)
        assert episode.reward[-1] > 0


def test_starts_go_through_all_looks_and_say_which() -> None:
    task = task_named("mugs/pair", pixels=8)
    demos = demonstrate(task, range(1_000_000, 1_000_000 + TRAINING))
    assert sorted(source["environment"] for source in demos.table.source) == list(range(TRAINING))
    assert all(source["environment"] == source["object"] for source in demos.table.source)
    others = {task_named("mugs/pair", held_out=True).about(seed)["environment"] for seed in range(100)}
    assert others == set(range(TRAINING, TRAINING + HELD_OUT))
    assert {task_named("mugs/environment").about(seed)["object"] for seed in range(50)} == {0}
    assert {task_named("mugs/object").about(seed)["environment"] for seed in range(50)} == {0}
    alone = task_named("mugs/pair", only=3)
    assert {alone.about(seed)["environment"] for seed in range(50)} == {3}
    with pytest.raises(UserError, match="--only is 40"):
        task_named("mugs/pair", only=40)


def test_the_picture_changes_with_the_look_and_not_the_place() -> None:
    seen = {}
    for name in mugs.ids():
        world = task_named(f"mugs/{name}", pixels=16).make(2)
        obs, _ = world.reset(seed=[5, 5 + TRAINING])  # two starts of one look
        again, _ = world.reset(seed=[5, 5])
        assert_array_equal(again[TOP][0], again[TOP][1])
        assert (obs[TOP][0] != obs[TOP][1]).any()
        seen[name] = again[TOP][0].astype(int), world.state["mug"][0], world.state["light"][0]
    assert_array_equal(seen["pair"][1], seen["object"][1])
    assert_array_equal(seen["pair"][2], seen["environment"][2])
    assert (seen["pair"][0] != seen["environment"][0]).any()
    assert not np.array_equal(seen["pair"][2], seen["object"][2])


def test_a_picture_of_another_size_shows_the_same() -> None:
    small, large = (task_named("mugs/pair", pixels=side).make(3) for side in (8, 32))
    for world in (small, large):
        world.reset(seed=range(3))
        world.step(np.full((3, 3), 0.5, np.float32))
    assert_array_equal(small.picture(small.state, 32), large.picture(large.state, 32))


def test_the_mug_is_held_only_by_a_closed_hand_that_is_near() -> None:
    task = task_named("mugs/pair", pixels=8)
    world = task.make(2)
    world.reset(seed=[0, 1])
    world.state["hand"] = np.array([world.state["mug"][0] + 0.05, world.state["mug"][1] + 0.6])
    world.step(np.array([[0, 0, 1.0], [0, 0, 1.0]]))
    assert world.state["held"].tolist() == [True, False]
    world.step(np.array([[1, 0, 1.0], [0, 0, 1.0]]))
    assert_allclose(world.state["mug"][0], world.state["hand"][0])
    world.step(np.array([[0, 0, -1.0], [0, 0, 1.0]]))
    assert world.state["held"].tolist() == [False, False]


def test_the_smaller_the_variety_the_more_kitchens_are_alike() -> None:
    spread = {}
    for variety in (0.0, 0.5, 1.0):
        world = task_named("mugs/pair", pixels=8, variety=variety).make(TRAINING)
        world.reset(seed=range(TRAINING))
        spread[variety] = {key: world.state[key].std(0) for key in ("texture", "light", "mat", "camera", "mug_colour")}
    for key, whole in spread[1.0].items():
        assert_allclose(spread[0.0][key], 0, atol=1e-12)
        assert_allclose(spread[0.5][key], whole / 2)
        assert whole.min() > 0
