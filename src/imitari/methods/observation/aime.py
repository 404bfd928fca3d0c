"""AIME: imitates from observations alone, by acting so that a world model of one's own body explains them.

1. A recurrent state-space model of the own body is learned from any experience with actions, by maximising the evidence
   lower bound of what was observed (`imitari.models.rssm`, two parameterisations). Then it is frozen.
2. Demonstrations have no actions. A policy a ~ pi(h, s) drives the model along them: it acts, the model's posterior
   sees what the demonstration shows next, and the same bound is maximised, by the policy alone, through time.
3. Acting: the state is filtered from what is observed and what was done; the policy's mode is executed.
Zhang, Becker-Ehmck, van der Smagt & Karl 2023, "Action Inference by Maximising Evidence: Zero-Shot Imitation from
Observation with World Models" (NeurIPS), and its published code.
Variants: `use_idm` (actions from an inverse model of the latent states, fine-tuned, and its divergence from the
policy), `kl_only`, `kl_scale` 0 (reconstruction alone).
Differs from it: AdamW with no decay; observations are standardised; predicted deviations are at least 0.002 of that;
the latent of acting is the likeliest one. Probes and a head for rewards are not here, nor its collectors
(Plan2Explore).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.sampling import Batches
from imitari.data.scaling import Scaler
from imitari.data.shown import experience_and_shown
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished, fit_facts
from imitari.learn.learner import Learner
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.models.rssm import Path, State, WorldModel, WorldSettings, sequences
from imitari.nets.critics import TanhGaussian, stacked_mlp

WORLD = "world"  # name of the stage
BORDER = 1 - 1e-3  # beyond which a recorded action counts as this one: the inverse model's density is finite there
LEAST = 1e-4  # deviation of the policy before it is squashed


@dataclass(frozen=True)
class ActionInference(WorldSettings):
    policy_layers: tuple[int, ...] = (128, 128)  # widths of the policy's layers, and of the inverse model's
    kl_scale: float = 1.0  # of the divergence, when the policy is learned; 0: reconstruction alone
    kl_only: bool = False  # the policy is learned from the divergence alone
    use_idm: bool = False  # actions come from an inverse model of latent states, the policy follows it
    steps: int = 50_000  # optimiser steps of the policy
    batch: int = 50  # sequences a batch
    lr: float = 3e-4  # peak learning rate of the policy
    clip: float = 100.0  # bound on the norm of the gradient; 0: none

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {
            "memory": 128, "stochastic": 32, "length": 32, "batch": 32, "model_steps": 4_000, "model_lr": 1e-3,
            "steps": 2_500, "lr": 1e-3,
        },
        "paper": {},
        "paper_cheetah": {"model": "rssmo", "stochastic": 30, "width": 512, "free_nats": 1.0, "balance": 0.8},
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {
        "memory": 16, "stochastic": 4, "width": 16, "policy_layers": (16,), "length": 6, "batch": 8, "model_steps": 10,
        "steps": 30,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kl_scale < 0 or (self.kl_only and not self.kl_scale):
            raise UserError(
                f"kl_scale {self.kl_scale:g}, kl_only {self.kl_only}: the scale must be at least 0, and above it where "
                "nothing else is learned from"
            )

    def learner(self, spec: Spec) -> ActionInferrer:
        if spec.action.kind != "number":
            raise UserError("actions that are choices have no gradient here: use a method with an inverse model")
        return ActionInferrer(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        demos = described(demos, task)
        run.identity = {**run.identity, **fit_facts(self, demos, run)}
        own, shown = experience_and_shown(demos)
        scaler = Scaler.fit(own, "meanstd", "minmax")
        learner = run.build(lambda: self.learner(demos.spec))
        assert isinstance(learner, ActionInferrer)
        scale = DeviceScaler(scaler, demos.spec, run.place)
        optim = replace(self.optim(), lr=self.model_lr)
        batches = Batches(sequences(own, self.length), self.batch, run.seed)
        run.train(learner.body, batches, optim, self.model_steps, scale, stage=WORLD)
        learner.body.rssm.requires_grad_(False)
        batches = Batches(sequences(shown, self.length, unknown=True), self.batch, run.seed)
        run.train(learner, batches, self.optim(), self.steps, scale)
        return finished(self, learner, scaler, demos, run)


class ActionHead(nn.Module):
    """Features (B, F) to a Gaussian over actions (B, A) that is squashed by tanh: mean and deviation are perceptrons of
    their own."""

    def __init__(self, features: int, hidden: tuple[int, ...], size: int) -> None:
        super().__init__()
        self.net = stacked_mlp(2, features, hidden, size, activation="elu")

    def forward(self, features: Tensor) -> TanhGaussian:
        mean, raw = self.net(features).float().unbind(0)
        return TanhGaussian(mean, torch.log(functional.softplus(raw) + LEAST))


class Body(WorldModel):
    """The world model, and beside it an inverse model a_{t-1} ~ idm(h_{t-1}, s_{t-1}, e_t), which does not shape it."""

    def __init__(self, method: ActionInference, spec: Spec) -> None:
        super().__init__(method, spec)
        features = self.rssm.features + self.rssm.sensors.width
        self.idm = ActionHead(features, method.policy_layers, spec.action.size) if method.use_idm else None

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        model = self.rssm
        embedding, action = model.sensors(batch.obs), model.before(batch.action, batch.valid)
        path = model.observe(embedding, action)
        terms = model.evidence(batch.obs, path, free_nats=self.free_nats, balance=self.balance)
        if self.idm is not None:
            guess = self.guess(path.features.detach()[:, :-1].flatten(0, 1), embedding.detach()[:, 1:].flatten(0, 1))
            terms["inverse_loss"] = guess.loss(action[:, 1:].flatten(0, 1).clamp(-BORDER, BORDER)).mean()
        return terms

    def guess(self, before: Tensor, embedding: Tensor) -> TanhGaussian:
        """The action that led from features (B, F) to what was seen next (B, E)."""
        assert self.idm is not None
        return self.idm(torch.cat([before, embedding], -1))


class ActionInferrer(Learner):
    """The policy, and the body whose model it explains demonstrations with."""

    recurrent = True

    def __init__(self, method: ActionInference, spec: Spec) -> None:
        super().__init__()
        self.kl_scale, self.kl_only = method.kl_scale, method.kl_only
        self.actions = spec.action.size
        self.body = Body(method, spec)
        self.policy = ActionHead(self.body.rssm.features, method.policy_layers, self.actions)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Of demonstrations: their actions, where the batch has any, are not read."""
        path, apart = self.explained(batch.obs)
        terms: dict[str, Tensor] = {}
        for name, value in self.body.rssm.evidence(batch.obs, path).items():
            if name == "kl_loss":
                terms[name] = self.kl_scale * value
            else:
                terms[f"_{name}" if self.kl_only and not name.startswith("_") else name] = value
        if apart is not None:  # one bound: what is weighted in one of its divergences is in the other
            terms["policy_loss"] = terms["_weight"] * apart
        return terms

    def explained(self, obs: dict[str, Tensor]) -> tuple[Path, Tensor | None]:
        """The path that the policy drives the model along; with an inverse model, that one does, and its divergence
        from the policy is summed over steps."""
        embedding = self.body.rssm.sensors(obs)
        apart: list[Tensor] = []

        def doing(state: State, step: int) -> Tensor:
            features = torch.cat(state, -1)
            policy = self.policy(features)
            if self.body.idm is None:
                return squashed(policy)
            guess = self.body.guess(features, embedding[:, step])
            apart.append(kl_divergence(_normal(guess), _normal(policy)).sum(-1).mean())
            return squashed(guess)

        path = self.body.rssm.observe(embedding, doing)
        return path, torch.stack(apart).sum() if apart else None

    def start(self, count: int) -> tuple[Tensor, ...]:
        """Memory, latent, and the action that was done last: none."""
        memory, value = self.body.rssm.start(count)
        return memory, value, torch.zeros(count, self.actions, device=memory.device)

    def act_recurrent(self, obs: dict[str, Tensor], state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        memory, value, action = state
        seen = {key: part[:, 0] for key, part in obs.items()}
        memory, value = self.body.rssm.filter(seen, action, (memory, value))
        action = self.policy(torch.cat([memory, value], -1)).mode
        return action.unsqueeze(1), (memory, value, action)


def squashed(policy: TanhGaussian) -> Tensor:
    """A drawn action with gradient; its density is not needed."""
    return torch.tanh(torch.addcmul(policy.mean, torch.exp(policy.log_scale), torch.randn_like(policy.mean)))


def _normal(policy: TanhGaussian) -> Normal:
    return Normal(policy.mean, torch.exp(policy.log_scale), validate_args=False)
