"""The ways in which a task was solved, from outcomes to what users see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from imitari.core.outcome import Outcome
from imitari.envs import task_named
from imitari.evaluate.diversity import divergence_from_demos, shown
from imitari.evaluate.summary import in_words, summary, ways_row

ROW = Outcome("policy", "pushing", 0, 0, True, 1.0, 1.0, 40, "terminated", 0)


def rows(ways: list[int], first: int = 0) -> list[Outcome]:
    """One outcome a start; -2: it failed, -1: it was solved in no known way."""
    return [
        replace(ROW, start=first + number, success=way != -2, behaviour=max(way, -1)) for number, way in enumerate(ways)
    ]


def test_starts_of_a_context_are_put_together() -> None:
    task = task_named("pushing", repeats=4)
    outcomes = rows([0, 0, 1, -2, 2, 3, 2, 3, -2, -2, -2, -2])
    found = summary(outcomes[::-1], task)["behaviours"]
    first = scipy.stats.entropy([2, 1], base=4)
    assert found["entropy"] == pytest.approx((first + 0.5 + 0) / 3)
    assert found["entropy_of_solved"] == pytest.approx((first + 0.5) / 2)
    assert found["pooled"] == pytest.approx(scipy.stats.entropy([2, 1, 2, 2], base=4))
    assert found["counts"] == {"rr-gg": 2, "gg-rr": 1, "rg-gr": 2, "gr-rg": 2}
    assert (found["seen"], found["possible"], found["contexts"], found["contexts_solved"]) == (4, 4, 3, 2)
    words = in_words(found)
    assert "4 of 4 ways seen, entropy 0.320 over 3 contexts (0.480 over the 2 with a success)" in words


def test_a_task_with_one_start_has_one_context() -> None:
    task = task_named("avoiding")
    found = summary(rows([5, 5, 7, -1, -2], first=1000), task)
    assert found["success"] == 0.8
    ways = found["behaviours"]
    assert ways["contexts"] == 1
    assert ways["entropy"] == pytest.approx(scipy.stats.entropy([2, 1], base=24))
    assert ways["unknown"] == 1
    assert "1 solved in no known way" in in_words(ways)
    assert ways_row("name", rows([5, 5, 7, -2]), task)[1:3] == ("75.0% (3 of 4)", "2 of 24")


def test_one_rollout_a_start_is_told_apart_from_several() -> None:
    found = summary(rows([0, 1, 2, 3]), task_named("pushing"))["behaviours"]
    assert (found["entropy"], found["pooled"]) == (0.0, pytest.approx(1.0))
    assert in_words(found) == "4 of 4 ways seen, entropy 1.000 over all starts together"


def test_nothing_was_solved() -> None:
    found = summary(rows([-2, -2]), task_named("avoiding"))["behaviours"]
    assert (found["seen"], found["entropy"], found["entropy_of_solved"]) == (0, 0.0, None)
    assert "nan" not in in_words(found)


def test_divergence_of_unequal_starts_in_closed_form() -> None:
    task = task_named("sorting/2", repeats=3)
    seen = shown(rows([0, 0, 1, 1, 1, 1, -2, -2, -2, 0]), 2, task.context)
    assert seen.success.sum(1).tolist() == [3, 3, 0, 1]
    own = [(2 / 3) * np.log2((2 / 3) / 0.75) + (1 / 3) * np.log2((1 / 3) / 0.25), np.log2(1 / 0.25), np.log2(1 / 0.75)]
    assert divergence_from_demos(seen.behaviour, seen.success, [30, 10]) == pytest.approx(np.mean(own))


def test_the_evaluation_tells_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from imitari.cli import main

    data, run, out = tmp_path / "demos.npz", tmp_path / "run", tmp_path / "summary.json"
    assert main(["collect", "pushing", "--episodes", "4", "--seeds", "7", "--out", str(data), "--quiet"]) == 0
    settings = ["--steps", "20", "--hidden", "8", "--batch", "16"]
    assert main(["train", "bc", "--data", str(data), "--task", "pushing", "--out", str(run), *settings, "--quiet"]) == 0
    asked = ["evaluate", str(run), "--episodes", "4", "--quiet"]
    assert main([*asked, "--repeats", "2", "--json", str(out)]) == 0
    assert "0 of 4 ways seen, entropy 0.000 over 2 contexts" in capsys.readouterr().out
    assert '"contexts": 2' in out.read_text()
    assert main([*asked, "--repeats", "2", "--seeds", "14"]) == 2
    assert "start 14 (of 4) was in the training data of this agent: choose --seeds beyond 21" in capsys.readouterr().err
