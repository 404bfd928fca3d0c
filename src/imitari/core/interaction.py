"""Running an actor in a world: the one loop behind evaluation, collection and interactive learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imitari.core.episode import Array, Ending, Episode, Obs
from imitari.core.task import Actor, Stepped


@dataclass(frozen=True)
class Decision:
    """What happens to the actor's proposal in one step.

    Attributes:
        execute: (B, A) what the world is given.
        record: (B, A) what the episode stores as `action`.
        extra: further columns to store, name -> (B, ...).
    """

    execute: Array
    record: Array
    extra: dict[str, Array]


Decide = Callable[[Obs, Array], Decision]


class _Log:
    """Per-step arrays of all environments, cut into episodes at the end."""

    def __init__(self, obs: Obs) -> None:
        self.obs: dict[str, list[Array]] = {key: [np.array(value)] for key, value in obs.items()}
        self.steps: dict[str, list[Array]] = {}

    def add(self, obs: Obs, **columns: Array) -> None:
        for key, value in obs.items():
            self.obs[key].append(np.array(value))
        for key, value in columns.items():
            self.steps.setdefault(key, []).append(np.array(value))


def interact(
    actor: Actor,
    world: Stepped,
    seeds: Sequence[int],
    *,
    decide: Decide | None = None,
    record: bool = True,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Episode]:
    """One episode a seed, all stepped together until every one has finished.

    Args:
        actor: proposes actions.
        world: as many environments as there are seeds.
        seeds: one a environment; they fix the starts, and with them the noise of the actor.
        decide: may replace what is executed or recorded (noise, take-over); default: execute and record the proposal.
        record: keep observations; without them episodes hold actions, rewards and outcome only.
        on_step: called with (steps done, environments still running).

    Returns:
        Episodes in the order of the seeds; `source["seed"]` holds the seed, and `source["behaviour"]` the way in which
        it was solved, where the world tells one.
    """
    obs, _ = world.reset(seed=[int(seed) for seed in seeds])
    memory = actor.reset(len(seeds), seed=int(seeds[0]))
    log = _Log(obs if record else {})
    count = len(seeds)
    running = np.ones(count, bool)
    length = np.zeros(count, np.int64)
    terminal, success = np.zeros(count, bool), np.zeros(count, bool)
    told: Array | None = None
    while running.any():
        proposal, memory = actor.act(obs, memory)
        decision = decide(obs, proposal) if decide else Decision(proposal, proposal, {})
        obs, reward, terminated, truncated, info = world.step(decision.execute)
        log.add(obs if record else {}, action=decision.record, reward=reward, **decision.extra)
        length += running
        success |= running & np.asarray(info["success"], bool)
        terminal |= running & terminated
        told = info.get("behaviour", told)
        running &= ~(terminated | truncated)
        if on_step:
            on_step(len(log.steps["action"]), int(running.sum()))
    return _episodes(log, length, terminal, success, [begun(seed, told, at) for at, seed in enumerate(seeds)])


def begun(seed: int, behaviour: Array | None, number: int) -> dict[str, Any]:
    """What the `source` of environment `number`'s episode says: where it began and, if that is known, in which way
    (`behaviour` (B,), of all environments) it was solved."""
    source: dict[str, Any] = {"seed": int(seed)}
    if behaviour is not None and behaviour[number] >= 0:
        source["behaviour"] = int(behaviour[number])
    return source


def _episodes(
    log: _Log, length: Array, terminal: Array, success: Array, sources: Sequence[dict[str, Any]]
) -> list[Episode]:
    steps = {key: np.stack(values, 1) for key, values in log.steps.items()}
    obs = {key: np.stack(values, 1) for key, values in log.obs.items()}
    action, reward = steps.pop("action"), steps.pop("reward")
    episodes: list[Episode] = []
    for number, source in enumerate(sources):
        count = int(length[number])
        ended: Ending = "terminated" if terminal[number] else "truncated"
        episodes.append(
            Episode(
                obs={key: value[number, : count + 1] for key, value in obs.items()},
                action=action[number, :count],
                reward=reward[number, :count].astype(np.float32),
                ended=ended,
                success=bool(success[number]),
                extra={key: value[number, :count] for key, value in steps.items()},
                source=source,
            )
        )
    return episodes
