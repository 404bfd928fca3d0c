"""Maximum likelihood: supervised fine-tuning of a language model on pairs of prompt and response.

Every token of a response is predicted from all before it (cross-entropy, mean over the tokens of responses; prompts and
padding do not count): behaviour cloning token by token. With `entropy`, the mean entropy of the next token is added as
a bonus, the simplest guard against over-fitting. With `beams`, the trained model writes by beam search.
It is the baseline of Wulfmeier et al. 2024, "Imitating Language via Scalable Inverse Reinforcement Learning".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.language.fitting import TextSettings, fit_texts
from imitari.language.learner import TextLearner
from imitari.language.tokenizer import Tokens
from imitari.learn.agent import Agent
from imitari.learn.run import Run


@dataclass(frozen=True)
class MaximumLikelihood(TextSettings):
    entropy: float = 0.0  # weight of the bonus on the entropy of the next token

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "paper": {"lr": 1e-5, "schedule": "cosine", "warmup": 100, "longest": 512, "response": 256},
    }

    def over(self, tokens: Tokens, model: nn.Module) -> TextLearner:
        return Likelihood(self, tokens, model)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return fit_texts(self, demos, run, task)


class Likelihood(TextLearner):
    """Cross-entropy and, where it is asked for, entropy."""

    def __init__(self, method: MaximumLikelihood, tokens: Tokens, model: nn.Module) -> None:
        super().__init__(tokens, model, method.sampling())
        self.bonus = method.entropy

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        logits, values = self.read(batch)
        terms = {"likelihood": self.likelihood_loss(values)}
        if self.bonus:
            terms["entropy"] = -self.bonus * self.mean_entropy(logits, values)
        return terms
