"""BabyAI levels of MiniGrid: language missions in rooms with doors, keys and boxes; the level's bot is the expert."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError, missing_extra
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task, World
from imitari.envs._lockstep import Lockstep

OPEN = True  # any other registered BabyAI or MiniGrid level
LEVELS = (
    "GoToRedBallNoDists GoToRedBall GoToObj GoToLocal GoTo GoToDoor GoToSeq OpenDoor Open Pickup PickupLoc "
    "PutNextLocal UnblockPickup Unlock UnlockPickup KeyCorridorS3R1 Synth SynthLoc MiniBossLevel BossLevel"
)
GRID, DIRECTION, MISSION = "observation.grid", "observation.direction", "observation.mission"
VIEW, SYMBOLS = 7, (10, 5, 2)  # cells a side; greatest code of object type, colour and door state
TURNS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")


def ids() -> list[str]:
    return [f"BabyAI-{level}-v0" for level in LEVELS.split()]


def task(name: str, pixels: int | None = None, limit: int | None = None) -> Task:
    """The agent sees the 7 x 7 cells before it as symbols, its direction, and the mission as text.

    Args:
        name: "BabyAI-GoToLocal-v0", or any registered id of MiniGrid.
        pixels: also observe a picture of those cells of this side (`observation.images.view`).
        limit: steps; default: the level's own for this task, at most 1,000.
    """
    make = _maker(name, pixels, limit)
    probe = make()
    probe.reset(seed=0)
    codes = tuple(float(top) for top in SYMBOLS)
    grid = Feature((VIEW, VIEW, 3), "int64", "symbol", low=(0.0, 0.0, 0.0) * VIEW**2, high=codes * VIEW**2)
    obs = {
        GRID: grid,
        DIRECTION: Feature((1,), "int64", "symbol", low=(0.0,), high=(3.0,)),
        MISSION: Feature((), "object", "text"),
    }
    if pixels:
        obs["observation.images.view"] = Feature((pixels, pixels, 3), "uint8", "image")
    choices = int(probe.action_space.n)
    spec = Spec(obs, Feature((1,), "int64", "choice", names=("turn",), low=(0,), high=(choices - 1,)))
    # Some levels set their limit anew for every mission: the world must not cut off before the level does.
    steps = limit or (1000 if name.startswith("BabyAI") else min(1000, int(probe.unwrapped.max_steps)))
    return Task(
        f"minigrid/{name}",
        spec,
        steps,
        lambda count: Lockstep(make, count, spec, steps, Grid(pixels)),
        Bots if name.startswith("BabyAI") else None,
        description=f"MiniGrid {name}: actions {', '.join(TURNS[:choices])}",
    )


class Remembering(gymnasium.Wrapper):  # pyright: ignore[reportMissingTypeArgument]
    """Counts the steps and remembers the last action, which the bot has to be told."""

    def reset(self, **kwargs: Any) -> Any:
        self.steps, self.last = 0, None
        with contextlib.redirect_stdout(io.StringIO()):  # it prints every layout that it rejects
            return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        self.steps, self.last = self.steps + 1, action
        return self.env.step(action)


def _maker(name: str, pixels: int | None, limit: int | None) -> Callable[[], Any]:
    try:
        importlib.import_module("minigrid")
    except ImportError as error:
        raise missing_extra("minigrid", "sim") from error
    if name not in gymnasium.registry:
        raise UserError(f"MiniGrid has no level '{name}': `imitari tasks` lists some, its documentation all")

    def make() -> Any:
        options: dict[str, Any] = {"render_mode": "rgb_array"} if pixels else {}
        env: Any = gymnasium.make(name, disable_env_checker=True, **options).unwrapped
        if limit:  # in the place of the level's own, which BabyAI's levels would set anew for every mission
            env.max_steps, env.fixed_max_steps = limit, True
        return Remembering(env)

    return make


@dataclass
class Grid:
    """Our names for a level's observation. Solved: a positive reward, which levels give at success only."""

    pixels: int | None

    def observe(self, env: Any, raw: Any) -> Obs:
        mission = np.empty((), object)
        mission[()] = str(raw["mission"])
        obs: Obs = {
            GRID: raw["image"].astype(np.int64),
            DIRECTION: np.array([raw["direction"]], np.int64),
            MISSION: mission,
        }
        if self.pixels:
            from PIL import Image

            picture = env.unwrapped.get_frame(tile_size=8, agent_pov=True)
            obs["observation.images.view"] = np.asarray(Image.fromarray(picture).resize((self.pixels, self.pixels)))
        return obs

    def succeeded(self, env: Any, info: dict[str, Any], terminated: bool, reward: float) -> bool:
        return reward > 0


@dataclass
class Bots:
    """The suite's planning bot, one an environment.

    It follows what was really executed, also when a policy acts. Where it missed steps or loses its plan, it is made
    anew from the current state, and forgets what it had seen.
    """

    world: World
    _bots: dict[int, tuple[Any, int, int]] = field(default_factory=dict[int, tuple[Any, int, int]])

    def reset(self, count: int, seed: int = 0) -> None:
        self._bots = {}

    def act(self, obs: Obs, memory: Any) -> tuple[Array, None]:
        envs: Any = self.world.envs  # pyright: ignore[reportAttributeAccessIssue]
        return np.array([[self._one(number, env)] for number, env in enumerate(envs)], np.int64), None

    def _one(self, number: int, env: Any) -> int:
        bot, seen, said = self._bots.get(number, (None, -1, 0))
        if bot is not None and seen == env.steps:
            return said
        plans = [lambda: (bot, bot.replan(env.last))] if bot is not None and seen == env.steps - 1 else []
        for plan in [*plans, lambda: self._fresh(env)]:
            try:
                bot, action = plan()
            except Exception:  # the bot asserts on whatever it did not foresee
                continue
            self._bots[number] = bot, env.steps, int(action)
            return int(action)
        return int(env.unwrapped.actions.done)  # not even a new bot knows: the mission has become impossible

    @staticmethod
    def _fresh(env: Any) -> tuple[Any, Any]:
        bot: Any = importlib.import_module("minigrid.utils.baby_ai_bot").BabyAIBot(env.unwrapped)
        return bot, bot.replan(None)
