"""Counting discrete steps, against plain loops; what cannot be counted is refused by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.episode import REWARD, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.tabular import Counts, Steps, largest, most_played

STATES, ACTIONS, KEY = 5, 3, "observation.cell"
SPEC = Spec({KEY: Feature((1,), "int64", "choice", high=(4.0,))}, Feature((1,), "int64", "choice", high=(2.0,)))


def episode(seed: int, length: int, ended: str, final: bool) -> Episode:
    rng = np.random.default_rng(seed)
    return Episode(
        obs={KEY: rng.integers(STATES, size=(length + final, 1))},
        action=rng.integers(ACTIONS, size=(length, 1)),
        reward=rng.random(length).astype(np.float32),
        ended=ended,  # type: ignore[arg-type]
    )


def mixed() -> list[Episode]:
    kinds = [("terminated", True), ("terminated", False), ("truncated", True), ("truncated", False), ("unknown", False)]
    return [episode(number, 1 + number % 7, *kinds[number % 5]) for number in range(40)]


def plain(episodes: list[Episode]) -> list[tuple[int, int, float, int]]:
    """(state, action, reward, next) of every step whose successor is known or the end."""
    found = []
    for one in episodes:
        for step in range(len(one)):
            last = step == len(one) - 1
            if last and one.ended == "terminated":
                after = STATES
            elif step + 1 < one.rows:
                after = int(one.obs[KEY][step + 1, 0])
            else:
                continue
            found.append((int(one.obs[KEY][step, 0]), int(one.action[step, 0]), float(one.reward[step]), after))  # type: ignore[index]
    return found


def test_steps_are_those_of_a_plain_loop() -> None:
    steps = Steps.of(Demos.from_episodes(mixed(), SPEC).keep(range(1, 40)), rewards=True, successors=True)
    columns = (steps.state, steps.action, steps.reward, steps.after)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == plain(mixed()[1:])
    every = Steps.of(Demos.from_episodes(mixed(), SPEC), rewards=True, successors=False)
    assert len(every) == sum(len(one) for one in mixed())


def test_counts_are_those_of_a_plain_loop() -> None:
    rows = plain(mixed())
    counts = Counts.of(Steps.of(Demos.from_episodes(mixed(), SPEC), rewards=True, successors=True))
    value = np.random.default_rng(1).normal(size=STATES)
    table = counts.transition()
    for state in range(STATES):
        for action in range(ACTIONS):
            mine = [row for row in rows if row[:2] == (state, action)]
            assert counts.played[state, action] == len(mine)
            assert counts.reward[state, action] == pytest.approx(np.mean([row[2] for row in mine]) if mine else 0)
            seen = Counter(row[3] for row in mine)
            shares = [seen[after] / max(1, len(mine)) for after in range(STATES)]
            assert table[state, action].tolist() == pytest.approx(shares)
            assert counts.expected(value)[state, action] == pytest.approx(float(np.dot(shares, value)))


def test_steps_become_demonstrations_and_come_back() -> None:
    rng = np.random.default_rng(0)
    state, action, after = rng.integers(5, size=50), rng.integers(3, size=50), rng.integers(6, size=50)
    steps = Steps(state, action, (rng.random(50) < 0.5).astype(float), after, STATES, ACTIONS)
    demos = steps.demos(SPEC, "test")
    again = Steps.of(demos, rewards=True, successors=True)
    for name in ("state", "action", "reward", "after"):
        np.testing.assert_array_equal(getattr(again, name), getattr(steps, name))
    assert demos[int(np.flatnonzero(after == STATES)[0])].ended == "terminated"
    assert demos[int(np.flatnonzero(after < STATES)[0])].ended == "truncated"


def test_most_played_breaks_ties_at_random_and_fills_in_unseen_states() -> None:
    played = np.array([[2, 2, 0], [0, 0, 7], [0, 0, 0]])
    picks = np.array([most_played(played, np.random.default_rng(seed)) for seed in range(200)])
    assert set(picks[:, 0]) == {0, 1}
    assert 60 < (picks[:, 0] == 0).sum() < 140
    assert set(picks[:, 1]) == set(picks[:, 2]) == {2}
    assert largest(np.array([[-1.0, -3.0, -0.5]]), np.random.default_rng(0)).tolist() == [2]


def test_what_cannot_be_counted_is_refused() -> None:
    demos = Demos.from_episodes(mixed(), SPEC)
    without = Demos(SPEC, {key: value for key, value in demos.columns.items() if key != REWARD}, demos.table)
    with pytest.raises(UserError, match=f"'{REWARD}' is missing"):
        Steps.of(without, rewards=True, successors=True)
    assert len(Steps.of(without, rewards=False, successors=False)) == demos.steps
    numbers = demos.with_spec(Spec({KEY: Feature((1,))}, SPEC.action))
    with pytest.raises(UserError, match="one observation that is a choice"):
        Steps.of(numbers, rewards=True, successors=True)
    moving = demos.with_spec(replace(SPEC, action=Feature((1,))))
    with pytest.raises(UserError, match="an action that is a choice"):
        Steps.of(moving, rewards=True, successors=True)
    codes = demos.columns[KEY].take(np.arange(demos.columns[KEY].shape[0])).copy()
    codes[demos.table.start[3] + 2] = 9
    with pytest.raises(UserError, match="holds 9 at episode 3, step 2"):
        Steps.of(demos.with_columns({KEY: ArrayColumn(codes)}, "damage"), rewards=True, successors=True)
    many = replace(Counts.of(Steps.of(demos, rewards=True, successors=True)), played=np.zeros((40_000, 4)))
    with pytest.raises(UserError, match="too large"):
        many.transition()
