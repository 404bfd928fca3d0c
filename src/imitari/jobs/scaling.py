"""What more data is worth: a method trained on growing parts of a data set, and the law that its errors follow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.outcome import Outcome
from imitari.core.spec import as_tuple
from imitari.core.starts import evaluation_starts
from imitari.data.curate.scores import grouped
from imitari.evaluate.outcomes import by_seed, read_outcomes, write_outcomes
from imitari.evaluate.power_law import PowerLaw, fit
from imitari.evaluate.recorded import action_error
from imitari.jobs import circumstances
from imitari.jobs.engine import engine_named, only_one
from imitari.jobs.evaluation import OUTCOMES, evaluate
from imitari.jobs.folder import DONE, JOB, finished, lay_out, read_json, write_json
from imitari.jobs.training import TrainRequest, open_data, train

Metric = Literal["success", "total", "best", "error"]
SCALE = "scale.json"
DEMOS = "demos"  # the axis along which single demonstrations are added


@dataclass(frozen=True)
class ScaleRequest:
    """The flags of `imitari scale`.

    Attributes:
        train: of every amount; its seed and its number of episodes are set here.
        sizes: amounts, ascending.
        axis: "demos", or the key of the episodes' source whose values are the items that are added (environment,
            object, operator, ...).
        each: demonstrations of every item, None: all that there are.
        seeds: of trainings, and of which data are added first.
        episodes: starts to evaluate on.
        metric: what is measured; "error": of the actions in demonstrations that are held out, without a world.
        perfect: the total or best reward with which nothing is missing.
        held: share of the episodes (of the items) that is held out, with "error".
        more: asks what so much more is worth.
        engine, together, show: as of claims.
    """

    train: TrainRequest
    sizes: tuple[int, ...]
    axis: str = DEMOS
    each: int | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    episodes: int = 100
    metric: Metric = "success"
    perfect: float = 1.0
    held: float = 0.2
    more: int = 20
    engine: str = "local"
    together: int = 2
    show: bool = True


def run_scale(request: ScaleRequest, out: Path) -> dict[str, Any]:
    """Runs (or resumes) the study in `out` and returns what it found, as written to scale.json."""
    _check(request)
    with only_one(out):
        folders = {(size, seed): out / f"{request.axis}-{size}" / f"seed-{seed}" for seed, size in _grid(request)}
        for (size, seed), folder in folders.items():
            lay_out(folder, _job(request, size, seed))
        engine_named(request.engine)(list(folders.values()), request.together, request.show)
        tables = {
            size: [read_outcomes(folders[size, seed] / OUTCOMES) for seed in request.seeds] for size in request.sizes
        }
        found = _composed(request, tables, [read_json(folder / DONE) for folder in folders.values()])
        write_json(out / SCALE, found)
    return found


def _grid(request: ScaleRequest) -> list[tuple[int, int]]:
    """(seed, size): seed by seed, so that an early look sees whole curves."""
    return [(seed, size) for seed in request.seeds for size in request.sizes]


def _check(request: ScaleRequest) -> None:
    sizes = request.sizes
    if len(sizes) < 3 or list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
        raise UserError(f"--sizes is {sizes}: it takes at least 3 different amounts, ascending (--sizes 10,25,50)")
    if len(set(request.seeds)) < 2:
        raise UserError("--seeds names fewer than two seeds: an interval needs at least two (--seeds 0:3)")
    if request.metric != "error" and request.train.task is None:
        raise UserError(
            "without --task nothing can be rolled out: give one, or measure held-out actions: --metric error"
        )
    if request.metric in ("total", "best") and request.perfect <= 0:
        raise UserError(f"--perfect is {request.perfect:g}: the {request.metric} reward with which nothing is missing")
    if not 0 < request.held < 1:
        raise UserError(f"--held is {request.held:g}: it must be above 0 and below 1")


def _job(request: ScaleRequest, size: int, seed: int) -> dict[str, Any]:
    train = replace(request.train, seed=seed, episodes=None)
    starts = evaluation_starts(request.episodes)
    return {
        "kind": "amount", "train": dataclasses.asdict(train), "axis": request.axis, "size": size,
        "each": request.each, "starts": [starts[0], len(starts)], "metric": request.metric, "held": request.held,
    }  # fmt: skip


# ---------------------------------------------------------------- one amount


def carry_out(folder: Path, show: bool = True) -> None:
    """Trains on one amount of the data and measures; nothing when that is done already."""
    if finished(folder):
        return
    job = read_json(folder / JOB)
    request = TrainRequest(**{key: as_tuple(value) for key, value in job["train"].items()})
    request = replace(request, show=show)
    whole = open_data(request)
    part, held = parts(whole, job["axis"], job["held"]) if job["metric"] == "error" else (whole, None)
    part = subset(part, job["axis"], job["size"], job["each"], request.seed)
    agent = train(request, folder, part)
    if held is not None:
        errors = action_error(agent, _seen(held, agent.spec.obs))
        rows = [
            Outcome(agent.identity(), "", number, request.seed, False, float(error), float(error), 0, "truncated")
            for number, error in enumerate(errors)
        ]
        write_outcomes(folder / OUTCOMES, rows)
    else:
        from imitari.jobs.surroundings import task_of

        starts = range(job["starts"][0], job["starts"][0] + job["starts"][1])
        evaluate(agent, task_of(agent, str(request.task)), starts, folder / OUTCOMES, show=show)
    facts = {"episodes": len(part), "steps": part.steps, "agent": agent.identity()}
    write_json(folder / DONE, {**facts, "machine": circumstances.machine(), "commit": circumstances.commit()})


def _seen(demos: Demos, keys: Any) -> Demos:
    return demos.select(list(keys))


def subset(demos: Demos, axis: str, size: int, each: int | None, seed: int) -> Demos:
    """An amount of the data. What is in a smaller amount of the same seed is in a larger one too.

    Args:
        demos: all.
        axis: "demos" or a key of the episodes' source.
        size: demonstrations, or items.
        each: demonstrations of every item; None: all.
        seed: of the order in which they are added.

    Raises:
        UserError: where there are not so many.
    """
    if axis == DEMOS:
        order = np.random.default_rng([seed, 0xDE]).permutation(len(demos))
        return demos.keep(np.sort(_first(order, size, demos, "episodes")), f"{size} demonstrations")
    groups = grouped(demos, axis)
    names = [list(groups)[number] for number in np.random.default_rng([seed, 0xDE]).permutation(len(groups))]
    chosen = [
        _of_item(groups[name], each, np.random.default_rng([seed, 0xDF, number]), f"{axis} '{name}'")
        for number, name in enumerate(_first(np.array(names, object), size, demos, f"kinds of '{axis}'"))
    ]
    return demos.keep(np.sort(np.concatenate(chosen)), f"{size} of {len(groups)} kinds of '{axis}'")


def _first(order: Array, count: int, demos: Demos, what: str) -> Array:
    if count > len(order):
        raise UserError(f"{demos.provenance.path}: has {len(order)} {what}, fewer than {count}: choose smaller --sizes")
    return order[:count]


def _of_item(numbers: Array, each: int | None, rng: np.random.Generator, name: str) -> Array:
    if each is None:
        return numbers
    if each > len(numbers):
        raise UserError(f"{name} has {len(numbers)} demonstrations, fewer than --each {each}: choose a smaller number")
    return rng.permutation(numbers)[:each]


def parts(demos: Demos, axis: str, share: float) -> tuple[Demos, Demos]:
    """(to learn from, held out): whole episodes, or with another axis than "demos" whole items; the same for all."""
    rng = np.random.default_rng(0x4E1D)
    items = (
        [np.array([number]) for number in range(len(demos))] if axis == DEMOS else list(grouped(demos, axis).values())
    )
    count = max(1, round(share * len(items)))
    if count >= len(items):
        raise UserError(
            f"{demos.provenance.path}: holding out {count} of {len(items)} leaves none: use a smaller --held"
        )
    order = rng.permutation(len(items))
    out = np.unique(np.concatenate([items[number] for number in order[:count]]))
    left = np.setdiff1d(np.arange(len(demos)), out)
    return demos.keep(left, "to learn from"), demos.keep(out, "held out")


# ---------------------------------------------------------------- what came out


def law_of(tables: Sequence[Sequence[Sequence[Outcome]]], sizes: Sequence[int], request: ScaleRequest) -> PowerLaw:
    """The law through the gaps of the outcomes [size][seed]."""
    field = "total" if request.metric == "error" else request.metric
    seen = [by_seed([row for rows in seeds for row in rows], field) for seeds in tables]
    if request.metric == "error":
        return fit(sizes, seen, request.more, least=1e-9)
    return fit(sizes, [np.maximum(0.0, 1 - table / request.perfect) for table in seen], request.more)


def _composed(
    request: ScaleRequest, tables: dict[int, list[list[Outcome]]], done: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    law = law_of(list(tables.values()), request.sizes, request)
    unit = "demonstrations" if request.axis == DEMOS else f"kinds of '{request.axis}'"
    field = "total" if request.metric == "error" else request.metric
    return {
        "sentence": law.sentence(unit, points=request.metric == "success"),
        "axis": request.axis, "metric": request.metric, "perfect": request.perfect, "each": request.each,
        "method": request.train.method, "task": request.train.task, "data": list(request.train.data),
        "seeds": list(request.seeds), **law.to_json(),
        "scores": {
            str(size): [float(np.mean([getattr(row, field) for row in rows])) for rows in seeds]
            for size, seeds in tables.items()
        },
        "machine": done[0]["machine"], "commits": sorted({facts["commit"] for facts in done}),
    }  # fmt: skip
