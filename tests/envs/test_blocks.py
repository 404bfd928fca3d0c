"""Blocks on a table: contact with the rod and among each other, against definitions and brute force."""

from __future__ import annotations

import numpy as np

from imitari.envs import _blocks
from imitari.envs._table import ROD, squares

HALF = 0.03


def scattered(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rods about squares that lie anyhow."""
    rng = np.random.default_rng(seed)
    middle, yaw = rng.uniform(-0.1, 0.1, (count, 2)), rng.uniform(-np.pi, np.pi, count)
    return middle + rng.uniform(-0.055, 0.055, (count, 2)), middle, yaw


def test_overlap_with_the_rod_is_the_distance_to_the_square() -> None:
    rod, middle, yaw = scattered(200)
    depth, normal = _blocks.touched(rod, middle, yaw, HALF)
    edge = np.linspace(-HALF, HALF, 2001)
    border = np.concatenate([np.stack([edge, 0 * edge + side], 1) for side in (-HALF, HALF)])
    border = np.concatenate([border, border[:, ::-1]])
    for number in range(200):
        points = middle[number] + _blocks.turned(border, np.full(len(border), yaw[number]))
        away = np.linalg.norm(points - rod[number], axis=1)
        local = _blocks.turned(rod[number] - middle[number], -yaw[number])
        signed = -away.min() if (np.abs(local) < HALF).all() else away.min()
        assert abs(depth[number] - (ROD - signed)) < 1e-5
        # Going back along the normal by the depth, the rod just touches.
        left = _blocks.touched(rod[number] - depth[number] * normal[number], middle[number], yaw[number], HALF)[0]
        if signed > 0:
            assert abs(left) < 1e-9


def test_a_pushed_point_moves_as_the_pusher_or_slides_at_the_edge_of_friction() -> None:
    rng = np.random.default_rng(1)
    count, reach = 300, _blocks.lever(HALF)
    turn = rng.uniform(-np.pi, np.pi, count)
    normal = np.stack([np.cos(turn), np.sin(turn)], 1)
    arm = -HALF * normal + rng.uniform(-HALF, HALF, (count, 1)) * _blocks.across(normal)
    depth, slip = rng.uniform(0.0005, 0.002, count), rng.uniform(-0.004, 0.004, count)
    moved, spun = _blocks.given_way(depth, normal, arm, slip, reach)
    tangent = _blocks.across(normal)
    at_contact = moved + spun[:, None] * _blocks.across(arm)
    np.testing.assert_allclose((at_contact * normal).sum(1), depth, rtol=1e-9)
    pressed, rubbed = (moved * normal).sum(1), (moved * tangent).sum(1)  # the force is along the motion
    assert (pressed > 0).all()
    assert (np.abs(rubbed) <= _blocks.FRICTION * pressed * (1 + 1e-9)).all()
    np.testing.assert_allclose(spun, _blocks.crossed(arm, moved) / reach**2, rtol=1e-9)
    sticks = np.abs(rubbed) < _blocks.FRICTION * pressed * (1 - 1e-9)
    assert sticks.any()
    assert (~sticks).any()
    np.testing.assert_allclose((at_contact * tangent).sum(1)[sticks], slip[sticks], rtol=1e-6, atol=1e-12)
    assert (np.sign(rubbed) == np.sign(slip))[~sticks].all()


def test_the_lever_is_the_mean_distance_from_the_middle() -> None:
    axis = (np.arange(2000) + 0.5) / 2000 * 2 - 1
    mean = np.hypot(*np.meshgrid(axis, axis)).mean() * HALF
    assert abs(_blocks.lever(HALF) - mean) < 1e-5


def test_pushing_through_the_middle_does_not_turn() -> None:
    rod, block, yaw = np.array([[0.0, -0.05]]), np.zeros((1, 1, 2)), np.zeros((1, 1))
    for _ in range(30):
        rod, block, yaw = _blocks.swept(rod, rod + np.array([0.0, 0.01]), 0.5, block, yaw, HALF)
    assert abs(block[0, 0, 0]) < 1e-12
    assert abs(yaw[0, 0]) < 1e-12
    np.testing.assert_allclose(block[0, 0, 1] - rod[0, 1], HALF + ROD, atol=1e-9)
    # Left of the middle, the block turns to the right.
    _, _, yaw = _blocks.swept(np.array([[-0.02, -0.045]]), np.array([[-0.02, -0.03]]), 0.5, block * 0, yaw * 0, HALF)
    assert yaw[0, 0] < -1e-3


def test_squares_overlap_where_points_say_so() -> None:
    rng = np.random.default_rng(2)
    count = 400
    one, turn_one = np.zeros((count, 2)), rng.uniform(-np.pi, np.pi, count)
    two, turn_two = rng.uniform(-0.075, 0.075, (count, 2)), rng.uniform(-np.pi, np.pi, count)
    depth, normal, _ = _blocks.overlap(one, turn_one, two, turn_two, HALF)
    axis = np.linspace(-HALF, HALF, 121)
    dense = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    for number in range(count):
        points = two[number] + _blocks.turned(dense, np.full(len(dense), turn_two[number]))
        local = _blocks.turned(points - one[number], np.full(len(dense), -turn_one[number]))
        common = (np.abs(local) <= HALF).all(1).any()
        if abs(depth[number]) > 0.001:
            assert common == (depth[number] > 0)
        # Moved apart by the depth along the normal, they touch.
        away = two[number] + depth[number] * normal[number]
        if depth[number] > 0:
            left = _blocks.overlap(one[:1], turn_one[[number]], away[None], turn_two[[number]], HALF)[0]
            assert abs(left[0]) < 1e-9
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-12)


def test_blocks_that_lie_over_each_other_come_apart() -> None:
    rng = np.random.default_rng(3)
    middle, yaw = rng.uniform(-0.05, 0.05, (20, 4, 2)), rng.uniform(-np.pi, np.pi, (20, 4))
    before = middle.mean(1)
    middle, yaw = _blocks.apart(middle, yaw, HALF)
    pairs = [(a, b) for a in range(4) for b in range(a)]
    deepest = max(_blocks.overlap(middle[:, a], yaw[:, a], middle[:, b], yaw[:, b], HALF)[0].max() for a, b in pairs)
    assert deepest < 5e-4
    np.testing.assert_allclose(middle.mean(1), before, atol=1e-9)  # neither is moved more than the other


def test_a_block_pushes_a_block() -> None:
    rod = np.array([[0.0, -0.05]])
    block, yaw = np.array([[[0.0, 0.0], [0.005, 0.065]]]), np.array([[0.0, 0.1]])
    for _ in range(40):
        rod, block, yaw = _blocks.swept(rod, rod + np.array([0.0, 0.008]), 0.5, block, yaw, HALF)
    assert block[0, 1, 1] > 0.14
    deep = _blocks.overlap(block[:, 0], yaw[:, 0], block[:, 1], yaw[:, 1], HALF)[0][0]
    assert deep < 1e-3
    assert _blocks.touched(rod, block[:, 0], yaw[:, 0], HALF)[0][0] < 1e-3


def test_far_away_nothing_moves() -> None:
    rod = np.array([[0.0, -0.3]])
    block, yaw = np.array([[[0.0, 0.0], [0.2, 0.0]]]), np.array([[0.3, 0.1]])
    after = _blocks.swept(rod, rod + 0.05, 0.5, block, yaw, HALF)
    np.testing.assert_array_equal(after[1], block)
    np.testing.assert_array_equal(after[2], yaw)
    np.testing.assert_allclose(after[0], rod + 0.025)


def test_corners_of_squares() -> None:
    corners = squares(np.array([1.0, 2.0]), np.array(0.0), 0.5)
    assert {tuple(corner) for corner in corners.round(9).tolist()} == {(1.5, 2.5), (0.5, 2.5), (0.5, 1.5), (1.5, 1.5)}
