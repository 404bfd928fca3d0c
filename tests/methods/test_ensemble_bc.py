"""Ensemble cloning: members stand alone, and what they say of data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION_KNOWN, Array
from imitari.core.errors import UserError
from imitari.data.sampling import Windows
from imitari.envs import task_named
from imitari.jobs.demonstrations import demonstrate
from imitari.learn.agent import Agent
from imitari.learn.run import Run
from imitari.methods.cloning import ensemble_bc
from imitari.methods.cloning.ensemble_bc import EnsembleCloning, Members

STATE = "observation.state"


@pytest.fixture(scope="module")
def trained() -> tuple[Agent, Demos]:
    demos = demonstrate(task_named("reach2d/pillar", part="low"), range(20))
    method = EnsembleCloning(hidden=(48, 48), dropout=0.1, steps=300, lr=3e-3, share=0.99)
    return method.fit(demos, Run(show=False, precision="fp32")), demos


def test_each_member_learns_from_its_own_samples_alone(small_demos: Demos) -> None:
    method = EnsembleCloning(members=3, hidden=(8,), dropout=0.0)
    learner = method.learner(small_demos.spec)
    assert isinstance(learner, Members)
    batch = Windows(small_demos).gather(np.arange(12)).map(lambda key, value: torch.as_tensor(value).float())
    learner.losses(batch)["action_loss"].backward()
    weight = dict(learner.named_parameters())["body.0.weight"]
    assert weight.grad is not None
    whole = weight.grad.clone()
    # Member 1 saw samples 4 to 7: by itself, as plain least squares of those.
    learner.zero_grad()
    said = learner.predict({key: value[4:8] for key, value in batch.obs.items()})[1]
    ((said - batch.action[4:8, 0]) ** 2).mean().backward()
    torch.testing.assert_close(weight.grad[1], whole[1])
    assert (weight.grad[[0, 2]] == 0).all()


def test_it_acts_by_the_mean_and_scores_what_its_members_say(trained: tuple[Agent, Demos]) -> None:
    agent, demos = trained
    scores = agent.method.scored(agent, demos)
    learner = agent.learner
    assert isinstance(learner, Members)
    rows = demos.rows()
    obs = {STATE: torch.from_numpy(agent.scaler.scalings[STATE].apply(demos.columns[STATE].take(rows)))[:, None]}
    with torch.inference_mode():
        each = learner.predict(obs).numpy()
    np.testing.assert_allclose(learner.act(obs).detach().numpy()[:, 0], each.mean(0), atol=1e-5)
    action = np.clip(agent.scaler.scalings["action"].apply(demos.columns["action"].take(rows)), -1, 1)
    np.testing.assert_allclose(scores.steps["error"], ((each - action) ** 2).mean((0, 2)), atol=1e-5)
    np.testing.assert_allclose(scores.steps["novelty"], each.std(0).mean(-1), atol=1e-5)
    again = agent.method.scored(agent, demos)
    np.testing.assert_array_equal(again.steps["novelty"], scores.steps["novelty"])


def test_the_other_style_is_dropped_where_it_is_known_what_to_do(trained: tuple[Agent, Demos]) -> None:
    agent, demos = trained
    assert agent.method.scored(agent, demos).keep.mean() > 0.95  # pyright: ignore[reportOptionalMemberAccess]
    over, under = (demonstrate(task_named("reach2d/pillar", style=style), range(40, 60)) for style in ("over", "under"))
    both = Demos.concat([over, under])
    scores = agent.method.scored(agent, both)
    assert scores.keep is not None
    style = np.repeat([0, 1], [over.steps, under.steps])
    assert style[~scores.keep].mean() > 0.75
    assert scores.keep[style == 0].mean() > scores.keep[style == 1].mean() + 0.2
    assert scores.best(0.5)[:20].mean() > 0.7
    assert scores.episodes["order"].astype(int).tolist().count(0) == 1


def test_given_limits_are_taken_and_all_data_learned(small_demos: Demos) -> None:
    settings = {"hidden": (8,), "steps": 2, "batch": 20}
    agent = EnsembleCloning(most_error=0.4, least_novelty=0.15, **settings).fit(small_demos, Run(show=False))  # type: ignore[arg-type]
    assert agent.learner.get_buffer("limits").tolist() == pytest.approx([0.4, 0.15])
    half = EnsembleCloning(most_error=0.4, folds=0, **settings).fit(small_demos, Run(show=False))  # type: ignore[arg-type]
    assert half.learner.get_buffer("limits").tolist()[0] == pytest.approx(0.4)
    assert half.learner.get_buffer("limits").tolist()[1] > 0
    assert half.facts["data"]["episodes"] == len(small_demos)  # those kept aside were seen too
    with pytest.raises(UserError, match="one episode"):
        EnsembleCloning(**settings).fit(small_demos.keep([0]), Run(show=False))  # type: ignore[arg-type]


def test_every_demonstration_calibrates_by_an_ensemble_that_has_not_seen_it(
    monkeypatch: pytest.MonkeyPatch, small_demos: Demos
) -> None:
    seen: list[set[int]] = []
    judged: list[list[int]] = []
    told: list[tuple[Array, Array]] = []
    plain_clone, plain_said = ensemble_bc.clone, ensemble_bc.said

    def numbered(demos: Demos) -> list[int]:
        return [int(source["number"]) for source in demos.table.source]

    def clone(method: EnsembleCloning, demos: Demos, *args: Any, **kwargs: Any) -> Agent:
        seen.append(set(numbered(demos)))
        return plain_clone(method, demos, *args, **kwargs)

    def said(agent: Agent, demos: Demos) -> tuple[Array, Array]:
        judged.append(numbered(demos))
        told.append(plain_said(agent, demos))
        return told[-1]

    monkeypatch.setattr(ensemble_bc, "clone", clone)
    monkeypatch.setattr(ensemble_bc, "said", said)
    for number, source in enumerate(small_demos.table.source):
        source["number"] = number
    method = EnsembleCloning(hidden=(8,), steps=2, batch=20, folds=2, share=0.9)
    agent = method.fit(small_demos, Run(show=False))
    everyone = set(range(len(small_demos)))
    assert sorted(number for part in judged for number in part) == sorted(everyone)
    for part, others in zip(judged, seen[:2], strict=True):
        assert others == everyone - set(part)
    assert seen[-1] == everyone  # the policy itself has seen all
    limits = [np.quantile(np.concatenate(values), 0.9) for values in zip(*told, strict=True)]
    assert agent.learner.get_buffer("limits").tolist() == pytest.approx(limits, rel=1e-5)
    with pytest.raises(UserError, match="folds is 1"):
        EnsembleCloning(folds=1)


def test_unknown_actions_have_no_error_and_are_kept(trained: tuple[Agent, Demos]) -> None:
    agent, demos = trained
    known = np.ones(demos.columns["action"].shape[0], bool)
    known[:5] = False
    scores = agent.method.scored(agent, demos.with_columns({ACTION_KNOWN: ArrayColumn(known)}, "unknown"))
    assert scores.keep is not None
    assert np.isnan(scores.steps["error"][:5]).all()
    assert scores.keep[:5].all()


def test_choices_are_refused(grid_demos: Demos) -> None:
    with pytest.raises(UserError, match="choice"):
        EnsembleCloning().fit(grid_demos, Run(show=False))
