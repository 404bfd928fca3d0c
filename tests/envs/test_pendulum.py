"""The pendulum: energy is kept, small swings have the period of the closed form, the expert alone holds it."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.envs import pendulum, task_named
from imitari.envs.pendulum import GRAVITY, LIMIT, STATE


def test_energy_is_kept_without_torque_and_damping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pendulum, "DAMPING", 0.0)
    rng = np.random.default_rng(0)
    motion = np.stack([rng.uniform(-np.pi, np.pi, 50), rng.normal(0, 3, 50)])
    before = pendulum.energy(*motion)
    for _ in range(400):
        motion = pendulum.ticked(motion, np.zeros(50))
    np.testing.assert_allclose(pendulum.energy(*motion), before, atol=1e-5)


def test_small_swings_have_the_period_of_the_closed_form() -> None:
    motion = np.array([[np.pi + 1e-3], [0.0]])
    angles = []
    for _ in range(2000):
        motion = pendulum.ticked(motion, np.zeros(1), 0.002)
        angles.append(motion[0, 0] - np.pi)
    crossed = np.flatnonzero(np.diff(np.sign(angles)) < 0)
    fast = np.sqrt(GRAVITY - pendulum.DAMPING**2 / 4)
    assert np.diff(crossed)[0] * 0.002 == pytest.approx(2 * np.pi / fast, abs=0.003)


def test_full_torque_does_not_lift_it() -> None:
    motion = np.array([[np.pi], [0.0]])
    for _ in range(4000):
        motion = pendulum.ticked(motion, np.ones(1))
    assert motion[0, 0] == pytest.approx(np.pi + np.arcsin(pendulum.MOTOR / GRAVITY), abs=1e-2)


def test_the_expert_holds_it_and_the_others_do_not() -> None:
    totals, solved = {}, {}
    for who in ("expert", "play", "random"):
        task = task_named("pendulum/positions", who=who, noise=0.1)
        world = task.make(40)
        episodes = interact(task.expert(world), world, range(40))
        totals[who] = np.mean([episode.total for episode in episodes])
        solved[who] = np.mean([bool(episode.success) for episode in episodes])
        assert {len(episode) for episode in episodes} == {LIMIT}
    assert solved["expert"] == 1
    assert max(solved["play"], solved["random"]) < 0.05  # by chance, at the end
    assert totals["expert"] > 60
    assert totals["play"] < 0.25 * totals["expert"]
    assert totals["random"] < 0.05 * totals["expert"]


def test_speed_is_hidden_and_errors_have_their_size() -> None:
    clean, noisy = task_named("pendulum/state").make(50), task_named("pendulum/positions", noise=0.1).make(50)
    truth, seen = clean.reset(seed=range(50))[0][STATE], noisy.reset(seed=range(50))[0][STATE]
    assert truth.shape == (50, 3)
    assert seen.shape == (50, 2)
    assert (seen - truth[:, :2]).std() == pytest.approx(0.1, abs=0.02)
    with pytest.raises(UserError, match="noise is -1"):
        task_named("pendulum/state", noise=-1)
    with pytest.raises(UserError, match="who is 'nobody'"):
        task_named("pendulum/state", who="nobody")
