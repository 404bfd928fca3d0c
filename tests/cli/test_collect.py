"""Collecting: exact noise, kept failures, nothing lost when killed, one sentence when something is wrong."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from imitari.cli import main
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature
from imitari.data.collecting import Noise, Noisy
from imitari.data.opening import open_demos
from imitari.data.recording import Journal, load_episode, save_episode

STATE = "observation.state"


def collect(*words: str) -> int:
    return main(["collect", *words, "--quiet"])


def test_scripted_expert_to_npz(tmp_path: Path) -> None:
    out = tmp_path / "demos.npz"
    assert collect("track", "--episodes", "7", "--out", str(out), "--batch", "3", "--seeds", "100") == 0
    demos = open_demos(out)
    assert len(demos) == 7
    assert [episode.source["seed"] for episode in demos] == list(range(100, 107))
    assert {episode.source["task_name"] for episode in demos} == {"track"}
    assert all(episode.success and episode.rows == len(episode) + 1 for episode in demos)
    assert list(tmp_path.iterdir()) == [out], "the journal is gone once the set is written"


@pytest.mark.parametrize("recorded", ["executed", "intended"])
def test_executed_and_intended_action_are_both_there(tmp_path: Path, recorded: str) -> None:
    words = ["track", "--episodes", "3", "--noise", "gaussian:0.1", "--noise-recorded", recorded, "--keep-failures"]
    assert collect(*words, "--out", str(tmp_path / "demos.npz")) == 0
    demos = open_demos(tmp_path / "demos.npz")
    other = f"action.{'intended' if recorded == 'executed' else 'executed'}"
    for episode in demos:
        both = {recorded: episode.action, other.removeprefix("action."): episode.extra[other]}
        assert not np.array_equal(both["executed"], both["intended"])
        # The steering follows the executed action: that it is the executed one can be read off the observations.
        steering = episode.obs[STATE][:, 2].astype(np.float64)
        command = (steering[1:] - 0.65 * steering[:-1]) / 0.35
        np.testing.assert_allclose(command, both["executed"][:, 0], atol=1e-4)


def test_failures_are_left_out_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = ["--noise", "gaussian:0.25", "--batch", "10"]
    assert collect("two_ways", "--episodes", "10", *noise, "--out", str(tmp_path / "good.npz")) == 0
    said = capsys.readouterr().out
    good = open_demos(tmp_path / "good.npz")
    assert len(good) == 10
    assert all(episode.success for episode in good)
    seeds = [episode.source["seed"] for episode in good]
    assert seeds[-1] > 9, "some start failed, so that a later one took its place"
    assert "failed (left out)" in said
    assert collect("two_ways", "--episodes", "10", *noise, "--keep-failures", "--out", str(tmp_path / "all.npz")) == 0
    everything = open_demos(tmp_path / "all.npz")
    assert [episode.source["seed"] for episode in everything] == list(range(10))
    assert {bool(episode.success) for episode in everything} == {True, False}


def test_random_actions(tmp_path: Path) -> None:
    assert collect("two_ways", "--expert", "random", "--episodes", "4", "--out", str(tmp_path / "r.npz")) == 0
    actions = np.concatenate([episode.action for episode in open_demos(tmp_path / "r.npz")])
    assert np.abs(actions).max() <= 1
    assert abs(actions.mean()) < 0.15
    assert actions.std() == pytest.approx(1 / np.sqrt(3), abs=0.06)


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["track", "--episodes", "60", "--noise", "random:0.05", "--batch", "4", "--keep-failures", "--quiet"]
    whole, cut = tmp_path / "whole.npz", tmp_path / "cut.npz"
    assert main(["collect", *words, "--out", str(whole)]) == 0
    journal = tmp_path / "cut.npz.recording"
    command = [sys.executable, "-c", "import sys; from imitari.cli import main; sys.exit(main())", "collect", *words]
    process = subprocess.Popen([*command, "--out", str(cut)], env={**os.environ, "OMP_NUM_THREADS": "1"})
    until = time.monotonic() + 60
    while len(list(journal.glob("*.npz"))) < 9 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not cut.exists(), "killed before the end"
    there = sorted(journal.glob("*.npz"))
    assert len(there) >= 9
    reference = {episode.source["seed"]: episode for episode in open_demos(whole)}
    for path in there:
        episode = load_episode(path)
        np.testing.assert_array_equal(episode.action, reference[episode.source["seed"]].action)
    assert main(["collect", *words, "--out", str(cut)]) == 0
    assert f"{len(there)} of them recorded before" in capsys.readouterr().out
    first, second = open_demos(whole), open_demos(cut)
    assert [episode.source for episode in first] == [episode.source for episode in second]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.action, b.action)
        np.testing.assert_array_equal(a.obs[STATE], b.obs[STATE])


def test_a_recording_only_goes_on_with_the_same_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Journal(tmp_path / "x.npz.recording", {"task": "track", "noise": "gaussian:0.3"})
    assert collect("track", "--episodes", "2", "--out", str(tmp_path / "x.npz")) == 2
    assert "unfinished recording with another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "part"),
    [
        (["trak", "--out", "x"], 2, "did you mean track"),
        (["track", "--out", "x", "--noise", "gauss:0.1"], 2, "write gaussian:0.1"),
        (["track", "--out", "x", "--noise", "gaussian:-1"], 2, "write gaussian:0.1"),
        (["track", "--out", "x", "--episodes", "0"], 2, "at least 1"),
        (["track", "--out", "x", "--noise", "random:0.1", "--expert", "random"], 2, "has no meaning"),
        (["track", "--out", "x", "--pixels", "64"], 2, "no such option"),
        (["track", "--out", "taken.npz"], 2, "exists already"),
    ],
)
def test_bad_usage_is_one_sentence(
    words: list[str], status: int, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("taken.npz").touch()
    assert main(["collect", *words]) == status
    said = capsys.readouterr().err
    assert part in said
    assert said.count("\n") == 1


def test_an_episode_file_is_whole_or_not_there(tmp_path: Path) -> None:
    episode = Episode({STATE: np.ones((3, 2))}, np.zeros((2, 1)), np.ones(2), "terminated", True, {}, {"seed": 3})
    save_episode(episode, tmp_path / "e.npz")
    back = load_episode(tmp_path / "e.npz")
    assert (back.ended, back.success, back.source) == ("terminated", True, {"seed": 3})
    data = (tmp_path / "e.npz").read_bytes()
    (tmp_path / "e.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"e\.npz: is damaged"):
        load_episode(tmp_path / "e.npz")


def test_noise_of_an_episode_depends_on_its_seed_alone() -> None:
    action, noise = Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)), Noise.parse("gaussian:0.2")
    alone, together = Noisy(action, noise, [7], "executed"), Noisy(action, noise, [3, 7], "executed")
    for _ in range(3):
        one = alone({}, np.zeros((1, 2))).execute[0]
        np.testing.assert_array_equal(one, together({}, np.zeros((2, 2))).execute[1])


def test_hold_repeats_the_executed_action() -> None:
    noisy = Noisy(Feature((1,)), Noise.parse("hold:0.5"), [0], "executed")
    executed = [float(noisy({}, np.array([[float(step)]])).execute[0, 0]) for step in range(400)]
    held = [now == before for before, now in itertools.pairwise(executed)]
    assert np.mean(held) == pytest.approx(0.5, abs=0.08)
    assert all(now == step or now == executed[step - 1] for step, now in enumerate(executed) if step)


def test_noise_on_choices_stays_a_choice() -> None:
    feature = Feature((1,), "int64", "choice", low=(0,), high=(4,))
    noisy = Noisy(feature, Noise.parse("random:0.5"), [0], "executed")
    drawn = [int(noisy({}, np.array([[2]])).execute[0, 0]) for _ in range(300)]
    assert set(drawn) == {0, 1, 2, 3, 4}
