"""Shortened ways: plans in the learned and in the true model, never longer, with the same end; against brute force."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np

from imitari.envs.crafting import layout
from imitari.plan.action_models import ActionModelLearner, LearnedModel
from imitari.plan.grounding import ONE, States, World
from imitari.plan.model import Step
from imitari.plan.pddl import read_fact
from imitari.plan.reading import Reading
from imitari.plan.shortening import Way, keys_of, one_for_two, shortened, without_circles
from imitari.plan.traces import Transitions
from tests.plan._random_domains import OBJECTS, random_domain, random_state, random_walk


def learned_from(walks: list[Transitions], truth: World, objects: dict[str, str]) -> tuple[LearnedModel, World]:
    observer = ActionModelLearner(truth.vocabulary.domain)
    for walk in walks:
        if len(walk):
            observer.observe(walk)
    model = observer.model()
    return model, World(model.domain, objects)


def way_of(walk: Transitions) -> Way:
    return Way(States.joined([walk.before, walk.after.pick(np.array([len(walk) - 1]))]), walk.steps)


def allowed(world: World, state: States, step: Step) -> bool:
    return bool(world.schemas[step.action].allowed(state, world.binding(step), ONE)[0])


def one_step_ways(world: World, state: States) -> dict[bytes, list[Step]]:
    """By trying every action with every tuple of objects: where one step leads."""
    found: dict[bytes, list[Step]] = {}
    for name, schema in world.schemas.items():
        for binding in schema.bindings:
            if schema.allowed(state, binding[None], ONE)[0]:
                key = keys_of(schema.apply(state, binding[None], ONE))[0]
                found.setdefault(key, []).append(
                    Step(name, tuple(world.vocabulary.objects[number] for number in binding))
                )
    return found


@cache
def cases() -> list[tuple[World, LearnedModel, World, Way]]:
    """Walks in random domains and on crafting maps, with what was learned from them and from others."""
    found = []
    for seed in range(24):
        rng = np.random.default_rng([seed, 7])
        if seed < 16:
            truth, objects = World(random_domain(rng), OBJECTS), OBJECTS
            walks = [random_walk(rng, truth, random_state(rng, truth), 12) for _ in range(8)]
        else:
            objects = Reading(layout("sword-4").symbols()).problem.objects
            truth = World(layout("sword-4").domain(), objects)
            walks = [random_walk(rng, truth, begun(rng, truth), 12) for _ in range(3)]
        way = max(walks, key=len)
        if len(way) >= 4:
            found.append((truth, *learned_from(walks, truth, objects), way_of(way)))
    return found


def begun(rng: np.random.Generator, truth: World) -> States:
    """A map of the crafting world with three trees and a few things."""
    facts = ["(position c1)", *(f"(tree c{number})" for number in (5, 9, 14)), "(air c1)", "(air c2)", "(air c3)"]
    state = truth.vocabulary.states(map(read_fact, facts), {})
    state.values[:] = rng.integers(0, 4, state.values.shape)
    return state


def test_a_shortened_way_is_a_plan_in_truth_and_in_the_model() -> None:
    shorter = replaced = 0
    for truth, model, world, way in cases():
        short = shortened(way, model, world)
        assert len(short.states) == len(short) + 1 <= len(way) + 1
        keys = keys_of(short.states)
        assert (keys[0], keys[-1]) == (keys_of(way.states)[0], keys_of(way.states)[-1])
        assert len(set(keys)) == len(keys)
        for number, step in enumerate(short.steps):
            before, after = (short.states.pick(np.array([number + later])) for later in (0, 1))
            assert allowed(truth, before, step)
            told = truth.schemas[step.action].apply(before, truth.binding(step), ONE)
            assert keys_of(told) == keys_of(after)
            # Some learned action is this step, and its conditions hold.
            learned = one_step_ways(world, before)
            unsafe = {report.action for report in model.reports if report.unsafe}
            kept = step in way.steps and (step.action in unsafe or len(set(step.objects)) < len(step.objects))
            assert kept or step in [model.true_step(one) for one in learned.get(keys_of(after)[0], [])]
        shorter += len(short) < len(way)
        replaced += len(short) < len(without_circles(way))
    assert shorter >= 5
    assert replaced >= 5


def test_no_two_steps_are_left_that_one_could_replace() -> None:
    for _, model, world, way in cases():
        short = shortened(way, model, world)
        keys = keys_of(short.states)
        for number in range(len(short) - 1):
            reached = one_step_ways(world, short.states.pick(np.array([number])))
            assert keys[number + 2] not in reached


def test_circles_are_cut_as_by_hand() -> None:
    """Against the plain rule: walk on, and where a state comes again forget what was since."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        numbers = rng.integers(0, 5, rng.integers(1, 15))
        states = States(np.zeros((len(numbers), 0), bool), numbers[:, None].astype(float))
        steps = tuple(Step(f"s{a}-{b}-{n}") for n, (a, b) in enumerate(pairwise(numbers)))
        path, kept = [int(numbers[0])], []
        for number, step in zip(numbers[1:].tolist(), steps, strict=True):
            path.append(number)
            kept.append(step)
            if number in path[:-1]:
                first = path.index(number)
                path, kept = path[: first + 1], kept[:first]
        short = without_circles(Way(states, steps))
        assert short.states.values[:, 0].tolist() == path
        assert short.steps == tuple(kept)


def test_a_way_round_on_the_map_becomes_a_direct_one() -> None:
    """Three moves in a row are one once moving is known; nothing else is lost."""
    crafting = layout("sword-4")
    reading = Reading(crafting.symbols())
    truth = World(crafting.domain(), reading.problem.objects)
    state = reading.vocabulary.states([], {})
    rows = {fact: number for number, fact in enumerate(map(str, reading.vocabulary.facts))}
    state.facts[0, rows["(position c1)"]] = True
    names = ["c1", "c5", "c9", "c2", "c7"]
    states, steps = [state], []
    for here, there in pairwise(names):
        steps.append(Step("tp", (here, there)))
        states.append(truth.schemas["tp"].apply(states[-1], truth.binding(steps[-1]), ONE))
    way = Way(States.joined(states), tuple(steps))
    observer = ActionModelLearner(reading.domain, reading.relevant)
    observer.observe(Transitions.of(reading.vocabulary, way.states, way.steps))
    model = observer.model()
    world = World(model.domain, reading.problem.objects)
    assert one_for_two(way, model, world).steps == (Step("tp", ("c1", "c7")),)
    nothing = LearnedModel(model.domain.with_actions([]), {}, ())
    assert one_for_two(way, nothing, World(nothing.domain, reading.problem.objects)).steps == way.steps
