"""Learning the actions of a numeric domain from observed steps, so that every plan of the result is a plan in truth.

Boolean part: safe action model learning (SAM: Juba, Le & Stern 2021); numeric part: hulls of the observed values as
preconditions, exact linear regression as effects (NSAM: Mordoch, Juba & Stern 2023). Safe where the true conditions are
conjunctions of literals and linear comparisons, the true effects add, delete and assign linearly, both speak of the
action's own parameters and of constants alone, and no parameter stands for the same object as another.

Differs from the released code: arithmetic is exact (`plan.spans`), so that constant columns, columns that depend on
others and points in a lower-dimensional space are one case, nothing is rounded and no bound need be relaxed; and
bindings that hold a constant of the domain are learned as actions of their own, because there a fact of the parameter
and a fact of the constant are one, and what changed cannot be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from imitari.core.episode import Array
from imitari.plan.grounding import Vocabulary
from imitari.plan.model import OBJECT, Action, Condition, Domain, Fact, Signature, Step
from imitari.plan.numeric_models import NumericModel, numeric_model
from imitari.plan.pddl import domain_text, read_domain, read_plan
from imitari.plan.traces import Transitions

# Words that an action may speak of: action -> names of functions; of actions not named, all.
Relevant = Mapping[str, Sequence[str]]
Negative = Literal["all", "soft", "none"]


@dataclass(frozen=True)
class Report:
    """What was learned about one action, for one pattern of constants among its objects.

    Attributes:
        action: name in the learned domain.
        observed: steps that it was learned from.
        literals, inequalities, equations: in its condition.
        perfect: whether the effects are the only linear ones that fit; else they hold where the equations do.
        unsafe: why it was left out; "" where it is in the domain.
    """

    action: str
    observed: int
    literals: int = 0
    inequalities: int = 0
    equations: int = 0
    perfect: bool = False
    unsafe: str = ""


@dataclass(frozen=True)
class LearnedModel:
    """A learned domain.

    Attributes:
        domain: its actions are variants of the true ones.
        origin: action of the learned domain -> the true step, with parameters of the learned action.
        reports: one a variant.
    """

    domain: Domain
    origin: dict[str, Step]
    reports: tuple[Report, ...]

    def true_step(self, step: Step) -> Step:
        """A step of the learned domain in the words of the true one."""
        names = (name for name, _ in self.domain.action(step.action).parameters)
        binding = dict(zip(names, step.objects, strict=True))
        origin = self.origin[step.action]
        return Step(origin.action, tuple(binding.get(term, term) for term in origin.objects))

    def to_json(self) -> dict[str, Any]:
        """PDDL, a line each, and what belongs to it."""
        return {
            "domain": domain_text(self.domain).splitlines(),
            "origin": {name: str(step) for name, step in self.origin.items()},
            "reports": [asdict(report) for report in self.reports],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> LearnedModel:
        origin = {str(name): read_plan(text)[0] for name, text in data["origin"].items()}
        reports = tuple(Report(**one) for one in data["reports"])
        return LearnedModel(read_domain("\n".join(data["domain"]), "field 'domain'"), origin, reports)


class ActionModelLearner:
    """Learns step by step: what was observed is kept, and only what it changes is computed anew.

    Args:
        domain: words, types, and the actions' names and parameters; their conditions and effects are not looked at.
        relevant: functions that an action's condition and effects read (a changed function may read itself too); an
            assumption, which makes it learn from fewer steps.
        negative: which literals "not ..." are kept as conditions: all; those of facts that the action adds (soft);
            none. All but the first assume that there are no others.
    """

    def __init__(self, domain: Domain, relevant: Relevant | None = None, negative: Negative = "all") -> None:
        self.domain, self.relevant = domain, dict(relevant or {})
        self.negative: Negative = negative
        self.variants: dict[tuple[str, tuple[str, ...]], _Variant] = {}

    def observe(self, transitions: Transitions) -> None:
        """Takes in observed steps. Those that changed nothing, or that name an object twice, say nothing."""
        before, after = transitions.before, transitions.after
        changed = (before.facts != after.facts).any(1) | (before.values != after.values).any(1)
        groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        for row in np.flatnonzero(changed):
            step = transitions.steps[row]
            if len(set(step.objects)) == len(step.objects):
                constants = tuple(name if name in self.domain.constants else "" for name in step.objects)
                groups.setdefault((step.action, constants), []).append(int(row))
        for (name, constants), rows in groups.items():
            key = name, constants
            if key not in self.variants:
                self.variants[key] = _Variant(self.domain, self.domain.action(name), constants, self.relevant.get(name))
            self.variants[key].observe(transitions.pick(np.array(rows)))

    def model(self) -> LearnedModel:
        """What is known now. Actions that were never seen are not in it, nor those that no linear effect explains."""
        actions: list[Action] = []
        reports: list[Report] = []
        origin: dict[str, Step] = {}
        for key in sorted(self.variants):
            variant = self.variants[key]
            action, report = variant.learned(self.negative)
            reports.append(report)
            origin[action.name] = variant.origin
            if not report.unsafe:
                actions.append(action)
        return LearnedModel(self.domain.with_actions(actions), origin, tuple(reports))


class _Variant:
    """One action with constants in some of its places: what was seen of it."""

    def __init__(
        self, domain: Domain, action: Action, constants: tuple[str, ...], relevant: Sequence[str] | None
    ) -> None:
        terms = [constant or name for (name, _), constant in zip(action.parameters, constants, strict=True)]
        self.name = "-".join((action.name, "with", *(constant or "any" for constant in constants)))
        self.name = self.name if any(constants) else action.name
        self.origin = Step(action.name, tuple(terms))
        self.parameters = tuple(one for one, constant in zip(action.parameters, constants, strict=True) if not constant)
        self.distinct = _distinct(domain, self.parameters)
        kinds = {**domain.constants, **dict(self.parameters)}
        self.facts = _lifted(domain, domain.predicates, kinds)
        self.functions = _lifted(domain, domain.functions, kinds)
        self.reads = [relevant is None or function.name in relevant for function in self.functions]
        self.free = [place for place, constant in enumerate(constants) if not constant]
        self.observed = 0
        width = len(self.facts)
        self.always, self.never = np.ones(width, bool), np.ones(width, bool)  # true (false) before every step
        self.added, self.deleted = np.zeros(width, bool), np.zeros(width, bool)
        self.rows = np.zeros((0, 2 * len(self.functions)))  # values before and after, every pair once
        self.numeric: NumericModel | None = None

    def observe(self, steps: Transitions) -> None:
        """All of this action and these constants."""
        vocabulary = steps.vocabulary
        objects = [[vocabulary.number[step.objects[place]] for place in self.free] for step in steps.steps]
        bindings = np.array(objects, np.int64).reshape(len(steps), len(self.free))
        before = self._seen(self.facts, vocabulary, steps.before.facts, bindings)
        after = self._seen(self.facts, vocabulary, steps.after.facts, bindings)
        self.observed += len(steps)
        self.always &= before.all(0)
        self.never &= ~before.any(0)
        self.added |= (after & ~before).any(0)
        self.deleted |= (before & ~after).any(0)
        values = [
            self._seen(self.functions, vocabulary, state.values, bindings, numeric=True)
            for state in (steps.before, steps.after)
        ]
        fresh = np.concatenate(values, 1)
        known = len(self.rows)
        self.rows = np.unique(np.concatenate([self.rows, np.round(fresh, 4) + 0.0]), axis=0)
        if len(self.rows) > known and self.numeric is not None and not self.numeric.explains(self.rows):
            self.numeric = None

    def _seen(
        self, facts: list[Fact], vocabulary: Vocabulary, states: Array, bindings: Array, *, numeric: bool = False
    ) -> Array:
        """(M, L) the facts or functions of the parameters, in every observed state."""
        positions = {name: place for place, (name, _) in enumerate(self.parameters)}
        columns = [vocabulary.column(fact, numeric=numeric, positions=positions)(bindings) for fact in facts]
        index = np.stack(columns, 1) if columns else np.zeros((len(bindings), 0), np.int64)
        return np.take_along_axis(states, index, 1)

    def learned(self, negative: Negative) -> tuple[Action, Report]:
        """The action, and what to say about it."""
        if self.numeric is None:
            self.numeric = numeric_model(self.functions, self.reads, self.rows)
        numeric = self.numeric
        kept = self.never & (self.added if negative == "soft" else negative == "all")
        literals = [(fact, True) for fact, true in zip(self.facts, self.always, strict=True) if true]
        literals += [(fact, False) for fact, false in zip(self.facts, kept, strict=True) if false]
        contradiction = next((str(fact) for fact in _both(self.facts, self.added, self.deleted)), "")
        action = Action(
            self.name,
            self.parameters,
            Condition(tuple(literals), numeric.comparisons, self.distinct),
            tuple(fact for fact, one in zip(self.facts, self.added, strict=True) if one),
            tuple(fact for fact, one in zip(self.facts, self.deleted, strict=True) if one),
            numeric.changes,
        )
        unsafe = numeric.unsafe or (f"{contradiction} is added and deleted" if contradiction else "")
        equations = sum(one.relation == "=" for one in numeric.comparisons)
        report = Report(
            self.name,
            self.observed,
            len(literals),
            len(numeric.comparisons) - equations,
            equations,
            numeric.perfect,
            unsafe,
        )
        return action, report


def _both(facts: Sequence[Fact], added: Array, deleted: Array) -> list[Fact]:
    """Facts that some steps added and others deleted: no conjunctive action does."""
    return [fact for fact, both in zip(facts, added & deleted, strict=True) if both]


def _distinct(domain: Domain, parameters: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Pairs of terms that could be the same object by type, and were not."""
    pairs: list[tuple[str, str]] = []
    for place, (name, kind) in enumerate(parameters):
        others = [*parameters[place + 1 :], *domain.constants.items()]
        pairs += [(name, other) for other, above in others if domain.is_a(kind, above) or domain.is_a(above, kind)]
    return tuple(pairs)


def _lifted(domain: Domain, signatures: Sequence[Signature], kinds: Mapping[str, str]) -> list[Fact]:
    """Every fact over these terms (term -> type) that is right by type."""
    found: list[Fact] = []
    for signature in signatures:
        terms: list[tuple[str, ...]] = [()]
        for kind in signature.types:
            fitting = [term for term, own in kinds.items() if kind == OBJECT or domain.is_a(own, kind)]
            terms = [(*begun, term) for begun in terms for term in fitting]
        found += [Fact(signature.name, row) for row in terms]
    return found
