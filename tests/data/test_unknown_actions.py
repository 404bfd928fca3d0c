"""Actions that nobody knows: not on disk, never drawn, never in statistics; and what is inferred takes their place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, ACTION_CONFIDENCE, ACTION_KNOWN, ACTION_SOURCE, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.curate.filter import finite
from imitari.data.curate.label import unlabelled, with_labels, without_idle
from imitari.data.curate.merge import merge
from imitari.data.curate.strip import strip
from imitari.data.doctor import examine
from imitari.data.opening import open_demos, save_demos
from imitari.data.sampling import Batches, Transitions, Windows
from imitari.data.scaling import Scaler
from imitari.envs import task_named
from imitari.learn.method import method_class
from imitari.learn.run import Run

STATE = "observation.state"
LENGTHS = (4, 9, 1, 7, 12)
FORMATS = (("lerobot", "set"), ("npz", "set.npz"), ("robomimic", "set.hdf5"))


def make(discrete: bool = False) -> Demos:
    """Random numbers, so that each action can be told from everything else."""
    rng = np.random.default_rng(0)
    action = Feature((1,), "int64", "choice", low=(0.0,), high=(6.0,)) if discrete else Feature((3,))
    episodes = []
    for number, length in enumerate(LENGTHS):
        acted = rng.integers(1, 7, (length, 1)) if discrete else rng.normal(size=(length, 3)).astype(np.float32)
        state = rng.normal(size=(length + 1, 2)).astype(np.float32)
        source = {"seed": number}
        episodes.append(
            Episode({STATE: state}, acted, np.zeros(length), "terminated", True, {"action.executed": acted}, source)
        )
    return Demos.from_episodes(episodes, Spec({STATE: Feature((2,))}, action))


def contents(root: Path) -> bytes:
    """Everything that the files hold, as numbers: parquet, hdf5 and npz are unpacked, the rest is read as it is."""
    found: list[np.ndarray] = []
    text = b""
    for path in [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file()):
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            for column in pq.read_table(path).columns:
                for cell in column.to_pylist():
                    values = np.asarray(cell if cell is not None else [])
                    if values.dtype.kind in "fiub":
                        found.append(values.reshape(-1).astype(np.float32))
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                found += [
                    file[key].reshape(-1).astype(np.float32) for key in file.files if file[key].dtype.kind in "fiub"
                ]
        elif path.suffix == ".hdf5":
            import h5py

            names: list[str] = []
            with h5py.File(path) as file:
                file.visit(names.append)
                items = [file[name] for name in names]
                sets = [item for item in items if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub"]
                found += [np.asarray(item).reshape(-1).astype(np.float32) for item in sets]
        else:
            text += path.read_bytes()
    numbers = [float(value) for part in found for value in part]
    return repr(sorted(set(numbers))).encode() + text


@pytest.mark.parametrize(("format", "name"), FORMATS)
def test_stripped_actions_are_in_no_file(format: str, name: str, tmp_path: Path) -> None:
    demos = make()
    rows = demos.rows()
    actions = {float(value) for value in demos.columns[ACTION].take(rows).reshape(-1)}
    save_demos(demos, tmp_path / f"full-{name}", format)
    save_demos(strip(demos), tmp_path / name, format)
    whole, bare = contents(tmp_path / f"full-{name}"), contents(tmp_path / name)
    assert all(repr(value).encode() in whole for value in actions), "the test would not see an action that is there"
    assert not [value for value in actions if repr(value).encode() in bare]
    again = open_demos(tmp_path / name)
    assert np.isnan(again.columns[ACTION].take(again.rows())).all()
    assert not again.columns[ACTION_KNOWN].take(again.rows()).any()
    np.testing.assert_array_equal(again.columns[STATE].take(again.rows()), demos.columns[STATE].take(rows))
    assert "action.executed" not in again.columns


@pytest.mark.parametrize(("format", "name"), FORMATS)
def test_training_says_what_is_missing(format: str, name: str, tmp_path: Path) -> None:
    task = task_named("two_ways")
    from imitari.jobs.demonstrations import demonstrate

    save_demos(strip(demonstrate(task, range(3))), tmp_path / name, format)
    bare = open_demos(tmp_path / name)
    for method in ("bc", "bc_rnn", "iql"):
        kind = method_class(method)
        with pytest.raises(UserError, match=rf"{name}.*column 'action' is unknown.*imitari data label"):
            kind.from_json(dict(kind.smoke)).fit(bare, Run(show=False))


def test_choices_become_zero_and_a_share_is_drawn_with_the_seed() -> None:
    demos = make(discrete=True)
    bare = strip(demos, 0.4, seed=3)
    known = bare.known(bare.rows())
    assert known is not None
    action, true = (one.columns[ACTION].take(one.rows()) for one in (bare, demos))
    assert (action[~known] == 0).all()
    np.testing.assert_array_equal(action[known], true[known])
    assert len(unlabelled(bare)) == 2
    np.testing.assert_array_equal(unlabelled(bare), unlabelled(strip(demos, 0.4, seed=3)))
    assert {tuple(unlabelled(strip(demos, 0.4, seed=seed))) for seed in range(9)} != {tuple(unlabelled(bare))}
    with pytest.raises(UserError, match="--share is 0"):
        strip(demos, 0.0)


def sparse(demos: Demos, seed: int = 0) -> tuple[Demos, np.ndarray]:
    """About one action in six is known."""
    known = np.random.default_rng(seed).random(demos.columns[ACTION].shape[0]) < 1 / 6
    action = demos.columns[ACTION].take(np.arange(len(known)))
    action[~known] = np.nan
    columns = {ACTION: ArrayColumn(action), ACTION_KNOWN: ArrayColumn(known)}
    return demos.with_columns(columns, "some"), known


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("offsets", [range(1), range(-1, 4), range(8)])
def test_windows_are_those_with_a_known_action(offsets: range, inside: bool) -> None:
    """Beside a plain loop over all windows."""
    demos, known = sparse(make())
    every = Windows(demos, offsets, offsets, inside=inside, unknown=True)
    wanted = Windows(demos, offsets, offsets, inside=inside)
    whole = every.gather(np.arange(len(every)))
    kept = np.flatnonzero(whole.valid.any(1))
    assert 0 < len(kept) < len(every)
    assert len(wanted) == len(kept)
    batch = wanted.gather(np.arange(len(wanted)))
    np.testing.assert_array_equal(batch.obs[STATE], whole.obs[STATE][kept])
    np.testing.assert_array_equal(batch.action, whole.action[kept])
    assert np.isfinite(batch.action).all()
    number = 0
    for start, length, rows in zip(demos.table.start, demos.table.length, demos.table.rows, strict=True):
        for step in range(length):
            at = step
            if inside:
                low, high = -offsets[0], max(rows - 1 - offsets[-1], -offsets[0])
                at = min(max(step - (offsets[0] + offsets[-1]) // 2, low), high)
            valid = [0 <= at + o < length and known[start + at + o] for o in offsets]
            np.testing.assert_array_equal(whole.valid[number], valid)
            last = rows - 1 if inside else length - 1
            seen = demos.columns[STATE].take(start + np.clip(at + np.array(offsets), 0, last))
            np.testing.assert_array_equal(whole.obs[STATE][number], seen)
            number += 1


def test_windows_inside_waste_nothing() -> None:
    """A window that fits into its episode holds no step twice; it ends with the final observation where it can."""
    demos = make()
    batch = Windows(demos, range(5), range(5), inside=True).gather(np.arange(demos.steps))
    owner = np.repeat(np.arange(len(demos)), demos.table.length)
    long = demos.table.length[owner] >= 4
    assert all(len(np.unique(rows, axis=0)) == 5 for rows in batch.obs[STATE][long])
    last = demos[4].obs[STATE][-1]
    assert any((rows[-1] == last).all() for rows in batch.obs[STATE])


def test_transitions_leave_unknown_actions_out() -> None:
    demos, known = sparse(make())
    transitions = Transitions(demos)
    assert len(transitions) == known[demos.rows()].sum()
    batch = Batches(transitions, 64, 0)(0)
    assert np.isfinite(batch.action).all()


def test_statistics_are_of_known_actions() -> None:
    demos, known = sparse(make())
    scaling = Scaler.fit(demos, action="meanstd").scalings[ACTION]
    rows = demos.rows()[known[demos.rows()]]
    np.testing.assert_allclose(scaling.offset, demos.columns[ACTION].take(rows).mean(0), rtol=1e-5)
    assert finite(demos).all()
    assert not [one for one in examine(demos) if one.check == "not_finite"]
    worse = demos.columns[ACTION].take(np.arange(len(known)))
    worse[rows[0]] = np.inf
    bad = demos.with_columns({ACTION: ArrayColumn(worse)}, "planted")
    assert [one for one in examine(bad) if one.check == "not_finite"]
    with pytest.raises(UserError, match="NaN or infinity"):
        Scaler.fit(bad)


def test_joining_remembers_what_is_unknown() -> None:
    demos = make()
    for joined in (Demos.concat([demos, strip(demos)]), merge([strip(demos), demos])):
        known = joined.known(joined.rows())
        assert known is not None
        assert known.sum() == demos.steps
        assert np.isfinite(joined.columns[ACTION].take(joined.known_rows())).all()


def test_lerobot_statistics_hold_no_nan(tmp_path: Path) -> None:
    demos = make()
    for name, share in (("all", 1.0), ("some", 0.5)):
        save_demos(strip(demos, share), tmp_path / name)
        stats = json.loads((tmp_path / name / "meta" / "stats.json").read_text())
        assert np.isfinite(stats[ACTION]["mean"]).all()
        assert stats[ACTION]["count"] == [int(strip(demos, share).columns[ACTION_KNOWN].take(demos.rows()).sum())]


@pytest.mark.parametrize(("format", "name"), FORMATS)
def test_labels_take_the_place_of_unknown_actions(format: str, name: str, tmp_path: Path) -> None:
    demos = make()
    bare = strip(demos, 0.6, seed=1)
    episodes = unlabelled(bare)
    true = demos.keep(episodes)
    labels = true.columns[ACTION].take(true.rows())
    sure = np.linspace(0, 1, len(labels)).astype(np.float32)
    done = with_labels(bare, episodes, labels, sure, "predicted by me")
    save_demos(done, tmp_path / name, format)
    again = open_demos(tmp_path / name)
    np.testing.assert_array_equal(again.columns[ACTION].take(again.rows()), demos.columns[ACTION].take(demos.rows()))
    assert again.columns[ACTION_KNOWN].take(again.rows()).all()
    inferred = np.repeat(np.isin(np.arange(len(demos)), episodes), demos.table.length)
    np.testing.assert_array_equal(again.columns[ACTION_CONFIDENCE].take(again.rows()).reshape(-1)[inferred], sure)
    assert (again.columns[ACTION_CONFIDENCE].take(again.rows()).reshape(-1)[~inferred] == 1).all()
    if format != "robomimic":  # which keeps no text of steps
        sources = again.columns[ACTION_SOURCE].take(again.rows()).reshape(-1)
        assert set(sources[inferred]) == {"predicted by me"}
        assert set(sources[~inferred]) == {"recorded"}


def test_a_least_confidence_leaves_the_rest_unknown() -> None:
    bare = strip(make())
    labels = np.zeros((bare.steps, 3), np.float32)
    sure = np.linspace(0, 1, bare.steps).astype(np.float32)
    part = with_labels(bare, np.arange(len(bare)), labels, sure, "me", least=0.8)
    np.testing.assert_array_equal(part.known(part.rows()), sure >= 0.8)
    with pytest.raises(UserError, match="no confidence"):
        with_labels(bare, np.arange(len(bare)), labels, np.full(bare.steps, np.nan, np.float32), "me", least=0.5)
    with pytest.raises(UserError, match="ask for less"):
        with_labels(bare, np.arange(len(bare)), labels, sure / 2, "me", least=0.9)


def test_idle_steps_are_seen_but_not_learned_from() -> None:
    demos = make(discrete=True)
    rows = demos.rows()
    busy = without_idle(demos, choice=3)
    action = demos.columns[ACTION].take(rows).reshape(-1)
    np.testing.assert_array_equal(busy.known(rows), action != 3)
    batch = Windows(busy, range(4), range(4)).gather(np.arange(5))
    assert batch.obs[STATE].shape[1] == 4
    assert not batch.valid[batch.action[..., 0] == 3].any()
    assert without_idle(demos) is demos
    numbers = without_idle(make(), least=0.5)
    values = numbers.columns[ACTION].take(numbers.rows())
    np.testing.assert_array_equal(numbers.known(numbers.rows()), (np.abs(values) >= 0.5).any(1))
