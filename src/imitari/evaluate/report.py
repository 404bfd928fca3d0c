"""report.html: one file that opens anywhere and tells what was learned, how sure it is, and from what.

`Page` holds what is told, `render` writes it. Nothing is fetched: style, pictures and films are inside.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.outcome import Outcome
from imitari.core.pictures import Picture
from imitari.evaluate._films import Film, sprite
from imitari.evaluate._page import Tone, legend, page_of, section, table
from imitari.evaluate._pictures import picture
from imitari.evaluate._plots import COLOURS, Bar, Curve, curves, intervals, strip
from imitari.evaluate.outcomes import paired


@dataclass(frozen=True)
class Training:
    """One trained policy of an arm: what its folder holds.

    Attributes:
        seed: of the training.
        metrics: rows of metrics.jsonl.
        outcomes: of its evaluation.
        data: facts about the demonstrations (episodes, steps, fingerprint, provenance, success share).
        identity: of the agent.
    """

    seed: int
    metrics: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    identity: str = ""


@dataclass(frozen=True)
class Side:
    """One arm (or one run): a name, its trainings, its settings, its score with interval, films, and what its agent
    shows of itself (and why it shows nothing, where it could)."""

    name: str
    method: str
    settings: dict[str, Any]
    trainings: list[Training]
    score: tuple[float, float, float] | None = None
    films: list[Film] = field(default_factory=list[Film])
    pictures: list[Picture] = field(default_factory=list[Picture])
    pictures_note: str = ""


@dataclass(frozen=True)
class Contrast:
    """A difference with its interval; `mark` is what its lower end must exceed, where something was promised."""

    label: str
    note: str
    estimate: float
    low: float
    high: float
    mark: float | None = None


@dataclass(frozen=True)
class Page:
    """Attributes:
    title, lead: the headline and the sentence below it.
    verdict: what was decided.
    tone: "good", "bad" or "" colours the verdict.
    explanation: the sentence under the verdict.
    sides: arms or runs.
    contrasts: differences to draw.
    pairs: pairs of names of sides whose starts are compared one by one.
    metric: "success", "total" or "best".
    ways: rows (policy, success, ways seen, entropy) where the task tells the ways of solving it apart.
    films_note: why there are no films, where there are none.
    circumstances: (name, value) rows: machine, versions, commit, seeds, starts.
    """

    title: str
    lead: str
    verdict: str
    explanation: str
    sides: list[Side]
    tone: Tone = ""
    contrasts: list[Contrast] = field(default_factory=list[Contrast])
    pairs: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    metric: str = "success"
    ways: list[tuple[str, str, str, str]] = field(default_factory=list[tuple[str, str, str, str]])
    films_note: str = ""
    circumstances: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def write_report(page: Page, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(page), encoding="utf-8")


def render(page: Page) -> str:
    """The page as one HTML text."""
    return page_of(
        page.title,
        page.lead,
        page.verdict,
        page.tone,
        page.explanation,
        *(part(page) for part in PARTS),
    )


WORDS = {"success": "Success", "total": "Return", "best": "Best reward"}


def _scores(page: Page) -> str:
    rate = page.metric == "success"
    scale = 100.0 if rate else 1.0
    bars: list[Bar] = []
    for number, side in enumerate(page.sides):
        if side.score is None:
            continue
        estimate, low, high = (scale * value for value in side.score)
        rows = [row for training in side.trainings for row in training.outcomes]
        wins = sum(row.success for row in rows)
        note = f"{estimate:.1f} %  ({wins} of {len(rows)})" if rate else f"{estimate:.4g}  ({len(rows)} episodes)"
        seeds = [scale * _mean(training.outcomes, page.metric) for training in side.trainings if training.outcomes]
        dots = tuple(seeds) if len(seeds) > 1 else ()
        bars.append(Bar(side.name, note, estimate, low, high, number, dots))
    if not bars:
        return ""
    ends = (0.0, 100.0) if rate else _ends([*(bar.low for bar in bars), *(bar.high for bar in bars)])
    why = "Dot: the mean. Band: its 95 % interval." + (
        " Rings: each training seed on its own." if any(bar.dots for bar in bars) else ""
    )
    return section(WORDS[page.metric], why, intervals(bars, *ends, unit=" %" if rate else ""))


def _mean(rows: Sequence[Outcome], metric: str) -> float:
    return float(np.mean([float(getattr(row, metric)) for row in rows]))


def _ends(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 1.0
    return low - room, high + room


def _ways(page: Page) -> str:
    if not page.ways:
        return ""
    why = "Of the solved rollouts alone: how many of the possible ways were seen, and how evenly. An entropy of few "
    why += "successes means little."
    return section("Ways", why, table(["policy", "success", "ways seen", "entropy"], page.ways))


def _contrasts(page: Page) -> str:
    if not page.contrasts:
        return ""
    scale = 100.0 if page.metric == "success" else 1.0
    bars = [
        Bar(
            found.label,
            found.note,
            scale * found.estimate,
            scale * found.low,
            scale * found.high,
            mark=None if found.mark is None else scale * found.mark,
        )
        for found in page.contrasts
    ]
    everything = [value for bar in bars for value in (bar.low, bar.high, bar.mark or 0.0, 0.0)]
    why = "Positive: the first one is better. Where the band leaves out 0, the difference is no accident at 95 %."
    if any(bar.mark is not None for bar in bars):
        why += " The whole band must lie to the right of the dashed line, which was drawn before the experiment."
    return section(
        "Difference", why, intervals(bars, *_ends(everything), unit=" pt" if scale == 100 else "", zero=True)
    )


def _paired(page: Page) -> str:
    sides = {side.name: (number, side) for number, side in enumerate(page.sides)}
    blocks: list[str] = []
    for first, second in page.pairs:
        (one, a), (two, b) = sides[first], sides[second]
        blocks.append(_legend_of_pairs(first, second, one, two))
        by_seed = {training.seed: training for training in b.trainings}
        single = len(a.trainings) == 1 and len(b.trainings) == 1
        for training in a.trainings:
            other = b.trainings[0] if single else by_seed.get(training.seed)
            if other is None or not training.outcomes or not other.outcomes:
                continue
            prefix = "" if single else f"training seed {training.seed}: "
            blocks.append(_pair_strip(training, other, (one, two), (first, second), prefix))
    if not blocks:
        return ""
    why = "One cell a start, sorted by how it ended. Only the starts that went to one side tell the two apart."
    return section("The same starts, side by side", why, *blocks)


def _legend_of_pairs(first: str, second: str, one: int, two: int) -> str:
    entries = [
        (f"var(--arm-{one % COLOURS})", f"only {first}"),
        (f"var(--arm-{two % COLOURS})", f"only {second}"),
        ("var(--both)", "both"),
        ("var(--neither)", "neither"),
    ]
    return legend(entries)


def _pair_strip(a: Training, b: Training, colours: tuple[int, int], names: tuple[str, str], prefix: str) -> str:
    rows_a, rows_b = paired(a.outcomes, b.outcomes)
    words_of = {(True, True): "both", (True, False): "first", (False, True): "second", (False, False): "neither"}
    kinds = [(words_of[bool(x.success), bool(y.success)], x.start) for x, y in zip(rows_a, rows_b, strict=True)]
    order = ["first", "both", "neither", "second"]
    kinds.sort(key=lambda kind: (order.index(kind[0]), kind[1]))
    counts = {name: sum(kind == name for kind, _ in kinds) for name in order}
    words = (
        f"{prefix}only {names[0]} {counts['first']}, both {counts['both']}, neither {counts['neither']}, "
        f"only {names[1]} {counts['second']}"
    )
    return f"<figure style='margin:0 0 12px'>{strip(kinds, *colours)}<figcaption>{escape(words)}</figcaption></figure>"


def _films(page: Page) -> str:
    blocks: list[str] = []
    for number, side in enumerate(page.sides):
        if side.films:
            blocks.append(legend([(f"var(--arm-{number % COLOURS})", side.name)]))
            blocks.append(f"<div class='films'>{''.join(_film(film) for film in side.films)}</div>")
    if not blocks and not page.films_note:
        return ""
    why = page.films_note or "The first starts, not the best ones. Green frame: solved; red frame: not solved."
    return section("Rollouts", why, *blocks)


def _film(film: Film) -> str:
    count = len(film.frames)
    seconds = 0.12 * count + 0.8
    key = f"film{count}"
    # A sprite sheet moved in steps: plays without a script, stands still where motion is not wanted.
    style = (
        f"background-image:url({sprite(film)});background-size:{count * 100}% 100%;"
        f"animation:{key} {seconds:.2f}s steps({max(2, count)}, jump-none) infinite"
    )
    frame = "yes" if film.success else "no"
    motion = (
        f"<style>@keyframes {key}{{to{{background-position-x:100%}}}}</style>"
        f'<div class="film {frame}" style="{style}"></div>'
    )
    words = f"start {film.start}: {'solved' if film.success else 'not solved'} after {film.steps} steps"
    return f"<figure>{motion}<figcaption>{escape(words)}</figcaption></figure>"


def _pictures(page: Page) -> str:
    blocks: list[str] = []
    for number, side in enumerate(page.sides):
        if side.pictures or side.pictures_note:
            blocks.append(legend([(f"var(--arm-{number % COLOURS})", side.name)]))
            blocks += [picture(shown) for shown in side.pictures]
            blocks += [f"<p>{escape(side.pictures_note)}</p>"] if side.pictures_note else []
    return section("What the agents know", "Of the first training of each.", *blocks) if blocks else ""


def _curves(page: Page) -> str:
    panels: list[str] = []
    for number, side in enumerate(page.sides):
        stages = dict.fromkeys(str(row["stage"]) for training in side.trainings for row in training.metrics)
        for stage in stages:
            lines = [line for training in side.trainings for line in _lines(training, stage, number)]
            title = side.name + (f", {stage}" if len(stages) > 1 else "")
            panels.append(curves(lines, f"{title}: loss"))
    if not any(panels):
        return ""
    why = "Training loss by optimiser step, one line a training seed; dashed: on held-out episodes. "
    why += "Losses of different methods are different quantities: compare shapes, not heights."
    return section("Learning curves", why, f"<div class='panels'>{''.join(panels)}</div>")


def _lines(training: Training, stage: str, colour: int) -> list[Curve]:
    rows = [row for row in training.metrics if row["stage"] == stage]
    keys = ["loss", *sorted({key for row in rows for key in row if key.startswith("held_")})[:1]]
    lines = [
        Curve(
            [(float(row["step"]), float(row[key])) for row in rows if math.isfinite(float(row.get(key, math.nan)))],
            colour,
            dashed=key != "loss",
            name=f"seed {training.seed}: {key}",
        )
        for key in keys
    ]
    return [line for line in lines if line.points]


def _data(page: Page) -> str:
    rows: list[list[str]] = []
    for side in page.sides:
        for training in side.trainings:
            data = training.data
            if not data:
                continue
            share = data.get("success_share")
            source = data.get("provenance", {})
            story = source.get("path", ""), *source.get("steps", [])
            rows.append(
                [
                    side.name,
                    str(training.seed),
                    str(data.get("episodes", "")),
                    str(data.get("steps", "")),
                    "unknown" if share is None else f"{share:.0%}",
                    str(data.get("fingerprint", "")),
                    "; ".join(map(str, story)),
                ]
            )
    if not rows:
        return ""
    heads = ["arm", "seed", "episodes", "steps", "solved", "fingerprint", "where from"]
    why = "What the policies learned from. Equal fingerprints: the very same data."
    return section("Demonstrations", why, table(heads, rows))


def _settings(page: Page) -> str:
    fields = list(dict.fromkeys(key for side in page.sides for key in side.settings))
    if not fields:
        return ""
    same: list[list[str]] = []
    other: list[list[str]] = []
    for name in fields:
        cells = [_shown(side.settings[name]) if name in side.settings else "" for side in page.sides]
        (same if len(set(cells)) == 1 else other).append([name, *cells])
    names = [side.name if side.name == side.method else f"{side.name} ({side.method})" for side in page.sides]
    heads = ["setting", *names]
    why = "Settings that differ between the arms first." if len(page.sides) > 1 else "All settings."
    parts = [table(heads, other, changed=True)] if other else []
    if same:
        inner = table(heads, same)
        parts.append(
            f"<details{'' if other else ' open'}><summary>{len(same)} equal settings</summary>{inner}</details>"
        )
    return section("Settings", why, *parts)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _circumstances(page: Page) -> str:
    if not page.circumstances:
        return ""
    rows = [[name, value] for name, value in page.circumstances]
    return section("Circumstances", "What is needed to do this again.", table(["", ""], rows))


PARTS = (_scores, _ways, _contrasts, _paired, _films, _pictures, _curves, _data, _settings, _circumstances)
