"""Shifted conditions: sensors off by so much, weaker actions, wider starts; starts stay those of the task."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.errors import Missing, UserError
from imitari.core.interaction import interact
from imitari.core.spec import INSTRUCTION
from imitari.envs import task_named

STATE = "observation.state"


def test_coordinates_are_off_by_the_offset_the_same_throughout_an_episode() -> None:
    plain, off = task_named("errands/ring"), task_named("shifted/observation:0.02/errands/ring")
    worlds = [task.make(5) for task in (plain, off)]
    (true, _), (seen, _) = (world.reset(seed=range(5)) for world in worlds)
    first = seen[STATE] - true[STATE]
    grip = plain.spec.obs[STATE].names.index("grip")  # type: ignore[union-attr]
    assert (first[:, grip] == 0).all()
    np.testing.assert_allclose(np.abs(np.delete(first, grip, 1)), 0.02, atol=1e-6)
    assert len(np.unique(np.sign(first), axis=0)) > 1
    action = np.random.default_rng(0).uniform(-1, 1, (5, 3)).astype(np.float32)
    for _ in range(5):
        (true, *_), (seen, *_) = (world.step(action) for world in worlds)
        np.testing.assert_allclose(seen[STATE] - true[STATE], first, atol=1e-6)
    again = worlds[1].restart(np.array([True, False, False, False, True]), [2, 0])
    np.testing.assert_allclose(
        again[STATE] - worlds[1].inner.observe(worlds[1].inner.state)[STATE][[0, 4]], first[[2, 0]], atol=1e-6
    )


def test_weaker_actions_go_less_far() -> None:
    plain, weak = task_named("two_ways"), task_named("shifted/action:0.5/two_ways")
    worlds = [task.make(1) for task in (plain, weak)]
    before = worlds[0].reset(seed=[0])[0][STATE].copy()
    worlds[1].reset(seed=[0])
    action = np.array([[0.4, -0.6]], np.float32)
    moves = [world.step(action)[0][STATE] - before for world in worlds]
    np.testing.assert_allclose(moves[1], 0.5 * moves[0], atol=1e-6)


def test_wider_starts() -> None:
    spread = []
    for name in ("errands/ring", "shifted/region:1.3/errands/ring"):
        obs, _ = task_named(name).make(100).reset(seed=range(100))
        spread.append(np.abs(obs[STATE][:, :2]).max())
    assert spread[1] / spread[0] == pytest.approx(1.3, abs=0.03)


def test_objects_of_a_simulator_lie_in_a_wider_region() -> None:
    extent = []
    for name in ("metaworld/push-v3", "shifted/region:1.3/metaworld/push-v3"):
        try:
            world = task_named(name).make(2)
        except Missing as missing:
            pytest.skip(str(missing))
        obs, _ = world.reset(seed=range(2))
        extent.append(np.ptp(obs[STATE][:, 4:6], axis=0))
        world.close()
    np.testing.assert_allclose(extent[1], 1.3 * extent[0], rtol=1e-3)


def test_starts_are_those_of_the_task() -> None:
    task = task_named("shifted/action:0.9/errands/ring")
    assert task.about(7) == task_named("errands/ring").about(7)
    world = task.make(3)
    episodes = interact(task.expert(world), world, range(3))
    assert all(episode.success for episode in episodes)


def test_a_mixture_is_shifted_part_by_part() -> None:
    task = task_named("shifted/observation:0.02/errands/twelve")
    plain = task_named("errands/twelve")
    assert task.about(5) == plain.about(5)
    worlds = [one.make(12) for one in (plain, task)]
    (true, _), (seen, _) = (world.reset(seed=range(12)) for world in worlds)
    np.testing.assert_array_equal(true[INSTRUCTION], seen[INSTRUCTION])
    assert np.abs(seen[STATE] - true[STATE]).max() == pytest.approx(0.02, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("shifted/gravity:2/two_ways", "no change 'gravity'"),
        ("shifted/action:x/two_ways", "positive number"),
        ("shifted/action:0.9,action:0.8/two_ways", "named twice"),
        ("shifted/region:1.3/two_ways", "no start region"),
        ("shifted/action:0.9/slippery_grid", "choices"),
        ("shifted/action:0.9/two_way", "did you mean two_ways"),
    ],
)
def test_what_cannot_be_changed_is_one_sentence(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        task_named(name)
