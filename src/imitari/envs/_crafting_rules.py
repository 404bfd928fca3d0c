"""The rules of the crafting world: recipes, the same as a planning domain, and shortest plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from imitari.plan.model import Action, Domain, Fact, Problem
from imitari.plan.pddl import domain_text, read_condition, read_domain
from imitari.plan.search import breadth_first

Goal = Literal["pogo", "sword"]


@dataclass(frozen=True)
class Recipe:
    """What an action needs and changes.

    Attributes:
        where: at a tree; at the table (one goes there by crafting, and must not stand there already); None: anywhere.
        needs, changes: item -> count.
        breaks: whether the tree is gone afterwards.
    """

    where: Literal["tree", "table"] | None = None
    needs: Mapping[str, int] = field(default_factory=dict[str, int])
    changes: Mapping[str, int] = field(default_factory=dict[str, int])
    breaks: bool = False


def _consuming(needs: Mapping[str, int], gives: str, count: int) -> dict[str, int]:
    return {**{item: -number for item, number in needs.items()}, gives: count}


def _crafted(where: Literal["table"] | None, needs: dict[str, int], gives: str, count: int = 1) -> Recipe:
    return Recipe(where, needs, _consuming(needs, gives, count))


RECIPES: dict[str, Recipe] = {
    "get_log": Recipe("tree", {}, {"logs": 1}, breaks=True),
    "craft_plank": _crafted(None, {"logs": 1}, "planks", 4),
    "craft_stick": _crafted(None, {"planks": 2}, "sticks", 4),
    "craft_tree_tap": _crafted("table", {"planks": 5, "sticks": 1}, "taps"),
    "place_tree_tap": Recipe("tree", {"taps": 1}, {"sacks": 1}),
    "craft_pogo": _crafted("table", {"planks": 2, "sticks": 4, "sacks": 1}, "pogo"),
    "craft_sword": _crafted("table", {"planks": 2, "sticks": 1}, "sword"),
}


@dataclass(frozen=True)
class _Thing:
    """Attributes:
    items: what is counted; the last is the thing itself.
    given: those that one may begin with.
    recipes: the actions, in the order of their choices.
    """

    items: tuple[str, ...]
    given: tuple[str, ...]
    recipes: tuple[str, ...]


GOALS: dict[Goal, _Thing] = {
    "pogo": _Thing(
        ("logs", "planks", "sticks", "taps", "sacks", "pogo"),
        ("logs", "planks", "sticks"),
        ("get_log", "craft_plank", "craft_stick", "craft_tree_tap", "craft_pogo", "place_tree_tap"),
    ),
    "sword": _Thing(
        ("logs", "planks", "sticks", "sword"),
        ("logs", "planks"),
        ("get_log", "craft_plank", "craft_stick", "craft_sword"),
    ),
}
GO = """(:action tp :parameters (?from ?to - cell) :precondition (and (position ?from) (not (position ?to)))
  :effect (and (not (position ?from)) (position ?to)))"""
# Of the summary of a map: what one stands on, and how many trees there are.
GO_TO_TREE = """(:action go_to_tree :precondition (and (not (at_tree)) (>= (trees) 1))
  :effect (and (at_tree) (not (at_table))))"""
places_first = "go_to_tree"


@lru_cache(maxsize=8)
def map_domain(goal: Goal, *, counts: bool) -> Domain:
    """The true rules, over cells or over the number of trees."""
    places = {
        "tree": ("(position ?at) (tree ?at)", "(not (tree ?at)) (air ?at)"),
        "table": ("(position ?at) (not (position crafting_table))", "(not (position ?at)) (position crafting_table)"),
    }
    if counts:
        places = {"tree": ("(>= (trees) 1)", "(decrease (trees) 1)"), "table": ("", "")}
    header = "" if counts else "(:types cell) (:constants crafting_table - cell)"
    predicates = "" if counts else "(position ?c - cell) (tree ?c - cell) (air ?c - cell)"
    return _domain(goal, places, header, predicates, "(trees)" if counts else "", "" if counts else GO)


@lru_cache(maxsize=2)
def _summary_domain(goal: Goal) -> Domain:
    """The rules of a map where all trees are alike: its shortest plans are as long as those of the map."""
    places = {
        "tree": ("(at_tree)", "(not (at_tree)) (decrease (trees) 1)"),
        "table": ("(not (at_table))", "(not (at_tree)) (at_table)"),
    }
    return _domain(goal, places, "", "(at_tree) (at_table)", "(trees)", GO_TO_TREE)


def _domain(
    goal: Goal, places: Mapping[str, tuple[str, str]], header: str, predicates: str, functions: str, more: str
) -> Domain:
    thing = GOALS[goal]
    counted = " ".join(f"({item})" for item in thing.items[:-1])
    parameters = " :parameters (?at - cell)" if "cell" in header else ""
    actions: list[str] = []
    for name in thing.recipes:
        recipe = RECIPES[name]
        condition, change = places[recipe.where] if recipe.where else ("", "")
        needs = " ".join(f"(>= ({item}) {count})" for item, count in recipe.needs.items())
        effects = [change] if recipe.breaks or recipe.where == "table" else []
        effects += [
            f"({item})" if item == thing.items[-1] else f"(increase ({item}) {count})"
            for item, count in recipe.changes.items()
        ]
        bound = parameters if recipe.where else ""
        actions.append(
            f"(:action {name}{bound} :precondition (and {condition} {needs}) :effect (and {' '.join(effects)}))"
        )
    return read_domain(
        f"(define (domain crafting) {header} (:predicates {predicates} ({thing.items[-1]})) "
        f"(:functions {functions} {counted}) {more} {' '.join(actions)})"
    )


def words(domain: Domain) -> str:
    """PDDL of the words alone: no action says what it needs and does."""
    return domain_text(domain.with_actions(Action(one.name, one.parameters) for one in domain.actions))


_plans: dict[tuple[Goal, bool, str, int, tuple[int, ...]], tuple[str, ...] | None] = {}


def shortest(goal: Goal, counts: bool, here: str, trees: int, items: tuple[int, ...]) -> tuple[str, ...] | None:
    """Names of the actions of a shortest plan (the same every time); None where there is none.

    Args:
        counts: whether there is no map.
        here: what one stands on: "air", "tree" or "table".
        trees: how many there are.
        items: counts in the order of the goal's items.
    """
    key = goal, counts, here, trees, items
    if key not in _plans:
        domain = map_domain(goal, counts=True) if counts else _summary_domain(goal)
        thing = GOALS[goal]
        facts = set() if counts or here == "air" else {Fact(f"at_{here}")}
        values = {Fact(name): Fraction(count) for name, count in zip(thing.items[:-1], items, strict=False)}
        problem = Problem(
            "crafting",
            "crafting",
            {},
            frozenset(facts | ({Fact(thing.items[-1])} if items[-1] else set())),
            {**values, Fact("trees"): Fraction(trees)},
            read_condition(f"({thing.items[-1]})"),
        )
        planned = breadth_first(domain, problem)
        _plans[key] = tuple(step.action for step in planned.plan) if planned.status == "solved" else None
    return _plans[key]
