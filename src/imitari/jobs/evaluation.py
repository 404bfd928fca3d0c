"""An evaluation of a saved agent: outcomes.parquet in its folder, resumed where it was cut off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.outcome import Outcome
from imitari.core.task import Task
from imitari.evaluate.outcomes import read_outcomes, write_outcomes
from imitari.evaluate.rollout import rollout
from imitari.learn.agent import Agent

OUTCOMES = "outcomes.parquet"


def evaluate(
    agent: Agent,
    task: Task,
    seeds: Sequence[int],
    path: Path | None = None,
    *,
    together: int = 50,
    show: bool = True,
    policy: str | None = None,
) -> list[Outcome]:
    """One outcome a start, in the order of `seeds`.

    Args:
        agent: checked against the task's observations and actions.
        task: where.
        seeds: of the starts; refused where they overlap the starts that the agent was trained on.
        path: outcomes.parquet; rows of the same agent and task are kept and not repeated.
        together: environments stepped together.
    """
    identity = agent.identity()
    agent = agent.method.moved(agent, task)
    agent.check(task.spec, f"task '{task.name}'")
    train_seed = int(agent.facts.get("seed", -1))
    refuse_overlap(agent, task, seeds)
    known = read_outcomes(path) if path and path.exists() else []
    have = {row.start: row for row in known if row.policy == identity and row.task == task.name}
    todo = [seed for seed in seeds if seed not in have]

    def keep(episodes: list[Episode]) -> None:
        rows = [Outcome.of(episode, identity, task.name, train_seed) for episode in episodes]
        have.update({row.start: row for row in rows})
        if path:
            others = [row for row in known if row.policy != identity or row.task != task.name]
            write_outcomes(path, [*others, *(have[start] for start in sorted(have))])

    rollout(agent, task, todo, together=together, show=show, done=keep)
    return [have[seed] for seed in seeds]


def refuse_overlap(agent: Agent, task: Task, seeds: Sequence[int]) -> None:
    """Test starts that were seen in training would flatter the policy."""
    seen = {name: set(each) for name, each in agent.facts.get("starts", {}).items()}
    both = sorted(seed for seed in set(seeds) if _origin(task, seed) in seen.get(_plain(task, seed), ()))
    if both:
        raise UserError(
            f"start {both[0]} (of {len(both)}) was in the training data of this agent: "
            f"choose --seeds beyond {(max(map(max, seen.values())) + 1) * max(1, task.repeats) - 1}"
        )


def _plain(task: Task, seed: int) -> str:
    """The name of a start's task without what was added to it in brackets."""
    return task.about(seed)["task_name"].partition(" (")[0]


def _origin(task: Task, seed: int) -> int:
    """The start that begins in the same state where every start has its own."""
    return task.context(seed) if task.repeats > 1 else seed
