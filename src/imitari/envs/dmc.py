"""The DeepMind control suite: locomotion and manipulation with rewards from 0 to 1."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from imitari.core.errors import UserError, missing_extra
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.envs._rendering import import_mujoco
from imitari.envs._single import STATE, Flat, Scored, action_feature, image_features, single_task

OPEN = True  # any other "domain-task" of the suite
NAMES = (
    "acrobot-swingup ball_in_cup-catch cartpole-balance cartpole-balance_sparse cartpole-swingup "
    "cartpole-swingup_sparse cheetah-run finger-spin finger-turn_easy finger-turn_hard fish-swim fish-upright "
    "hopper-hop hopper-stand humanoid-run humanoid-stand humanoid-walk manipulator-bring_ball pendulum-swingup "
    "point_mass-easy quadruped-run quadruped-walk reacher-easy reacher-hard swimmer-swimmer15 swimmer-swimmer6 "
    "walker-run walker-stand walker-walk"
)
LIMIT = 1000
SOLVED = 800.0  # return, of 1,000 possible: the suite has no verdict of its own


def ids() -> list[str]:
    return list[str](NAMES.split())


def task(name: str, pixels: int | None = None, cameras: tuple[str | int, ...] = (0,), limit: int = LIMIT) -> Task:
    """Observations flattened in the suite's order. Solved: a return of at least 800 a 1,000 steps, at the end.

    Args:
        name: "walker-walk", ...
        pixels: also observe square images of this side.
        cameras: names or numbers of the model's cameras; -1: a free one that sees the whole model.
        limit: steps.
    """
    make = _maker(name, limit)
    probe = make()
    spec = Spec({STATE: Feature(probe.observation_space.shape)}, action_feature(probe.action_space))
    spec = Spec({**spec.obs, **image_features(cameras, pixels)}, spec.action)
    return single_task(
        f"dmc/{name}",
        make,
        spec,
        limit,
        lambda: Flat(pixels, cameras, physics=lambda env: (env.unwrapped.model, env.unwrapped.data)),
        description=f"DeepMind control suite, {name}",
    )


def _maker(name: str, limit: int) -> Callable[[], Any]:
    mujoco = import_mujoco()
    try:
        _mend(mujoco, importlib.import_module("dm_control.mujoco.wrapper.mjbindings.sizes"))
        suite = importlib.import_module("dm_control.suite")
    except ImportError as error:
        raise missing_extra("dm-control", "sim") from error
    domain, _, what = name.partition("-")
    if (domain, what) not in suite.ALL_TASKS:
        raise UserError(f"the control suite has no task '{name}': `imitari tasks` lists some, as domain-task")
    return lambda: Scored(Control(suite, domain, what), limit, SOLVED * limit / LIMIT)


class Control(gymnasium.Env):  # pyright: ignore[reportMissingTypeArgument]
    """A task of the suite as a gymnasium environment."""

    def __init__(self, suite: Any, domain: str, what: str) -> None:
        self.inner = suite.load(domain, what, task_kwargs={"random": 0}, environment_kwargs={"flat_observation": False})
        bounds = self.inner.action_spec()
        low, high = (np.broadcast_to(value, bounds.shape) for value in (bounds.minimum, bounds.maximum))
        self.action_space = gymnasium.spaces.Box(low.astype(np.float32), high.astype(np.float32))
        size = sum(max(1, int(np.prod(part.shape))) for part in self.inner.observation_spec().values())
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)

    @property
    def model(self) -> Any:
        return self.inner.physics.model.ptr

    @property
    def data(self) -> Any:
        return self.inner.physics.data.ptr

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.inner.task._random = np.random.RandomState(seed % 2**32)
        return self._flat(self.inner.reset()), {}

    def step(self, action: Any) -> Any:
        after = self.inner.step(np.clip(action, self.action_space.low, self.action_space.high))  # pyright: ignore
        ended = bool(after.last() and after.discount == 0.0)
        return self._flat(after), float(after.reward or 0.0), ended, bool(after.last() and not ended), {}

    @staticmethod
    def _flat(step: Any) -> Any:
        return np.concatenate([np.ravel(value) for value in step.observation.values()])


def _mend(mujoco: Any, sizes: Any) -> None:
    """Drops fields that this MuJoCo does not have: dm_control 1.0.50 lists some that MuJoCo 4 ended."""
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    for name, holder in (("mjmodel", model), ("mjdata", mujoco.MjData(model))):
        for field in [field for field in sizes.array_sizes[name] if not hasattr(holder, field)]:
            del sizes.array_sizes[name][field]
