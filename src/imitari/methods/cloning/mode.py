"""Mixture of denoising experts: a diffusion transformer whose noise level alone chooses which experts it passes.

1. Noise of a continuous level is added to demonstrated chunks; a preconditioned network estimates the chunk (EDM).
2. One causal sequence of noise level, goal, what is seen, and actions passes layers whose feed-forward part is a
   mixture of experts. The router of a layer sees the level only: experts draw apart by phase of the denoising.
3. In training every token draws its experts without replacement, and a loss spreads tokens over the experts; acting
   takes the likeliest. Acting visits few levels, known beforehand: for each, the chosen experts become one network.

Reuss, Pari, Agrawal & Lioutikov 2025, "Efficient Diffusion Transformer Policies with Mixture of Expert Denoisers for
Multitask Learning"; where the paper and the authors' code differ (residual, what is balanced, goal dropout), the
default is the code's. With `policy_start` an agent goes on with other data; `frozen_routers` keeps its experts apart.
Differs from the paper: images pass a small residual trunk with a spatial soft-max, which the goal does not modulate (no
FiLM, no ResNet); goals are vectors of the data and there is no CLIP; nothing was pretrained on a mixture of data sets.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import INSTRUCTION, Spec
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.cloning import clone
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.optim import Optim, Schedule
from imitari.learn.run import Run
from imitari.nets.diffusion import ScoreDiffusion
from imitari.nets.encoder import ObsEncoder
from imitari.nets.experts import ExpertTransformer, Noise, Router, begin
from imitari.nets.heads.actions import masked_mean
from imitari.nets.routing import Balanced, Routed


@dataclass(frozen=True)
class MixtureOfDenoisers(Trained):
    width: int = 128  # of all tokens
    layers: int = 4  # of the transformer
    heads: int = 4  # of the attention
    inner: int = 256  # hidden width of each expert; of the one network with the router "dense"
    experts: int = 4  # in each layer
    active: int = 2  # of them that a token visits
    router: Router = "sigma"  # what chooses them: sigma (the noise level), token, or dense: there is one network
    shared: bool = False  # one further expert that every token visits
    bias: bool = False  # biases inside the experts
    noise: Noise = "additive"  # how the level enters the attention: additive, adaln (shift, scale, gate) or none
    noise_token: bool = True  # the level is also the first token
    residual: Literal["normalised", "raw"] = "normalised"  # what the experts' output is added to: normalised or raw
    goal: str | None = None  # observation that says what is to be done; none: observation.instruction where it is
    goal_dropout: float = 0.1  # share of the goal that is hidden in training
    goal_hiding: Literal["element", "whole"] = "element"  # of single numbers, or of whole goals
    attention_dropout: float = 0.1  # of attention weights
    dropout: float = 0.0  # of the output of attention and experts
    expert_dropout: float = 0.0  # inside the experts
    balance: float = 0.01  # weight of the loss that spreads tokens over the experts
    balanced: Balanced = "drawn"  # weighs: drawn (weights of drawn experts), all (chances), path (at acting's levels)
    router_penalty: float = 0.0  # weight of the squared log partition function of the routers
    deviation: float = 0.5  # of scaled actions (sigma_data)
    least: float = 0.001  # noise at the end of sampling
    most: float = 80.0  # noise at its beginning
    sampling: int = 10  # levels visited when acting
    cache: bool = True  # fuse the chosen experts of every visited level when acting
    history: int = 1  # observations seen
    chunk: int = 10  # actions predicted
    execute: int = 10  # actions executed before the next decision
    masked: bool = False  # leave actions beyond the episode's end out of the loss, instead of repeating the last one
    policy_start: str = ""  # folder of an agent of this method whose weights and scaling are the start
    frozen_routers: bool = False  # keep the routers of `policy_start` as they are; nothing is balanced then
    initial: float = 0.02  # deviation of the truncated normal that weights begin with
    schedule: Schedule = "cosine"  # constant, cosine or tri_stage
    warmup: int = 200  # steps of linear increase of the rate
    weight_decay: float = 0.05  # decoupled weight decay on matrices
    ema: float = 0.999  # decay of the average of the weights that is kept; 0: none

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 4_000, "batch": 128},
        "paper": {
            "width": 1024, "layers": 8, "heads": 8, "inner": 4096, "attention_dropout": 0.3, "dropout": 0.1,
            "expert_dropout": 0.1, "lr": 1e-4, "schedule": "tri_stage", "warmup": 0, "batch": 512, "steps": 30_000,
        },
        "paper_tuning": {
            "width": 1024, "layers": 12, "heads": 8, "inner": 4096, "attention_dropout": 0.3, "dropout": 0.1,
            "expert_dropout": 0.1, "lr": 1e-4, "schedule": "tri_stage", "warmup": 0, "batch": 256, "steps": 10_000,
        },
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 16, "width": 16, "layers": 2, "heads": 2, "inner": 16, "sampling": 3, "ema": 0.9,
    }  # fmt: skip

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise UserError(f"width {self.width}, heads {self.heads}: the heads must divide the width")
        if not 1 <= self.active <= self.experts:
            raise UserError(f"active {self.active} of {self.experts} experts: choose between 1 and {self.experts}")
        if not 0 < self.least < self.most or self.deviation <= 0 or self.initial <= 0:
            raise UserError(
                f"least {self.least:g}, most {self.most:g}, deviation {self.deviation:g}, initial {self.initial:g}: "
                "they must be above 0, and most above least"
            )
        shares = (self.goal_dropout, self.attention_dropout, self.expert_dropout)
        if not all(0 <= share < 1 for share in shares) or min(self.balance, self.router_penalty) < 0:
            raise UserError(
                f"goal_dropout {shares[0]:g}, attention_dropout {shares[1]:g}, expert_dropout {shares[2]:g}, balance "
                f"{self.balance:g}, router_penalty {self.router_penalty:g}: at least 0, and the first three below 1"
            )
        if self.balanced == "path" and self.router != "sigma":
            raise UserError(f"balanced path needs routers that see the noise level alone: router is {self.router}")
        if self.frozen_routers and not self.policy_start:
            raise UserError("frozen_routers keeps the routers of another agent: name it with --policy-start FOLDER")

    def framing(self) -> Framing:
        return Framing(self.history, self.chunk, self.execute)

    def optim(self) -> Optim:
        return dataclasses.replace(super().optim(), betas=(0.9, 0.95))

    def learner(self, spec: Spec) -> Learner:
        return ExpertDenoiser(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        start = Agent.load(Path(self.policy_start)) if self.policy_start else None
        return clone(self, demos, run, task, start=start)


class ExpertDenoiser(Learner):
    """Tokens of what is seen, denoising network and the process between noise and chunk."""

    def __init__(self, method: MixtureOfDenoisers, spec: Spec) -> None:
        super().__init__()
        if spec.action.kind != "number":
            raise UserError("method 'mode' needs numeric actions: use bc or bc_rnn for choices")
        self.method = method
        self.shape = (method.chunk, spec.action.size)
        self.tokens = Tokens(method, spec)
        self.process = ScoreDiffusion.logistic(method.sampling, method.deviation, method.least, method.most)
        self.net = ExpertTransformer(method, method.history, *self.shape, method.least, method.most, method.cache)
        if method.frozen_routers:
            for mixture in self.net.mixtures():
                mixture.router.requires_grad_(False)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """|F(c_in noisy chunk, level, seen) - (chunk - c_skip noisy chunk) / c_out|^2, balance, router z-loss."""
        routes: list[Routed] = []
        network = partial(self.net, condition=self.condition(batch.obs), routes=routes)
        error = self.process.error(network, batch.action).mean(-1)
        terms = {"score_loss": masked_mean(error, batch.valid if self.method.masked else batch.known)}
        if not routes or self.method.frozen_routers:
            return terms
        spread = self.net.routes(self.process.path) if self.method.balanced == "path" else routes
        balance = torch.stack([routed.balance(self.method.balanced) for routed in spread]).mean()
        terms["balance_loss"] = self.method.balance * balance
        if self.method.router_penalty:
            terms["router_loss"] = self.method.router_penalty * torch.stack([one.excess() for one in routes]).mean()
        for number, routed in enumerate(routes):
            terms[f"_least_used_{number}"] = routed.shares().min() / self.method.active
        return terms

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        count, device = len(next(iter(obs.values()))), next(self.parameters()).device
        network = self.net.along(self.process.path, self.condition(obs))
        return self.process.sample(network, torch.randn(count, *self.shape, device=device))

    def condition(self, obs: dict[str, Tensor]) -> Tensor:
        """Tokens of goal and observations (B, K, W), with their positions."""
        return self.net.prepare(*self.tokens(obs))


class Tokens(nn.Module):
    """A token for the goal, and for each step one for the numbers and one for each camera."""

    def __init__(self, method: MixtureOfDenoisers, spec: Spec) -> None:
        super().__init__()
        self.dropped, self.hiding = method.goal_dropout, method.goal_hiding
        self.goal = method.goal or (INSTRUCTION if INSTRUCTION in spec.obs else None)
        if self.goal is not None and spec.select([self.goal]).obs[self.goal].kind != "number":
            raise UserError(f"goal '{self.goal}' is not a vector of numbers: choose another with --goal")
        seen = [key for key in spec.obs if key != self.goal]
        self.read_goal = nn.Linear(spec.obs[self.goal].size, method.width) if self.goal else None
        cameras = [key for key in seen if spec.obs[key].kind == "image"]
        numbers = spec.select([key for key in seen if key not in cameras])
        self.numbers = ObsEncoder(numbers) if numbers.obs or not cameras else None
        self.read_numbers = nn.Linear(self.numbers.width, method.width) if self.numbers else None
        for layer in (self.read_goal, self.read_numbers):
            if layer is not None:
                begin(layer, method.initial)
        self.cameras = nn.ModuleList(ObsEncoder(spec.select([key]), method.width) for key in cameras)

    def forward(self, obs: dict[str, Tensor]) -> tuple[Tensor | None, Tensor]:
        """Name -> (B, H, ...) to the goal's token (B, W), if there is one, and tokens of the steps (B, H, K, W)."""
        steps = [camera(obs) for camera in self.cameras]
        if self.numbers is not None and self.read_numbers is not None:
            steps.insert(0, self.read_numbers(self.numbers(obs)))
        goal = None
        if self.goal is not None and self.read_goal is not None:
            goal = self.read_goal(self._hidden(obs[self.goal][:, -1].flatten(1).float()))
        return goal, torch.stack(steps, 2)

    def _hidden(self, goal: Tensor) -> Tensor:
        if not self.training or not self.dropped:
            return goal
        chances = torch.full_like(goal if self.hiding == "element" else goal[:, :1], 1 - self.dropped)
        return goal * torch.bernoulli(chances)
