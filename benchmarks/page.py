"""docs/benchmarks.json and the page that is rendered from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.harness import Line

# The order of the page: group -> title and what it asks.
SECTIONS = {
    "windows": "Data: random windows, decoding, first batch, memory",
    "updates": "Updates a second",
    "latency": "Latency of one action chunk at batch 1",
    "evaluation": "Evaluation: episodes a minute",
    "start": "Start",
    "success": "Time from demonstrations to success",
    "scale": "As the data set grows; two processes",
    "labelling": "Videos: frames labelled and learned from a second",
    "gpu": "On a GPU",
}
# Where targets are missed: what the limit was found to be.
LIMITS = {
    "updates": """
Every published peer is behind on every line. Where a target is missed, the other side is a loop of our own
writing, or most of the time goes into products that both sides leave to the same library: with behaviour
cloning, 2 x 256, matrix products are 60 % of an update at fp32 (profiled: 1.06 of 1.79 ms), with soft actor-
critic 60 % (4.4 of 7.3 ms), with the LSTM 95 %. A fused Adam over small networks leaves a plain loop nothing
to lose but those. JAX compiles a whole update, optimiser included, into one program; PyTorch's compiler
gained 1.2 times on implicit Q-learning and nothing on soft actor-critic, where it is off. Shares of the
matrix-product limit stand in the notes.
""",
    "latency": """
At batch 1 every weight is read once a forward pass, and this processor reads about 12 GB/s with one thread:
the larger the network, the more of the time is that, for both sides alike. An agent that was trained in bfloat16
(what training chooses from a million parameters on) keeps the weights of its large layers in it while it acts, and
reads half as much; LeRobot's policies act in float32. Small networks spend their time between the products.
""",
    "evaluation": """
Where the simulator or its renderer takes most of a step, both sides pay it: Push-T pictures are drawn by the
same routine, Meta-World's and PointMaze's physics are MuJoCo's. What is ours to save (stepping, resets,
observations) is saved in the lines of one environment at a time and of our own physics calls.
""",
    "success": """
Ratios of peers that never reached the level within their recipe are lower bounds (see the notes: their best
level). The Meta-World lines beside behaviour cloning of the same size compare two trainings of a few seconds,
in which both sides do the same products.
""",
    "labelling": """
Learning from clips is spent in the network, which is the same on both sides: the plain loader gives clips more than
twenty times as fast as an update learns from them, so that reading them in no time would gain less than a twentieth.
Profiled at fp32, about 55 % of an update are convolutions, 16 % thresholds, 20 % putting neighbouring frames side by
side.
""",
}
EMPTY = {"gpu": "No GPU could be used when this page was made, so that this table is empty."}
TITLE = """# Beside the peers, measured

Made by `make bench` from `docs/benchmarks.json`; do not edit. Each pair was measured in turns in one run; a ratio is
the median over the turns, with the smallest and the largest; above 1 we are ahead. One thread a process.
"""


def read(place: Path) -> list[Line]:
    if not place.exists():
        return []
    return [Line(**entry) for entry in json.loads(place.read_text(encoding="utf-8"))["lines"]]


def replaced(lines: list[Line], group: str, new: list[Line], *, whole: bool = True) -> list[Line]:
    """`lines` with those of `group` replaced: all of them, or only those that `new` measured again."""
    order = list(SECTIONS)
    again = {_key(line) for line in new}
    kept = [line for line in lines if line.group != group or not (whole or _key(line) in again)]
    return sorted([*kept, *new], key=lambda line: order.index(line.group) if line.group in order else len(order))


def _key(line: Line) -> tuple[str, ...]:
    return line.group, line.name, line.peer, line.precision


def write(lines: list[Line], place: Path) -> None:
    text = json.dumps({"lines": [line.to_json() for line in lines]}, indent=1)
    place.write_text(text + "\n", encoding="utf-8")


def render(lines: list[Line], place: Path) -> None:
    parts = [TITLE]
    for group, title in SECTIONS.items():
        own = [line for line in lines if line.group == group]
        parts.append(f"## {title}\n")
        parts.append(_table(own) if own else EMPTY.get(group, "Not measured yet.") + "\n")
        if own and group in LIMITS:
            parts.append(LIMITS[group].lstrip())
    place.write_text("\n".join(parts), encoding="utf-8")


def _table(lines: list[Line]) -> str:
    rows = ["| what | beside | precision | ours | theirs | unit | ratio (least, most) | target |", "|---" * 8 + "|"]
    notes: list[str] = []
    for line in lines:
        ratio = "-" if line.ratio is None else f"**{_short(line.ratio)}** ({_short(line.low)}, {_short(line.high)})"
        target = "" if line.target is None else f"{line.target:g}{_verdict(line)}"
        mark = ""
        if line.note or line.facts:
            notes.append(f"{len(notes) + 1}. {line.note} {_facts(line.facts)}".rstrip())
            mark = f" [{len(notes)}]"
        cells = (
            line.name + mark,
            line.peer,
            line.precision,
            _short(line.ours),
            _short(line.theirs),
            line.unit,
            ratio,
            target,
        )
        rows.append("| " + " | ".join(cells) + " |")
    where = sorted({_where(line.circumstances) for line in lines})
    return "\n".join([*rows, "", *notes, "", *[f"Measured on {place}." for place in where], ""])


def _verdict(line: Line) -> str:
    if line.ratio is None or line.target is None:
        return ""
    return " (met)" if line.ratio >= line.target else " (missed)"


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _facts(facts: dict[str, Any]) -> str:
    def shown(value: Any) -> str:
        return _short(value) if isinstance(value, float) else str(value)

    return "; ".join(f"{key}: {shown(value)}" for key, value in facts.items())


def _where(facts: dict[str, str]) -> str:
    versions = ", ".join(f"{key} {facts[key]}" for key in ("python", "torch", "numpy") if key in facts)
    return f"{facts.get('machine', 'an unknown machine')}; {versions}; commit {facts.get('commit', 'unknown')}"
