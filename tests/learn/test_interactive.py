"""Supervised interaction: who acts, what is recorded, and what survives a kill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.episode import Array, Episode, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.supervisor import Ruling
from imitari.core.task import Stateless, Task, World
from imitari.envs._batched import State
from imitari.learn.interactive import ACTOR, EXECUTED, INTERVENTION, REASON, MixingSupervisor, gather
from imitari.learn.recorded import kept, load_episodes, save_episodes
from imitari.learn.run import Run
from tests.worlds import KEY, Point

SPEC = Spec({KEY: Feature((1,))}, Feature((1,), low=(-1.0,), high=(1.0,)))
LIMIT = 8


class Line(Point):
    """A point on a line; the action is its velocity; right of 2 is success."""

    dimensions = 1

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        place = state["place"] + action
        there = place[:, 0] > 2
        return {"place": place}, there.astype(np.float64), there, there


def expert(obs: Obs) -> Array:
    return np.full_like(obs[KEY], 0.5)


def policy(obs: Obs) -> Array:
    return np.full_like(obs[KEY], -0.25)


TASK = Task("line", SPEC, LIMIT, lambda count: Line(count, SPEC, LIMIT), lambda world: Stateless(expert))


def shares(episodes: list[Episode]) -> list[float]:
    return [float(episode.extra[INTERVENTION].mean()) for episode in episodes]


@pytest.mark.parametrize("label", [False, True])
def test_executed_and_recorded_actions_are_kept_apart(label: bool) -> None:
    episodes = gather(Stateless(policy), TASK, MixingSupervisor(0.5), range(20), label=label)
    assert len({tuple(shares(episodes))}) == 1
    for episode in episodes:
        mask = episode.extra[INTERVENTION]
        executed = np.where(mask[:, None], 0.5, -0.25)
        np.testing.assert_allclose(episode.extra[EXECUTED], executed)
        np.testing.assert_allclose(episode.action, np.full_like(executed, 0.5) if label else executed)
        np.testing.assert_allclose(np.diff(episode.obs[KEY][:, 0]), executed[:, 0], atol=1e-6)
        np.testing.assert_array_equal(episode.extra[ACTOR], mask)
        np.testing.assert_array_equal(episode.extra[REASON], mask)
        assert episode.source["reasons"] == ["policy", "mixture"]
        assert episode.source["task_name"] == "line"


def test_beta_is_the_share_of_steps_or_episodes() -> None:
    by_step = shares(gather(Stateless(policy), TASK, MixingSupervisor(0.3, "step"), range(200)))
    assert np.mean(by_step) == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / (200 * LIMIT)) + 0.01)
    assert any(0 < share < 1 for share in by_step)
    by_episode = shares(gather(Stateless(policy), TASK, MixingSupervisor(0.3, "episode"), range(200)))
    assert set(by_episode) == {0.0, 1.0}
    assert np.mean(by_episode) == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 200))
    assert set(shares(gather(Stateless(policy), TASK, MixingSupervisor(1.0), range(9)))) == {1.0}
    assert set(shares(gather(Stateless(policy), TASK, MixingSupervisor(0.0), range(9)))) == {0.0}


def test_an_episode_does_not_depend_on_its_company() -> None:
    together = gather(Stateless(policy), TASK, MixingSupervisor(0.5, seed=4), range(6))
    apart = gather(Stateless(policy), TASK, MixingSupervisor(0.5, seed=4), range(6), together=1)
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one.extra[EXECUTED], other.extra[EXECUTED])
        assert one.source == other.source
    other_seed = gather(Stateless(policy), TASK, MixingSupervisor(0.5, seed=5), range(6))
    assert shares(other_seed) != shares(together)


@dataclass
class Chunked:
    """Acts with a counter since its last decision, and remembers where it was interrupted."""

    interrupted: list[Array]

    def reset(self, count: int, seed: int = 0) -> dict[str, Array]:
        return {"since": np.zeros(count, np.float32)}

    def act(self, obs: Obs, memory: Any) -> tuple[Array, Any]:
        action = memory["since"][:, None] / 100
        memory["since"] += 1
        return action, memory

    def interrupt(self, which: Array, memory: Any) -> None:
        self.interrupted.append(which.copy())
        memory["since"][which] = 0


class EveryThird:
    """Takes over the first episode in every third step."""

    reasons = ("policy", "third")

    def begin(self, task: Task, world: World, seeds: Sequence[int]) -> None:
        self.step = 0

    def decide(self, obs: Obs, proposal: Array) -> Ruling:
        self.step += 1
        mask = np.zeros(len(proposal), bool)
        mask[0] = self.step % 3 == 0
        return Ruling(mask, np.zeros_like(proposal), mask.astype(np.uint8))


def test_a_take_over_interrupts_the_chunk_of_that_episode_only() -> None:
    actor = Chunked([])
    first, second = gather(actor, TASK, EveryThird(), [0, 1])
    np.testing.assert_allclose(first.action[:, 0] * 100, [0, 1, 0, 0, 1, 0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(second.action[:, 0] * 100, np.arange(8), atol=1e-5)
    assert len(actor.interrupted) == 2


def test_gathered_episodes_become_demos() -> None:
    demos = Demos.from_episodes(gather(Stateless(policy), TASK, MixingSupervisor(0.5), range(5)), SPEC)
    assert {INTERVENTION, ACTOR, REASON, EXECUTED} <= set(demos.columns)
    assert demos[2].extra[INTERVENTION].dtype == bool


def test_episodes_survive_the_disk_exactly(tmp_path: Path) -> None:
    episodes = gather(Stateless(expert), TASK, MixingSupervisor(0.5), range(5))
    save_episodes(episodes, tmp_path / "some.npz", {"policy": "a"})
    again, facts = load_episodes(tmp_path / "some.npz")
    assert facts == {"policy": "a"}
    assert len({len(episode) for episode in episodes}) > 1
    for one, other in zip(episodes, again, strict=True):
        assert (one.ended, one.success, one.source) == (other.ended, other.success, other.source)
        for mine, theirs in [(one.action, other.action), (one.reward, other.reward), (one.obs[KEY], other.obs[KEY])]:
            np.testing.assert_array_equal(mine, theirs)
        for key in one.extra:
            np.testing.assert_array_equal(one.extra[key], other.extra[key])
            assert one.extra[key].dtype == other.extra[key].dtype


def test_kept_episodes_are_gathered_once_and_checked(tmp_path: Path) -> None:
    run = Run(device="cpu", show=False, folder=tmp_path)
    calls: list[int] = []

    def make() -> list[Episode]:
        calls.append(1)
        return gather(Stateless(policy), TASK, MixingSupervisor(0.5), range(3))

    first, second = kept(run, "one", {"seed": 1}, make), kept(run, "one", {"seed": 1}, make)
    assert len(calls) == 1
    np.testing.assert_array_equal(first[0].action, second[0].action)
    with pytest.raises(UserError, match="another training"):
        kept(run, "one", {"seed": 2}, make)
    path = tmp_path / "episodes" / "one.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"one\.npz"):
        kept(run, "one", {"seed": 1}, make)
    kept(Run(device="cpu", show=False), "one", {}, make)
    assert len(calls) == 2


def test_wrong_mixing_is_refused() -> None:
    with pytest.raises(UserError, match="beta is 2"):
        MixingSupervisor(2.0)
    with pytest.raises(UserError, match="mixing 'day'"):
        MixingSupervisor(0.5, "day")  # pyright: ignore[reportArgumentType]
