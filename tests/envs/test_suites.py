"""Every suite keeps the contract of worlds: spec as observed, seeds fix starts, finished environments are frozen."""

from __future__ import annotations

import builtins
import ctypes.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imitari.core.errors import Missing, UserError
from imitari.core.interaction import interact
from imitari.core.task import RandomActor, Task
from imitari.envs import task_named, task_names

CHEAP = [
    "two_ways",
    "track",
    "maze/detour",
    "pusht",
    "metaworld/drawer-open-v3",  # one of the tasks whose first observation used to come from the episode before
    "gym/Pendulum-v1",
    "gym/CartPole-v1",
    "gym/Hopper-v5",
    "robotics/PointMaze_UMaze-v3",
    "robotics/FetchPush-v4",
    "robotics/AdroitHandDoor-v1",
    "robotics/FrankaKitchen-v1",
    "dmc/cartpole-swingup",
    "minigrid/BabyAI-GoToLocal-v0",
    "kinder/Motion2D-p0",
]
EXPERTS = {
    "two_ways": 1.0,
    "track": 1.0,
    "maze/detour": 1.0,
    "maze/medium": 1.0,
    "metaworld/reach-v3": 1.0,
    "metaworld/drawer-open-v3": 1.0,
    "metaworld/pick-place-v3": 1.0,
    "robotics/PointMaze_UMaze-v3": 1.0,
    "robotics/PointMaze_Medium-v3": 1.0,
    "robotics/FetchReach-v4": 1.0,
    "robotics/FetchPush-v4": 0.8,
    "robotics/FetchPickAndPlace-v4": 0.8,
    "minigrid/BabyAI-GoToLocal-v0": 1.0,
    "minigrid/BabyAI-PutNextLocal-v0": 0.8,
}


@pytest.fixture(autouse=True)
def _their_warnings() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # simulators and what they import warn about themselves
        yield


@cache
def named(name: str) -> Task:
    try:
        return task_named(name)
    except Missing as missing:
        pytest.skip(str(missing))


def actions(task: Task, count: int, seed: int) -> Any:
    actor, obs = RandomActor(task.spec), {"x": np.zeros(count)}
    return actor.act(obs, np.random.default_rng(seed))[0]


@pytest.mark.parametrize("name", CHEAP)
def test_observations_are_as_the_spec_says(name: str) -> None:
    task = named(name)
    world = task.make(2)
    obs, _ = world.reset(seed=[0, 1])
    for _ in range(3):
        assert set(obs) == set(task.spec.obs)
        for key, feature in task.spec.obs.items():
            assert obs[key].shape == (2, *feature.shape), key
            assert obs[key].dtype == np.dtype(feature.dtype), key
            if feature.names:
                assert len(feature.names) == feature.size, key
            if feature.kind == "symbol":
                assert (obs[key].reshape(2, -1) <= np.asarray(feature.high)).all()
        obs, reward, terminated, truncated, info = world.step(actions(task, 2, 0))
        assert reward.shape == terminated.shape == truncated.shape == info["success"].shape == (2,)
        assert terminated.dtype == truncated.dtype == info["success"].dtype == bool
    world.close()


@pytest.mark.parametrize("name", CHEAP)
def test_seed_fixes_start_and_course(name: str) -> None:
    task = named(name)
    world = task.make(3)

    def course(seeds: list[int]) -> list[dict[str, Any]]:
        seen = [world.reset(seed=seeds)[0]]
        for step in range(4):
            same = np.repeat(actions(task, 1, step), 3, 0)
            seen.append(world.step(same)[0])
        return seen

    first, again = course([7, 7, 8]), course([8, 7, 7])
    for before, after in zip(first, again, strict=True):
        for key in before:
            np.testing.assert_array_equal(before[key][0], before[key][1], err_msg=f"{key}: equal seeds differ")
            np.testing.assert_array_equal(before[key][0], after[key][1], err_msg=f"{key}: a second reset differs")
            np.testing.assert_array_equal(
                before[key][2], after[key][0], err_msg=f"{key}: depends on the episode before"
            )
    assert any(not np.array_equal(first[0][key][0], first[0][key][2]) for key in first[0]), "seeds do not matter"
    world.close()


@pytest.mark.parametrize("name", ["track", "pusht", "gym/CartPole-v1", "metaworld/reach-v3"])
def test_finished_environments_are_frozen(name: str) -> None:
    task = named(name)
    world = task.make(2)
    obs, _ = world.reset(seed=[0, 1])
    actor = task.expert(world) if name.startswith("metaworld") else RandomActor(task.spec)
    memory, ended = actor.reset(2, 0), np.zeros(2, bool)
    for _ in range(task.limit + 3):
        action, memory = actor.act(obs, memory)
        after, reward, terminated, truncated, _ = world.step(action)
        assert (reward[ended] == 0).all()
        for key in obs:
            np.testing.assert_array_equal(after[key][ended], obs[key][ended])
        assert ((terminated | truncated) >= ended).all()
        assert not (terminated & truncated).any()
        obs, ended = after, terminated | truncated
    assert ended.all()
    world.close()


@pytest.mark.parametrize("name", EXPERTS)
def test_expert_solves_the_task(name: str) -> None:
    task = named(name)
    world = task.make(5)
    episodes = interact(task.expert(world), world, range(5), record=False)
    assert np.mean([episode.success for episode in episodes]) >= EXPERTS[name]
    world.close()


def test_trained_experts_reach_their_measured_return(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMITARI_DATA", str(data_folder))
    named("gym/Hopper-v5")
    for name, least in (("gym/CartPole-v1", 500), ("gym/Pendulum-v1", -250), ("gym/Swimmer-v5", 320)):
        task = task_named(name)
        world = task.make(4)
        episodes = interact(task.expert(world), world, range(4), record=False)
        assert np.mean([episode.total for episode in episodes]) >= least, name
        assert all(episode.success for episode in episodes), name


def test_no_trained_expert_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMITARI_DATA", str(tmp_path))
    task = task_named("gym/CartPole-v1")
    with pytest.raises(UserError, match="IMITARI_DATA"):
        task.expert(task.make(1))


def test_pixels() -> None:
    try:
        task = task_named("metaworld/reach-v3", pixels=32, cameras=("corner2", "topview"))
    except Missing as missing:
        pytest.skip(str(missing))
    world = task.make(2)
    obs, _ = world.reset(seed=[0, 1])
    image = obs["observation.images.corner2"]
    assert image.shape == (2, 32, 32, 3)
    assert image.dtype == np.uint8
    assert image.std() > 10, "something is to be seen"
    assert not np.array_equal(image[0], obs["observation.images.topview"][0])
    world.close()


def test_without_a_graphics_library_state_tasks_work_and_pixels_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named("metaworld/reach-v3")
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    with pytest.raises(Missing, match="apt-get install libegl1") as caught:
        task_named("metaworld/reach-v3", pixels=32)
    assert caught.value.status == 3
    task_named("metaworld/reach-v3").make(1).reset(seed=[0])


@pytest.mark.parametrize("name", ["metaworld/reach-v3", "pusht", "robotics/FetchReach-v4", "dmc/walker-walk"])
def test_a_missing_simulator_names_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def refuse(wanted: str, *rest: Any, **more: Any) -> Any:
        if wanted.split(".")[0] in ("metaworld", "gymnasium_robotics", "dm_control") or wanted == "imitari.envs._pusht":
            raise ImportError(wanted)
        return original(wanted, *rest, **more)

    original, module = builtins.__import__, importlib.import_module
    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(importlib, "import_module", lambda one, *rest: refuse_module(one, *rest))

    def refuse_module(wanted: str, *rest: Any) -> Any:
        if wanted.split(".")[0] in ("gymnasium_robotics", "dm_control"):
            raise ImportError(wanted)
        return module(wanted, *rest)

    with pytest.raises(Missing, match=r'pip install "imitari\[sim\]"'):
        task_named(name)


def test_names_are_listed_without_a_simulator() -> None:
    names = task_names()
    assert {"track", "two_ways", "pusht", "metaworld/reach-v3", "kinder/Motion2D-p2"} <= set(names)
    assert sum(name.startswith("metaworld/") and name.endswith("-v3") for name in names) == 50
    with pytest.raises(UserError, match="did you mean metaworld/reach-v3"):
        task_named("metaworld/reach")


def test_the_bot_follows_what_is_executed() -> None:
    """A policy that ignores the bot half of the time still gets labels that lead to the goal."""
    task = named("minigrid/BabyAI-GoToLocal-v0")
    world = task.make(4)
    bot, rng = task.expert(world), np.random.default_rng(0)
    obs, _ = world.reset(seed=range(4))
    bot.reset(4)
    for _ in range(task.limit):
        label, _ = bot.act(obs, None)
        chance = rng.integers(3, size=label.shape)
        obs, _, terminated, truncated, info = world.step(np.where(rng.random(label.shape) < 0.3, chance, label))
        if (terminated | truncated).all():
            break
    assert info["success"].all()


@pytest.mark.parametrize("limit", [20, 200])
def test_a_given_limit_is_in_the_place_of_the_levels_own(limit: int) -> None:
    task = task_named("minigrid/BabyAI-GoToLocal-v0", limit=limit)
    world, turn = task.make(2), np.zeros((2, 1), np.int64)
    world.reset(seed=range(2))
    ended = [world.step(turn)[3].all() for _ in range(limit)]
    assert ended == [False] * (limit - 1) + [True]


def test_open_ids() -> None:
    assert named("gym/MountainCarContinuous-v0").spec.action.shape == (1,)
    with pytest.raises(UserError, match="no environment 'Nothing-v9'"):
        task_named("gym/Nothing-v9")
    assert named("minigrid/BabyAI-OneRoomS8-v0").spec.action.choices == 7
