"""Worlds of polygons: geometry against a winding number, steps against the rule written out, jumps, following paths."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.envs import task_named
from imitari.envs.polygons import EDGE, STATE, STEP, Chain, Polygons, contains, layout


def wound(polygon: Array, point: Array) -> bool:
    """Whether the corners go once around the point: the sum of the angles under which it sees the edges."""
    corners = polygon - point
    angles = np.arctan2(corners[:, 1], corners[:, 0])
    turns = (np.diff(angles, append=angles[:1]) + np.pi) % (2 * np.pi) - np.pi
    return bool(abs(turns.sum()) > np.pi)


@pytest.mark.parametrize("modes", [3, 4, 5])
def test_modes_are_where_the_polygons_are(modes: int) -> None:
    chain = layout(modes, 3)
    points = np.random.default_rng(0).uniform(-EDGE, EDGE, (400, 2))
    points = np.concatenate([points, chain.polygons.mean(1)])
    for point, mode in zip(points, chain.modes_of(points), strict=True):
        inside = [number + 1 for number, polygon in enumerate(chain.polygons) if wound(polygon, point)]
        assert mode == (inside[0] if inside else 0)
        assert len(inside) < 2


@pytest.mark.parametrize("number", range(4))
def test_neighbours_share_an_edge_and_others_keep_apart(number: int) -> None:
    chain = layout(5, number)
    for before, after in zip(chain.polygons[:-1], chain.polygons[1:], strict=True):
        edges = [{tuple(before[i]), tuple(before[(i + 1) % 4])} for i in range(4)]
        assert {tuple(after[0]), tuple(after[1])} in edges
    assert chain.modes_of(chain.start) == 0


def square_chain() -> Chain:
    """Two squares beside each other: x from 0 to 2 and from 2 to 4, y from 0 to 2."""
    first = np.array([(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)])
    second = np.array([(2.0, 2.0), (2.0, 0.0), (4.0, 0.0), (4.0, 2.0)])
    return Chain(np.stack([first, second]), np.array([-2.0, 1.0]))


@pytest.mark.parametrize(
    ("before", "action", "wrong"),
    [
        ((-0.05, 1.0), (1.0, 0.0), False),  # from outside into the first
        ((1.95, 1.0), (1.0, 0.0), False),  # on to the second
        ((2.05, 1.0), (-1.0, 0.0), False),  # back
        ((3.0, 0.05), (0.0, -1.0), False),  # from the second outside
        ((3.0, -0.05), (0.0, 1.0), True),  # from outside into the second
    ],
)
def test_a_step_is_wrong_where_it_skips_a_mode(before: Array, action: Array, wrong: bool) -> None:
    chain = square_chain()
    world = Polygons(1, task_named("polygons/3-0").spec, chain, "")
    world.reset(seed=[0])
    place = np.array([before])
    world.state.update(position=place, inside=chain.modes_of(place))
    _, _, terminated, _, info = world.step(np.array([action]))
    assert bool(terminated[0]) == wrong
    assert not info["success"][0]


def test_success_is_in_the_middle_of_the_last_polygon() -> None:
    chain = square_chain()
    world = Polygons(1, task_named("polygons/3-0").spec, chain, "")
    world.reset(seed=[0])
    world.state.update(position=np.array([(2.65, 1.0)]), inside=np.array([2]))
    _, reward, terminated, _, info = world.step(np.array([(1.0, 0.0)]))
    assert terminated[0]
    assert info["success"][0]
    assert reward[0] == 1


@pytest.mark.parametrize("name", ["3-0", "4-1", "5-0", "3-1-disturbed"])
def test_the_expert_solves_it(name: str) -> None:
    task = task_named(f"polygons/{name}")
    world = task.make(20)
    episodes = interact(task.expert(world), world, range(20))
    assert np.mean([bool(episode.success) for episode in episodes]) >= 0.9


def test_jumps_lead_outside_and_keep_their_distance() -> None:
    task = task_named("polygons/4-1-disturbed")
    world = task.make(30)
    jumped = 0
    for episode in interact(task.expert(world), world, range(30)):
        path = episode.obs[STATE].astype(np.float64)
        jumps = np.flatnonzero(np.linalg.norm(np.diff(path, axis=0), axis=1) > STEP + 1e-3)
        jumped += len(jumps)
        assert (layout(4, 1).modes_of(path[jumps + 1]) == 0).all()
        assert (np.diff(jumps) >= 100).all()
        assert len(jumps) <= 3
    assert jumped > 5


def test_a_path_is_followed_and_judged() -> None:
    task = task_named("polygons/3-0-replay")
    chain = layout(3, 0)
    assert task.follow_for is not None
    start, first, goal = chain.start, chain.polygons[0].mean(0), chain.goal
    behind = goal + 1.5 * (goal - first)
    right = np.concatenate([np.linspace(start, first, 50), np.linspace(first, goal, 50)])
    world = task.make(2)
    world.reset(seed=[0, 0])
    wrong = np.concatenate([np.linspace(start, behind, 50), np.linspace(behind, goal, 50)])
    episodes = interact(task.follow_for(world, np.stack([right, wrong])), world, [0, 0])
    assert [episode.success for episode in episodes] == [True, False]
    np.testing.assert_allclose([episode.obs[STATE][-1] for episode in episodes], [goal, goal], atol=1e-3)


@pytest.mark.parametrize("name", ["2-0", "3", "3-a", "3-0-other"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="polygons"):
        task_named(f"polygons/{name}")


def test_edges_count_as_inside() -> None:
    square = square_chain().polygons[0]
    assert contains(square, np.array([(0.0, 1.0), (2.0, 2.0), (2.0, 2.1)])).tolist() == [True, True, False]
