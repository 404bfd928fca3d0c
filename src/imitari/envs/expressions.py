"""Write an expression of a number: one prompt, many right answers, each a short text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from imitari.core.episode import Array, Obs
from imitari.core.task import Task, World
from imitari.data.arithmetic import expressions_of, is_worth
from imitari.data.texts import PROMPT, TEXTS
from imitari.envs._batched import BatchedWorld, State

NUMBERS = 100


def ids() -> list[str]:
    return [""]


def task(name: str = "") -> Task:
    """The prompt is "T=" with T from 0 to 99. Solved: the text is a+b, a-b or a*b and worth T."""
    return Task("expressions", TEXTS, 1, Expressions, Writer, description=(__doc__ or "").split("\n")[0])


class Expressions(BatchedWorld):
    """Reward: 1 for a right text, else 0; an episode is one text."""

    def __init__(self, count: int) -> None:
        super().__init__(count, TEXTS, 1)

    def start(self, rng: np.random.Generator) -> State:
        return {"target": np.array(rng.integers(NUMBERS))}

    def observe(self, state: State) -> Obs:
        return {PROMPT: np.array([f"{target}=" for target in state["target"].tolist()], object)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        prompts = self.observe(state)[PROMPT].tolist()
        right = np.array([is_worth(prompt, str(text)) for prompt, text in zip(prompts, action.tolist(), strict=True)])
        return state, right.astype(np.float32), np.ones(len(right), bool), right


@dataclass
class Writer:
    """Scripted expert: draws an operator, and then one of its expressions of numbers up to 99."""

    world: World

    def reset(self, count: int, seed: int = 0) -> np.random.Generator:
        return np.random.default_rng([seed, 0xE9])

    def act(self, obs: Obs, memory: Any) -> tuple[Array, Any]:
        return np.array([written(int(prompt[:-1]), memory) for prompt in obs[PROMPT].tolist()], object), memory


def written(target: int, rng: np.random.Generator) -> str:
    """A random expression of `target`."""
    group = _groups(target)[rng.integers(len(_groups(target)))]
    return group[rng.integers(len(group))]


@cache
def _groups(target: int) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(group) for group in expressions_of(target).values() if group)
