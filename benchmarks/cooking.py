"""Recordings of people who cook together (Overcooked), as demonstrations, and the simulator that they were made in.

Of every trial both cooks are an episode: places, gazes and held things of oneself and the partner, what is in the pots,
how much lies about. `source` says trial, pair and return. The simulator is optional (`pip install overcooked`); with
the old dynamics it gives every recorded trial its recorded states and return again: `python benchmarks/cooking.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.demonstrations import DATA
from imitari.core.demos import Demos, Provenance
from imitari.core.episode import Array, Episode
from imitari.core.errors import Missing
from imitari.core.spec import Feature, Spec
from imitari.core.task import Actor

STATE = "observation.state"
INTERACT = "INTERACT"
MOVES: dict[Any, int] = {(0, 0): 0, (0, -1): 1, (0, 1): 2, (1, 0): 3, (-1, 0): 4, INTERACT: 5}
HELD = ("onion", "dish", "soup")
POTS = 2
COOKED = 20.0  # steps that a soup takes
RULES = {"start_all_orders": [{"ingredients": ["onion"] * 3}], "rew_shaping_params": None, "old_dynamics": True}


@dataclass(frozen=True)
class Trial:
    """Attributes:
    layout: its name.
    about: number, pair and return.
    states: as recorded, one a step.
    joint: (T, 2) moves of both cooks.
    """

    layout: str
    about: dict[str, Any]
    states: list[dict[str, Any]]
    joint: Array


def grids() -> dict[str, list[str]]:
    """layout -> its rows; P is a pot, 1 and 2 are where the cooks begin."""
    return json.loads((DATA / "overcooked_human" / "layouts.json").read_text())


def trials() -> list[Trial]:
    import pyarrow.parquet as parquet

    path = DATA / "overcooked_human" / "train_trials.parquet"
    table = parquet.read_table(path).sort_by([("trial", "ascending"), ("step", "ascending")])
    columns = {key: np.array(table[key].to_pylist()) for key in ("trial", "pair", "trial_return", "layout_name")}
    texts = {key: np.array(table[key].to_pylist(), object) for key in ("state", "joint_action")}
    found: list[Trial] = []
    for number in np.unique(columns["trial"]):
        rows = np.flatnonzero(columns["trial"] == number)
        first = {key: values[rows[0]].item() for key, values in columns.items()}
        states, joint = ([json.loads(text) for text in texts[key][rows]] for key in ("state", "joint_action"))
        moves = [[MOVES[one if isinstance(one, str) else tuple(one)] for one in both] for both in joint]
        about = {"trial": first["trial"], "pair": first["pair"], "return": first["trial_return"]}
        found.append(Trial(first["layout_name"], about, states, np.array(moves, np.int64)))
    return found


def cooks(recorded: Sequence[Trial]) -> dict[str, Demos]:
    """layout -> one episode for each cook of each trial."""
    found: dict[str, list[Episode]] = {}
    places = {name: pots(grid) for name, grid in grids().items()}
    for trial in recorded:
        for cook in (0, 1):
            seen = [features(state, cook, places[trial.layout]) for state in trial.states]
            source = {**trial.about, "cook": cook}
            episode = Episode({STATE: np.array(seen, np.float32)}, trial.joint[:, cook, None], source=source)
            found.setdefault(trial.layout, []).append(episode)
    choice = Feature((1,), "int64", "choice", low=(0,), high=(len(MOVES) - 1,))
    return {
        layout: Demos.from_episodes(
            episodes, Spec({STATE: Feature(episodes[0].obs[STATE].shape[1:])}, choice), Provenance(layout)
        )
        for layout, episodes in sorted(found.items())
    }


def pots(grid: Sequence[str]) -> list[tuple[int, int]]:
    return [(x, y) for y, row in enumerate(grid) for x, mark in enumerate(row) if mark == "P"]


def features(state: dict[str, Any], cook: int, places: Sequence[tuple[int, int]]) -> list[float]:
    """Of a recorded state: place, gaze and held thing of oneself and the partner, what is in the pots, how much lies
    about."""
    values: list[float] = []
    for player in (state["players"][cook], state["players"][1 - cook]):
        name = (player.get("held_object") or {}).get("name")
        values += [*player["position"], *player["orientation"], *(float(name == thing) for thing in HELD)]
    objects = state["objects"]
    lying = list(objects.values()) if isinstance(objects, dict) else list(objects)
    where = {tuple(thing["position"]): thing for thing in lying}
    for place in [*places, *[(-1, -1)] * POTS][:POTS]:
        _, count, cooked = (where.get(tuple(place)) or {}).get("state") or ("", 0, 0)
        values += [float(count), min(float(cooked), COOKED) / 5]
    loose = [thing for place, thing in where.items() if place not in set(map(tuple, places))]
    return [*values, *(float(sum(thing["name"] == name for thing in loose)) for name in HELD)]


# ---------------------------------------------------------------- the simulator


class Kitchen:
    """A layout, `count` times. Everything begins alike; what differs is what the cooks do."""

    def __init__(self, layout: str, count: int) -> None:
        try:
            from overcooked.mdp import OvercookedGridworld  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise Missing("the simulator of Overcooked", "install it with: pip install overcooked") from error
        grid = grids()[layout]
        self.rules: Any = OvercookedGridworld.from_grid([list(row) for row in grid], RULES)
        self.pots = pots(grid)
        self.states: list[Any] = [self.rules.get_standard_start_state() for _ in range(count)]
        self.moves = [move if move != INTERACT else "interact" for move in MOVES]

    def observed(self) -> Array:
        """(2 count, D) features: all first cooks, then all second ones."""
        told = [recorded(state) for state in self.states]
        return np.array([features(one, cook, self.pots) for cook in (0, 1) for one in told], np.float32)

    def step(self, joint: Array) -> Array:
        """Moves (count, 2) to rewards (count,)."""
        rewards = np.zeros(len(joint))
        for number, both in enumerate(joint):
            moves = tuple(self.moves[int(move)] for move in both)
            self.states[number], info = self.rules.get_state_transition(self.states[number], moves)
            rewards[number] = sum(info["sparse_reward_by_agent"])
        return rewards


def recorded(state: Any) -> dict[str, Any]:
    """What of a state of the simulator is read by `features`, as in the recordings."""
    players = [
        {"position": one.position, "orientation": one.orientation, "held_object": told(one.held_object)}
        for one in state.players
    ]
    return {"players": players, "objects": [told(thing) for thing in state.objects.values()]}


def told(thing: Any) -> dict[str, Any] | None:
    if thing is None:
        return None
    about = {"name": thing.name, "position": thing.position}
    if thing.name != "soup":
        return about
    return {**about, "state": ("onion", len(thing.ingredients), max(0, thing.to_dict()["cooking_tick"]))}


def returns(actor: Actor, layout: str, count: int, steps: int, seed: int) -> Array:
    """(count,) what both cooks, each by `actor`, get together in so many steps."""
    kitchen = Kitchen(layout, count)
    memory, total = actor.reset(2 * count, seed), np.zeros(count)
    for _ in range(steps):
        action, memory = actor.act({STATE: kitchen.observed()}, memory)
        total += kitchen.step(action[:, 0].reshape(2, count).T)
    return total


def main() -> None:
    """Replays every trial."""
    for trial in trials():
        kitchen, total = Kitchen(trial.layout, 1), 0.0
        for state, joint in zip(trial.states, trial.joint, strict=True):
            expected = [features(state, cook, kitchen.pots) for cook in (0, 1)]
            np.testing.assert_array_equal(kitchen.observed(), np.array(expected, np.float32), str(trial.about))
            total += kitchen.step(joint[None])[0]
        print(trial.layout, trial.about, "replayed:", total)
        assert total == trial.about["return"]


if __name__ == "__main__":
    main()
