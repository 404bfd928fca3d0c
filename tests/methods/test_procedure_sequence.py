"""Plans as tokens: the loss against a plain loop, writing with a cache against reading all again, the read-out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.data.procedures import TOKENS
from imitari.data.sampling import Windows
from imitari.envs import task_named
from imitari.envs.tunnels import MAP
from imitari.evaluate.rollout import rollout
from imitari.jobs.demonstrations import demonstrate
from imitari.learn.method import method_class
from imitari.learn.run import Run
from imitari.nets.plans import PlanModel

SMALL: dict[str, Any] = {"widths": [8], "width": 16, "heads": 2, "layers": 1, "longest": 30}


def learner_of(**settings: Any) -> Any:
    torch.manual_seed(0)
    spec = task_named("tunnels/10").spec
    return method_class("procedure_sequence").from_json({**SMALL, **settings}).learner(spec)


def batch_of(demos: Demos, rows: Any) -> Any:
    batch = Windows(demos, extra=(TOKENS,)).gather(np.asarray(rows))
    return batch.map(lambda _, value: torch.as_tensor(value))


def test_the_loss_is_the_mean_over_pairs_given_those_before(map_demos: Demos) -> None:
    learner, batch = learner_of(), batch_of(map_demos, [0, 3, 9])
    each = []
    for state, tokens in zip(batch.obs[MAP][:, 0].float(), batch.extra[TOKENS][:, 0], strict=True):
        plan = tokens[tokens >= 0].long()
        for number, token in enumerate(plan):
            before = torch.cat([plan[:number], torch.tensor([0])])[None]  # what stands last is not looked at
            logits = learner.model(state[None], before)[0, -1]
            each.append(-logits.log_softmax(0)[token].item())
    assert learner.losses(batch)["plan_loss"].item() == pytest.approx(np.mean(each), rel=1e-4)


def test_without_a_plan_only_the_last_pair_is_asked_for(map_demos: Demos) -> None:
    learner, batch = learner_of(plan=False), batch_of(map_demos, range(4))
    tokens = batch.extra[TOKENS][:, 0]
    last = tokens.gather(1, ((tokens >= 0).sum(1) - 1)[:, None]).long()
    logits = learner.model(batch.obs[MAP][:, 0].float(), last)
    wanted = -logits[:, 0].log_softmax(-1).gather(1, last).mean().item()
    assert learner.losses(batch)["plan_loss"].item() == pytest.approx(wanted, rel=1e-4)


def greedy(model: PlanModel, state: torch.Tensor, end: int) -> tuple[int, bool]:
    """One state, everything read again for every pair."""
    plan: list[int] = []
    for _ in range(model.longest):
        tokens = torch.tensor([[*plan, 0]])
        plan.append(int(model(state[None], tokens)[0, -1].argmax()))
        if plan[-1] // 4 == end:
            return plan[-1], True
    return plan[-1], False


def test_a_plan_is_written_as_if_all_were_read_again(map_demos: Demos) -> None:
    state = batch_of(map_demos, range(0, 40, 4)).obs[MAP][:, 0].float()
    model = learner_of(longest=6).model.eval()
    with torch.no_grad():
        first = model.generate(state, torch.full((10,), -1))[0]
        end = first.div(4, rounding_mode="floor")
        end[5:] = -1  # half of them never get there
        last, there = model.generate(state, end)
        expected = [greedy(model, one, int(goal)) for one, goal in zip(state, end, strict=True)]
    assert [(int(token), bool(done)) for token, done in zip(last, there, strict=True)] == expected
    assert there.tolist() == [True] * 5 + [False] * 5


def test_plans_of_one_maze_are_learned() -> None:
    task = task_named("tunnels/7-plan")
    demos = demonstrate(task, range(10))
    settings = {**SMALL, "steps": 250, "lr": 5e-3, "batch": 16, "longest": 20}
    agent = method_class("procedure_sequence").from_json(settings).fit(demos, Run(show=False), task)
    assert np.mean([episode.success for episode in rollout(agent, task, range(10))]) >= 0.8
    learner: Any = agent.learner
    assert learner.undecided < learner.decisions


def test_plans_that_are_missing_or_too_long(map_demos: Demos) -> None:
    kind, task = method_class("procedure_sequence"), task_named("tunnels/10")
    bare = Demos(map_demos.spec, {key: map_demos.columns[key] for key in (MAP, "action")}, map_demos.table)
    with pytest.raises(UserError, match=r"procedure\.tokens"):
        kind.from_json(SMALL).fit(bare, Run(show=False), task)
    with pytest.raises(UserError, match="give --longest"):
        kind.from_json({**SMALL, "longest": 2}).fit(map_demos, Run(show=False), task)
    with pytest.raises(UserError, match="heads must divide"):
        kind.from_json({**SMALL, "heads": 3})
