"""The way from data to a verdict through the command line: train, resume, evaluate, JSON; what the help teaches."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imitari.cli
from imitari.cli import main
from imitari.core.demos import Demos
from imitari.data.opening import save_demos
from imitari.envs import task_named
from imitari.jobs.demonstrations import demonstrate
from imitari.learn.agent import Agent

STATE, TOP = "observation.state", "observation.images.top"
TINY = ["--steps", "40", "--batch", "16", "--hidden", "32", "--quiet"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten demonstrations of the smallest task, as a LeRobot folder."""
    place = tmp_path_factory.mktemp("data") / "demos"
    save_demos(demonstrate(task_named("two_ways"), range(10)), place)
    return place


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training that nobody may change."""
    place = tmp_path_factory.mktemp("runs") / "bc"
    assert command("train", "bc", "--data", data, "--task", "two_ways", "--seed", 3, "--out", place, *TINY) == 0
    return place


def command(*words: Any) -> int:
    return main([str(word) for word in words])


def facts(run: Path) -> dict[str, Any]:
    return json.loads((run / "agent.json").read_text())


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_folder_says_where_it_came_from(run: Path, data: Path) -> None:
    known = facts(run)
    assert known["method"] == "bc"
    assert known["settings"]["steps"] == 40
    assert known["settings"]["hidden"] == [32]
    assert known["facts"]["task"] == "two_ways"
    assert known["facts"]["seed"] == 3
    assert known["facts"]["data"]["provenance"]["path"] == str(data)
    assert known["facts"]["data"]["episodes"] == 10
    assert known["facts"]["starts"] == {"two_ways": list(range(10))}
    assert json.loads((run / "train.json").read_text())["data"] == [str(data)]
    assert rows(run)[-1]["step"] == 40


def test_the_same_command_gives_the_same_agent_and_touches_nothing(run: Path, data: Path, tmp_path: Path) -> None:
    words = ["train", "bc", "--data", data, "--task", "two_ways", "--seed", 3, "--out", tmp_path / "again", *TINY]
    assert command(*words) == 0
    assert facts(tmp_path / "again")["identity"] == facts(run)["identity"]
    weights, before = tmp_path / "again" / "weights.safetensors", rows(tmp_path / "again")
    content = weights.read_bytes()
    assert command(*words) == 0
    assert weights.read_bytes() == content
    assert rows(tmp_path / "again") == before


def test_a_cut_off_training_is_resumed(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from imitari.jobs import training
    from imitari.learn import run as loop

    step: Callable[..., None] = loop.Updates.step

    def interrupted(self: Any, number: int, batch: Any, *losses: Any) -> None:
        if number == 25:
            raise KeyboardInterrupt
        step(self, number, batch, *losses)

    words = ["train", "bc", "--data", data, "--task", "two_ways", "--seed", 3, "--out", tmp_path / "cut", *TINY]
    monkeypatch.setattr(loop.Updates, "step", interrupted)
    monkeypatch.setattr(training, "Run", partial(loop.Run, save_seconds=0.0))
    assert command(*words) == 130
    assert "resumes" in capsys.readouterr().err
    assert not (tmp_path / "cut" / "agent.json").exists()
    begun: list[int] = []

    def watched(self: Any, number: int, batch: Any, *losses: Any) -> None:
        begun.append(number)
        step(self, number, batch, *losses)

    monkeypatch.setattr(loop.Updates, "step", watched)
    assert command(*words) == 0
    assert begun[0] == 25
    assert facts(tmp_path / "cut")["identity"] == facts(run)["identity"]


def test_evaluation_counts_successes_and_goes_on_where_it_was(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from imitari.jobs import evaluation

    assert command("evaluate", run, "--episodes", 4, "--seeds", 500, "--json", tmp_path / "4.json", "--quiet") == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "4.json").read_text())
    assert f"two_ways: {found['successes']} of 4 succeeded" in printed
    assert found["episodes"] == 4
    assert found["agent"] == facts(run)["identity"]
    assert 0 <= found["low"] <= found["success"] <= found["high"] <= 1
    asked: list[int] = []
    rollout = evaluation.rollout

    def watched(agent: Any, task: Any, seeds: Any, **options: Any) -> Any:
        asked.extend(seeds)
        return rollout(agent, task, seeds, **options)

    monkeypatch.setattr(evaluation, "rollout", watched)
    words = ("evaluate", run, "--task", "two_ways", "--episodes", 7, "--seeds", 500, "--quiet")
    assert command(*words, "--json", tmp_path / "7.json") == 0
    assert asked == [504, 505, 506]
    outcomes = evaluation.read_outcomes(run / evaluation.OUTCOMES)
    assert [row.start for row in outcomes] == list(range(500, 507))
    assert json.loads((tmp_path / "7.json").read_text())["successes"] == sum(row.success for row in outcomes)


def test_a_trained_policy_solves_more_than_chance(tmp_path: Path) -> None:
    # Demonstrations that all pass on one side leave nothing to average over: cloning has to work.
    demos = demonstrate(task_named("two_ways"), range(60))
    left = demos.keep([bool(one.obs[STATE][:, 0].min() < -0.3) for one in demos])
    save_demos(left, tmp_path / "left.npz", "npz")
    words = ["--task", "two_ways", "--out", tmp_path / "run", "--steps", 600, "--batch", 64, "--hidden", 64, 64]
    assert command("train", "bc", "--data", tmp_path / "left.npz", *words, "--quiet") == 0
    assert command("evaluate", tmp_path / "run", "--episodes", 20, "--json", tmp_path / "out.json", "--quiet") == 0
    assert json.loads((tmp_path / "out.json").read_text())["success"] > 0.8


def test_presets_and_settings_over_them(data: Path, tmp_path: Path) -> None:
    words = ["train", "bc", "--data", data, "--task", "two_ways", "--preset", "paper", *TINY]
    assert command(*words, "--out", tmp_path / "paper") == 0
    settings = facts(tmp_path / "paper")["settings"]
    assert (settings["head"], settings["lr"]) == ("gmm", 1e-4)  # of the preset
    assert (settings["steps"], settings["hidden"]) == (40, [32])  # given


def test_fewer_episodes_and_a_held_out_part(data: Path, tmp_path: Path) -> None:
    words = ["train", "bc", "--data", data, "--task", "two_ways", "--episodes", 6, "--holdout", 0.34, *TINY]
    assert command(*words, "--out", tmp_path / "a") == 0
    assert facts(tmp_path / "a")["facts"]["data"]["episodes"] == 4
    assert np.isfinite(rows(tmp_path / "a")[-1]["held_action_loss"])
    assert command(*words, "--seed", 1, "--out", tmp_path / "b") == 0
    starts = [facts(tmp_path / name)["facts"]["starts"]["two_ways"] for name in "ab"]
    assert starts[0] != starts[1]
    assert all(len(seeds) == 4 for seeds in starts)


def test_several_data_sets_are_joined(data: Path, tmp_path: Path) -> None:
    save_demos(demonstrate(task_named("two_ways"), range(20, 23)), tmp_path / "more.npz", "npz")
    words = ["train", "bc", "--data", data, "--data", tmp_path / "more.npz", "--task", "two_ways", *TINY]
    assert command(*words, "--out", tmp_path / "run") == 0
    assert facts(tmp_path / "run")["facts"]["data"]["episodes"] == 13


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two demonstrations with a camera, as a LeRobot folder with video."""
    place = tmp_path_factory.mktemp("data") / "pictures"
    save_demos(demonstrate(task_named("two_ways", pixels=64), range(2)), place)
    return place


def test_images_are_left_out_unless_asked_for(pictures: Path, tmp_path: Path) -> None:
    assert command("train", "bc", "--data", pictures, "--task", "two_ways", "--out", tmp_path / "run", *TINY) == 0
    assert list(Agent.load(tmp_path / "run").spec.obs) == [STATE]


def test_from_pictures(pictures: Path, tmp_path: Path) -> None:
    words = ["--pixels", 16, "--steps", 4, "--batch", 4, "--hidden", 8, "--quiet"]
    for name, more in (("both", []), ("blind", ["--obs", TOP])):
        out = tmp_path / name
        assert command("train", "bc", "--data", pictures, "--task", "two_ways", "--out", out, *words, *more) == 0
        spec = Agent.load(out).spec
        assert set(spec.obs) == ({STATE, TOP} if name == "both" else {TOP})
        assert spec.obs[TOP].shape == (16, 16, 3)
        assert command("evaluate", out, "--episodes", 2, "--quiet") == 0


def test_flags_may_stand_before_the_method(data: Path, tmp_path: Path) -> None:
    assert command("train", "--quiet", "--out", tmp_path / "iql", "--data", data, "bc", "--steps", 2, "--batch", 2) == 0
    assert facts(tmp_path / "iql")["settings"]["steps"] == 2


@pytest.mark.parametrize("words", [["--data"], ["--data", "x", "--out", "y", "bc", "--hlep"]])
def test_wrong_usage_is_status_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("train", *words) == 2
    assert capsys.readouterr().err.startswith("imitari: ")


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    general = helped(capsys, "train")
    assert "imitari train METHOD --data PATH --task TASK --seed N --out DIR" in general
    assert "resumes a training that was cut off" in general
    assert "bc Behaviour cloning" in general
    of_bc = helped(capsys, "train", "bc")
    assert "--hidden N [N ...] widths of the layers (default 256 256)" in of_bc
    assert (
        "--head {mse,tanh,gmm} squared error, the same of a squashed action, or a Gaussian mixture (default mse)"
        in of_bc
    )
    assert "--preset small: steps 3000" in of_bc
    assert "--expectile" not in of_bc


def test_every_setting_of_every_method_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    import dataclasses

    from imitari.cli._parser import field_comments
    from imitari.core import registry
    from imitari.learn.method import method_class

    for name in registry.entries("methods"):
        method = method_class(name)
        lacking = {field.name for field in dataclasses.fields(method)} - field_comments(method).keys()
        assert not lacking, f"{name}: {lacking} have no comment"
        assert main(["methods", name]) == 0
        assert "settings:" in capsys.readouterr().out


def test_without_arguments_there_are_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    verbs = {path.stem for path in Path(imitari.cli.__file__).parent.glob("*.py") if not path.stem.startswith("_")}
    used = {line.split()[1] for line in shown.splitlines() if line.startswith("  imitari ")}
    assert len(used) >= 6
    assert used <= verbs


def test_no_catch_all_hides_a_mistake_of_ours() -> None:
    tree = ast.parse(Path(imitari.cli.__file__).read_text())
    caught = [handler.type for handler in ast.walk(tree) if isinstance(handler, ast.ExceptHandler)]
    names = [node.id for kind in caught for node in (ast.walk(kind) if kind else []) if isinstance(node, ast.Name)]
    assert None not in caught
    assert names
    assert not {"Exception", "BaseException"} & set(names)


def test_left_means_left() -> None:
    """What the policy test above relies on: the expert goes both ways."""
    demos: Demos = demonstrate(task_named("two_ways"), range(60))
    sides = [bool(one.obs[STATE][:, 0].min() < -0.3) for one in demos]
    assert 15 < sum(sides) < 45
