"""Compact letter display: which of several policies differ, readable at a glance."""

from __future__ import annotations

import string
import sys
from collections.abc import Iterable, Iterator, Sequence


def compact_letters(
    count: int, different: Iterable[tuple[int, int]], scores: Sequence[float] | None = None
) -> tuple[str, ...]:
    """Letters of each of `count` policies: two policies differ significantly if and only if they share no letter.

    Letters are not ranks: with "a", "ab", "b" only the first and the third differ.

    Args:
        count: number of policies.
        different: pairs (i, j) of policies whose difference is significant.
        scores: a mean each; letters then run from the best policy down. By default the given order.

    Source: insert-and-absorb (Piepho 2004).
    """
    ranks = _ranks(count, scores)
    columns: list[frozenset[int]] = [frozenset(range(count))] if count else []
    for i, j in different:
        if not (0 <= i < count and 0 <= j < count) or i == j:
            raise ValueError(f"pair ({i}, {j}) does not name two different policies among {count}")
        split = [part for column in columns for part in _without_pair(column, i, j)]
        columns = _absorb(split)
    columns.sort(key=lambda column: sorted(ranks[policy] for policy in column))
    letters = dict(zip(columns, _alphabet(), strict=False))
    return tuple("".join(letters[column] for column in columns if policy in column) for policy in range(count))


def _ranks(count: int, scores: Sequence[float] | None) -> list[int]:
    """Place of each policy when ordered from best to worst."""
    if scores is None:
        return list(range(count))
    if len(scores) != count:
        raise ValueError(f"{len(scores)} scores were given for {count} policies")
    ranks = [0] * count
    for place, policy in enumerate(sorted(range(count), key=lambda policy: -scores[policy])):
        ranks[policy] = place
    return ranks


def _without_pair(column: frozenset[int], i: int, j: int) -> list[frozenset[int]]:
    return [column - {i}, column - {j}] if i in column and j in column else [column]


def _absorb(columns: list[frozenset[int]]) -> list[frozenset[int]]:
    """Only the columns that no other one contains."""
    unique = set(columns)
    return [column for column in unique if not any(column < other for other in unique)]


def _alphabet() -> Iterator[str]:
    """a-z, A-Z, then the rest of Unicode's letters: one character a letter, however many are needed."""
    yield from string.ascii_letters
    yield from filter(str.isalpha, map(chr, range(0xC0, sys.maxunicode)))
