"""Reports of run folders and of claims: reads what they left, and writes report.html."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from imitari.core.errors import UserError
from imitari.core.outcome import Outcome
from imitari.core.pictures import Picture
from imitari.core.starts import FIRST_TEST
from imitari.core.task import Task
from imitari.evaluate._films import SIDE, Film, record
from imitari.evaluate.compare import compare
from imitari.evaluate.intervals import wilson
from imitari.evaluate.many import rank
from imitari.evaluate.outcomes import read_outcomes
from imitari.evaluate.report import Contrast, Page, Side, Training, write_report
from imitari.evaluate.summary import ways_row
from imitari.jobs import circumstances
from imitari.jobs.evaluation import OUTCOMES
from imitari.jobs.folder import DONE, read_json
from imitari.jobs.verdict import finding_of

REPORT = "report.html"
FILMS = 5  # starts shown for each arm


# ---------------------------------------------------------------- a claim


def claim_report(out: Path, films: bool = True) -> Path:
    """Writes OUT/report.html from OUT/verdict.json and the folders of the jobs."""
    verdict = read_json(out / "verdict.json")
    rows = read_outcomes(out / OUTCOMES)
    sides: list[Side] = []
    pairs = [found for found in verdict["criteria"] if found["kind"] in ("difference", "not worse")]
    note = ""
    for name, arm in verdict["arms"].items():
        folders = [out / name / f"seed-{seed}" for seed in verdict["seeds"]]
        trainings = [
            _arm_training(folder, seed, [row for row in rows if row.policy == name and row.train_seed == seed])
            for folder, seed in zip(folders, verdict["seeds"], strict=True)
        ]
        shown: list[Film] = []
        known: tuple[list[Picture], str] = [], ""
        if films and (folders[0] / "agent.json").exists():
            options = claim_options(verdict)
            shown, why = films_of(folders[0], verdict["task"], verdict["starts"]["first"], options)
            known, note = pictures_of(folders[0], verdict["task"], options), note or why
        score = (arm["mean"], arm["low"], arm["high"])
        sides.append(Side(name, arm["method"], arm["settings"], trainings, score, shown, *known))
    page = Page(
        title=f"Claim: {verdict['claim']}",
        lead=f"{verdict['paper']}. Task {verdict['task']}, budget {verdict['budget']}.",
        verdict="The claim holds" if verdict["holds"] else "The claim does not hold",
        explanation=" ".join(part for part in (verdict["sentence"], verdict["notes"]) if part),
        sides=sides,
        tone="good" if verdict["holds"] else "bad",
        contrasts=[_contrast(found, verdict["metric"]) for found in pairs],
        pairs=[tuple(found["arms"]) for found in pairs],
        metric=verdict["metric"],
        ways=_ways(sides, claim_task(verdict) if any(row.behaviour >= 0 for row in rows) else None),
        films_note=note,
        circumstances=_claim_circumstances(verdict),
    )
    write_report(page, out / REPORT)
    return out / REPORT


def claim_task(verdict: dict[str, Any]) -> Task:
    """Where a claim was judged."""
    from imitari.envs import task_named

    return task_named(verdict["task"], **claim_options(verdict))


def claim_options(verdict: dict[str, Any]) -> dict[str, Any]:
    """Of the task that a claim was judged in."""
    from imitari.jobs.claim import claim_named

    return claim_named(verdict["claim"]).options


def _ways(sides: Sequence[Side], task: Task | None) -> list[tuple[str, str, str, str]]:
    """A row a training, where its task tells ways apart."""
    if task is None or not task.behaviours:
        return []
    return [
        ways_row(f"{side.name}, seed {training.seed}", training.outcomes, task)
        for side in sides
        for training in side.trainings
        if training.outcomes
    ]


def _arm_training(folder: Path, seed: int, outcomes: list[Outcome]) -> Training:
    done = read_json(folder / DONE)
    return Training(seed, _metrics(folder), outcomes, done.get("data") or {}, str(done.get("agent", "")))


def _contrast(found: dict[str, Any], metric: str) -> Contrast:
    scale, unit = (100, " pt") if metric == "success" else (1, "")
    sign = -1 if found["kind"] == "not worse" else 1
    return Contrast(
        label=" − ".join(found["arms"]),
        note=f"{scale * found['estimate']:+.3g} [{scale * found['low']:.3g}, {scale * found['high']:.3g}]{unit}",
        estimate=found["estimate"],
        low=found["low"],
        high=found["high"],
        mark=None if found["margin"] is None else sign * found["margin"],
    )


def _claim_circumstances(verdict: dict[str, Any]) -> list[tuple[str, str]]:
    starts, seeds = verdict["starts"], ",".join(map(str, verdict["seeds"]))
    return [
        ("again", f"imitari claim {verdict['claim']} --budget {verdict['budget']} --seeds {seeds}"),
        ("changed", json.dumps(verdict["changed"]) if verdict["changed"] else "nothing: the claim as written"),
        ("training seeds", ", ".join(map(str, verdict["seeds"]))),
        ("evaluation starts", f"{starts['first']} to {starts['first'] + starts['count'] - 1}, none seen in training"),
        ("core minutes", str(verdict["minutes"])),
        *(("criterion", finding_of(found).sentence(verdict["metric"])) for found in verdict["criteria"]),
        *_surroundings(verdict["machine"], verdict["versions"], verdict["commits"], verdict["date"]),
    ]


def _surroundings(
    machine: dict[str, Any], versions: dict[str, str], commits: Sequence[str], date: str
) -> list[tuple[str, str]]:
    return [
        ("machine", f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("commit", ", ".join(commits)),
        ("date", date),
    ]


# ---------------------------------------------------------------- any run folders


def runs_report(folders: Sequence[Path], path: Path, films: bool = True, title: str = "", lead: str = "") -> str:
    """A report of run folders, each one trained and, where it was, evaluated. Returns why there are no pictures, or "".

    Raises:
        UserError: a folder holds no run.
    """
    labels = labels_of(folders)
    sides: list[Side] = []
    ways: list[tuple[str, str, str, str]] = []
    note = ""
    task = ""
    for folder, label in zip(folders, labels, strict=True):
        facts = _agent(folder)
        task = str(facts["facts"].get("task") or task)
        outcomes = _outcomes(folder, facts)
        data = facts["facts"].get("data") or {}
        training = Training(int(facts["facts"].get("seed", 0)), _metrics(folder), outcomes, data, facts["identity"])
        shown: list[Film] = []
        known: tuple[list[Picture], str] = [], ""
        where = outcomes[0].task if outcomes else task
        if films and where:
            shown, why = films_of(folder, where, outcomes[0].start if outcomes else FIRST_TEST)
            known, note = pictures_of(folder, where), note or why
        sides.append(Side(label, facts["method"], facts["settings"], [training], _score(outcomes), shown, *known))
        if any(row.behaviour >= 0 for row in outcomes):
            ways += _ways(sides[-1:], _task(folder, where))
    page = replace(_runs_page(sides, task, title, lead, note), ways=ways)
    write_report(page, path)
    return note


def _task(folder: Path, name: str) -> Task:
    from imitari.jobs.surroundings import task_of
    from imitari.learn.agent import Agent

    return task_of(Agent.load(folder), name)


def _runs_page(sides: list[Side], task: str, title: str, lead: str, note: str) -> Page:
    contrasts: list[Contrast] = []
    pairs: list[tuple[str, str]] = []
    sentences: list[str] = []
    for first, second in combinations(sides, 2):
        a, b = first.trainings[0].outcomes, second.trainings[0].outcomes
        if not {row.start for row in a} & {row.start for row in b}:
            continue
        found = compare(a, b, (first.name, second.name))
        gap = found.difference
        words = f"{100 * gap.estimate:+.0f} [{100 * gap.low:.0f}, {100 * gap.high:.0f}] pt"
        contrasts.append(Contrast(f"{second.name} − {first.name}", words, gap.estimate, gap.low, gap.high))
        pairs.append((first.name, second.name))
        sentences.append(found.sentence())
    evaluated = [side for side in sides if side.score]
    if len(evaluated) > 2:
        sentences.insert(0, _letters(evaluated))
    verdict = sentences[0] if len(sentences) == 1 else f"{len(sides)} run{'s' if len(sides) > 1 else ''}"
    if not evaluated:
        verdict = "Not evaluated yet: imitari evaluate RUN"
    if len(sides) == 1 and sides[0].score:
        rate, low, high = sides[0].score
        verdict = f"Success {rate:.0%} [{low:.0%}, {high:.0%}]"
    return Page(
        title=title or "Report: " + ", ".join(side.name for side in sides),
        lead=lead or (f"Task {task}." if task else "No task was named in the training."),
        verdict=verdict,
        explanation=" ".join(sentences) if len(sentences) > 1 else "Counts, intervals and what they rest on are below.",
        sides=sides,
        contrasts=contrasts,
        pairs=pairs,
        films_note=note,
        circumstances=_run_circumstances(sides),
    )


def _letters(sides: Sequence[Side]) -> str:
    """Which of several runs differ, all pairs at one error rate."""
    outcomes = [side.trainings[0].outcomes for side in sides]
    if not set.intersection(*({row.start for row in rows} for rows in outcomes)):
        return "The runs have no start in common, so that no letters tell which of them differ."
    found = rank(outcomes, [side.name for side in sides])
    shown = ", ".join(f"{found.names[number]} {found.letters[number]}" for number in found.order())
    return (
        f"Letters, from the best down, on {len(found.starts)} common starts: {shown}. Two runs differ, at an error "
        f"rate of {found.alpha:.0%} over all pairs, if and only if they share no letter; the single comparisons that "
        "follow are not corrected for their number."
    )


def _run_circumstances(sides: list[Side]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for side in sides:
        training = side.trainings[0]
        starts = [row.start for row in training.outcomes]
        where = f"{len(starts)} starts, {starts[0]} to {starts[-1]}" if starts else "not evaluated"
        rows.append((side.name, f"agent {training.identity}, training seed {training.seed}, {where}"))
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return rows + _surroundings(
        circumstances.machine(), circumstances.versions(), [circumstances.commit()], f"{today} (of this report)"
    )


def _agent(folder: Path) -> dict[str, Any]:
    path = folder / "agent.json"
    if not path.exists():
        raise UserError(f"{folder}: holds no trained agent: give the folder that `imitari train --out` wrote")
    return read_json(path)


def _outcomes(folder: Path, facts: dict[str, Any]) -> list[Outcome]:
    """Of exactly this agent, in the task that most of them were seen in."""
    path = folder / OUTCOMES
    rows = [row for row in read_outcomes(path) if row.policy == facts["identity"]] if path.exists() else []
    tasks = [row.task for row in rows]
    task = max(set(tasks), key=tasks.count) if tasks else ""
    return sorted((row for row in rows if row.task == task), key=lambda row: row.start)


def _score(outcomes: list[Outcome]) -> tuple[float, float, float] | None:
    if not outcomes:
        return None
    found = wilson(sum(row.success for row in outcomes), len(outcomes))
    return found.estimate, found.low, found.high


def _metrics(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def labels_of(folders: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as tell all apart."""
    parts = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(part[-count:]) for part in parts]
        if len(set(labels)) == len(labels):
            return labels
    raise UserError(f"{folders[0]}: is named twice: name every run once")


def films_of(folder: Path, task: str, first: int, options: Mapping[str, Any] | None = None) -> tuple[list[Film], str]:
    """(films of the first starts, why there are none), in the task with these options."""
    from imitari.jobs.surroundings import task_of
    from imitari.learn.agent import Agent

    agent = Agent.load(folder)
    try:
        return record(agent, task_of(agent, task, pixels=SIDE, options=options), range(first, first + FILMS)), ""
    except UserError as error:
        return [], f"No pictures: {error}."


def pictures_of(folder: Path, task: str, options: Mapping[str, Any] | None = None) -> tuple[list[Picture], str]:
    """(what the agent in a folder shows of itself, why it shows nothing), in the task with these options."""
    from imitari.jobs.surroundings import task_of
    from imitari.learn.agent import Agent

    agent = Agent.load(folder)
    try:
        return agent.method.pictures(agent, task_of(agent, task, options=options)), ""
    except UserError as error:
        return [], f"Not shown: {error}."
