"""The page to open after every collection: what is wrong with the data, how good it is, what more would be worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from imitari.core.demos import Demos
from imitari.core.spec import Feature
from imitari.data.curate.scores import Scores
from imitari.evaluate._data_plots import kept_rows, law_plot, score_bars
from imitari.evaluate._page import Tone, page_of, section, table
from imitari.evaluate.intervals import Interval
from imitari.evaluate.power_law import PowerLaw

MOST = 60  # rows of a table
MEANINGS = {
    "rank_sum": "sum of the ranks in action variance and in horizon",
    "action_variance": "how much actions differ in states that are alike",
    "horizon": "steps",
    "similarity": "share of all steps that are near",
    "diversity": "the inverse of similarity",
    "order": "place among all, 0 the best: by bad steps, then by good ones",
    "compatibility": "mean of 1 where a step fits or its state is new, 0 where it contradicts",
    "bad": "steps that contradict in familiar states",
    "good": "steps in new states that were predicted all the same",
}


class Finding(Protocol):
    """As the doctor says it."""

    @property
    def severity(self) -> str: ...
    @property
    def check(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def remedy(self) -> str: ...
    @property
    def episode(self) -> int | None: ...


@dataclass(frozen=True)
class DataPage:
    """Attributes:
    title: headline.
    demos: the data set.
    findings: of the doctor.
    scores: of its steps and episodes, None where it was not scored.
    share: of the episodes that count as the best.
    study: what `imitari scale` found (its scale.json), None where it was not asked.
    """

    title: str
    demos: Demos
    findings: Sequence[Finding]
    scores: Scores | None = None
    share: float = 0.5
    study: dict[str, Any] | None = None


def write_page(page: DataPage, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(page), encoding="utf-8")


def render(page: DataPage) -> str:
    """The page as one HTML text."""
    verdict, tone = _verdict(page)
    demos = page.demos
    lead = f"{demos.provenance.path}: {len(demos):,} episodes, {demos.steps:,} steps"
    more = str(page.study["sentence"]) if page.study else "What more data is worth was not asked: `imitari scale` does."
    parts = (_study(page), _findings(page), _groups(page), _episodes(page), _kept(page), _data(page))
    return page_of(page.title, lead, verdict, tone, more[:1].upper() + more[1:], *parts)


def _verdict(page: DataPage) -> tuple[str, Tone]:
    count = Counter(finding.severity for finding in page.findings)
    if count["error"]:
        return f"{counted(count['error'], 'error')}: mend these before anything is trained", "bad"
    if count["warning"]:
        return f"No error; {counted(count['warning'], 'warning')} to look at", ""
    return "The doctor finds nothing wrong", "good"


def _study(page: DataPage) -> str:
    study = page.study
    if study is None:
        return ""
    law = law_from(study)
    perfect = float(study.get("perfect", 1.0))
    gap = (lambda score: score) if study["metric"] == "error" else (lambda score: max(0.0, 1 - score / perfect))
    seeds = [[gap(score) for score in study["scores"][str(size)]] for size in law.sizes]
    what = "demonstrations" if study["axis"] == "demos" else f"kinds of '{study['axis']}'"
    why = f"What is missing to perfect ({study['metric']}, {study['method']}) against the number of {what}. Rings: "
    why += f"training seeds. Dashed: {law.more} more. Correlation of the logarithms {law.correlation:.2f}."
    rows = [
        [str(size), ", ".join(f"{score:.3g}" for score in study["scores"][str(size)]), f"{missing:.3g}"]
        for size, missing in zip(law.sizes, law.gaps, strict=True)
    ]
    heads = [what, f"{study['metric']} by training seed", "missing"]
    return section("What more data is worth", why, law_plot(law, seeds, what), table(heads, rows))


def law_from(study: dict[str, Any]) -> PowerLaw:
    """The fit in a scale.json."""
    return PowerLaw(
        sizes=tuple(study["sizes"]),
        gaps=tuple(study["gaps"]),
        exponent=Interval(*study["exponent"]),
        factor=study["factor"],
        correlation=study["correlation"],
        worth=Interval(*study["worth"]),
        more=study["more"],
        clipped=tuple(study["clipped"]),
    )


def _findings(page: DataPage) -> str:
    if not page.findings:
        return ""
    count = Counter((one.severity, one.check) for one in page.findings)
    seen: set[tuple[str, str]] = set()
    rows: list[list[str]] = []
    for one in page.findings:
        kind = (one.severity, one.check)
        if kind not in seen:
            seen.add(kind)
            where = "all" if one.episode is None else f"episode {one.episode}"
            others = f" and {count[kind] - 1} more" if count[kind] > 1 else ""
            rows.append([one.severity, one.check, where + others, one.message, one.remedy])
    why = "The first of each kind; `imitari data doctor --json` has all."
    return section("What the doctor found", why, table(["", "check", "where", "seen", "what to do"], rows))


def _groups(page: DataPage) -> str:
    scores = page.scores
    if scores is None or not scores.groups:
        return ""
    names = list(dict.fromkeys(name for means in scores.groups.values() for name in means))
    rows = [
        [group, *(f"{means[name]:.4g}" if name in means else "" for name in names)]
        for group, means in scores.groups.items()
    ]
    why = "Measures say where to look; none of them ranks people by itself."
    return section("Who collected it", why, table(["", *names], rows))


def _episodes(page: DataPage) -> str:
    scores = page.scores
    if scores is None or not scores.episodes:
        return ""
    names = list(scores.episodes)
    name = next((one for one in names if one in scores.better), names[0])
    values = scores.episodes[name]
    worth = values if scores.better.get(name) == "high" else -values
    order = np.argsort(-np.where(np.isnan(worth), -np.inf, worth), kind="stable")
    best = scores.best(page.share, name) if name in scores.better else np.ones(len(values), bool)
    shown = order if len(order) <= MOST else np.concatenate([order[: MOST // 2], order[-MOST // 2 :]])
    rows = [
        [str(number), "yes" if best[number] else "", *(f"{scores.episodes[one][number]:.4g}" for one in names)]
        for number in shown.tolist()
    ]
    meant = "; ".join(f"{one}: {MEANINGS[one]}" for one in names if one in MEANINGS)
    by, settings = _who(scores)
    why = f"Filled: the best {page.share:.0%} by {name}. {meant + '. ' if meant else ''}Scored by {by}{settings}."
    between = len(order) - len(shown)
    why += f" {between} episodes between the best and the worst are not listed." if between else ""
    titles = [f"{one} ({scores.better[one]})" if one in scores.better else one for one in names]
    pictures = score_bars(values[order], best[order], name)
    return section("How good every episode is", why, pictures, table(["episode", "among the best", *titles], rows))


def _who(scores: Scores) -> tuple[str, str]:
    """Who scored, and in brackets with what."""
    about = {key: value for key, value in scores.about.items() if value not in (None, "", False)}
    who = str(about.pop("who", "a model"))
    shown = [
        f"{key.replace('_', ' ')} {f'{value:.3g}' if isinstance(value, float) else value}"
        for key, value in about.items()
    ]
    return who, f" ({', '.join(shown)})" if shown else ""


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _kept(page: DataPage) -> str:
    scores = page.scores
    if scores is None or scores.keep is None:
        return ""
    keep = scores.keep
    why = f"{int(keep.sum()):,} of {len(keep):,} steps would be kept ({keep.mean():.1%}); `imitari data trim` does it."
    return section("Steps that would be kept", why, kept_rows(keep, page.demos.table.length))


def _data(page: DataPage) -> str:
    facts = page.demos.facts()
    share = facts["success_share"]
    length = page.demos.table.length
    least, middle, most = (int(value) for value in np.quantile(length, [0, 0.5, 1]))
    rows = [
        ["episodes, steps", f"{len(length):,}, {int(length.sum()):,}"],
        ["steps an episode", f"{least} to {most}, median {middle}"],
        ["success", "not recorded" if share is None else f"{share:.1%} of the episodes that say so"],
        ["fingerprint", str(facts["fingerprint"])],
        *[["done to it", step] for step in facts["provenance"]["steps"]],
        *[[key, told(feature)] for key, feature in page.demos.spec.obs.items()],
        ["action", told(page.demos.spec.action)],
    ]
    return section("The data set", "Where it comes from and what it holds.", table(["", ""], rows))


def told(feature: Feature) -> str:
    """Kind, shape, and where they are known unit and names."""
    parts = [" ".join([feature.kind, "x".join(map(str, feature.shape))]).strip(), feature.unit or ""]
    return "; ".join(part for part in (*parts, ", ".join(feature.names or ())) if part)
