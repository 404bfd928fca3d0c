"""What a method is tried on: the demonstrations and the world that have what it needs."""

from __future__ import annotations

import pytest

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.envs import task_named
from imitari.learn.method import method_class

# What a method needs: fixture of the demonstrations, and task.
SPECIAL = {
    "symbols": ("crafting_demos", "crafting/pogo-6"),
    "text": ("text_demos", "expressions"),
    "trials": ("trial_demos", "polygons/3-0-replay"),
    "image": ("seen_demos", "two_ways"),
    "map": ("map_demos", "tunnels/10"),
    "choice": ("grid_demos", "slippery_grid"),
}
COUNTED, PLAIN = ("grid_demos", "slippery_grid"), ("small_demos", "two_ways")  # of exact methods, and of the others


def suited(name: str) -> tuple[str, str]:
    """For the method of that name."""
    kind = method_class(name)
    found = next((SPECIAL[need] for need in SPECIAL if need in kind.needs), None)
    return found or (COUNTED if kind.exact else PLAIN)


@pytest.fixture
def suited_demos(name: str, request: pytest.FixtureRequest) -> Demos:
    return request.getfixturevalue(suited(name)[0])


@pytest.fixture
def suited_task(name: str) -> Task:
    return task_named(suited(name)[1])
