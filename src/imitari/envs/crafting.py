"""Crafting from trees and a few things to a pogo stick or a sword, over a map or over counts: long plans, small rules.

A grid of air, trees and one crafting table. One can go to any cell, break the tree where one stands, craft, and place a
tap at a tree, which then gives rubber. Rebuilt from the description of the experiments of Benyamin et al. 2025
("Integrating Reinforcement Learning, Action Model Learning, and Numeric Planning for Tackling Complex Tasks"), without
the game. Differs from it: the table stands in the first cell of every map, so that cells have the same names in all
problems; and problems are solvable within the limit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.symbols import Symbols
from imitari.core.task import Stateless, Task, World
from imitari.envs._batched import BatchedWorld, State
from imitari.envs._crafting_rules import GOALS, RECIPES, Goal, map_domain, places_first, shortest, words
from imitari.plan.model import Domain

OPEN = True  # any side of the map
LIMIT = 32
SIDES = (6, 10, 15)
AIR, TREE, TABLE = range(3)
COUNTS = "counts"
MOST_ITEMS = 8
STATE, MASK = "observation.state", "observation.mask"


def ids() -> list[str]:
    return [f"{goal}-{kind}" for goal in GOALS for kind in (*SIDES, COUNTS)]


def task(name: str, mask: bool = False) -> Task:
    """One thing to craft ("pogo" or "sword"), on a map ("pogo-6": of 6 x 6 cells) or over counts ("pogo-counts").

    Args:
        name: see `ids`; any side from 4 on will do.
        mask: also observe which actions are possible, as ones and zeros.
    """
    crafting = layout(name)
    spec = crafting.spec(mask)
    return Task(
        f"crafting/{name}",
        spec,
        LIMIT,
        lambda count: CraftingWorld(count, crafting, spec),
        lambda world: expert(world, crafting),
        description=(__doc__ or "").split("\n")[0],
        symbols=crafting.symbols(),
    )


def layout(name: str) -> Crafting:
    """What a task's name says.

    Raises:
        UserError: when it says something else.
    """
    found = re.fullmatch(r"(pogo|sword)-(counts|\d+)", name)
    if found is None or (found[2] != COUNTS and int(found[2]) < 4):
        raise UserError(f"task 'crafting/{name}' is unknown: it is crafting/pogo-6, crafting/sword-counts, and so on")
    return Crafting(found[1], 0 if found[2] == COUNTS else int(found[2]))  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Crafting:
    """What is crafted, and where.

    Attributes:
        goal: "pogo" or "sword".
        side: of the map; 0: trees are only counted.
    """

    goal: Goal
    side: int

    @property
    def items(self) -> tuple[str, ...]:
        """What is counted: the last is what is to be crafted."""
        return GOALS[self.goal].items

    @property
    def cells(self) -> int:
        return self.side * self.side

    @property
    def recipes(self) -> tuple[str, ...]:
        return GOALS[self.goal].recipes

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the dimensions of the observation."""
        if not self.side:
            return ("trees", *self.items)
        return ("here", *(f"cell{n}" for n in range(self.cells)), *self.items, "position")

    def state_of(self, rows: Array) -> State:
        """The state behind observations (B, D)."""
        rows = rows.astype(np.int64)
        if not self.side:
            return {"blocks": rows[:, :1], "position": np.zeros(len(rows), np.int64), "items": rows[:, 1:]}
        return {"blocks": rows[:, 1 : 1 + self.cells], "position": rows[:, -1], "items": rows[:, 1 + self.cells : -1]}

    def spec(self, mask: bool = False) -> Spec:
        """A vector of codes and counts; a choice among all cells to go to and all recipes."""
        seen = {STATE: Feature((len(self.state_names),), names=self.state_names)}
        actions = self.cells + len(self.recipes)
        if mask:
            seen[MASK] = Feature((actions,), names=tuple(step.strip("()") for step in self.symbols().actions))
        return Spec(seen, Feature((1,), "int64", "choice", ("action",), low=(0.0,), high=(float(actions - 1),)))

    def domain(self) -> Domain:
        """The true rules."""
        return map_domain(self.goal, counts=not self.side)

    def cell(self, number: int) -> str:
        return f"c{number}" if number else "crafting_table"

    def symbols(self) -> Symbols:
        """Words without rules."""
        place = {name: number for number, name in enumerate(self.state_names)}
        made = self.items[-1]
        facts = [(STATE, place[made], 1, f"({made})")]
        for number in range(self.cells):
            cell = self.cell(number)
            facts += [
                (STATE, place[f"cell{number}"], code, f"({kind} {cell})")
                for code, kind in ((AIR, "air"), (TREE, "tree"))
            ]
            facts.append((STATE, place["position"], number, f"(position {cell})"))
        counted = (*(() if self.side else ("trees",)), *self.items[:-1])
        objects = " ".join(self.cell(number) for number in range(1, self.cells))
        moves = tuple(f"(tp ?here {self.cell(number)})" for number in range(self.cells))
        here = {name: "" if RECIPES[name].where is None or not self.side else " ?here" for name in self.recipes}
        return Symbols(
            words(self.domain()),
            f"(define (problem crafting) (:domain crafting) (:objects {objects}{' - cell' if objects else ''}) "
            f"(:goal ({made})))",
            tuple(facts),
            tuple((STATE, place[name], f"({name})") for name in counted),
            (*moves, *(f"({name}{variable})" for name, variable in here.items())),
            (("?here", "(position ?here)"),) if self.side else (),
            tuple((name, self._reads(name)) for name in (*(("tp",) if self.side else ()), *self.recipes)),
        )

    def _reads(self, action: str) -> tuple[str, ...]:
        """The functions that an action's condition reads."""
        if action not in RECIPES:
            return ()
        recipe = RECIPES[action]
        trees = ("trees",) if recipe.where == "tree" and not self.side else ()
        return (*trees, *(name for name, count in recipe.needs.items() if count))


class CraftingWorld(BatchedWorld):
    """Reward 1 for the thing that is to be crafted, which ends the episode. What is not possible changes nothing."""

    def __init__(self, count: int, crafting: Crafting, spec: Spec) -> None:
        super().__init__(count, spec, LIMIT)
        self.crafting = crafting
        recipes = [RECIPES[name] for name in crafting.recipes]
        self.needs = np.array([[recipe.needs.get(item, 0) for item in crafting.items] for recipe in recipes])
        self.gives = np.array([[recipe.changes.get(item, 0) for item in crafting.items] for recipe in recipes])
        self.at_tree = np.array([recipe.where == "tree" for recipe in recipes])
        self.at_table = np.array([recipe.where == "table" for recipe in recipes])
        self.breaks = np.array([recipe.breaks for recipe in recipes])
        given = GOALS[crafting.goal].given
        self.raw = np.array([any(recipe.changes.get(item, 0) > 0 for item in given) for recipe in recipes])

    def start(self, rng: np.random.Generator) -> State:
        """Draws until the problem is solvable within the limit."""
        while True:
            items = np.zeros(len(self.crafting.items), np.int64)
            items[: len(GOALS[self.crafting.goal].given)] = rng.integers(
                0, MOST_ITEMS + 1, len(GOALS[self.crafting.goal].given)
            )
            blocks, position = self._map(rng)
            state = {"blocks": blocks, "position": np.array(position), "items": items}
            if plan_length(self.crafting, *_summary(self.crafting, state)) <= LIMIT:
                return state

    def _map(self, rng: np.random.Generator) -> tuple[Array, int]:
        """Trees with two free cells after each in its row, as far as there is room; one stands on air."""
        side, most = self.crafting.side, (self.crafting.side or SIDES[0]) * ((self.crafting.side or SIDES[0]) // 3)
        wanted = int(rng.integers(0, most + 1))
        if not side:
            return np.array([wanted]), 0
        blocks = np.zeros((side, side), np.int64)
        blocks[0, 0] = TABLE
        position = int(rng.integers(1, side * side))
        free = np.ones((side, side + 2), bool)
        free[:, side:] = True
        free[0, :2] = False
        free[divmod(position, side)] = False
        for _ in range(wanted):
            room = free[:, :side] & free[:, 1 : side + 1] & free[:, 2:]
            options = np.flatnonzero(room)
            if not len(options):
                break
            row, column = divmod(int(rng.choice(options)), side)
            blocks[row, column] = TREE
            free[row, column : column + 3] = False
        return blocks.reshape(-1), position

    def observe(self, state: State) -> Obs:
        blocks, items = state["blocks"], state["items"]
        parts = [blocks, items]
        if self.crafting.side:
            here = np.take_along_axis(blocks, state["position"][:, None], 1)
            parts = [here, blocks, items, state["position"][:, None]]
        seen = {STATE: np.concatenate(parts, 1).astype(np.float32)}
        if MASK in self.spec_of_step.obs:
            seen[MASK] = self.possible(state).astype(np.float32)
        return seen

    def possible(self, state: State) -> Array:
        """(B, actions) bool: what would change anything."""
        items, cells = state["items"], self.crafting.cells
        crafts = self.has(items)
        if not self.crafting.side:
            return crafts & ((state["blocks"] >= 1) | ~self.at_tree)
        at_tree = np.take_along_axis(state["blocks"], state["position"][:, None], 1) == TREE
        crafts &= at_tree | ~self.at_tree
        crafts &= (state["position"] != 0)[:, None] | ~self.at_table
        return np.concatenate([state["position"][:, None] != np.arange(cells), crafts], 1)

    def has(self, items: Array) -> Array:
        """(B, recipes) bool: for what the items (B, I) are there."""
        return np.all(items[:, None] >= self.needs, axis=-1)

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        chosen = action.reshape(-1).astype(np.int64)
        every, cells = np.arange(len(chosen)), self.crafting.cells
        possible = self.possible(state)[every, chosen]
        crafts, recipe = possible & (chosen >= cells), np.maximum(chosen - cells, 0)
        items = state["items"] + crafts[:, None] * self.gives[recipe]
        blocks, position = state["blocks"].copy(), state["position"]
        broken = crafts & self.breaks[recipe]
        if self.crafting.side:
            blocks[every[broken], position[broken]] = AIR
            position = np.where(possible & ~crafts, chosen, position)
            position = np.where(crafts & self.at_table[recipe], 0, position)
        else:
            blocks[broken] -= 1
        made = items[:, -1] > 0
        return {"blocks": blocks, "position": position, "items": items}, made.astype(np.float32), made, made

    def picture(self, state: State, side: int) -> Array:
        """The map from above: air light, trees green, the table brown, who acts blue."""
        if not self.crafting.side:
            return super().picture(state, side)
        colours = np.array([(235, 235, 225), (40, 130, 60), (140, 95, 50)], np.uint8)[state["blocks"]]
        colours[np.arange(len(colours)), state["position"]] = (40, 80, 200)
        nearest = np.arange(side) * self.crafting.side // side
        shaped = colours.reshape(len(colours), self.crafting.side, self.crafting.side, 3)
        return shaped[:, nearest][:, :, nearest]


# ---------------------------------------------------------------- the expert


Summary = tuple[str, int, tuple[int, ...]]  # what one stands on, trees, items


def _summary(crafting: Crafting, state: State) -> Summary:
    """What of one state decides how long the way is: which tree it is does not matter."""
    items = tuple(int(count) for count in state["items"])
    if not crafting.side:
        return "air", int(state["blocks"][0]), items
    here = int(state["blocks"][int(state["position"])])
    return ("air", "tree", "table")[here], int((state["blocks"] == TREE).sum()), items


def plan_length(crafting: Crafting, here: str, trees: int, items: tuple[int, ...]) -> int:
    """Steps of a shortest plan; one more than the limit where there is none."""
    plan = shortest(crafting.goal, not crafting.side, here, trees, items)
    return LIMIT + 1 if plan is None else len(plan)


def expert(world: World, crafting: Crafting) -> Stateless:
    """Follows a shortest plan; goes to the first tree of the map where it needs one."""
    names, cells = crafting.state_names, crafting.cells
    first_item = names.index(crafting.items[0])

    @lru_cache(maxsize=100_000)
    def action(here: str, trees: int, items: tuple[int, ...], nearest: int) -> int:
        plan = shortest(crafting.goal, not crafting.side, here, trees, items)
        if not plan:
            return 0
        if plan[0] == places_first:
            return nearest
        return cells + crafting.recipes.index(plan[0])

    def act(obs: Obs) -> Array:
        rows = obs[STATE].astype(np.int64)
        items = rows[:, first_item : first_item + len(crafting.items)]
        if not crafting.side:
            chosen = [action("air", int(row[0]), tuple(map(int, own)), 0) for row, own in zip(rows, items, strict=True)]
            return np.array(chosen)[:, None]
        trees = rows[:, 1 : 1 + cells] == TREE
        kinds = [("air", "tree", "table")[here] for here in rows[:, 0]]
        every = zip(kinds, trees.sum(1), items, trees.argmax(1), strict=True)
        chosen = [action(kind, int(count), tuple(map(int, own)), int(first)) for kind, count, own, first in every]
        return np.array(chosen)[:, None]

    return Stateless(act)


class Curious:
    """An expert that shows what can be done: for a while it gathers or works one raw thing, then another, as long as
    the goal can still be reached within the limit.

    The episodes of a group work at different selections of the raw things, and by and by at every selection: who works
    at none arrives with little of everything, who gathers and does not work it up with much of one thing alone. So
    amounts from few to many are shown by design, where episodes that all work at everything arrive with much, unless
    chance has it otherwise. Who makes a thing uses it for another only when there is more than any start gives.

    Args:
        crafting: which task.
        share: of the steps in which it tries something; otherwise it follows a shortest plan.
        lasting: chance that it goes on with the same thing.
    """

    def __init__(self, crafting: Crafting, share: float = 0.95, lasting: float = 0.8) -> None:
        self.crafting, self.share, self.lasting = crafting, share, lasting
        self.world = CraftingWorld(1, crafting, crafting.spec())
        self.plan = expert(self.world, crafting)

    def reset(self, count: int, seed: int = 0) -> dict[str, Any]:
        return {
            "rng": np.random.default_rng([seed, 0xC0]),
            "clock": 0,
            "thing": np.full(count, -1),
            "selection": self._selections(count),
        }

    def _selections(self, count: int) -> Array:
        """(count, recipes) bool: what each episode works at. One after another all selections of the raw things, each
        followed by its opposite; what is made last changes first, so that the first few differ in it."""
        raw = np.flatnonzero(self.world.raw)[::-1]
        every = 1 << len(raw)
        number = np.arange(count) % every
        number = np.where(number % 2, every - 1 - number // 2, number // 2)
        found = np.zeros((count, len(self.world.raw)), bool)
        found[:, raw] = number[:, None] >> np.arange(len(raw)) & 1
        return found

    def act(self, obs: Obs, memory: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        chosen, _ = self.plan.act(obs, None)
        memory["clock"] += 1
        for row in np.flatnonzero(memory["rng"].random(len(chosen)) < self.share).tolist():
            state = self.crafting.state_of(obs[STATE][row : row + 1])
            tried = self._tried(state, row, memory)
            if tried is None:
                continue
            after = self.world.advance(state, np.array([tried]))[0]
            reached = {key: value[0] for key, value in after.items()}
            if plan_length(self.crafting, *_summary(self.crafting, reached)) <= LIMIT - memory["clock"]:
                chosen[row] = tried
        return chosen, memory

    def _tried(self, state: State, row: int, memory: dict[str, Any]) -> int | None:
        """The thing that it is at, or the way to a tree for it; where neither is possible, another thing of its
        selection; None where there is none."""
        rng, cells, possible = memory["rng"], self.crafting.cells, self.world.possible(state)[0]
        trees = np.flatnonzero(possible[:cells] & (state["blocks"][0] == TREE)) if cells else np.zeros(0, np.int64)
        options = possible[cells:] | (self.world.at_tree & self.world.has(state["items"])[0] & bool(len(trees)))
        options &= memory["selection"][row]
        scarce = (state["items"][0] <= MOST_ITEMS) & (self.world.gives[options] > 0).any(0)
        options &= ~((self.world.gives < 0) & scarce).any(1)
        thing = memory["thing"][row]
        if thing < 0 or not options[thing] or rng.random() > self.lasting:
            if not options.any():
                return None
            thing = memory["thing"][row] = rng.choice(np.flatnonzero(options))
        return int(cells + thing) if possible[cells + thing] else int(rng.choice(trees))
