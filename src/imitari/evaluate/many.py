"""Several policies on the same starts: which differ, at one error rate over all pairs, and letters that show it.

Every pair of the k policies is tested at alpha / (k (k - 1) / 2) (Bonferroni), two-sided: whatever the truth, the
chance that some pair of equally good policies is said to differ is at most alpha. Source: LBM (arXiv 2507.05331),
evaluation section.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from imitari.core.errors import UserError, nearest
from imitari.core.outcome import Outcome
from imitari.evaluate.intervals import Interval, beta_posterior
from imitari.evaluate.letters import compact_letters
from imitari.evaluate.posterior import completion_samples, summary_of
from imitari.evaluate.savi import SafeTest
from imitari.evaluate.sequential import Decision, PairedEvidenceTest, PairedSequentialTest, PairedTest
from imitari.evaluate.significance import barnard, mcnemar_exact, welch_t

ALPHA = 0.05
FIXED = ("mcnemar", "barnard")  # for a number of starts that was fixed beforehand; the first is the default
SEQUENTIAL = ("lai", "evidence", "savi")  # may stop early; the first is the default
Metric = Literal["success", "completion"]
Flags = NDArray[np.bool_]


def sequential_test(name: str, max_pairs: int, alpha: float) -> PairedTest:
    """A new sequential test of two policies, two-sided at `alpha`.

    "lai" has a budget of pairs and uses it best; "evidence" and "savi" hold at any time, and decide later.
    """
    if name == "lai":
        return PairedSequentialTest(max_pairs, alpha)
    if name == "evidence":
        return PairedEvidenceTest(alpha, max_pairs=max_pairs)
    if name == "savi":
        return SafeTest(alpha, max_pairs=max_pairs)
    raise UserError(f"there is no sequential test '{name}': {nearest(name, SEQUENTIAL)}")


@dataclass(frozen=True)
class Tested:
    """How two of several policies compare.

    Attributes:
        a, b: their numbers.
        different: whether the test says so.
        p_value: of a test with a fixed number of starts, not corrected.
        decision: of a sequential test.
    """

    a: int
    b: int
    different: bool
    p_value: float | None = None
    decision: Decision | None = None


@dataclass(frozen=True)
class Ranking:
    """Attributes:
    names: of the policies, in the order given.
    task: name.
    metric: what is compared.
    test: its name.
    scores: mean of each policy.
    posteriors: mean and 95 % interval of each policy's posterior.
    trials, successes: of each policy.
    starts: that were used.
    pairs: every pair.
    letters: of each policy: two policies differ significantly if and only if they share no letter.
    alpha: error rate over all pairs.
    """

    names: tuple[str, ...]
    task: str
    metric: Metric
    test: str
    scores: tuple[float, ...]
    posteriors: tuple[Interval, ...]
    trials: tuple[int, ...]
    successes: tuple[int, ...]
    starts: tuple[int, ...]
    pairs: tuple[Tested, ...]
    letters: tuple[str, ...]
    alpha: float = ALPHA

    @property
    def alpha_each(self) -> float:
        """Error rate of each pair."""
        return each(self.alpha, len(self.names))

    def order(self) -> list[int]:
        """The policies from best to worst."""
        return sorted(range(len(self.names)), key=lambda number: -self.scores[number])

    def lines(self) -> list[str]:
        """For people: a line a policy, from the best down, and what the letters mean."""
        width, wide = max(map(len, self.names)), max(map(len, self.letters))
        out = [
            f"{self.task}, {self.metric}, starts {self.starts[0]} to {self.starts[-1]}; {len(self.pairs)} pairs by "
            f"{self.test}, error rate {self.alpha:.3g} over all, {self.alpha_each:.3g} each"
        ]
        for number in self.order():
            found = self.posteriors[number]
            counts = f"{self.successes[number]} of {self.trials[number]}"
            out.append(
                f"  {self.letters[number]:<{wide}}  {self.names[number]:<{width}}  {self.scores[number]:7.1%}  "
                f"[{found.low:.1%}, {found.high:.1%}]  {counts}"
            )
        out.append(
            "two policies differ significantly if and only if they share no letter; a shared letter is "
            '"no decision", not "equal"'
        )
        return out

    def to_json(self) -> dict[str, Any]:
        policies = [
            {
                "name": name,
                "letters": self.letters[number],
                "score": self.scores[number],
                "low": self.posteriors[number].low,
                "high": self.posteriors[number].high,
                "trials": self.trials[number],
                "successes": self.successes[number],
            }
            for number, name in enumerate(self.names)
        ]
        pairs = [
            {
                "a": self.names[pair.a],
                "b": self.names[pair.b],
                "different": pair.different,
                "p_value": pair.p_value,
                "sequential": vars(pair.decision) if pair.decision else None,
            }
            for pair in self.pairs
        ]
        return {
            "task": self.task,
            "metric": self.metric,
            "test": self.test,
            "alpha": self.alpha,
            "alpha_each": self.alpha_each,
            "starts": [self.starts[0], self.starts[-1]],
            "policies": policies,
            "pairs": pairs,
        }


def each(alpha: float, policies: int) -> float:
    """Error rate of each of the k (k - 1) / 2 pairs (Bonferroni)."""
    return alpha / max(1, policies * (policies - 1) // 2)


def rank(
    outcomes: Sequence[Sequence[Outcome]],
    names: Sequence[str],
    *,
    metric: Metric = "success",
    test: str | None = None,
    milestones: int = 0,
    alpha: float = ALPHA,
) -> Ranking:
    """Compares all pairs on the starts that all policies have; their number must have been fixed beforehand.

    Args:
        outcomes: of each policy, in one task.
        metric: "success" (paired exact McNemar, or Barnard's test), or "completion" (Welch's t-test): the best reward
            of an episode, where the task's reward is the share of the milestones passed.
        test: "mcnemar" or "barnard"; of success only.
        milestones: of the task, for completion.

    Raises:
        UserError: when the policies share no start.
    """
    rows = _on_common_starts(outcomes)
    wins = np.array([[row.success for row in mine] for mine in rows], bool)
    if metric == "completion":
        return _rank_completion(rows, names, wins, milestones, alpha)
    name = test or FIXED[0]
    if name not in FIXED:
        raise UserError(f"there is no test '{name}' for a fixed number of starts: {nearest(name, FIXED)}")
    bound = each(alpha, len(rows))
    pairs: list[Tested] = []
    for a, b in combinations(range(len(rows)), 2):
        if name == "mcnemar":
            p_value = mcnemar_exact(int((wins[a] & ~wins[b]).sum()), int((~wins[a] & wins[b]).sum())).p_value
        else:
            p_value = barnard(int(wins[a].sum()), wins.shape[1], int(wins[b].sum()), wins.shape[1]).p_value
        pairs.append(Tested(a, b, p_value <= bound, p_value))
    starts = tuple(row.start for row in rows[0])
    return _ranked(names, rows[0][0].task, name, list(wins), starts, pairs, alpha)


def _rank_completion(
    rows: Sequence[Sequence[Outcome]], names: Sequence[str], wins: Flags, milestones: int, alpha: float
) -> Ranking:
    if milestones < 1:
        raise UserError("task completion needs the number of milestones of the task: give it")
    done = [np.array([row.best for row in mine]) for mine in rows]
    return rank_completion(
        done, names, [number / milestones for number in range(milestones + 1)], rows[0][0].task,
        tuple(row.start for row in rows[0]), [int(mine.sum()) for mine in wins], alpha,
    )  # fmt: skip


def rank_completion(
    completed: Sequence[NDArray[np.float64]],
    names: Sequence[str],
    values: Sequence[float],
    task: str,
    starts: tuple[int, ...],
    successes: Sequence[int],
    alpha: float = ALPHA,
) -> Ranking:
    """Compares task completion, (N,) for each policy, by Welch's t-test; posteriors over the possible `values`."""
    bound = each(alpha, len(names))
    pairs: list[Tested] = []
    for a, b in combinations(range(len(names)), 2):
        p_value = welch_t(completed[a], completed[b]).p_value
        pairs.append(Tested(a, b, p_value <= bound, p_value))
    scores = tuple(float(mine.mean()) for mine in completed)
    return Ranking(
        names=tuple(names),
        task=task,
        metric="completion",
        test="welch",
        scores=scores,
        posteriors=tuple(summary_of(completion_samples(mine, values)) for mine in completed),
        trials=tuple(len(mine) for mine in completed),
        successes=tuple(successes),
        starts=starts,
        pairs=tuple(pairs),
        letters=compact_letters(len(names), [(pair.a, pair.b) for pair in pairs if pair.different], scores),
        alpha=alpha,
    )


def rank_sequentially(
    ask: Callable[[int, Sequence[int]], Sequence[Outcome]],
    starts: Sequence[int],
    names: Sequence[str],
    *,
    test: str | None = None,
    batch: int = 10,
    alpha: float = ALPHA,
    told: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Goes through the starts in their order; a policy all of whose pairs are decided is not run any further.

    Args:
        ask: (number of a policy, some starts) -> its outcomes there.
        starts: the whole budget, in an order that was fixed beforehand.
        names: of the policies.
        test: "lai", "evidence" or "savi".
        batch: starts between two looks; the tests see the pairs one by one.
        told: called with (starts used, pairs that are open) after each look.
    """
    name = test or SEQUENTIAL[0]
    numbers = list(combinations(range(len(names)), 2))
    tests = {pair: sequential_test(name, len(starts), each(alpha, len(names))) for pair in numbers}
    seen: list[list[Outcome]] = [[] for _ in names]
    for first in range(0, len(starts), batch):
        running = [pair for pair, one in tests.items() if one.decision is None]
        if not running:
            break
        group = starts[first : first + batch]
        fresh = {number: ask(number, group) for number in sorted({number for pair in running for number in pair})}
        for number, rows in fresh.items():
            seen[number] += rows
        for a, b in running:
            for one, other in zip(fresh[a], fresh[b], strict=True):
                if tests[a, b].update(one.success, other.success) is not None:
                    break
        if told:
            told(first + len(group), sum(one.decision is None for one in tests.values()))
    pairs: list[Tested] = []
    for (a, b), one in tests.items():
        found = one.decision or Decision(None, one.pairs, one.wins_a, one.wins_b)
        pairs.append(Tested(a, b, found.winner is not None, decision=found))
    wins = [np.array([row.success for row in rows], bool) for rows in seen]
    used = tuple(starts[: max(map(len, seen))])
    return _ranked(names, seen[0][0].task, name, wins, used, pairs, alpha)


def _ranked(
    names: Sequence[str],
    task: str,
    test: str,
    wins: Sequence[Flags],
    starts: tuple[int, ...],
    pairs: Sequence[Tested],
    alpha: float,
) -> Ranking:
    counts = [(int(mine.sum()), len(mine)) for mine in wins]
    scores = tuple(successes / trials for successes, trials in counts)
    return Ranking(
        names=tuple(names),
        task=task,
        metric="success",
        test=test,
        scores=scores,
        posteriors=tuple(beta_posterior(*count) for count in counts),
        trials=tuple(trials for _, trials in counts),
        successes=tuple(successes for successes, _ in counts),
        starts=starts,
        pairs=tuple(pairs),
        letters=compact_letters(len(names), [(pair.a, pair.b) for pair in pairs if pair.different], scores),
        alpha=alpha,
    )


def _on_common_starts(outcomes: Sequence[Sequence[Outcome]]) -> list[list[Outcome]]:
    tables = [{row.start: row for row in rows} for rows in outcomes]
    shared = sorted(set.intersection(*(set(table) for table in tables)))
    if not shared:
        raise UserError("the policies were not evaluated on a common start: evaluate all with the same --seeds")
    return [[table[start] for start in shared] for table in tables]
