"""Decision processes given as tables, as worlds: the state is observed as a choice, the expert is the exact optimum."""

from __future__ import annotations

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.tabular import TabularMDP
from imitari.core.task import Stateless, World
from imitari.envs._batched import BatchedWorld, State


def table_spec(state: str, states: int, action: str, actions: int) -> Spec:
    """One observation and one action, both choices."""
    seen = Feature((1,), "int64", "choice", names=(state,), low=(0.0,), high=(float(states - 1),))
    return Spec(
        {f"observation.{state}": seen},
        Feature((1,), "int64", "choice", names=(action,), low=(0.0,), high=(float(actions - 1),)),
    )


def instance(suite: str, name: str) -> int:
    """The number of an instance of a suite from the task's name; "" is number 0.

    Raises:
        UserError: when it is no number.
    """
    if name and not name.isdecimal():
        raise UserError(f"task '{suite}/{name}' is unknown: give a number, as in {suite}/7")
    return int(name or 0)


class TabularWorld(BatchedWorld):
    """Success: a reward was received. What chance does is drawn at the start, one pair of numbers a step.

    Args:
        mdp: what happens.
        noisy: whether a reward is 1 with the chance that the table gives, and not the table's own number.
    """

    def __init__(self, count: int, mdp: TabularMDP, spec: Spec, limit: int, *, noisy: bool = False) -> None:
        super().__init__(count, spec, limit)
        self.mdp, self.noisy = mdp, noisy
        self.key = next(iter(spec.obs))

    def start(self, rng: np.random.Generator) -> State:
        state = rng.choice(self.mdp.states, p=self.mdp.start)
        return {"state": np.array(state), "clock": np.array(0), "chance": rng.random((self.limit, 2))}

    def observe(self, state: State) -> Obs:
        return {self.key: state["state"][:, None].astype(np.int64)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        before, chosen = state["state"], action.reshape(-1).astype(np.int64)
        clock = np.minimum(state["clock"], self.limit - 1)  # the finished ones are stepped too, and frozen afterwards
        where, luck = np.take_along_axis(state["chance"], clock[:, None, None], 1)[:, 0].T
        after = self.mdp.after(before, chosen, where)
        ended = after == self.mdp.states
        reward = self.mdp.reward[before, chosen]
        if self.noisy:
            reward = (luck < reward).astype(np.float64)
        following = {**state, "state": np.where(ended, before, after), "clock": clock + 1}
        return following, reward, ended, reward > 0


def optimal_expert(world: World) -> Stateless:
    """Acts as the exact optimum of the world's table."""
    assert isinstance(world, TabularWorld)
    key, policy = world.key, world.mdp.optimal().policy
    return Stateless(lambda obs: policy[obs[key]])
