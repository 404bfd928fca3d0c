"""Meta-World v3: 50 table-top tasks of a Sawyer arm, each with a scripted expert."""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import missing_extra
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task, World
from imitari.envs._lockstep import Lockstep
from imitari.envs._quick import Rotation
from imitari.envs._rendering import Renderer, backend, import_mujoco
from imitari.envs.mixed import mixed

NAMES = (
    "assembly basketball bin-picking box-close button-press button-press-topdown button-press-topdown-wall "
    "button-press-wall coffee-button coffee-pull coffee-push dial-turn disassemble door-close door-lock door-open "
    "door-unlock drawer-close drawer-open faucet-close faucet-open hammer hand-insert handle-press handle-press-side "
    "handle-pull handle-pull-side lever-pull peg-insert-side peg-unplug-side pick-out-of-hole pick-place "
    "pick-place-wall plate-slide plate-slide-back plate-slide-back-side plate-slide-side push push-back push-wall "
    "reach reach-wall shelf-place soccer stick-pull stick-push sweep sweep-into window-close window-open"
)
# Sets of tasks as one (see `mixed`), by name.
SETS = {
    "mt10": "reach push pick-place door-open drawer-open drawer-close button-press-topdown peg-insert-side window-open "
    "window-close"
}
SLOW = {"push-back-v3": 500}  # steps; where the expert needs more than 200
WELD = (
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
    -1.0,
    0.0,
    0.0,
    0.0,
    5.0,
)  # anchor, relative pose, torque scale of the hand's weld
STATE = "observation.state"


def ids() -> list[str]:
    return [*(f"{name}-v3" for name in NAMES.split()), *SETS]


def task(
    name: str,
    pixels: int | None = None,
    cameras: tuple[str, ...] = ("corner2",),
    limit: int | None = None,
    end_at_success: bool = True,
    region: float = 1.0,
) -> Task:
    """One task with object and goal positions drawn at every start; the goal is observed.

    Args:
        name: "reach-v3", ..., or a set of tasks as one: "mt10".
        pixels: also observe square images of this side.
        cameras: topview, corner, corner2, corner3, behindGripper, gripperPOV.
        limit: steps; default 200 (push-back: 500). The suite's own is 500; its experts seldom need more than 150.
        end_at_success: an episode ends as soon as the suite reports success; False: it goes on to the limit.
        region: factor on the extent of the region from which object and goal are drawn, about its middle.
    """
    if name in SETS:
        each = (task(f"{one}-v3", pixels, cameras, limit, end_at_success, region) for one in SETS[name].split())
        return mixed(f"metaworld/{name}", list(each))
    if pixels:
        backend()
    limit = limit or SLOW.get(name, 200)
    make = _maker(name, limit, region)
    spec = Spec({STATE: _state_feature()}, Feature((4,), names=ACTION_NAMES, low=(-1.0,) * 4, high=(1.0,) * 4))
    if pixels:
        images = {f"observation.images.{camera}": Feature((pixels, pixels, 3), "uint8", "image") for camera in cameras}
        spec = Spec({**spec.obs, **images}, spec.action)

    def factory(count: int) -> World:
        adapter = Sawyer(tuple(cameras), pixels)
        return Lockstep(make, count, spec, limit, adapter, end_at_success=end_at_success, seed_env=_start)

    return Task(
        f"metaworld/{name}",
        spec,
        limit,
        factory,
        lambda world: Scripted(name),
        success_ends=end_at_success,
        description=f"Meta-World {name.removesuffix('-v3').replace('-', ' ')}, a Sawyer arm moved by its hand",
    )


ACTION_NAMES = ("hand_dx", "hand_dy", "hand_dz", "gripper")


def _state_feature() -> Feature:
    now = ["hand_x", "hand_y", "hand_z", "gripper"]
    for part in ("first", "second"):
        now += [f"{part}_{name}" for name in ("x", "y", "z", "qx", "qy", "qz", "qw")]
    names = (*now, *(f"previous_{name}" for name in now), "goal_x", "goal_y", "goal_z")
    return Feature((39,), names=names)


def _maker(name: str, limit: int, region: float) -> Callable[[], Any]:
    """() -> one environment. The compiled model is kept and copied, which is cheaper than reading it again."""
    try:
        mujoco = import_mujoco()
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    except ImportError as error:
        raise missing_extra("metaworld", "sim") from error
    kept: list[Any] = []
    suite_class: Any = ALL_V3_ENVIRONMENTS[name]
    module = importlib.import_module(suite_class.__module__)
    if hasattr(module, "Rotation"):
        vars(module)["Rotation"] = Rotation

    class GoalObserved(suite_class):
        def _initialize_simulation(self) -> tuple[Any, Any]:
            if not kept:
                kept.append(super()._initialize_simulation()[0])
            model = copy.copy(kept[0])
            return model, mujoco.MjData(model)

        def reset_mocap_welds(self) -> None:
            # MuJoCo 4 added a column behind the eleven that Meta-World 3.0 writes.
            welds = self.model.eq_type == mujoco.mjtEq.mjEQ_WELD
            self.model.eq_data[welds, : len(WELD)] = WELD

    def make() -> Any:
        env = GoalObserved()
        env._partially_observable = False
        env.__dict__.pop("sawyer_observation_space", None)  # was computed for a hidden goal
        env._freeze_rand_vec, env.seeded_rand_vec, env._set_task_called = False, True, True
        env.max_path_length = limit + 1  # our own limit truncates
        if region != 1:
            drawn = env._random_reset_space
            middle, reach = (drawn.low + drawn.high) / 2, (drawn.high - drawn.low) / 2
            env._random_reset_space = type(drawn)(middle - region * reach, middle + region * reach, dtype=drawn.dtype)
        return env

    return make


def _start(env: Any, seed: int) -> Array:
    """The first observation (39,). Goes past the suite's own reset, which ignores seeds."""
    from gymnasium.envs.mujoco import MujocoEnv

    env.curr_path_length = 0
    # Twice: several tasks read positions before they are computed from those just drawn, so that the first
    # observation (and what rewards remember of it) would come from the episode before.
    MujocoEnv.reset(env, seed=seed)
    raw, _ = MujocoEnv.reset(env, seed=seed)
    env._prev_obs = raw[:18].copy()
    raw[18:36] = env._prev_obs
    return raw


@dataclass
class Sawyer:
    """Our names for Meta-World's observation; one graphics context for all environments of a world."""

    cameras: tuple[str, ...]
    pixels: int | None
    _renderer: Renderer | None = None

    def observe(self, env: Any, raw: Array) -> Obs:
        obs: Obs = {STATE: np.asarray(raw, np.float32)}
        if self.pixels:
            if self._renderer is None:
                self._renderer = Renderer(env.model, self.pixels, turn=True)
            for camera in self.cameras:
                obs[f"observation.images.{camera}"] = self._renderer.image(env.model, env.data, camera)
        return obs

    def succeeded(self, env: Any, info: dict[str, Any], terminated: bool, reward: float) -> bool:
        return bool(info["success"])


@dataclass
class Scripted:
    """The suite's hand-written policy of a task; reads `observation.state`, clips to the action box."""

    name: str
    _policy: Any = field(init=False)

    def __post_init__(self) -> None:
        from metaworld.policies import ENV_POLICY_MAP

        self._policy = ENV_POLICY_MAP[self.name]()

    def reset(self, count: int, seed: int = 0) -> None:
        return None

    def act(self, obs: Obs, memory: Any) -> tuple[Array, None]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "Constant(s) may be too high": we clip, as it says
            actions = [self._policy.get_action(state) for state in obs[STATE].astype(np.float64)]
        return np.clip(np.stack(actions), -1.0, 1.0).astype(np.float32), None
