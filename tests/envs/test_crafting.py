"""The crafting world: its dynamics are its PDDL, its plans are shortest, its problems solvable, its symbols exact."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.errors import Missing, UserError
from imitari.core.interaction import Decision, interact
from imitari.core.symbols import Symbols
from imitari.envs import task_named
from imitari.envs.crafting import LIMIT, MASK, MOST_ITEMS, STATE, TREE, CraftingWorld, Curious, layout
from imitari.plan import enhsp
from imitari.plan.grounding import World
from imitari.plan.pddl import domain_text
from imitari.plan.reading import Reading
from imitari.plan.search import breadth_first
from imitari.plan.validation import execute, well_typed

NAMES = ["pogo-6", "sword-6", "pogo-counts", "sword-counts"]


@pytest.mark.parametrize("name", NAMES)
def test_the_world_does_what_its_domain_says(name: str) -> None:
    """Random actions: what the domain allows changes the state as it says, all else changes nothing, and the mask is
    right."""
    task, crafting = task_named(f"crafting/{name}", mask=True), layout(name)
    reading = Reading(crafting.symbols())
    truth = World(crafting.domain(), reading.problem.objects)
    world, rng = task.make(12), np.random.default_rng(0)
    obs, _ = world.reset(seed=range(12))
    running, changes = np.ones(12, bool), 0
    for _ in range(25):
        likely = crafting.cells + rng.integers(0, len(crafting.recipes), 12)
        anywhere = rng.integers(0, task.spec.action.choices, 12)
        trees = np.array([rng.choice([*np.flatnonzero(row[1 : 1 + crafting.cells] == TREE), 0]) for row in obs[STATE]])
        action = np.where(rng.random(12) < 0.5, likely, np.where(rng.random(12) < 0.5, anywhere, trees))[:, None]
        before, mask = reading.states(obs), obs[MASK].copy()
        steps = reading.done(before, action)
        obs, _, terminated, truncated, _ = world.step(action)
        after = reading.states(obs)
        for row in np.flatnonzero(running):
            step, rows = steps[row], np.array([row])
            schema, binding = truth.schemas[step.action], truth.binding(step)
            allowed = well_typed(truth, step) and schema.allowed(before, binding, rows)[0]
            assert mask[row, action[row, 0]] == allowed, step
            told = schema.apply(before, binding, rows) if allowed else before.pick(rows)
            np.testing.assert_array_equal(after.facts[row], told.facts[0])
            np.testing.assert_array_equal(after.values[row], told.values[0])
            changes += allowed
        running &= ~(terminated | truncated)
    assert changes > 30


@pytest.mark.parametrize("name", NAMES)
def test_problems_are_solvable_and_the_expert_solves_them_shortest(name: str) -> None:
    task, crafting = task_named(f"crafting/{name}"), layout(name)
    world = task.make(12)
    episodes = interact(task.expert(world), world, range(12))
    assert all(episode.success for episode in episodes)
    reading = Reading(crafting.symbols())
    for episode in episodes[:6]:
        start = reading.states({STATE: episode.obs[STATE][:1]})
        planned = breadth_first(crafting.domain(), reading.problem_at(start, 0))
        assert len(planned.plan) == len(episode) <= LIMIT


def test_the_expert_is_as_short_as_enhsp() -> None:
    try:
        enhsp.parts()
    except Missing as error:
        pytest.skip(str(error))
    task, crafting = task_named("crafting/sword-6"), layout("sword-6")
    world = task.make(2)
    reading = Reading(crafting.symbols())
    for episode in interact(task.expert(world), world, range(2)):
        start = reading.states({STATE: episode.obs[STATE][:1]})
        problem = reading.problem_at(start, 0)
        planned = enhsp.ask(crafting.domain(), problem, 60, optimal=True)
        assert len(planned.plan) == len(episode)
        assert execute(crafting.domain(), problem, planned.plan).valid


def test_the_curious_expert_shows_more_and_still_arrives() -> None:
    task = task_named("crafting/pogo-6")
    lengths = []
    for actor in (Curious(layout("pogo-6")), None):
        world = task.make(10)
        episodes = interact(actor or task.expert(world), world, range(10))
        assert all(episode.success for episode in episodes)
        lengths.append(np.mean([len(episode) for episode in episodes]))
    assert lengths[0] > 2 * lengths[1]


def test_a_group_of_curious_episodes_crafts_from_little_and_from_much_of_each_thing() -> None:
    """Ten episodes, whatever their starts: before the last craft there are few planks and few sticks, many of one and
    few of the other, both ways; and what is worked up is also worked up from more than one may begin with."""
    task, crafting = task_named("crafting/pogo-6"), layout("pogo-6")
    crafted = crafting.cells + crafting.recipes.index("craft_pogo")
    for first in (0, 10, 20):
        episodes = interact(Curious(crafting), task.make(10), range(first, first + 10))
        states = [crafting.state_of(episode.obs[STATE])["items"] for episode in episodes]
        assert all(episode.success and len(episode) <= LIMIT for episode in episodes)
        last = np.array(
            [
                items[:-1][episode.action[:, 0] == crafted][-1, 1:3]
                for items, episode in zip(states, episodes, strict=True)
            ]
        )
        planks, sticks = last.T
        assert ((planks <= 6) & (sticks <= 9)).any()
        assert ((planks >= 12) & (sticks <= 9)).any()
        assert ((planks <= 6) & (sticks >= 20)).any()
        for recipe, used in (("craft_plank", 0), ("craft_stick", 1)):  # from more than one may begin with, too
            choice = crafting.cells + crafting.recipes.index(recipe)
            pairs = zip(states, episodes, strict=True)
            assert max(items[:-1, used][one.action[:, 0] == choice].max(initial=0) for items, one in pairs) > MOST_ITEMS


def test_curious_episodes_work_at_every_selection_of_raw_things_in_turn() -> None:
    for name, raw in (("pogo-6", 3), ("sword-6", 2)):
        selection = Curious(layout(name)).reset(20)["selection"]
        assert selection.any(0).sum() == raw
        every = 2**raw
        assert len(np.unique(selection[:every], axis=0)) == every
        np.testing.assert_array_equal(selection[every : 2 * every], selection[:every])
        assert not selection[0].any()
        np.testing.assert_array_equal(selection[1], selection.any(0))  # the opposite of none


def test_trees_keep_two_cells_apart_in_their_row() -> None:
    world = task_named("crafting/pogo-10").make(40)
    obs, _ = world.reset(seed=range(40))
    assert isinstance(world, CraftingWorld)
    trees = (world.state["blocks"] == TREE).reshape(40, 10, 10)
    for gap in (1, 2):
        assert not (trees[:, :, :-gap] & trees[:, :, gap:]).any()
    assert trees.sum((1, 2)).max() > 15
    assert (obs[STATE][:, 0] == 0).all()  # one begins on air


def test_symbols_go_through_json_and_hold_no_rules() -> None:
    import json

    symbols = layout("pogo-6").symbols()
    assert Symbols.from_json(json.loads(json.dumps(symbols.to_json()))) == symbols
    assert "increase" not in symbols.domain
    assert ">=" not in symbols.domain
    assert "increase" in domain_text(layout("pogo-6").domain())


def test_choices_and_steps_are_each_others_inverse() -> None:
    reading = Reading(layout("sword-6").symbols())
    world = task_named("crafting/sword-6").make(1)
    obs, _ = world.reset(seed=[3])
    states = reading.states(obs)
    for choice in range(world.spec_of_step.action.choices):  # type: ignore[attr-defined]
        (step,) = reading.done(states, np.array([choice]))
        assert not any(term.startswith("?") for term in step.objects)
        assert reading.choice(step) == choice


@pytest.mark.parametrize("name", ["pogo", "pogo-3", "axe-6", "pogo-6x6"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="crafting/pogo-6"):
        task_named(f"crafting/{name}")


def test_noise_is_recorded_as_executed() -> None:
    """The loop may execute other actions than the expert's: transitions are then those of what was executed."""
    task = task_named("crafting/pogo-6")
    world, rng = task.make(4), np.random.default_rng(0)

    def shaken(obs: dict[str, np.ndarray], proposal: np.ndarray) -> Decision:
        random = np.where(rng.random(proposal.shape) < 0.3, rng.integers(42, size=proposal.shape), proposal)
        return Decision(random, random, {})

    reading = Reading(layout("pogo-6").symbols())
    truth = World(layout("pogo-6").domain(), reading.problem.objects)
    for episode in interact(task.expert(world), world, range(4), decide=shaken):
        states = reading.states({STATE: episode.obs[STATE]})
        steps = reading.done(states.pick(np.arange(len(episode))), episode.action)
        changed = (states.facts[1:] != states.facts[:-1]).any(1) | (states.values[1:] != states.values[:-1]).any(1)
        problem = reading.problem_at(states, 0)
        plan = [step for step, one in zip(steps, changed, strict=True) if one]
        assert execute(truth.vocabulary.domain, problem, plan, truth).refused is None
