"""Lambda 0 is maximum likelihood bit for bit; a penalty is not; models that were trained before are taken up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.data.texts import pairs
from imitari.envs import task_named
from imitari.evaluate.rollout import rollout
from imitari.jobs.demonstrations import demonstrate
from imitari.language.batches import TokenBatches, packed_texts
from imitari.language.learner import TextLearner
from imitari.language.scores import reward, score_texts, token_rewards
from imitari.learn.agent import Agent
from imitari.learn.method import method_named
from imitari.learn.run import Run

SMALL = {"steps": 40, "batch": 16, "width": 16, "heads": 2, "longest": 16, "response": 8}


def fit(name: str, demos: Demos, run: Run | None = None, **settings: Any) -> Agent:
    return method_named(name, {**SMALL, **settings}).fit(demos, run or Run(show=False, device="cpu"))


def weights(agent: Agent) -> dict[str, torch.Tensor]:
    return dict(agent.learner.named_parameters())


def learner(agent: Agent) -> TextLearner:
    assert isinstance(agent.learner, TextLearner)
    return agent.learner


def test_without_penalty_it_is_maximum_likelihood_bit_for_bit(text_demos: Demos) -> None:
    plain, zero, more = fit("mle", text_demos), fit("irl_lm", text_demos, penalty=0.0), fit("irl_lm", text_demos)
    assert weights(plain).keys() == weights(zero).keys()
    assert all(torch.equal(value, weights(zero)[name]) for name, value in weights(plain).items())
    assert not all(torch.equal(value, weights(more)[name]) for name, value in weights(plain).items())


def test_the_penalty_draws_the_rewards_of_the_data_to_zero(text_demos: Demos) -> None:
    def square(agent: Agent) -> float:
        one, (prompts, texts) = learner(agent), pairs(text_demos)
        sampler = TokenBatches(packed_texts(one.tokens, prompts, texts, 16), one.tokens.pad)
        batch = sampler.gather(np.arange(len(sampler))).map(lambda _, value: torch.as_tensor(value))
        with torch.inference_mode():
            _, values = one.read(batch)
            return float(values.mean(values.reward(1.0) ** 2))

    plain, drawn = (square(fit("irl_lm", text_demos, penalty=penalty, lr=5e-3)) for penalty in (0.0, 10.0))
    assert drawn < plain / 2


def test_scores_of_a_text_are_its_sums(text_demos: Demos) -> None:
    """Against logits read one prefix at a time."""
    one = learner(fit("irl_lm", text_demos))
    prompts, texts = ["7=", "12="], ["3+4", "12-0"]
    found = score_texts(one, prompts, texts, gamma=0.9, batch=2)
    np.testing.assert_array_equal(reward(one, prompts, texts, gamma=0.9), found.reward)
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        written, response = one.tokens.prompt(prompt).tolist(), one.tokens.response(text).tolist()
        likelihood, each = 0.0, list[float]()
        for at, token in enumerate(response):
            with torch.inference_mode():
                before = one.model(torch.tensor([written]))[0, -1]
                after = one.model(torch.tensor([[*written, token]]))[0, -1]
            likelihood += float(before.log_softmax(-1)[token])
            worth = 0.0 if at + 1 == len(response) else float(after.logsumexp(-1))
            each.append(float(before[token]) - 0.9 * worth)
            written.append(token)
        assert found.log_likelihood[row] == pytest.approx(likelihood, abs=1e-4)
        assert found.reward[row] == pytest.approx(sum(each), abs=1e-4)
        assert token_rewards(one, prompt, text, gamma=0.9).tolist() == pytest.approx(each, abs=1e-4)
        assert found.tokens[row] == len(response)


def test_an_agent_of_ours_is_a_start(text_demos: Demos, tmp_path: Path) -> None:
    first = fit("mle", text_demos)
    first.save(tmp_path / "first")
    # One step at no rate to speak of: what it begins with is what the first ended with.
    second = fit("irl_lm", text_demos, model=str(tmp_path / "first"), steps=1, lr=1e-12, kl=0.1, width=32)
    prompts, texts = ["7=", "12="], ["3+4", "1*12"]
    before, after = (score_texts(learner(agent), prompts, texts) for agent in (first, second))
    np.testing.assert_allclose(before.log_likelihood, after.log_likelihood, atol=1e-3)
    assert float(learner(second).level) != 0
    second.save(tmp_path / "second")
    loaded = Agent.load(tmp_path / "second")
    np.testing.assert_array_equal(score_texts(learner(loaded), prompts, texts).reward, after.reward)


def test_the_divergence_holds_the_model_where_it_began(text_demos: Demos, tmp_path: Path) -> None:
    first = fit("mle", text_demos)
    first.save(tmp_path)
    prompts, texts = ["7=", "12="], ["3+4", "1*12"]
    before = score_texts(learner(first), prompts, texts).log_likelihood
    moved = [
        np.abs(
            score_texts(learner(fit("irl_lm", text_demos, model=str(tmp_path), kl=kl)), prompts, texts).log_likelihood
            - before
        ).sum()
        for kl in (0.0, 100.0)
    ]
    assert moved[1] < moved[0] / 2


def test_copies_are_kept_and_held_out_texts_measured(text_demos: Demos, tmp_path: Path) -> None:
    run = Run(show=False, device="cpu", folder=tmp_path, report_every=10, held=text_demos.keep(range(5)))
    agent = fit("irl_lm", text_demos, run, copies=2)
    assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == ["20", "40"]
    last = Agent.load(tmp_path / "copies" / "40")
    assert all(torch.equal(value, weights(agent)[name]) for name, value in weights(last).items())
    held = [row["held_likelihood"] for row in run.metrics.rows if "held_likelihood" in row]
    held_pairs = (["85=", "47="], ["1+1", "2+2"])
    assert len(held) == 4
    assert held[-1] < held[0]
    scores = score_texts(learner(agent), *held_pairs)
    assert np.isfinite(scores.log_likelihood).all()


def test_it_learns_to_write_expressions() -> None:
    """Of few numbers, on a scale of seconds: prompts are answered rightly after a training, and not before."""
    task = task_named("expressions")
    demos = demonstrate(task, range(400), together=400)
    small = [number for number, episode in enumerate(demos) if int(str(episode.obs["prompt"][0])[:-1]) < 3]
    demos = demos.keep(small)
    starts = [start for start in range(5000, 6000) if int(np.random.default_rng(start).integers(100)) < 3]
    success = []
    for steps in (1, 400):
        agent = fit("irl_lm", demos, steps=steps, width=32, lr=3e-3, penalty=0.05, temperature=0.0)
        success.append(np.mean([bool(episode.success) for episode in rollout(agent, task, starts)]))
    assert success[0] == 0
    assert success[1] > 0.8


@pytest.mark.parametrize(
    "wrong", [{"alpha": 1.0}, {"penalty": -1.0}, {"heads": 3}, {"adapter": 2}, {"refresh": 0}, {"tokens": "words"}]
)
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        method_named("irl_lm", {"width": 16, **wrong})
