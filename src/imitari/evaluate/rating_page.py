"""The page on which blind runs are rated: numbered films, yes or no, a CSV file to save; no names, no verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from imitari.evaluate.bundles import columns

HEAD = """<!doctype html><html lang='en'><head><meta charset='utf-8'>
<meta name='viewport' content='width=device-width, initial-scale=1'><title>Rating</title><style>%s
.run { display: grid; grid-template-columns: 180px 1fr; gap: 16px; align-items: start; }
.run label { margin-right: 12px; } .run fieldset { border: 0; padding: 0; margin: 0 0 6px; }
button { font: inherit; padding: 8px 18px; position: sticky; bottom: 12px; }
</style></head><body><main>"""
# Answers stay in the browser until they are saved, so that a closed page is no loss.
SCRIPT = """<script>
const columns = %s, key = %s, kept = JSON.parse(localStorage.getItem(key) || "{}");
const count = () => document.getElementById("count").textContent =
  Object.values(kept).filter(row => columns.slice(1).every(name => row[name])).length;
for (const input of document.querySelectorAll("input")) {
  const [run, name] = input.name.split(":");
  input.checked = (kept[run] || {})[name] === input.value;
  input.onchange = () => {
    (kept[run] ||= {})[name] = input.value;
    localStorage.setItem(key, JSON.stringify(kept));
    count();
  };
}
count();
document.getElementById("save").onclick = () => {
  const rows = Object.keys(kept).map(Number).sort((a, b) => a - b)
    .filter(run => columns.slice(1).every(name => kept[run][name]))
    .map(run => [run, ...columns.slice(1).map(name => kept[run][name])].join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[columns.join(","), ...rows, ""].join("\\n")], { type: "text/csv" }));
  link.download = "ratings.csv";
  link.click();
};
</script>"""


def rating_page(study: str, questions: Sequence[str], films: dict[int, tuple[str, int]], runs: int) -> str:
    """The page as HTML.

    Args:
        study: tells the answers of one study from those of another, in the browser.
        questions: asked of each run besides whether it succeeded.
        films: run -> (address of its frames side by side, their number).
        runs: how many there are; those without a film are listed without one.
    """
    style = (Path(__file__).parent / "_style.css").read_text()
    lead = (
        "<h1>Which runs succeeded?</h1><p class='soft'>Runs are numbered in random order, so that nobody knows whose "
        f"they are. Answered: <span id='count'>0</span> of {runs}.</p>"
    )
    blocks = [_block(run, questions, films.get(run)) for run in range(1, runs + 1)]
    end = "<button id='save'>Save ratings.csv</button></main>"
    script = SCRIPT % (json.dumps(columns(questions)), json.dumps(f"imitari {study}"))
    return HEAD % style + lead + "".join(blocks) + end + script + "</body></html>"


def _block(run: int, questions: Sequence[str], film: tuple[str, int] | None) -> str:
    asked = [("success", "Did it succeed?"), *((f"q{n}", text) for n, text in enumerate(questions, 1))]
    fields = "".join(
        f"<fieldset><legend>{escape(text)}</legend>"
        + "".join(
            f"<label><input type='radio' name='{run}:{name}' value='{value}'> {value}</label>"
            for value in ("yes", "no")
        )
        + "</fieldset>"
        for name, text in asked
    )
    shown = "" if film is None else _film(*film)
    return f"<section class='run'><div><h2>run {run}</h2>{shown}</div><div>{fields}</div></section>"


def _film(address: str, count: int) -> str:
    seconds = 0.12 * count + 0.8
    style = (
        f"background-image:url({escape(address)});background-size:{count * 100}% 100%;"
        f"animation:film{count} {seconds:.2f}s steps({max(2, count)}, jump-none) infinite"
    )
    return (
        f"<style>@keyframes film{count}{{to{{background-position-x:100%}}}}</style>"
        f'<div class="film" style="{style}"></div>'
    )
