"""The world of detours: what the specification of the experiment asks of its demonstrations."""

from __future__ import annotations

import numpy as np

from imitari.envs import detours, task_named
from imitari.jobs.demonstrations import demonstrate

STATE, TOP = "observation.state", "observation.images.top"


def test_demonstrations_are_as_the_experiment_needs_them() -> None:
    demos = demonstrate(task_named("detours"), range(5_000_000, 5_000_040))
    assert (demos.table.success == 1).all()
    rows = demos.rows()
    stray = demos.columns[detours.DETOUR].take(rows).astype(bool)
    assert 0.3 < stray.mean() < 0.4
    size = np.linalg.norm(demos.columns["action"].take(rows), axis=1)
    np.testing.assert_allclose(size[stray], 1.0, rtol=1e-6)
    assert size[~stray].max() < 0.3 + 1e-6
    lengths = [int(flags.sum()) for flags in np.split(stray, np.cumsum(demos.table.length)[:-1])]
    assert set(lengths) <= {13, 26}
    assert len(set(lengths)) == 2


def test_a_detour_goes_away_in_the_sector_and_back_another_way() -> None:
    demos = demonstrate(task_named("detours"), range(5_000_000, 5_000_010))
    for episode in demos:
        stray = episode.extra[detours.DETOUR].astype(bool)
        begin = int(stray.argmax())
        angle = np.arctan2(episode.action[begin : begin + 13, 1], episode.action[begin : begin + 13, 0])
        assert (np.abs(angle[: detours.OUT] - detours.SECTOR[0]) <= detours.SECTOR[1] + 1e-6).all()
        turned = np.mod(angle[detours.OUT :] - angle[0], 2 * np.pi)
        np.testing.assert_allclose(turned, detours.TURN, atol=1e-5)
        gone = np.linalg.norm(episode.obs[STATE][begin + 13, :2] - episode.obs[STATE][begin, :2])
        assert gone > 0.15  # it ends elsewhere


def test_the_picture_shows_small_moves_and_the_reward_the_distance() -> None:
    world = task_named("detours", pixels=24).make(3)
    before, _ = world.reset(seed=[1, 2, 3])
    assert before[TOP].shape == (3, 24, 24, 3)
    after, reward, terminated, _, info = world.step(np.tile([0.1, 0.0], (3, 1)))
    assert (before[TOP] != after[TOP]).any((1, 2, 3)).all()  # by 0.008 of a plane of 2.4
    point, goal = np.split(after[STATE].astype(np.float64), 2, axis=1)
    np.testing.assert_allclose(reward, -np.linalg.norm(point - goal, axis=1), rtol=1e-5)
    assert not terminated.any()
    assert not info["success"].any()
