"""`imitari bundle`: drawn once, played in parts, blind on what raters see, joined to the runs' own outcomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imitari.cli import main
from imitari.core.demos import Demos
from imitari.envs import task_named
from imitari.jobs.bundling import Study
from imitari.jobs.training import TrainRequest, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, small_demos: Demos) -> list[str]:
    root = tmp_path_factory.mktemp("runs")
    for name, steps in (("good", 150), ("poor", 2), ("worse", 1)):
        settings = {"steps": steps, "batch": 64, "hidden": (64, 64), "head": "gmm"}
        train(
            TrainRequest("bc", settings, task="two_ways", show=False), root / name, small_demos, task_named("two_ways")
        )
    return [str(root / name) for name in ("good", "poor", "worse")]


def test_from_plan_to_letters(runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "study"
    words = ["bundle", "make", *runs, "--task", "two_ways", "--episodes", "12", "--out", str(out)]
    assert main([*words, "--question", "Did it set out?", "--question", "Did it pass?"]) == 0
    seen = (out / "plan.json").read_text()
    assert not any(name in seen for name in ("good", "poor", "worse"))
    assert main(words) == 2
    assert "drawn once" in capsys.readouterr().err
    # A part, then the rest; what was played stays as it is.
    assert main(["bundle", "play", str(out), "--bundles", "5", "--quiet"]) == 0
    assert "21 runs are left" in capsys.readouterr().out
    assert main(["bundle", "join", str(out)]) == 2
    assert "21 of 36 runs are not played" in capsys.readouterr().err
    first = Study.load(out).played()
    assert main(["bundle", "play", str(out), "--quiet"]) == 0
    study = Study.load(out)
    played = study.played()
    assert len(played) == 36
    assert all(played[run] == row for run, row in first.items())
    page = (out / "rate.html").read_text()
    assert page.count('class="film"') == 36
    assert len(list((out / "films").iterdir())) == 36
    # A rater who sees what the task sees; the questions are half answered where it failed.
    lines = [
        f"{run},{'yes' if row.success else 'no'},yes,{'yes' if row.success else 'no'}" for run, row in played.items()
    ]
    (tmp_path / "one.csv").write_text("\n".join(["run,success,q1,q2", *lines]))
    (tmp_path / "two.csv").write_text("\n".join(["run,success,q1,q2", *lines[:9], "36,no,no,no"]))
    capsys.readouterr()
    files = [str(tmp_path / "one.csv"), str(tmp_path / "two.csv")]
    assert main(["bundle", "join", str(out), "--ratings", *files, "--json", str(tmp_path / "j.json")]) == 0
    said = capsys.readouterr().out
    assert "two raters, 10 runs" in said
    found = json.loads((tmp_path / "j.json").read_text())
    for number, policy in enumerate(found["judged"]["policies"]):
        own = [row.success for run, row in played.items() if study.trials[run - 1].policy == number]
        assert policy["successes"] == sum(own) == found["success"]["policies"][number]["successes"]
        assert found["completion"]["policies"][number]["score"] == pytest.approx(0.5 + sum(own) / 24)
    assert [policy["name"] for policy in found["success"]["policies"]] == ["good", "poor", "worse"]


def test_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "real"
    words = ["bundle", "make", "left", "right", "--task", "table", "--episodes", "3", "--by-hand", "--out", str(out)]
    assert main(words) == 0
    capsys.readouterr()
    assert main(["bundle", "show", str(out), "--template", str(tmp_path / "r.csv")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 6
    assert said[0] == "bundle 1, start 100000: run 1"
    assert main(["bundle", "play", str(out)]) == 2
    assert "by hand" in capsys.readouterr().err
    rows = (tmp_path / "r.csv").read_text().splitlines()
    assert rows[0] == "run,success"
    (tmp_path / "r.csv").write_text("\n".join([rows[0], *(row + "yes" for row in rows[1:])]))
    assert (
        main(["bundle", "join", str(out), "--ratings", str(tmp_path / "r.csv"), "--png", str(tmp_path / "v.png")]) == 0
    )
    assert "3 of 3" in capsys.readouterr().out
    assert (tmp_path / "v.png").exists()


def test_bad_input_is_one_sentence(runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--task", "two_ways", "--episodes", "3", "--out", str(tmp_path / "s")]
    assert main(["bundle", "make", runs[0], runs[0], *words]) == 2
    assert "named twice" in capsys.readouterr().err
    assert main(["bundle", "make", runs[0], *words]) == 2
    assert "at least 2" in capsys.readouterr().err
    assert main(["bundle", "make", runs[0], str(tmp_path), *words]) == 2
    assert "no trained agent" in capsys.readouterr().err
    assert main(["bundle", "play", str(tmp_path)]) == 2
    assert "is missing" in capsys.readouterr().err
