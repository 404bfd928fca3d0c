"""Every check of the doctor finds the fault that was planted, where it was planted, and nothing in clean data."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos, EpisodeTable
from imitari.core.episode import ACTION, Array, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.doctor import CHECKS, Finding, examine

STATE, CAMERA = "observation.state", "observation.images.top"
SPEC = Spec(
    {STATE: Feature((3,), "float64"), CAMERA: Feature((16, 16, 3), "uint8", "image")},
    Feature((2,), "float64", low=(-1.0, -1.0), high=(1.0, 1.0)),
)


def clean_episode(rng: np.random.Generator, steps: int, position_targets: bool = False) -> Episode:
    """A point that is pushed about; the camera shows where it is."""
    action = np.clip(np.cumsum(rng.normal(0, 0.3, (steps, 2)), 0) * 0.5 + rng.normal(0, 0.2, (steps, 2)), -1, 1)
    place = rng.normal(size=2) + np.concatenate([np.zeros((1, 2)), np.cumsum(action, 0)]) * 0.1
    state = np.concatenate([place, rng.normal(size=(steps + 1, 1))], axis=1)
    pictures = rng.integers(0, 40, (steps + 1, 16, 16, 3), dtype=np.uint8)
    reward = np.zeros(steps)
    success = bool(rng.random() < 0.6)
    reward[-1] = success
    return Episode(
        {STATE: state, CAMERA: pictures},
        place[1:] * 0.2 if position_targets else action,
        reward,
        success=success,
        extra={"timestamp": np.arange(steps) * 0.1, "frame_index": np.arange(steps)},
    )


def episodes(count: int = 12, seed: int = 0, position_targets: bool = False) -> list[Episode]:
    rng = np.random.default_rng(seed)
    return [clean_episode(rng, int(rng.integers(50, 80)), position_targets) for _ in range(count)]


def demos_of(parts: list[Episode], spec: Spec = SPEC) -> Demos:
    return Demos.from_episodes(parts, spec)


def found(parts: list[Episode], check: str, spec: Spec = SPEC) -> list[Finding]:
    return examine(demos_of(parts, spec), [check])


def changed(part: Episode, **columns: Any) -> Episode:
    """The episode with observations, the action or other parts replaced."""
    obs = {**part.obs, **columns.pop("obs", {})}
    extra = {**part.extra, **columns.pop("extra", {})}
    return dataclasses.replace(part, obs=obs, extra=extra, **columns)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("position_targets", [False, True])
def test_clean_data_has_no_finding(seed: int, position_targets: bool) -> None:
    spec = SPEC if not position_targets else dataclasses.replace(SPEC, action=Feature((2,), "float64"))
    assert examine(demos_of(episodes(seed=seed, position_targets=position_targets), spec)) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(value: float) -> None:
    parts = episodes()
    state = parts[4].obs[STATE].copy()
    state[7:9, 1] = value
    reward = np.array(parts[9].reward)
    reward[3] = value
    parts[4], parts[9] = changed(parts[4], obs={STATE: state}), changed(parts[9], reward=reward)
    seen = found(parts, "not_finite")
    assert [(one.severity, one.episode, one.frame, one.column) for one in seen] == [
        ("error", 4, 7, STATE),
        ("error", 9, 3, "next.reward"),
    ]
    assert "2 of" in seen[0].message
    assert "--drop 4" in seen[0].remedy


def test_constant_dimension_and_column() -> None:
    parts = [changed(part, obs={STATE: part.obs[STATE] * [1, 0, 1]}) for part in episodes()]
    (seen,) = found(parts, "constant")
    assert (seen.severity, seen.column) == ("note", STATE)
    assert "dimensions never change: 1" in seen.message
    parts = [changed(part, action=np.full_like(part.action, 0.25)) for part in episodes()]
    (seen,) = found(parts, "constant")
    assert (seen.severity, seen.column) == ("warning", ACTION)


def test_outside_bounds_of_the_spec() -> None:
    parts = episodes()
    action = parts[2].action.copy()
    action[11, 1] = -1.4
    parts[2] = changed(parts[2], action=action)
    (seen,) = found(parts, "outside_bounds")
    assert (seen.severity, seen.episode, seen.frame, seen.column) == ("error", 2, 11, ACTION)
    assert "-1.4" in seen.message


def test_outside_the_usual_box_where_no_bounds_are_known() -> None:
    free = dataclasses.replace(SPEC, action=Feature((2,), "float64"))
    parts = episodes()
    action = parts[2].action.copy()
    action[11, 1] = 3.0
    parts[2] = changed(parts[2], action=action)
    (seen,) = found(parts, "outside_bounds", free)
    assert (seen.severity, seen.episode, seen.frame) == ("warning", 2, 11)
    pixels = [changed(part, action=part.action * 200 + 250) for part in episodes()]
    assert found(pixels, "outside_bounds", free) == []  # another convention altogether


@pytest.mark.parametrize(("factor", "unit"), [(180 / np.pi, "degrees"), (np.pi / 180, "degrees"), (1000.0, "mm")])
def test_unit_jump(factor: float, unit: str) -> None:
    parts = episodes()
    for number in (3, 8):
        parts[number] = changed(parts[number], obs={STATE: parts[number].obs[STATE] * factor})
    seen = found(parts, "unit_jump")
    assert [(one.severity, one.episode, one.column) for one in seen] == [("error", 3, STATE), ("error", 8, STATE)]
    assert all(unit in one.message for one in seen)


def test_a_quiet_episode_is_no_unit_jump() -> None:
    parts = episodes()
    parts[3] = changed(parts[3], obs={STATE: np.repeat(parts[3].obs[STATE][:1], len(parts[3]) + 1, axis=0)})
    assert found(parts, "unit_jump") == []


def test_wrong_length() -> None:
    parts = episodes()
    short = parts[5]
    parts[5] = Episode({key: value[:2] for key, value in short.obs.items()}, short.action[:1], short.reward[:1],  # type: ignore[index]
                       extra={key: value[:1] for key, value in short.extra.items()})  # fmt: skip
    (seen,) = found(parts, "wrong_length")
    assert (seen.severity, seen.episode) == ("warning", 5)
    assert "1 steps where the median" in seen.message
    parts = episodes()
    frames = np.array(parts[1].extra["frame_index"])
    frames[20:] += 3
    parts[1] = changed(parts[1], extra={"frame_index": frames})
    (seen,) = found(parts, "wrong_length")
    assert (seen.severity, seen.episode, seen.frame) == ("error", 1, 20)


def test_an_episode_without_steps() -> None:
    spec = Spec({STATE: Feature((1,), "float64")}, Feature((1,), "float64"))
    values = np.arange(6.0)[:, None]
    columns = {STATE: ArrayColumn(values), ACTION: ArrayColumn(values * 0.1)}
    seen = examine(Demos(spec, columns, EpisodeTable.of([3, 0, 3])))
    assert ("error", "wrong_length", 1) in [(one.severity, one.check, one.episode) for one in seen]


def test_duplicate() -> None:
    parts = episodes()
    seen = found([*parts, parts[4], parts[7]], "duplicate")
    assert [(one.episode, one.severity) for one in seen] == [(12, "warning"), (13, "warning")]
    assert "episode 4" in seen[0].message
    nearly = changed(parts[4], action=parts[4].action + 1e-9)
    assert found([*parts, nearly], "duplicate") == []


def test_success_flag_against_reward_and_against_a_recorded_verdict() -> None:
    parts = episodes()
    solved = next(number for number, part in enumerate(parts) if part.success)
    failed = next(number for number, part in enumerate(parts) if not part.success)
    parts[solved], parts[failed] = changed(parts[solved], success=False), changed(parts[failed], success=True)
    seen = found(parts, "success_contradiction")
    assert sorted((one.episode, one.frame, one.severity) for one in seen) == sorted(
        [(solved, len(parts[solved]) - 1, "error"), (failed, len(parts[failed]) - 1, "error")]
    )
    verdict = [
        changed(part, reward=-np.ones(len(part)), extra={"next.success": np.arange(len(part)) == 9})
        for part in episodes()
    ]
    seen = found(verdict, "success_contradiction")
    assert {one.episode for one in seen} == {number for number, part in enumerate(verdict) if not part.success}
    assert {one.frame for one in seen} == {9}


def test_timestamps() -> None:
    parts = episodes()
    clock = np.array(parts[6].extra["timestamp"])
    clock[30:] += 0.4
    parts[6] = changed(parts[6], extra={"timestamp": clock})
    back = np.array(parts[8].extra["timestamp"])
    back[12] = back[11]
    parts[8] = changed(parts[8], extra={"timestamp": back})
    seen = found(parts, "timestamps")
    assert [(one.severity, one.episode, one.frame) for one in seen] == [
        ("error", 8, 12),
        ("warning", 6, 30),
        ("warning", 8, 13),
    ]


def test_idle() -> None:
    parts = episodes()
    state, action = parts[3].obs[STATE].copy(), parts[3].action.copy()
    state[20:35], action[20:35] = state[20], action[20]
    parts[3] = changed(parts[3], obs={STATE: state}, action=action)
    (seen,) = found(parts, "idle")
    assert (seen.severity, seen.episode, seen.frame) == ("note", 3, 21)
    assert "14 steps" in seen.message


def late(action: Array, lag: int) -> Array:
    """The action of `lag` steps before (after, where negative)."""
    return action[np.clip(np.arange(len(action)) - lag, 0, len(action) - 1)]


@pytest.mark.parametrize("lag", [1, 3])
@pytest.mark.parametrize("position_targets", [False, True])
def test_action_that_lags_the_state(lag: int, position_targets: bool) -> None:
    spec = dataclasses.replace(SPEC, action=Feature((2,), "float64"))
    parts = episodes(position_targets=position_targets)
    everywhere = [changed(part, action=late(part.action, lag)) for part in parts]
    (seen,) = found(everywhere, "action_lag", spec)
    assert seen.severity == "warning"
    assert f"by {lag} steps" in seen.message
    parts[5] = changed(parts[5], action=late(parts[5].action, lag))
    seen_one = found(parts, "action_lag", spec)
    assert [(one.episode, one.severity) for one in seen_one] == [(5, "warning")]
    assert f"by {lag} steps" in seen_one[0].message


def test_state_that_follows_much_later_is_a_note() -> None:
    parts = [changed(part, action=late(part.action, -2)) for part in episodes()]
    (seen,) = found(parts, "action_lag")
    assert seen.severity == "note"
    assert "after 2 steps" in seen.message


def test_unrelated_actions_have_no_lag() -> None:
    rng = np.random.default_rng(1)
    parts = [changed(part, action=rng.uniform(-1, 1, part.action.shape)) for part in episodes()]
    assert found(parts, "action_lag") == []


def test_frozen_video() -> None:
    parts = episodes()
    state = parts[4].obs[STATE].copy()
    state[:, :2] += np.arange(len(state))[:, None] * 0.2  # it moves on while the camera does not
    pictures = parts[4].obs[CAMERA].copy()
    noise = np.random.default_rng(0).integers(0, 3, (25, *pictures.shape[1:]), dtype=np.uint8)
    pictures[15:40] = pictures[15] + noise  # what compression makes of a still picture
    parts[4] = changed(parts[4], obs={CAMERA: pictures, STATE: state})
    (seen,) = found(parts, "frozen_video")
    assert (seen.severity, seen.episode, seen.frame, seen.column) == ("error", 4, 15, CAMERA)
    assert "25 times" in seen.message


def test_a_still_camera_on_a_still_robot_is_not_frozen() -> None:
    parts = episodes()
    pictures, state = parts[4].obs[CAMERA].copy(), parts[4].obs[STATE].copy()
    pictures[15:40], state[15:40] = pictures[15], state[15]
    parts[4] = changed(parts[4], obs={CAMERA: pictures, STATE: state})
    assert found(parts, "frozen_video") == []


def test_one_pixel_of_motion_is_motion() -> None:
    parts = episodes()
    still = np.repeat(parts[4].obs[CAMERA][:1], len(parts[4]) + 1, axis=0)
    still[np.arange(len(still)), 3, np.arange(len(still)) % 16] = 200
    parts[4] = changed(parts[4], obs={CAMERA: still})
    assert found(parts, "frozen_video") == []


def test_blank_video() -> None:
    parts = episodes()
    parts[2] = changed(parts[2], obs={CAMERA: np.full_like(parts[2].obs[CAMERA], 7)})
    (seen,) = found(parts, "frozen_video")
    assert (seen.severity, seen.episode, seen.column) == ("error", 2, CAMERA)
    parts = [changed(part, obs={CAMERA: np.zeros_like(part.obs[CAMERA])}) for part in parts]
    (seen,) = found(parts, "frozen_video")
    assert (seen.severity, seen.episode) == ("warning", None)


def test_missing_video_of_a_lerobot_folder(tmp_path: Path) -> None:
    info = {
        "codebase_version": "v2.1",
        "chunks_size": 2,
        "total_episodes": 3,
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        "features": {CAMERA: {"dtype": "video"}, STATE: {"dtype": "float32"}},
    }
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text(json.dumps(info))
    there = tmp_path / "videos" / "chunk-000" / CAMERA
    there.mkdir(parents=True)
    (there / "episode_000000.mp4").touch()
    seen = examine(demos_of(episodes(3)), ["missing_video"], tmp_path)
    assert [(one.severity, one.episode, one.column) for one in seen] == [("error", 1, CAMERA), ("error", 2, CAMERA)]
    assert "chunk-001" in seen[1].message


def test_unknown_check_names_the_nearest() -> None:
    with pytest.raises(UserError, match="duplicate"):
        examine(demos_of(episodes(2)), ["duplicates"])


def test_errors_come_first_and_every_finding_is_complete() -> None:
    parts = episodes()
    state = parts[4].obs[STATE].copy()
    state[7] = np.nan
    parts[4] = changed(parts[4], obs={STATE: state * [1, 0, 1]})
    seen = examine(demos_of([*parts, parts[2]]))
    assert [one.severity for one in seen] == sorted(
        (one.severity for one in seen), key=["error", "warning", "note"].index
    )
    assert all(one.message and one.remedy and one.check in CHECKS for one in seen)


def test_checks_take_seconds_a_million_steps() -> None:
    rng = np.random.default_rng(0)
    steps = 100_000  # a tenth of a million, within a tenth of the time
    action = np.clip(rng.normal(0, 0.3, (steps, 7)), -1, 1).astype(np.float32)
    state = np.cumsum(action, 0) * np.float32(0.01)
    spec = Spec({STATE: Feature((7,))}, Feature((7,)))
    table = EpisodeTable.of([200] * (steps // 200))
    demos = Demos(spec, {STATE: ArrayColumn(state), ACTION: ArrayColumn(action)}, table)
    check: Callable[[Demos], list[Finding]] = examine
    begin = time.process_time()
    check(demos)
    assert time.process_time() - begin < 4
