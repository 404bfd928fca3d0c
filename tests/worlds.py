"""A point that is driven about: what the small worlds of the tests have in common."""

from __future__ import annotations

import numpy as np

from imitari.core.episode import Obs
from imitari.envs._batched import BatchedWorld, State

KEY = "observation.state"


class Point(BatchedWorld):
    """Begins anywhere in [-1, 1] and shows where it is. A world says in `advance` what an action does.

    Attributes:
        dimensions: of the place.
    """

    dimensions = 2

    def start(self, rng: np.random.Generator) -> State:
        return {"place": rng.uniform(-1, 1, self.dimensions)}

    def observe(self, state: State) -> Obs:
        return {KEY: state["place"].astype(np.float32)}
