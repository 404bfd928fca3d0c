"""What more data is worth: parts of the data are nested, held-out items stay out, a study resumes and answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from imitari.cli import main
from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Stateless
from imitari.data.opening import save_demos
from imitari.envs import two_ways
from imitari.evaluate.recorded import action_error
from imitari.jobs.demonstrations import demonstrate
from imitari.jobs.scaling import parts, subset

OPERATORS = 4


@pytest.fixture(scope="module")
def demos() -> Demos:
    """24 episodes of four operators, whose action is half the state."""
    spec, rng = Spec({"observation.state": Feature((2,))}, Feature((2,))), np.random.default_rng(0)
    episodes = []
    for number in range(24):
        state = rng.normal(size=(6 + number % 3, 2)).astype(np.float32)
        source = {"operator": number % OPERATORS, "number": number}
        episodes.append(Episode({"observation.state": state}, 0.5 * state[:-1], source=source))
    return Demos.from_episodes(episodes, spec)


def who(demos: Demos, key: str = "number") -> set[int]:
    return {source[key] for source in demos.table.source}


def test_smaller_parts_are_inside_larger_ones(demos: Demos) -> None:
    for seed in (0, 1):
        few, many = (subset(demos, "demos", size, None, seed) for size in (3, 10))
        assert (len(few), len(many)) == (3, 10)
        assert who(few) < who(many)
        one, two = (subset(demos, "operator", size, 4, seed) for size in (1, 2))
        assert (len(one), len(two)) == (4, 8)
        assert who(one) < who(two)
        assert len(who(two, "operator")) == 2
    assert who(subset(demos, "demos", 3, None, 0)) != who(subset(demos, "demos", 3, None, 1))
    with pytest.raises(UserError, match="fewer than --each 9"):
        subset(demos, "operator", 2, 9, 0)
    with pytest.raises(UserError, match="has 24 episodes, fewer than 25"):
        subset(demos, "demos", 25, None, 0)


def test_what_is_held_out_is_whole_and_stays_out(demos: Demos) -> None:
    left, held = parts(demos, "demos", 0.25)
    assert (len(left), len(held)) == (18, 6)
    assert not who(left) & who(held)
    left, held = parts(demos, "operator", 0.25)
    assert len(who(held, "operator")) == 1
    assert not who(left, "operator") & who(held, "operator")


def test_the_error_of_actions_is_in_their_variances(demos: Demos) -> None:
    exact = Stateless(lambda obs: 0.5 * obs["observation.state"])
    assert_allclose(action_error(exact, demos), 0, atol=1e-12)
    half = Stateless(lambda obs: 0.25 * obs["observation.state"])
    actions = np.concatenate([episode.action for episode in demos]).astype(np.float64)
    each = [np.mean((0.5 * episode.action.astype(np.float64) / actions.std(0)) ** 2) for episode in demos]
    assert_allclose(action_error(half, demos), each, rtol=1e-5)


def test_a_study_of_held_out_actions(demos: Demos, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_demos(demos, tmp_path / "set.npz", "npz")
    command = ["scale", "bc", "--data", str(tmp_path / "set.npz"), "--metric", "error", "--sizes", "2,6,18"]
    command += ["--seeds", "0:2", "--steps", "60", "--batch", "16", "--lr", "3e-3", "--hidden", "32"]
    command += ["--engine", "inline", "--quiet", "--out", str(tmp_path / "study")]
    assert main(command) == 0
    assert "more demonstrations" in capsys.readouterr().out
    found = json.loads((tmp_path / "study" / "scale.json").read_text())
    assert found["gaps"][-1] < found["gaps"][0]
    before = (tmp_path / "study" / "demos-6" / "seed-1" / "outcomes.parquet").stat().st_mtime_ns
    assert main(command) == 0
    assert (tmp_path / "study" / "demos-6" / "seed-1" / "outcomes.parquet").stat().st_mtime_ns == before
    assert main([*command, "--axis", "operator"]) == 2
    assert main([*command[:-2], "--out", str(tmp_path / "study"), "--held", "0.5"]) == 2
    assert "field 'held' differs" in capsys.readouterr().err


def test_a_study_in_a_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = two_ways.task()
    save_demos(demonstrate(task, range(1_000_000, 1_000_008)), tmp_path / "set.npz", "npz")
    command = ["scale", "bc", "--data", str(tmp_path / "set.npz"), "--task", "two_ways", "--sizes", "2,4,8"]
    command += ["--seeds", "0:2", "--episodes", "10", "--steps", "20", "--batch", "16", "--hidden", "16"]
    assert main([*command, "--engine", "inline", "--quiet", "--out", str(tmp_path / "study")]) == 0
    found = json.loads((tmp_path / "study" / "scale.json").read_text())
    assert found["metric"] == "success"
    assert_allclose(found["gaps"], [1 - np.mean(found["scores"][str(size)]) for size in (2, 4, 8)])
    capsys.readouterr()
    assert main([*command[:-2], "--metric", "success", "--sizes", "4,2,8", "--out", str(tmp_path / "x")]) == 2
    assert "ascending" in capsys.readouterr().err
