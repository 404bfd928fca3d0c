"""Windows and transitions against plain loops over episodes."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.sampling import Batches, Goals, Transitions, Windows


def places(demos: Demos) -> list[tuple[int, int]]:
    return [(number, step) for number, episode in enumerate(demos) for step in range(len(episode))]


def test_windows_equal_a_loop(random_demos: Demos) -> None:
    windows = Windows(random_demos, (-2, -1, 0), range(-1, 5))
    batch = windows.gather(np.arange(len(windows)))
    assert len(windows) == random_demos.steps
    for row, (number, step) in enumerate(places(random_demos)):
        episode = random_demos[number]
        last = len(episode) - 1
        seen = [min(max(step + offset, 0), last) for offset in (-2, -1, 0)]
        np.testing.assert_array_equal(batch.obs["observation.state"][row], episode.obs["observation.state"][seen])
        np.testing.assert_array_equal(
            batch.obs["observation.images.top"][row], episode.obs["observation.images.top"][seen]
        )
        at = [step + offset for offset in range(-1, 5)]
        np.testing.assert_array_equal(batch.action[row], episode.action[np.clip(at, 0, last)])
        assert batch.valid[row].tolist() == [0 <= place <= last for place in at]


@pytest.mark.parametrize("n_step", [1, 3, 50])
def test_transitions_equal_a_loop(random_demos: Demos, n_step: int) -> None:
    gamma = 0.9
    transitions = Transitions(random_demos, n_step, gamma)
    batch = transitions.gather(np.arange(len(transitions)))
    assert batch.next_obs is not None
    assert len(transitions) == random_demos.steps
    for row, (number, step) in enumerate(places(random_demos)):
        episode = random_demos[number]
        assert episode.reward is not None
        after = min(step + n_step, len(episode))
        total = sum(gamma**k * episode.reward[step + k] for k in range(after - step))
        over = episode.ended == "terminated" and after == len(episode)
        np.testing.assert_allclose(batch.reward[row], total, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(batch.discount[row], 0 if over else gamma ** (after - step), rtol=1e-6)
        np.testing.assert_array_equal(batch.next_obs["observation.state"][row], episode.obs["observation.state"][after])


def episodes_without_final(ended: str) -> Demos:
    spec = Spec({"observation.state": Feature((1,))}, Feature((1,)))
    values = np.arange(5, dtype=np.float32)[:, None]
    return Demos.from_episodes([Episode({"observation.state": values}, values, values[:, 0], ended)], spec)  # type: ignore[arg-type]


def test_an_unknown_successor_is_left_out_but_a_terminal_one_is_kept() -> None:
    cut, over = (
        Transitions(episodes_without_final("truncated"), 2, 0.5),
        Transitions(episodes_without_final("terminated"), 2, 0.5),
    )
    assert (len(cut), len(over)) == (4, 5)
    assert cut.gather(np.arange(4)).discount.tolist() == [0.25, 0.25, 0.25, 0.5]
    assert cut.gather(np.arange(4)).reward.tolist() == [0.5, 2.0, 3.5, 3.0]
    assert over.gather(np.arange(5)).discount.tolist() == [0.25, 0.25, 0.25, 0.0, 0.0]
    assert over.gather(np.arange(5)).reward.tolist() == [0.5, 2.0, 3.5, 5.0, 4.0]


@pytest.mark.parametrize("kind", ["future", "uniform", "final", "random"])
def test_goals_lie_where_they_should(kind: str) -> None:
    spec = Spec({"observation.state": Feature((2,))}, Feature((1,)))
    episodes = []
    for number in range(5):
        state = np.stack([np.full(21, number), np.arange(21)], 1).astype(np.float32)
        episodes.append(Episode({"observation.state": state}, np.zeros((20, 1), np.float32), np.zeros(20, np.float32)))
    transitions = Transitions(Demos.from_episodes(episodes, spec), goals=Goals(kind, 0.8))  # type: ignore[arg-type]
    index = np.repeat(np.arange(len(transitions)), 20)
    batch = transitions.gather(index, np.random.default_rng(0))
    assert batch.goal is not None
    goal, here = batch.goal["observation.state"], batch.obs["observation.state"]
    if kind == "random":
        assert len(np.unique(goal[:, 0])) == 5
        return
    assert (goal[:, 0] == here[:, 0]).all()
    ahead = goal[:, 1] - here[:, 1]
    if kind == "final":
        assert (goal[:, 1] == 20).all()
    else:
        assert (ahead >= 1).all()
    if kind == "future":
        early = here[:, 1] == 0
        assert abs(ahead[early].mean() - (1 - 0.8**20) / 0.2) < 0.8  # mean of the cut geometric distribution


def test_every_sample_is_seen_once_a_pass_in_a_new_order(random_demos: Demos) -> None:
    windows = Windows(random_demos)
    seen: list[np.ndarray] = []
    batches = Batches(windows, 7, seed=3)
    gather = windows.gather
    windows.gather = lambda index, rng=None: seen.append(index) or gather(index, rng)  # type: ignore[method-assign,func-returns-value]
    for number in range(-(-2 * len(windows) // 7)):
        batches(number)
    order = np.concatenate(seen)
    first, second = order[: len(windows)], order[len(windows) : 2 * len(windows)]
    assert sorted(first) == sorted(second) == list(range(len(windows)))
    assert first.tolist() != second.tolist()
    assert first.tolist() != list(range(len(windows)))


def test_batches_are_a_function_of_seed_and_number(random_demos: Demos) -> None:
    one, two, other = (Batches(Windows(random_demos), 16, seed) for seed in (1, 1, 2))
    for number in (5, 0, 3):
        np.testing.assert_array_equal(one(number).action, two(number).action)
    assert not np.array_equal(one(0).action, other(0).action)


def test_the_order_is_uniform() -> None:
    """Position of sample 0 in the first pass, over many seeds: chi-square against uniform."""
    spec = Spec({"observation.state": Feature((1,))}, Feature((1,)))
    values = np.arange(10, dtype=np.float32)[:, None]
    windows = Windows(Demos.from_episodes([Episode({"observation.state": values}, values)], spec))
    first = np.array([int(Batches(windows, 1, seed)(0).action[0, 0, 0]) for seed in range(2000)])
    counts = np.bincount(first, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # 99.9 % of chi-square with 9 degrees of freedom


def test_bad_requests_say_so(random_demos: Demos) -> None:
    with pytest.raises(UserError, match="batch is 0"):
        Batches(Windows(random_demos), 0, 0)
    with pytest.raises(UserError, match="n_step is 0"):
        Transitions(random_demos, 0)
    spec = random_demos.spec
    bare = Demos(
        spec, {key: value for key, value in random_demos.columns.items() if "reward" not in key}, random_demos.table
    )
    with pytest.raises(UserError, match=r"'next\.reward' is missing"):
        Transitions(bare)
