"""Push-T: our faster stepping gives the numbers of gym-pusht itself."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.envs import task_named

pytest.importorskip("gym_pusht", reason="gym-pusht is not installed")


def targets(seed: int, start: np.ndarray, steps: int) -> np.ndarray:
    """Push targets: behind the block, then across it towards the mark, and again from elsewhere."""
    rng = np.random.default_rng(seed)
    mark, block = np.array([256.0, 256.0]), start[2:4]
    points = []
    for _ in range(steps // 20):
        behind = block + 130 * (block - mark) / np.linalg.norm(block - mark) + rng.normal(0, 30, 2)
        points += [np.tile(behind, (10, 1)), np.linspace(behind, mark, 10)]
    return np.clip(np.concatenate(points), 0, 512).astype(np.float32)


def test_equal_to_the_original_bit_for_bit() -> None:
    from gym_pusht.envs.pusht import PushTEnv

    world, original, seen = task_named("pusht").make(1), PushTEnv(), set[float]()
    for seed in range(6):
        obs, _ = world.reset(seed=[seed])
        expected, _ = original.reset(seed=seed)
        np.testing.assert_array_equal(obs["observation.state"][0], expected.astype(np.float32))
        for action in targets(seed, expected, 240):
            obs, reward, terminated, _, _ = world.step(action[None])
            expected, wanted, ended, _, _ = original.step(action)
            np.testing.assert_array_equal(obs["observation.state"][0], expected.astype(np.float32))
            assert reward[0] == np.float32(wanted)
            assert bool(terminated[0]) == bool(ended)
            seen.add(float(reward[0]))
    assert len(seen) > 20, "the block hardly came over its mark: the comparison shows nothing"


def test_a_given_start_is_met_exactly() -> None:
    world = task_named("pusht").make(2)
    states = np.array([[100.0, 120.0, 200.0, 300.0, 1.0], [400.0, 100.0, 256.0, 256.0, 4.0]])
    obs, _ = world.reset(options={"state": states})
    np.testing.assert_allclose(obs["observation.state"], states, atol=1e-3)
    with pytest.raises(UserError, match="start states"):
        world.reset(options={"state": states[:1]})


def test_the_goal_pose_is_solved() -> None:
    world = task_named("pusht").make(1)
    world.reset(options={"state": np.array([[50.0, 50.0, 256.0, 256.0, np.pi / 4]])})
    _, reward, terminated, _, info = world.step(np.array([[50.0, 50.0]], np.float32))
    assert reward[0] == 1
    assert terminated[0]
    assert info["success"][0]


def test_human_demonstrations_replay() -> None:
    folder = Path(os.environ.get("IMITARI_DATA", "../shared/data")) / "pusht_human" / "pusht_cchi_v7_replay.zarr"
    if not folder.exists():
        pytest.skip(f"no Push-T demonstrations at {folder}")
    zarr = pytest.importorskip("zarr")
    group = zarr.open(str(folder), mode="r")
    ends = np.asarray(group["meta/episode_ends"])[:4]
    state, action = (np.asarray(group[f"data/{key}"][: ends[-1]], np.float64) for key in ("state", "action"))
    errors = []
    for first, last in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
        world = task_named("pusht", limit=1000).make(1)
        obs, _ = world.reset(options={"state": state[first : first + 1]})
        for row in range(first, last - 1):
            obs, _, terminated, _, _ = world.step(action[row : row + 1])
            if terminated[0]:
                break
        errors.append(np.abs(obs["observation.state"][0, :4] - state[row + 1, :4]).max())
    assert np.median(errors) < 1.0, f"end errors in px: {errors}"


def test_the_common_area_is_that_of_polygons() -> None:
    """Convex polygons cut by a box, against shapely's general intersection."""
    import shapely

    from imitari.envs._pusht import area_inside

    rng = np.random.default_rng(0)
    some = 0
    for _ in range(300):
        corners = shapely.convex_hull(shapely.multipoints(rng.normal(0, 1, (5, 2))))
        left, bottom = rng.normal(-0.5, 0.7, 2)
        box = (left, bottom, left + rng.uniform(0.1, 2), bottom + rng.uniform(0.1, 2))
        expected = shapely.intersection(corners, shapely.box(*box)).area
        points = [(float(x), float(y)) for x, y in corners.exterior.coords[:-1]]
        assert area_inside(points, box) == pytest.approx(expected, abs=1e-12)
        some += expected > 0
    assert some > 100
