"""Compact letters hold their definition for every set of differences."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imitari.evaluate.letters import compact_letters


@st.composite
def differences(draw: st.DrawFn) -> tuple[int, set[tuple[int, int]], list[float]]:
    count = draw(st.integers(1, 9))
    pairs = list(itertools.combinations(range(count), 2))
    chosen = draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    return count, chosen, draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))


@settings(max_examples=300, deadline=None)
@given(differences())
def test_share_no_letter_if_and_only_if_different(case: tuple[int, set[tuple[int, int]], list[float]]) -> None:
    count, different, scores = case
    letters = compact_letters(count, different, scores)
    assert all(letters)
    for i, j in itertools.combinations(range(count), 2):
        assert (not set(letters[i]) & set(letters[j])) == ((i, j) in different)
    # No letter is superfluous: none is carried by a subset of the policies that carry another.
    holders = [{i for i in range(count) if letter in letters[i]} for letter in sorted(set("".join(letters)))]
    assert not any(x <= y for x, y in itertools.permutations(holders, 2))
    assert letters == compact_letters(count, [(j, i) for i, j in sorted(different, reverse=True)], scores)


def test_known_displays() -> None:
    assert compact_letters(3, [(0, 2)]) == ("a", "ab", "b")
    assert compact_letters(3, []) == ("a", "a", "a")
    assert compact_letters(3, [(0, 1), (0, 2), (1, 2)]) == ("a", "b", "c")
    assert compact_letters(3, [(0, 2)], scores=[0.1, 0.5, 0.9]) == ("b", "ab", "a")
    assert compact_letters(0, []) == ()


def test_many_letters() -> None:
    letters = compact_letters(120, itertools.combinations(range(120), 2))
    assert len(set(letters)) == 120
    assert {len(x) for x in letters} == {1}


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match="different policies"):
        compact_letters(3, [(0, 3)])
    with pytest.raises(ValueError, match="different policies"):
        compact_letters(3, [(1, 1)])
    with pytest.raises(ValueError, match="scores"):
        compact_letters(3, [], [1.0])
