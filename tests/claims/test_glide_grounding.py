"""The segmentations that modes are compared with, against brute force and regions that are known."""

import itertools

import numpy as np

from imitari.claims.glide_grounding import by_change_points, by_clusters, nearest, overlaps, straight_pieces


def test_a_path_is_cut_where_straight_pieces_fit_best() -> None:
    rng = np.random.default_rng(0)

    def misfit(piece: np.ndarray) -> float:
        time = np.arange(len(piece))
        return sum(float(((value - np.polyval(np.polyfit(time, value, 1), time)) ** 2).sum()) for value in piece.T)

    for _ in range(5):
        path = rng.normal(size=(11, 2)).cumsum(0)
        cuts = [(a, b) for a, b in itertools.combinations(range(2, 10), 2) if b - a >= 2]
        least = min(cuts, key=lambda cut: sum(misfit(piece) for piece in np.split(path, cut)))
        label = straight_pieces(path, 3)
        assert tuple(np.flatnonzero(np.diff(label)) + 1) == least


def test_three_straight_stretches_are_found_by_both() -> None:
    along = np.linspace(0, 4, 20)
    corner = np.concatenate([np.stack([along, 0 * along], 1), np.stack([4 + 0 * along, along + 0.2], 1),
                             np.stack([4 - along, 4.4 + 0 * along], 1)])  # fmt: skip
    paths = corner + np.random.default_rng(0).normal(0, 0.01, (5, 60, 2))
    points = np.array([(1.0, 0.5), (4.5, 2.0), (1.0, 4.0)])
    assert by_change_points(paths, 3, points).tolist() == [0, 1, 2]
    assert by_clusters(paths, 3, points, 0).tolist() == [0, 1, 2]


def test_overlap_counts_points_of_either() -> None:
    found, true = np.array([0, 1, 1, 2, 2, 0]), np.array([0, 1, 2, 2, 2, 2])
    np.testing.assert_allclose(overlaps(found, true, 3), [1 / 2, 2 / 4])
    assert nearest(np.array([[0.9, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([7, 8])).tolist() == [8]
