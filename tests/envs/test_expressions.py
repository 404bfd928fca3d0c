"""The world of expressions: prompts, right and wrong texts, the expert."""

from __future__ import annotations

from collections import Counter

import numpy as np

from imitari.core.task import Stateless
from imitari.data.arithmetic import expressions_of, value_of
from imitari.data.texts import PROMPT
from imitari.envs import task_named
from imitari.envs.expressions import written
from imitari.evaluate.rollout import rollout


def test_right_texts_succeed_and_wrong_ones_do_not() -> None:
    task = task_named("expressions")
    world = task.make(4)
    obs, _ = world.reset(seed=range(4))
    targets = [int(prompt[:-1]) for prompt in obs[PROMPT]]
    assert all(0 <= target < 100 for target in targets)
    texts = [f"{targets[0]}+0", f"{targets[1]}", f"{targets[2]}*2+1", f"{targets[3] + 5}-5"]
    _, reward, terminated, truncated, info = world.step(np.array(texts, object))
    assert reward.tolist() == [1, 0, 0, 1]
    assert info["success"].tolist() == [True, False, False, True]
    assert terminated.all()
    assert not truncated.any()
    _, reward, *_, info = world.step(np.array(["0+0"] * 4, object))  # finished ones are frozen
    assert reward.tolist() == [0, 0, 0, 0]
    assert info["success"].tolist() == [True, False, False, True]


def test_the_expert_is_always_right_and_a_fixed_text_hardly_ever() -> None:
    task = task_named("expressions")
    world = task.make(50)
    expert = rollout(task.expert(world), task, range(200))
    fixed = rollout(Stateless(lambda obs: np.array(["7*7"] * len(obs[PROMPT]), object)), task, range(200))
    assert all(episode.success for episode in expert)
    assert len({str(episode.action[0]) for episode in expert}) > 100
    assert 0 < sum(bool(episode.success) for episode in fixed) < 10
    assert all(len(episode) == 1 and episode.ended == "terminated" for episode in expert)


def test_operators_are_drawn_alike_and_all_expressions_occur() -> None:
    rng = np.random.default_rng(0)
    texts = [written(6, rng) for _ in range(3000)]
    marks = Counter(mark for text in texts for mark in "+-*" if mark in text)
    assert all(abs(marks[mark] - 1000) < 120 for mark in "+-*")
    assert {text for group in expressions_of(6).values() for text in group} == set(texts)
    assert all(value_of(text) == 6 for text in texts)
