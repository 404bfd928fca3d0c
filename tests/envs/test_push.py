"""The pushing world: contact against its definition, coverage, pictures, the expert."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.envs import push, task_named
from imitari.jobs.demonstrations import demonstrate


def test_pushing_resolves_the_overlap_along_its_normal() -> None:
    rng = np.random.default_rng(0)
    block, angle = np.zeros((200, 2)), rng.uniform(0, 2 * np.pi, 200)
    pusher = rng.uniform(-0.3, 0.3, (200, 2))
    depth, normal = push.contact(pusher, block, angle)
    after, turned = push.pushed(pusher, block, angle)
    touching = depth > 0
    assert touching.any()
    assert (~touching).any()
    np.testing.assert_array_equal(after[~touching], block[~touching])
    np.testing.assert_array_equal(turned[~touching], angle[~touching])
    # To first order the point of contact moves along the normal by the depth.
    small = touching & (depth < 0.02)
    arm = pusher + push.PUSHER * normal - block
    spin = (turned - angle)[:, None] * np.stack([-arm[:, 1], arm[:, 0]], 1)
    moved = ((after - block + spin) * normal).sum(1)
    np.testing.assert_allclose(moved[small], depth[small], rtol=1e-9)
    # Frictionless: force along the normal only, and the turn has the sign of the torque.
    across = np.stack([-normal[:, 1], normal[:, 0]], 1)
    assert np.abs(((after - block) * across).sum(1)).max() < 1e-12


def test_coverage_is_one_inside_and_none_far_away() -> None:
    places = np.array([push.MARK, push.MARK + 1.0])
    assert push.coverage(places, np.zeros(2)).tolist() == [1.0, 0.0]
    between = push.coverage(push.MARK[None] + (push.RING, 0.0), np.zeros(1))
    assert 0.2 < between[0] < 0.8


def test_expert_solves_it_and_both_sides_are_taken() -> None:
    task = task_named("push")
    demos = demonstrate(task, range(40))
    assert (demos.table.success == 1).all()
    assert demos.table.length.max() < push.LIMIT
    sides = [np.sign((one.obs[push.STATE][:, 0] - one.obs[push.STATE][:, 2])[len(one) // 3]) for one in demos]
    assert {-1.0, 1.0} <= set(sides)


@pytest.mark.parametrize(("texture", "alike"), [("none", True), ("episode", True), ("frame", False)])
def test_texture_stays_as_long_as_it_says(texture: str, alike: bool) -> None:
    world = task_named("push", pixels=24, texture=texture).make(2)
    obs, _ = world.reset(seed=[1, 2])
    first = obs[push.TOP]
    obs, *_ = world.step(obs[push.STATE][:, :2])  # where the pusher is: nothing moves
    assert bool((obs[push.TOP] == first).all()) == alike
    assert bool((first[0, 0] == first[1, 0]).all()) == (texture == "none")


def test_picture_shows_the_block_where_it_is() -> None:
    task = task_named("push", pixels=64, texture="none")
    world = task.make(8)
    obs, _ = world.reset(seed=list(range(8)))
    red = (obs[push.TOP][..., 0].astype(int) - obs[push.TOP][..., 2]) > 60
    rows, columns = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    for number in range(8):
        x = (columns[red[number]].mean() + 0.5) / 32 - 1
        y = 1 - (rows[red[number]].mean() + 0.5) / 32
        np.testing.assert_allclose([x, y], obs[push.STATE][number, 2:4], atol=0.06)
