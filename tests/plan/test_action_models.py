"""Learned action models: never an invalid plan; the Boolean rules against enumeration; hulls, equations and effects."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from imitari.plan.action_models import ActionModelLearner
from imitari.plan.grounding import States, World
from imitari.plan.model import Action, Domain, Fact, Linear, Signature, Step
from imitari.plan.pddl import domain_text, read_domain
from imitari.plan.search import breadth_first
from imitari.plan.traces import Transitions
from imitari.plan.validation import execute
from tests.plan._random_domains import OBJECTS, problem_between, random_domain, random_state, random_walk

PLANS = 200


def test_no_plan_of_a_learned_model_is_invalid() -> None:
    """The safety property: what is planned with what was learned can be done, and does what was predicted."""
    plans, steps, unsafe = 0, 0, 0
    for seed in range(100):
        rng = np.random.default_rng([seed, 0x5AFE])
        truth = random_domain(rng)
        world = World(truth, OBJECTS)
        learner = ActionModelLearner(truth)
        walks = [random_walk(rng, world, random_state(rng, world), 4) for _ in range(rng.integers(2, 10))]
        for walk in walks:
            learner.observe(walk)
        model = learner.model()
        unsafe += sum(bool(report.unsafe) for report in model.reports)
        for walk in [walk for walk in walks if len(walk)]:
            for _ in range(4):
                # From a state that was seen, or a little beside it, towards parts of what the walk reached.
                begin, end = sorted(rng.integers(0, len(walk), 2))
                start, goal = walk.before.pick(np.array([begin])), walk.after.pick(np.array([end]))
                start.values[0, rng.integers(start.values.shape[1])] += rng.integers(-1, 2)
                start.facts[0, rng.integers(start.facts.shape[1])] ^= rng.random() < 0.3
                both = (np.concatenate([state.facts[0], state.values[0]]) for state in (start, goal))
                parts = rng.permutation(np.flatnonzero(np.not_equal(*both)))[:2]
                problem = problem_between(world, start, goal, parts)
                planned = breadth_first(model.domain, problem, seconds=2, most=100)
                if planned.status != "solved" or not planned.plan:
                    continue
                predicted = execute(model.domain, problem, planned.plan)
                happened = execute(truth, problem, [model.true_step(step) for step in planned.plan])
                assert happened.valid, f"seed {seed}: {planned.plan} fails at {happened.refused}"
                np.testing.assert_array_equal(predicted.states.facts, happened.states.facts)
                np.testing.assert_allclose(predicted.states.values, happened.states.values, atol=1e-6)
                plans += 1
                steps += len(planned.plan)
    assert plans >= PLANS
    assert steps > 1.2 * plans  # some are longer than one step
    assert not unsafe  # the assumptions hold here, so that nothing is left out


def test_what_is_allowed_is_possible_and_does_what_was_predicted() -> None:
    """The same for single steps, in every state around those that were seen: all that the learned model allows."""
    allowed = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 0x57E9])
        truth = random_domain(rng)
        world = World(truth, OBJECTS)
        learner = ActionModelLearner(truth)
        walks = [random_walk(rng, world, random_state(rng, world), 4) for _ in range(rng.integers(2, 12))]
        for walk in walks:
            learner.observe(walk)
        model, seen = learner.model(), States.joined([walk.before for walk in walks])
        if not len(seen):
            continue
        rows = rng.integers(0, len(seen), 200)
        facts, values = seen.facts[rows], seen.values[rows]
        facts ^= rng.random(facts.shape) < 0.05
        values += rng.integers(-2, 3, values.shape) * (rng.random(values.shape) < 0.3)
        states = States(facts, values)
        mine = World(model.domain, OBJECTS)
        for schema in mine.schemas.values():
            rows, bindings = schema.matches(states)
            predicted = schema.apply(states, bindings, rows)
            for number, row in enumerate(rows.tolist()):
                named = tuple(mine.vocabulary.objects[n] for n in bindings[number])
                step = model.true_step(Step(schema.action.name, named))
                true, binding, here = world.schemas[step.action], world.binding(step), np.array([row])
                assert true.allowed(states, binding, here)[0], f"seed {seed}: {step}"
                happened = true.apply(states, binding, here)
                np.testing.assert_array_equal(happened.facts[0], predicted.facts[number], f"seed {seed}: {step}")
                np.testing.assert_allclose(happened.values[0], predicted.values[number], atol=1e-6)
                allowed += 1
    assert allowed > 2000


def test_the_property_can_fail() -> None:
    """Without the hull the same test would find invalid plans: it is the learned conditions that keep them away."""
    truth = read_domain(
        "(define (domain d) (:functions (f)) (:action down :precondition (>= (f) 3) :effect (decrease (f) 3)))"
    )
    world = World(truth, {})
    walk = random_walk(np.random.default_rng(0), world, world.vocabulary.states([], {Fact("f"): 7.0}), 1)
    learner = ActionModelLearner(truth)
    learner.observe(walk)
    action = learner.model().domain.actions[0]
    loose = truth.with_actions([Action("down", changes=action.changes)])
    start = world.vocabulary.states([], {Fact("f"): 1.0})
    problem = problem_between(world, start, world.vocabulary.states([], {Fact("f"): -2.0}), np.array([0]))
    plan = breadth_first(loose, problem).plan
    assert plan == (Step("down"),)
    assert not execute(truth, problem, plan).valid
    assert breadth_first(learner.model().domain, problem).status == "none"


@pytest.mark.parametrize("seed", range(20))
def test_boolean_rules_are_those_of_enumeration(seed: int) -> None:
    """A literal is a condition if it held before every step; an effect if some step changed it."""
    rng = np.random.default_rng(seed)
    truth = random_domain(rng)
    world = World(truth, OBJECTS)
    walks = [random_walk(rng, world, random_state(rng, world), 6) for _ in range(8)]
    learner = ActionModelLearner(truth)
    for walk in walks:
        learner.observe(walk)
    for action in learner.model().domain.actions:
        origin = learner.model().origin[action.name]
        terms = [name for name, _ in action.parameters] + ["k"]
        facts = [Fact("r"), *(Fact("p", (x,)) for x in terms), *(Fact("q", (x, y)) for x in terms for y in terms)]
        before: list[set[Fact]] = []
        after: list[set[Fact]] = []
        for walk in walks:
            names = walk.vocabulary.facts
            for row, step in enumerate(walk.steps):
                pattern = tuple("k" if name == "k" else "" for name in step.objects)
                wanted = tuple("k" if term == "k" else "" for term in origin.objects)
                same = (walk.before.facts[row] == walk.after.facts[row]).all()
                same &= (walk.before.values[row] == walk.after.values[row]).all()
                if step.action != origin.action or pattern != wanted or same:
                    continue
                if len(set(step.objects)) < len(step.objects):
                    continue
                binding = dict(zip(origin.objects, step.objects, strict=True))
                true = [{names[n] for n in np.flatnonzero(s.facts[row])} for s in (walk.before, walk.after)]
                before.append({fact for fact in facts if fact.bound(binding) in true[0]})
                after.append({fact for fact in facts if fact.bound(binding) in true[1]})
        conditions = {(fact, True) for fact in facts if all(fact in state for state in before)}
        conditions |= {(fact, False) for fact in facts if all(fact not in state for state in before)}
        assert set(action.condition.literals) == conditions
        pairs = list(zip(before, after, strict=True))
        assert set(action.adds) == set().union(*(b - a for a, b in pairs))
        assert set(action.deletes) == set().union(*(a - b for a, b in pairs))


def one_action(rows: list[tuple[float, ...]], after: list[tuple[float, ...]], **options: object) -> ActionModelLearner:
    """An action without parameters over functions f0, f1, ..., seen with these values before and after."""
    functions = tuple(Signature(f"f{n}") for n in range(len(rows[0])))
    domain = Domain("d", {}, {}, (), functions, (Action("go"),))
    vocabulary = World(domain, {}).vocabulary
    none = np.zeros((len(rows), 0), bool)
    seen = Transitions(
        vocabulary, States(none, np.array(rows, float)), States(none, np.array(after, float)), (Step("go"),) * len(rows)
    )
    learner = ActionModelLearner(domain, **options)  # type: ignore[arg-type]
    learner.observe(seen)
    return learner


def exact_solution(rows: list[list[Fraction]], right: list[Fraction]) -> list[Fraction] | None:
    """The one solution of a square system, by Cramer's rule with expansion by minors; None where there is none."""

    def determinant(matrix: list[list[Fraction]]) -> Fraction:
        if not matrix:
            return Fraction(1)
        return sum(
            (
                (-1) ** n * matrix[0][n] * determinant([row[:n] + row[n + 1 :] for row in matrix[1:]])
                for n in range(len(matrix))
            ),
            Fraction(0),
        )

    whole = determinant(rows)
    if not whole:
        return None
    return [
        determinant([[*row[:n], value, *row[n + 1 :]] for row, value in zip(rows, right, strict=True)]) / whole
        for n in range(len(rows))
    ]


@pytest.mark.parametrize("seed", range(10))
def test_regression_gives_the_exact_rationals(seed: int) -> None:
    """f0' = w f + w0 with fractions as weights, from d + 1 independent rows, against Cramer's rule."""
    rng = np.random.default_rng(seed)
    weights = [Fraction(int(rng.integers(-5, 6)), int(rng.choice([1, 2, 4, 5]))) for _ in range(3)]
    constant = Fraction(int(rng.integers(-9, 10)), 4)
    while True:
        rows = [tuple(float(x) for x in rng.integers(-4, 9, 3) / 2) for _ in range(4)]
        exact = [[*map(Fraction, row), Fraction(1)] for row in rows]
        right = [sum((w * x for w, x in zip(weights, row[:3], strict=True)), constant) for row in exact]
        if exact_solution(exact, right) is not None and len(set(right)) > 1:
            break
    after = [(float(value), *row[1:]) for value, row in zip(right, rows, strict=True)]
    model = one_action(rows, after).model()
    (change,) = model.domain.actions[0].changes
    solved = exact_solution(exact, right)
    assert solved is not None
    named = {Fact(f"f{n}"): value for n, value in enumerate(solved[:3])}
    assert change.after == Linear.of(named, solved[3])
    assert change.kind == ("increase" if named[Fact("f0")] else "assign")
    assert model.reports[0].perfect


def test_an_effect_that_is_not_linear_leaves_the_action_out() -> None:
    rows = [(float(x), float(y)) for x in range(4) for y in range(4)]
    model = one_action(rows, [(x * y + 20, y) for x, y in rows]).model()
    assert model.domain.actions == ()
    assert "no linear effect on (f0)" in model.reports[0].unsafe


def test_too_few_steps_are_kept_to_the_span_that_was_seen() -> None:
    """Two rows fit f0' = f0 + f1 and f0' = f0 + 2: the equation f1 = 2 keeps both the same."""
    model = one_action([(1, 2), (5, 2)], [(3, 2), (7, 2)]).model()
    texts = domain_text(model.domain)
    assert "(= (f1) 2)" in texts
    assert "(>= (f0) 1)" in texts
    assert "(>= 5 (f0))" in texts
    assert not model.reports[0].perfect
    assert model.reports[0].equations == 1


def test_relevant_functions_alone_make_the_condition() -> None:
    rows = [(float(n), float(3 * n), 7.0) for n in range(1, 5)]
    after = [(a - 1, b + 4, c) for a, b, c in rows]
    free = one_action(rows, after).model()
    mapped = one_action(rows, after, relevant={"go": ("f0",)}).model()
    assert "(= (f2) 7)" in domain_text(free.domain)
    assert "f2" not in domain_text(mapped.domain.with_actions(mapped.domain.actions)).split(":action")[1]
    # f1 changes, and on all that was seen it is 3 f0: that it grows by 4 is known only there.
    assert "(= (* 3 (f0)) (f1))" in domain_text(mapped.domain)
    assert not mapped.reports[0].perfect
    better = one_action([*rows, (2.0, 1.0, 7.0)], [*after, (1.0, 5.0, 7.0)], relevant={"go": ("f0",)}).model()
    assert better.reports[0].equations == 0
    assert better.reports[0].perfect


def test_learning_step_by_step_equals_learning_at_once() -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        truth = random_domain(rng)
        world = World(truth, OBJECTS)
        walks = [random_walk(rng, world, random_state(rng, world), 5) for _ in range(6)]
        stepwise, at_once = ActionModelLearner(truth), ActionModelLearner(truth)
        for walk in walks:
            stepwise.observe(walk)
            stepwise.model()
        for walk in reversed(walks):
            at_once.observe(walk)
        for one, other in zip(stepwise.model().domain.actions, at_once.model().domain.actions, strict=True):
            assert set(one.condition.literals) == set(other.condition.literals)
            assert set(one.condition.comparisons) == set(other.condition.comparisons)
            assert set(one.adds) == set(other.adds)


def test_negative_conditions_by_choice() -> None:
    domain = read_domain("(define (domain d) (:predicates (p) (q)) (:action go :effect (p)))")
    vocabulary = World(domain, {}).vocabulary
    before = States(np.array([[False, False]]), np.zeros((1, 0)))
    seen = Transitions(vocabulary, before, States(np.array([[True, False]]), np.zeros((1, 0))), (Step("go"),))
    expected = {"all": {"p", "q"}, "soft": {"p"}, "none": set()}
    for negative, names in expected.items():
        learner = ActionModelLearner(domain, negative=negative)  # type: ignore[arg-type]
        learner.observe(seen)
        assert {fact.name for fact, true in learner.model().domain.actions[0].condition.literals} == names


def test_what_changed_nothing_and_what_names_an_object_twice_says_nothing() -> None:
    domain = read_domain(
        "(define (domain d) (:types t) (:predicates (at ?x - t))"
        "(:action go :parameters (?a ?b - t) :precondition (at ?a) :effect (and (not (at ?a)) (at ?b))))"
    )
    vocabulary = World(domain, {"a": "t", "b": "t"}).vocabulary
    here, there = ([Fact("at", (name,))] for name in ("a", "b"))
    states = States.joined([vocabulary.states(facts, {}) for facts in (here, here, there)])
    learner = ActionModelLearner(domain)
    learner.observe(Transitions.of(vocabulary, states, [Step("go", ("a", "a")), Step("go", ("a", "b"))]))
    (report,) = learner.model().reports
    assert report.observed == 1
    assert "(not (= ?a ?b))" in domain_text(learner.model().domain)
