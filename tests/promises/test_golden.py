"""Golden traces: the numbers of a short training of every method. A change in them is either a mistake or intended; an
intended one re-records them in the same commit (`IMITARI_RECORD=1 pytest tests/promises/test_golden.py`) and says why.

The bound is a thousandth and not zero, because processors sum in different orders.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from imitari.core.demos import Demos
from imitari.core.registry import entries
from imitari.core.task import Task
from imitari.learn.method import method_class
from imitari.learn.run import Run

FILE = Path(__file__).parent / "golden.json"


def trace(name: str, demos: Demos, task: Task) -> dict[str, float]:
    kind = method_class(name)
    method = kind.from_json({**kind.smoke, **({} if kind.exact else {"steps": 20})})
    run = Run(show=False, report_every=5, precision="fp32")
    agent = method.fit(demos.keep(range(6)), run, task)
    learned = agent.learner.buffers() if kind.exact else agent.learner.parameters()
    weights = sum(float(value.detach().double().abs().sum()) for value in learned)
    losses = {f"{row['stage']}/{row['step']}": row["loss"] for row in run.metrics.rows}
    return {**losses, "weights": weights}


@pytest.mark.parametrize("name", sorted(entries("methods")))
def test_twenty_updates_are_the_recorded_ones(name: str, suited_demos: Demos, suited_task: Task) -> None:
    golden = json.loads(FILE.read_text()) if FILE.exists() else {}
    seen = trace(name, suited_demos, suited_task)
    if os.environ.get("IMITARI_RECORD"):
        FILE.write_text(json.dumps({**golden, name: seen}, indent=1, sort_keys=True) + "\n")
        return
    assert name in golden, f"no trace of {name}: record one"
    assert seen.keys() == golden[name].keys()
    for key, value in golden[name].items():
        assert seen[key] == pytest.approx(value, rel=1e-3, abs=1e-5), key
