"""`imitari compare`, `imitari report` and `imitari plan` on trained agents."""

import json
from pathlib import Path

import pytest

from imitari.cli import main
from imitari.core.demos import Demos
from imitari.envs import task_named
from imitari.evaluate.outcomes import read_outcomes
from imitari.jobs.training import TrainRequest, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, small_demos: Demos) -> tuple[Path, Path]:
    """Two agents of the two_ways task, one hardly trained."""
    root = tmp_path_factory.mktemp("runs")
    for name, steps in (("good", 400), ("poor", 2)):
        settings = {"steps": steps, "batch": 64, "hidden": (64, 64), "head": "gmm"}
        request = TrainRequest("bc", settings, task="two_ways", show=False)
        train(request, root / name, small_demos, task_named("two_ways"))
    return root / "good", root / "poor"


def test_missing_starts_are_made_and_kept(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", *map(str, runs), "--episodes", "40", "--quiet", "--json", str(tmp_path / "c.json")]
    assert main(words) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "c.json").read_text())
    assert "two_ways, 40 paired starts (100000 to 100039)" in said
    assert found["verdict"] in said
    assert sum(found["pairs"][key] for key in ("both", "only_a", "only_b", "neither")) == 40
    first = read_outcomes(runs[0] / "outcomes.parquet")
    assert len(first) >= 40
    assert found["success_a"]["estimate"] == sum(row.success for row in first if row.start < 100_040) / 40
    # Without further words the same starts are compared again, and nothing is run.
    before = (runs[0] / "outcomes.parquet").stat().st_mtime_ns
    assert main(["compare", *map(str, runs), "--quiet"]) == 0
    assert (runs[0] / "outcomes.parquet").stat().st_mtime_ns == before


def test_sequential_comparison_ends(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *map(str, runs), "--sequential", "--episodes", "60", "--quiet"]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert "decided after" in last or "no decision after all 60 pairs" in last


def test_three_runs_get_letters_and_violins(
    runs: tuple[Path, Path], small_demos: Demos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"steps": 2, "batch": 64, "hidden": (64, 64), "head": "gmm"}
    train(TrainRequest("bc", settings, task="two_ways", seed=1, show=False), tmp_path / "third", small_demos)
    words = ["compare", *map(str, runs), str(tmp_path / "third"), "--task", "two_ways", "--episodes", "40", "--quiet"]
    assert main([*words, "--png", str(tmp_path / "v.png"), "--json", str(tmp_path / "m.json")]) == 0
    said = capsys.readouterr().out
    assert "3 pairs by mcnemar" in said
    assert (tmp_path / "v.png").stat().st_size > 1000
    found = json.loads((tmp_path / "m.json").read_text())
    letters = {row["name"]: row["letters"] for row in found["policies"]}
    for pair in found["pairs"]:
        assert pair["different"] == (not set(letters[pair["a"]]) & set(letters[pair["b"]]))
    assert letters["good"] not in letters["third"]
    out = tmp_path / "report.html"
    assert main(["report", *map(str, runs), str(tmp_path / "third"), "--no-films", "--out", str(out)]) == 0
    assert f"good {letters['good']}" in out.read_text()
    capsys.readouterr()
    assert main([*words, "--sequential", "--test", "evidence"]) == 0
    assert "by evidence" in capsys.readouterr().out
    assert main([*words, "--sequential", "--milestones", "3"]) == 2
    assert "leave out the test" in capsys.readouterr().err
    assert main(["compare", *map(str, (*runs, runs[0]))]) == 2
    assert "named twice" in capsys.readouterr().err


def test_shifted_conditions_are_kept_apart(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(runs[0]), "--episodes", "5", "--quiet"]
    assert main([*words, "--shift", "observation:0.05,action:0.5"]) == 0
    name = "shifted/observation:0.05,action:0.5/two_ways"
    assert capsys.readouterr().out.startswith(f"{name}: ")
    assert sum(row.task == name for row in read_outcomes(runs[0] / "outcomes.parquet")) == 5
    assert main([*words, "--shift", "wind:3"]) == 2
    assert "no change 'wind'" in capsys.readouterr().err
    assert main(["compare", *map(str, runs), "--task", name, "--episodes", "5", "--quiet"]) == 0


def test_starts_of_the_training_are_refused(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs[0]), str(runs[1].parent / "none"), "--quiet"]) == 2
    assert "holds no trained agent" in capsys.readouterr().err
    assert main(["compare", *map(str, runs), "--task", "two_way", "--quiet"]) == 2
    assert "did you mean two_ways?" in capsys.readouterr().err


def test_report_of_runs(runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare", *map(str, runs), "--episodes", "40", "--quiet"])
    out = tmp_path / "report.html"
    assert main(["report", *map(str, runs), "--out", str(out)]) == 0
    text = out.read_text()
    assert "start 100000:" in text
    assert text.count("data:image/jpeg") == 10  # five starts of each
    assert "Learning curves" in text
    assert "The same starts, side by side" in text
    assert main(["report", str(runs[0]), str(runs[0]), "--out", str(out)]) == 2
    assert "named twice" in capsys.readouterr().err


def test_plan(capsys: pytest.CaptureFixture[str]) -> None:
    from imitari.evaluate.planning import rollouts_for_power

    assert main(["plan", "0.7", "85%"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("80%"))
    assert int(line.split()[1]) == rollouts_for_power(0.7, 0.85)
    assert main(["plan"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.split()[0] == "50%")
    assert int(row.split()[2]) == rollouts_for_power(0.5, 0.6)
    assert main(["plan", "0.7"]) == 2
    assert main(["plan", "0.7", "0.7"]) == 2
    assert main(["plan", "0.7", "7"]) == 2
