"""Blind trials in a folder: a plan that anyone may see, a sealed key, runs played in order, ratings joined at the end.

plan.json: task, questions, and the runs with their starts. sealed/: which policy a run is of, and how it ended.
films/ and rate.html: what raters see.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.errors import Missing, UserError
from imitari.core.files import replace_text, replacing
from imitari.core.outcome import Outcome
from imitari.core.task import Task
from imitari.evaluate._films import SIDE, film_of, strip_of
from imitari.evaluate.bundles import Agreement, Trial, agreement, by_policy, drawn, read_ratings, refuse_incomplete
from imitari.evaluate.many import Ranking, rank, rank_completion
from imitari.evaluate.outcomes import read_outcomes, write_outcomes
from imitari.evaluate.posterior import shares
from imitari.evaluate.rating_page import rating_page
from imitari.evaluate.rollout import rollout
from imitari.jobs.evaluation import refuse_overlap
from imitari.jobs.folder import read_json, write_json
from imitari.jobs.report import labels_of
from imitari.jobs.surroundings import task_of
from imitari.learn.agent import Agent

PLAN, KEY, OUTCOMES = Path("plan.json"), Path("sealed/key.json"), Path("sealed/outcomes.parquet")
TOGETHER = 20  # bundles that are played together


@dataclass(frozen=True)
class Study:
    """A folder of blind trials.

    Attributes:
        task: name.
        questions: of the rubric.
        trials: in the order in which they are carried out.
        policies: folders of the runs; names, where somebody else carries them out.
        by_hand: whether somebody else does.
    """

    folder: Path
    task: str
    questions: tuple[str, ...]
    trials: tuple[Trial, ...]
    policies: tuple[str, ...]
    by_hand: bool

    @staticmethod
    def load(folder: Path) -> Study:
        for part in (PLAN, KEY):
            if not (folder / part).exists():
                raise UserError(f"{folder / part}: is missing: give the folder that `imitari bundle make --out` wrote")
        plan, key = read_json(folder / PLAN), read_json(folder / KEY)
        trials = [
            Trial(entry["run"], entry["bundle"], entry["start"], policy)
            for entry, policy in zip(plan["trials"], key["order"], strict=True)
        ]
        return Study(
            folder, plan["task"], tuple(plan["questions"]), tuple(trials), tuple(key["policies"]), key["by_hand"]
        )

    def names(self) -> list[str]:
        return list(self.policies) if self.by_hand else labels_of([Path(policy) for policy in self.policies])

    def played(self) -> dict[int, Outcome]:
        """Run -> how it ended, of those that were played."""
        path = self.folder / OUTCOMES
        rows = {(row.policy, row.start): row for row in read_outcomes(path)} if path.exists() else {}
        found = {trial.run: rows.get((str(trial.policy), trial.start)) for trial in self.trials}
        return {run: row for run, row in found.items() if row is not None}


def make_study(
    policies: Sequence[str],
    task: str,
    starts: Sequence[int],
    out: Path,
    *,
    questions: Sequence[str] = (),
    seed: int = 0,
    by_hand: bool = False,
) -> Study:
    """Draws the plan and writes it with its key.

    Raises:
        UserError: when there is a study in the folder already, or a policy is named twice or is no run.
    """
    if (out / PLAN).exists():
        raise UserError(f"{out}: holds a plan already: a plan is drawn once; choose another --out")
    if len(set(policies)) != len(policies):
        raise UserError("a policy is named twice: name each once")
    if not by_hand:
        for policy in policies:
            if not (Path(policy) / "agent.json").exists():
                raise UserError(
                    f"{policy}: holds no trained agent: give folders that `imitari train --out` wrote, or --by-hand"
                )
    trials = drawn(len(policies), starts, seed)
    shown = [{"run": trial.run, "bundle": trial.bundle, "start": trial.start} for trial in trials]
    order = [trial.policy for trial in trials]
    kept = list(policies) if by_hand else [str(Path(policy).resolve()) for policy in policies]
    (out / KEY).parent.mkdir(parents=True, exist_ok=True)
    write_json(out / KEY, {"policies": kept, "order": order, "by_hand": by_hand, "seed": seed})
    write_json(out / PLAN, {"task": task, "questions": list(questions), "trials": shown})
    study = Study.load(out)
    write_page(study)
    return study


def play(study: Study, bundles: int | None = None, show: bool = True) -> int:
    """Plays the next bundles in simulation (None: all that are left); returns the number of runs that are left.

    What was played is kept at once, so that the same call goes on where it was cut off.
    """
    if study.by_hand:
        raise UserError(f"{study.folder}: its runs are carried out by hand: rate them, and `imitari bundle join`")
    done = study.played()
    todo = [trial for trial in study.trials if trial.run not in done]
    wanted = sorted({trial.bundle for trial in todo})[:bundles]
    agents = [Agent.load(Path(policy)) for policy in study.policies]
    for first in range(0, len(wanted), TOGETHER):
        group = set(wanted[first : first + TOGETHER])
        for number, agent in enumerate(agents):
            runs = [trial for trial in todo if trial.bundle in group and trial.policy == number]
            if runs:
                _carry_out(study, agent, runs, show)
    write_page(study)
    return len(study.trials) - len(study.played())


def _carry_out(study: Study, agent: Agent, runs: Sequence[Trial], show: bool) -> None:
    task = _seen(agent, study.task)
    agent = agent.method.moved(agent, task)
    agent.check(task.spec, f"task '{task.name}'")
    starts = [trial.start for trial in runs]
    refuse_overlap(agent, task, starts)
    cameras = list(task.spec.images)
    episodes = rollout(agent, task, starts, record=bool(cameras), show=show)
    path = study.folder / OUTCOMES
    rows = read_outcomes(path) if path.exists() else []
    for trial, episode in zip(runs, episodes, strict=True):
        if cameras:
            film = film_of(episode, cameras[0])
            name = study.folder / "films" / f"run-{trial.run:04d}-{len(film.frames)}.jpg"
            with replacing(name) as partial:
                partial.write_bytes(strip_of(film))
        rows.append(Outcome.of(episode, str(trial.policy), study.task))
    write_outcomes(path, rows)


def _seen(agent: Agent, name: str) -> Task:
    """The task with a camera for the raters, where it has one."""
    try:
        return task_of(agent, name, pixels=SIDE)
    except (UserError, Missing):
        return task_of(agent, name)


def write_page(study: Study) -> None:
    """rate.html: every run, with its film where there is one."""
    films: dict[int, tuple[str, int]] = {}
    for path in sorted((study.folder / "films").glob("run-*-*.jpg")):
        _, run, count = path.stem.split("-")
        films[int(run)] = (f"films/{path.name}", int(count))
    page = rating_page(study.folder.resolve().name, study.questions, films, len(study.trials))
    replace_text(study.folder / "rate.html", page)


@dataclass(frozen=True)
class Joined:
    """What comes out when names are put to the runs. `judged`: by the task itself, where it was played."""

    success: Ranking | None
    completion: Ranking | None
    judged: Ranking | None
    raters: Agreement | None

    def lines(self) -> list[str]:
        """For people."""
        out: list[str] = []
        parts = {"as rated": self.success, "task completion, as rated": self.completion}
        for heading, ranking in {**parts, "as the task judges": self.judged}.items():
            if ranking is not None:
                out += [f"{heading}:", *ranking.lines()]
        if self.raters:
            out.append(
                f"two raters, {self.raters.runs} runs: they differ on success in {self.raters.success:.1%}, on "
                f"questions in {self.raters.questions:.1%}"
            )
        return out

    def to_json(self) -> dict[str, Any]:
        parts = {"success": self.success, "completion": self.completion, "judged": self.judged}
        found = {name: None if part is None else part.to_json() for name, part in parts.items()}
        return {**found, "raters": vars(self.raters) if self.raters else None}


def join(study: Study, ratings: Sequence[Path] = ()) -> Joined:
    """Puts names to the runs and compares the policies, all pairs at one error rate.

    Args:
        ratings: of the one who counts, who must have rated every run, and of a second one, who may have rated some.

    Raises:
        UserError: when something is not finished yet.
    """
    count, names, played = len(study.trials), study.names(), study.played()
    success = completion = judged = raters = None
    if ratings:
        said = [read_ratings(path, study.questions, count) for path in ratings]
        refuse_incomplete(ratings[0], said[0], count)
        success = rank(_as_rated(study, {run: one.success for run, one in said[0].items()}), names)
        if study.questions:
            done = by_policy(study.trials, {run: one.completion for run, one in said[0].items()}, len(names))
            values = shares(len(study.questions))
            completion = rank_completion(done, names, values, study.task, success.starts, success.successes)
        raters = agreement(said[0], said[1]) if len(said) > 1 else None
    if len(played) == count:
        judged = rank(_as_rated(study, {run: row.success for run, row in played.items()}), names)
    elif not ratings:
        raise UserError(
            f"{study.folder}: {count - len(played)} of {count} runs are not played: `imitari bundle play` goes on, or "
            "give --ratings"
        )
    return Joined(success, completion, judged, raters)


def _as_rated(study: Study, success: dict[int, bool]) -> list[list[Outcome]]:
    groups: list[list[Outcome]] = [[] for _ in study.policies]
    for trial in study.trials:
        told = success[trial.run]
        outcome = Outcome(str(trial.policy), study.task, trial.start, -1, told, np.nan, float(told), 0, "truncated")
        groups[trial.policy].append(outcome)
    return groups


def plan_lines(study: Study) -> list[str]:
    """What the operator reads."""
    return [f"bundle {trial.bundle}, start {trial.start}: run {trial.run}" for trial in study.trials]


def ratings_template(study: Study) -> str:
    """A CSV file to be filled in, with a row a run."""
    from imitari.evaluate.bundles import columns

    names = columns(study.questions)
    rows = [",".join([str(trial.run), *[""] * (len(names) - 1)]) for trial in study.trials]
    return "\n".join([",".join(names), *rows, ""])


def facts(joined: Joined) -> str:
    """As JSON text."""
    return json.dumps(joined.to_json(), indent=1)
