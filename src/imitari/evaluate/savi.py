"""A safe test of two success rates: an e-value that may be looked at, and added to, at any time.

Every pair multiplies it by how much likelier the pair is if each policy succeeds as often as it did up to now than if
both succeed equally often (at the middle of the two, the closest rate that is no difference). If neither policy is
better, the product cannot be expected to grow, and ever reaches 1 / alpha with chance at most alpha (Ville).
Source: Turner, Ly & Grünwald 2024, "Generic E-variables for exact sequential k-sample tests that allow for optional
stopping"; priors as in the tests that LBM (arXiv 2507.05331) uses. Weaker than a test with a budget of pairs.
"""

from __future__ import annotations

import math
from typing import Literal

from imitari.evaluate.sequential import PairedTest


class SafeTest(PairedTest):
    """Unlike the others it uses all pairs, also those that ended equally, and takes their outcomes as independent.

    Args:
        alpha: chance of ever declaring a winner between equally good policies; halved when two-sided.
        max_pairs: after which it ends without a winner; None: it goes on.
    """

    def __init__(self, alpha: float = 0.05, two_sided: bool = True, max_pairs: int | None = None) -> None:
        super().__init__(max_pairs, two_sided)
        if not 0 < alpha < 1:
            raise ValueError(f"alpha is {alpha}, but must lie strictly between 0 and 1")
        self.needed = math.log((2 if two_sided else 1) / alpha)
        self.successes = [0, 0]
        self.log_evidence = [0.0, 0.0]  # of "a is better", of "b is better"

    def evidence(self) -> tuple[float, float]:
        """E-values of "a is better" and of "b is better"."""
        return math.exp(self.log_evidence[0]), math.exp(self.log_evidence[1])

    def _count(self, a_success: bool, b_success: bool) -> None:
        outcomes = bool(a_success), bool(b_success)
        for better in (0, 1):
            worse = 1 - better
            self.log_evidence[better] += log_factor(
                (self.successes[better], self.successes[worse]), self.pairs, (outcomes[better], outcomes[worse])
            )
        super()._count(a_success, b_success)
        for number, success in enumerate(outcomes):
            self.successes[number] += success

    def _winner(self) -> Literal["a", "b"] | None:
        if self.log_evidence[0] >= self.needed:
            return "a"
        return "b" if self.two_sided and self.log_evidence[1] >= self.needed else None


def log_factor(successes: tuple[int, int], pairs: int, outcomes: tuple[bool, bool]) -> float:
    """Log of what a pair multiplies the e-value of "the first is better" by.

    Args:
        successes: of the first and the second policy in the pairs before.
        pairs: before.
        outcomes: of the first and the second policy in this one.
    """
    better, worse = (2 + successes[0]) / (3 + pairs), (1 + successes[1]) / (3 + pairs)
    if better <= worse:  # the closest case of "not better" is what was seen: nothing to bet on
        return 0.0
    middle = (better + worse) / 2
    return sum(
        math.log(rate / middle if outcome else (1 - rate) / (1 - middle))
        for rate, outcome in zip((better, worse), outcomes, strict=True)
    )
