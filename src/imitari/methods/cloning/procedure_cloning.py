"""Procedure cloning: learn the steps of the expert's search as maps, run them from the state alone, then act.

1. Demonstrations hold what the expert computed: maps x_0 ... x_L, into which a search writes a move a cell.
2. A convolutional network learns p(x_l | x_{l-1}, s), every step of every search a sample, cells independently; the
   loss is the cross-entropy over all cells, those that stay as they are too, which makes the repetition stable.
3. To act it is repeated from the blank map (argmax) until the agent's cell holds a move, which is the action: the last
   factor p(a | x_L, s) is this read-out. After `longest` steps, or where nothing changes any more, a random action.
`--longest 1` is the ablation that makes no use of generated maps. The weights fit maps of any size.
Yang, Schuurmans, Abbeel & Nachum 2022, "Chain of Thought Imitation with Procedure Cloning", and its published code for
mazes: the factorisation that is conditionally independent given the previous step. The autoregressive one, for
procedures that are sequences, is the method with tokens; the paper's baselines are those that clone from a map.
Differs from the paper: of several shortest ways the first in one order of the moves is taken everywhere, so that labels
never contradict each other. The simulated two-armed sweep, MinAtar with a tree search, and AntMaze are not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.procedures import AGENT, TARGET, MapSteps, map_key
from imitari.learn.agent import Agent
from imitari.learn.cloning import fit_samples
from imitari.learn.learner import Learner
from imitari.learn.method import Need, Trained
from imitari.learn.precision import quick
from imitari.learn.run import Run
from imitari.nets.procedure import StepModel, generate


@dataclass(frozen=True)
class ProcedureCloning(Trained):
    steps: int = 4000  # optimiser steps
    batch: int = 32  # samples (a state and a step of its procedure) a batch
    widths: tuple[int, ...] = (32, 32, 64, 64)  # channels of the convolutions, before the last one
    longest: int = 100  # steps of the procedure when acting, at most

    needs: ClassVar[frozenset[Need]] = frozenset({"map"})
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"widths": (16, 16, 32, 32)},
        "paper": {"widths": (128, 128, 256, 256), "lr": 3e-4, "steps": 100_000},
    }
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 4, "widths": (4, 4), "longest": 4}

    def __post_init__(self) -> None:
        if self.longest < 1:
            raise UserError(f"longest is {self.longest}: a procedure needs at least 1 step")

    def learner(self, spec: Spec) -> Learner:
        return Searcher(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return fit_samples(self, demos, run, task, MapSteps)


class Searcher(Learner):
    """Attributes:
    decisions, undecided: made since the start, and those of them for which the procedure came to no action.
    """

    any_size = True

    def __init__(self, settings: ProcedureCloning, spec: Spec) -> None:
        super().__init__()
        self.key, self.longest = map_key(spec), settings.longest
        self.step = StepModel(spec.obs[self.key].shape[2], spec.action.choices, settings.widths)
        self.decisions = self.undecided = 0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        before, after = batch.extra["before"], batch.extra["after"]
        logits = self.step(batch.obs[self.key][:, -1].float(), before).float()
        target = self.step.code(after)
        with torch.no_grad():  # the mean looks small long before the cells that matter are right
            wrong = (logits.argmax(-1) != target)[before != after].float().mean()
        return {
            "procedure_loss": functional.cross_entropy(logits.flatten(0, -2), target.flatten()),
            "_frontier_error": wrong,
        }

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        move = self.think(obs)[0]
        lost = move < 0
        self.decisions += len(move)
        self.undecided += int(lost.sum())
        return torch.where(lost, torch.randint_like(move, self.step.values), move)[:, None, None]

    def think(self, obs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Observations (B, 1, ...) to moves (B,), -1 where there is none; the last maps (B, W, W); steps taken (B,)."""
        state = obs[self.key][:, -1].float()
        here = state[..., AGENT].flatten(1).argmax(1)
        arrived = state[..., TARGET].flatten(1).gather(1, here[:, None])[:, 0] > 0

        def done(which: Tensor, written: Tensor) -> Tensor:
            move = written.flatten(1).gather(1, here[which, None])[:, 0]
            return (move >= 0) | arrived[which]

        written, steps = generate(self.step, state, done, self.longest, quick(state.device))
        move = written.flatten(1).gather(1, here[:, None])[:, 0]
        return torch.where(arrived, 0, move), written, steps
