"""Planners and the simulator: shortest plans, what is refused, what is missing; traces as they are recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imitari.core.errors import Missing, UserError
from imitari.plan import enhsp
from imitari.plan.grounding import ONE, World
from imitari.plan.model import Fact, Problem, Step
from imitari.plan.pddl import read_domain, read_problem
from imitari.plan.planners import planner_named
from imitari.plan.search import breadth_first
from imitari.plan.traces import read_folder, read_trajectory
from imitari.plan.validation import execute

JUGS = read_domain(
    """(define (domain jugs) (:types jug) (:functions (in ?j - jug) (size ?j - jug))
    (:action fill :parameters (?j - jug) :precondition (< (in ?j) (size ?j)) :effect (assign (in ?j) (size ?j)))
    (:action empty :parameters (?j - jug) :precondition (> (in ?j) 0) :effect (assign (in ?j) 0))
    (:action pour-all :parameters (?a ?b - jug)
      :precondition (and (not (= ?a ?b)) (> (in ?a) 0) (<= (+ (in ?a) (in ?b)) (size ?b)))
      :effect (and (increase (in ?b) (in ?a)) (assign (in ?a) 0)))
    (:action pour-some :parameters (?a ?b - jug)
      :precondition (and (not (= ?a ?b)) (< (in ?b) (size ?b)) (> (+ (in ?a) (in ?b)) (size ?b)))
      :effect (and (increase (in ?a) (- (in ?b) (size ?b))) (assign (in ?b) (size ?b)))))"""
)


def jugs(goal: str) -> Problem:
    return read_problem(
        f"(define (problem p) (:domain jugs) (:objects big small - jug) (:init (= (in big) 0) (= (in small) 0)"
        f"(= (size big) 5) (= (size small) 3)) (:goal {goal}))"
    )


def test_the_two_jugs() -> None:
    """Four litres with jugs of five and three take six steps, and one and a half cannot be measured."""
    planned = breadth_first(JUGS, jugs("(= (in big) 4)"))
    assert planned.status == "solved"
    assert len(planned.plan) == 6
    assert execute(JUGS, jugs("(= (in big) 4)"), planned.plan).valid
    assert breadth_first(JUGS, jugs("(= (in big) 1.5)")).status == "none"
    assert breadth_first(JUGS, jugs("(= (in big) 4)"), most=5).status == "timeout"
    assert breadth_first(JUGS, jugs("(= (in big) 0)")).plan == ()


def test_what_the_simulator_refuses() -> None:
    problem = jugs("(= (in big) 5)")
    fill, pour = Step("fill", ("big",)), Step("pour-all", ("big", "small"))
    assert execute(JUGS, problem, [fill]).valid
    refused = execute(JUGS, problem, [fill, pour])
    assert refused.refused == pour
    assert not refused.valid
    assert len(refused.states) == 2
    assert not execute(JUGS, problem, [Step("fill", ("small",))]).reached
    with pytest.raises(UserError, match="no object 'bog': did you mean big"):
        execute(JUGS, problem, [Step("fill", ("bog",))])


def test_simulation_equals_plain_arithmetic() -> None:
    """Random steps against a few lines that know nothing of domains."""
    world = World(JUGS, {"big": "jug", "small": "jug"})
    rng = np.random.default_rng(0)
    state = world.vocabulary.start(jugs("(and)"))
    plain, size = {"big": 0, "small": 0}, {"big": 5, "small": 3}
    columns = {name: world.vocabulary.functions.index(Fact("in", (name,))) for name in plain}
    done = 0
    for _ in range(300):
        name = str(rng.choice(list(world.schemas)))
        a, b = ("big", "small") if rng.random() < 0.5 else ("small", "big")
        step = Step(name, (a, b) if name.startswith("pour") else (a,))
        after, room = dict(plain), size[b] - plain[b]
        allowed = {
            "fill": plain[a] < size[a],
            "empty": plain[a] > 0,
            "pour-all": 0 < plain[a] <= room,
            "pour-some": room > 0 and plain[a] > room,
        }[name]
        moved = min(plain[a], room)
        after[a] = {"fill": size[a], "empty": 0}.get(name, plain[a] - moved)
        after[b] += moved if name.startswith("pour") else 0
        schema, binding = world.schemas[name], world.binding(step)
        assert schema.allowed(state, binding, ONE)[0] == allowed
        if allowed:
            state, plain, done = schema.apply(state, binding, ONE), after, done + 1
            assert {jug: state.values[0, column] for jug, column in columns.items()} == plain
    assert done > 50


def needs_enhsp() -> None:
    try:
        enhsp.parts()
    except Missing as error:
        pytest.skip(str(error))


def test_enhsp_finds_plans_as_short_as_ours() -> None:
    needs_enhsp()
    for goal in ("(= (in big) 4)", "(and (= (in small) 1) (= (in big) 5))"):
        planned = planner_named("enhsp_optimal", 60, 0)(JUGS, jugs(goal))
        assert planned.status == "solved"
        assert execute(JUGS, jugs(goal), planned.plan).valid
        assert len(planned.plan) == len(breadth_first(JUGS, jugs(goal)).plan)


def test_enhsp_says_that_there_is_no_plan_and_that_time_is_up() -> None:
    needs_enhsp()
    nothing = read_domain("(define (domain d) (:predicates (p)) (:functions (f)) (:action a :effect (increase (f) 1)))")
    impossible = read_problem("(define (problem p) (:domain d) (:init (= (f) 0)) (:goal (p)))")
    assert enhsp.ask(nothing, impossible, 60).status == "none"
    assert enhsp.ask(nothing, impossible, 0.01).status == "timeout"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enhsp.shutil, "which", lambda name: None)
    with pytest.raises(Missing, match="Java") as caught:
        planner_named("enhsp", 1, 0)
    assert caught.value.status == 3
    monkeypatch.setattr(enhsp.shutil, "which", lambda name: "/usr/bin/java")
    monkeypatch.setattr(enhsp, "find_spec", lambda name: None)
    with pytest.raises(Missing, match=r"imitari\[plan\]"):
        planner_named("enhsp", 1, 0)


TRACE = """((:init (= (in big ) 0.0) (= (in small ) 0.0) (= (size big) 5.0) (= (size small) 3.0))
(operator: (FILL big))
(:state (= (in big ) 5.0) (= (in small ) 0.0) (= (size big) 5.0) (= (size small) 3.0)))"""


def test_a_trajectory_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.trajectory"
    path.write_text(TRACE)
    steps = read_trajectory(path, JUGS, {"big": "jug", "small": "jug"})
    assert steps.steps == (Step("fill", ("big",)),)
    column = steps.vocabulary.functions.index(Fact("in", ("big",)))
    assert (steps.before.values[0, column], steps.after.values[0, column]) == (0, 5)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("(= (in big ) 5.0)", "(= (in bag ) 5.0)", "no object 'bag'"),
        ("(= (in big ) 5.0)", "(= (in big ) many)", "many"),
        ("(operator: (FILL big))", "", "2 states and 0 steps"),
        ("(operator:", "(step:", "'step:' is neither"),
        ("5.0)))", "5.0)", "never closed"),
    ],
)
def test_a_damaged_trajectory_is_named(old: str, new: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "one.trajectory"
    text = TRACE.replace("(= (size small) 3.0)))", "(= (size small) 3.0)") if words == "never closed" else TRACE
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=words) as caught:
        read_trajectory(path, JUGS, {"big": "jug", "small": "jug"})
    assert "one.trajectory" in str(caught.value)


@pytest.mark.parametrize("name", ["minecraft", "farmland", "counters", "sailing"])
def test_recorded_traces_are_what_the_true_domain_does(name: str, data_folder: Path) -> None:
    folder = data_folder / "numeric_pddl_trajectories" / name
    if not folder.exists():
        pytest.skip(f"{folder} is absent")
    domain, traces = read_folder(folder)
    assert traces
    for trace in traces[:5]:
        steps = trace.transitions
        world = World(domain, trace.problem.objects)
        execution = execute(domain, trace.problem, steps.steps, world)
        assert execution.valid
        np.testing.assert_array_equal(execution.states.facts[1:], steps.after.facts)
        np.testing.assert_allclose(execution.states.values[1:], steps.after.values, atol=1e-4)
