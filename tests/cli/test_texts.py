"""Training on texts, writing and scoring from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imitari.cli import main
from imitari.core.demos import Demos
from imitari.data.opening import save_demos

SMALL = ["--steps", "20", "--batch", "8", "--width", "16", "--heads", "2", "--longest", "16", "--response", "6"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, text_demos: Demos) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("texts")
    save_demos(text_demos, folder / "texts.jsonl", "jsonl")
    words = ["train", "irl_lm", "--data", str(folder / "texts.jsonl"), "--out", str(folder / "run"), "--quiet"]
    assert main([*words, "--holdout", "0.2", *SMALL]) == 0
    return folder / "run", folder / "texts.jsonl"


def test_texts_are_written_alike_with_one_seed(run: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for seed in ("3", "3", "4"):
        assert main(["write", str(run[0]), "--prompt", "7=", "--prompt", "12=", "--count", "4", "--seed", seed]) == 0
        said.append(capsys.readouterr().out.splitlines())
    assert said[0] == said[1] != said[2]
    assert [line.split(" ")[0] for line in said[0][:-1]] == ["7="] * 4 + ["12="] * 4
    assert said[0][-1].startswith("of 4 answers")


def test_texts_are_scored(run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scores.json"
    assert main(["score", str(run[0]), "--data", str(run[1]), "--each", "--json", str(out)]) == 0
    lines, rows = capsys.readouterr().out.splitlines(), json.loads(out.read_text())
    assert lines[0].startswith("40 texts")
    assert len(lines) == 41
    rewards = [float(line.split()[0]) for line in lines[1:]]
    assert rewards == sorted(rewards, reverse=True)
    assert rewards[0] == pytest.approx(max(row["reward"] for row in rows), abs=1e-3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["write", "RUN", "--prompt", "x="], "character 'x'"),
        (["write", "RUN", "--prompt", "7=", "--temperature", "-1"], "temperature"),
        (["write", "RUN", "--prompt", "1" * 20], "leaves no room"),
        (["write", "/nowhere", "--prompt", "7="], "holds no trained agent"),
        (["score", "RUN", "--data", "/nowhere.jsonl"], "does not exist"),
        (["score", "RUN", "--data", "DATA", "--gamma", "2"], "--gamma 2"),
        (["score", "RUN", "--data", "DATA", "--fields", "a", "b"], "field 'a' is missing"),
    ],
)
def test_what_is_wrong_is_said(
    run: tuple[Path, Path], words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"RUN": str(run[0]), "DATA": str(run[1])}
    assert main([names.get(word, word) for word in words]) == 2
    assert said in capsys.readouterr().err
