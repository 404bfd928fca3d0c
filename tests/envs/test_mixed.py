"""A mixture of tasks does in each environment exactly what the task of its start does alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from imitari.core.continuing import Continuing
from imitari.core.errors import Missing, UserError
from imitari.core.interaction import interact
from imitari.core.spec import INSTRUCTION
from imitari.core.task import RandomActor, Task
from imitari.data.instructions import OneHot, WordVectors
from imitari.envs import task_named
from imitari.envs.mixed import MixedTask, instructed, mixed
from imitari.evaluate.rollout import rollout


def parts() -> list[Task]:
    """Two mazes that look alike from inside: only the instruction tells them apart."""
    return [
        replace(task_named("maze/detour"), description="go round the wall"),
        replace(task_named("maze/medium"), description="cross the maze"),
    ]


def whole() -> MixedTask:
    return mixed("mixed/mazes", parts())


def alone(seed: int) -> Any:
    task = parts()[seed % 2]
    world = task.make(1)
    return interact(task.expert(world), world, [seed])[0]


@pytest.mark.parametrize("seeds", [[4, 5, 6, 7, 8], [2, 4, 6], [9, 8]])
def test_every_episode_is_that_of_its_own_task(seeds: list[int]) -> None:
    task = whole()
    together = rollout(_expert(task, len(seeds)), _same_world(task), seeds, record=True)
    vectors = WordVectors()([part.description for part in parts()])
    for seed, episode in zip(seeds, together, strict=True):
        one = alone(seed)
        np.testing.assert_array_equal(episode.obs["observation.state"], one.obs["observation.state"])
        np.testing.assert_array_equal(episode.action, one.action)
        np.testing.assert_array_equal(episode.reward, one.reward)
        assert (episode.success, episode.ended) == (one.success, one.ended)
        assert episode.success
        np.testing.assert_array_equal(episode.obs[INSTRUCTION], np.repeat(vectors[[seed % 2]], episode.rows, 0))
        assert episode.source["task_name"] == parts()[seed % 2].name
        assert episode.source["task"] == parts()[seed % 2].description


_WORLDS: dict[int, Any] = {}


def _expert(task: Task, count: int) -> Any:
    _WORLDS[count] = task.make(count)
    return task.expert(_WORLDS[count])


def _same_world(task: Task) -> Task:
    """Makes the world that the expert acts in."""
    return replace(task, factory=lambda count: _WORLDS[count])


def test_the_spec_is_as_observed_and_finished_environments_are_frozen() -> None:
    task = whole()
    world, actor = task.make(4), RandomActor(task.spec)
    obs, info = world.reset(seed=[0, 1, 2, 3])
    ended, memory = np.zeros(4, bool), actor.reset(4)
    assert not info["success"].any()
    for _ in range(task.limit + 2):
        assert {key: (value.shape[1:], str(value.dtype)) for key, value in obs.items()} == {
            key: (feature.shape, feature.dtype) for key, feature in task.spec.obs.items()
        }
        action, memory = actor.act(obs, memory)
        after, reward, terminated, truncated, info = world.step(action)
        assert (reward[ended] == 0).all()
        np.testing.assert_array_equal(after["observation.state"][ended], obs["observation.state"][ended])
        assert not (terminated & truncated).any()
        obs, ended = after, terminated | truncated
    assert ended.all()


def test_environments_begin_again_in_other_tasks() -> None:
    """As many places as needed, and each new episode is the one that its task alone would give."""
    task = whole()
    stream = Continuing(task, 3, lambda number: 10 + 3 * number // 2)
    moves = np.random.default_rng(0).uniform(-1, 1, (300, 3, 2)).astype(np.float32)
    singles: dict[int, Any] = {}
    for action in moves:
        for place, seed in enumerate(stream._seeds.tolist()):
            if (place, seed, stream.begun) not in singles and stream._steps[place] == 0:
                world = parts()[seed % 2].make(1)
                obs, _ = world.reset(seed=[seed])
                singles[place] = (world, obs)
            np.testing.assert_array_equal(
                stream.obs["observation.state"][place], singles[place][1]["observation.state"][0]
            )
        stream.step(action)
        for place, (world, _) in list(singles.items()):
            singles[place] = (world, world.step(action[place : place + 1])[0])
    assert stream.begun > 9
    assert len(stream.world.subs) <= 6  # pyright: ignore[reportAttributeAccessIssue]


def test_other_vectors_and_single_tasks() -> None:
    texts = [part.description for part in parts()]
    task = instructed(whole(), OneHot(texts))
    assert task.spec.obs[INSTRUCTION].shape == (2,)
    obs, _ = task.make(2).reset(seed=[0, 1])
    np.testing.assert_allclose(obs[INSTRUCTION], 2**0.5 * np.eye(2), rtol=1e-6)
    single = instructed(parts()[1], WordVectors())
    assert (single.name, single.description) == (parts()[1].name, parts()[1].description)
    np.testing.assert_array_equal(
        single.make(1).reset(seed=[3])[0][INSTRUCTION], whole().make(1).reset(seed=[3])[0][INSTRUCTION]
    )


def test_names() -> None:
    pytest.importorskip("metaworld", reason="the simulator is not installed")
    named = task_named("mixed/metaworld/reach-v3+push-v3")
    assert isinstance(named, MixedTask)
    assert [part.name for part in named.parts] == ["metaworld/reach-v3", "metaworld/push-v3"]


def test_refusals() -> None:
    with pytest.raises(UserError, match=r"'maze/detour' and 'maze/medium' are both described"):
        task_named("mixed/maze/detour+medium")
    with pytest.raises(UserError, match=r"task 'maze/detour' observes .* mix tasks that observe the same"):
        task_named("mixed/maze/detour+track")
    slow = replace(parts()[1], spec=replace(parts()[1].spec, action=replace(parts()[1].spec.action, low=(-2.0, -2.0))))
    with pytest.raises(UserError, match="differ in the shape, kind or bounds of their actions"):
        mixed("mixed/mazes", [parts()[0], slow])
    with pytest.raises(UserError, match="no task named"):
        task_named("mixed/maze/detour+nowhere")


def test_the_ten_tasks_of_metaworld() -> None:
    try:
        task = task_named("metaworld/mt10", instruction="random:16")
    except Missing as missing:
        pytest.skip(str(missing))
    assert isinstance(task, MixedTask)
    assert len(task.parts) == 10
    assert task.spec.obs[INSTRUCTION].shape == (16,)
    world = task.make(2)
    episodes = interact(task.expert(world), world, [5, 10])  # drawer-close, reach
    world.close()
    assert [episode.success for episode in episodes] == [True, True]
    assert task.about(5)["task_name"] == "metaworld/drawer-close-v3"
