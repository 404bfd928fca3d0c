"""Stretches of an episode with the reward at their start: a window and a transition of the same step as one sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.data.sampling import Transitions, Windows


class Stretches:
    """Around every step t a window of `data.sampling.Windows`, with reward, discount and successor of `Transitions`.

    Args:
        demos: with rewards.
        obs_offsets, action_offsets: of the window; beyond the end it repeats the final observation.
        n_step, gamma: of the transition.
    """

    def __init__(
        self, demos: Demos, obs_offsets: Sequence[int], action_offsets: Sequence[int], n_step: int, gamma: float
    ) -> None:
        self.demos = demos
        self.windows = Windows(demos, obs_offsets, action_offsets, final=True)
        self.transitions = Transitions(demos, n_step, gamma)

    def __len__(self) -> int:
        return len(self.transitions)

    def per_episode(self) -> Array:
        """(E,) samples of each episode; they are numbered episode by episode."""
        return self.transitions.per_episode()

    def gather(self, index: Array, rng: np.random.Generator | None = None) -> Batch:
        one = self.transitions.gather(index, rng)
        window = self.windows.around(*self.transitions.locate(index))
        return replace(window, reward=one.reward, discount=one.discount, next_obs=one.next_obs)
