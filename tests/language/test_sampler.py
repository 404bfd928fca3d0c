"""Texts are drawn as the model says, alike with and without padding; beams find the likeliest text."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from imitari.core.errors import UserError
from imitari.language.sampler import Sampling, generate, narrowed
from imitari.nets.causal import CausalTransformer

PAD, END, SIZE = 0, 3, 6
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> CausalTransformer:
    torch.manual_seed(1)
    net = CausalTransformer(SIZE, 16, 2, 2, 12).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(4)
    return net


PROMPTS = [np.array([1, 4, 2]), np.array([1, 2]), np.array([1, 5, 5, 4, 2])]


def log_likelihood(net: CausalTransformer, prompt: np.ndarray, written: tuple[int, ...]) -> float:
    tokens = torch.tensor([[*prompt.tolist(), *written]])
    with torch.inference_mode():
        logs = net(tokens).log_softmax(-1)[0]
    return sum(float(logs[len(prompt) - 1 + at, token]) for at, token in enumerate(written))


def texts(limit: int) -> list[tuple[int, ...]]:
    """All texts of at most `limit` tokens: those that end, and those that are cut off."""
    letters = [token for token in range(SIZE) if token != END]
    ended = [(*head, END) for count in range(limit) for head in product(letters, repeat=count)]
    return [*ended, *product(letters, repeat=limit)]


@torch.inference_mode()
def test_beams_of_full_width_find_the_likeliest_text(model: CausalTransformer) -> None:
    found = generate(model, PROMPTS, Sampling(beams=SIZE**2, limit=3), PAD, END, CPU)
    for prompt, written in zip(PROMPTS, found, strict=True):
        best = max(texts(3), key=lambda text, prompt=prompt: log_likelihood(model, prompt, text))
        assert tuple(written.tolist()) == best


@torch.inference_mode()
def test_wider_beams_are_never_less_likely_than_greedy(model: CausalTransformer) -> None:
    greedy = generate(model, PROMPTS, Sampling(temperature=0, limit=6), PAD, END, CPU)
    beams = generate(model, PROMPTS, Sampling(beams=5, limit=6), PAD, END, CPU)
    for prompt, one, other in zip(PROMPTS, greedy, beams, strict=True):
        assert log_likelihood(model, prompt, tuple(other)) >= log_likelihood(model, prompt, tuple(one)) - 1e-5


@torch.inference_mode()
def test_greedy_takes_the_likeliest_token_with_and_without_padding(model: CausalTransformer) -> None:
    together = generate(model, PROMPTS, Sampling(temperature=0, limit=7), PAD, END, CPU)
    for prompt, written in zip(PROMPTS, together, strict=True):
        tokens = prompt.tolist()
        for token in written.tolist():
            assert token == int(model(torch.tensor([tokens]))[0, -1].argmax())
            tokens.append(token)
        assert written[-1] == END or len(written) == 7
        assert (written[:-1] != END).all()


@torch.inference_mode()
def test_texts_are_drawn_as_often_as_the_model_says(model: CausalTransformer) -> None:
    torch.manual_seed(0)
    count, prompt = 6000, PROMPTS[0]
    found = generate(model, [prompt] * count, Sampling(limit=2), PAD, END, CPU)
    seen = dict.fromkeys(texts(2), 0)
    for written in found:
        seen[tuple(written.tolist())] += 1
    for text, times in seen.items():
        share = float(np.exp(log_likelihood(model, prompt, text)))
        assert abs(times / count - share) < 4.5 * np.sqrt(share * (1 - share) / count) + 1e-3, text


def test_narrowing() -> None:
    logits = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]))
    kept = narrowed(logits, Sampling(top_k=2)).isfinite()
    assert kept.tolist() == [[True, True, False, False], [False, False, True, True]]
    kept = narrowed(logits, Sampling(top_p=0.6)).isfinite()
    assert kept.tolist() == [[True, True, False, False], [False, False, True, True]]
    assert narrowed(logits, Sampling(top_p=0.05)).isfinite().sum(1).tolist() == [1, 1]
    shares = narrowed(logits, Sampling(temperature=0.5)).softmax(-1)[0]
    assert torch.allclose(shares, torch.tensor([0.16, 0.09, 0.04, 0.01]) / 0.3, atol=1e-5)


@torch.inference_mode()
def test_no_room_is_said(model: CausalTransformer) -> None:
    with pytest.raises(UserError, match="leaves no room"):
        generate(model, [np.ones(12, int)], Sampling(), PAD, END, CPU)
    (written,) = generate(model, [np.ones(10, int)], Sampling(limit=50), PAD, END, CPU)
    assert len(written) <= 2


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_p": 0.0}, {"beams": 0}, {"limit": 0}])
def test_settings_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError):
        Sampling(**wrong)  # type: ignore[arg-type]
