"""Measures of demonstrations, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION_KNOWN, Array, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.curate import quality
from imitari.data.curate.quality import Measure, measured, of_groups, points_of, ranked


def demos(lengths: list[int], dims: int = 3, seed: int = 0, operators: list[str] | None = None) -> Demos:
    rng = np.random.default_rng(seed)
    spec = Spec({"observation.state": Feature((dims,))}, Feature((2,)))
    episodes = [
        Episode(
            {"observation.state": rng.normal(size=(length + 1, dims)).astype(np.float32)},
            rng.normal(size=(length, 2)).astype(np.float32),
            success=True,
            source={"operator": operators[number]} if operators else {},
        )
        for number, length in enumerate(lengths)
    ]
    return Demos.from_episodes(episodes, spec)


def scaled(values: Array) -> Array:
    return (values - values.mean(0)) / values.std(0)


def plain(data: Demos) -> tuple[Array, Array, Array]:
    states = np.concatenate([one.obs["observation.state"][: len(one)] for one in data]).astype(np.float64)
    actions = np.concatenate([one.action for one in data]).astype(np.float64)
    owner = np.concatenate([np.full(len(one), number) for number, one in enumerate(data)])
    return scaled(states), scaled(actions), owner


@pytest.mark.parametrize("dims", [3, 20])
@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("radius", [None, 0.2])
def test_variance_and_similarity_are_those_of_a_loop(dims: int, others: bool, radius: float | None) -> None:
    data = demos([30, 25, 41], dims)
    measure = Measure(neighbours=5, radius=radius, near=0.1, others=others)
    states, actions, owner = plain(data)
    scores = measured(data, measure)
    limits = quality.radii_of(states, measure)
    for number in range(len(states)):
        distance = [float(np.sqrt(((state - states[number]) ** 2).sum())) for state in states]
        allowed = [
            other for other in range(len(states)) if other == number or not (others and owner[other] == owner[number])
        ]
        if radius is None:
            around = sorted(allowed, key=lambda other: distance[other])[:5]
        else:
            assert limits.actions is not None
            around = [other for other in allowed if distance[other] <= limits.actions]
        mean = np.mean([actions[other] for other in around], axis=0)
        expected = np.mean([((actions[other] - mean) ** 2).sum() for other in around])
        assert scores.steps["action_variance"][number] == pytest.approx(expected, abs=1e-6)
        similar = np.mean([value <= limits.near for value in distance])
        assert scores.steps["similarity"][number] == pytest.approx(similar)
    of_episode = [scores.steps["action_variance"][owner == number].mean() for number in range(3)]
    np.testing.assert_allclose(scores.episodes["action_variance"], of_episode)
    assert scores.episodes["horizon"].tolist() == [30, 25, 41]


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    data = demos([40, 40], 20)
    whole = measured(data, Measure(radius=0.2))
    monkeypatch.setattr(quality, "BLOCK", 200)
    parts = measured(data, Measure(radius=0.2))
    for name, values in whole.steps.items():
        np.testing.assert_allclose(parts.steps[name], values)


def test_a_chunk_counts_as_its_mean_and_ends_with_the_episode() -> None:
    data = demos([6, 4])
    _, actions, _ = plain(data)
    points, _ = points_of(data, 3)
    expected = [actions[i : min(i + 3, end)].mean(0) for end, begin in ((6, 0), (10, 6)) for i in range(begin, end)]
    np.testing.assert_allclose(points.actions, expected)


def test_unknown_actions_do_not_count() -> None:
    data = demos([30, 30])
    known = np.ones(62, bool)
    known[3:20] = False
    partly = data.with_columns({ACTION_KNOWN: ArrayColumn(known)}, "some unknown")
    found = measured(partly, Measure(neighbours=4)).steps["action_variance"]
    assert np.isnan(found[3:20]).all()
    assert not np.isnan(np.delete(found, range(3, 20))).any()
    rest = points_of(partly)[0].pick(np.flatnonzero(known[data.rows()]))
    alone, _ = quality.action_variance(rest, Measure(neighbours=4))
    np.testing.assert_allclose(np.delete(found, range(3, 20)), alone)


def test_choices_have_the_variance_of_their_indicators() -> None:
    spec = Spec({"observation.state": Feature((1,))}, Feature((1,), "int64", "choice", low=(0,), high=(2,)))
    state = np.zeros((8, 1), np.float32)
    action = np.array([0, 0, 0, 0, 1, 1, 2, 2])[:, None]
    data = Demos.from_episodes([Episode({"observation.state": state}, action)], spec)
    found = measured(data, Measure(neighbours=2, radius=0.5))
    # 1 - sum of squared shares
    np.testing.assert_allclose(found.steps["action_variance"], 1 - (0.5**2 + 0.25**2 + 0.25**2))


def test_groups_are_looked_at_alone_with_equally_many_steps() -> None:
    data = demos([30, 30, 20], operators=["ann", "ann", "ben"])
    rng = np.random.default_rng(1)
    # ben says what he does: the action is the state.
    column = data.columns["action"].take(np.arange(83)).copy()
    states = data.columns["observation.state"].take(np.arange(83))
    column[62:] = states[62:, :2] + 0.01 * rng.normal(size=(21, 2))
    data = data.with_columns({"action": ArrayColumn(column.astype(np.float32))}, "ben")
    found = measured(data, Measure(neighbours=4), group="operator").groups
    assert found["ben"]["action_variance"] < found["ann"]["action_variance"]
    assert found["ann"]["steps"] == found["ben"]["steps"] == 20
    assert (found["ann"]["horizon"], found["ben"]["horizon"]) == (30, 20)
    assert found["ben"]["rank_sum"] == 0
    assert found["ann"]["rank_sum"] == 2
    alone = of_groups(data, {"ben": np.array([2])}, Measure(neighbours=4))["ben"]
    assert alone["action_variance"] == pytest.approx(found["ben"]["action_variance"])


def test_ranks_share_ties_and_the_unmeasured_come_last() -> None:
    table = {"a": {"action_variance": 1.0, "horizon": 5.0}, "b": {"action_variance": 1.0, "horizon": float("nan")}}
    found = ranked(table)
    assert found["a"]["rank_sum"] == 0.5
    assert found["b"]["rank_sum"] == 1.5


def test_what_cannot_be_compared_is_said() -> None:
    spec = Spec({"observation.images.top": Feature((2, 2, 3), "uint8", "image")}, Feature((2,)))
    frames, action = np.zeros((4, 2, 2, 3), np.uint8), np.zeros((4, 2), np.float32)
    pictures = Demos.from_episodes([Episode({"observation.images.top": frames}, action)], spec)
    with pytest.raises(UserError, match="no observation is a vector"):
        measured(pictures)
    with pytest.raises(UserError, match="too few for 10 neighbours"):
        measured(demos([5, 5]))
    with pytest.raises(UserError, match="neighbours is 1"):
        Measure(neighbours=1)
    both = Spec({**spec.obs, "observation.state": Feature((1,))}, Feature((2,)))
    obs = {"observation.images.top": frames, "observation.state": np.arange(4, dtype=np.float32)[:, None]}
    mixed = Demos.from_episodes([Episode(obs, action)], both)
    assert "observation.images.top" in measured(mixed, Measure(neighbours=2)).about["left_out"]
