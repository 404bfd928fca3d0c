"""Compatibility of demonstrations: the measure by hand, order and acceptance, warping against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.episode import Array, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.curate import compatibility as comp
from imitari.data.curate.compatibility import Limits


def demos(lengths: list[int], success: list[bool | None] | None = None) -> Demos:
    spec = Spec({"observation.state": Feature((2,))}, Feature((1,)))
    rng = np.random.default_rng(0)
    flags = success or [True] * len(lengths)
    episodes = [
        Episode(
            {"observation.state": rng.normal(size=(length, 2)).astype(np.float32)},
            np.zeros((length, 1), np.float32),
            success=flag,
        )
        for length, flag in zip(lengths, flags, strict=True)
    ]
    return Demos.from_episodes(episodes, spec)


def test_error_is_the_mean_over_members_and_dimensions_of_clipped_actions() -> None:
    predicted = np.array([[[0.5, 2.0]], [[-0.5, 1.0]]])  # two members, one step
    error, novelty = comp.error_and_novelty(predicted, np.array([[0.5, 3.0]]))
    assert error[0] == pytest.approx((0 + 1 + 0 + 0) / 4)  # 2 and 3 are clipped to 1
    assert novelty[0] == pytest.approx((0.5 + 0.0) / 2)


def test_actions_must_agree_where_states_are_familiar() -> None:
    limits = Limits(error=0.4, novelty=0.1)
    error, novelty = np.array([0.1, 0.6, 0.6, 0.1, 0.1]), np.array([0.05, 0.05, 0.1, 0.2, 0.12])
    np.testing.assert_allclose(limits.compatibility(error, novelty), [0.75, 0, 1, 1, 1])
    assert limits.bad(error, novelty).tolist() == [False, True, False, False, False]
    assert limits.good(error, novelty).tolist() == [False, False, False, True, False]  # below 0.2 and above 0.15


def test_limits_leave_few_of_the_own_steps_bad() -> None:
    rng = np.random.default_rng(0)
    error, novelty = rng.exponential(size=2000), rng.exponential(size=2000)
    limits = Limits.of(error, novelty, 0.95)
    assert 0.03 < limits.bad(error, novelty).mean() < 0.06
    np.testing.assert_allclose(Limits.of(np.append(error, np.nan), np.append(novelty, 0.1), 0.95).error, limits.error)


def test_parts_begin_in_other_places() -> None:
    data = demos([3] * 12)
    begins = np.stack([episode.obs["observation.state"][0] for episode in data]).astype(np.float64)
    parts = comp.parts_by_start(data, 3)
    assert sorted(len(part) for part in parts) == [4, 4, 4]
    assert sorted(np.concatenate(parts).tolist()) == list(range(12))
    # Parts follow on each other along the direction of the largest spread: of two features it is one of the diagonals.
    scaled = (begins - begins.mean(0)) / begins.std(0)
    along = scaled @ np.array([1.0, np.sign(np.mean(scaled[:, 0] * scaled[:, 1]))])
    low, middle, high = sorted((along[part] for part in parts), key=np.mean)
    assert low.max() < middle.min()
    assert middle.max() < high.min()
    assert len(comp.parts_by_start(data, 50)) == 12


def test_demonstrations_are_ordered_by_bad_then_good_steps_and_fill_a_budget() -> None:
    data = demos([3, 3, 3, 2])
    bad = np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1], bool)
    good = np.array([0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1], bool)
    numbers = comp.order(data, bad, good)
    assert numbers.tolist() == [2, 1, 0, 3]
    assert comp.within(data, numbers, 6).tolist() == [2, 1]
    assert comp.within(data, numbers, 1).tolist() == [2]
    assert comp.within(data, numbers, 100).tolist() == [2, 1, 0, 3]


def test_only_successes_with_few_bad_steps_are_accepted() -> None:
    data = demos([4, 4, 4, 4], [True, True, False, None])
    bad = np.zeros(16, bool)
    bad[[0, 1, 4, 5, 6]] = True
    assert comp.accepted(data, bad).tolist() == [True, False, False, False]
    assert comp.accepted(data, bad, most=0).tolist() == [False, False, False, False]


def test_clips_show_the_worst_steps() -> None:
    error = np.arange(40, dtype=float)
    bad = np.zeros(40, bool)
    bad[[2, 20, 35, 38]] = True
    assert comp.worst(error, bad) == [(28, 40), (25, 40), (10, 31)]
    assert comp.worst(error, np.zeros(40, bool)) == []


def test_shown_demonstrations_are_among_those_predicted_well() -> None:
    data = demos([2] * 10)
    error = np.repeat(np.arange(10.0), 2)
    seen = {int(number) for seed in range(50) for number in comp.shown(data, error, 5, seed=seed)}
    assert seen == set(range(8))


def plain_warping(one: Array, two: Array) -> float:
    total = np.full((len(one) + 1, len(two) + 1), np.inf)
    total[0, 0] = 0
    for i in range(len(one)):
        for j in range(len(two)):
            cost = float(np.sqrt(((one[i] - two[j]) ** 2).sum()))
            total[i + 1, j + 1] = cost + min(total[i, j + 1], total[i + 1, j], total[i, j])
    return float(total[-1, -1])


def test_warping_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    path = rng.normal(size=(13, 3))
    others = [rng.normal(size=(length, 3)) for length in (1, 5, 13, 20, 8)]
    found = comp.warped_distances(path, others)
    np.testing.assert_allclose(found, [plain_warping(path, other) for other in others])
    assert comp.warped_distances(path[:1], others)[0] == pytest.approx(np.linalg.norm(path[0] - others[0][0]))


def test_the_nearest_demonstration_is_the_same_way_at_another_pace() -> None:
    data = demos([9, 12, 7])
    slow = np.repeat(data[1].obs["observation.state"], 2, axis=0)
    assert comp.nearest_demonstration(slow, data) == 1
    with pytest.raises(UserError, match="without steps"):
        comp.warped_distances(slow[:0], [slow])
