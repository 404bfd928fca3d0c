"""A mask of choices that is learned while acting: what left everything as it was is not tried in that state again.

A table from states to the choices that changed nothing in them, without any model of the world. (Benyamin et al. 2025,
arXiv 2502.13006, masks the choices of all of its learning agents so.) It is right where equal observations are equal
states and equal choices have equal consequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task, World
from imitari.learn.scaled import DeviceScaler

LEARNED = "learned"  # the mask that is learned
UNTRIED = "observation.untried"  # (K,) 0 for choices that changed nothing here, else 1
PLACES = 1 << 16  # states that are remembered at most


def with_untried(spec: Spec) -> Spec:
    """The spec with the mask as a further observation.

    Raises:
        UserError: where actions are no choices.
    """
    if spec.action.kind != "choice":
        raise UserError("mask 'learned': only choices can be masked, and this action is of numbers: leave out --mask")
    return Spec({**spec.obs, UNTRIED: Feature((spec.action.choices,))}, spec.action)


class Tried(nn.Module):
    """What was tried in vain. States are told apart by codes of 64 bits; of two that share a place in the table the
    earlier one stays.

    Args:
        spec: all of its observations but the mask are the state.

    Attributes:
        learning: whether anything is remembered.
    """

    codes: Tensor
    refused: Tensor
    factors: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.learning = True
        self.keys = [key for key, feature in spec.obs.items() if key != UNTRIED and feature.kind != "text"]
        width = sum(spec.obs[key].size for key in self.keys)
        factors = np.random.default_rng(0x7121ED).integers(1 << 62, size=width) * 2 + 1
        self.register_buffer("factors", torch.from_numpy(factors), persistent=False)
        self.register_buffer("codes", torch.zeros(PLACES, dtype=torch.int64))
        self.register_buffer("refused", torch.zeros(PLACES, spec.action.choices, dtype=torch.bool))

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Observations name -> (B, ...) to 0 for choices that were tried in vain, else 1, (B, K)."""
        codes = self._codes_of(obs)
        place = codes.remainder(PLACES)
        known = self.codes[place] == codes
        return (~(self.refused[place] & known[:, None])).float()

    @torch.no_grad()
    def refuse(self, obs: dict[str, Tensor], choices: Tensor) -> None:
        """Remembers that choices (B,) changed nothing."""
        if not self.learning:
            return
        codes = self._codes_of(obs)
        place = codes.remainder(PLACES)
        free = self.codes[place] == 0
        self.codes[place[free]] = codes[free]
        own = self.codes[place] == codes
        self.refused[place[own], choices[own]] = True

    def _codes_of(self, obs: dict[str, Tensor]) -> Tensor:
        """(B,) never 0, which says that a place is free."""
        rows = torch.cat([obs[key].flatten(1).float() for key in self.keys], 1) + 0.0  # no negative zeros
        bits = _stirred((rows.view(torch.int32).long() + 1) * self.factors)
        codes = _stirred(bits.sum(1))
        return torch.where(codes == 0, 1, codes)


def _stirred(value: Tensor) -> Tensor:
    value = (value ^ (value >> 30)) * -0x40A7B892E31B1A47
    value = (value ^ (value >> 27)) * -0x6B2FB644ECCEEE15
    return value ^ (value >> 31)


def observed_as(mask: str) -> str:
    """The observation that masks, by the setting `mask`; "" where there is none."""
    return UNTRIED if mask == LEARNED else mask


def table_in(learner: nn.Module) -> Tried | None:
    """The table that a learner has, or None."""
    return next((part for part in learner.modules() if isinstance(part, Tried)), None)


class Remembering:
    """Environments that also show what was not tried in vain; they fill the table while they are stepped.

    Args:
        world: as it is.
        tried: the table.
        scale: of what the table is given.
    """

    def __init__(self, world: World, tried: Tried, scale: DeviceScaler) -> None:
        self.world, self.tried, self.scale = world, tried, scale
        self.num_envs = world.num_envs
        self._obs: Obs = {}
        self._running = np.ones(world.num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        obs, info = self.world.reset(seed=seed, options=options)
        self._obs, self._running = _copied(obs), np.ones(self.num_envs, bool)
        return self._shown(obs), info

    def step(self, actions: Any) -> tuple[Obs, Array, Array, Array, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.world.step(actions)
        same = self._running & ~terminated
        for key, before in self._obs.items():
            same &= (before == obs[key]).reshape(self.num_envs, -1).all(1)
        if same.any():
            rows = {key: value[same] for key, value in self._obs.items()}
            chosen = torch.as_tensor(np.asarray(actions).reshape(self.num_envs)[same], dtype=torch.int64)
            self.tried.refuse(self.scale.obs(rows), chosen.to(self.scale.device))
        self._obs = _copied(obs)
        self._running &= ~(terminated | truncated)
        return self._shown(obs), reward, terminated, truncated, info

    def restart(self, which: Array, seeds: Sequence[int]) -> Obs:
        first = self.world.restart(which, seeds)
        for key, value in first.items():
            self._obs[key][which] = value
        self._running[which] = True
        return self._shown(first)

    def close(self) -> None:
        self.world.close()

    def _shown(self, obs: Obs) -> Obs:
        return {**obs, UNTRIED: self.tried(self.scale.obs(obs)).cpu().numpy()}


def remembering(task: Task, tried: Tried, scale: DeviceScaler) -> Task:
    """The task with the mask among its observations."""
    return replace(
        task,
        spec=with_untried(task.spec),
        factory=lambda count: Remembering(task.make(count), tried, scale),
    )


def _copied(obs: Obs) -> Obs:
    return {key: np.array(value) for key, value in obs.items()}
