"""Texts as numbers: characters, bytes, or pieces learned from a corpus by byte pair encoding (Sennrich et al. 2016)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError

Kind = Literal["characters", "bytes", "subwords"]
SPECIAL = ("<pad>", "<begin>", "<answer>", "<end>")
PAD, BEGIN, ANSWER, END = range(4)
# A word with the space before it, a number, or marks: pieces never reach over these borders.
WORD = re.compile(r" ?[A-Za-z]+|\d| ?[^\sA-Za-z\d]+|\s+")


class Tokens(Protocol):
    """What texts are written in, for one model.

    Attributes:
        pad, end: numbers of the filler and of the end of a response.
        size: of the vocabulary.
    """

    @property
    def pad(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def size(self) -> int: ...

    def prompt(self, text: str) -> Array:
        """All that stands before the first token of a response."""
        ...

    def response(self, text: str) -> Array:
        """The tokens of a response and its end."""
        ...

    def text(self, tokens: Iterable[int]) -> str:
        """The text of a response, up to its end."""
        ...

    def to_json(self) -> dict[str, Any]: ...


class Tokenizer:
    """A prompt is `<begin>` prompt `<answer>`, a response its pieces and `<end>`.

    Args:
        kind: "characters" of the corpus, "bytes" of UTF-8, or "subwords": bytes, and pieces made of two smaller ones,
            of which the earlier ones are joined first.
        pieces: the vocabulary after the special tokens; bytes are written as the characters of Latin-1.
    """

    pad, end = PAD, END

    def __init__(self, kind: Kind, pieces: Sequence[str]) -> None:
        self.kind: Kind = kind
        self.pieces = tuple(pieces)
        self._number = {piece: number for number, piece in enumerate(self.pieces, len(SPECIAL))}
        self._words: dict[str, tuple[int, ...]] = {}

    @property
    def size(self) -> int:
        return len(SPECIAL) + len(self.pieces)

    @staticmethod
    def learn(kind: Kind, texts: Sequence[str], size: int) -> Tokenizer:
        """A tokenizer for a corpus; `size` bounds the vocabulary of subwords.

        Raises:
            UserError: for an unknown kind.
        """
        if kind == "characters":
            return Tokenizer(kind, sorted(set("".join(texts))))
        every = [chr(byte) for byte in range(256)]
        if kind == "bytes":
            return Tokenizer(kind, every)
        if kind != "subwords":
            raise UserError(f"tokens '{kind}' are unknown: choose characters, bytes or subwords")
        return Tokenizer(kind, every + merges(texts, size - len(every) - len(SPECIAL)))

    def prompt(self, text: str) -> Array:
        return np.array([BEGIN, *self.encode(text), ANSWER], np.int32)

    def response(self, text: str) -> Array:
        return np.array([*self.encode(text), END], np.int32)

    def encode(self, text: str) -> list[int]:
        """Numbers of the pieces.

        Raises:
            UserError: for a character that the corpus did not have.
        """
        if self.kind == "characters":
            try:
                return [self._number[character] for character in text]
            except KeyError as error:
                raise UserError(
                    f"character {error} in {text[:40]!r} is not among the {len(self.pieces)} that this model was "
                    "trained on: train with --tokens bytes or subwords"
                ) from error
        if self.kind == "bytes":
            return [len(SPECIAL) + byte for byte in text.encode()]
        return [number for word in WORD.findall(text) for number in self._word(word)]

    def _word(self, word: str) -> tuple[int, ...]:
        if word not in self._words:
            parts = list(latin(word))
            while len(parts) > 1:
                ranks = [self._number.get(a + b, self.size) for a, b in pairwise(parts)]
                best = min(ranks)
                if best == self.size:
                    break
                at = ranks.index(best)
                parts[at : at + 2] = [parts[at] + parts[at + 1]]
            self._words[word] = tuple(self._number[part] for part in parts)
        return self._words[word]

    def text(self, tokens: Iterable[int]) -> str:
        parts: list[str] = []
        for token in tokens:
            if token == END:
                break
            if token >= len(SPECIAL):
                parts.append(self.pieces[token - len(SPECIAL)])
        joined = "".join(parts)
        return joined if self.kind == "characters" else joined.encode("latin-1").decode("utf-8", "replace")

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "pieces": list(self.pieces)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Tokenizer:
        return Tokenizer(data["kind"], data["pieces"])


def latin(text: str) -> str:
    """The bytes of a text as characters."""
    return text.encode().decode("latin-1")


def merges(texts: Sequence[str], count: int) -> list[str]:
    """The `count` pieces that come of joining, again and again, the pair of pieces that is most frequent in the words.

    Only the words that hold the pair are looked at again. Pairs seen once are not joined.
    """
    found = Counter(word for text in texts for word in WORD.findall(text))
    words = [list(latin(word)) for word in found]
    often = list(found.values())
    pairs: Counter[tuple[str, str]] = Counter()
    where: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for number, word in enumerate(words):
        for pair in pairwise(word):
            pairs[pair] += often[number]
            where[pair].add(number)
    made: list[str] = []
    while len(made) < count and pairs:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if pairs[best] < 2:
            break
        made.append(best[0] + best[1])
        for number in sorted(where[best]):
            for pair in pairwise(words[number]):
                pairs[pair] -= often[number]
            words[number] = _joined(words[number], best)
            for pair in pairwise(words[number]):
                pairs[pair] += often[number]
                where[pair].add(number)
        pairs.pop(best)
        pairs = +pairs
    return list(dict.fromkeys(made))


def _joined(word: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for part in word:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out
