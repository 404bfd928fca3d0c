"""The U of corridors: walls hold, the forces are the simulator's, and the judge's values are what the clean controller
needs when it is really let go."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from imitari.core.interaction import interact
from imitari.core.task import RandomActor
from imitari.envs import task_named
from imitari.envs.umaze import GOAL, INNER, LIMIT, OUTER, REACH, STATE, UMaze, confined, guided, moved


def legal(place: np.ndarray) -> np.ndarray:
    """(B,) whether the middle of the ball may be there, from the map of the maze."""
    rows = (2.5 - place[:, 1, None] - np.array([-0.1, -0.1, 0.1, 0.1]) * 0.999).astype(int)
    columns = (2.5 + place[:, 0, None] + np.array([-0.1, 0.1, -0.1, 0.1]) * 0.999).astype(int)
    walls = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]])
    return ~walls[rows, columns].any(1).astype(bool)


def test_nobody_gets_through_a_wall() -> None:
    task = task_named("umaze")
    episodes = interact(RandomActor(task.spec), task.make(50), range(50))
    hard = [
        interact(_Held(np.array(force, np.float32)), task.make(30), range(30))
        for force in [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    ]
    for episode in chain(episodes, *hard):
        place = episode.obs[STATE][:, :2].astype(np.float64)
        assert legal(place).all()
        assert (np.abs(np.diff(place, axis=0)) <= 0.0525).all()


class _Held:
    def __init__(self, force: np.ndarray) -> None:
        self.force = force

    def reset(self, count: int, seed: int = 0) -> int:
        return count

    def act(self, obs: dict[str, np.ndarray], memory: int) -> tuple[np.ndarray, int]:
        return np.tile(self.force, (memory, 1)), memory


def test_walls_stop_one_direction_and_leave_the_other() -> None:
    place, velocity = np.array([[0.0, 0.65]]), np.array([[3.0, -4.0]])
    new, speed = confined(place, velocity, place + 0.03 * velocity)
    np.testing.assert_allclose(new, [[0.09, INNER]])
    np.testing.assert_allclose(speed, [[3.0, 0.0]])


def test_the_clean_controller_arrives_and_chance_does_not() -> None:
    task = task_named("umaze")
    world = task.make(200)
    good = interact(task.expert(world), world, range(200))
    bad = interact(RandomActor(task.spec), world, range(200))
    assert np.mean([episode.success for episode in good]) == 1
    assert np.mean([episode.success for episode in bad]) < 0.2
    assert {len(episode) for episode in good} == {LIMIT}  # success does not end an episode
    first = np.linalg.norm(np.stack([episode.obs[STATE][0, :2] for episode in good]) - GOAL, axis=1)
    assert first.min() > REACH


def test_the_judge_says_what_the_clean_controller_needs() -> None:
    task = task_named("umaze")
    world = task.make(40)
    obs, _ = world.reset(seed=range(40))
    rng = np.random.default_rng(0)
    for _ in range(15):  # with some speed
        obs, *_ = world.step(rng.uniform(-1, 1, (40, 2)))
    assert task.judge_for is not None
    judge = task.judge_for(world)
    actions = rng.uniform(-1, 1, (3, 40, 2)).astype(np.float32)
    values = judge.values(obs, actions)
    assert isinstance(world, UMaze)
    for which in range(3):
        place, velocity = moved(world.state["place"], world.state["velocity"], actions[which].astype(np.float64))
        needed, there = np.full(40, -1), np.zeros(40, bool)
        for step in range(1, LIMIT):
            there = np.linalg.norm(place - GOAL, axis=1) <= REACH
            needed = np.where((needed < 0) & there, step, needed)
            place, velocity = moved(place, velocity, guided(place, velocity))
        assert (needed > 0).all()
        # Whole steps against steps of which the last one counts by its share.
        assert ((-values[which] <= needed + 1e-9) & (-values[which] > needed - 1)).all()
    best = judge.values(obs, judge.reference(obs)[None])
    np.testing.assert_array_equal(judge.reference(obs), task.expert(world).act(obs, None)[0])
    assert (best >= values - 1.0).all()


def test_calibration_of_the_judge() -> None:
    """At a difference of 0.8 steps the clean controller is never stopped, and chance in most steps."""
    task = task_named("umaze")
    assert task.judge_for is not None
    world = task.make(60)
    judge = task.judge_for(world)
    obs, _ = world.reset(seed=range(60))
    rng, worse = np.random.default_rng(0), []
    for _ in range(80):
        action = rng.uniform(-1, 1, (60, 2)).astype(np.float32)
        best, value = judge.values(obs, np.stack([judge.reference(obs), action]))
        worse.append(best - value)
        obs, *_ = world.step(action)
    assert np.mean(np.array(worse) > 0.8) > 0.6


def test_forces_are_those_of_the_simulator() -> None:
    pytest.importorskip("gymnasium_robotics")
    world = task_named("robotics/PointMaze_UMaze-v3").make(1)
    obs, _ = world.reset(seed=[3])
    place, velocity = obs[STATE][:, :2].astype(np.float64), obs[STATE][:, 2:4].astype(np.float64)
    middle = np.clip(place, -OUTER, OUTER)
    np.testing.assert_array_equal(place, middle)
    for action in ([0.3, 0.0], [0.3, 0.2], [-0.4, 0.1]):
        obs, *_ = world.step(np.array([action], np.float32))
        place, velocity = moved(place, velocity, np.array([action]))
        np.testing.assert_allclose(obs[STATE][:, :2], place, atol=1e-3)
        np.testing.assert_allclose(obs[STATE][:, 2:4], velocity, atol=1e-3)
