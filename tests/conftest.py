"""Shared fixtures: one thread, a cache of its own, small demonstrations, the folder of real data."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imitari.core.demos import Demos, Provenance
from imitari.core.episode import Episode
from imitari.core.spec import Feature, Spec

CutAt = Callable[[int], AbstractContextManager[None]]

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def _alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ["IMITARI_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The real demonstrations; tests that need them are skipped where they are absent."""
    folder = Path(os.environ.get("IMITARI_DATA", Path(__file__).parent.parent.parent / "shared" / "data"))
    if not folder.exists():
        pytest.skip("the real demonstrations are absent: set IMITARI_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def small_demos() -> Demos:
    """Forty episodes of the two_ways task by its scripted expert, with rewards and final observations.

    Every other one is marked in the column `expert`, for methods that tell an expert's episodes from others."""
    from imitari.core.interaction import interact
    from imitari.data.labelled import EXPERT
    from imitari.envs import task_named

    task = task_named("two_ways")
    world = task.make(40)
    episodes = [
        replace(episode, extra={EXPERT: np.full(len(episode), number % 2, np.uint8)})
        for number, episode in enumerate(interact(task.expert(world), world, range(40)))
    ]
    return Demos.from_episodes(episodes, task.spec, Provenance("two_ways"))


@pytest.fixture(scope="session")
def seen_demos() -> Demos:
    """Eight episodes of the two_ways task with pictures, for methods that learn from those."""
    from imitari.core.interaction import interact
    from imitari.envs import task_named

    task = task_named("two_ways", pixels=16)
    world = task.make(8)
    return Demos.from_episodes(interact(task.expert(world), world, range(8)), task.spec, Provenance("two_ways"))


@pytest.fixture(scope="session")
def grid_demos() -> Demos:
    """Twelve walks over the slippery grid by its expert, a third of whose moves are random: discrete, with rewards."""
    from imitari.core.interaction import Decision, interact
    from imitari.envs import task_named

    task, rng = task_named("slippery_grid"), np.random.default_rng(0)
    world = task.make(12)

    def shaken(obs: dict[str, np.ndarray], proposal: np.ndarray) -> Decision:
        random = np.where(rng.random(proposal.shape) < 1 / 3, rng.integers(4, size=proposal.shape), proposal)
        return Decision(random, random, {})

    episodes = interact(task.expert(world), world, range(12), decide=shaken)
    return Demos.from_episodes(episodes, task.spec, Provenance("slippery_grid"))


@pytest.fixture(scope="session")
def map_demos() -> Demos:
    """Ways of five moves and more through small mazes by the expert, with its search and a plan written beside them."""
    from imitari.core.interaction import Decision, interact
    from imitari.envs import task_named
    from imitari.envs.tunnels import Backtracking, BreadthFirst

    task = task_named("tunnels/10")
    world = task.make(40)
    expert, other = BreadthFirst(world), Backtracking(world)

    def logged(obs: dict[str, np.ndarray], proposal: np.ndarray) -> Decision:
        other.act(obs, None)
        return Decision(proposal, proposal, {**other.trace(), **expert.trace()})

    episodes = interact(expert, world, range(40), decide=logged)
    return Demos.from_episodes([episode for episode in episodes if len(episode) >= 5], task.spec)


@pytest.fixture(scope="session")
def text_demos() -> Demos:
    """Forty expressions of numbers, written by the task's expert."""
    from imitari.core.interaction import interact
    from imitari.envs import task_named

    task = task_named("expressions")
    world = task.make(40)
    return Demos.from_episodes(interact(task.expert(world), world, range(40)), task.spec, Provenance("expressions"))


@pytest.fixture(scope="session")
def trial_demos() -> Demos:
    """Six walks through a chain of polygons, for methods that try them again with changes."""
    from imitari.core.interaction import interact
    from imitari.envs import task_named

    task = task_named("polygons/3-0")
    world = task.make(6)
    return Demos.from_episodes(interact(task.expert(world), world, range(6)), task.spec, Provenance("polygons/3-0"))


@pytest.fixture(scope="session")
def crafting_demos() -> Demos:
    """Six traces of the curious expert of the crafting world, for methods that read observations as symbols."""
    from imitari.core.interaction import interact
    from imitari.envs import task_named
    from imitari.envs.crafting import Curious, layout

    task = task_named("crafting/pogo-6")
    world = task.make(6)
    return Demos.from_episodes(interact(Curious(layout("pogo-6")), world, range(6)), task.spec, Provenance("crafting"))


@pytest.fixture(scope="session")
def random_demos() -> Demos:
    """Twelve episodes of unequal length (one of a single step) with random numbers and a picture."""
    rng = np.random.default_rng(0)
    spec = Spec(
        {"observation.state": Feature((3,)), "observation.images.top": Feature((8, 10, 3), "uint8", "image")},
        Feature((2,)),
    )
    episodes = [
        Episode(
            obs={
                "observation.state": rng.normal(size=(length + 1, 3)).astype(np.float32),
                "observation.images.top": rng.integers(0, 256, (length + 1, 8, 10, 3), np.uint8),
            },
            action=rng.normal(size=(length, 2)).astype(np.float32),
            reward=rng.normal(size=length).astype(np.float32),
            ended="terminated" if number % 2 else "truncated",
            success=bool(number % 3),
            source={"seed": number},
        )
        for number, length in enumerate([1, *rng.integers(5, 30, 11)])
    ]
    return Demos.from_episodes(episodes, spec)


class Cut(Exception):
    """Stands for a kill in the middle of a training."""


@pytest.fixture
def cut_at(monkeypatch: pytest.MonkeyPatch) -> CutAt:
    """`with cut_at(17):` what trains in it is cut off at its 17th update."""
    from imitari.learn.run import Updates

    @contextmanager
    def cutting(number: int) -> Generator[None]:
        update, calls = Updates.step, 0

        def step(self: Updates, *args: Any, **kwargs: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == number:
                raise Cut
            update(self, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(Updates, "step", step)
            with pytest.raises(Cut):
                yield

    return cutting
