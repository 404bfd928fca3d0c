"""A contextual bandit: 20 contexts of unequal frequency, 10 actions, rewards of 0 or 1, one step an episode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imitari.core.tabular import TabularMDP
from imitari.core.task import Task
from imitari.envs._tabular import TabularWorld, instance, optimal_expert, table_spec

OPEN = True  # any number names an instance of its own
CONTEXTS, ACTIONS, CONCENTRATION = 20, 10, 0.5
BEST, OTHERS = 0.75, (0.1, 0.6)  # chance of a reward
SPEC = table_spec("context", CONTEXTS, "arm", ACTIONS)


def ids() -> list[str]:
    return [""]


def task(name: str = "") -> Task:
    """The context is observed as a number. Solved: a reward was drawn, so that demonstrations need --keep-failures.

    Args:
        name: number of the instance (frequencies, best actions, chances); "" is instance 0.
    """
    mdp = bandit_mdp(instance("contextual_bandit", name))
    return Task(
        f"contextual_bandit/{name}" if name else "contextual_bandit",
        SPEC,
        1,
        lambda count: TabularWorld(count, mdp, SPEC, 1, noisy=True),
        optimal_expert,
        description=(__doc__ or "").split("\n")[0],
    )


def bandit_mdp(number: int | Sequence[int]) -> TabularMDP:
    """An instance as a decision process in which every step is the last.

    Frequencies of the contexts are Dirichlet(0.5); one action of each context, drawn at random, is rewarded with chance
    0.75, the others with chances uniform in [0.1, 0.6].

    Args:
        number: seed, or several numbers as one.
    """
    rng = np.random.default_rng([0xBA9D, *np.atleast_1d(number).tolist()])
    frequency = rng.dirichlet(np.full(CONTEXTS, CONCENTRATION))
    reward = rng.uniform(*OTHERS, (CONTEXTS, ACTIONS))
    reward[np.arange(CONTEXTS), rng.integers(ACTIONS, size=CONTEXTS)] = BEST
    return TabularMDP(np.zeros((CONTEXTS, ACTIONS, CONTEXTS)), reward, 0.0, frequency)
