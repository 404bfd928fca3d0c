"""Episodes a minute with a policy in the loop: the loop of `evaluate.rollout` beside those that others evaluate with.

The same saved `bc` agent acts on all sides from the same starts; whether the same episodes are solved is checked and
reported. Others: gymnasium's SyncVectorEnv with a batch of ten, as LeRobot evaluates, and one environment at a time, as
robomimic does; both on the suites' own environments and pictures. Environments are made once, before the clock runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.demonstrations import pusht
from benchmarks.harness import Line, Settings, Worker, WorkerFailed, compared, failed
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.task import RandomActor, Task
from imitari.envs import task_named
from imitari.evaluate.rollout import rollout
from imitari.learn.method import method_named
from imitari.learn.run import Run

TARGET, BATCH = 3.0, 10
NAMES = {"vector": f"gymnasium SyncVectorEnv, batch {BATCH}", "one": "one environment at a time"}
TRAINING = {"steps": 500, "batch": 64, "hidden": (128, 128)}


@dataclass(frozen=True)
class Case:
    """One task; with pictures the policy sees nothing else."""

    name: str
    task: str
    limit: int
    episodes: int
    pixels: int = 0
    note: str = ""

    def made(self) -> Task:
        return task_named(self.task, limit=self.limit, **({"pixels": self.pixels} if self.pixels else {}))


OWN_PICTURES = "The suite's own renderer beside ours without shadows, reflections and multisampling: pictures differ."
CASES = (
    Case("Push-T, state", "pusht", 300, 20, note="gym-pusht's environment beside ours with the same numbers."),
    Case("Push-T, 96 px", "pusht", 300, 10, 96, "The same drawing routine on both sides."),
    Case("Meta-World reach, state", "metaworld/reach-v3", 200, 20, note="The same simulator on both sides."),
    Case("Meta-World reach, 64 px", "metaworld/reach-v3", 30, 10, 64, OWN_PICTURES),
    Case("PointMaze Medium, state", "robotics/PointMaze_Medium-v3", 600, 20, note="The same simulator on both sides."),
)


def lines(settings: Settings) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as name:
        for case in CASES:
            line = Line("", case.name, "", "episodes/min", target=TARGET, precision="fp32", note=case.note)
            try:
                place = Path(name) / case.name.replace(" ", "_")
                train(case, place)
                yield from beside(case, place, line, settings)
            except WorkerFailed as error:
                yield failed(replace(line, peer=NAMES["vector"]), str(error))


def train(case: Case, place: Path) -> None:
    """A small agent, from the task's expert or from people; with pictures after a few steps, since only time counts."""
    task = case.made()
    if case.task == "pusht" and not case.pixels and (human := pusht(206)):
        demos = human.select(["observation.state"])
    else:
        world = task.make(5)
        try:
            actor: Any = task.expert(world)
            episodes = rollout(actor, replace(task, factory=lambda count: world), range(5), together=5, record=True)
        except UserError:
            episodes = rollout(RandomActor(task.spec), task, range(3), together=3, record=True)
        demos = Demos.from_episodes(episodes, task.spec)
    keys = list(demos.spec.images) if case.pixels else list(demos.spec.numbers)
    steps = {"steps": 5} if case.pixels else {}
    method_named("bc", {**TRAINING, **steps}).fit(demos.select(keys), Run(show=False)).save(place)


def beside(case: Case, place: Path, line: Line, settings: Settings) -> Iterator[Line]:
    count = 2 * BATCH if case.episodes > BATCH and not settings.quick else BATCH
    seeds = list(range(1000, 1000 + count))
    words: dict[str, Any] = {"task": case.task, "limit": case.limit, "pixels": case.pixels, "agent": str(place)}
    repeats = min(3, settings.repeats) if not case.pixels else 2
    solved: dict[str, list[bool]] = {}

    def pace(side: str, worker: Worker) -> float:
        found = worker.ask(seeds=seeds)
        solved[side] = found["solved"]
        return 60 * len(seeds) / found["seconds"]

    with ExitStack() as stack:
        ours = stack.enter_context(Worker("evaluation.py", **words, side="ours", together=count))
        for side, name in NAMES.items():
            theirs = stack.enter_context(Worker("evaluation.py", **words, side=side, together=BATCH))
            sides = partial(pace, "ours", ours), partial(pace, "theirs", theirs)
            found = compared(replace(line, peer=name), *sides, repeats)
            same = sum(one == two for one, two in zip(solved["ours"], solved["theirs"], strict=True))
            facts = {"episodes": count, "limit": case.limit, "solved": sum(solved["ours"]), "judged alike": same}
            yield replace(found, facts=facts)
