"""Procedure cloning with tokens: write the plan that the expert went back along, from the goal to here, then act.

1. Demonstrations hold a plan for every action: the moves from the goal back to the agent's own, which is the action.
2. A causal transformer reads the map, and then the plan: every move with what convolutions see around the cell that
   it begins at. It learns each move from those before (teacher forcing): p(a, x | s) is the product over the sequence,
   the action its last factor.
3. To act it writes moves (argmax) until one begins at the agent's cell, and makes it; a random one where none does.
`--plan false` learns the last move alone, from the agent's cell: cloning with the same network.
Yang, Schuurmans, Abbeel & Nachum 2022, "Chain of Thought Imitation with Procedure Cloning": the autoregressive
factorisation, which the paper uses with plans of a Monte-Carlo tree search.
Differs from it: the expert searches a maze, not MinAtar; the goal can be seen, so that no embedding of it is predicted
first; where each move begins is kept account of and read with it. How the paper reads its games was not checked
against its text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.procedures import AGENT, MOVES, PLAN, TARGET, map_key, require
from imitari.data.sampling import Windows
from imitari.learn.agent import Agent
from imitari.learn.cloning import fit_samples
from imitari.learn.learner import Learner
from imitari.learn.method import Need, Trained
from imitari.learn.run import Run
from imitari.nets.plans import PlanModel


@dataclass(frozen=True)
class ProcedureSequence(Trained):
    steps: int = 4000  # optimiser steps
    batch: int = 32  # samples a batch
    widths: tuple[int, ...] = (32, 32)  # channels of the convolutions around each cell
    width: int = 64  # of the transformer's tokens
    heads: int = 4  # of its attention
    layers: int = 2  # of it
    dropout: float = 0.0  # inside it
    longest: int = 64  # moves of a plan, at most
    plan: bool = True  # false: only the last move is learned, which is plain cloning

    needs: ClassVar[frozenset[Need]] = frozenset({"map"})
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"widths": (16, 16)},
        "paper": {
            "widths": (128, 128, 256, 256, 256), "width": 128, "heads": 8, "layers": 4, "dropout": 0.5, "lr": 3e-4,
            "steps": 100_000,
        },
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 4, "widths": (4,), "width": 8, "heads": 2, "layers": 1, "longest": 24,
    }  # fmt: skip

    def __post_init__(self) -> None:
        if self.longest < 1 or self.width % self.heads:
            raise UserError(
                f"longest {self.longest}, width {self.width}, heads {self.heads}: a plan needs at least 1 move, and "
                "heads must divide the width"
            )

    def learner(self, spec: Spec) -> Learner:
        return Planner(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        require(demos, (PLAN,))
        longest = int((demos.columns[PLAN].take(demos.rows()) >= 0).sum(1).max())
        if longest > self.longest:
            raise UserError(f"{demos.provenance.path}: holds plans of {longest} moves: give --longest {longest}")
        return fit_samples(self, demos, run, task, partial(Windows, extra=(PLAN,)))


class Planner(Learner):
    """Attributes:
    decisions, undecided: made since the start, and those of them whose plan did not come to the agent's cell.
    """

    def __init__(self, settings: ProcedureSequence, spec: Spec) -> None:
        super().__init__()
        self.key, self.plan = map_key(spec), settings.plan
        if spec.action.choices != len(MOVES):
            raise UserError(f"the action has {spec.action.choices} choices: plans are made of {len(MOVES)} moves")
        self.model = PlanModel(
            spec.obs[self.key].shape,
            MOVES.tolist(),
            settings.widths,
            settings.width,
            settings.heads,
            settings.layers,
            settings.longest if settings.plan else 1,
            settings.dropout,
        )
        self.decisions = self.undecided = 0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        state, plan = batch.obs[self.key][:, -1].float(), batch.extra[PLAN][:, 0].long()
        length = (plan >= 0).sum(1)
        if self.plan:
            begin, plan = _place(state, TARGET), plan[:, : max(1, int(length.max()))]
        else:
            begin, plan = _place(state, AGENT), plan.gather(1, (length - 1).clamp(min=0)[:, None])
        logits = self.model(state, begin, plan.clamp(min=0)).float()
        return {"plan_loss": functional.cross_entropy(logits.flatten(0, 1), plan.flatten(), ignore_index=-1)}

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        state = obs[self.key][:, -1].float()
        target, agent = _place(state, TARGET), _place(state, AGENT)
        going = (target != agent).any(1).nonzero()[:, 0]
        move = torch.zeros(len(state), dtype=torch.long, device=state.device)
        if len(going):
            move[going] = self._planned(state[going], target[going], agent[going])
        return move[:, None, None]

    def _planned(self, state: Tensor, target: Tensor, agent: Tensor) -> Tensor:
        """Moves (B,) of agents that are not at the target: maps (B, W, W, C), places (B, 2)."""
        if not self.plan:
            return self.model.generate(state, agent, agent)[0]
        move, there = self.model.generate(state, target, agent)
        self.decisions += len(move)
        self.undecided += int((~there).sum())
        return torch.where(there, move, torch.randint_like(move, len(MOVES)))


def _place(state: Tensor, channel: int) -> Tensor:
    """(x, y) of the one cell that a channel of (B, W, W, C) marks: (B, 2)."""
    index = state[..., channel].flatten(1).argmax(1)
    return torch.stack([index.div(state.shape[1], rounding_mode="floor"), index.remainder(state.shape[1])], 1)
