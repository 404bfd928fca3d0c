"""A vehicle follows a winding, crowned lane: small enough to show in seconds how a cloned policy drifts away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.envs._batched import BatchedWorld, State

LIMIT = 150
STEP = 0.25  # distance a step; the lane is 2 wide
CROWN = 0.05  # share of the offset by which the crowned road carries the vehicle outwards in a step
LAG = 0.35  # share of the way to the commanded turn that the steering makes in a step
TURN = 1.0  # curvature that full steering drives
GUST = 0.01  # standard deviation of the heading's random change in a step, radians
SENSOR = (0.1, 0.04)  # standard deviation of the errors of the seen offset and heading (radians)
AHEAD = (0.0, 0.75, 1.5)  # distances at which the curvature is seen
WAVES = 3


def ids() -> list[str]:
    return [""]


def task(name: str = "") -> Task:
    """Constant speed, steering only. Leaving the lane ends the episode; solved is who is still in it at the limit.

    The driver knows where it is; a policy sees offset and heading with sensor errors. A good driver stays so close to
    the middle that in its demonstrations these readings are hardly more than their errors: regression then learns to
    rely on the lane's curvature and to disregard them, and the crowned road carries the policy out. Where the policy
    itself has driven, the readings tell, and a driver who labels those states teaches to come back.
    """
    names = ("offset", "heading", "steering", *(f"curvature_{distance:g}" for distance in AHEAD))
    action = Feature((1,), names=("steering",), low=(-1.0,), high=(1.0,))
    spec = Spec({"observation.state": Feature((len(names),), names=names)}, action)
    return Task(
        "track", spec, LIMIT, lambda count: Track(count, spec), Driver, description=(__doc__ or "").split("\n")[0]
    )


class Track(BatchedWorld):
    """State: place along the lane, offset from its middle (1: its edge), heading error, steering, and what is to come.

    The lane's curvature is a sum of waves; `gust` holds the random changes of heading of the whole episode, so that a
    start's seed fixes everything. Reward: 1 a step in the lane, less its squared offset.
    """

    def __init__(self, count: int, spec: Spec) -> None:
        super().__init__(count, spec, LIMIT)

    def start(self, rng: np.random.Generator) -> State:
        return {
            "place": np.zeros(()),
            "offset": np.asarray(rng.uniform(-0.1, 0.1)),
            "heading": np.asarray(rng.uniform(-0.05, 0.05)),
            "steering": np.zeros(()),
            "height": rng.uniform(0.1, 0.3, WAVES),
            "pace": rng.uniform(0.1, 0.6, WAVES),
            "phase": rng.uniform(0, 2 * np.pi, WAVES),
            "gust": rng.normal(0, GUST, LIMIT),
            "error": rng.normal(0, SENSOR, (LIMIT + 1, len(SENSOR))),
            "clock": np.zeros((), np.int64),
        }  # fmt: skip

    def curvature(self, state: State, ahead: float) -> Array:
        """(B,) of the lane, so far ahead."""
        place = (state["place"] + ahead)[:, None]
        return (state["height"] * np.sin(state["pace"] * place + state["phase"])).sum(1)

    def observe(self, state: State) -> Obs:
        seen = [self.curvature(state, distance) for distance in AHEAD]
        error = state["error"][np.arange(len(state["clock"])), state["clock"]].T
        columns = [state["offset"] + error[0], state["heading"] + error[1], state["steering"], *seen]
        return {"observation.state": np.stack(columns, 1).astype(np.float32)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        command = np.clip(action[:, 0].astype(np.float64), -1, 1)
        steering = state["steering"] + LAG * (command - state["steering"])
        gust = np.take_along_axis(state["gust"], np.minimum(state["clock"], LIMIT - 1)[:, None], 1)[:, 0]
        heading = state["heading"] + STEP * (TURN * steering - self.curvature(state, 0.0)) + gust
        offset = state["offset"] * (1 + CROWN) + STEP * np.sin(heading)
        clock = state["clock"] + 1
        out = np.abs(offset) > 1
        after = {**state, "place": state["place"] + STEP, "offset": offset, "heading": heading, "steering": steering}
        reward = np.where(out, 0.0, 1 - offset**2)
        return {**after, "clock": clock}, reward, out, ~out & (clock >= LIMIT)


@dataclass
class Driver:
    """Scripted expert: steers the lane's curvature, corrected by the true offset and heading."""

    world: Any

    def reset(self, count: int, seed: int = 0) -> None:
        return None

    def act(self, obs: Obs, memory: Any) -> tuple[Array, None]:
        state = self.world.state
        now, soon = (self.world.curvature(state, distance) for distance in AHEAD[:2])
        wanted = soon / TURN - 1.2 * state["offset"] - 2.2 * state["heading"] - 0.3 * (state["steering"] - now)
        return np.clip(wanted, -1, 1).astype(np.float32)[:, None], None
