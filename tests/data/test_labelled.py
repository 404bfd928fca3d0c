"""Two data sets as one with marks, batches of both halves, and terminal states that absorb."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.data.curate.absorb import ABSORBED, absorbed
from imitari.data.labelled import EXPERT, groups, labelled
from imitari.data.sampling import MixedBatches, Transitions

STATE = "observation.state"


def marked(demos: Demos) -> Demos:
    return labelled(demos.keep(range(3)), demos.keep(range(3, 12)))


def test_marks_follow_their_episodes(random_demos: Demos) -> None:
    joined = marked(random_demos)
    assert len(joined) == len(random_demos)
    for number, episode in enumerate(joined):
        assert episode.extra[EXPERT].tolist() == [int(number < 3)] * len(episode)
        np.testing.assert_array_equal(episode.obs[STATE], random_demos[number].obs[STATE])


def test_groups_are_the_marked_steps_and_the_others(random_demos: Demos) -> None:
    transitions = Transitions(marked(random_demos), extra=(EXPERT,), rewards=False)
    first, second = groups(transitions)
    assert sorted([*first, *second]) == list(range(len(transitions)))
    assert len(first) == sum(len(random_demos[number]) for number in range(3))
    batch = transitions.gather(first)
    assert batch.reward is None
    assert (batch.extra[EXPERT] == 1).all()


def test_batches_hold_half_of_either_group_and_depend_on_seed_and_number_only(random_demos: Demos) -> None:
    transitions = Transitions(marked(random_demos), extra=(EXPERT,), rewards=False)
    batches = MixedBatches(transitions, *groups(transitions), size=9, seed=3)
    again = MixedBatches(transitions, *groups(transitions), size=9, seed=3)
    for number in (40, 0, 7):
        batch = batches(number)
        assert batch.extra[EXPERT].tolist() == [1] * 4 + [0] * 5
        np.testing.assert_array_equal(batch.obs[STATE], again(number).obs[STATE])
    other = MixedBatches(transitions, *groups(transitions), size=9, seed=4)
    assert not np.array_equal(other(0).obs[STATE], again(0).obs[STATE])


def test_every_sample_of_a_group_is_visited_once_a_pass(random_demos: Demos) -> None:
    transitions = Transitions(marked(random_demos), extra=(EXPERT,), rewards=False)
    first, second = groups(transitions)
    batches = MixedBatches(transitions, first, second, size=2, seed=0)
    drawn = np.array([batches.indices(number) for number in range(len(first))])
    assert sorted(drawn[:, 0]) == first.tolist()


def test_data_without_both_kinds_is_refused(random_demos: Demos) -> None:
    with pytest.raises(UserError, match="--play"):
        groups(Transitions(random_demos, rewards=False))
    rows = random_demos.columns["action"].shape[0]
    same = random_demos.with_columns({EXPERT: ArrayColumn(np.ones(rows, np.uint8))}, "all marked")
    with pytest.raises(UserError, match="every step"):
        groups(Transitions(same, rewards=False))
    with pytest.raises(UserError, match="at least 2"):
        MixedBatches(Transitions(random_demos), np.arange(2), np.arange(2), 1, 0)


def test_terminal_states_lead_to_themselves(random_demos: Demos) -> None:
    """Against a plain loop over episodes."""
    changed = absorbed(random_demos, loops=2)
    for before, after in zip(random_demos, changed, strict=True):
        bit = after.obs[ABSORBED][:, 0]
        steps = len(before)
        np.testing.assert_array_equal(after.action[:steps], before.action)
        np.testing.assert_array_equal(after.obs[STATE][: steps + 1], before.obs[STATE])
        assert after.ended == "truncated"
        if before.ended == "terminated":
            assert len(after) == steps + 2
            assert bit.tolist() == [0] * steps + [1] * 3
            assert (after.obs[STATE][steps:] == before.obs[STATE][-1]).all()
            assert (after.action[steps:] == before.action[-1]).all()
        else:
            assert len(after) == steps
            assert not bit.any()
    batch = Transitions(changed, gamma=0.9).gather(np.arange(changed.steps))
    assert (batch.discount == np.float32(0.9)).all()
    over = batch.obs[ABSORBED][:, 0] == 1
    assert batch.next_obs is not None
    np.testing.assert_array_equal(batch.obs[STATE][over], batch.next_obs[STATE][over])


def test_an_unknown_last_observation_is_replaced_by_the_one_before(random_demos: Demos) -> None:
    from dataclasses import replace

    one = random_demos[1]
    cut = replace(one, obs={key: value[:-1] for key, value in one.obs.items()}, ended="terminated")
    changed = absorbed(Demos.from_episodes([cut], random_demos.spec))[0]
    assert len(changed) == len(one) + 1
    assert changed.rows == len(one) + 2
    assert changed.obs[ABSORBED][:, 0].tolist() == [0] * len(one) + [1, 1]
    assert (changed.obs[STATE][len(one) :] == cut.obs[STATE][-1]).all()


def test_nothing_is_copied_where_nothing_terminates(random_demos: Demos) -> None:
    part = random_demos.keep([0, 2, 4])
    changed = absorbed(part)
    assert changed.columns[STATE] is part.columns[STATE]
    assert not changed[1].obs[ABSORBED].any()
