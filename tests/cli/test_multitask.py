"""Named data sets and instructions through the command line: what training was told, acting is told too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imitari.cli import main
from imitari.core.spec import INSTRUCTION, PRESENT, SOURCE
from imitari.data.opening import save_demos
from imitari.envs import maze, task_named
from imitari.evaluate.outcomes import read_outcomes
from imitari.jobs.demonstrations import demonstrate
from imitari.jobs.evaluation import OUTCOMES
from imitari.jobs.sources import Source, parsed
from imitari.learn.agent import Agent

TINY = ["--steps", "5", "--batch", "8", "--hidden", "8", "--quiet"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("data")
    for name in ("detour", "medium"):
        save_demos(demonstrate(task_named(f"maze/{name}"), range(3)), place / name)
    return {name: place / name for name in ("detour", "medium")}


@pytest.fixture(scope="module")
def run(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    data = ["--data", f"near={folders['detour']}*2", "--data", f"far={folders['medium']}"]
    assert command("train", "bc", *data, "--instruction", "words:8", "--out", out, *TINY) == 0
    return out


def command(*words: Any) -> int:
    return main([str(word) for word in words])


def test_the_agent_remembers_its_data_sets_and_its_vectors(run: Path) -> None:
    agent = Agent.load(run)
    assert agent.spec.obs[SOURCE].names == ("near", "far")
    assert agent.spec.obs[INSTRUCTION].shape == (8,)
    assert PRESENT not in agent.spec.obs, "nothing is lacking"
    assert agent.facts["sources"] == {"near": ["maze/detour"], "far": ["maze/medium"]}
    assert agent.facts["instruction"] == "words:8"
    assert agent.scaler.scalings["observation.state"].offset.shape == (2, 2)
    assert "mixed: near (weight 2), far (weight 1)" in agent.facts["data"]["provenance"]["steps"]


def test_it_plays_the_part_of_the_data_set_that_was_recorded_in_the_task(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", run, "--episodes", 2, "--quiet"]
    assert command(*words, "--task", "maze/medium") == 0
    assert command(*words, "--task", "maze/detour", "--source", "far") == 0
    tasks = [row.task for row in read_outcomes(run / OUTCOMES)]
    assert sorted(set(tasks)) == ["maze/detour (source far)", "maze/medium"]
    capsys.readouterr()
    assert command(*words, "--task", "two_ways") == 2
    assert "belongs to none of the data sets that this agent was trained on (near, far)" in capsys.readouterr().err
    assert command(*words, "--task", "maze/detour", "--source", "middle") == 2
    assert "choose from near, far" in capsys.readouterr().err
    assert command("evaluate", run, "--task", "maze/medium", "--seeds", 1, "--quiet") == 2
    assert "was in the training data" in capsys.readouterr().err


def test_outcomes_of_a_mixture_are_told_apart_by_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = maze.task

    def worded(name: str, **options: Any) -> Any:
        return replace(made(name, **options), description=f"go through the {name}")

    monkeypatch.setattr(maze, "task", worded)
    both, out = "mixed/maze/detour+medium", tmp_path / "run"
    assert command("collect", both, "--episodes", 4, "--out", tmp_path / "both", "--quiet") == 0
    data = ["--data", tmp_path / "both", "--task", both]
    chosen = ["--instruction", "words:8", "--obs", "observation.state"]
    assert command("train", "bc", *data, *chosen, "--out", out, *TINY) == 0
    assert list(Agent.load(out).spec.obs) == ["observation.state", INSTRUCTION]
    capsys.readouterr()
    assert command("evaluate", out, "--episodes", 4, "--quiet", "--json", tmp_path / "facts.json") == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert {part: found["episodes"] for part, found in facts["parts"].items()} == {"maze/detour": 2, "maze/medium": 2}
    assert "  maze/medium: " in capsys.readouterr().out
    assert command("evaluate", out, "--task", "maze/detour", "--episodes", 1, "--quiet") == 0
    assert Agent.load(out).facts["starts"] == {"maze/detour": [0, 2], "maze/medium": [1, 3]}


def test_words_of_named_data_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed(["a=x/y*2.5", "b-1=z=w", "c=p*q/r"]) == [
        Source("a", "x/y", 2.5),
        Source("b-1", "z=w", None),
        Source("c", "p*q/r", None),
    ]
    assert parsed(["plain", "lerobot/pusht"]) == []
    (tmp_path / "odd=name").mkdir()
    assert parsed([str(tmp_path / "odd=name")]) == []
    out = ["--out", tmp_path / "out", *TINY]
    assert command("train", "bc", "--data", "a=x*two", *out) == 2
    assert "weight 'two' is no number" in capsys.readouterr().err
    assert command("train", "bc", "--data", "a=x", "--data", "y", *out) == 2
    assert "has no name where others have" in capsys.readouterr().err
    assert command("train", "bc", "--data", "a=x", "--data", "a=y", *out) == 2
    assert "another data set is called 'a' too" in capsys.readouterr().err
    assert command("train", "recoil", "--data", "a=x", "--play", "y", *out) == 2
    assert "leave the names out" in capsys.readouterr().err
    assert command("train", "dagger", "--data", "a=x", "--task", "maze/detour", *out[:2]) == 2
    assert "give one data set, without a name" in capsys.readouterr().err
