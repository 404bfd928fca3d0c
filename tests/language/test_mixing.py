"""Batches of a mixture hold the data's texts and the model's own, told apart."""

from __future__ import annotations

import numpy as np
import torch

from imitari.core.demos import Demos
from imitari.data.texts import pairs
from imitari.language.batches import RESPONSE
from imitari.language.fitting import Fitting
from imitari.language.mixing import OWN, MixedSettings, MixedTexts
from imitari.learn.method import method_named
from imitari.learn.run import Run


def test_own_texts_answer_prompts_of_the_data(text_demos: Demos) -> None:
    method = method_named("irl_lm", {"width": 16, "heads": 2, "longest": 16, "response": 5, "fresh": 12, "batch": 8})
    assert isinstance(method, MixedSettings)
    fitting = Fitting(method, text_demos, Run(show=False, device="cpu"))
    mixed = MixedTexts(fitting, 0, method)
    batch = mixed.batch(np.arange(8), 6, number=3)
    prompts, responses = pairs(text_demos)
    tokens = fitting.learner.tokens
    assert batch.extra[OWN].tolist() == [False] * 8 + [True] * 6
    for row in range(14):
        prompt = batch.action[row, batch.valid[row] & ~batch.extra[RESPONSE][row]]
        answer = batch.action[row, batch.extra[RESPONSE][row]].tolist()
        if row < 8:
            assert prompt.tolist() == tokens.prompt(prompts[row]).tolist()
            assert tokens.text(answer) == responses[row]
        else:
            assert tokens.text(prompt) in prompts
            assert 1 <= len(answer) <= 5
    again = mixed.batch(np.arange(8), 6, number=3)
    assert np.array_equal(again.action, batch.action)
    assert not np.array_equal(mixed.batch(np.arange(8), 6, number=4).action[8:], batch.action[8:])
    assert fitting.learner.training
    torch.testing.assert_close(fitting.learner.level, torch.zeros(()))
