"""The lane-following world: its expert never leaves the lane, cloning it does, labels on the policy's own way help."""

from __future__ import annotations

import numpy as np

from imitari.core.episode import Array, Episode
from imitari.core.interaction import Decision, interact
from imitari.core.task import Stateless
from imitari.envs import task_named

STATE = "observation.state"


def rate(episodes: list[Episode]) -> float:
    return float(np.mean([episode.success for episode in episodes]))


def linear(weights: Array) -> Stateless:
    return Stateless(lambda obs: np.clip(obs[STATE] @ weights, -1, 1).astype(np.float32))


def fit(episodes: list[Episode]) -> Array:
    states = np.concatenate([episode.obs[STATE][:-1] for episode in episodes])
    labels = np.concatenate([episode.action for episode in episodes])
    return np.linalg.lstsq(states.astype(np.float64), labels.astype(np.float64), rcond=None)[0]


def test_expert_never_leaves_the_lane() -> None:
    task = task_named("track")
    world = task.make(200)
    episodes = interact(task.expert(world), world, range(200))
    assert rate(episodes) == 1
    assert {len(episode) for episode in episodes} == {task.limit}
    assert {episode.ended for episode in episodes} == {"truncated"}


def test_no_steering_leaves_the_lane() -> None:
    world = task_named("track").make(50)
    episodes = interact(Stateless(lambda obs: np.zeros((50, 1), np.float32)), world, range(50))
    assert rate(episodes) < 0.1
    assert any(episode.ended == "terminated" and len(episode) < 100 for episode in episodes)


def test_cloning_fails_and_labels_on_the_own_way_help() -> None:
    task = task_named("track")
    world = task.make(12)
    expert = task.expert(world)
    shown = interact(expert, world, range(12))
    cloned = linear(fit(shown))

    data = shown[:3]
    for number in range(3):  # the same number of labelled episodes in all: 3 + 3 * 3
        small = task.make(3)
        labeller = task.expert(small)

        def label(obs: dict[str, Array], proposal: Array, by: Stateless = labeller) -> Decision:  # type: ignore[assignment]
            return Decision(proposal, by.act(obs, None)[0], {})

        data = data + interact(linear(fit(data)), small, range(100 + 3 * number, 103 + 3 * number), decide=label)
    test, seeds = task.make(100), range(1000, 1100)
    assert rate(interact(cloned, test, seeds)) < 0.3
    assert rate(interact(linear(fit(data)), test, seeds)) > 0.8


def test_seed_fixes_the_whole_episode() -> None:
    task = task_named("track")
    first, second = task.make(2), task.make(1)
    alone = interact(task.expert(second), second, [5])[0]
    together = interact(task.expert(first), first, [9, 5])[1]
    np.testing.assert_array_equal(alone.obs[STATE], together.obs[STATE])
