"""Time from demonstrations to success: ours and each peer's best fitting recipe on the same task.

Protocol
- The clock starts with the process, with the demonstrations on disk in the form that the side reads natively (a zarr
  buffer or a LeRobot v3 folder for ours, a v3 folder for LeRobot, HDF5 for robomimic, arrays for imitation and
  d3rlpy; writing that form is not counted, nor is bringing its numbers to unit deviation for the last three), and runs
  through imports, reading and training. Evaluation is not counted. `ours` and `theirs` are processor seconds of the
  one training process, because a shared machine stretches the clock and not them; both clocks are among the facts.
- A policy is judged in our world by the same loop, whoever trained it: it is frozen, stays in its process, and acts
  through a pipe. Push-T: the mean over episodes of the largest reward, where gym-pusht's reward of a step is the
  covered share of the mark divided by 0.95, at most 1; 300 steps. Meta-World: the share of episodes that the suite
  counts as solved.
- A threshold is reached at the first evaluation on 50 starts at or above it that a second one of the same weights, on
  100 fresh starts, confirms. No start is used twice by one training.
- Peers are evaluated at fixed marks of processor time, so that they may stop in the middle of a schedule. Ours is
  evaluated at the end of its schedule only: one recipe a threshold, the shortest that reached it on other seeds.
- A peer has CAP times our time for a threshold, and at least LEAST seconds, or until the end of its recipe; a training
  that has not reached the lower threshold in its time is not continued for the higher one. Where that does not
  suffice, `theirs` is the time it had, the ratio means "at least", and the best mean is among the facts.
- At most three training seeds of ours (`--repeats`), one of a peer: the ratio's range is over ours.
- Recipes were tuned on training seeds from 1000 on and starts from 10000 on; what was tried stands beside them.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Line, Settings, Worker, WorkerFailed, failed
from benchmarks.lines._success_data import STATE, Form, Problem, arm, pusht, stored
from benchmarks.lines._success_recipes import OURS, PEERS, Recipe
from benchmarks.peers._environment import NotInstalled
from imitari.core.episode import Array, Episode, Obs
from imitari.core.interaction import interact

TARGET = 5.0
CAP, LEAST = 8.0, 600.0
FIRST, SECOND = 50, 100  # starts of an evaluation, and of the one that confirms it
STARTS = 600_000
SEEDS = (3, 4, 5)


class Remote:
    """A policy in the process that trains it."""

    def __init__(self, worker: Worker, form: Form) -> None:
        self.worker, self.form = worker, form

    def reset(self, count: int, seed: int = 0) -> None:
        self.worker.ask(begin=count, seed=seed)

    def act(self, obs: Obs, memory: None) -> tuple[Array, None]:
        seen = self.form.see(obs[STATE])
        return self.form.do(np.asarray(self.worker.ask(act=seen.tolist())["action"], np.float32)), None


@dataclass
class Course:
    """What a training reached.

    Attributes:
        reached: threshold -> (processor seconds, seconds by the clock).
        spent: (processor seconds, seconds by the clock) when it was stopped.
        levels: processor seconds -> mean score.
        steps, parameters: of the training when it was stopped, and of its networks.
    """

    reached: dict[float, tuple[float, float]] = field(default_factory=dict[float, tuple[float, float]])
    spent: tuple[float, float] = (0.0, 0.0)
    levels: dict[float, float] = field(default_factory=dict[float, float])
    steps: int = 0
    parameters: int = 0

    @property
    def best(self) -> float:
        return max(self.levels.values())


def lines(settings: Settings) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for problem in (arm(folder, count=5 if settings.quick else 50), pusht()):
            yield from _compared(problem, folder / problem.task.name.replace("/", "-"), settings)


def _compared(problem: Problem, folder: Path, settings: Settings) -> Iterator[Line]:
    folder.mkdir()
    seeds = SEEDS[: 1 if settings.quick else settings.repeats]
    ours = {
        threshold: [_mine(problem, threshold, seed, True, settings) for seed in seeds]
        for threshold in problem.thresholds
    }
    if problem.task.symmetries:
        threshold = min(problem.thresholds)
        yield _plain(problem, threshold, ours[threshold], _mine(problem, threshold, SEEDS[0], False, settings))
    for recipe in PEERS[problem.task.name]:
        yield from _beside(problem, recipe, ours, folder, settings)


def _mine(problem: Problem, threshold: float, seed: int, symmetry: bool, settings: Settings) -> Course:
    """One training of ours; the mirror images are used where the task declares them."""
    method, values = OURS[problem.task.name][threshold]
    form = Form(problem.stored, lambda state: state, lambda action: action)
    began = time.perf_counter()
    with Worker(
        "success_imitari.py",
        method=method,
        settings={**values, "steps": 20, "warmup": 1} if settings.quick else values,
        data=str(problem.stored),
        task=problem.task.name,
        seed=seed,
        symmetry=symmetry and bool(problem.task.symmetries),
    ) as worker:
        return _course(problem, worker, form, began, {threshold: np.inf}, np.inf, settings, seed)


def _course(
    problem: Problem,
    worker: Worker,
    form: Form,
    began: float,
    caps: dict[float, float],
    every: float,
    settings: Settings,
    seed: int,
) -> Course:
    """Trains `every` processor seconds and evaluates, until the next threshold's time or the training is over.

    Args:
        problem: where and how it is judged.
        worker, form: that train and act.
        began: when the worker was started.
        caps: threshold -> processor seconds.
        every: processor seconds of training between evaluations.
        settings: quick or not.
        seed: of the training; fixes the starts.
    """
    course, start = Course(parameters=worker.ready.get("parameters", 0)), time.perf_counter() - began
    first = STARTS + 10_000 * seed
    course.spent = (worker.ready["processor"], start)
    while missing := [one for one in sorted(caps) if one not in course.reached]:
        mark = min(course.spent[0] + every, caps[missing[0]])
        told = worker.ask(train=mark)
        course.spent, course.steps = (told["processor"], start + told["clock"]), told["steps"]
        level = _level(problem, worker, form, range(first, first + (2 if settings.quick else FIRST)))
        course.levels[round(told["processor"], 1)] = level
        first += FIRST
        if any(level >= one for one in missing):
            second = _level(problem, worker, form, range(first, first + SECOND))
            first += SECOND
            course.levels[round(told["processor"], 1)] = (FIRST * level + SECOND * second) / (FIRST + SECOND)
            course.reached |= {one: course.spent for one in missing if min(level, second) >= one}
        print(f"  {told['processor']:.0f} s, {told['steps']} updates: {level:.2f}", file=sys.stderr, flush=True)
        over = mark >= caps[missing[0]] and missing[0] not in course.reached
        if told["done"] or over or settings.quick:
            break
    return course


def _level(problem: Problem, worker: Worker, form: Form, starts: range) -> float:
    world = problem.task.make(len(starts))
    episodes: list[Episode] = interact(Remote(worker, form), world, starts, record=False)
    world.close()
    return float(np.mean([problem.score(episode) for episode in episodes]))


def _beside(
    problem: Problem, recipe: Recipe, ours: dict[float, list[Course]], folder: Path, settings: Settings
) -> Iterator[Line]:
    """A line a threshold, of one training of the peer."""
    blank = Line(
        "success", problem.name, recipe.title, "processor seconds", target=TARGET, precision=recipe.precision,
        note=f"{recipe.note} One training seed.",
    )  # fmt: skip
    caps = {threshold: max(LEAST, CAP * _median(courses)) for threshold, courses in ours.items()}
    try:
        python = recipe.environment.ensure()
        form = stored(problem, recipe.form, recipe.sight, folder)
        every = 1.0 if settings.quick else recipe.every
        began = time.perf_counter()
        with Worker(
            recipe.script,
            python,
            data=str(form.path),
            seed=SEEDS[0],
            **recipe.settings,
            **({"own": problem.own} if recipe.form == "lerobot" else {}),
        ) as worker:
            course = _course(problem, worker, form, began, caps, every, settings, SEEDS[0])
    except (NotInstalled, WorkerFailed) as error:
        for threshold in problem.thresholds:
            yield failed(replace(blank, name=_named(problem, threshold)), str(error).splitlines()[-1])
        return
    for threshold in problem.thresholds:
        yield _line(
            replace(blank, name=_named(problem, threshold)), threshold, ours[threshold], course, caps[threshold]
        )


def _named(problem: Problem, threshold: float) -> str:
    return f"{problem.name}: to {problem.measure} {threshold:.2f}"


def _median(courses: list[Course]) -> float:
    return statistics.median(course.spent[0] for course in courses)


def _line(line: Line, threshold: float, ours: list[Course], theirs: Course, cap: float) -> Line:
    reached = theirs.reached.get(threshold)
    time_of_theirs = reached or (min(theirs.spent[0], cap), theirs.spent[1])
    facts = {
        "their reached": "yes" if reached else f"no, best {theirs.best:.2f}: at least this time",
        "their levels": ", ".join(f"{level:.2f} at {at:.0f} s" for at, level in theirs.levels.items()),
        "their parameters": theirs.parameters,
        "their clock (s)": time_of_theirs[1],
        **_facts(threshold, ours),
    }
    return _filled(line, threshold, ours, time_of_theirs[0], facts)


def _facts(threshold: float, ours: list[Course]) -> dict[str, Any]:
    return {
        "our seeds that reached it": f"{sum(threshold in course.reached for course in ours)} of {len(ours)}",
        "our levels": ", ".join(f"{course.best:.2f}" for course in ours),
        "our clock (s)": statistics.median(course.spent[1] for course in ours),
    }


def _filled(line: Line, threshold: float, ours: list[Course], theirs: float, facts: dict[str, Any]) -> Line:
    """The line with its numbers; without a ratio where most of our own trainings did not get there."""
    times = [course.spent[0] for course in ours if threshold in course.reached]
    if 2 * len(times) <= len(ours):
        return replace(line, theirs=theirs, facts=facts, note=f"{line.note} Ours did not reach it reliably.")
    mine = statistics.median(times)
    return replace(
        line,
        ours=mine,
        theirs=theirs,
        ratio=theirs / mine,
        low=theirs / max(times),
        high=theirs / min(times),
        facts=facts,
    )


def _plain(problem: Problem, threshold: float, ours: list[Course], plain: Course) -> Line:
    """What the mirror images are worth: the same recipe without them."""
    line = Line(
        "success", _named(problem, threshold), "ours without --symmetry", "processor seconds",
        note="The same recipe without the mirror images that the task declares; one training seed.",
    )  # fmt: skip
    reached = threshold in plain.reached
    facts = {
        "without them": f"{'reached' if reached else 'not reached: at least this time'}, mean {plain.best:.2f}",
        **_facts(threshold, ours),
    }
    return _filled(line, threshold, ours, plain.spent[0], facts)
