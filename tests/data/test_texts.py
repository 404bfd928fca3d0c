"""Pairs of texts from JSONL and back through every format; what is wrong is said with file, line and field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.data.doctor import examine
from imitari.data.opening import ReadOptions, open_demos, save_demos
from imitari.data.texts import pairs, text_demos
from imitari.jobs.training import TrainRequest, train

GOOD = {"prompt": "a?", "response": "b"}


def written(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


@pytest.mark.parametrize("names", [("prompt", "response"), ("question", "answer"), ("input", "output")])
def test_usual_fields_are_read(tmp_path: Path, names: tuple[str, str]) -> None:
    path = written(tmp_path, {names[0]: "a?", names[1]: "ü\n2", "more": 1}, "", {names[0]: "", names[1]: "d"})
    assert pairs(open_demos(path)) == (["a?", ""], ["ü\n2", "d"])


def test_other_fields_by_option(tmp_path: Path) -> None:
    path = written(tmp_path, {"q": "a?", "a": "b"})
    with pytest.raises(UserError, match=r"line 1: field 'prompt' is missing .* it has q, a; name others with --fields"):
        open_demos(path)
    assert pairs(open_demos(path, options=ReadOptions(fields=("q", "a")))) == (["a?"], ["b"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", r"texts\.jsonl: line 2 is no JSON"),
        ([1], r"texts\.jsonl: line 2 is no JSON object"),
        ({"prompt": "a"}, r"texts\.jsonl: line 2: field 'response' is missing"),
        ({"prompt": "a", "response": 3}, r"texts\.jsonl: line 2: field 'response' is int and no text"),
        ({"prompt": None, "response": ""}, r"texts\.jsonl: line 2: field 'prompt' is NoneType and no text"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_demos(written(tmp_path, GOOD, line, GOOD))


def test_files_without_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no line"):
        open_demos(written(tmp_path, ""))
    path = tmp_path / "latin.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\xe9")
    with pytest.raises(UserError, match="no UTF-8"):
        open_demos(path)


@pytest.mark.parametrize("format", ["jsonl", "npz", "lerobot"])
def test_texts_go_through_the_formats(tmp_path: Path, format: str, text_demos: Demos) -> None:
    path = tmp_path / f"set.{format}"
    save_demos(text_demos, path, format)
    again = open_demos(path)
    assert pairs(again) == pairs(text_demos)
    if format != "jsonl":  # which keeps no rewards
        assert again.fingerprint() == text_demos.fingerprint()


def test_the_fingerprint_sees_texts() -> None:
    sets = [text_demos(["a", "b"], ["c", text]) for text in ("d", "e")]
    assert sets[0].fingerprint() != sets[1].fingerprint()


def test_texts_and_numbers_are_not_mixed_up(tmp_path: Path, text_demos: Demos, small_demos: Demos) -> None:
    with pytest.raises(UserError, match="learns actions that are numbers, and these are texts"):
        train(TrainRequest("bc", show=False), tmp_path / "a", text_demos)
    with pytest.raises(UserError, match="learns actions that are texts, and these are numbers"):
        train(TrainRequest("mle", show=False), tmp_path / "b", small_demos)


def test_the_doctor_finds_nothing_wrong_with_texts(text_demos: Demos) -> None:
    assert [finding.message for finding in examine(text_demos)] == []
