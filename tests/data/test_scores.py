"""Scores of steps and episodes, and what is done with them: choosing episodes, leaving out steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.curate.scores import Scores, by_episode, grouped, ranks
from imitari.data.curate.trim import masked, trimmed
from imitari.data.opening import open_demos, save_demos

LENGTHS = (4, 3, 5)


@pytest.fixture
def demos() -> Demos:
    """Three episodes whose observation counts all rows, final ones too, and whose action is its negative."""
    spec = Spec({"observation.state": Feature((1,))}, Feature((1,)))
    begin, episodes = 0, []
    for number, length in enumerate(LENGTHS):
        state = np.arange(begin, begin + length + 1, dtype=np.float32)[:, None]
        words = np.array([f"step {row}" for row in range(length)], object)
        source = {"operator": "ab"[number % 2], "masks": ["all", f"m{number}"]}
        extra = {"note": words}
        episodes.append(Episode({"observation.state": state}, -state[:-1], None, "truncated", True, extra, source))
        begin += length + 1
    return Demos.from_episodes(episodes, spec)


def test_trimming_keeps_exactly_the_chosen_steps(demos: Demos) -> None:
    keep = np.array([1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1], bool)
    left = trimmed(demos, keep)
    assert len(left) == 2
    assert "2 of 3 episodes left" in left.provenance.steps[-1]
    wanted = demos.columns[ACTION].take(demos.rows()[keep])
    assert_array_equal(np.concatenate([episode.action for episode in left]), wanted)
    assert_array_equal(left[0].obs["observation.state"][:, 0], [0, 3, 4])
    assert_array_equal(left[1].obs["observation.state"][:, 0], [9, 10, 12, 13, 14])
    assert_array_equal(left[1].extra["note"], ["step 0", "step 1", "step 3", "step 4"])
    assert left[1].source == demos[2].source


def test_trimmed_demos_are_stored_and_read_again(demos: Demos, tmp_path: Path) -> None:
    keep = np.arange(sum(LENGTHS)) % 3 > 0
    left = trimmed(demos, keep)
    save_demos(left, tmp_path / "left.npz", "npz")
    assert open_demos(tmp_path / "left.npz").fingerprint() == left.fingerprint()
    nothing = np.zeros(sum(LENGTHS), bool)
    with pytest.raises(UserError, match="no step is left"):
        trimmed(demos, nothing)


def test_masked_steps_are_seen_and_not_learned(demos: Demos) -> None:
    keep = np.arange(sum(LENGTHS)) % 2 > 0
    left = masked(demos, keep)
    assert_array_equal(left.known_rows(), demos.rows()[keep])
    assert left.fingerprint() != demos.fingerprint()
    again = masked(left, ~keep)
    with pytest.raises(UserError, match="unknown in every step"):
        again.known_rows()


def test_masks_speak_of_the_view_and_not_of_the_storage(demos: Demos) -> None:
    view = demos.keep([2, 0])
    keep = np.array([1, 1, 0, 0, 1, 0, 1, 1, 1], bool)
    assert_array_equal(masked(view, keep).known_rows(), view.rows()[keep])
    assert_array_equal(trimmed(view, keep)[0].action[:, 0], -np.array([9.0, 10, 13]))


def test_the_best_share_goes_by_the_end_that_is_good() -> None:
    values = np.array([3.0, np.nan, 1.0, 2.0])
    low = Scores(episodes={"variance": values}, better={"variance": "low"})
    assert_array_equal(low.best(0.5), [False, False, True, True])
    high = Scores(episodes={"fit": values, "plain": values}, better={"fit": "high"})
    assert_array_equal(high.best(0.25), [True, False, False, False])
    assert high.best(1.0).all()
    with pytest.raises(UserError, match="which end is good"):
        high.best(0.5, "plain")
    with pytest.raises(UserError, match="no score 'fitt'"):
        high.best(0.5, "fitt")
    with pytest.raises(UserError, match="--best is 0"):
        high.best(0.0)


def test_scores_come_back_as_they_were_and_speak_of_their_data_alone(demos: Demos, tmp_path: Path) -> None:
    steps = np.arange(12, dtype=np.float32)
    scores = Scores(
        {"error": steps}, {"error": by_episode(demos, steps)}, {"error": "low"}, steps > 3,
        {"a": {"error": 1.5}}, {"who": "test"}, demos.fingerprint(),
    )  # fmt: skip
    scores.save(tmp_path / "scores.npz")
    found = Scores.load(tmp_path / "scores.npz").of(demos)
    assert_array_equal(found.steps["error"], steps)
    assert_array_equal(found.episodes["error"], [1.5, 5.0, 9.0])
    assert_array_equal(found.keep, steps > 3)
    assert (found.better, found.groups, found.about) == (scores.better, scores.groups, scores.about)
    with pytest.raises(UserError, match="other data"):
        found.of(demos.keep([0, 1]))
    (tmp_path / "scores.npz").write_bytes(b"PK no archive")
    with pytest.raises(UserError, match="damaged"):
        Scores.load(tmp_path / "scores.npz")
    with pytest.raises(UserError, match="there are no scores"):
        Scores.load(tmp_path / "nothing.npz")


def test_groups_are_what_the_source_says(demos: Demos) -> None:
    assert {name: list(numbers) for name, numbers in grouped(demos, "operator").items()} == {"a": [0, 2], "b": [1]}
    assert list(grouped(demos, "masks")["all"]) == [0, 1, 2]
    with pytest.raises(UserError, match="choose from masks, operator"):
        grouped(demos, "person")


def test_equal_values_share_their_rank() -> None:
    assert_array_equal(ranks([10.0, 5.0, 5.0, 7.0]), [3.0, 0.5, 0.5, 2.0])
