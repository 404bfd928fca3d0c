"""Demos: views, joining, splitting, and the episodes that come back out."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.columns import ArrayColumn, JoinedColumn, MappedColumn, TextColumn
from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec, mismatch


def same(a: Episode, b: Episode) -> None:
    assert a.obs.keys() == b.obs.keys()
    for key in a.obs:
        np.testing.assert_array_equal(a.obs[key], b.obs[key])
    np.testing.assert_array_equal(a.action, b.action)
    np.testing.assert_array_equal(a.reward, b.reward)  # type: ignore[arg-type]
    assert (a.ended, a.success, a.source) == (b.ended, b.success, b.source)


def test_episodes_go_in_and_come_out(random_demos: Demos) -> None:
    again = Demos.from_episodes(list(random_demos), random_demos.spec)
    assert len(again) == len(random_demos)
    for a, b in zip(random_demos, again, strict=True):
        same(a, b)
    assert again.fingerprint() == random_demos.fingerprint()


def test_views_share_columns_and_keep_order(random_demos: Demos) -> None:
    view = random_demos.keep([7, 2])
    assert view.columns["action"] is random_demos.columns["action"]
    same(view[0], random_demos[7])
    same(view[-1], random_demos[2])
    assert len(random_demos[3:6]) == 3
    assert view.fingerprint() != random_demos.fingerprint()


def test_views_cannot_be_written_through(random_demos: Demos) -> None:
    with pytest.raises(ValueError, match="read-only"):
        random_demos[0].action[0] = 5


def test_joining_equals_the_parts(random_demos: Demos) -> None:
    joined = Demos.concat([random_demos.keep([1, 3]), random_demos, random_demos.keep([0])])
    for place, origin in ((0, 1), (1, 3), (2, 0), (13, 11), (14, 0)):
        same(joined[place], random_demos[origin])
    rows = np.array([[5, 200], [0, 400]])
    column = joined.columns["action"]
    assert isinstance(column, JoinedColumn)
    plain = column.span(0, column.shape[0])
    np.testing.assert_array_equal(column.take(rows), plain[rows])


def test_split_is_by_episode_and_complete(random_demos: Demos) -> None:
    train, held = random_demos.split(0.25, seed=1)
    assert held is not None
    seeds = [{source["seed"] for source in part.table.source} for part in (train, held)]
    assert seeds[0] | seeds[1] == set(range(12))
    assert not seeds[0] & seeds[1]
    assert len(held) == 3
    assert random_demos.split(0.0)[1] is None
    with pytest.raises(UserError, match="leaves none to train on"):
        random_demos.split(1.0)


def test_an_empty_choice_is_refused(random_demos: Demos) -> None:
    with pytest.raises(UserError, match="no episode is left after 'successes'"):
        random_demos.keep(np.zeros(12, bool), "successes")


def test_unequal_rows_are_refused() -> None:
    with pytest.raises(UserError, match="needs 3 or 4 rows"):
        Episode({"observation.state": np.zeros((6, 2))}, np.zeros((3, 1)))
    with pytest.raises(UserError, match=r"'next\.reward' has 2 rows"):
        Episode({"observation.state": np.zeros((3, 2))}, np.zeros((3, 1)), np.zeros(2))


def test_a_mapped_column_reads_like_an_array(tmp_path) -> None:  # type: ignore[no-untyped-def]
    values = np.random.default_rng(0).integers(0, 255, (500, 16, 16, 3), np.uint8)
    np.save(tmp_path / "column.npy", values)
    column = MappedColumn(tmp_path / "column.npy", budget=10_000)
    rows = np.random.default_rng(1).integers(0, 500, (20, 4))
    for _ in range(5):
        np.testing.assert_array_equal(column.take(rows), values[rows])
    np.testing.assert_array_equal(column.span(3, 9), ArrayColumn(values).span(3, 9))
    (tmp_path / "broken.npy").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"broken\.npy: not a readable column file"):
        MappedColumn(tmp_path / "broken.npy")


def test_text_is_kept_once() -> None:
    column = TextColumn.of(["push", "pull", "push"])
    assert list(column.vocabulary) == ["push", "pull"]
    assert column.take(np.array([2, 1])).tolist() == ["push", "pull"]


def test_specs_fill_in_and_disagree() -> None:
    bare = Spec({"observation.state": Feature((2,))}, Feature((1,)))
    full = Spec(
        {"observation.state": Feature((2,), names=("x", "angle"), periodic=(1,))},
        Feature((1,), low=(-1.0,), high=(1.0,)),
    )
    merged = bare.annotated(full)
    assert merged == full
    assert Spec.from_json(merged.to_json()) == merged
    assert mismatch(bare, full) is None
    assert "action has shape" in str(mismatch(Spec(bare.obs, Feature((3,))), bare))
    assert "is not there" in str(mismatch(Spec({}, Feature((1,))), bare))
