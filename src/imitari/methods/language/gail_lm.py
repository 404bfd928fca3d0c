"""Adversarial imitation of texts: a judge tells data from the model's own writing, and the model learns to pass.

1. Likelihood alone for a share `likelihood_first` of the steps (or start from a trained `model`): adversarial training
   from scratch goes nowhere. 2. The model writes at temperature 1; a judge of its own size learns, token by token, the
   chance that a text is of the data. 3. The reward of a token is the logarithm of that chance; the policy gradient
   follows the sum of rewards from each token on, against the mean of the batch, beside a likelihood term, a divergence
   from the model at the end of step 1, and an entropy bonus.
The adversarial variant (Ho & Ermon 2016) in Wulfmeier et al. 2024, "Imitating Language via Scalable Inverse
Reinforcement Learning"; published without code, and the values of its settings were not available: they are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.task import Task
from imitari.language.fitting import TextSettings
from imitari.language.learner import TextLearner, frozen
from imitari.language.mixing import OWN, MixedSettings, fit_mixed
from imitari.language.soft import SoftValues, divergence, entropy
from imitari.language.tokenizer import Tokens
from imitari.learn.agent import Agent
from imitari.learn.run import Run
from imitari.nets.causal import CausalTransformer


@dataclass(frozen=True)
class AdversarialTexts(MixedSettings):
    refresh: int = 4  # steps between writings
    fresh: int = 64  # texts written each time
    own: int = 64  # texts of the model's own in a batch
    likelihood_first: float = 0.3  # share of the steps in which likelihood alone is trained, before anything is written
    likelihood: float = 1.0  # weight of the likelihood of the data after that
    policy: float = 0.1  # weight of the policy gradient
    kl: float = 0.1  # weight of the divergence from the model that the first steps gave
    entropy: float = 0.01  # weight of the bonus on the entropy of the next token
    judge_width: int = 64  # of the judge's tokens
    judge_rate: float = 1.0  # factor on the judge's learning rate

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "paper": {"lr": 1e-5, "longest": 512, "response": 256, "likelihood_first": 0.0, "judge_width": 512},
    }
    smoke: ClassVar[dict[str, Any]] = {**TextSettings.smoke, "refresh": 7, "fresh": 8, "own": 4, "judge_width": 16}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.likelihood_first < 1 or min(self.policy, self.kl, self.likelihood) < 0 or self.own < 2:
            raise UserError(
                f"likelihood_first {self.likelihood_first:g}, likelihood {self.likelihood:g}, policy {self.policy:g}, "
                f"kl {self.kl:g}, own {self.own}: the first lies in [0, 1), weights are not negative, own at least 2"
            )

    @property
    def begin(self) -> int:
        """The step at which the model writes first."""
        return round(self.likelihood_first * self.steps)

    def over(self, tokens: Tokens, model: nn.Module) -> TextLearner:
        return Adversarial(self, tokens, model)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return fit_mixed(self, demos, run, self.own, self.begin)


class Adversarial(TextLearner):
    """The model, its judge, and the model as it was when it began to write."""

    def __init__(self, method: AdversarialTexts, tokens: Tokens, model: nn.Module) -> None:
        super().__init__(tokens, model, method.sampling())
        self.method = method
        longest = min(method.longest, int(model.longest))  # pyright: ignore[reportArgumentType]
        self.judge = CausalTransformer(tokens.size, method.judge_width, method.heads, method.layers, longest)
        self.judge.outlet = nn.Linear(method.judge_width, 1)
        self.first = frozen(model)
        self.register_buffer("clock", torch.zeros((), dtype=torch.long))
        self.clock: Tensor

    def rates(self) -> dict[str, float]:
        return {"judge.": self.method.judge_rate}

    def after_step(self) -> None:
        self.clock += 1
        if int(self.clock) == self.method.begin:
            self.first.load_state_dict(self.model.state_dict())

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        logits, values = self.read(batch)
        own = batch.extra.get(OWN)
        if own is None:
            return {"likelihood": self.likelihood_loss(values)}
        opinion = self.judge(batch.action)[:, 1:, 0].float()  # of every token but the first, having read it
        spread = values.share(entropy(logits[:, :-1]), own)
        distance = values.share(divergence(logits, self.first, batch.action)[:, :-1], own)
        return {
            "judge": self.judge_loss(values, opinion, own),
            "likelihood": -self.method.likelihood * values.share(values.log_likelihood, ~own),
            "policy": self.method.policy * self.policy_loss(values, opinion.detach(), own),
            "kl": self.method.kl * distance,
            "entropy": -self.method.entropy * spread,
            "_reward": values.share(functional.logsigmoid(opinion), own),
        }

    def judge_loss(self, values: SoftValues, opinion: Tensor, own: Tensor) -> Tensor:
        """Cross-entropy of "of the data" a token, data and own texts alike in weight."""
        each = functional.softplus(torch.where(own[:, None], opinion, -opinion))
        return (values.share(each, ~own) + values.share(each, own)) / 2

    def policy_loss(self, values: SoftValues, opinion: Tensor, own: Tensor) -> Tensor:
        """-advantage x log-likelihood of own tokens; the advantage is the sum of log D from the token on, less the
        batch's mean of that sum, over its deviation."""
        reward = functional.logsigmoid(opinion) * values.mask
        onward = reward.flip(1).cumsum(1).flip(1)
        mean = values.share(onward, own)
        deviation = values.share((onward - mean) ** 2, own).sqrt()
        return -values.share((onward - mean) / (deviation + 1e-6) * values.log_likelihood, own)
