"""gymnasium-robotics: point mazes, the Fetch arm, the Adroit hand, the Franka kitchen."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from imitari.core.errors import missing_extra
from imitari.core.spec import Feature, Spec
from imitari.core.task import Actor, Task, World
from imitari.envs._maze_judge import Rehearsal
from imitari.envs._quick import quick_maze
from imitari.envs._rendering import import_mujoco
from imitari.envs._robotics_experts import MazeGuide, Picker, Pusher, Reacher
from imitari.envs._single import ACHIEVED, GOAL, STATE, Flat, action_feature, flat, image_features, single_task

# id -> steps of an episode, as registered by the suite (kitchen: as in the published human data).
LIMITS = {
    "PointMaze_UMaze-v3": 300,
    "PointMaze_Medium-v3": 600,
    "PointMaze_Large-v3": 800,
    "FetchReach-v4": 50,
    "FetchPush-v4": 50,
    "FetchPickAndPlace-v4": 50,
    "FetchSlide-v4": 50,
    "AdroitHandDoor-v1": 200,
    "AdroitHandPen-v1": 200,
    "AdroitHandHammer-v1": 200,
    "AdroitHandRelocate-v1": 200,
    "FrankaKitchen-v1": 280,
}
EXPERTS: dict[str, Callable[[World], Actor]] = {
    "PointMaze_UMaze-v3": MazeGuide,
    "PointMaze_Medium-v3": MazeGuide,
    "PointMaze_Large-v3": MazeGuide,
    "FetchReach-v4": Reacher,
    "FetchPush-v4": Pusher,
    "FetchPickAndPlace-v4": Picker,
}
KITCHEN = ("microwave", "kettle", "bottom burner", "light switch")


def ids() -> list[str]:
    return list(LIMITS)


def task(
    name: str,
    pixels: int | None = None,
    cameras: tuple[str | int, ...] = (-1,),
    achieved_goal: bool = False,
    subtasks: tuple[str, ...] = KITCHEN,
    limit: int | None = None,
) -> Task:
    """Goals are observed as `observation.goal`. Mazes and Fetch episodes end at success, the others go on.

    Args:
        pixels: also observe square images of this side.
        cameras: names or numbers of the model's cameras; -1: a free one that sees the whole model.
        achieved_goal: also observe what of the goal is reached (`observation.achieved_goal`).
        subtasks: of the kitchen; solved when all are done.
        limit: steps; default as registered.
    """
    options: dict[str, Any] = {}
    if name.startswith("PointMaze"):
        options["continuing_task"] = False
    if name.startswith("Franka"):
        options["tasks_to_complete"] = list(subtasks)
    make = _maker(name, options)
    probe = make()
    spec = Spec(_obs(probe, achieved_goal), action_feature(probe.action_space))
    probe.close()
    spec = Spec({**spec.obs, **image_features(cameras, pixels)}, spec.action)
    built = single_task(
        f"robotics/{name}",
        make,
        spec,
        limit or LIMITS[name],
        lambda: Robot(pixels, cameras, achieved_goal, _physics),
        expert_for=EXPERTS.get(name),
        end_at_success=name.startswith(("PointMaze", "Fetch")),
        description=f"gymnasium-robotics {name}",
    )
    return dataclasses.replace(built, judge_for=Rehearsal) if name.startswith("PointMaze") else built


class Robot(Flat):
    """The kitchen's goal is fixed by its subtasks and not observed; it is solved when all of them are done."""

    def observe(self, env: Any, raw: Any) -> dict[str, Any]:
        if isinstance(raw, dict) and isinstance(raw["desired_goal"], dict):
            raw = raw["observation"]
        return super().observe(env, raw)

    def succeeded(self, env: Any, info: dict[str, Any], terminated: bool, reward: float) -> bool:
        if "episode_task_completions" in info:
            return terminated
        return super().succeeded(env, info, terminated, reward)


def _obs(env: Any, achieved: bool) -> dict[str, Feature]:
    raw, _ = env.reset(seed=0)
    if not isinstance(raw, dict):
        return {STATE: Feature(flat(raw).shape)}
    if isinstance(raw["desired_goal"], dict):
        return {STATE: Feature(flat(raw["observation"]).shape)}
    obs = {STATE: Feature(flat(raw["observation"]).shape), GOAL: Feature(flat(raw["desired_goal"]).shape)}
    return {**obs, ACHIEVED: Feature(flat(raw["achieved_goal"]).shape)} if achieved else obs


def _physics(env: Any) -> tuple[Any, Any]:
    inner = env.unwrapped
    for part in ("point_env", "robot_env"):
        inner = getattr(inner, part, inner)
    inner = getattr(inner, "unwrapped", inner)
    return inner.model, inner.data


def _maker(name: str, options: dict[str, Any]) -> Callable[[], Any]:
    import_mujoco()
    try:
        suite = importlib.import_module("gymnasium_robotics")
        joints = importlib.import_module("gymnasium_robotics.utils.mujoco_utils")
    except ImportError as error:
        raise missing_extra("gymnasium-robotics", "sim") from error
    import gymnasium

    if name not in gymnasium.registry:
        gymnasium.register_envs(suite)
    _mend(joints)
    quick = quick_maze if name.startswith("PointMaze") else lambda env: env

    return lambda: quick(gymnasium.make(name, disable_env_checker=True, **options).unwrapped)


def _mend(joints: Any) -> None:
    """Replaces four look-ups of gymnasium-robotics 1.4, which compare joint types in a way that MuJoCo 4 ended."""

    def get_joint_qpos(model: Any, data: Any, name: str) -> Any:
        return data.joint(name).qpos.copy()

    def get_joint_qvel(model: Any, data: Any, name: str) -> Any:
        return data.joint(name).qvel.copy()

    def set_joint_qpos(model: Any, data: Any, name: str, value: Any) -> None:
        data.joint(name).qpos[:] = value

    def set_joint_qvel(model: Any, data: Any, name: str, value: Any) -> None:
        data.joint(name).qvel[:] = value

    for function in (get_joint_qpos, get_joint_qvel, set_joint_qpos, set_joint_qvel):
        setattr(joints, function.__name__, function)
