"""The hollow box: walls that hold from both sides while the rod is low, errors, two ways, hands that show both."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.episode import Array
from imitari.core.interaction import interact
from imitari.envs import aligning, task_named
from imitari.envs._batched import State
from imitari.envs._blocks import touched, turned
from imitari.envs._table import STATE
from imitari.evaluate.diversity import behaviour_entropy


def box_at(yaw: float, rod: tuple[float, float, float], within: bool) -> State:
    return {
        "box": np.array([[0.5, 0.0]]),
        "yaw": np.array([yaw]),
        "rod": np.array([rod]),
        "within": np.array([within]),
        "target": np.array([[0.5, 0.3]]),
        "aim": np.array([0.0]),
    }


def led(state: State, *places: tuple[float, float, float]) -> State:
    """The state after the rod went straight to place after place, in steps of at most 3 mm."""
    for place in places:
        begin = state["rod"]
        count = int(np.ceil(np.linalg.norm(np.asarray(place) - begin) / 0.003))
        for share in np.linspace(0, 1, count + 1)[1:]:
            state = aligning.moved(state, begin + share * (np.asarray(place) - begin))
    return state


def test_from_inside_the_box_is_drawn_along_and_held() -> None:
    state = led(box_at(0.3, (0.5, 0.0, 0.2), False), (0.5, 0.0, 0.06), (0.5, 0.2, 0.06))
    assert state["within"][0]
    assert np.abs(turned(state["rod"][:, :2] - state["box"], -state["yaw"])).max() <= aligning.INNER + 1e-6
    assert state["box"][0, 1] > 0.15


def test_above_the_walls_nothing_is_touched() -> None:
    state = led(box_at(0.3, (0.5, 0.0, 0.2), False), (0.5, 0.2, 0.2), (0.6, -0.1, 0.12))
    np.testing.assert_array_equal(state["box"], [[0.5, 0.0]])
    assert not state["within"][0]


def test_from_outside_it_is_pushed() -> None:
    state = led(box_at(0.3, (0.5, -0.12, 0.06), False), (0.5, 0.05, 0.06))
    assert not state["within"][0]
    assert state["box"][0, 1] > 0.08
    assert touched(state["rod"][:, :2], state["box"], state["yaw"], aligning.HALF)[0] < 1e-4


def test_coming_down_on_a_wall_the_rod_stays_there() -> None:
    above = (0.5, aligning.HALF - aligning.WALL / 2, 0.2)
    state = led(box_at(0.0, above, False), (*above[:2], 0.06))
    assert state["rod"][0, 2] == aligning.TOP
    np.testing.assert_array_equal(state["box"], [[0.5, 0.0]])
    assert not state["within"][0]
    # Out again the way it came in.
    state = led(box_at(0.0, (0.5, 0.0, 0.2), False), (0.5, 0.0, 0.06), (0.5, 0.0, 0.2), (0.5, 0.2, 0.2))
    np.testing.assert_array_equal(state["box"], [[0.5, 0.0]])


def quaternions(yaw: Array) -> Array:
    return np.stack([np.cos(yaw / 2), 0 * yaw, 0 * yaw, np.sin(yaw / 2)], 1)


def test_the_errors_are_those_of_quaternions() -> None:
    rng = np.random.default_rng(0)
    yaw, aim = rng.uniform(-2 * np.pi, 2 * np.pi, (2, 200))
    box, target = rng.uniform(-1, 1, (2, 200, 2))
    distance, turn = aligning.errors({"box": box, "target": target, "yaw": yaw, "aim": aim})
    product = np.abs((quaternions(yaw) * quaternions(aim)).sum(1))
    np.testing.assert_allclose(turn, 2 * np.arccos(np.minimum(product, 1)) / np.pi, atol=1e-6)
    np.testing.assert_allclose(distance, np.linalg.norm(box - target, axis=1))


@pytest.mark.parametrize(("shift", "turn", "solved"), [(0.017, 0.047, True), (0.019, 0.0, False), (0.0, 0.049, False)])
def test_solved_within_both_bounds(shift: float, turn: float, solved: bool) -> None:
    state = box_at(turn * np.pi, (0.5, 0.25, 0.06), False)
    state["box"] = state["target"] + np.array([[shift, 0.0]])
    assert aligning.aligned(state).tolist() == [solved]


@pytest.mark.parametrize(("away", "way"), [(0.05, 0), (0.052, 1)])
def test_the_way_is_where_the_rod_is_at_the_end(away: float, way: int) -> None:
    world = aligning.Aligning(1, task_named("aligning").spec, 400, aligning.START, 1, None)
    state = box_at(0.0, (0.5, 0.3 - away, 0.06), away < 0.051)
    assert world.behaviour(state).tolist() == [-1]  # not solved
    state["box"] = state["target"]
    assert world.behaviour(state).tolist() == [way]


def test_observation() -> None:
    world = task_named("aligning").make(100)
    obs, _ = world.reset(seed=range(100))
    state = obs[STATE]
    assert state.shape == (100, 20)
    np.testing.assert_allclose(state[:, :6], np.tile(aligning.START, 2)[None].repeat(100, 0), rtol=1e-6)
    for first, (low, high) in ((6, aligning.ROOM), (13, aligning.GOALS)):
        assert (state[:, first : first + 2] >= low - 1e-6).all()
        assert (state[:, first : first + 2] <= high + 1e-6).all()
        np.testing.assert_allclose((state[:, first + 3 : first + 7] ** 2).sum(1), 1, rtol=1e-5)
        assert (state[:, first + 3] >= np.cos(np.pi / 4) - 1e-6).all()  # yaw within 90 degrees


def test_hands_show_both_ways_equally_often() -> None:
    task = task_named("aligning")
    starts = range(3_000_000, 3_000_000 + 80)
    world = task.make(80)
    episodes = interact(task.expert(world), world, starts)
    solved = np.array([bool(episode.success) for episode in episodes])
    ways = np.array([episode.source.get("behaviour", -1) for episode in episodes])
    assert solved.mean() >= 0.95
    assert (ways == np.array(starts) % 2)[solved].mean() > 0.95
    assert behaviour_entropy(ways[None], solved[None], 2).entropy > 0.97
    for episode in episodes[:20]:  # low, the rod is never inside a wall
        state = episode.obs[STATE].astype(np.float64)
        yaw = 2 * np.arctan2(state[:, 12], state[:, 9])
        local = np.abs(turned(state[:, 3:5] - state[:, 6:8], -yaw)).max(1)
        low = state[:, 5] < aligning.TOP - 1e-4
        depth = touched(state[:, 3:5], state[:, 6:8], yaw, aligning.HALF)[0]
        assert ((local < aligning.INNER + 1e-3) | (depth < 1e-3) | ~low).all()
