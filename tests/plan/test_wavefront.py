"""Ways on a plane against straight lines and against a search written out."""

from __future__ import annotations

import numpy as np

from imitari.plan.wavefront import Wavefront, cells_of, centres, distance_from, widened


def test_distance_equals_a_search_written_out() -> None:
    rng = np.random.default_rng(0)
    blocked = rng.random((12, 12)) < 0.25
    goal = np.zeros((12, 12), bool)
    goal[9, 2] = True
    blocked[9, 2] = False
    found = Wavefront.to(goal, blocked, 6.0).distance  # cells of side one
    expected = np.where(goal, 0.0, np.inf)
    for _ in range(144):
        for x in range(12):
            for y in range(12):
                for dx in (-1, 0, 1):
                    for dy in (-1, 0, 1):
                        a, b = x + dx, y + dy
                        if 0 <= a < 12 and 0 <= b < 12 and not blocked[x, y] and not blocked[a, b]:
                            expected[x, y] = min(expected[x, y], expected[a, b] + np.hypot(dx, dy))
    reached = np.isfinite(expected)
    assert reached.sum() > 60
    np.testing.assert_allclose(found[reached], expected[reached], atol=1e-9)


def test_the_way_leads_around_a_wall_to_the_goal() -> None:
    cells = centres(64, 8.0)
    wall = (np.abs(cells[..., 0]) < 0.5) & (cells[..., 1] < 4)
    goal = np.linalg.norm(cells - (5.0, -5.0), axis=-1) < 0.5
    way = Wavefront.to(goal, widened(wall, 0.6, 8.0), 8.0)
    position = np.array([(-5.0, -5.0)])
    for _ in range(400):
        heading = way.next_points(position) - position
        position = position + 0.1 * heading / max(np.linalg.norm(heading), 0.1)
        x, y = cells_of(position, 64, 8.0)
        assert not wall[x, y].any()
    assert np.linalg.norm(position - (5.0, -5.0)) < 0.7


def test_a_margin_is_a_distance() -> None:
    point = np.zeros((40, 40), bool)
    point[20, 20] = True
    cells = centres(40, 2.0)
    far = np.linalg.norm(cells - cells[20, 20], axis=-1)
    np.testing.assert_array_equal(widened(point, 0.55, 2.0), far < 0.55)
    np.testing.assert_allclose(distance_from(point, 2.0), far, atol=1e-12)
    assert not widened(np.zeros((5, 5), bool), 0.5, 1.0).any()
    assert np.isinf(distance_from(np.zeros((5, 5), bool), 1.0)).all()
