"""KinDER: two-dimensional puzzles of driving, using tools and clearing space (with human demonstrations)."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import Missing, UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.envs._single import STATE, Flat, action_feature, single_task, state_feature

OPEN = True  # any other id of kindergarden without a backend that is not installed
NAMES = (
    "Motion2D-p0 Motion2D-p1 Motion2D-p2 Motion2D-p3 StickButton2D-b1 StickButton2D-b2 StickButton2D-b3 "
    "Obstruction2D-o0 Obstruction2D-o1 Obstruction2D-o2 PushPullHook2D ClutteredStorage2D-b1 ClutteredRetrieval2D-o1 "
    "DynObstruction2D-o0 DynObstruction2D-o1 DynPushT2D-t1"
)
LIMIT = 500
LIGHT = "graphviz kindergarden multimethod prpl_utils pyperplan relational_structs tabulate tomsgeoms2d dill"
REMEDY = f"install it with: pip install --no-deps {LIGHT} && pip install matplotlib shapely pygame"
PHYSICS = (
    "the Dyn tasks need pymunk 7.1, and gym-pusht needs pymunk below 7: make a second virtual environment with "
    "pip install pymunk==7.1.0 in the place of gym-pusht"
)


def ids() -> list[str]:
    return list[str](NAMES.split())


def task(name: str, limit: int = LIMIT) -> Task:
    """Reward -1 a step; solved, and ended, when the environment terminates.

    Args:
        name: "Motion2D-p2", ...
        limit: steps.
    """
    make = _maker(name)
    probe = make()
    spec = Spec({STATE: state_feature(probe.observation_space)}, action_feature(probe.action_space))
    return single_task(f"kinder/{name}", make, spec, limit, Puzzle, end_at_success=True, description=f"KinDER {name}")


class Puzzle(Flat):
    """Terminated means solved."""

    def succeeded(self, env: Any, info: dict[str, Any], terminated: bool, reward: float) -> bool:
        return terminated


def _maker(name: str) -> Callable[[], Any]:
    if name.startswith("Dyn"):
        _need_new_physics()
    try:
        suite = importlib.import_module("kinder")
        import gymnasium

        full = f"kinder/{name}-v0"
        if full not in gymnasium.registry:
            with _same_graphics():
                suite.register_all_environments()
        if full not in gymnasium.registry:
            raise UserError(f"KinDER has no task '{name}': `imitari tasks` lists some")
        suite.make(full).close()
    except ImportError as error:
        raise Missing(f"kindergarden ({error})", REMEDY) from error
    return lambda: Exact(suite.make(full))


@contextlib.contextmanager
def _same_graphics() -> Generator[None]:
    """Registration chooses a graphics library for the whole process, which these tasks do not even use: undone."""
    before = {key: os.environ.get(key) for key in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


class Exact:
    """Passes on actions within the bounds of the environment, which refuses values a rounding error outside."""

    def __init__(self, env: Any) -> None:
        self.env = env
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.unwrapped = env.unwrapped

    def reset(self, **kwargs: Any) -> Any:
        return self.env.reset(**kwargs)

    def step(self, action: Array) -> Any:
        low, high, kind = self.action_space.low, self.action_space.high, self.action_space.dtype
        return self.env.step(np.clip(np.asarray(action, kind), low, high))

    def render(self) -> Any:
        return self.env.render()

    def close(self) -> None:
        self.env.close()


def _need_new_physics() -> None:
    try:
        physics = importlib.import_module("pymunk")
    except ImportError as error:
        raise Missing("pymunk 7", PHYSICS) from error
    if not hasattr(physics.Space, "on_collision"):
        raise Missing(f"pymunk 7 (there is {physics.version})", PHYSICS)
