"""PDDL: our texts are read back as they were, and unified-planning reads the same out of them; damage is named."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.plan.grounding import World
from imitari.plan.model import Change, Comparison, Domain, Fact, Linear, Problem
from imitari.plan.pddl import domain_text, problem_text, read_domain, read_plan, read_problem
from tests.plan._random_domains import OBJECTS, problem_between, random_domain, random_state

SMALL = """(define (domain small) ; a remark
  (:requirements :typing)
  (:types van - thing thing)
  (:constants base - thing)
  (:predicates (at ?v - van ?p - thing) (done))
  (:functions (fuel ?v - van) (cost))
  (:action GO :parameters (?v - van ?p ?q - thing)
    :precondition (and (at ?v ?p) (not (= ?p ?q)) (>= (fuel ?v) (+ 1.5 (* 2 (cost)))) (< (cost) 9))
    :effect (and (at ?v ?q) (not (at ?v ?p)) (decrease (fuel ?v) (/ (cost) 4)) (scale-up (cost) 2))))"""


def as_sets(domain: Domain) -> list[object]:
    """A domain without the order in which conditions and effects are named, and without the names of parameters."""
    found: list[object] = [set(domain.predicates), set(domain.functions), dict(domain.constants)]
    for action in domain.actions:
        names = {name: f"?{place}" for place, (name, _) in enumerate(action.parameters)}
        condition = action.condition
        adds = {fact.bound(names) for fact in action.adds}
        found.append(
            (
                action.signature,
                {(fact.bound(names), true) for fact, true in condition.literals},
                {Comparison(one.left.bound(names), one.relation).whole() for one in condition.comparisons},
                {frozenset(names.get(term, term) for term in pair) for pair in condition.distinct},
                adds,
                {fact.bound(names) for fact in action.deletes} - adds,
                {(one.function.bound(names), one.after.bound(names)) for one in action.changes},
            )
        )
    return found


def through_unified_planning(domain: Domain, problem: Problem) -> tuple[Domain, Problem]:
    """Read and written again by another reader and writer."""
    reader = pytest.importorskip("unified_planning.io", reason="unified-planning is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = reader.PDDLReader().parse_problem_string(domain_text(domain), problem_text(problem))
        writer = reader.PDDLWriter(parsed)
        texts = writer.get_domain(), writer.get_problem()
    return read_domain(texts[0]), read_problem(texts[1])


def test_what_is_written_is_read_back() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        domain = random_domain(rng)
        assert read_domain(domain_text(domain)) == domain
        world = World(domain, OBJECTS)
        problem = problem_between(world, random_state(rng, world), random_state(rng, world), np.arange(6))
        assert read_problem(problem_text(problem)) == problem


@pytest.mark.parametrize("seed", range(12))
def test_unified_planning_reads_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    domain = random_domain(rng)
    world = World(domain, OBJECTS)
    problem = problem_between(world, random_state(rng, world), random_state(rng, world), np.arange(6))
    other, asked = through_unified_planning(domain, problem)
    assert as_sets(other) == as_sets(domain)
    assert asked.facts == problem.facts
    assert asked.values == problem.values
    assert set(asked.goal.literals) == set(problem.goal.literals)
    assert set(asked.goal.comparisons) == set(problem.goal.comparisons)


def test_a_domain_is_read_word_by_word() -> None:
    domain = read_domain(SMALL)
    assert domain.is_a("van", "thing")
    assert not domain.is_a("thing", "van")
    (action,) = domain.actions
    assert action.name == "go"
    assert action.parameters == (("?v", "van"), ("?p", "thing"), ("?q", "thing"))
    assert action.condition.distinct == (("?p", "?q"),)
    fuel, cost = Fact("fuel", ("?v",)), Fact("cost")
    first, second = action.condition.comparisons
    assert first.left == Linear.of({fuel: Fraction(2), cost: Fraction(-4)}, -3)  # in whole numbers
    assert (second.relation, second.left) == (">", Linear.of({cost: Fraction(-1)}, 9))
    burn, double = action.changes
    assert burn == Change(fuel, "increase", Linear.of({cost: Fraction(-1, 4)}))
    assert double == Change(cost, "assign", Linear.of({cost: Fraction(2)}))


def test_numbers_are_written_exactly() -> None:
    fact = Fact("f")
    for number in (Fraction(1, 3), Fraction(-7, 8), Fraction(5), Fraction(1, 80), Fraction(-22, 7)):
        values: Mapping[Fact, Fraction] = {fact: number}
        text = "(define (domain d) (:functions (f)) (:action go :effect (increase (f) 1)))"
        domain = read_domain(text)
        (action,) = domain.actions
        changed = domain.with_actions([type(action)("go", changes=(Change(fact, "assign", Linear.of({}, number)),))])
        assert read_domain(domain_text(changed)) == changed
        weighted = domain.with_actions([type(action)("go", changes=(Change(fact, "assign", Linear.of(values)),))])
        assert read_domain(domain_text(weighted)) == weighted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(define (domain d) (:predicates (p))", "never closed"),
        ("(define (domain d)))", "closes nothing"),
        ("(define (problem d))", "is no PDDL domain"),
        ("(define (domain d) (:action a :precondition (or (p) (q))))", "only conjunctions"),
        ("(define (domain d) (:action a :effect (when (p) (q))))", "conditional effects"),
        ("(define (domain d) (:action a :effect (increase (f) (* (f) (g)))))", "not linear"),
        ("(define (domain d) (:action a :precondition (not (>= (f) 1))))", "negated comparison"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        read_domain(text, "a.pddl")
    assert "a.pddl" in str(caught.value)


def test_plans_are_read_with_and_without_times() -> None:
    assert [str(step) for step in read_plan("(go a b)\n(STOP)\n; cost 2")] == ["(go a b)", "(stop)"]
