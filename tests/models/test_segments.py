"""Segmentations: their regions against plain loops, and that the ones found explain trials of a world that is known."""

from __future__ import annotations

import itertools

import numpy as np

from imitari.core.episode import Array
from imitari.language.plans import chain
from imitari.models.segments import Demonstrated, Segmentation, explained, segmentations

BORDERS = (1.0, 2.0)  # of the modes along the first axis


def true_modes(states: Array) -> Array:
    """Two regions half a unit to both sides of the way, behind each other; around them the first mode."""
    stage = (states[..., :1] >= np.array(BORDERS)).sum(-1)
    return np.where(np.abs(states[..., 1]) < 0.5, stage, 0)


def tries(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Paths (B, 40, 2) that leave the way here or there, and whether each succeeded."""
    time = np.linspace(0, 1, 40)
    middle, width = rng.uniform(0, 0.9, (count, 1)), rng.uniform(0.1, 0.4, (count, 1))
    aside = rng.uniform(-2, 2, (count, 1)) * np.exp(-(((time - middle) / width) ** 2)) * np.minimum(1, 20 * (1 - time))
    paths = np.stack([np.broadcast_to(3 * time, aside.shape), aside], -1)
    return paths, explained(true_modes(paths), chain(3))


def test_a_region_is_what_is_near_its_stage() -> None:
    rng = np.random.default_rng(0)
    way = np.stack([np.linspace(0, 3, 31), np.zeros(31)], 1)[None]
    one = Segmentation(np.array([0.3, 0.7]), np.array([0.4, 0.8]))
    states = rng.uniform(-1, 3.5, (200, 2))
    found = one.modes(*Demonstrated(way).beside(states))
    for state, mode in zip(states, found, strict=True):
        far = np.hypot(*(way[0] - state).T)
        share = int(far.argmin()) / 30
        stage = 0 if share < 0.3 else 1 if share < 0.7 else 2
        assert mode == (stage if stage and far.min() <= (0.4, 0.8)[stage - 1] else 0)
    assert set(found.tolist()) == {0, 1, 2}


def test_success_is_a_way_without_forbidden_steps_from_the_first_to_the_last_mode() -> None:
    rng = np.random.default_rng(1)
    feasible, modes = chain(4), rng.integers(0, 4, (500, 4))
    modes[:, 0] *= rng.random(500) < 0.2
    plain = [
        path[0] == 0 and path[-1] == 3 and all(feasible[a][b] == 0 for a, b in itertools.pairwise(path))
        for path in modes.tolist()
    ]
    assert explained(modes, feasible).tolist() == plain
    assert 5 < sum(plain) < 495


def test_what_explains_trials_best_is_found_among_many() -> None:
    rng = np.random.default_rng(2)
    paths, succeeded = tries(rng, 600)
    assert 100 < succeeded.sum() < 500
    shown = Demonstrated(np.stack([np.linspace(0, 3, 100), np.zeros(100)], 1)[None])
    fresh, truth = tries(rng, 600)

    def accuracy(one: Segmentation) -> float:
        return float((explained(one.modes(*shown.beside(fresh)), chain(3)) == truth).mean())

    found = segmentations(shown, (paths, succeeded), chain(3), 200, 5, rng)
    assert len(found) == 5
    assert min(accuracy(one) for one in found) > 0.93
    by_chance = [segmentations(shown, (paths, succeeded), chain(3), 1, 1, rng)[0] for _ in range(20)]
    assert np.mean([accuracy(one) for one in by_chance]) < 0.85
    # Where the second region begins and how far it reaches decides; the first one's outer border decides nothing.
    assert abs(found[0].begins[1] - 2 / 3) < 0.1
    assert abs(found[0].reach[1] - 0.5) < 0.15
