"""Soft values of texts against plain loops, telescoping sums, and the enumeration of a small tree of texts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from imitari.core.batch import Batch
from imitari.language.batches import RESPONSE, TERMINAL
from imitari.language.mixing import OWN
from imitari.language.soft import SoftValues, entropy
from imitari.methods.language.irl_lm import InverseSoftQ, SoftQ
from imitari.methods.language.mle import Likelihood, MaximumLikelihood

PROMPT = (2, 3, 1, 2)
LENGTH = (5, 8, 6, 7)
ENDED = (True, False, True, True)
GAMMA = 0.9


def random_batch() -> tuple[torch.Tensor, Batch]:
    generator = torch.Generator().manual_seed(0)
    at = torch.arange(8)
    length, prompt = torch.tensor(LENGTH)[:, None], torch.tensor(PROMPT)[:, None]
    response = (at < length) & (at >= prompt)
    terminal = (at == length - 1) & torch.tensor(ENDED)[:, None]
    tokens = torch.randint(7, (4, 8), generator=generator)
    logits = 3 * torch.randn(4, 8, 7, generator=generator) + 5
    extra = {RESPONSE: response, TERMINAL: terminal}
    return logits, Batch({}, tokens, at < length, extra=extra)


def plain_tokens(logits: torch.Tensor, batch: Batch) -> list[list[tuple[float, float, float]]]:
    """Of every response token: Q, V before it, V after it, by hand."""
    out = []
    for row in range(4):
        steps = []
        for at in range(PROMPT[row], LENGTH[row]):
            before, token = logits[row, at - 1].tolist(), int(batch.action[row, at])
            value = math.log(sum(math.exp(one) for one in before))
            last = at == LENGTH[row] - 1 and ENDED[row]
            after = 0.0 if last else math.log(sum(math.exp(one) for one in logits[row, at].tolist()))
            steps.append((before[token], value, after))
        out.append(steps)
    return out


class Fixed(torch.nn.Module):
    """A model whose logits are given."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(tokens)]


def loss(method: InverseSoftQ | MaximumLikelihood, logits: torch.Tensor, batch: Batch, risen: bool = True) -> float:
    learner = method.over(None, Fixed(logits))  # type: ignore[arg-type]
    assert isinstance(learner, SoftQ | Likelihood)
    if risen and isinstance(learner, SoftQ):
        learner.clock += 10_000
    return sum(float(value) for name, value in learner.losses(batch).items() if not name.startswith("_"))


def test_offline_loss_is_that_of_a_plain_loop() -> None:
    logits, batch = random_batch()
    steps = [step for row in plain_tokens(logits, batch) for step in row]
    likelihood = np.mean([value - q for q, value, _ in steps])
    square = np.mean([(q - GAMMA * after) ** 2 for q, _, after in steps])
    assert loss(MaximumLikelihood(), logits, batch) == pytest.approx(likelihood, rel=1e-5)
    assert loss(InverseSoftQ(penalty=0.3, gamma=GAMMA), logits, batch) == pytest.approx(
        likelihood + 0.3 * square, rel=1e-5
    )


def test_lambda_rises() -> None:
    logits, batch = random_batch()
    method = InverseSoftQ(penalty=0.3, steps=100, penalty_warmup=0.5)
    learner = SoftQ(method, None, Fixed(logits))  # type: ignore[arg-type]
    seen = []
    for clock in (0, 25, 50, 90):
        learner.clock.fill_(clock)
        seen.append(float(learner.losses(batch)["penalty"]))
    assert seen[0] == 0
    assert seen[1] == pytest.approx(seen[2] / 2)
    assert seen[2] == seen[3]


def test_mixed_loss_is_that_of_a_plain_loop() -> None:
    logits, batch = random_batch()
    batch.extra[OWN] = torch.tensor([False, True, False, True])
    rows = plain_tokens(logits, batch)
    expert, own = rows[0] + rows[2], rows[1] + rows[3]
    alpha, weight = 0.25, 0.3

    def mixture(of: object) -> float:
        return (1 - alpha) * np.mean([of(*one) for one in expert]) + alpha * np.mean([of(*one) for one in own])  # type: ignore[operator]

    expected = (
        -np.mean([q - GAMMA * after for q, _, after in expert])
        + mixture(lambda q, value, after: value - GAMMA * after)
        + weight * mixture(lambda q, value, after: (q - GAMMA * after) ** 2)
    )
    method = InverseSoftQ(penalty=weight, gamma=GAMMA, alpha=alpha)
    assert loss(method, logits, batch) == pytest.approx(expected, rel=1e-5)


def test_without_own_texts_the_mixed_loss_is_the_likelihood() -> None:
    logits, batch = random_batch()
    offline = loss(InverseSoftQ(penalty=0.3), logits, batch)
    batch.extra[OWN] = torch.zeros(4, dtype=torch.bool)
    learner = SoftQ(InverseSoftQ(penalty=0.3, alpha=0.0), None, Fixed(logits))  # type: ignore[arg-type]
    learner.clock += 10_000
    terms = learner.losses(batch)
    assert sum(float(terms[name]) for name in ("reward", "value", "penalty")) == pytest.approx(offline, rel=1e-5)


def test_rewards_telescope() -> None:
    """With gamma 1: sum of rewards = V at the start + log-likelihood - V at the cut, which is 0 after an end."""
    logits, batch = random_batch()
    values = SoftValues.of(logits, batch)
    reward, likelihood = values.total(values.reward(1.0)), values.total(values.log_likelihood)
    for row in range(4):
        first = torch.logsumexp(logits[row, PROMPT[row] - 1], 0)
        rest = 0.0 if ENDED[row] else float(torch.logsumexp(logits[row, LENGTH[row] - 1], 0))
        assert float(reward[row]) == pytest.approx(float(first + likelihood[row]) - rest, abs=1e-4)


def test_padding_and_prompts_change_nothing() -> None:
    logits, batch = random_batch()
    other = logits.clone()
    other[0, 5:] += 7  # beyond the end
    other[1, 0] += 7  # inside the prompt
    for method in (MaximumLikelihood(), InverseSoftQ(penalty=0.3)):
        assert loss(method, logits, batch) == loss(method, other, batch)


def test_the_level_moves_only_the_reward_of_the_end() -> None:
    logits, batch = random_batch()
    plain, moved = SoftValues.of(logits, batch), SoftValues.of(logits, batch, 4.0)
    difference = plain.total(plain.reward(1.0)) - moved.total(moved.reward(1.0))
    assert torch.allclose(difference, torch.tensor([4.0, 0.0, 4.0, 4.0]), atol=1e-4)
    assert torch.allclose(plain.log_likelihood, moved.log_likelihood, atol=1e-5)


def test_soft_values_of_a_tree_of_texts() -> None:
    """Texts of letters a and b of at most two letters and an end, each with a reward: with Q by backward recursion, the
    policy draws a text in proportion to exp(its reward), V at the root is the logarithm of their sum, and the rewards
    that the logits imply are those that went in."""
    a, b, end = 0, 1, 2
    rng = np.random.default_rng(1)
    texts = [(end,), *((one, end) for one in (a, b)), *((one, two) for one in (a, b) for two in (a, b))]
    step_reward = {text[: at + 1]: rng.normal() for text in texts for at in range(len(text))}

    def q(prefix: tuple[int, ...], token: int) -> float:
        after = (*prefix, token)
        return step_reward[after] + (0.0 if after in texts else value(after))

    def value(prefix: tuple[int, ...]) -> float:
        return math.log(sum(math.exp(q(prefix, token)) for token in (a, b, end) if (*prefix, token) in step_reward))

    total = {text: sum(step_reward[text[: at + 1]] for at in range(len(text))) for text in texts}
    partition = math.log(sum(math.exp(one) for one in total.values()))
    assert value(()) == pytest.approx(partition)
    for text in texts:
        tokens = torch.tensor([[a, *text]])  # the first one is the prompt
        logits = torch.full((1, len(text) + 1, 3), -1e9)
        for at in range(len(text)):
            for token in (a, b, end):
                if (*text[:at], token) in step_reward:
                    logits[0, at, token] = q(text[:at], token)
        at = torch.arange(len(text) + 1)[None]
        batch = Batch({}, tokens, extra={RESPONSE: at >= 1, TERMINAL: at == len(text)})
        values = SoftValues.of(logits, batch)
        assert float(values.total(values.log_likelihood)) == pytest.approx(total[text] - partition, abs=1e-4)
        expected = [step_reward[text[: one + 1]] for one in range(len(text))]
        assert values.reward(1.0)[0].tolist() == pytest.approx(expected, abs=1e-4)


def test_entropy_is_the_formula() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    shares = torch.softmax(logits, -1)
    assert torch.allclose(entropy(logits), -(shares * shares.log()).sum(-1), atol=1e-5)
    assert float(entropy(torch.zeros(1, 7))) == pytest.approx(math.log(7))
