"""The way in which an episode was solved goes from the world to the outcome."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.testing import assert_array_equal

from imitari.core.interaction import interact
from imitari.core.outcome import Outcome
from imitari.data.recording import Recorder
from imitari.envs import two_ways
from imitari.evaluate.outcomes import read_outcomes, write_outcomes
from imitari.evaluate.rollout import rollout


def sides(seeds: range) -> np.ndarray:
    """What the paths themselves say: where the point is when it passes the obstacle's middle."""
    task = two_ways.task()
    world = task.make(len(seeds))
    told = []
    for episode in interact(task.expert(world), world, seeds):
        position = episode.obs["observation.state"][:, :2]
        above = int(np.argmax(position[:, 1] >= 0))
        told.append(int(position[above, 0] > 0))
    return np.array(told)


def test_the_outcome_tells_the_way() -> None:
    task, seeds = two_ways.task(), range(12)
    world = task.make(len(seeds))
    episodes = rollout(task.expert(world), task, seeds, together=12)
    ways = [Outcome.of(episode, "expert", task.name).behaviour for episode in episodes]
    assert_array_equal(ways, sides(seeds))
    assert set(ways) == {0, 1}
    assert task.behaviours == ("left", "right")


def test_recorded_episodes_tell_the_way() -> None:
    task, seeds = two_ways.task(), range(12)
    world = task.make(len(seeds))
    told: dict[int, int] = {}
    recorder = Recorder(world, lambda seed, episode: told.update({seed: episode.source["behaviour"]}))
    interact(task.expert(world), recorder, seeds, decide=recorder.decide, record=False)
    assert_array_equal([told[seed] for seed in seeds], sides(seeds))


def test_outcomes_of_earlier_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.parquet"
    row = Outcome("policy", "two_ways", 3, 0, True, 1.0, 1.0, 40, "terminated", 1)
    write_outcomes(path, [row])
    assert read_outcomes(path) == [row]
    pq.write_table(pq.read_table(path).drop(["behaviour"]), path)
    assert [found.behaviour for found in read_outcomes(path)] == [-1]
