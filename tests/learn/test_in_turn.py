"""Starts in turn: shares of a training that are equal, and counts."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.core.starts import learning_starts
from imitari.learn.in_turn import InTurn


@pytest.mark.parametrize(("count", "whole"), [(3, 10), (5, 1600), (4, 4), (7, 100)])
def test_turns_change_where_their_shares_end(count: int, whole: int) -> None:
    turns = InTurn(2, count)
    done, shares, seen = 0, [], [turns.start]
    while done < whole:
        assert turns.enter(done, whole) == (done > 0)
        seen.append(turns.start)
        end = turns.until(whole)
        assert not turns.enter(end - 1, whole)  # the last of its share
        shares.append(end - done)
        done = end
    assert done == whole
    assert len(shares) == count
    assert max(shares) - min(shares) <= 1
    assert list(dict.fromkeys(seen)) == turns.starts() == [learning_starts(2, number)[0] for number in range(count)]


def test_the_fewest_steps_of_what_was_solved_are_kept() -> None:
    turns = InTurn(0, 2)
    for episodes, solved in ((2, []), (3, [9, 7]), (1, [8])):
        turns.add(episodes, solved)
    turns.enter(1, 2)
    turns.add(1, [])
    first, second = turns.found()
    assert (first["episodes"], first["solved"], first["best"]) == (6, 3, 7)
    assert (second["episodes"], second["solved"], second["best"]) == (1, 0, 0)
    again = InTurn(0, 2)
    again.restore(turns.number, turns.counts)
    assert again.found() == turns.found()
    with pytest.raises(ValueError, match="counts of 3 starts, not of 2"):
        again.restore(0, np.zeros((3, 3)))


def test_without_starts_in_turn_a_share_is_the_whole() -> None:
    assert InTurn(0, 0).until(50) == 50
    with pytest.raises(UserError, match="maps is -1"):
        InTurn(0, -1)
