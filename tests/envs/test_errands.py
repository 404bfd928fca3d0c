"""Errands: grasping, carrying and placing as they are described, and tasks that share skills but not goals."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.envs import task_named
from imitari.envs.errands import APART, GRASP, LATER, PLACED, STATE, THINGS, ids
from imitari.envs.mixed import MixedTask


def place(obs: np.ndarray, thing: str) -> np.ndarray:
    """On the table; it is observed from the hand."""
    at = 3 + 2 * THINGS.index(thing)
    return obs[..., :2] + obs[..., at : at + 2]


@pytest.mark.parametrize("name", [name for name in ids() if name != "twelve"])
def test_the_expert_solves_every_errand_and_passes_the_milestones(name: str) -> None:
    task = task_named(f"errands/{name}")
    world = task.make(8)
    goal = name.split("-")
    for episode in interact(task.expert(world), world, range(8)):
        assert episode.success
        assert episode.reward is not None
        assert set(np.unique(episode.reward).tolist()) <= {0, 0.25, 0.5, 0.75, 1}
        assert episode.reward[-1] == 1
        assert (np.diff(episode.reward) >= 0).all()
        last = episode.obs[STATE][-1]
        where = np.mean([place(last, mark) for mark in goal], axis=0)
        assert np.linalg.norm(place(last, "block") - where) < PLACED


def test_a_block_is_held_only_from_the_closing_of_the_fingers_near_it_to_their_opening() -> None:
    task = task_named("errands/ring")
    world = task.make(2)
    obs, _ = world.reset(seed=[3, 3])
    hand, block = obs[STATE][0, :2], place(obs[STATE][0], "block")
    for _ in range(40):
        way = block - obs[STATE][0, :2]
        near = np.linalg.norm(way) < GRASP / 2
        move = np.clip(way / 0.08, -1, 1) * (not near)
        # The second one comes with closed fingers: it grasps nothing.
        action = np.array([[*move, 1.0 if near else -1.0], [*move, 1.0]])
        obs, *_ = world.step(action)
        if near and obs[STATE][0, 2] == 1:
            break
    assert obs[STATE][0, 2] == 1
    assert not np.array_equal(hand, obs[STATE][0, :2])
    obs, *_ = world.step(np.array([[1.0, 0, 1], [1.0, 0, 1]]))
    np.testing.assert_allclose(place(obs[STATE][0], "block"), obs[STATE][0, :2], atol=1e-6)
    np.testing.assert_allclose(place(obs[STATE][1], "block"), block, atol=1e-6)
    obs, *_ = world.step(np.array([[1.0, 0, -1]] * 2))
    left = place(obs[STATE][0], "block")
    obs, *_ = world.step(np.array([[1.0, 0, -1]] * 2))
    np.testing.assert_allclose(place(obs[STATE][0], "block"), left, atol=1e-6)


def test_starts_lie_apart_and_a_wider_region_is_wider() -> None:
    extent = {}
    for region in (1.0, 1.3):
        world = task_named("errands/ring", region=region).make(200)
        obs, _ = world.reset(seed=range(200))
        places = np.stack([obs[STATE][:, :2], *(place(obs[STATE], thing) for thing in THINGS)], 1)
        distance = np.linalg.norm(places[:, :, None] - places[:, None], axis=3) + 9 * np.eye(7)
        assert distance.min() >= APART - 1e-5
        extent[region] = np.abs(places).max()
    assert extent[1.3] / extent[1.0] == pytest.approx(1.3, abs=0.02)
    with pytest.raises(UserError, match="region"):
        task_named("errands/ring", region=3.0)


def test_twelve_leave_errands_to_be_learned_later() -> None:
    task = task_named("errands/twelve")
    assert isinstance(task, MixedTask)
    assert len({part.description for part in task.parts}) == 12
    assert {part.name.removeprefix("errands/") for part in task.parts} == set(ids()) - {"twelve", *LATER}
    world = task.make(12)
    assert all(episode.success for episode in interact(task.expert(world), world, range(12)))


def test_pictures_show_the_block() -> None:
    world = task_named("errands/ring", pixels=32).make(2)
    obs, _ = world.reset(seed=[0, 1])
    image = obs["observation.images.top"]
    assert image.shape == (2, 32, 32, 3)
    assert (image[0] == (220, 50, 50)).all(-1).any()
