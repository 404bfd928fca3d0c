"""The mazes: walls hold, experts arrive, those who are after nothing in particular do not."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.episode import Episode
from imitari.core.interaction import interact
from imitari.core.task import Actor, Stateless
from imitari.envs import task_named
from imitari.envs.maze import HOLD, MAZES, REACH, CellToCell, Drifter

STATE = "observation.state"


def walked(name: str, actor: Actor | None, count: int = 60, play: bool = False) -> list[Episode]:
    task = task_named(f"maze/{name}", play=play)
    world = task.make(count)
    return interact(actor or task.expert(world), world, range(count))


def test_nobody_enters_a_wall() -> None:
    for name, maze in MAZES.items():
        for actor in (Drifter(), CellToCell(name), Stateless(lambda obs: np.ones_like(obs[STATE]))):
            for episode in walked(name, actor, 20, play=True):
                column, row = np.floor(episode.obs[STATE]).astype(int).T
                assert all(maze.rows[r][c] != "#" for r, c in zip(row, column, strict=True))


def test_a_step_is_the_velocity_and_a_little_noise() -> None:
    episodes = walked("detour", Stateless(lambda obs: np.full((40, 2), 0.2, np.float32)), 40)
    moved = np.concatenate([np.diff(episode.obs[STATE], axis=0) for episode in episodes])
    free = moved[(moved != 0).any(1)]
    assert 0.05 < free.mean() < 0.15
    assert free.std() == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("name", list(MAZES))
def test_the_expert_arrives_and_a_random_walk_does_not(name: str) -> None:
    assert all(episode.success for episode in walked(name, None))
    assert np.mean([episode.success for episode in walked(name, Drifter())]) < 0.3


def test_the_goal_is_to_be_held_until_the_end() -> None:
    maze = MAZES["detour"]
    goal = maze.cells("G")[0, ::-1] + 0.5
    for episode in [*walked("detour", None), *walked("detour", Drifter(), play=True)]:
        assert (len(episode), episode.ended) == (maze.limit, "truncated")
        there = np.linalg.norm(episode.obs[STATE][-HOLD:] - goal, axis=1) < REACH
        assert episode.success == there.all()


def test_reaching_the_goal_ends_the_other() -> None:
    episodes = walked("medium", CellToCell("medium"), 200, play=True)
    done = [episode for episode in episodes if episode.success]
    assert 0 < len(done) < 200
    for episode in episodes:
        assert episode.success == (episode.ended == "terminated") == (episode.total == 1)


def test_play_starts_anywhere() -> None:
    starts = np.stack([episode.obs[STATE][0] for episode in walked("medium", Drifter(), 200, play=True)])
    assert len(np.unique(np.floor(starts), axis=0)) > 20
    fixed = np.stack([episode.obs[STATE][0] for episode in walked("medium", None, 50)])
    assert len(np.unique(np.floor(fixed), axis=0)) == 1
