"""Scoring a data set: by measures without learning, or by what a trained model says of every step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.spec import CIRCUMSTANCES
from imitari.data.curate.scores import Scores, grouped


def score(demos: Demos, model: Path | None = None, neighbours: int = 10, by: str | None = None) -> Scores:
    """What is said of every step and episode.

    Args:
        demos: to be scored.
        model: folder of a trained agent whose method scores data; None: measures without learning.
        neighbours: steps that one is compared with, for measures without learning.
        by: key of the episodes' source; adds one number for each of its values to `Scores.groups`.

    Raises:
        UserError: when the model's method has nothing to say, does not fit the data, or no episode has that key.
    """
    if model is None:
        from imitari.data.curate.quality import Measure, measured

        return replace(measured(demos, Measure(neighbours), by), fingerprint=demos.fingerprint())
    from imitari.learn.agent import Agent

    agent = Agent.load(model)
    scores = agent.method.scored(agent, demos)
    groups = {} if by is None else {name: _means(scores, which) for name, which in grouped(demos, by).items()}
    return replace(scores, groups=groups, fingerprint=demos.fingerprint())


def _means(scores: Scores, which: Array) -> dict[str, float]:
    told = {name: values[which] for name, values in scores.episodes.items()}
    return {name: float(np.nanmean(values)) for name, values in told.items() if not np.isnan(values).all()}


def worth(scores: Scores) -> list[int]:
    """Episodes from the best to the worst by the first score that says which end is good; as numbered, without one."""
    for name, end in scores.better.items():
        if name in scores.episodes:
            values = scores.episodes[name]
            return np.argsort(np.where(np.isnan(values), np.inf, values if end == "low" else -values)).tolist()
    return list(range(len(next(iter(scores.episodes.values()), ()))))


def kept(
    demos: Demos, scores: Path | None = None, model: Path | None = None, idle: float | None = None, lasting: int = 3
) -> tuple[Array, str]:
    """(N,) bool of the steps to keep, and why the others go: exactly one of the three says so.

    Raises:
        UserError: when the scores do not say what to keep.
    """
    if idle is not None:
        from imitari.data.curate.idle import idle as idle_steps

        seen = [key for key in demos.spec.numbers if key not in CIRCUMSTANCES]
        if not seen:
            raise UserError(f"{demos.provenance.path}: no observation is a number: idle steps cannot be told")
        return ~idle_steps(demos, seen, idle, lasting), f"idle for {lasting} steps or more"
    found = Scores.load(scores).of(demos, scores) if scores is not None else score(demos, model)
    if found.keep is None:
        who = found.about.get("who", "whoever scored")
        raise UserError(f"{who} does not say which steps to keep: choose episodes with `imitari data filter --scores`")
    return found.keep, f"left out by {found.about.get('who', scores)}"


def data_report(
    demos: Demos,
    out: Path,
    scores: Path | None = None,
    study: Path | None = None,
    by: str | None = None,
    best: float = 0.5,
    title: str = "",
    place: Path | None = None,
) -> None:
    """Writes the page about a data set: what the doctor finds, its scores, and what more of it would be worth.

    Args:
        demos: the data.
        out: the page.
        scores: written by `imitari data score`; None: measures without learning are made, where there are numbers.
        study: folder of `imitari scale`.
        by: key of the episodes' source, see `score`.
        best: share of the episodes that counts as the best.
        title: headline.
        place: where the data set lies, for missing videos.
    """
    from imitari.data.doctor import examine
    from imitari.evaluate.data_page import DataPage, write_page
    from imitari.jobs.folder import read_json
    from imitari.jobs.scaling import SCALE

    if study is not None and not (study / SCALE).exists():
        raise UserError(f"{study / SCALE}: is missing: give the folder of a finished `imitari scale`")
    told = Scores.load(scores).of(demos, scores) if scores else score(demos, by=by) if demos.spec.numbers else None
    found = None if study is None else read_json(study / SCALE)
    name = title or f"Data set {demos.provenance.path}"
    write_page(DataPage(name, demos, examine(demos, folder=place), told, best, found), out)
