"""The mazes are as described, the search finds shortest ways (against an independent one), and its log is what a queue
would have done."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.data.opening import open_demos, save_demos
from imitari.data.procedures import AGENT, BLANK, LENGTH, MOVES, PLAN, STEP, TARGET, VALUE, WALL, traced, written
from imitari.envs import task_named
from imitari.envs.tunnels import LOOPS, MAP, layout, shortest_ways
from imitari.evaluate.rollout import rollout
from imitari.jobs.demonstrations import demonstrate


def graph_distances(wall: Array, target: tuple[int, int]) -> Array:
    """Steps to the target by Dijkstra's algorithm on the graph of free cells; -1 where there is no way."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    side, pairs = len(wall), []
    for x, y in np.argwhere(~wall).tolist():
        pairs += [(x * side + y, (x + dx) * side + y + dy) for dx, dy in ((1, 0), (0, 1)) if not wall[x + dx, y + dy]]
    first, second = np.array(pairs).T
    graph = coo_matrix((np.ones(len(pairs)), (first, second)), (side**2, side**2))
    found = dijkstra(graph, directed=False, indices=target[0] * side + target[1])
    return np.where(np.isinf(found), -1, found).astype(int).reshape(side, side)


@pytest.mark.parametrize("side", [7, 16, 24])
def test_layouts_are_corridors_of_two_that_hang_together(side: int) -> None:
    seen = np.stack([layout(side, number) for number in range(30)])
    last = 3 * ((side - 1) // 3)
    assert seen[:, [0, last]].all()
    assert seen[:, :, [0, last]].all()
    assert seen[:, last:].all()
    assert seen[:, :, last:].all()
    for one in seen:
        free = np.argwhere(~one)
        assert (graph_distances(one, tuple(free[0]))[~one] >= 0).all()
        corners = one[3:last:3, 3:last:3]
        assert corners.all()  # where four walls meet
        for open_ in (~one[3:last:3, 1:last], ~one[1:last, 3:last:3].T):  # a wall is pierced two cells wide or not
            lanes = open_.reshape(len(open_), -1)
            assert (lanes[:, 0::3] == lanes[:, 1::3]).all()
    assert len(np.unique(seen, axis=0)) > (1 if side == 7 else 25)


def test_meetings_of_corridors_become_loops() -> None:
    """Corridors that are no part of the tree lie between one and its ancestor, and are come upon from either end."""
    count = (31 - 1) // 3
    openings = 0
    for number in range(60):
        wall = layout(31, number)
        openings += int((~wall[3:30:3, 1:30:3]).sum() + (~wall[1:30:3, 3:30:3]).sum())
    tree = count**2 - 1
    others = 2 * count * (count - 1) - tree
    assert (openings / 60 - tree) / others == pytest.approx(1 - (1 - LOOPS) ** 2, abs=0.02)


def test_five_starts_share_a_maze_and_targets_differ() -> None:
    world = task_named("tunnels/16").make(10)
    seen = world.reset(seed=range(100_000, 100_010))[0][MAP]
    assert (seen[:5, ..., WALL] == seen[0, ..., WALL]).all()
    assert (seen[5:, ..., WALL] == seen[5, ..., WALL]).all()
    assert (seen[0, ..., WALL] != seen[5, ..., WALL]).any()
    assert len({tuple(np.argwhere(one)[0]) for one in seen[..., TARGET]}) > 5
    assert (seen[..., [TARGET, AGENT]].sum((1, 2)) == 1).all()
    assert not (seen[..., WALL] & (seen[..., TARGET] | seen[..., AGENT])).any()
    again = world.restart(np.arange(10) == 7, [100_002])[MAP]
    np.testing.assert_array_equal(again[0], seen[2])


def test_walls_stop_and_the_target_ends() -> None:
    task = task_named("tunnels/7", limit=3)
    world = task.make(4)
    before = np.argwhere(world.reset(seed=range(4))[0][MAP][..., AGENT])
    for move in range(4):
        obs, reward, terminated, _, info = world.step(np.full((4, 1), move))
        after = np.argwhere(obs[MAP][..., AGENT])
        ahead = before + np.insert(MOVES[move], 0, 0)
        wall = obs[MAP][..., WALL][tuple(ahead.T)]
        np.testing.assert_array_equal(after, np.where(wall[:, None], before, ahead))
        there = (obs[MAP][..., AGENT] & obs[MAP][..., TARGET]).any((1, 2))
        np.testing.assert_array_equal(there, info["success"])
        np.testing.assert_array_equal(there & terminated, there)
        assert (reward <= there).all()
        before = after
        if terminated.any() or move == 2:
            break


@pytest.mark.parametrize("side", [10, 16, 31])
def test_the_search_is_dijkstra_and_its_moves_lead_on(side: int) -> None:
    wall = np.stack([layout(side, number) for number in range(8)])
    rng = np.random.default_rng(side)
    places = [tuple(free[rng.integers(len(free))]) for free in (np.argwhere(~one) for one in wall)]
    target = np.zeros_like(wall)
    for number, place in enumerate(places):
        target[(number, *place)] = True
    move, distance = shortest_ways(wall, target)
    for number, place in enumerate(places):
        np.testing.assert_array_equal(distance[number], graph_distances(wall[number], place))
        for x, y in np.argwhere(distance[number] > 0).tolist():
            ahead = [distance[number, x + dx, y + dy] for dx, dy in MOVES.tolist()]
            first = next(index for index, value in enumerate(ahead) if value == distance[number, x, y] - 1)
            assert move[number, x, y] == first
    assert (move[distance <= 0] == BLANK).all()


def test_a_walled_off_cell_has_no_move() -> None:
    wall = np.ones((1, 7, 7), bool)
    wall[0, 1:3, 1:3] = wall[0, 4:6, 4:6] = False
    target = np.zeros_like(wall)
    target[0, 1, 1] = True
    move, distance = shortest_ways(wall, target)
    assert (distance[0, 4:6, 4:6] == -1).all()
    assert (move[0, 4:6, 4:6] == BLANK).all()


def queue_maps(wall: Array, target: tuple[int, int], agent: tuple[int, int]) -> list[Array]:
    """x_0 ... x_L as in the paper, by a queue: every step empties it and expands what was in it."""
    x, maps = np.full(wall.shape, BLANK), []
    queue, seen = deque([target]), {target}
    while agent not in seen:
        reached: dict[tuple[int, int], int] = {}
        for _ in range(len(queue)):
            cell = queue.popleft()
            for index, (dx, dy) in enumerate(MOVES.tolist()):
                other = (cell[0] - dx, cell[1] - dy)  # from there, move `index` leads to `cell`
                if not wall[other] and other not in seen:
                    reached[other] = min(index, reached.get(other, 9))
        for other, index in reached.items():
            x[other] = index
            seen.add(other)
            queue.append(other)
        maps.append(x.copy())
    return maps


def test_the_log_is_what_a_queue_does(map_demos: Demos) -> None:
    for episode in (map_demos[number] for number in range(6)):
        for step in range(len(episode)):
            seen = episode.obs[MAP][step]
            places = [tuple(np.argwhere(seen[..., channel])[0].tolist()) for channel in (TARGET, AGENT)]
            expected = queue_maps(seen[..., WALL] > 0, *places)
            value, order, length = (episode.extra[key][step] for key in (VALUE, STEP, LENGTH))
            assert length == len(expected)
            every = np.arange(1, len(expected) + 1)
            maps = written(np.stack([value] * len(every)), np.stack([order] * len(every)), every)
            np.testing.assert_array_equal(maps, np.stack(expected))
            assert maps[-1][places[1]] == episode.action[step, 0]  # the read-out
            assert (maps[:-1, places[1][0], places[1][1]] == BLANK).all()  # and not before


def test_the_way_back_is_a_shortest_way_whose_last_move_is_the_action() -> None:
    task = task_named("tunnels/10-plan")
    demos = demonstrate(task, range(20))
    for episode in demos:
        for step in range(len(episode)):
            seen, plan = episode.obs[MAP][step], episode.extra[PLAN][step]
            target, agent = (tuple(np.argwhere(seen[..., channel])[0].tolist()) for channel in (TARGET, AGENT))
            distance = graph_distances(seen[..., WALL] > 0, agent)
            length = int(episode.extra[LENGTH][step])
            assert length == distance[target]
            assert (plan[length:] == BLANK).all()
            here = target
            for move in plan[:length].tolist():
                ways = [tuple((np.array(here) - one).tolist()) for one in MOVES]
                closer = [distance[way] == distance[here] - 1 for way in ways]
                # Of the ways back the first in the order of the moves, which are the opposite ones.
                assert move == next((first + 2) % 4 for first in range(4) if closer[(first + 2) % 4])
                here = ways[move]
            assert here == agent
            assert episode.action[step, 0] == plan[length - 1]


@pytest.mark.parametrize("name", ["tunnels/16", "tunnels/10-plan"])
def test_the_expert_is_optimal(name: str) -> None:
    task = task_named(name)
    world = task.make(20)
    episodes = rollout(task.expert(world), task, range(20), record=True)
    for episode in episodes:
        seen = episode.obs[MAP][0]
        target, agent = (tuple(np.argwhere(seen[..., channel])[0]) for channel in (TARGET, AGENT))
        assert episode.success
        assert len(episode) == graph_distances(seen[..., WALL] > 0, target)[agent]


def test_demonstrations_hold_the_procedure_and_keep_it_in_a_file(tmp_path: Path) -> None:
    task = task_named("tunnels/10")
    demos = demonstrate(task, range(3))
    noisy = demonstrate(task, range(3), noise=0.0)
    np.testing.assert_array_equal(demos[0].extra[VALUE], noisy[0].extra[VALUE])
    save_demos(demos, tmp_path / "set", "lerobot")
    again = open_demos(str(tmp_path / "set"))
    assert again.spec.obs[MAP].kind == "symbol"
    for key in (VALUE, STEP, LENGTH):
        np.testing.assert_array_equal(again[1].extra[key], demos[1].extra[key])
    np.testing.assert_array_equal(again[1].obs[MAP], demos[1].obs[MAP])


def test_actors_that_log_nothing_stay_as_they_are() -> None:
    task = task_named("two_ways")
    world = task.make(2)
    assert traced(task.expert(world)) is None
    assert VALUE not in interact(task.expert(world), world, [0, 1])[0].extra


@pytest.mark.parametrize("name", ["tunnels/6", "tunnels/abc", "tunnels/300", "tunnels"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(UserError, match="unknown"):
        task_named(name)
