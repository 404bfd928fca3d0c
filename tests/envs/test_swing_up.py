"""The cart-pole: energy is kept, small swings have the period of the closed form, and the simulator agrees."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.envs import swing_up, task_named
from imitari.envs.swing_up import CART, GRAVITY, INERTIA, LEVER, LIMIT, PICTURE, POLE, STATE, CartPole


def all_energy(motion: np.ndarray) -> np.ndarray:
    """(B,) of cart and pole together, from the velocities of both."""
    _, angle, velocity, turning = motion
    moving = 0.5 * (CART + POLE) * velocity**2 + LEVER * np.cos(angle) * velocity * turning
    return moving + swing_up.energy(angle, turning)


def test_energy_is_kept_without_force_and_damping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swing_up, "RAIL_DAMPING", 0.0)
    monkeypatch.setattr(swing_up, "HINGE_DAMPING", 0.0)
    rng = np.random.default_rng(0)
    motion = np.stack([rng.uniform(-0.1, 0.1, 50), rng.uniform(-np.pi, np.pi, 50), *rng.normal(0, 0.2, (2, 50))])
    before = all_energy(motion)
    for _ in range(300):
        motion = swing_up.ticked(motion, np.zeros(50))
    assert (np.abs(motion[0]) < swing_up.RAIL).all()  # the rail's end would take some
    np.testing.assert_allclose(all_energy(motion), before, atol=1e-6)


def test_small_swings_have_the_period_of_the_closed_form() -> None:
    whole = CART + POLE
    period = 2 * np.pi / np.sqrt(LEVER * GRAVITY * whole / (whole * INERTIA - LEVER**2))
    motion = np.array([[0.0], [np.pi + 1e-3], [0.0], [0.0]])
    angles = []
    for _ in range(2000):
        motion = swing_up.ticked(motion, np.zeros(1), 0.002)
        angles.append(motion[1, 0] - np.pi)
    crossed = np.flatnonzero(np.diff(np.sign(angles)) < 0)
    assert np.diff(crossed)[0] * 0.002 == pytest.approx(period, abs=0.003)


def test_the_simulator_agrees() -> None:
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_string("""<mujoco><option timestep="0.01" integrator="RK4">
      <flag contact="disable"/></option><worldbody><body pos="0 0 1">
      <joint type="slide" axis="1 0 0" limited="true" range="-1.8 1.8" solreflimit=".08 1" damping="5e-4"/>
      <geom type="box" size="0.2 0.15 0.1" mass="1"/><body><joint name="hinge" axis="0 1 0" damping="2e-6"/>
      <geom type="capsule" fromto="0 0 0 0 0 1" size="0.045" mass=".1"/></body></body></worldbody></mujoco>""")
    data = mujoco.MjData(model)
    assert model.body_inertia[2, 1] + POLE * 0.25 == pytest.approx(INERTIA)
    rng = np.random.default_rng(1)
    data.qpos[:], data.qvel[:] = [0.1, 2.0], [0.3, -1.0]
    motion = np.concatenate([data.qpos, data.qvel])[:, None]
    for number in range(400):
        force = rng.uniform(-10, 10) if number % 10 == 0 else float(data.qfrc_applied[0])
        data.qfrc_applied[0] = force
        mujoco.mj_step(model, data)
        motion = swing_up.ticked(motion, np.array([force]))
        if np.abs(motion[0, 0]) > 1.79:
            break
        np.testing.assert_allclose(motion[:, 0], np.concatenate([data.qpos, data.qvel]), atol=1e-6)
    # The soft end of the rail: the simulator rounds some of its constants, so the same within centimetres.
    data.qpos[:], data.qvel[:] = [1.7, 3.0], [2.0, 0.0]
    motion = np.concatenate([data.qpos, data.qvel])[:, None]
    data.qfrc_applied[0] = 0.0
    furthest = [0.0, 0.0]
    for _ in range(30):
        mujoco.mj_step(model, data)
        motion = swing_up.ticked(motion, np.zeros(1))
        furthest = [max(furthest[0], data.qpos[0]), max(furthest[1], motion[0, 0])]
        assert motion[0, 0] == pytest.approx(data.qpos[0], abs=0.03)
    assert furthest[0] > 1.81
    assert furthest[1] == pytest.approx(furthest[0], abs=0.01)


def test_the_reward_is_that_of_the_suite() -> None:
    suite = pytest.importorskip("dm_control.suite.cartpole")
    rewards = pytest.importorskip("dm_control.utils.rewards")
    del suite
    rng = np.random.default_rng(0)
    place, angle, turning, action = rng.uniform(-2, 2, 40), rng.uniform(-4, 4, 40), rng.normal(0, 5, 40), rng.random(40)
    centred = (1 + rewards.tolerance(place, margin=2)) / 2
    little = (4 + rewards.tolerance(action, margin=1, value_at_margin=0, sigmoid="quadratic")) / 5
    slow = (1 + rewards.tolerance(turning, margin=5)) / 2
    theirs = (np.cos(angle) + 1) / 2 * little * slow * centred
    np.testing.assert_allclose(swing_up.rewarded(place, angle, turning, action), theirs, rtol=1e-9)


def test_gains_solve_the_riccati_equation() -> None:
    """The closed loop is stable, and the gains are those of scipy's solution for the same linearisation."""
    from scipy.linalg import solve_discrete_are

    change, push = np.eye(4), np.zeros((4, 1))
    for column in range(5):
        sides = []
        for sign in (1, -1):
            motion, force = np.zeros((4, 1)), np.zeros(1)
            if column < 4:
                motion[column] = sign * 1e-5
            else:
                force[:] = sign * 1e-4
            for _ in range(swing_up.REPEAT):
                motion = swing_up.ticked(motion, force)
            sides.append(motion[:, 0])
        slope = (sides[0] - sides[1]) / 2
        if column < 4:
            change[:, column] = slope / 1e-5
        else:
            push[:, 0] = slope / 1e-5
    value = solve_discrete_are(change, push, np.diag([1.0, 2.0, 0.1, 0.1]), np.array([[0.3]]))
    gains = np.linalg.solve(0.3 + push.T @ value @ push, push.T @ value @ change)[0]
    np.testing.assert_allclose(swing_up.holding(), gains, rtol=1e-3)
    assert np.abs(np.linalg.eigvals(change - push @ swing_up.holding()[None])).max() < 1


def test_the_expert_holds_the_pole_and_play_does_not() -> None:
    totals, solved = {}, {}
    for who in ("expert", "play", "random"):
        task = task_named("swing_up/positions", who=who)
        world = task.make(40)
        episodes = interact(task.expert(world), world, range(40))
        totals[who] = np.mean([episode.total for episode in episodes])
        solved[who] = np.mean([episode.success for episode in episodes])
        assert {len(episode) for episode in episodes} == {LIMIT}
    assert solved["expert"] == 1
    assert max(solved["play"], solved["random"]) < 0.05  # by chance, at the end
    assert totals["expert"] > 170
    assert totals["play"] < 0.6 * totals["expert"]
    assert totals["random"] < 0.25 * totals["expert"]


def test_errors_are_new_at_every_step_and_the_same_again() -> None:
    task, clean = task_named("swing_up/positions", noise=0.1), task_named("swing_up/positions")
    runs = []
    for one in (task, task, clean):
        world = one.make(60)
        seen = [world.reset(seed=range(60))[0][STATE]]
        seen += [world.step(np.full((60, 1), 0.2, np.float32))[0][STATE] for _ in range(40)]
        runs.append(np.stack(seen))
    np.testing.assert_array_equal(runs[0], runs[1])
    errors = runs[0] - runs[2]
    assert errors.std() == pytest.approx(0.1, rel=0.03)
    assert abs(np.corrcoef(errors[:-1].ravel(), errors[1:].ravel())[0, 1]) < 0.05
    assert runs[0].shape == (41, 60, 3)


def test_some_can_begin_anew_while_the_others_go_on() -> None:
    world = task_named("swing_up/state").make(3)
    assert isinstance(world, CartPole)
    first, _ = world.reset(seed=[5, 6, 7])
    for _ in range(9):
        later, *_ = world.step(np.ones((3, 1), np.float32))
    fresh = world.restart(np.array([False, True, False]), [5])
    np.testing.assert_array_equal(fresh[STATE][0], first[STATE][0])
    again = world.observe(world.state)[STATE]
    np.testing.assert_array_equal(again[[0, 2]], later[STATE][[0, 2]])
    np.testing.assert_array_equal(world.state["clock"], [9, 0, 9])


def test_the_picture_shows_where_cart_and_pole_are() -> None:
    world = task_named("swing_up/picture").make(2)
    obs, _ = world.reset(seed=[0, 1])
    assert obs[PICTURE].shape == (2, 32, 32, 1)
    assert obs[PICTURE].dtype == np.uint8
    side, reach = 64, swing_up.RAIL + 0.5
    motion = np.array([[0.5, 1.0, 0.0, 0.0], [0.5, 1.02, 0.0, 0.0]])
    pictures = swing_up.drawn(motion, side)
    assert (pictures[0] != pictures[1]).any()  # a hundredth of a turn shows
    row, column = np.unravel_index(np.argmin(np.where(np.arange(side)[:, None] < 24, pictures[0], 255)), (side, side))
    x, y = (column + 0.5) / side * 2 * reach - reach, reach - (row + 0.5) / side * 2 * reach
    assert np.arctan2(x - 0.5, y) == pytest.approx(1.0, abs=0.1)


def test_bad_options_are_refused() -> None:
    for options in ({"noise": -1.0}, {"who": "nobody"}, {"pixels": 32}):
        with pytest.raises(UserError):
            task_named("swing_up/state", **options)
