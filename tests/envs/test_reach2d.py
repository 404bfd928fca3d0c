"""Reaching on a square: the pillar against its definition, and the styles of people."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.errors import UserError
from imitari.envs import task_named
from imitari.envs.reach2d import HIGH, LIMITS, LOW, SPEED, STATE, crosses
from imitari.jobs.demonstrations import demonstrate


def test_a_way_crosses_the_pillar_if_a_point_of_it_lies_within() -> None:
    rng = np.random.default_rng(0)
    start, end = rng.uniform(0, 3, (500, 2)), rng.uniform(0, 3, (500, 2))
    end[:50, 0] = start[:50, 0]  # straight up, too
    found = crosses(start, end, LOW, HIGH)
    along = np.linspace(0, 1, 4001)[:, None, None]
    points = start + along * (end - start)
    inside = ((points >= LOW) & (points <= HIGH)).all(-1).any(0)
    assert (found != inside).sum() <= 2  # a corner may be cut between two points
    assert 50 < found.sum() < 450


@pytest.mark.parametrize("style", ["straight", "up_then_right", "right_then_up"])
def test_everyone_reaches_the_goal_in_his_own_way(style: str) -> None:
    demos = demonstrate(task_named("reach2d/open", style=style), range(60))
    assert (demos.table.success == 1).all()
    assert demos.table.length.max() <= LIMITS["open"]
    for episode in demos:
        both = (np.abs(episode.action) > 1e-3).all(1)  # moves in both directions at once
        if style == "straight":
            way = np.diff(episode.obs[STATE][:, :2], axis=0)
            cross = way[0, 0] * way[:, 1] - way[0, 1] * way[:, 0]
            assert np.abs(cross).max() < 1e-3
        else:
            first = int(style == "up_then_right")
            assert both.sum() <= 1  # at the turn
            moved = np.abs(episode.action) > 1e-3
            others = np.flatnonzero(moved[:, 1 - first])
            own = np.flatnonzero(moved[:, first])
            assert not len(others) or not len(own) or others[0] >= own[-1] - 1


def test_people_pass_the_pillar_on_their_side_and_touching_it_ends_all() -> None:
    task = task_named("reach2d/pillar")
    assert task.behaviours == ("over", "under")
    for style, side in (("over", 0), ("under", 1)):
        demos = demonstrate(task_named("reach2d/pillar", style=style), range(60))
        assert (demos.table.success == 1).all()
        assert [episode.source["behaviour"] for episode in demos] == [side] * 60
    world = task.make(1)
    obs, _ = world.reset(seed=[0])
    terminated, reward, info = np.zeros(1, bool), np.zeros(1), {"success": np.zeros(1, bool)}
    while not terminated[0]:
        obs, reward, terminated, _, info = world.step((np.array([[1.5, 1.5]]) - obs[STATE][:, :2]) / SPEED)
    assert crosses(obs[STATE][:, :2], np.array([[1.5, 1.5]]), LOW, HIGH)[0]
    assert not info["success"][0]
    assert reward[0] == 0


def test_the_low_part_has_low_starts() -> None:
    for name, below, above in (("open", 2.1, 2.8), ("pillar", 1.81, 2.15)):
        low, whole = (task_named(f"reach2d/{name}", part=part).make(200) for part in ("low", "all"))
        heights = [world.reset(seed=range(200))[0][STATE][:, 1].max() for world in (low, whole)]
        assert heights[0] < below < above < heights[1]


def test_other_styles_and_parts_are_refused() -> None:
    with pytest.raises(UserError, match="over or under"):
        task_named("reach2d/pillar", style="straight")
    with pytest.raises(UserError, match="part is"):
        task_named("reach2d/open", part="corner")
