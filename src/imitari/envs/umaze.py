"""A point mass is driven by forces through a U of three corridors, with a judge that knows what every action costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.spec import Feature, Spec
from imitari.core.task import Stateless, Task, World
from imitari.envs._batched import BatchedWorld, State

LIMIT = 200  # the clean controller needs up to 134 steps
TICK, MASS, FORCE, DAMPING = 0.01, 4.19, 100.0, 1.0  # seconds, kg, newtons at full action, newtons a metre a second
FASTEST = 5.0  # metres a second, each direction
OUTER, INNER = 1.4, 0.6  # where the middle of the ball may be: its radius of 0.1 inside the walls
REACH = 0.45  # of the goal
GOAL = np.array([-1.0, 1.0])
CORNERS = np.array([[1.0, -1.0], [1.0, 1.0]])  # that the way around passes, lower then upper
STIFFNESS, BRAKING = 10.0, 1.5  # of the controller
STATE = "observation.state"


def ids() -> list[str]:
    return [""]


def task(name: str = "") -> Task:
    """The geometry and the forces of gymnasium-robotics' PointMaze_UMaze-v3, as array programs; always the same goal.

    The start is anywhere in the U that is farther than 0.6 from the goal. Walls stop the ball (there they are slightly
    soft). Solved: once within 0.45 of the goal. An episode goes on to its limit, with reward 1 a step there, else 0:
    there nothing is left to do wrong, and who watches has no reason to take over.
    """
    names = ("x", "y", "velocity_x", "velocity_y", "goal_x", "goal_y")
    action = Feature((2,), names=("force_x", "force_y"), low=(-1.0, -1.0), high=(1.0, 1.0))
    spec = Spec({STATE: Feature((6,), names=names)}, action)
    return Task(
        "umaze",
        spec,
        LIMIT,
        lambda count: UMaze(count, spec),
        expert,
        success_ends=False,
        description=(__doc__ or "").split("\n")[0],
        judge_for=Foresight,
    )


def confined(place: Array, velocity: Array, after: Array) -> tuple[Array, Array]:
    """(place, velocity) of balls that wanted to go from `place` to `after`, all (B, 2), stopped by the walls."""
    x, y = after[:, 0], place[:, 1]
    low = np.where(np.abs(y) >= INNER, -OUTER, INNER)  # between the arms there is only the corridor on the right
    new_x = np.clip(x, low, OUTER)
    y = after[:, 1]
    right = new_x >= INNER
    low = np.where(right | (place[:, 1] < 0), -OUTER, INNER)
    high = np.where(right | (place[:, 1] > 0), OUTER, -INNER)
    new_y = np.clip(y, low, high)
    new = np.stack([new_x, new_y], 1)
    return new, np.where(new == after, velocity, 0.0)


def moved(place: Array, velocity: Array, action: Array) -> tuple[Array, Array]:
    """One tick for all balls: (B, 2) each."""
    velocity = np.clip(velocity, -FASTEST, FASTEST)
    velocity = velocity + TICK / MASS * (FORCE * np.clip(action, -1, 1) - DAMPING * velocity)
    return confined(place, velocity, place + TICK * velocity)


def guided(place: Array, velocity: Array) -> Array:
    """The clean controller's actions (B, 2): towards the middle of the next cell on the way, with braking."""
    lower, right = place[:, 1] < -0.5, place[:, 0] > 0.5
    upper = place[:, 1] > 0.5
    aim = np.where((lower & ~right)[:, None], [0.0, -1.0], CORNERS[1])  # along the lower corridor
    aim = np.where((lower & ~right & (place[:, 0] > -0.5))[:, None], CORNERS[0], aim)
    aim = np.where((lower & right)[:, None], [1.0, 0.0], aim)
    aim = np.where((upper & right)[:, None], [0.0, 1.0], aim)
    aim = np.where((upper & ~right)[:, None], GOAL, aim)
    return np.clip(STIFFNESS * (aim - place) - BRAKING * velocity, -1, 1)


class UMaze(BatchedWorld):
    """State: `place` and `velocity`, (B, 2) each."""

    def __init__(self, count: int, spec: Spec) -> None:
        super().__init__(count, spec, LIMIT)

    def start(self, rng: np.random.Generator) -> State:
        while True:
            place = rng.uniform(-OUTER, OUTER, (1, 2))
            still = np.zeros((1, 2))
            inside, _ = confined(place, still, place)
            if (inside == place).all() and np.linalg.norm(place - GOAL) > 0.6:
                return {"place": place[0], "velocity": still[0]}

    def observe(self, state: State) -> Obs:
        goal = np.broadcast_to(GOAL, state["place"].shape)
        return {STATE: np.concatenate([state["place"], state["velocity"], goal], 1).astype(np.float32)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        place, velocity = moved(state["place"], state["velocity"], action.astype(np.float64))
        there = np.linalg.norm(place - GOAL, axis=1) <= REACH
        return {"place": place, "velocity": velocity}, there.astype(np.float32), np.zeros_like(there), there


def expert(world: World) -> Stateless:
    """The clean controller."""
    return Stateless(lambda obs: _guided(obs).astype(np.float32))


def _guided(obs: Obs) -> Array:
    state = obs[STATE].astype(np.float64)
    return guided(state[:, :2], state[:, 2:4])


@dataclass
class Foresight:
    """Q_ref(s, a) = -(1 + T(s')), T the time that the clean controller needs from s', found by letting it drive there.

    The last step counts by the share of it that is needed to come within reach of the goal, so that actions which cost
    less than a whole step differ. From where it needs more than `LIMIT` steps, T is `LIMIT`.
    """

    world: Any

    def reference(self, obs: Obs) -> Array:
        return _guided(obs).astype(np.float32)

    def values(self, obs: Obs, actions: Array) -> Array:
        """(N, B, 2) to (N, B), in steps."""
        count = len(actions)
        state: State = self.world.state
        place, velocity = (np.tile(state[key], (count, 1)) for key in ("place", "velocity"))
        flat = actions.reshape(-1, 2).astype(np.float64)
        distance = np.linalg.norm(place - GOAL, axis=1)
        after, velocity = moved(place, velocity, flat)
        return -steps_needed(after, velocity, distance).reshape(count, -1)


def steps_needed(place: Array, velocity: Array, before: Array) -> Array:
    """(B,) steps until the goal: one that led to `place` from distance `before`, then those of the clean controller."""
    total = np.full(len(place), 1.0 + LIMIT)
    going = np.arange(len(place))
    for step in range(LIMIT + 1):
        distance = np.linalg.norm(place - GOAL, axis=1)
        there = distance <= REACH
        if there.any():
            share = (before[there] - REACH) / np.maximum(before[there] - distance[there], 1e-9)
            total[going[there]] = step + np.clip(share, 0, 1)
            place, velocity, going, distance = place[~there], velocity[~there], going[~there], distance[~there]
        if not len(going):
            break
        before = distance
        place, velocity = moved(place, velocity, guided(place, velocity))
    return total
