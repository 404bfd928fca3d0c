"""Inverse soft Q-learning of a language model: fine-tuning that also learns the reward of every token.

Logits are taken as soft Q-values: V(s) is their log-sum-exp, and Q(s, a) - gamma V(s') is the reward that explains the
text (0 after the end). To the likelihood comes the square of that reward, so that one coefficient leads from maximum
likelihood (0) to inverse reinforcement learning; the model stays useful for later tokens and does not over-fit.
With `alpha`, values and rewards are also taken of texts that the model writes itself, a share alpha of the mixture.
Wulfmeier et al. 2024, "Imitating Language via Scalable Inverse Reinforcement Learning"; published without code.
The values of lambda (`penalty`) and gamma and the training settings are ours: the paper sweeps lambda, and its tables
were not available. Of the paper's variants, the adversarial one (GAIL for language) is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.progress import Progress
from imitari.core.task import Task
from imitari.data.sampling import Batches, Order
from imitari.language.batches import Packed, TokenBatches
from imitari.language.fitting import Fitting, TextSettings, fit_texts
from imitari.language.learner import TextLearner
from imitari.language.soft import SoftValues
from imitari.language.tokenizer import Tokens
from imitari.learn.agent import Agent
from imitari.learn.run import Run

OWN = "own"  # of a batch: True where the model wrote the text itself


@dataclass(frozen=True)
class InverseSoftQ(TextSettings):
    penalty: float = 0.2  # lambda: weight of the squared reward; 0: maximum likelihood
    penalty_warmup: float = 0.05  # share of the steps in which lambda rises from 0
    gamma: float = 1.0  # discount a token
    alpha: float = 0.0  # share of the model's own texts in the mixture; 0: offline
    refresh: int = 20  # steps between writings, where alpha is above 0
    fresh: int = 256  # texts written each time
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
        if self.refresh < 1 or self.fresh < 1:
            raise UserError(f"refresh {self.refresh}, fresh {self.fresh}: both must be at least 1")

    def over(self, tokens: Tokens, model: nn.Module) -> TextLearner:
        return SoftQ(self, tokens, model)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return fit_mixed(self, demos, run) if self.alpha else fit_texts(self, demos, run, task)


class SoftQ(TextLearner):
    """Likelihood and squared reward; over a mixture where the batch says which texts are the model's own."""

    def __init__(self, method: InverseSoftQ, tokens: Tokens, model: nn.Module) -> None:
        super().__init__(tokens, model, method.sampling())
        self.method = method
        self.rising = max(1.0, method.penalty_warmup * method.steps)
        self.register_buffer("clock", torch.zeros(()))
        self.clock: Tensor
        self.first = _frozen(model) if method.kl else None

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
            terms["kl"] = self.method.kl * self.divergence(batch, logits, values)
        return terms

    def mixed_loss(self, values: SoftValues, own: Tensor) -> dict[str, Tensor]:
        """-E_expert[Q - gamma V'] + E_mixture[V - gamma V']: without own texts, the likelihood."""
        gained = _share(values, values.reward(self.method.gamma), ~own)
        worth = self.mixture(values, values.value - self.method.gamma * values.after, own)
        return {"reward": -gained, "value": worth, "_likelihood": -_share(values, values.log_likelihood, ~own)}

    def mixture(self, values: SoftValues, each: Tensor, own: Tensor) -> Tensor:
        """(1 - alpha) of the mean over the tokens of the data, alpha of the mean over those of the model."""
        alpha = self.method.alpha
        return (1 - alpha) * _share(values, each, ~own) + alpha * _share(values, each, own)

    def divergence(self, batch: Batch, logits: Tensor, values: SoftValues) -> Tensor:
        """KL(model || model at the start), mean over the places where responses were written."""
        assert self.first is not None
        self.first.eval()
        with torch.no_grad():
            before = functional.log_softmax(self.first(batch.action).float(), -1)
        now = functional.log_softmax(logits.float(), -1)
        return values.mean((now.exp() * (now - before)).sum(-1)[:, :-1])


def _share(values: SoftValues, each: Tensor, which: Tensor) -> Tensor:
    """Mean of (B, T - 1) over the response tokens of the texts `which` (B,)."""
    mask = values.mask * which[:, None]
    return (each * mask).sum() / mask.sum().clamp(min=1)


def _frozen(model: nn.Module) -> nn.Module:
    import copy

    return copy.deepcopy(model).eval().requires_grad_(False)


# ---------------------------------------------------------------- a mixture with the model's own texts


def fit_mixed(method: InverseSoftQ, demos: Demos, run: Run) -> Agent:
    """Rounds of writing and updates, each a function of weights, seed and number; resumed after the last whole round.

    Every batch holds `method.batch` texts of the data and a share alpha of as many that the model wrote.
    """
    fitting = Fitting(method, demos, run)
    learner, steps = fitting.learner, method.steps
    updates = run.begin(learner, method.optim(), steps, fitting.scale)
    expert = Batches(fitting.sampler, method.batch, run.seed)
    done = updates.first
    with Progress("train", steps, show=run.show) as progress:
        while done < steps:
            mixed = MixedTexts(fitting, done, method)
            for _ in range(min(method.refresh, steps - done)):
                updates.step(done, mixed.batch(expert.indices(done), done))
                done += 1
                if done % run.report_every == 0 or done == steps:
                    further = fitting.check(done) if done % fitting.every == 0 or done == steps else {}
                    progress.update(done, f"loss {updates.report(done, further):.4g}")
            if updates.due(done):
                updates.save(done)
    updates.finish()
    return fitting.finished()


class MixedTexts:
    """The data's texts, and texts that the model writes now to prompts of the data, in one packed array."""

    def __init__(self, fitting: Fitting, done: int, method: InverseSoftQ) -> None:
        learner, data, end = fitting.learner, fitting.packed, fitting.learner.tokens.end
        order = Order(len(data), method.fresh, fitting.run.seed + 1)
        prompts = [fitting.prompts[one] for one in order(done // method.refresh).tolist()]
        learner.eval()
        responses = learner.written(prompts)
        learner.train()
        own = Packed.of(prompts, responses, end, method.longest)
        self.data, self.method, self.seed = len(data), method, fitting.run.seed
        self.own = len(own)
        self.sampler = TokenBatches(data.joined(own), learner.tokens.pad)

    def batch(self, expert: np.ndarray, number: int) -> Batch:
        count = max(1, round(self.method.alpha * len(expert)))
        drawn = np.random.default_rng([self.seed, number, 0x0117]).integers(self.own, size=count)
        index = np.concatenate([expert, self.data + drawn])
        batch = self.sampler.gather(index)
        batch.extra[OWN] = index >= self.data
        return batch
