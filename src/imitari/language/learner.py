"""A language model as a policy: prompts are what it observes, texts what it does."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.data.texts import PROMPT
from imitari.language.pretrained import PretrainedModel, PretrainedTokens, pretrained_parts
from imitari.language.sampler import Sampling, generate
from imitari.language.soft import SoftValues, entropy
from imitari.language.tokenizer import Tokens
from imitari.learn.agent import Agent
from imitari.learn.learner import Learner
from imitari.nets.causal import CausalTransformer

TOGETHER = 256  # prompts that are answered together


class TextLearner(Learner):
    """Tokens and a causal model; methods add their losses.

    Args:
        tokens: of the model.
        model: a `sampler.CausalModel`.
        sampling: how it writes.

    Attributes:
        level: number taken off all logits where they are read as values. A likelihood does not see it.
    """

    def __init__(self, tokens: Tokens, model: nn.Module, sampling: Sampling) -> None:
        super().__init__()
        self.tokens, self.model, self.sampling = tokens, model, sampling
        self.register_buffer("level", torch.zeros(()))
        self.level: Tensor

    def read(self, batch: Batch) -> tuple[Tensor, SoftValues]:
        """Logits (B, T, vocabulary) at all tokens, and what they say as soft values."""
        # Padding stands on the right, where no token that counts sees it.
        logits = self.model(batch.action)
        return logits, SoftValues.of(logits, batch, self.level)

    def likelihood_loss(self, values: SoftValues) -> Tensor:
        """Negative log-likelihood, mean over the tokens of responses."""
        return -values.mean(values.log_likelihood)

    def mean_entropy(self, logits: Tensor, values: SoftValues) -> Tensor:
        """Of the next token, mean over the places where responses were written."""
        return values.mean(entropy(logits[:, :-1]))

    def act(self, obs: dict[str, Any]) -> Any:
        """Prompts (B, 1) to texts (B, 1), arrays of text both."""
        return np.array(self.answers(obs[PROMPT][:, -1].tolist()), object)[:, None]

    def answers(self, prompts: list[str], sampling: Sampling | None = None) -> list[str]:
        """One text a prompt, drawn with torch's own generator."""
        return [self.tokens.text(one) for one in self.written([self.tokens.prompt(text) for text in prompts], sampling)]

    @torch.inference_mode()
    def written(self, prompts: list[Array], sampling: Sampling | None = None) -> list[Array]:
        """One response a prompt, both in tokens."""
        found: list[Array] = []
        for first in range(0, len(prompts), TOGETHER):
            group = prompts[first : first + TOGETHER]
            pad, end = self.tokens.pad, self.tokens.end
            found += generate(self.model, group, sampling or self.sampling, pad, end, self.level.device)  # pyright: ignore[reportArgumentType]
        return found

    def parts(self) -> dict[str, Any]:
        if isinstance(self.model, PretrainedModel) and isinstance(self.tokens, PretrainedTokens):
            return pretrained_parts(self.model, self.tokens)
        assert isinstance(self.model, CausalTransformer)
        return {"tokens": self.tokens.to_json(), "network": self.model.settings}


def writer_of(folder: Path, device: str = "cpu") -> TextLearner:
    """The language model of a saved agent.

    Raises:
        UserError: when the agent writes no texts.
    """
    learner = Agent.load(folder, device).learner
    if not isinstance(learner, TextLearner):
        raise UserError(f"{folder}: holds an agent that writes no texts: give one that was trained on texts")
    return learner


def frozen(model: nn.Module) -> nn.Module:
    """A copy that does not learn."""
    return copy.deepcopy(model).eval().requires_grad_(False)
