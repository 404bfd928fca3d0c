"""Trained expert policies that lie in the data folder as plain weights, as actors in numpy."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature

# Better algorithms first: the default expert of a task is the first that is there.
ORDER = ("tqc", "sac", "ppo", "dqn", "trpo")


def folder() -> Path:
    """Where the policies lie: `expert_policies` in the folder that IMITARI_DATA names."""
    return Path(os.environ.get("IMITARI_DATA", "../shared/data")) / "expert_policies"


def find_expert(env_id: str, continuous: bool, algorithm: str | None = None) -> dict[str, Any] | None:
    """The entry of the index for an environment, or None when there is none (or no folder).

    Args:
        env_id: like "HalfCheetah-v5".
        continuous: whether its actions are continuous (LunarLander has both).
        algorithm: one of ORDER; None: the best that is there.
    """
    index = folder() / "index.json"
    if not index.exists():
        return None
    entries = json.loads(index.read_text(encoding="utf-8"))
    fitting = [
        entry
        for entry in entries
        if entry["checked_on"].split(" ")[0] == env_id
        and entry["output"].startswith("argmax") != continuous
        and algorithm in (None, entry["algo"])
    ]
    return min(fitting, key=lambda entry: ORDER.index(entry["algo"]), default=None)


def expert_from(entry: dict[str, Any], action: Feature) -> Network:
    """The actor of an index entry."""
    with np.load(folder() / entry["file"], allow_pickle=False) as file:
        count = sum(1 for key in file.files if key.startswith("W"))
        layers = [(file[f"W{number}"], file[f"b{number}"]) for number in range(count)]
        scale = None
        if entry["obs_normalised"]:
            spread = np.sqrt(file["obs_var"] + entry["norm_eps"])
            scale = file["obs_mean"], spread, float(entry["clip_obs"])
    hidden = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[entry["hidden_activation"]]
    return Network(layers, hidden, entry["output"], action, scale)


@dataclass
class Network:
    """A fully connected actor without exploration noise.

    Attributes:
        layers: (weights (out, in), bias (out,)) of each.
        hidden: activation between the layers.
        output: how the last layer becomes an action: in words, as the index says.
        action: of the task, for its bounds.
        scale: mean, spread and clip of observations that are normalised first.
    """

    layers: list[tuple[Array, Array]]
    hidden: Callable[[Array], Array]
    output: str
    action: Feature
    scale: tuple[Array, Array, float] | None = None

    def reset(self, count: int, seed: int = 0) -> None:
        return None

    def act(self, obs: Obs, memory: Any) -> tuple[Array, None]:
        values = obs["observation.state"].astype(np.float64)
        if self.scale:
            mean, spread, clip = self.scale
            values = np.clip((values - mean) / spread, -clip, clip)
        if values.shape[1] != self.layers[0][0].shape[1]:
            raise UserError(
                f"the expert reads {self.layers[0][0].shape[1]} numbers and the task shows {values.shape[1]}: "
                "use the environment version that the expert was made for"
            )
        for weights, bias in self.layers[:-1]:
            values = self.hidden(values @ weights.T + bias)
        weights, bias = self.layers[-1]
        return self._action(values @ weights.T + bias), None

    def _action(self, values: Array) -> Array:
        if self.output.startswith("argmax"):
            return values.argmax(1)[:, None]
        low, high = np.asarray(self.action.low), np.asarray(self.action.high)
        if self.output.startswith("tanh"):
            values = low + (np.tanh(values) + 1) / 2 * (high - low)
        return np.clip(values, low, high).astype(np.float32)
