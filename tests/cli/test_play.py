"""Training on an expert's data and others through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from imitari.cli import main
from imitari.data.opening import save_demos
from imitari.envs import task_named
from imitari.envs.maze import Drifter
from imitari.jobs.demonstrations import demonstrate
from imitari.learn.agent import Agent

TASK = "maze/detour"
TINY = ["--task", TASK, "--steps", "5", "--batch", "8", "--hidden", "8", "--quiet"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    place = tmp_path_factory.mktemp("data")
    save_demos(demonstrate(task_named(TASK), range(2)), place / "expert")
    save_demos(demonstrate(task_named(TASK, play=True), range(10, 15), actor=Drifter()), place / "play")
    return str(place / "expert"), str(place / "play")


def test_play_is_joined_and_marked(folders: tuple[str, str], tmp_path: Path) -> None:
    expert, play = folders
    assert main(["train", "recoil", "--data", expert, "--play", play, "--out", str(tmp_path), *TINY]) == 0
    data = Agent.load(tmp_path).facts["data"]
    assert data["episodes"] == 7
    assert expert in str(data["provenance"])
    assert play in str(data["provenance"])


def test_without_play_the_remedy_is_named(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "recoil", "--data", folders[0], "--out", str(tmp_path / "a"), *TINY]) == 2
    assert "--play" in capsys.readouterr().err
    assert main(["train", "recoil", "--play", folders[1], "--out", str(tmp_path / "b"), *TINY]) == 2
    assert "--data" in capsys.readouterr().err
