"""The judge's and the policy's losses against plain loops; a judge learns to tell; the copy is of the right moment."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.language.batches import RESPONSE, TERMINAL
from imitari.language.mixing import OWN
from imitari.language.soft import SoftValues
from imitari.language.tokenizer import Tokenizer
from imitari.learn.learner import Learner
from imitari.learn.method import method_named
from imitari.methods.language.gail_lm import Adversarial, AdversarialTexts
from imitari.nets.causal import CausalTransformer

TINY = {"width": 16, "heads": 2, "longest": 12, "judge_width": 16, "steps": 20, "batch": 8, "response": 6}


def learner(**settings: float) -> Adversarial:
    torch.manual_seed(0)
    method = method_named("gail_lm", {**TINY, **settings})
    assert isinstance(method, AdversarialTexts)
    tokens = Tokenizer.learn("characters", ["0123456789+="], 0)
    found = method.over(tokens, CausalTransformer(tokens.size, 16, 2, 1, 12))
    assert isinstance(found, Adversarial)
    return found


def mixed() -> tuple[Batch, torch.Tensor, SoftValues]:
    generator = torch.Generator().manual_seed(0)
    at, length, prompt = torch.arange(7), torch.tensor([[7], [5], [6], [7]]), torch.tensor([[2], [2], [3], [1]])
    response = (at < length) & (at >= prompt)
    extra = {RESPONSE: response, TERMINAL: at == length - 1, OWN: torch.tensor([False, True, False, True])}
    batch = Batch({}, torch.randint(4, 14, (4, 7), generator=generator), extra=extra)
    opinion = torch.randn(4, 6, generator=generator)
    return batch, opinion, SoftValues.of(torch.randn(4, 7, 16, generator=generator), batch)


def test_judge_and_policy_are_the_plain_loops() -> None:
    batch, opinion, values = mixed()
    data, own, onward = [], [], []
    for row in range(4):
        places = [at for at in range(6) if values.mask[row, at]]
        chance = [1 / (1 + math.exp(-float(opinion[row, at]))) for at in places]
        if batch.extra[OWN][row]:
            own += [-math.log(1 - one) for one in chance]
            logs = [math.log(one) for one in chance]
            likelihood = values.log_likelihood[row, places].tolist()
            onward += [(sum(logs[at:]), likelihood[at]) for at in range(len(places))]
        else:
            data += [-math.log(one) for one in chance]
    one = learner()
    judged = float(one.judge_loss(values, opinion, batch.extra[OWN]))
    assert judged == pytest.approx((np.mean(data) + np.mean(own)) / 2, rel=1e-5)
    sums, likelihood = np.array(onward).T
    expected = -np.mean((sums - sums.mean()) / sums.std() * likelihood)
    assert float(one.policy_loss(values, opinion, batch.extra[OWN])) == pytest.approx(expected, rel=1e-4)


def test_each_network_learns_from_its_own_losses() -> None:
    """The judge's loss moves the judge alone, all others the model alone; the copy moves never."""
    batch, _, _ = mixed()
    for name, moved in (("judge", "judge."), ("policy", "model."), ("kl", "model."), ("entropy", "model.")):
        one = learner()
        with torch.no_grad():  # not equal to the copy, where the divergence has no slope
            for weight in one.model.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
        one.losses(batch)[name].backward()
        touched = {
            key for key, value in one.named_parameters() if value.grad is not None and value.grad.abs().sum() > 0
        }
        assert touched
        assert all(key.startswith(moved) for key in touched), name


def test_the_copy_is_taken_when_writing_begins(text_demos: Demos) -> None:
    one: Learner = learner(likelihood_first=0.5)
    assert isinstance(one, Adversarial)
    for step in range(1, 13):
        with torch.no_grad():
            next(iter(one.model.parameters())).fill_(step)
        one.after_step()
    assert float(next(iter(one.first.parameters())).mean()) == 10
