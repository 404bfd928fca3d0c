"""Batches of texts: all tokens lie in one packed array, and a batch is one gather from it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imitari.core.batch import Batch
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.language.tokenizer import Tokens

RESPONSE, TERMINAL = "response", "terminal"


@dataclass(frozen=True)
class Packed:
    """N texts one after the other.

    Attributes:
        tokens: (sum of lengths,) int32.
        start, length: (N,) where each text begins, and its tokens.
        prompt: (N,) of these belong to the prompt.
        ended: (N,) bool, False where the response was cut off before its end.
        which: (N,) number of the pair that each was made of.
    """

    tokens: Array
    start: Array
    length: Array
    prompt: Array
    ended: Array
    which: Array

    @staticmethod
    def of(prompts: Sequence[Array], responses: Sequence[Array], end: int, longest: int) -> Packed:
        """Texts of more than `longest` tokens are cut; those whose response would be lost entirely are left out.

        Args:
            prompts, responses: tokens; a response that does not close with `end` counts as cut off.

        Raises:
            UserError: when no text is left.
        """
        asked = np.array([len(prompt) for prompt in prompts], np.int64)
        told = np.array([len(response) for response in responses], np.int64)
        closed = np.array([len(response) > 0 and response[-1] == end for response in responses], bool)
        which = np.flatnonzero((asked < longest) & (told > 0))
        if not len(which):
            raise UserError(
                f"every prompt takes all of the {longest} tokens that a text may have: choose a larger --longest"
            )
        if len(which) < len(asked):
            words = f"{len(asked) - len(which)} of {len(asked)} texts have a prompt of {longest} tokens or more"
            print(f"notice: {words}: left out (--longest)", file=sys.stderr)
        length = np.minimum(asked + told, longest)[which]
        parts = [np.concatenate([prompts[one], responses[one]])[:longest] for one in which.tolist()]
        start = np.cumsum(length) - length
        ended = closed[which] & (asked + told <= longest)[which]
        return Packed(np.concatenate(parts).astype(np.int32), start, length, asked[which], ended, which)

    def __len__(self) -> int:
        return len(self.length)

    def joined(self, other: Packed) -> Packed:
        """These texts and then the others."""
        start = np.concatenate([self.start, other.start + len(self.tokens)])
        rest = zip(
            (self.length, self.prompt, self.ended, self.which),
            (other.length, other.prompt, other.ended, other.which),
            strict=True,
        )
        tokens = np.concatenate([self.tokens, other.tokens])
        return Packed(tokens, start, *(np.concatenate(columns) for columns in rest))


class TokenBatches:
    """Samples of packed texts, as a `data.sampling.Sampler`; as wide as the longest text of the batch.

    Batches hold `action` (B, T) tokens, `valid` (B, T) False at padding (on the right), and in `extra` `response`
    (B, T), True at tokens that were written in answer to the prompt, and `terminal` (B, T), True at a last token after
    which nothing follows.
    """

    def __init__(self, packed: Packed, pad: int) -> None:
        self.packed, self.pad = packed, pad

    def __len__(self) -> int:
        return len(self.packed)

    def gather(self, index: Array, rng: np.random.Generator | None = None) -> Batch:
        packed = self.packed
        length = packed.length[index][:, None]
        at = np.arange(length.max())
        valid = at < length
        rows = packed.start[index][:, None] + np.minimum(at, length - 1)
        tokens = np.where(valid, packed.tokens[rows], self.pad).astype(np.int64)
        response = valid & (at >= packed.prompt[index][:, None])
        terminal = (at == length - 1) & packed.ended[index][:, None]
        return Batch({}, tokens, valid, extra={RESPONSE: response, TERMINAL: terminal})


def packed_texts(tokens: Tokens, prompts: Sequence[str], responses: Sequence[str], longest: int) -> Packed:
    """Pairs of texts in a model's tokens."""
    return Packed.of(
        [tokens.prompt(one) for one in prompts], [tokens.response(one) for one in responses], tokens.end, longest
    )


def padded_left(prompts: Sequence[Array], pad: int) -> tuple[Array, Array]:
    """Tokens (B, P) with the padding on the left, and where they are valid."""
    length = np.array([len(prompt) for prompt in prompts])[:, None]
    valid = np.arange(length.max()) >= length.max() - length
    tokens = np.full(valid.shape, pad, np.int64)
    tokens[valid] = np.concatenate(prompts)
    return tokens, valid
