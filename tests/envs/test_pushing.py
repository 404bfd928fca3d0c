"""Two blocks onto two marks: the state, what the four ways are, and hands that show all of them."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.episode import Array
from imitari.core.interaction import interact
from imitari.envs import pushing, task_named
from imitari.envs._table import STATE
from imitari.evaluate.diversity import behaviour_entropy


def placed(red: str, green: str) -> Array:
    """Which pairs (1, 4) are complete with the blocks on marks "r", "g" or nowhere, "-"."""
    where = {"r": pushing.MARKS[0], "g": pushing.MARKS[1], "-": np.zeros(2)}
    return pushing.completed(np.stack([where[red], where[green]])[None])


def told(*steps: tuple[str, str]) -> list[int]:
    """The way after each of some steps."""
    first, way, seen = np.array([-1]), np.array([-1]), list[int]()
    for step in steps:
        first, way = pushing.ordered(first, way, placed(*step))
        seen.append(int(way[0]))
    return seen


def test_the_way_is_the_first_pair_and_then_its_complement() -> None:
    assert told(("-", "-"), ("r", "-"), ("r", "g")) == [-1, -1, 0]
    assert told(("-", "g"), ("r", "g")) == [-1, 1]
    assert told(("g", "-"), ("g", "r")) == [-1, 2]
    assert told(("-", "r"), ("g", "r")) == [-1, 3]
    assert told(("r", "-"), ("-", "-"), ("r", "g")) == [-1, -1, 0]  # left in between: still the first
    assert told(("r", "-"), ("g", "-"), ("g", "r")) == [-1, -1, -1]  # the first pair was given up: none of the four
    assert told(("r", "g"), ("-", "g")) == [0, 0]
    assert pushing.NAMES == ("rr-gg", "gg-rr", "rg-gr", "gr-rg")


def test_starts_are_where_they_may_be() -> None:
    world = task_named("pushing").make(300)
    obs, _ = world.reset(seed=range(300))
    state = obs[STATE]
    assert state.shape == (300, 10)
    np.testing.assert_allclose(state[:, :4], np.tile([0.525, -0.28], 2)[None].repeat(300, 0), rtol=1e-6)
    for block, (low, high) in enumerate(pushing.ROOM):
        place = state[:, 4 + 3 * block : 6 + 3 * block]
        assert (place >= low - 1e-6).all()
        assert (place <= high + 1e-6).all()
        np.testing.assert_allclose((place.min(0) - low, high - place.max(0)), 0, atol=0.01)
    assert np.abs(state[:, 6]).max() > 10  # the tangent near 90 degrees


@pytest.mark.parametrize("name", ["pushing", "sorting/4"])
def test_repeats_share_their_start_and_nothing_else(name: str) -> None:
    world = task_named(name, repeats=4).make(12)
    obs, _ = world.reset(seed=range(8, 20))
    state = obs[STATE].reshape(3, 4, -1)
    assert (state == state[:, :1]).all()
    assert (state[0, 0] != state[1, 0]).any()
    alone, _ = task_named(name).make(3).reset(seed=[2, 3, 4])
    np.testing.assert_array_equal(alone[STATE], state[:, 0])
    assert task_named(name, repeats=4).context(11) == task_named(name, repeats=4).context(8) == 2


@pytest.mark.parametrize(("name", "blocks"), [("pushing", 2), ("sorting/4", 4)])
def test_sine_and_cosine_in_the_place_of_the_tangent(name: str, blocks: int) -> None:
    plain, other = (task_named(name, angle=angle).make(20) for angle in ("tan", "sin_cos"))
    tangent, both = (world.reset(seed=range(20))[0][STATE] for world in (plain, other))
    assert both.shape == (20, 4 + 4 * blocks)
    for block in range(blocks):
        sine, cosine = both[:, 6 + 4 * block], both[:, 7 + 4 * block]
        np.testing.assert_allclose(sine / cosine, tangent[:, 6 + 3 * block], rtol=1e-3)
        np.testing.assert_allclose(sine**2 + cosine**2, 1, rtol=1e-5)


def test_hands_show_every_way_equally_often() -> None:
    task = task_named("pushing")
    starts = range(3_000_000, 3_000_000 + 120)
    world = task.make(len(starts))
    episodes = interact(task.expert(world), world, starts, record=False)
    solved = np.array([bool(episode.success) for episode in episodes])
    ways = np.array([episode.source.get("behaviour", -1) for episode in episodes])
    assert solved.mean() >= 0.95
    assert (ways == np.array(starts) % 4)[solved].mean() > 0.95
    assert behaviour_entropy(ways[None], solved[None] & (ways >= 0), 4).entropy > 0.97


def test_every_rollout_of_a_context_in_another_way() -> None:
    """The oracle with all four ways in each of five contexts, and one with a single way."""
    task = task_named("pushing", repeats=4)
    world = task.make(20)
    episodes = interact(task.expert(world), world, range(20), record=False)
    ways = np.array([episode.source["behaviour"] for episode in episodes]).reshape(5, 4)
    solved = np.array([bool(episode.success) for episode in episodes]).reshape(5, 4)
    assert behaviour_entropy(ways, solved, 4).entropy > 0.97
    assert behaviour_entropy(np.full((5, 4), 2), solved, 4).entropy == 0


def test_the_reward_tells_how_near_the_blocks_are() -> None:
    task = task_named("pushing")
    world = task.make(8)
    episodes = interact(task.expert(world), world, range(8))
    for episode in episodes:
        blocks = episode.obs[STATE][[0, -1]][:, [4, 5, 7, 8]].reshape(2, 2, 2)
        gained = pushing.distance(blocks[:1]) - pushing.distance(blocks[1:])
        assert episode.total == pytest.approx(float(gained[0]) + 1, abs=1e-3)


def test_picture_shows_the_blocks() -> None:
    world = task_named("pushing", pixels=64).make(2)
    obs, _ = world.reset(seed=[0, 1])
    image = obs["observation.images.top"]
    for colour in pushing.COLOURS:
        area = (image == colour).all(-1).sum((1, 2)) / 64**2 * 0.65
        np.testing.assert_allclose(area, 0.06**2, rtol=0.3)
