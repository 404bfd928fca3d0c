"""`imitari data strip` and `imitari data label`: shards, resume, Ray, and what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imitari.cli import main
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, ACTION_CONFIDENCE, ACTION_SOURCE
from imitari.core.errors import UserError
from imitari.data.curate.strip import strip
from imitari.data.opening import open_demos, save_demos
from imitari.envs import task_named
from imitari.jobs import labelling
from imitari.jobs.demonstrations import demonstrate
from imitari.jobs.labelling import LabelRequest, Shards, label

TRAIN = ["--steps", "120", "--window", "6", "--width", "32", "--blocks", "1", "--heads", "2", "--bins", "9"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """whole.npz, bare (lerobot, without actions), and an inverse model trained on other episodes."""
    folder = tmp_path_factory.mktemp("labelling")
    task = task_named("two_ways")
    save_demos(demonstrate(task, range(20, 40)), folder / "train.npz", "npz")
    save_demos(demonstrate(task, range(12)), folder / "whole.npz", "npz")
    assert main(["data", "strip", str(folder / "whole.npz"), "--out", str(folder / "bare")]) == 0
    words = ["train", "inverse_dynamics", "--data", str(folder / "train.npz"), "--out", str(folder / "run"), "--quiet"]
    assert main([*words, *TRAIN]) == 0
    return folder


def request(place: Path, **changes: object) -> LabelRequest:
    return LabelRequest(model=str(place / "run"), data=str(place / "bare"), **changes)  # type: ignore[arg-type]


def actions(demos: Demos) -> np.ndarray:
    return demos.columns[ACTION].take(demos.rows())


def test_the_command_writes_labels_that_resemble_what_was_done(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "label", str(place / "bare"), "--model", str(place / "run"), "--quiet"]
    assert main([*words, "--out", str(tmp_path / "out.npz")]) == 0
    assert "inferred by predicted by" in capsys.readouterr().out
    done, true = open_demos(tmp_path / "out.npz"), open_demos(place / "whole.npz")
    away = np.abs(actions(done) - actions(true)).mean()
    assert away < 0.5 * np.abs(actions(true) - actions(true).mean(0)).mean()
    sure = done.columns[ACTION_CONFIDENCE].take(done.rows())
    assert ((sure > 0) & (sure <= 1)).all()
    assert len(set(done.columns[ACTION_SOURCE].take(done.rows()).reshape(-1))) == 1
    assert not list(tmp_path.glob("*.labelling"))
    # The labelled set trains a policy; the stripped one does not.
    train = ["train", "bc", "--steps", "5", "--quiet", "--data"]
    assert main([*train, str(tmp_path / "out.npz"), "--out", str(tmp_path / "policy")]) == 0
    assert main([*train, str(place / "bare"), "--out", str(tmp_path / "none")]) == 2
    assert "imitari data label" in capsys.readouterr().err
    least = float(np.median(sure))
    assert main([*words, "--confidence", str(least), "--out", str(tmp_path / "sure")]) == 0
    known = open_demos(tmp_path / "sure")
    np.testing.assert_array_equal(known.known(known.rows()), sure.reshape(-1) >= least)


def test_a_labelling_that_was_cut_off_goes_on(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "SHARD", 60)
    whole = label(request(place, pick="sampled"), tmp_path / "whole", show=False)
    assert len(Shards(request(place)).shards) > 4
    done: list[int] = []
    keep = labelling._keep  # pyright: ignore[reportPrivateUsage]

    def cutting(journal: Path, number: int, *arrays: np.ndarray) -> None:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(number)
        keep(journal, number, *arrays)

    with monkeypatch.context() as patch:
        patch.setattr(labelling, "_keep", cutting)
        with pytest.raises(KeyboardInterrupt):
            label(request(place, pick="sampled"), tmp_path / "cut", show=False)
    assert not (tmp_path / "cut").exists()
    with pytest.raises(UserError, match="holds labels of another seed"):
        label(request(place, pick="sampled", seed=1), tmp_path / "cut", show=False)
    rest: list[int] = []

    def counting(journal: Path, number: int, *arrays: np.ndarray) -> None:
        rest.append(number)
        keep(journal, number, *arrays)

    monkeypatch.setattr(labelling, "_keep", counting)
    again = label(request(place, pick="sampled"), tmp_path / "cut", show=False)
    assert not set(rest) & set(done)
    np.testing.assert_array_equal(actions(again), actions(whole))
    assert again.fingerprint() == open_demos(tmp_path / "cut").fingerprint()


def test_shards_do_not_change_the_likeliest_labels(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = label(request(place), tmp_path / "one", show=False)
    monkeypatch.setattr(labelling, "SHARD", 50)
    many = label(request(place), tmp_path / "many", show=False)
    np.testing.assert_array_equal(actions(one), actions(many))


def test_what_does_not_fit_is_refused(place: Path, tmp_path: Path) -> None:
    whole = LabelRequest(model=str(place / "run"), data=str(place / "whole.npz"))
    with pytest.raises(UserError, match=r"whole.npz: the actions of all steps are known"):
        label(whole, tmp_path / "out", show=False)
    task = task_named("slippery_grid")
    save_demos(strip(demonstrate(task, range(2))), tmp_path / "other.npz", "npz")
    with pytest.raises(UserError, match=r"other.npz: does not fit the model"):
        label(LabelRequest(str(place / "run"), str(tmp_path / "other.npz")), tmp_path / "out", show=False)
    words = [
        "train",
        "bc",
        "--data",
        str(place / "whole.npz"),
        "--out",
        str(tmp_path / "bc"),
        "--steps",
        "2",
        "--quiet",
    ]
    assert main(words) == 0
    with pytest.raises(UserError, match="method 'bc' has no inverse model"):
        label(LabelRequest(str(tmp_path / "bc"), str(place / "bare")), tmp_path / "out", show=False)


def test_ray_gives_the_labels_of_this_process(place: Path, tmp_path: Path) -> None:
    """In a process of its own: Ray leaves threads and warnings behind."""
    pytest.importorskip("ray")
    here = label(request(place, pick="sampled"), tmp_path / "here", show=False)
    script = (
        "import ray, sys, pathlib\n"
        "ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)\n"
        "from imitari.jobs.labelling import LabelRequest, label\n"
        "place, out = sys.argv[1:]\n"
        "request = LabelRequest(place + '/run', place + '/bare', pick='sampled')\n"
        "label(request, pathlib.Path(out), engine='ray', show=False)"
    )
    words = [sys.executable, "-c", script, str(place), str(tmp_path / "there")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    there = open_demos(tmp_path / "there")
    np.testing.assert_array_equal(actions(there), actions(here))
