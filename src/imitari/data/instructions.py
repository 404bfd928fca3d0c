"""What to do, said in words and given to a policy as numbers: an instruction becomes one more observation."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from imitari.core.columns import ArrayColumn, CodedColumn, TextColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array
from imitari.core.errors import UserError, missing_extra
from imitari.core.spec import INSTRUCTION, Feature, Spec

TASK = "task"  # the text column, and the entry of an episode's `source`, that say what to do
WIDTH = 64
SPAN = 256  # texts that go through a sentence encoder together


class Vectors(Protocol):
    """Texts to vectors: fixed functions, so that a text means the same in training and in acting.

    What they give has length sqrt(width), so that its entries are of order one: it is not scaled any more.
    """

    @property
    def width(self) -> int: ...

    def __call__(self, texts: Sequence[str]) -> Array:
        """(N,) texts to (N, width) float32."""
        ...


class WordVectors:
    """Counts of words and of neighbouring words, hashed with signs (Weinberger et al. 2009): no vocabulary.

    But for collisions, the first linear layer behind them holds a trained vector for each word and each pair of words.

    Args:
        width: number of counters.
    """

    def __init__(self, width: int = WIDTH) -> None:
        self.width = _positive(width)

    def __call__(self, texts: Sequence[str]) -> Array:
        out = np.zeros((len(texts), self.width), np.float32)
        for row, text in zip(out, texts, strict=True):
            words = re.findall(r"\w+", text.lower())
            for token in (*words, *(" ".join(pair) for pair in pairwise(words))):
                place, sign = divmod(zlib.crc32(token.encode()), 2)
                row[place % self.width] += 2 * sign - 1
        return _of_length(out)


class RandomVectors:
    """A fixed random vector for each text, nearly orthogonal to that of every other: texts as mere names.

    Args:
        width: of the vectors.
    """

    def __init__(self, width: int = WIDTH) -> None:
        self.width = _positive(width)

    def __call__(self, texts: Sequence[str]) -> Array:
        drawn = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(self.width) for text in texts]
        return _of_length(np.asarray(drawn, np.float32).reshape(len(texts), self.width))


class OneHot:
    """An indicator for each of some texts.

    Args:
        texts: those that there are; any other is refused.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(dict.fromkeys(texts))
        self.width = _positive(len(self.texts))

    def __call__(self, texts: Sequence[str]) -> Array:
        for text in texts:
            if text not in self.texts:
                raise UserError(f"instruction '{text}' is none of {', '.join(map(repr, self.texts))}: use one of them")
        return _of_length(np.eye(self.width, dtype=np.float32)[[self.texts.index(text) for text in texts]])


class SentenceEncoder:
    """The mean of the last layer of a frozen language encoder over the tokens of a text.

    Args:
        path: folder of an encoder for `transformers` with safetensors weights; nothing is downloaded.

    Raises:
        UserError: when the folder is not there or holds no such encoder.
        Missing: when `transformers` is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_dir():
            raise UserError(
                f"instruction vectors '{path}': is neither words nor random nor a folder here: give the folder of a "
                "sentence encoder that was downloaded before"
            )
        try:
            from transformers import AutoModel, AutoTokenizer
            from transformers.utils.logging import disable_progress_bar
        except ImportError as error:
            raise missing_extra("transformers", "lm") from error
        disable_progress_bar()
        try:
            self._words: Any = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
            model: Any = AutoModel.from_pretrained(str(path), local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{path}: holds no sentence encoder that can be read without network ({reason}): give the folder of "
                "one with config.json, its tokenizer and model.safetensors"
            ) from error
        self._model = model.eval().requires_grad_(False)
        self.width = int(model.config.hidden_size)

    def __call__(self, texts: Sequence[str]) -> Array:
        spans = [texts[first : first + SPAN] for first in range(0, len(texts), SPAN)]
        return _of_length(np.concatenate([self._means(span) for span in spans]))

    def _means(self, texts: Sequence[str]) -> Array:
        import torch

        words = self._words(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            tokens = self._model(**words).last_hidden_state.float()
        there = words["attention_mask"].unsqueeze(-1).float()
        return ((tokens * there).sum(1) / there.sum(1)).numpy()


def vectors_named(name: str) -> Vectors:
    """From "words", "random" (each with ":<width>" or without), or the folder of a sentence encoder."""
    kind, _, width = name.partition(":")
    if kind not in ("words", "random"):
        return SentenceEncoder(name)
    if width and not width.isdecimal():
        raise UserError(f"instruction vectors '{name}': the width must be a whole number, as in {kind}:{WIDTH}")
    return (WordVectors if kind == "words" else RandomVectors)(int(width or WIDTH))


def texts_of(demos: Demos) -> TextColumn:
    """What to do at each row of the columns: the text column `task`, else what each episode's source says.

    Raises:
        UserError: when an episode does not say.
    """
    column = demos.columns.get(TASK)
    if isinstance(column, TextColumn):
        return column
    told = [source.get(TASK) for source in demos.table.source]
    for number, text in enumerate(told):
        if not text:
            raise UserError(
                f"{demos.provenance.path}: episode {number} does not say what was to be done ('{TASK}' is missing): "
                "use data that says it, as `imitari collect` records it, or give `instructed` one text for all"
            )
    vocabulary, codes = np.unique(np.array(told, object).astype(str), return_inverse=True)
    rows = np.zeros(demos.columns[ACTION].shape[0], np.int32)
    rows[demos.rows(final=True)] = np.repeat(codes, demos.table.rows)
    return TextColumn(ArrayColumn(rows), vocabulary.tolist())


def instructed(demos: Demos, vectors: Vectors, text: str | None = None) -> Demos:
    """The demos with the observation `observation.instruction`, kept once a distinct text.

    Args:
        demos: whose episodes say what was to be done (see `texts_of`).
        vectors: of the texts.
        text: in the place of what they say.
    """
    if text is None:
        texts = texts_of(demos)
    else:
        texts = TextColumn(ArrayColumn(np.zeros(demos.columns[ACTION].shape[0], np.int32)), [text])
    column = CodedColumn(texts.codes, vectors([str(one) for one in texts.vocabulary]))
    spec = Spec({**demos.spec.obs, INSTRUCTION: Feature((vectors.width,))}, demos.spec.action)
    return demos.with_columns({INSTRUCTION: column}, f"instructed: {len(texts.vocabulary)} texts", spec)


def _positive(width: int) -> int:
    if width < 1:
        raise UserError(f"instruction vectors of width {width} hold nothing: choose at least 1")
    return width


def _of_length(values: Array) -> Array:
    """Rows of length sqrt(width); a row of zeros stays."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return (values * (values.shape[1] ** 0.5 / np.where(length > 0, length, 1))).astype(np.float32)
