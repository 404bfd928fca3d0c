"""The world of one obstacle: geometry against its definition, the expert, and the two noises."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imitari.data.collecting import Request, collect
from imitari.envs import task_named
from imitari.envs.obstacle import SPEED, STATE, STOP, WIDEST, free_share, waypoint
from imitari.jobs.demonstrations import demonstrate


def test_a_motion_stops_before_the_disc() -> None:
    rng = np.random.default_rng(0)
    position, motion = rng.uniform(0, 1, (400, 2)), rng.normal(0, 0.2, (400, 2))
    centre, radius = rng.uniform(0.25, 0.75, (400, 2)), rng.uniform(0.05, 0.1, 400)
    outside = np.linalg.norm(position - centre, axis=1) > radius
    share = free_share(position, motion, centre, radius)
    # By brute force: the first of many points on the way that lies in the disc.
    along = np.linspace(0, 1, 20_001)
    for number in np.flatnonzero(outside):
        points = position[number] + along[:, None] * motion[number]
        inside = np.flatnonzero(np.linalg.norm(points - centre[number], axis=1) < radius[number])
        expected = STOP * along[inside[0]] if len(inside) else 1.0
        assert abs(share[number] - expected) < 1e-3
    assert (share[outside] < 1).sum() > 10


def test_the_way_point_is_half_way_to_the_wall() -> None:
    found = waypoint(np.array([[0.0, 0.5]] * 2), np.array([[0.5, 0.5]] * 2), np.array([1.0, -1.0]))
    np.testing.assert_allclose(found, [[0.5, 0.75], [0.5, 0.25]])


def test_the_expert_takes_one_side_or_both_with_any_noise() -> None:
    for side, sides in (("above", {1.0}), ("random", {-1.0, 1.0})):
        for noise in (0.0, 0.05):
            demos = demonstrate(task_named("obstacle", noise=noise, side=side), range(60), together=60)
            assert (demos.table.success == 1).mean() > 0.95
            seen: set[float] = set()
            for episode in demos:
                state = episode.obs[STATE]
                way, offset = state[0, 4:6] - state[0, :2], state[:, :2] - state[0, 4:6]
                beside = np.argmin(np.abs(offset @ way))  # where it passes the obstacle
                seen.add(float(np.sign(way[0] * offset[beside, 1] - way[1] * offset[beside, 0])))
            assert seen == sides


def test_both_noises_move_alike_and_only_one_is_in_the_labels(tmp_path: Path) -> None:
    sigma = 0.02
    share = sigma / SPEED / (2 * WIDEST)  # `collect` takes noise as a share of the action's range
    told = {}
    for recorded in ("executed", "intended"):
        request = Request("obstacle", episodes=60, noise=f"gaussian:{share}", recorded=recorded)
        told[recorded] = collect(request, task_named("obstacle"), tmp_path / f"{recorded}.npz", "npz").demos
    noisy = demonstrate(task_named("obstacle", noise=sigma), range(60), only_successes=True)
    moved = {}
    for name, demos in {**told, "system": noisy}.items():
        errors = []
        for episode in demos:
            state = episode.obs[STATE].astype(np.float64)
            free = np.linalg.norm(state[:-1, :2] - state[:-1, 4:6], axis=1) > 0.25
            free &= ((state[1:, :2] > 0.001) & (state[1:, :2] < 0.999)).all(1)
            intended = episode.extra["action.intended"] if name == "executed" else episode.action
            errors.append((np.diff(state[:, :2], axis=0) - SPEED * intended)[free])
        moved[name] = np.concatenate(errors)
        assert np.linalg.norm(moved[name].mean(0)) < 0.15 * sigma
        np.testing.assert_allclose(moved[name].std(0), sigma, rtol=0.1)
    lengths = {name: max(np.linalg.norm(one.action, axis=1).max() for one in told[name]) for name in told}
    assert lengths["intended"] < 1.001
    assert lengths["executed"] > 1.5


def test_noise_of_the_world_is_part_of_the_start() -> None:
    task = task_named("obstacle", noise=0.03)
    one, two = demonstrate(task, [7, 8])[0], demonstrate(task, [7])[0]
    np.testing.assert_array_equal(one.obs[STATE], two.obs[STATE])
