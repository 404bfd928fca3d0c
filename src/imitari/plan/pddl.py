"""PDDL text to domains and problems and back: numeric PDDL 2.1 with typing, conjunctive conditions and linear terms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from imitari.core.errors import UserError
from imitari.plan.model import (
    OBJECT,
    Action,
    Change,
    Comparison,
    Condition,
    Domain,
    Fact,
    Linear,
    Problem,
    Relation,
    Signature,
    Step,
)

Tree = list[Any]  # of words and trees
REQUIREMENTS = "(:requirements :strips :typing :negative-preconditions :equality :fluents)"
TOKEN = re.compile(r"[()]|[^\s()]+")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")
# symbol -> (relation, whether the sides are exchanged)
COMPARED: dict[str, tuple[Relation, bool]] = {
    ">=": (">=", False),
    "<=": (">=", True),
    ">": (">", False),
    "<": (">", True),
    "=": ("=", False),
}


# ---------------------------------------------------------------- reading


def trees(text: str, where: str) -> Tree:
    """The nested lists of a text of s-expressions: lower case, without comments.

    Raises:
        UserError: where brackets do not match.
    """
    stack: list[Tree] = [[]]
    for token in TOKEN.findall(re.sub(r";[^\n]*", "", text).lower()):
        if token == "(":
            stack.append([])
        elif token == ")":
            if len(stack) == 1:
                raise UserError(f"{where}: a bracket ')' closes nothing: restore the file")
            closed = stack.pop()
            stack[-1].append(closed)
        else:
            stack[-1].append(token)
    if len(stack) > 1:
        raise UserError(f"{where}: {len(stack) - 1} brackets '(' are never closed: restore the file")
    return stack[0]


def read_domain(text: str, where: str = "domain") -> Domain:
    """A domain from its text.

    Args:
        where: file, for messages.

    Raises:
        UserError: for what is no domain, or goes beyond conjunctions and linear terms.
    """
    sections = _sections(text, where, "domain")
    types = {name: above for name, above in _typed(_section(sections, ":types"), where).items() if name != OBJECT}
    predicates = tuple(_signature(entry, where) for entry in _section(sections, ":predicates"))
    functions = [entry for entry in _section(sections, ":functions") if isinstance(entry, list)]
    actions = tuple(_action(entry, where) for entry in sections if entry[0] == ":action")
    return Domain(
        sections[0][1],
        types,
        _typed(_section(sections, ":constants"), where),
        predicates,
        tuple(_signature(entry, where) for entry in functions),
        actions,
    )


def read_problem(text: str, where: str = "problem") -> Problem:
    """A problem from its text; raises as `read_domain`."""
    sections = _sections(text, where, "problem")
    facts: set[Fact] = set()
    values: dict[Fact, Fraction] = {}
    for entry in _section(sections, ":init"):
        if entry[0] == "=":
            values[_fact(entry[1], where)] = _number(entry[2], where)
        else:
            facts.add(_fact(entry, where))
    goal = _section(sections, ":goal")
    return Problem(
        sections[0][1],
        _section(sections, ":domain")[0],
        _typed(_section(sections, ":objects"), where),
        frozenset(facts),
        values,
        _condition(goal[0], where) if goal else Condition(),
    )


def read_plan(text: str, where: str = "plan") -> list[Step]:
    """Steps from lines such as "(move a b)", with or without "0.0:" before them."""
    return [_step(entry) for entry in trees(text, where) if isinstance(entry, list)]


def read_condition(text: str, where: str = "condition") -> Condition:
    """A condition from its text; raises as `read_domain`."""
    return _condition(trees(text, where)[0], where)


def read_fact(text: str, where: str = "fact") -> Fact:
    """A fact or a function from its text, as "(at ?x)"."""
    return _fact(trees(text, where)[0], where)


def _step(entry: Tree) -> Step:
    return Step(entry[0], tuple(entry[1:]))


def _sections(text: str, where: str, kind: str) -> Tree:
    found = trees(text, where)
    if len(found) != 1 or not isinstance(found[0], list) or found[0][:1] != ["define"] or found[0][1][0] != kind:
        raise UserError(f"{where}: is no PDDL {kind}: it must be one expression (define ({kind} NAME) ...)")
    return found[0][1:]


def _section(sections: Tree, name: str) -> Tree:
    return next((entry[1:] for entry in sections if entry[0] == name), [])


def _typed(words: Sequence[Any], where: str) -> dict[str, str]:
    """Name -> type of a list such as "a b - t c"."""
    found: dict[str, str] = {}
    waiting: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        if word == "-":
            kind = words[position + 1]
            if not isinstance(kind, str):
                raise UserError(f"{where}: type {kind} is not a name: '(either ...)' is not supported")
            found.update(dict.fromkeys(waiting, kind))
            waiting = []
            position += 1
        else:
            waiting.append(word)
        position += 1
    found.update(dict.fromkeys(waiting, OBJECT))
    return found


def _signature(entry: Tree, where: str) -> Signature:
    return Signature(entry[0], tuple(_typed(entry[1:], where).values()))


def _fact(entry: Any, where: str) -> Fact:
    if not isinstance(entry, list) or not all(isinstance(term, str) for term in entry) or not entry:
        raise UserError(f"{where}: {_words(entry)} is no fact: write it as (NAME TERM ...)")
    return Fact(entry[0], tuple(entry[1:]))


def _number(word: Any, where: str) -> Fraction:
    if not isinstance(word, str) or not NUMBER.fullmatch(word):
        raise UserError(f"{where}: {_words(word)} stands where a number must be")
    return Fraction(word)


def _linear(entry: Any, where: str) -> Linear:
    if isinstance(entry, str):
        if NUMBER.fullmatch(entry):
            return Linear((), Fraction(entry))
        entry = [entry]  # functions without arguments may stand without brackets
    operator, parts = entry[0], entry[1:]
    if operator not in ("+", "-", "*", "/"):
        return Linear.value_of(_fact(entry, where))
    terms = [_linear(part, where) for part in parts]
    total = terms[0].times(-1) if operator == "-" and len(terms) == 1 else terms[0]
    for term in terms[1:]:
        if operator in "+-":
            total = total + term if operator == "+" else total - term
        elif not term.weights and (operator == "*" or term.constant):
            total = total.times(term.constant if operator == "*" else 1 / term.constant)
        elif operator == "*" and not total.weights:
            total = term.times(total.constant)
        else:
            raise UserError(f"{where}: {_words(entry)} is not linear: only linear terms are supported")
    return total


def _condition(entry: Any, where: str) -> Condition:
    literals: list[tuple[Fact, bool]] = []
    comparisons: list[Comparison] = []
    distinct: list[tuple[str, str]] = []
    for part in _conjuncts(entry):
        inner = part[1] if part[0] == "not" else part
        if inner[0] in ("or", "forall", "exists", "imply", "when", "not"):
            raise UserError(
                f"{where}: {_words(part)[:80]}: only conjunctions of literals and comparisons are supported"
            )
        if inner[0] not in COMPARED:
            literals.append((_fact(inner, where), part[0] != "not"))
        elif part[0] != "not":
            comparisons.append(_comparison(inner, where))
        elif inner[0] == "=" and all(isinstance(term, str) and not NUMBER.fullmatch(term) for term in inner[1:]):
            distinct.append((inner[1], inner[2]))
        else:
            raise UserError(f"{where}: {_words(part)}: a negated comparison is not supported")
    return Condition(tuple(literals), tuple(comparisons), tuple(distinct))


def _comparison(entry: Tree, where: str) -> Comparison:
    left, right = _linear(entry[1], where), _linear(entry[2], where)
    relation, turned = COMPARED[entry[0]]
    return Comparison(right - left if turned else left - right, relation).whole()


def _conjuncts(entry: Any) -> list[Tree]:
    if entry == []:
        return []
    if entry[0] != "and":
        return [entry]
    return [part for inner in entry[1:] for part in _conjuncts(inner)]


def _action(entry: Tree, where: str) -> Action:
    name = entry[1]
    parts = dict(zip(entry[2::2], entry[3::2], strict=True))
    place = f"{where}: action '{name}'"
    adds: list[Fact] = []
    deletes: list[Fact] = []
    changes: list[Change] = []
    for effect in _conjuncts(parts.get(":effect", [])):
        if effect[0] in ("when", "forall"):
            raise UserError(f"{place}: {_words(effect)[:80]}: conditional effects are not supported")
        if effect[0] in ("assign", "increase", "decrease", "scale-up", "scale-down"):
            changes.append(_change(effect, place))
        elif effect[0] == "not":
            deletes.append(_fact(effect[1], place))
        else:
            adds.append(_fact(effect, place))
    return Action(
        name,
        tuple(_typed(parts.get(":parameters", []), place).items()),
        _condition(parts.get(":precondition", []), place),
        tuple(adds),
        tuple(deletes),
        tuple(changes),
    )


def _change(effect: Tree, where: str) -> Change:
    kind, function, value = effect[0], _fact(effect[1], where), _linear(effect[2], where)
    if kind.startswith("scale"):
        if value.weights or not value.constant:
            raise UserError(f"{where}: {_words(effect)}: only scaling by a number other than 0 is supported")
        factor = value.constant if kind == "scale-up" else 1 / value.constant
        return Change(function, "assign", Linear.value_of(function).times(factor))
    if kind == "decrease":
        return Change(function, "increase", value.times(-1))
    return Change(function, kind, value)


def _words(entry: Any) -> str:
    return f"({' '.join(_words(part) for part in entry)})" if isinstance(entry, list) else str(entry)


# ---------------------------------------------------------------- writing


def domain_text(domain: Domain) -> str:
    """The domain in PDDL."""
    lines = [f"(define (domain {domain.name})", f"  {REQUIREMENTS}"]
    if domain.types:
        lines.append(f"  (:types {_typed_text(domain.types)})")
    if domain.constants:
        lines.append(f"  (:constants {_typed_text(domain.constants)})")
    for section, entries in ((":predicates", domain.predicates), (":functions", domain.functions)):
        if entries:
            lines.append(f"  ({section} {' '.join(_signature_text(entry) for entry in entries)})")
    return "\n".join((*lines, *(_action_text(action) for action in domain.actions), ")\n"))


def problem_text(problem: Problem) -> str:
    """The problem in PDDL."""
    start = [str(fact) for fact in sorted(problem.facts)]
    start += [f"(= {fact} {_number_text(value)})" for fact, value in sorted(problem.values.items())]
    return "\n".join(
        (
            f"(define (problem {problem.name})",
            f"  (:domain {problem.domain})",
            f"  (:objects {_typed_text(problem.objects)})",
            f"  (:init {' '.join(start)})",
            f"  (:goal {condition_text(problem.goal)})",
            ")\n",
        )
    )


def condition_text(condition: Condition, indent: str = " ") -> str:
    """A conjunction in PDDL, its parts separated by `indent`."""
    parts = [str(fact) if true else f"(not {fact})" for fact, true in condition.literals]
    parts += [f"(not (= {first} {second}))" for first, second in condition.distinct]
    parts += [comparison_text(comparison) for comparison in condition.comparisons]
    return f"(and{indent if parts else ''}{indent.join(parts)})"


def comparison_text(comparison: Comparison) -> str:
    """What is added stands on the left, what is taken away on the right; whole numbers throughout."""
    left = comparison.whole().left
    plus = Linear(tuple((fact, value) for fact, value in left.weights if value > 0), max(left.constant, Fraction(0)))
    minus = (left - plus).times(-1)
    return f"({comparison.relation} {linear_text(plus)} {linear_text(minus)})"


def linear_text(expression: Linear) -> str:
    """A linear expression in PDDL; sums of two, since some planners take no longer ones."""
    parts = [str(fact) if weight == 1 else f"(* {_number_text(weight)} {fact})" for fact, weight in expression.weights]
    if expression.constant or not parts:
        parts.append(_number_text(expression.constant))
    text = parts[-1]
    for part in reversed(parts[:-1]):
        text = f"(+ {part} {text})"
    return text


def _action_text(action: Action) -> str:
    effects = [str(fact) for fact in action.adds]
    effects += [f"(not {fact})" for fact in action.deletes]
    effects += [_change_text(change) for change in action.changes]
    gap = "\n      "
    return "\n".join(
        (
            f"  (:action {action.name}",
            f"    :parameters ({_typed_text(dict(action.parameters))})",
            f"    :precondition {condition_text(action.condition, gap)}",
            f"    :effect (and{gap if effects else ''}{gap.join(effects)}))",
        )
    )


def _change_text(change: Change) -> str:
    kind: str = change.kind
    value = change.expression
    if kind == "increase" and value.constant <= 0 and all(weight < 0 for _, weight in value.weights):
        kind, value = "decrease", value.times(-1)
    return f"({kind} {change.function} {linear_text(value)})"


def _typed_text(names: Mapping[str, str]) -> str:
    runs: list[tuple[str, list[str]]] = []
    for name, kind in names.items():  # runs of one type, in order: the order of parameters matters
        if not runs or runs[-1][0] != kind:
            runs.append((kind, []))
        runs[-1][1].append(name)
    return " ".join(f"{' '.join(members)} - {kind}" for kind, members in runs)


def _signature_text(signature: Signature) -> str:
    arguments: Iterable[str] = (f"?a{number} - {kind}" for number, kind in enumerate(signature.types))
    return f"({' '.join((signature.name, *arguments))})"


def _number_text(value: Fraction) -> str:
    """A whole number, a finite decimal, or a quotient."""
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest == 1:
        digits = next(count for count in range(1, 400) if 10**count % value.denominator == 0)
        scaled = abs(value.numerator) * 10**digits // value.denominator
        text = str(scaled).rjust(digits + 1, "0")
        return f"{'-' if value < 0 else ''}{text[:-digits]}.{text[-digits:]}"
    return f"(/ {value.numerator} {value.denominator})"
