"""Idle stretches against a plain loop, at the ends of episodes, and with angles."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.curate.idle import idle, speeds
from imitari.data.curate.strips import draw_strips, strips

STATE = "observation.state"
SPEC = Spec({STATE: Feature((2,), periodic=(1,))}, Feature((1,)))


def made(*states: np.ndarray, final: bool = True) -> Demos:
    return Demos.from_episodes(
        [Episode({STATE: one.astype(np.float32)}, np.zeros((len(one) - final, 1), np.float32)) for one in states], SPEC
    )


def test_pauses_are_those_of_the_plain_loop() -> None:
    rng = np.random.default_rng(0)
    states = []
    for length in (30, 12, 2, 40):
        going = rng.random((length, 1)) < 0.4
        states.append(np.cumsum(going * rng.normal(size=(length, 2)), 0))
    demos = made(*states)
    span = np.ptp(np.concatenate([one[:-1, 0] for one in states]))
    expected: list[bool] = []
    for one in states:
        slow = [
            max(abs(b[0] - a[0]) / span, abs((b[1] - a[1] + np.pi) % (2 * np.pi) - np.pi) / (2 * np.pi)) < 1e-3
            for a, b in itertools.pairwise(one)
        ]
        for at in range(len(slow)):
            first, last = at, at
            while first > 0 and slow[first - 1]:
                first -= 1
            while last + 1 < len(slow) and slow[last + 1]:
                last += 1
            expected.append(slow[at] and last - first + 1 >= 3)
    found = idle(demos, [STATE], 1e-3, 3)
    assert found.tolist() == expected
    assert found.any()
    assert not found.all()


def test_an_angle_that_turns_over_has_hardly_moved() -> None:
    demos = made(np.array([[0.0, np.pi - 0.001], [0.0, -np.pi + 0.001], [1.0, -np.pi]]))
    np.testing.assert_allclose(speeds(demos, [STATE]), [0.002 / (2 * np.pi), 1.0], rtol=1e-3)


def test_a_last_step_of_unknown_end_is_as_fast_as_the_one_before() -> None:
    demos = made(np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]]), final=False)
    np.testing.assert_allclose(speeds(demos, [STATE]), [1 / 3, 2 / 3, 2 / 3])


def test_bad_input_is_one_sentence() -> None:
    demos = made(np.zeros((4, 2)))
    with pytest.raises(UserError, match="no number that moves"):
        idle(demos, ["observation.images.top"])
    with pytest.raises(UserError, match="steps is 0"):
        idle(demos, [STATE], steps=0)


def test_strips_say_what_was_kept_of_each_episode(tmp_path: Path) -> None:
    demos = made(np.zeros((4, 2)), np.zeros((3, 2)))
    keep, marked = np.array([True, False, True, False, True]), np.array([False, False, True, True, False])
    assert strips(demos, keep, marked).tolist() == [[1, 2, 3], [4, 1, 0]]
    draw_strips(demos, keep, tmp_path / "strips.png", "kept", marked)
    assert (tmp_path / "strips.png").stat().st_size > 1000
