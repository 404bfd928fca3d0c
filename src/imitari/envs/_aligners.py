"""Scripted hands that turn and shift a hollow box in strokes, from inside its walls or from outside."""

from __future__ import annotations

from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.envs._batched import State
from imitari.envs._blocks import across, turned
from imitari.envs._pushers import around
from imitari.envs._table import LAG, ROD, STATE, smooth

HALF, INNER = 0.05, 0.035  # of the box; how far from its middle a rod gets inside
HIGH, DEEP = 0.2, 0.06  # above the walls, between them
CLEAR = 0.012  # kept from a wall before a stroke
CORNER = 0.092  # from the middle, past the corners
ASIDE = 0.034  # from the middle of a wall: where it is pushed to turn the box
STILL = 0.07  # rad: no need to turn
LONGEST = 500  # steps for which waves are drawn


class Hand:
    """Goes in or stays outside by the number of the start, so that both ways are shown equally often.

    A stroke pushes one wall along its normal: near its end, to turn the box, or near its middle, to shift it. After
    each the hand looks again which one helps most.
    """

    def __init__(self, world: Any) -> None:
        self.world = world

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        starts = self.world.state["seed"]
        rngs = [np.random.default_rng([int(one), 0xA1]) for one in starts]
        return {
            "inside": starts % 2 == 0,
            "phase": np.zeros(count, np.int64),  # 0 goes in or down, 1 to its place, 2 to the wall, 3 pushes
            "normal": np.zeros((count, 2)),  # of the stroke, in the box's frame
            "offset": np.zeros(count),
            "way": np.zeros((count, 2)),  # of the stroke, on the table
            "left": np.zeros(count),
            "turns": np.zeros(count, bool),
            "side": np.array([rng.choice([-1.0, 1.0]) for rng in rngs]),
            "pace": np.stack([rng.uniform(0.009, 0.013) * np.exp(0.15 * smooth(rng, LONGEST, 15)) for rng in rngs]),
            "wave": np.stack([0.1 * smooth(rng, LONGEST, 10) for rng in rngs]),
            "clock": 0,
        }

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        state, desired = self.world.state, obs[STATE][:, :3].astype(np.float64)
        tick = memory["clock"] % LONGEST
        memory["clock"] += 1
        pace = memory["pace"][:, tick]
        self._choose(state, memory)
        way, height = self._move(state, memory)
        # Slower where it is nearly there.
        length = np.linalg.norm(way, axis=1, keepdims=True)
        step = pace[:, None] * way / np.maximum(length, 0.015)
        step = turned(step, memory["wave"][:, tick] * (memory["phase"] == 1))
        memory["left"] -= np.where(memory["phase"] == 3, np.linalg.norm(step, axis=1), 0.0)
        ahead = state["rod"][:, :2] + step / LAG - desired[:, :2]
        rise = np.clip(height - desired[:, 2], -0.02, 0.02)
        return np.clip(np.column_stack([ahead, rise]), -0.03, 0.03).astype(np.float32), memory

    def _move(self, state: State, memory: dict[str, Any]) -> tuple[Array, Array]:
        """Where to (B, 2), from the rod, and at which height (B,)."""
        rod, box, inside = state["rod"], state["box"], memory["inside"]
        place, wall = self._places(state, memory)
        round_, memory["side"] = around(
            rod[:, :2], place, box[:, None], np.ones((len(box), 1), bool), CORNER, memory["side"]
        )
        distance = np.linalg.norm(place - rod[:, :2], axis=1, keepdims=True)
        direct = place - rod[:, :2]
        phase = memory["phase"]
        over = np.where(inside[:, None], box - rod[:, :2], 0.0)
        way = np.choose(
            phase[:, None],
            [over, np.where(inside[:, None], direct, round_ * distance), wall - rod[:, :2], 0.03 * memory["way"]],
        )
        high = inside & (phase == 0) & (np.linalg.norm(over, axis=1) > 0.01)
        return way, np.where(high, HIGH, DEEP)

    @staticmethod
    def _places(state: State, memory: dict[str, Any]) -> tuple[Array, Array]:
        """Where a stroke is got ready, and where it begins, at the wall: (B, 2) each."""
        normal, inside = memory["normal"], memory["inside"][:, None]
        beside = memory["offset"][:, None] * across(normal)
        near = np.where(inside, (INNER - CLEAR) * normal, -(CORNER + 0.004) * normal) + beside
        wall = np.where(inside, INNER * normal, -(HALF + ROD) * normal) + beside
        return state["box"] + turned(near, state["yaw"]), state["box"] + turned(wall, state["yaw"])

    def _choose(self, state: State, memory: dict[str, Any]) -> None:
        """The next phase where the last one is over."""
        rod, yaw = state["rod"], state["yaw"]
        place, wall = self._places(state, memory)
        shift = turned(state["target"] - state["box"], -yaw)
        turn = np.mod(state["aim"] - yaw + np.pi, 2 * np.pi) - np.pi
        phase = memory["phase"]
        over = (shift * memory["normal"]).sum(1) < 0.002
        ended = np.where(memory["turns"], turn * memory["offset"] > -0.0005, over) | (memory["left"] < 0)
        renew = np.where(phase == 0, rod[:, 2] < 0.09, (phase == 3) & ended)
        ready = (phase == 1) & (np.linalg.norm(place - rod[:, :2], axis=1) < 0.006)
        touches = (phase == 2) & (np.linalg.norm(wall - rod[:, :2], axis=1) < 0.006)
        normal, offset, length, turns = stroke(shift, turn, memory["inside"])
        for key, value in (("normal", normal), ("offset", offset), ("left", length), ("turns", turns)):
            mask = renew[:, None] if value.ndim == 2 else renew
            memory[key] = np.where(mask, value, memory[key])
        memory["way"] = np.where(touches[:, None], turned(memory["normal"], yaw), memory["way"])
        memory["phase"] = np.where(renew, 1, np.where(ready, 2, np.where(touches, 3, phase)))


def stroke(shift: Array, turn: Array, inside: Array) -> tuple[Array, Array, Array, Array]:
    """Of all strokes the one that helps most.

    Args:
        shift: (B, 2) from the box to the target, in the box's frame.
        turn: (B,) that is missing.
        inside: (B,) whether the rod is between the walls.

    Returns:
        The stroke's normal (B, 2), its offset from the middle along `across(normal)`, its length, whether it turns.
    """
    axis = np.abs(shift).argmax(1)[:, None] == np.arange(2)
    normal = axis * np.where(shift >= 0, 1.0, -1.0)
    turns = np.abs(turn) > np.where(np.abs(shift).max(1) > 0.06, 2 * STILL, STILL)
    # Pushing beside the middle, at b along across(normal), turns by -b.
    offset = np.where(turns, -np.sign(turn) * ASIDE, np.clip(-0.08 * turn, -0.01, 0.01))
    length = np.where(turns, np.minimum(np.abs(turn) / 13, 0.05), np.abs(shift).max(1))
    most = np.where(inside, 0.3, 0.08)
    return normal, offset, np.minimum(length, most) + 0.004, turns
