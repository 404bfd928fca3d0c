"""What a language model says of given texts: likelihood, entropy, and the reward that its logits imply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from imitari.core.batch import Batch
from imitari.core.episode import Array
from imitari.data.scaling import Scaler
from imitari.data.texts import TEXTS
from imitari.language.batches import Packed, TokenBatches, packed_texts
from imitari.language.learner import TextLearner
from imitari.language.soft import entropy
from imitari.learn.scaled import DeviceScaler


@dataclass(frozen=True)
class TextScores:
    """Of N responses, sums over their tokens, the end among them.

    Attributes:
        log_likelihood: (N,) in nats.
        reward: (N,) Q(s, a) - gamma V(s').
        entropy: (N,) of the next token, in nats.
        tokens: (N,) their number.
        which: (N,) number of the pair that each is of; pairs whose prompt is too long have none.
    """

    log_likelihood: Array
    reward: Array
    entropy: Array
    tokens: Array
    which: Array


def score_texts(
    learner: TextLearner, prompts: Sequence[str], responses: Sequence[str], gamma: float = 1.0, batch: int = 64
) -> TextScores:
    """Scores of all pairs, in their order.

    Raises:
        UserError: when a prompt fills all that the model can read.
    """
    longest = int(learner.model.longest)  # pyright: ignore[reportArgumentType]
    return text_scores(learner, packed_texts(learner.tokens, prompts, responses, longest), batch, gamma)


def reward(learner: TextLearner, prompts: Sequence[str], responses: Sequence[str], gamma: float = 1.0) -> Array:
    """(N,) the reward that a model implies for each response: sum over its tokens of Q(s, a) - gamma V(s')."""
    return score_texts(learner, prompts, responses, gamma).reward


@torch.inference_mode()
def token_rewards(learner: TextLearner, prompt: str, response: str, gamma: float = 1.0) -> Array:
    """(tokens of the response and its end,) what each of them brings."""
    longest = int(learner.model.longest)  # pyright: ignore[reportArgumentType]
    sampler = TokenBatches(packed_texts(learner.tokens, [prompt], [response], longest), learner.tokens.pad)
    batch = DeviceScaler(Scaler({}), TEXTS, learner.level.device).batch(sampler.gather(np.zeros(1, np.int64)))
    _, values = learner.read(batch)
    return values.reward(gamma)[values.mask > 0].cpu().numpy()


@torch.inference_mode()
def text_scores(learner: TextLearner, packed: Packed, batch: int, gamma: float = 1.0) -> TextScores:
    """Scores of all packed texts, in their order, `batch` at a time."""
    scale = DeviceScaler(Scaler({}), TEXTS, learner.level.device)
    sampler = TokenBatches(packed, learner.tokens.pad)
    groups = [np.arange(first, min(first + batch, len(packed))) for first in range(0, len(packed), batch)]
    parts = [_scores(learner, scale.batch(sampler.gather(group)), gamma) for group in groups]
    likelihood, reward, spread, count = (np.concatenate([part[at] for part in parts]) for at in range(4))
    return TextScores(likelihood, reward, spread, count, packed.which)


def _scores(learner: TextLearner, batch: Batch, gamma: float) -> tuple[Array, Array, Array, Array]:
    logits, values = learner.read(batch)
    each = (values.log_likelihood, values.reward(gamma), entropy(logits[:, :-1]), torch.ones_like(values.mask))
    likelihood, reward, spread, count = (values.total(part).cpu().numpy().astype(np.float64) for part in each)
    return likelihood, reward, spread, count
