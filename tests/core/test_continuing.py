"""Environments without end: what finishes begins again, and a stored stream goes on as if it had never stopped."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.continuing import Continuing
from imitari.core.errors import UserError
from imitari.core.task import RandomActor, Task
from imitari.envs import task_named

TASKS = ["two_ways", "track", "gym/CartPole-v1", "gym/Pendulum-v1"]


def start(number: int) -> int:
    return 1_000 + number


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    return task_named(request.param)


def test_restart_begins_some_episodes_and_leaves_the_others(task: Task) -> None:
    world, fresh = task.make(4), task.make(2)
    obs, _ = world.reset(seed=[1, 2, 3, 4])
    actor = RandomActor(task.spec)
    dice = actor.reset(4, 0)
    for _ in range(5):
        action, dice = actor.act(obs, dice)
        obs, *_ = world.step(action)
    first = world.restart(np.array([False, True, False, True]), [50, 60])
    expected, _ = fresh.reset(seed=[50, 60])
    for key, value in first.items():
        np.testing.assert_array_equal(value, expected[key])
    twin = task.make(4)
    twin.reset(seed=[1, 2, 3, 4])
    dice = actor.reset(4, 0)
    other = obs
    for _ in range(5):
        action, dice = actor.act(other, dice)
        other, *_ = twin.step(action)
    action, dice = actor.act(obs, dice)
    after, twin_after = world.step(action)[0], twin.step(action)[0]
    for key, value in after.items():
        np.testing.assert_array_equal(value[[0, 2]], twin_after[key][[0, 2]])
    fresh_after = fresh.step(action[[1, 3]])[0]
    for key, value in after.items():
        np.testing.assert_array_equal(value[[1, 3]], fresh_after[key])


def test_whoever_finishes_begins_again_and_shows_its_last_observation(task: Task) -> None:
    stream = Continuing(task, 3, start)
    actor = RandomActor(task.spec)
    dice = actor.reset(3, 0)
    ended_steps = []
    for _ in range(task.limit + 5):
        action, dice = actor.act(stream.obs, dice)
        moved = stream.step(action)
        ended = moved.terminated | moved.truncated
        ended_steps += [int(one) for one in np.flatnonzero(ended)]
        for key, value in stream.obs.items():
            np.testing.assert_array_equal(value[~ended], moved.obs[key][~ended])
        if ended.any():
            expected, _ = task.make(1).reset(seed=[int(stream._seeds[np.flatnonzero(ended)[-1]])])
            for key, value in expected.items():
                np.testing.assert_array_equal(stream.obs[key][np.flatnonzero(ended)[-1]], value[0])
    assert len(ended_steps) == len(stream.finished) == stream.begun - 3 >= 3
    assert all(1 <= one.steps <= task.limit for one in stream.finished)


@pytest.mark.parametrize("steps", [0, 1, 33, 250])
def test_a_restored_stream_goes_on_alike(task: Task, steps: int) -> None:
    actor = RandomActor(task.spec)
    whole, dice = Continuing(task, 3, start), actor.reset(3, 0)
    for _ in range(steps):
        action, dice = actor.act(whole.obs, dice)
        whole.step(action)
    again = Continuing(task, 3, start)
    again.restore({key: value.copy() for key, value in whole.stored().items()})
    whole.finished = []
    for _ in range(60):
        for key, value in whole.obs.items():
            np.testing.assert_array_equal(value, again.obs[key])
        action, dice = actor.act(whole.obs, dice)
        one, other = whole.step(action), again.step(action)
        np.testing.assert_array_equal(one.reward, other.reward)
        np.testing.assert_array_equal(one.terminated, other.terminated)
        np.testing.assert_array_equal(one.truncated, other.truncated)
    assert [one.steps for one in whole.finished] == [one.steps for one in again.finished]
    np.testing.assert_allclose([one.total for one in whole.finished], [one.total for one in again.finished])
    for key, value in whole.stored().items():
        np.testing.assert_array_equal(value, again.stored()[key])


def test_what_belongs_to_another_number_of_environments_is_refused() -> None:
    task = task_named("two_ways")
    stored = Continuing(task, 2, start).stored()
    with pytest.raises(UserError, match="does not fit"):
        Continuing(task, 3, start).restore(stored)
