"""Texts go to tokens and back; pairs are joined as byte pair encoding says; batches hold what they should."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.language.batches import RESPONSE, TERMINAL, TokenBatches, packed_texts, padded_left
from imitari.language.tokenizer import ANSWER, BEGIN, END, PAD, SPECIAL, Tokenizer, merges

TEXTS = ["the cat sat on the mat", "the hat, the cat: 12 + 3 = 15\n#### 15", "thé  größe 🙂"]


@pytest.mark.parametrize("kind", ["characters", "bytes", "subwords"])
def test_texts_come_back(kind: str) -> None:
    tokenizer = Tokenizer.learn(kind, TEXTS, 300)  # type: ignore[arg-type]
    again = Tokenizer.from_json(tokenizer.to_json())
    for text in [*TEXTS, ""]:
        assert tokenizer.text(tokenizer.response(text)) == text
        assert np.array_equal(again.response(text), tokenizer.response(text))
        assert tokenizer.response(text)[-1] == END
        assert tokenizer.prompt(text)[0] == BEGIN
        assert tokenizer.prompt(text)[-1] == ANSWER
    assert tokenizer.size == len(SPECIAL) + len(tokenizer.pieces)


def test_bytes_and_subwords_know_every_text_and_characters_say_what_they_lack() -> None:
    for kind in ("bytes", "subwords"):
        tokenizer = Tokenizer.learn(kind, ["abc"], 400)  # type: ignore[arg-type]
        assert tokenizer.text(tokenizer.response("日本 zebra")) == "日本 zebra"
    with pytest.raises(UserError, match="character 'z' in 'zebra'"):
        Tokenizer.learn("characters", ["abc"], 0).response("zebra")


def plain_merges(words: list[str], count: int) -> list[str]:
    """Byte pair encoding as its paper writes it: count all pairs anew each time."""
    parts, made = [list(word) for word in words], []
    for _ in range(count):
        pairs: dict[tuple[str, str], int] = {}
        for word in parts:
            for pair in pairwise(word):
                pairs[pair] = pairs.get(pair, 0) + 1
        if not pairs or max(pairs.values()) < 2:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        made.append("".join(best))
        for number, word in enumerate(parts):
            out: list[str] = []
            for part in word:
                if out and (out[-1], part) == best:
                    out[-1] += part
                else:
                    out.append(part)
            parts[number] = out
    return made


def test_pairs_are_joined_as_by_counting_anew() -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abc"), rng.integers(2, 9))) for _ in range(60)]
    expected = plain_merges(words, 25)
    assert len(expected) == 25
    # Each word stands alone between line breaks, so that its borders are those of the plain version.
    assert merges(["\n".join(words)], 25) == list(dict.fromkeys(expected))


def test_more_subwords_make_texts_shorter() -> None:
    corpus = TEXTS * 4
    lengths = [len(Tokenizer.learn("subwords", corpus, size).encode(TEXTS[0])) for size in (260, 280, 400)]
    assert lengths[0] == len(TEXTS[0]) > lengths[1] > lengths[2]


def test_a_batch_holds_the_texts_and_says_what_is_what() -> None:
    tokenizer = Tokenizer.learn("characters", ["0123456789+="], 0)
    prompts, responses = ["7=", "12=", "3=", "1="], ["3+4", "1+11", "1+2", "0+1"]
    packed = packed_texts(tokenizer, prompts, responses, 8)  # the second has 9 tokens
    batches = TokenBatches(packed, tokenizer.pad)
    index = np.array([1, 3, 0])
    batch = batches.gather(index)
    for row, which in enumerate(index.tolist()):
        whole = [*tokenizer.prompt(prompts[which]), *tokenizer.response(responses[which])][:8]
        count, asked = len(whole), len(tokenizer.prompt(prompts[which]))
        assert batch.action[row, :count].tolist() == whole
        assert (batch.action[row, count:] == PAD).all()
        assert batch.valid[row].sum() == count
        assert np.flatnonzero(batch.extra[RESPONSE][row]).tolist() == list(range(asked, count))
        ended = np.flatnonzero(batch.extra[TERMINAL][row]).tolist()
        assert ended == ([] if which == 1 else [count - 1])  # a text that was cut off has no end
    assert batches.gather(np.array([0, 3])).action.shape == (2, 8)


def test_prompts_without_room_are_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = Tokenizer.learn("characters", ["0123456789+="], 0)
    packed = packed_texts(tokenizer, ["1=", "123456789="], ["1+0", "1+2"], 8)
    assert packed.which.tolist() == [0]
    assert "1 of 2 texts" in capsys.readouterr().err
    with pytest.raises(UserError, match="--longest"):
        packed_texts(tokenizer, ["123456789="], ["1+2"], 8)


def test_padding_on_the_left() -> None:
    tokens, valid = padded_left([np.array([5, 6, 7]), np.array([8])], 0)
    assert tokens.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert valid.tolist() == [[True] * 3, [False, False, True]]
