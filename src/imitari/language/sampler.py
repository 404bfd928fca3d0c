"""Writing texts: temperature, top-k, top-p (Holtzman et al. 2020), greedy, beams; many prompts together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.language.batches import padded_left


class Read(Protocol):
    """What a model has read of some texts."""

    def pick(self, rows: Tensor) -> None:
        """Keeps the texts `rows` (n,), in that order."""
        ...


class CausalModel(Protocol):
    """A language model that reads from left to right.

    Attributes:
        longest: tokens that a text may have.
    """

    longest: int

    def __call__(self, tokens: Tensor, valid: Tensor | None = None, cache: Read | None = None) -> Tensor:
        """Tokens (B, T) to logits (B, T, vocabulary) of what follows each, going on from a cache. `valid` (B, T) is
        False at padding; nothing that is valid depends on it."""
        ...

    def cache(self, capacity: int) -> Read: ...


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: that logits are divided by; 0: the likeliest token.
        top_k: draw from the k likeliest tokens alone; 0: from all.
        top_p: draw from the likeliest tokens whose shares reach p.
        beams: of more than one, the likeliest text that a beam search finds; nothing is drawn then.
        limit: tokens of a response.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    beams: int = 1
    limit: int = 64

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.beams < 1 or self.top_k < 0 or self.limit < 1:
            raise UserError(
                f"temperature {self.temperature:g}, top_k {self.top_k}, top_p {self.top_p:g}, beams {self.beams}, "
                f"response {self.limit}: temperature and top_k must be at least 0, top_p above 0 and at most 1, beams "
                "and response at least 1"
            )


def generate(
    model: CausalModel, prompts: Sequence[Array], sampling: Sampling, pad: int, end: int, device: torch.device
) -> list[Array]:
    """One response a prompt, in tokens, with `end` where it came to one. Draws from torch's own generator.

    Raises:
        UserError: when a prompt leaves no room for a response.
    """
    tokens, valid = padded_left(prompts, pad)
    if tokens.shape[1] >= model.longest:
        raise UserError(f"a prompt of {tokens.shape[1]} tokens leaves no room in a text of {model.longest}: shorten it")
    limit = min(sampling.limit, model.longest - tokens.shape[1])
    first = torch.from_numpy(tokens).to(device), None if valid.all() else torch.from_numpy(valid).to(device)
    cache = model.cache(tokens.shape[1] + limit)
    logits = model(*first, cache)[:, -1]
    search = _beams if sampling.beams > 1 else _draws
    written = search(model, logits, cache, sampling, limit, pad, end).cpu().numpy()
    stop = (written == end).argmax(1) + 1
    return [row[: count if (row == end).any() else limit] for row, count in zip(written, stop.tolist(), strict=True)]


def narrowed(logits: Tensor, sampling: Sampling) -> Tensor:
    """Logits (B, vocabulary) at the temperature, with -inf at tokens that are not to be drawn."""
    logits = logits.float() / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = logits.sort(-1, descending=True)
        shares = ordered.softmax(-1)
        beyond = shares.cumsum(-1) - shares >= sampling.top_p  # the token that reaches p is still drawn
        logits = logits.masked_fill(beyond.scatter(-1, order, beyond), -torch.inf)
    return logits


def _draws(
    model: CausalModel, logits: Tensor, cache: Read, sampling: Sampling, limit: int, pad: int, end: int
) -> Tensor:
    """(B, limit) tokens; padding after the end. Texts that have ended are no longer read on once they are half."""
    written = logits.new_full((len(logits), limit), pad, dtype=torch.long)
    rows = torch.arange(len(logits), device=logits.device)
    running = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
    for step in range(limit):
        token = _next(logits, sampling)
        written[rows, step] = token
        running = running & (token != end)
        left = int(running.sum())
        if left == 0:
            break
        if left <= len(rows) // 2:
            kept = running.nonzero()[:, 0]
            rows, token, running = rows[kept], token[kept], running[kept]
            cache.pick(kept)
        if step + 1 < limit:
            logits = model(token[:, None], None, cache)[:, -1]
    return _after_end(written, pad, end)


def _next(logits: Tensor, sampling: Sampling) -> Tensor:
    if sampling.temperature == 0:
        return logits.argmax(-1)
    shares = narrowed(logits, sampling).softmax(-1)
    # The largest of shares over exponential noise is a draw (Gumbel's trick), at a tenth of the cost of multinomial.
    return (shares / torch.empty_like(shares).exponential_()).argmax(-1)


def _after_end(written: Tensor, pad: int, end: int) -> Tensor:
    over = (written == end).long().cumsum(1) - (written == end).long() > 0
    return written.masked_fill(over, pad)


def _beams(
    model: CausalModel, logits: Tensor, cache: Read, sampling: Sampling, limit: int, pad: int, end: int
) -> Tensor:
    """(B, limit) tokens of the likeliest text of each search; a text that has ended keeps its place and its score."""
    count, size, width = len(logits), logits.shape[-1], sampling.beams
    score = logits.new_full((count, width), -torch.inf)
    score[:, 0] = 0.0
    rows = torch.arange(count, device=logits.device).repeat_interleave(width)
    cache.pick(rows)
    logits = logits[rows]
    written = logits.new_full((count * width, limit), pad, dtype=torch.long)
    over = torch.zeros(count * width, dtype=torch.bool, device=logits.device)
    stay = logits.new_full((size,), -torch.inf)
    stay[pad] = 0.0
    for step in range(limit):
        logs = torch.where(over[:, None], stay, functional.log_softmax(logits.float(), -1))
        every = (score.view(-1, 1) + logs).view(count, width * size)
        score, best = every.topk(width, -1)
        token = (best % size).flatten()
        source = (torch.arange(count, device=best.device)[:, None] * width + best // size).flatten()
        written, over = written[source], over[source]
        written[:, step] = token
        over = over | (token == end)
        if over.all() or step + 1 == limit:
            break
        cache.pick(source)
        logits = model(token[:, None], None, cache)[:, -1]
    return written.view(count, width, limit)[:, 0]
