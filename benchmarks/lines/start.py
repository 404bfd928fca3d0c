"""Seconds until a command answers or a training makes its first gradient step, each in fresh processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.demonstrations import pusht, synthetic
from benchmarks.harness import WORKERS, Line, Settings, compared, failed, quiet
from benchmarks.peers._environment import Environment, NotInstalled
from benchmarks.peers.imitation import IMITATION
from benchmarks.peers.lerobot import LEROBOT
from benchmarks.peers.robomimic import ROBOMIMIC
from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.spec import Feature, Spec
from imitari.data.formats import lerobot

LISTS, TRAIN = 0.4, 10.0  # s, bounds
STATE, CORNERS = "observation.state", "observation.environment_state"
MAIN = ("-m", "imitari")


@dataclass(frozen=True)
class Command:
    """What a fresh Python process is given; `status` it must end with."""

    words: tuple[str, ...]
    python: Path = Path(sys.executable)
    status: int = 0

    def seconds(self) -> float:
        began = time.perf_counter()
        done = subprocess.run([str(self.python), *self.words], capture_output=True, text=True, env=quiet())
        spent = time.perf_counter() - began
        if done.returncode != self.status:
            raise CommandFailed((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
        return spent


class CommandFailed(Exception):
    """The command ended otherwise than it should; the message is the last line that it printed."""


BOUNDED = {
    "imitari": Command(MAIN, status=0),
    "imitari --help": Command((*MAIN, "--help")),
    "imitari methods": Command((*MAIN, "methods")),
    "imitari tasks": Command((*MAIN, "tasks")),
    "imitari claim": Command((*MAIN, "claim")),
    "imitari train --help": Command((*MAIN, "train", "--help")),
    "imitari data formats": Command((*MAIN, "data", "formats")),
    "an unknown verb": Command((*MAIN, "trian"), status=2),
}
LIBRARY = "import imitari.learn.run, imitari.data.opening, imitari.evaluate.rollout, imitari.methods.cloning.bc"
IMPORTS: tuple[tuple[Environment, str], ...] = (
    (LEROBOT, "import lerobot.datasets.lerobot_dataset, lerobot.policies.act.modeling_act"),
    (ROBOMIMIC, "import robomimic.algo, robomimic.utils.train_utils"),
    (IMITATION, "import imitation.algorithms.bc, imitation.data.rollout"),
)


def lines(settings: Settings) -> Iterator[Line]:
    repeats = 2 if settings.quick else max(5, settings.repeats)
    for name, command in BOUNDED.items():
        yield bounded(name, command, LISTS, repeats)
    for peer, code in IMPORTS:
        line = Line("", "importing what trains a policy", peer.title, "s", note=f"Ours: {LIBRARY}. Theirs: {code}.")
        yield beside(line, Command(("-c", LIBRARY)), peer, ("-c", code), repeats)
    ours = Command((*MAIN, "train", "act", "--help"))
    note = "Ours shows the settings of a method, which imports PyTorch, as theirs does."
    line = Line("", "help of a training command", LEROBOT.title, "s", note=note)
    yield beside(line, ours, LEROBOT, (str(LEROBOT.python.with_name("lerobot-train")), "--help"), min(3, repeats))
    with tempfile.TemporaryDirectory() as name:
        yield from first_steps(Path(name), 2 if settings.quick else min(5, repeats))


def bounded(name: str, command: Command, bound: float, repeats: int, note: str = "") -> Line:
    line = Line("", name, "bound", "s", target=1.0, note=note)
    try:
        command.seconds()  # fills the system's file cache
        return compared(line, command.seconds, lambda: bound, repeats, larger=False)
    except CommandFailed as error:
        return failed(line, str(error))


def beside(line: Line, ours: Command, peer: Environment, words: Sequence[str], repeats: int) -> Line:
    try:
        theirs = Command(tuple(words), peer.ensure())
        theirs.seconds()
        ours.seconds()
        return compared(line, ours.seconds, theirs.seconds, repeats, larger=False)
    except (CommandFailed, NotInstalled) as error:
        return failed(line, str(error))


def states() -> tuple[Demos, tuple[str, ...]]:
    """Demonstrations with numbers alone, in two observations as LeRobot's policies want them, and the task's flags."""
    human = pusht(206)
    demos = human or Demos.concat([synthetic(seed, final=False) for seed in range(20)])
    second = "observation.keypoint" if human else "observation.height"
    corners = demos.columns[second].take(np.arange(demos.columns[second].shape[0])).astype(np.float32)
    corners = corners.reshape(len(corners), -1)
    spec = Spec({STATE: demos.spec.obs[STATE], CORNERS: Feature(corners.shape[1:])}, demos.spec.action)
    columns = {STATE: demos.columns[STATE], CORNERS: ArrayColumn(corners), "action": demos.columns["action"]}
    return Demos(spec, columns, demos.table), ("--task", "pusht") if human else ()


def first_steps(folder: Path, repeats: int) -> Iterator[Line]:
    """From the command to the first gradient step, on demonstrations of Push-T with states alone."""
    demos, task = states()
    lerobot.write(demos, folder / "data", fps=10)
    script, number = str(WORKERS / "first_step.py"), iter(range(1_000_000))

    @dataclass(frozen=True)
    class Fresh(Command):
        """A training into a folder that is not there yet."""

        def seconds(self) -> float:
            out = str(folder / str(next(number)))
            return Command(tuple(word.replace("OUT", out) for word in self.words), self.python).seconds()

    def ours(method: str) -> Fresh:
        given = ("--data", str(folder / "data"), *task, "--obs", STATE, "--out", "OUT", "--quiet")
        return Fresh((script, "imitari.cli:main", "train", method, *given))

    note = (
        f"{len(demos)} episodes of Push-T in LeRobot's format, observation {STATE}, the small preset, nothing cached."
    )
    yield bounded("imitari train bc, to the first gradient step", ours("bc"), TRAIN, repeats, note)
    theirs = (
        script, "lerobot.scripts.lerobot_train:main", "--dataset.repo_id=local/set",
        f"--dataset.root={folder / 'data'}", "--policy.type=act", "--policy.push_to_hub=false", "--policy.device=cpu",
        "--num_workers=0", "--eval_freq=0", "--batch_size=64", "--output_dir=OUT", "--wandb.enable=false",
    )  # fmt: skip
    line = Line("", "training command with ACT, to the first gradient step", LEROBOT.title, "s")
    line = replace(line, note="Same folder, batch 64; each side's own default network (theirs larger).")
    try:
        python = LEROBOT.ensure()
        yield compared(line, ours("act").seconds, Fresh(theirs, python).seconds, min(2, repeats), larger=False)
    except (CommandFailed, NotInstalled) as error:
        yield failed(line, str(error))
