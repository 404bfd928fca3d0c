"""Choosing, joining, splitting and describing demonstrations."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imitari.core.demos import Demos, Provenance
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.curate.cut import cut
from imitari.data.curate.describe import describe
from imitari.data.curate.draw import curves, draw, sparkline
from imitari.data.curate.filter import Wanted, finite, keep, returns
from imitari.data.curate.merge import merge
from imitari.data.curate.split import marked, split

STATE, CAMERA = "observation.state", "observation.images.top"
SPEC = Spec({STATE: Feature((2,))}, Feature((1,)))


def make(count: int = 10, spec: Spec = SPEC, path: str = "here", **extra: Any) -> Demos:
    """Episode n has n + 1 steps, a reward of n a step, success where n is even, and starts from seed n // 2."""
    parts: list[Episode] = []
    for number in range(count):
        steps = number + 1
        obs = {key: np.full((steps + 1, *value.shape), number, value.dtype) for key, value in spec.obs.items()}
        source = {"seed": number // 2, "masks": ["all", "low" if number < 5 else "high"], "name": f"demo_{number}"}
        parts.append(
            Episode(
                obs, np.full((steps, 1), number), np.full(steps, number), success=number % 2 == 0, source=source,
                extra={key: np.full(steps, value) for key, value in extra.items()},
            )
        )  # fmt: skip
    return Demos.from_episodes(parts, spec, Provenance(path, "memory"))


def numbers(demos: Demos) -> list[int]:
    return [int(one.action[0, 0]) for one in demos]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (Wanted(), list(range(10))),
        (Wanted(success=True), [0, 2, 4, 6, 8]),
        (Wanted(success=False), [1, 3, 5, 7, 9]),
        (Wanted(length=(3, 5)), [2, 3, 4]),
        (Wanted(length=(None, 2)), [0, 1]),
        (Wanted(returned=(30, None)), [5, 6, 7, 8, 9]),  # the return of episode n is n (n + 1)
        (Wanted(returned=(2, 12)), [1, 2, 3]),
        (Wanted(episodes=[7, 1]), [1, 7]),
        (Wanted(drop=[0, 1, 9]), [2, 3, 4, 5, 6, 7, 8]),
        (Wanted(drop=[2], success=True, length=(2, None)), [4, 6, 8]),
        (Wanted(source=(("masks", "high"),)), [5, 6, 7, 8, 9]),
        (Wanted(source=(("seed", "3"),)), [6, 7]),
    ],
)
def test_keep(wanted: Wanted, left: list[int]) -> None:
    assert numbers(keep(make(), wanted)) == left


def test_keep_tells_what_each_condition_left() -> None:
    chosen = keep(make(), Wanted(success=True, length=(None, 5)))
    assert list(chosen.provenance.steps) == ["success: 5 of 10 episodes", "steps at most 5: 3 of 5 episodes"]


def test_keep_finite_looks_at_the_final_observation_too() -> None:
    parts = list(make())
    state = parts[6].obs[STATE].copy()
    state[-1, 1] = np.nan
    parts[6] = dataclasses.replace(parts[6], obs={STATE: state})
    reward = np.array(parts[8].reward)
    reward[0] = np.inf
    parts[8] = dataclasses.replace(parts[8], reward=reward)
    demos = Demos.from_episodes(parts, SPEC)
    assert np.flatnonzero(~finite(demos)).tolist() == [6, 8]
    assert numbers(keep(demos, Wanted(finite=True))) == [0, 1, 2, 3, 4, 5, 7, 9]


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (Wanted(episodes=[10]), "no episode 10"),
        (Wanted(drop=[-1]), "no episode -1"),
        (Wanted(length=(50, None)), "no episode is left"),
    ],
)
def test_keep_refuses_in_one_sentence(wanted: Wanted, word: str) -> None:
    with pytest.raises(UserError, match=word):
        keep(make(), wanted)


def test_conditions_on_what_was_not_recorded_are_refused() -> None:
    parts = [dataclasses.replace(one, success=None, reward=None) for one in make()]
    bare = Demos.from_episodes(parts, SPEC)
    with pytest.raises(UserError, match="whether it succeeded"):
        keep(bare, Wanted(success=True))
    with pytest.raises(UserError, match=r"next\.reward"):
        keep(bare, Wanted(returned=(0, None)))


def test_returns_of_a_view() -> None:
    demos = make()
    assert returns(demos).tolist() == [number * (number + 1) for number in range(10)]
    assert returns(demos.keep([3, 1])).tolist() == [12, 2]


def test_merge_keeps_order_and_names_what_it_drops(capsys: pytest.CaptureFixture[str]) -> None:
    both = merge([make(3, path="one", stage=1.0), make(2, path="two")])
    assert numbers(both) == [0, 1, 2, 0, 1]
    assert both.steps == 1 + 2 + 3 + 1 + 2
    assert "stage" not in both.columns
    assert "stage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Spec({STATE: Feature((3,))}, Feature((1,))), ["two", STATE, "shape (3,)", "one"]),
        (Spec({"observation.other": Feature((2,))}, Feature((1,))), [STATE, "missing"]),
        (Spec({STATE: Feature((2,), unit="mm")}, Feature((1,))), ["unit mm", "m as in"]),
        (Spec({STATE: Feature((2,))}, Feature((1,), "int64", "choice", high=(20.0,))), ["action", "kind choice"]),
    ],
)
def test_merge_refuses_other_specs(other: Spec, words: list[str]) -> None:
    first = Spec({STATE: Feature((2,), unit="m")}, Feature((1,))) if "unit mm" in words else SPEC
    with pytest.raises(UserError) as caught:
        merge([make(2, first, "one"), make(2, other, "two")])
    for word in words:
        assert word in str(caught.value)


def test_split_is_by_episode_and_start() -> None:
    demos = make()
    training, held = split(demos, 0.2, seed=1)
    assert sorted(numbers(training) + numbers(held)) == list(range(10))
    seeds = [{source["seed"] for source in part.table.source} for part in (training, held)]
    assert not seeds[0] & seeds[1]
    assert numbers(split(demos, 0.2, seed=1)[1]) == numbers(held)
    assert any(numbers(split(demos, 0.2, seed=seed)[1]) != numbers(held) for seed in range(2, 6))


def test_marks_divide_the_episodes_of_a_filter_key() -> None:
    better = [
        dataclasses.replace(one, source={**one.source, **({"masks": ["better"]} if number < 6 else {})})
        for number, one in enumerate(make())
    ]
    demos = Demos.from_episodes(better, SPEC)
    sources = marked(demos, 0.4, 1, "better").table.source
    parts = [
        {number for number, source in enumerate(sources) if f"better_{part}" in source.get("masks", [])}
        for part in ("train", "valid")
    ]
    assert parts[0] | parts[1] == set(range(6))
    assert not parts[0] & parts[1]
    assert all("better" in sources[number]["masks"] for number in range(6))
    whole = marked(demos, 0.2, 1).table.source
    assert sorted(source["masks"][-1] for source in whole) == ["train"] * 8 + ["valid"] * 2
    assert demos.table.source == Demos.from_episodes(better, SPEC).table.source  # what was given is not changed
    with pytest.raises(UserError, match="okay"):
        marked(demos, 0.2, 1, "okay")


def test_pieces_are_the_whole_and_end_as_it_did() -> None:
    demos = make()
    pieces = cut(demos, 2)
    assert pieces.steps == demos.steps
    for number, episode in enumerate(demos):
        mine = [one for one in pieces if one.source["name"] == episode.source["name"]]
        assert [len(one) for one in mine] == [2] * (len(episode) // 2) + [1] * (len(episode) % 2), number
        np.testing.assert_array_equal(np.concatenate([one.action for one in mine]), episode.action)
        np.testing.assert_array_equal(np.concatenate([one.obs[STATE] for one in mine]), episode.obs[STATE])
        assert [one.source["piece"] for one in mine] == list(range(len(mine)))
        assert (mine[-1].ended, mine[-1].success) == (episode.ended, episode.success)
        assert all((one.ended, one.success) == ("truncated", None) for one in mine[:-1])
    with pytest.raises(UserError, match="at least 1"):
        cut(demos, 0)


def test_split_refuses_empty_parts() -> None:
    with pytest.raises(UserError, match="larger fraction"):
        split(make(), 0.01)
    with pytest.raises(UserError, match="smaller fraction"):
        split(make(), 1.0)
    one_start = [dataclasses.replace(one, source={"seed": 0}) for one in make()]
    with pytest.raises(UserError, match="same seed"):
        split(Demos.from_episodes(one_start, SPEC), 0.2)


def test_describe_against_numpy(tmp_path: Path) -> None:
    demos = make(stage=2.0)
    about = describe(demos)
    actions = np.concatenate([one.action for one in demos])
    entry = about["features"]["action"]
    assert (entry["min"], entry["max"]) == (0, 9)
    assert entry["mean"] == pytest.approx(actions.mean())
    assert (about["episodes"], about["steps"], about["final_observations"]) == (10, 55, 10)
    assert about["success"] == {"known": 10, "succeeded": 5}
    assert about["features"]["stage"]["role"] == "label"
    json.dumps(about)


def test_sparkline() -> None:
    assert sparkline(np.arange(8.0)) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.ones(3)) == "▁▁▁"
    assert sparkline(np.array([0.0, np.nan, 1.0])) == "▁x█"
    assert len(sparkline(np.zeros(1000))) == 40


def test_draw_writes_a_picture_with_every_column(tmp_path: Path) -> None:
    spec = Spec({STATE: Feature((2,)), CAMERA: Feature((12, 10, 3), "uint8", "image")}, Feature((1,)))
    demos = make(4, spec)
    assert list(curves(demos, 3)) == [STATE, "action", "next.reward"]
    draw(demos, 3, tmp_path / "a" / "look.png", "episode 3")
    assert (tmp_path / "a" / "look.png").read_bytes()[:4] == b"\x89PNG"
