"""Inverse soft Q-learning of a language model: fine-tuning that also learns the reward of every token.

Logits are taken as soft Q-values: V(s) is their log-sum-exp, and Q(s, a) - gamma V(s') is the reward that explains the
text (0 after the end). To the likelihood comes the square of that reward, so that one coefficient leads from maximum
likelihood (0) to inverse reinforcement learning; the model stays useful for later tokens and does not over-fit.
With `alpha`, values and rewards are also taken of texts that the model writes itself, a share alpha of the mixture.
Wulfmeier et al. 2024, "Imitating Language via Scalable Inverse Reinforcement Learning"; published without code.
The values of lambda (`penalty`) and gamma and the training settings are ours: the paper sweeps lambda, and its tables
were not available. The paper's adversarial variant is a method of its own (see `imitari methods`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.task import Task
from imitari.language.fitting import TextSettings, fit_texts
from imitari.language.learner import TextLearner, frozen
from imitari.language.mixing import OWN, MixedSettings, fit_mixed
from imitari.language.soft import SoftValues, divergence
from imitari.language.tokenizer import Tokens
from imitari.learn.agent import Agent
from imitari.learn.run import Run


@dataclass(frozen=True)
class InverseSoftQ(MixedSettings):
    penalty: float = 0.2  # lambda: weight of the squared reward; 0: maximum likelihood
    penalty_warmup: float = 0.05  # share of the steps in which lambda rises from 0
    gamma: float = 1.0  # discount a token
    alpha: float = 0.0  # share of the model's own texts in the mixture; 0: offline
    kl: float = 0.0  # weight of the divergence from the model at the start (for a model that was trained before)
    entropy: float = 0.0  # weight of a bonus on the entropy of the next token

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "online": {"alpha": 0.1},
        "paper": {"lr": 1e-5, "schedule": "cosine", "warmup": 100, "longest": 512, "response": 256},
    }
    smoke: ClassVar[dict[str, Any]] = {**TextSettings.smoke, "alpha": 0.1, "refresh": 7, "fresh": 8}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.penalty < 0 or not 0 <= self.penalty_warmup <= 1 or not 0 <= self.alpha < 1 or self.kl < 0:
            raise UserError(
                f"penalty {self.penalty:g}, penalty_warmup {self.penalty_warmup:g}, alpha {self.alpha:g}, kl "
                f"{self.kl:g}: none may be negative, penalty_warmup at most 1, and alpha below 1"
            )

    def over(self, tokens: Tokens, model: nn.Module) -> TextLearner:
        return SoftQ(self, tokens, model)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        if not self.alpha:
            return fit_texts(self, demos, run, task)
        return fit_mixed(self, demos, run, own=max(1, round(self.alpha * self.batch)))


class SoftQ(TextLearner):
    """Likelihood and squared reward; over a mixture where the batch says which texts are the model's own."""

    def __init__(self, method: InverseSoftQ, tokens: Tokens, model: nn.Module) -> None:
        super().__init__(tokens, model, method.sampling())
        self.method = method
        self.rising = max(1.0, method.penalty_warmup * method.steps)
        self.register_buffer("clock", torch.zeros(()))
        self.clock: Tensor
        self.first = frozen(model) if method.kl else None

    def after_step(self) -> None:
        self.clock += 1

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        logits, values = self.read(batch)
        own = batch.extra.get(OWN)
        terms = {"likelihood": self.likelihood_loss(values)} if own is None else self.mixed_loss(values, own)
        if self.method.penalty:
            square = values.reward(self.method.gamma) ** 2
            mean = values.mean(square) if own is None else self.mixture(values, square, own)
            terms["penalty"] = self.method.penalty * (self.clock / self.rising).clamp(max=1.0) * mean
        if self.method.entropy:
            terms["entropy"] = -self.method.entropy * self.mean_entropy(logits, values)
        if self.first is not None:
            terms["kl"] = self.method.kl * values.mean(divergence(logits, self.first, batch.action)[:, :-1])
        return terms

    def mixed_loss(self, values: SoftValues, own: Tensor) -> dict[str, Tensor]:
        """-E_expert[Q - gamma V'] + E_mixture[V - gamma V']: without own texts, the likelihood."""
        gained = values.share(values.reward(self.method.gamma), ~own)
        worth = self.mixture(values, values.value - self.method.gamma * values.after, own)
        return {"reward": -gained, "value": worth, "_likelihood": -values.share(values.log_likelihood, ~own)}

    def mixture(self, values: SoftValues, each: Tensor, own: Tensor) -> Tensor:
        """(1 - alpha) of the mean over the tokens of the data, alpha of the mean over those of the model."""
        alpha = self.method.alpha
        return (1 - alpha) * values.share(each, ~own) + alpha * values.share(each, own)
