"""The table with six pillars: geometry, what a way is, and hands that show all 24 equally often."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imitari.core.episode import Array
from imitari.core.interaction import interact
from imitari.envs import avoiding, task_named
from imitari.envs._table import LAG, ROD, STATE
from imitari.evaluate.diversity import behaviour_entropy
from imitari.jobs.demonstrations import demonstrate


def walked(points: list[tuple[float, float]]) -> tuple[Array, dict[str, Any]]:
    """Positions of a rod that is told to go straight from point to point, and the last info."""
    world = task_named("avoiding").make(1)
    obs, info = world.reset(seed=[0])
    seen = [obs[STATE][0]]
    for point in points:
        for _ in range(100):
            way = np.asarray(point) - obs[STATE][:, :2]
            obs, _, terminated, _, info = world.step(np.clip(way, -0.01, 0.01))
            seen.append(obs[STATE][0])
            if terminated.any() or np.linalg.norm(way) < 1e-4:
                break
    return np.array(seen), info


def test_the_action_changes_the_desired_position_and_the_rod_lags_behind() -> None:
    world = task_named("avoiding").make(2)
    obs, _ = world.reset(seed=[3, 4])
    np.testing.assert_allclose(obs[STATE], [[0.525, -0.28, 0.525, -0.28]] * 2, rtol=1e-6)
    desired = rod = np.array([0.525, -0.28])
    for action in np.random.default_rng(0).uniform(-0.01, 0.01, (12, 2)):
        obs, *_ = world.step(np.stack([action, action]).astype(np.float32))
        desired = desired + action
        rod = rod + LAG * (desired - rod)
        np.testing.assert_allclose(obs[STATE][0], [*desired, *rod], rtol=1e-5)


def test_levels_are_half_way_between_their_neighbours_and_the_finish_is_the_next() -> None:
    np.testing.assert_allclose(np.diff(avoiding.LEVELS), 0.18)
    assert pytest.approx(avoiding.LEVELS[0] + 2.5 * 0.18) == avoiding.FINISH
    assert [gap.tolist() for gap in avoiding.GAPS] == [[0.5], [0.425, 0.575], [0.35, 0.5, 0.65]]


def test_there_are_24_ways_and_each_has_its_own_bits() -> None:
    gaps = np.array(avoiding.CODES)
    assert avoiding.code_of(gaps).tolist() == list(range(24))
    bits = avoiding.bits(gaps)
    assert bits.shape == (24, 9)
    assert len({tuple(row) for row in bits}) == 24
    assert (bits[:, :2].sum(1) == 1).all()
    assert (bits[:, 2:5].sum(1) == 1).all()
    assert (bits[:, 5:].sum(1) == 1).all()
    assert bits[0].tolist() == [1, 0, 1, 0, 0, 1, 0, 0, 0]  # left of everything
    assert len(avoiding.NAMES) == 24


def test_contact_is_the_distance_of_the_way_from_the_pillars() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.uniform((0.3, -0.2), (0.7, 0.3), (2, 50, 2))
    shares = np.linspace(0, 1, 20001)[:, None, None]
    points = before + shares * (after - before)
    for number, pillar in enumerate(avoiding.PILLARS):
        nearest = np.linalg.norm(points - pillar, axis=2).min(0)
        np.testing.assert_allclose(avoiding.distances(before, after)[:, number], nearest, atol=2e-5)


def test_touching_a_pillar_ends_it_without_success() -> None:
    seen, info = walked([(0.5, 0.0)])
    assert not info["success"][0]
    assert info["behaviour"][0] == -1
    last = np.linalg.norm(seen[-1, 2:] - avoiding.PILLARS[0])
    assert last < avoiding.RADII[0] + ROD < np.linalg.norm(seen[-2, 2:] - avoiding.PILLARS[0])


def test_who_leaves_sideways_runs_out_of_time() -> None:
    world = task_named("avoiding").make(1)
    _, info = world.reset(seed=[0])
    for step in range(avoiding.LIMIT):
        _, _, terminated, truncated, info = world.step(np.array([[0.01, 0.0]], np.float32))
        assert not terminated.any()
        assert truncated.any() == (step + 1 == avoiding.LIMIT)
    assert not info["success"].any()


def test_a_way_is_noted_once() -> None:
    _, info = walked([(0.43, -0.1), (0.4, -0.02), (0.61, 0.0), (0.62, 0.16), (0.575, 0.18), (0.575, 0.4)])
    assert info["success"][0]
    assert avoiding.CODES[info["behaviour"][0]] == (0, 2, 2)
    # Back below the first level and past its pillar on the other side: still the first one counts.
    around = [(0.43, -0.1), (0.43, -0.05), (0.43, -0.2), (0.6, -0.2), (0.62, -0.05), (0.62, 0.16), (0.575, 0.4)]
    assert avoiding.CODES[walked(around)[1]["behaviour"][0]] == (0, 2, 2)


def test_who_leaps_over_a_band_leaves_its_level_empty() -> None:
    gap = np.full((1, 3), -1)
    for y in (-0.14, -0.05, 0.08, 0.3):  # never within 0.03 of the first level
        gap = avoiding.passed(gap, np.array([[0.6, y]]))
    assert gap.tolist() == [[-1, 2, 2]]
    assert avoiding.code_of(gap).tolist() == [-1]
    assert avoiding.bits(gap).sum() == 2


def test_hands_show_every_way_equally_often() -> None:
    task = task_named("avoiding")
    starts = range(2_000_000, 2_000_000 + 480)
    world = task.make(len(starts))
    episodes = interact(task.expert(world), world, starts, record=False)
    solved = np.array([bool(episode.success) for episode in episodes])
    ways = np.array([episode.source.get("behaviour", -1) for episode in episodes])
    assert solved.mean() >= 0.95
    assert (ways[solved] == np.array(starts)[solved] % 24).all()
    assert behaviour_entropy(ways[None], solved[None], 24).entropy > 0.97
    lengths = np.array([len(episode) for episode in episodes])
    assert 60 < lengths.mean() < 100  # D3IL: 96 demonstrations have about 7,300 steps


def test_a_single_way_has_no_entropy() -> None:
    task = task_named("avoiding")
    starts = [24 * number + 5 for number in range(40)]
    world = task.make(len(starts))
    ways = [episode.source["behaviour"] for episode in interact(task.expert(world), world, starts, record=False)]
    assert set(ways) == {5}
    assert behaviour_entropy([ways], np.ones((1, 40)), 24).entropy == 0


def test_a_hand_finds_back_to_its_plan() -> None:
    task = task_named("avoiding")
    world = task.make(48)
    hand = task.expert(world)
    obs, _ = world.reset(seed=range(48))
    memory, info = hand.reset(48), dict[str, Any]()
    for step in range(task.limit):
        action, memory = hand.act(obs, memory)
        if 5 <= step < 9:
            action = np.array([[0.0, -0.015]], np.float32).repeat(48, 0)  # somebody pulls it back
        obs, _, terminated, truncated, info = world.step(action)
        if (terminated | truncated).all():
            break
    assert info["success"].mean() > 0.9


def test_demonstrations_are_the_same_for_the_same_starts() -> None:
    task = task_named("avoiding")
    one, two = demonstrate(task, range(6)), demonstrate(task, range(6), together=2)
    assert one.facts()["fingerprint"] == two.facts()["fingerprint"]


def test_picture_shows_pillars_and_rod() -> None:
    world = task_named("avoiding", pixels=64).make(1)
    obs, _ = world.reset(seed=[0])
    image = obs["observation.images.top"][0]
    assert image.shape == (64, 64, 3)
    red = (image == (200, 60, 60)).all(-1).sum() / 64**2 * 0.65
    assert red == pytest.approx(np.pi * (avoiding.RADII**2).sum(), rel=0.25)
    assert (image == (40, 40, 40)).all(-1).any()
