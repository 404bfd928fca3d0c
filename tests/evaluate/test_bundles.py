"""Blind trials: every policy once in a bundle, in an order that tells nothing; ratings read strictly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from imitari.core.errors import UserError
from imitari.evaluate.bundles import (
    Rating,
    agreement,
    by_policy,
    columns,
    drawn,
    read_ratings,
    refuse_incomplete,
)
from imitari.evaluate.rating_page import rating_page

QUESTIONS = ("Was it grasped?", "Was it placed <there>?")


def test_every_bundle_holds_every_policy_once() -> None:
    trials = drawn(4, range(50, 80), seed=3)
    assert [trial.run for trial in trials] == list(range(1, 121))
    for bundle in range(1, 31):
        mine = [trial for trial in trials if trial.bundle == bundle]
        assert sorted(trial.policy for trial in mine) == [0, 1, 2, 3]
        assert {trial.start for trial in mine} == {49 + bundle}
    assert drawn(4, range(50, 80), seed=3) == trials != drawn(4, range(50, 80), seed=4)


def test_the_place_in_a_bundle_tells_nothing_of_the_policy() -> None:
    trials = drawn(3, range(3000), seed=0)
    places = np.array([trial.policy for trial in trials]).reshape(3000, 3)
    counts = np.stack([np.bincount(places[:, place], minlength=3) for place in range(3)])
    assert scipy.stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_values_go_back_to_their_policies() -> None:
    trials = drawn(3, range(10), seed=1)
    values = {trial.run: 100.0 * trial.policy + trial.start for trial in trials}
    for number, found in enumerate(by_policy(trials, values, 3)):
        np.testing.assert_array_equal(found, 100 * number + np.arange(10))


def test_ratings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("run,success,q1,q2,remark\n2,yes,Y,no,well done\n1,0,true,false,\n")
    found = read_ratings(path, QUESTIONS, 3)
    assert found == {2: Rating(2, True, (True, False)), 1: Rating(1, False, (True, False))}
    assert found[1].completion == 0.5
    with pytest.raises(UserError, match="run 3 is not rated"):
        refuse_incomplete(path, found, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("run,success,q1\n1,yes,no\n", "column 'q2' is missing"),
        ("run,success,q1,q2\n1,yes,perhaps,no\n", "line 2, column 'q1': 'perhaps'"),
        ("run,success,q1,q2\n9,yes,no,no\n", "run '9' is none"),
        ("run,success,q1,q2\n1,yes,no,no\n1,yes,no,no\n", "line 3: run 1 is rated twice"),
    ],
)
def test_bad_ratings_name_line_and_column(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        read_ratings(tmp_path / "r.csv", QUESTIONS, 3)


def test_two_raters() -> None:
    one = {run: Rating(run, True, (True, False)) for run in range(1, 11)}
    other = {run: Rating(run, run > 1, (True, run > 2)) for run in range(1, 6)}
    found = agreement(one, other)
    assert (found.runs, found.success, found.questions) == (5, pytest.approx(0.2), pytest.approx(0.3))
    with pytest.raises(UserError, match="in common"):
        agreement(one, {11: Rating(11, True, (True, True))})


def test_the_page_asks_everything_of_every_run_and_tells_no_names() -> None:
    page = rating_page("study", QUESTIONS, {2: ("films/run-0002-8.jpg", 8)}, 3)
    for run in (1, 2, 3):
        for name in columns(QUESTIONS)[1:]:
            assert page.count(f"name='{run}:{name}'") == 2
    assert page.count('class="film"') == 1
    assert "&lt;there&gt;" in page
    assert "policy" not in page
