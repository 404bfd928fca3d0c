"""Outcome: what one evaluated episode came to. One row of outcomes.parquet."""

from __future__ import annotations

from dataclasses import dataclass

from imitari.core.episode import Episode


@dataclass(frozen=True)
class Outcome:
    """Attributes:
    policy: who acted (a name, or the identity of an agent).
    task: its name.
    start: seed that fixed the start; outcomes of two policies are paired by it.
    train_seed: seed of the training, -1 where there is none.
    success: as judged by the environment.
    total: sum of rewards.
    best: largest reward of a step.
    length: steps taken.
    ended: "terminated" or "truncated".
    behaviour: number of the way in which it was solved (`Task.behaviours`), -1 where none is known.
    """

    policy: str
    task: str
    start: int
    train_seed: int
    success: bool
    total: float
    best: float
    length: int
    ended: str
    behaviour: int = -1

    @staticmethod
    def of(episode: Episode, policy: str, task: str, train_seed: int = -1) -> Outcome:
        reward = episode.reward
        best = float(reward.max()) if reward is not None and len(reward) else float("nan")
        seed = int(episode.source.get("seed", -1))
        way = int(episode.source.get("behaviour", -1))
        solved = bool(episode.success)
        return Outcome(policy, task, seed, train_seed, solved, episode.total, best, len(episode), episode.ended, way)
