"""Diversity of texts: how much several answers to one prompt differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def distinct_fraction(groups: Sequence[Sequence[str]]) -> Floats:
    """(groups,) different texts of each group, as a share of its texts."""
    return np.array([len(set(group)) / len(group) for group in groups])


def self_bleu(groups: Sequence[Sequence[str]], longest: int = 4, words: bool = True) -> Floats:
    """(groups,) mean BLEU of each text of a group against the others as references: 1 where all are the same, lower
    where they differ more (Zhu et al. 2018, "Texygen").

    Args:
        groups: at least two texts each.
        longest: n-grams up to this length count, all alike.
        words: n-grams of words; False: of characters, for short texts.
    """
    out = np.zeros(len(groups))
    for number, group in enumerate(groups):
        if len(group) < 2:
            raise ValueError(f"group {number} holds {len(group)} text: Self-BLEU compares at least two")
        parts = [text.split() if words else list(text) for text in group]
        out[number] = float(
            np.mean([bleu(part, parts[:at] + parts[at + 1 :], longest) for at, part in enumerate(parts)])
        )
    return out


def bleu(candidate: Sequence[str], references: Sequence[Sequence[str]], longest: int = 4) -> float:
    """BLEU of one text (Papineni et al. 2002): geometric mean of the clipped precisions of its n-grams, times the
    brevity penalty against the reference of the nearest length. Texts shorter than `longest` count up to their own
    length; an n-gram order without a match counts as half a match, so that short texts are not all 0."""
    if not candidate or not references:
        return 0.0
    logs = []
    for size in range(1, min(longest, len(candidate)) + 1):
        mine = Counter(zip(*(candidate[at:] for at in range(size)), strict=False))
        most: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            most |= Counter(zip(*(reference[at:] for at in range(size)), strict=False))
        found = sum((mine & most).values())
        if size == 1 and found == 0:
            return 0.0
        logs.append(math.log(max(found, 0.5) / sum(mine.values())))
    nearest = min((abs(len(reference) - len(candidate)), len(reference)) for reference in references)[1]
    brevity = min(0.0, 1 - nearest / len(candidate))
    return math.exp(sum(logs) / len(logs) + brevity)
