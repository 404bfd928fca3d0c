"""Plans as tokens: the loss against a plain loop, writing with a cache against reading all again, the read-out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.data.procedures import AGENT, MOVES, PLAN, TARGET
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
    batch = Windows(demos, extra=(PLAN,)).gather(np.asarray(rows))
    return batch.map(lambda _, value: torch.as_tensor(value))


def places(state: torch.Tensor, channel: int) -> torch.Tensor:
    return torch.stack([one.nonzero()[0] for one in state[..., channel]])


def test_the_loss_is_the_mean_over_moves_given_those_before(map_demos: Demos) -> None:
    learner, batch = learner_of(), batch_of(map_demos, [0, 3, 9])
    state = batch.obs[MAP][:, 0].float()
    each = []
    for one, begin, row in zip(state, places(state, TARGET), batch.extra[PLAN][:, 0], strict=True):
        plan = row[row >= 0].long()
        for number, move in enumerate(plan):
            before = torch.cat([plan[:number], torch.tensor([3])])[None]  # what stands last is not looked at
            logits = learner.model(one[None], begin[None], before)[0, -1]
            each.append(-logits.log_softmax(0)[move].item())
    assert learner.losses(batch)["plan_loss"].item() == pytest.approx(np.mean(each), rel=1e-4)


def test_every_move_is_read_where_it_begins(map_demos: Demos) -> None:
    """What the model is told of the map's cells is that of the cells on the way back, which ends at the agent."""
    learner, batch = learner_of(), batch_of(map_demos, range(8))
    state, plan = batch.obs[MAP][:, 0].float(), batch.extra[PLAN][:, 0].long()
    seen: list[torch.Tensor] = []
    tokens = learner.model.tokens

    def watched(cells: torch.Tensor, place: torch.Tensor, move: torch.Tensor) -> torch.Tensor:
        seen.append(place)
        return tokens(cells, place, move)

    learner.model.tokens = watched
    learner.losses(batch)
    for row, moves, begin, agent in zip(seen[0], plan, places(state, TARGET), places(state, AGENT), strict=True):
        here, length = begin, int((moves >= 0).sum())
        for number in range(length):
            assert torch.equal(row[number], here)
            here = here - torch.as_tensor(MOVES[moves[number]])
        assert torch.equal(here, agent)


def test_without_a_plan_only_the_last_move_is_asked_for(map_demos: Demos) -> None:
    learner, batch = learner_of(plan=False), batch_of(map_demos, range(4))
    plan, state = batch.extra[PLAN][:, 0].long(), batch.obs[MAP][:, 0].float()
    last = plan.gather(1, ((plan >= 0).sum(1) - 1)[:, None])
    logits = learner.model(state, places(state, AGENT), last)[:, 0]
    wanted = -logits.log_softmax(-1).gather(1, last).mean().item()
    assert learner.losses(batch)["plan_loss"].item() == pytest.approx(wanted, rel=1e-4)
    acted = learner.eval().act({MAP: batch.obs[MAP]})[:, 0, 0]
    assert torch.equal(acted, logits.argmax(-1))


def greedy(model: PlanModel, state: torch.Tensor, begin: torch.Tensor, end: torch.Tensor) -> tuple[int, bool]:
    """One state, everything read again for every move."""
    plan: list[int] = []
    here = begin
    for _ in range(model.longest):
        logits = model(state[None], begin[None], torch.tensor([[*plan, 0]]))
        plan.append(int(logits[0, -1].argmax()))
        here = here - torch.as_tensor(MOVES[plan[-1]])
        if torch.equal(here, end):
            return plan[-1], True
    return plan[-1], False


def test_a_plan_is_written_as_if_all_were_read_again(map_demos: Demos) -> None:
    state = batch_of(map_demos, range(0, 40, 4)).obs[MAP][:, 0].float()
    model = learner_of(longest=6).model.eval()
    begin = places(state, TARGET)
    with torch.no_grad():
        model.longest = 1  # the first move alone says where half of them shall end
        end = begin - model.moves[model.generate(state, begin, begin)[0]]
        model.longest = 6
        end[5:] = -9
        last, there = model.generate(state, begin, end)
        expected = [greedy(model, *row) for row in zip(state, begin, end, strict=True)]
    assert [(int(move), bool(done)) for move, done in zip(last, there, strict=True)] == expected
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
    with pytest.raises(UserError, match=r"procedure\.plan"):
        kind.from_json(SMALL).fit(bare, Run(show=False), task)
    with pytest.raises(UserError, match="give --longest"):
        kind.from_json({**SMALL, "longest": 2}).fit(map_demos, Run(show=False), task)
    with pytest.raises(UserError, match="heads must divide"):
        kind.from_json({**SMALL, "heads": 3})
