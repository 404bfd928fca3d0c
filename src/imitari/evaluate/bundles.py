"""Blind trials: a bundle for each start, in it every policy once in random order, rated without knowing which it is.

What an operator sees are numbered runs. Ratings (success, and yes or no to each question of a rubric of milestones) are
joined with the policies only when all are there. Source: LBM (arXiv 2507.05331), experiment protocol.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imitari.core.errors import UserError

YES, NO = ("yes", "y", "true", "1"), ("no", "n", "false", "0")
STREAM = 0xB11D  # keeps the order apart from what else a seed decides


@dataclass(frozen=True)
class Trial:
    """One run. `run` and `bundle` count from 1; `policy` is a number from 0, which the operator does not see."""

    run: int
    bundle: int
    start: int
    policy: int


@dataclass(frozen=True)
class Rating:
    """What somebody says of a run. `answers`: to the questions, in their order."""

    run: int
    success: bool
    answers: tuple[bool, ...]

    @property
    def completion(self) -> float:
        """Share of the questions answered with yes; of no questions, success."""
        return sum(self.answers) / len(self.answers) if self.answers else float(self.success)


def drawn(policies: int, starts: Sequence[int], seed: int) -> list[Trial]:
    """All runs in the order in which they are carried out: bundle by bundle, the policies of each in random order."""
    if policies < 2:
        raise UserError("a blind trial needs at least 2 policies")
    if len(set(starts)) != len(starts) or not starts:
        raise UserError("a blind trial needs at least one start, and each of them once")
    rng = np.random.default_rng([seed, STREAM])
    trials: list[Trial] = []
    for bundle, start in enumerate(starts, 1):
        for policy in rng.permutation(policies).tolist():
            trials.append(Trial(len(trials) + 1, bundle, start, policy))
    return trials


def columns(questions: Sequence[str]) -> list[str]:
    """Of a file of ratings."""
    return ["run", "success", *(f"q{number}" for number in range(1, len(questions) + 1))]


def read_ratings(path: Path, questions: Sequence[str], runs: int) -> dict[int, Rating]:
    """Run -> rating, from a CSV file with a row a run.

    Raises:
        UserError: naming the line and the column, for what cannot be read, runs that there are not, or rated twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is not a readable CSV file ({error}): save the ratings again") from error
    wanted = columns(questions)
    found: dict[int, Rating] = {}
    for line, row in enumerate(rows, 2):
        lacking = next((name for name in wanted if row.get(name) is None), None)
        if lacking:
            raise UserError(f"{path}: column '{lacking}' is missing in line {line}: the columns are {','.join(wanted)}")
        text = row["run"].strip()
        if not text.isdecimal() or not 1 <= int(text) <= runs:
            raise UserError(f"{path}: line {line}: run '{text}' is none of the runs 1 to {runs}: correct it")
        if int(text) in found:
            raise UserError(f"{path}: line {line}: run {text} is rated twice: keep one")
        success, *answers = (_answer(row[name], path, line, name) for name in wanted[1:])
        found[int(text)] = Rating(int(text), success, tuple(answers))
    return found


def _answer(text: str, path: Path, line: int, column: str) -> bool:
    said = text.strip().lower()
    if said not in YES + NO:
        raise UserError(f"{path}: line {line}, column '{column}': '{text}' is neither yes nor no: correct it")
    return said in YES


def refuse_incomplete(path: Path, ratings: dict[int, Rating], runs: int) -> None:
    """Raises UserError where runs are not rated: their number was fixed beforehand, and whoever looks before the end
    and then goes on or stops chooses the result."""
    missing = [run for run in range(1, runs + 1) if run not in ratings]
    if missing:
        raise UserError(
            f"{path}: run {missing[0]} is not rated ({len(missing)} of {runs} are not): rate all before joining"
        )


def by_policy(trials: Sequence[Trial], values: dict[int, float], policies: int) -> list[NDArray[np.float64]]:
    """Values of the runs, (starts,) for each policy, in the order of the bundles."""
    return [np.array([values[trial.run] for trial in trials if trial.policy == number]) for number in range(policies)]


@dataclass(frozen=True)
class Agreement:
    """How two raters differ on the runs that both rated: share of other verdicts on success, and on questions."""

    runs: int
    success: float
    questions: float


def agreement(one: dict[int, Rating], other: dict[int, Rating]) -> Agreement:
    """Raises UserError when they rated no run in common."""
    shared = sorted(one.keys() & other.keys())
    if not shared:
        raise UserError("the two raters rated no run in common: give ratings of the same runs")
    success = np.mean([one[run].success != other[run].success for run in shared])
    answers = [a != b for run in shared for a, b in zip(one[run].answers, other[run].answers, strict=True)]
    return Agreement(len(shared), float(success), float(np.mean(answers)) if answers else 0.0)
