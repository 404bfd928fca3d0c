"""From observations alone: on a body of one line, every method finds the actions that a demonstration does not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.batch import Batch
from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, ACTION_KNOWN, Array, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.curate.strip import strip
from imitari.data.labelled import labelled
from imitari.data.shown import experience_and_shown
from imitari.learn.agent import Agent
from imitari.learn.method import method_class
from imitari.learn.run import Run

STATE = "observation.state"
SPEC = Spec({STATE: Feature((1,))}, Feature((1,), low=(-1.0,), high=(1.0,)))
LENGTH = 20


def walk(decide: Callable[[Array, np.random.Generator], Array], count: int, seed: int) -> Demos:
    """x' = x + a / 4, walks of all episodes together."""
    rng = np.random.default_rng(seed)
    place, seen, done = rng.uniform(-1, 1, count), [], []
    for _ in range(LENGTH):
        action = np.clip(decide(place, rng), -1, 1)
        seen.append(place)
        done.append(action)
        place = place + action / 4
    seen.append(place)
    obs, actions = (np.stack(part, 1)[..., None].astype(np.float32) for part in (seen, done))
    return Demos.from_episodes([Episode({STATE: obs[i]}, actions[i]) for i in range(count)], SPEC)


def own(count: int = 40) -> Demos:
    return walk(lambda place, rng: rng.uniform(-1, 1, len(place)), count, 0)


def homing(count: int = 10) -> Demos:
    """Somebody who goes back to the middle."""
    return walk(lambda place, rng: -2 * place, count, 1)


def fitted(name: str, demos: Demos, **settings: Any) -> Agent:
    return method_class(name).from_json(settings).fit(demos, Run(show=False, precision="fp32"), None)


def decided(agent: Agent, place: float) -> float:
    """The action at a place that has not been left for three steps, as far as the agent can tell."""
    memory, action = agent.reset(1), np.zeros((1, 1))
    for _ in range(3 if agent.learner.recurrent else 1):
        action, memory = agent.act({STATE: np.array([[place]], np.float32)}, memory)
    return float(action[0, 0])


SMALL = {"steps": 300, "batch": 64, "lr": 3e-3}
AIME = {
    **SMALL, "memory": 16, "stochastic": 4, "width": 32, "policy_layers": (32,), "length": 8, "batch": 32,
    "model_steps": 300, "model_lr": 5e-3,
}  # fmt: skip
BCO = {**SMALL, "hidden": (32,), "inverse_hidden": (32,), "inverse_steps": 400, "least_steps": 200, "least_epochs": 1}
IIDM = {**SMALL, "hidden": (32,), "forward_steps": 400, "least_steps": 200, "least_epochs": 1}


@pytest.mark.parametrize(("name", "settings"), [("aime", AIME), ("bco", BCO), ("iidm", IIDM)])
def test_actions_that_were_never_shown_are_found(name: str, settings: dict[str, Any]) -> None:
    agent = fitted(name, Demos.concat([own(), strip(homing())]), **settings)
    low, high = decided(agent, -0.5), decided(agent, 0.5)
    assert low > 0.35
    assert high < -0.35


def test_a_body_whose_actions_work_the_other_way_is_driven_the_other_way() -> None:
    """The demonstrations look the same, own experience says the opposite: nothing else tells what to do."""
    experience = own()
    column = experience.columns[ACTION]
    flipped = {ACTION: ArrayColumn(-column.span(0, column.shape[0]))}
    agent = fitted("aime", Demos.concat([experience.with_columns(flipped, "flipped"), strip(homing())]), **AIME)
    assert decided(agent, -0.5) < -0.35
    assert decided(agent, 0.5) > 0.35


def test_actions_of_demonstrations_are_not_read() -> None:
    """Marked as an expert's, with actions that are wrong: the same agent as without any."""
    plain = fitted("bco", Demos.concat([strip(homing()), own()]), **{**BCO, "inverse_steps": 20, "least_steps": 5})
    marked = fitted("bco", labelled(homing(), own()), **{**BCO, "inverse_steps": 20, "least_steps": 5})
    for key, value in plain.learner.state_dict().items():
        assert torch.equal(value, marked.learner.state_dict()[key]), key


def test_both_parts_are_needed() -> None:
    for demos in (own(), strip(homing())):
        with pytest.raises(UserError, match="both are needed"):
            experience_and_shown(demos)
    mine, shown = experience_and_shown(Demos.concat([strip(homing(3)), own(5)]))
    assert (len(mine), len(shown)) == (5, 3)
    assert not shown.columns[ACTION_KNOWN].take(shown.rows()).any()
    assert np.isnan(shown.columns[ACTION].take(shown.rows())).all()
    assert np.isfinite(mine.columns[ACTION].take(mine.rows())).all()


# ---------------------------------------------------------------- AIME's second phase


def drawn(count: int = 6, steps: int = 8) -> Batch:
    obs = {STATE: torch.randn(count, steps, 1)}
    return Batch(obs, torch.zeros(count, steps, 1), valid=torch.zeros(count, steps, dtype=torch.bool))


@pytest.mark.parametrize("variant", [{}, {"kl_only": True}, {"kl_scale": 0.0}, {"use_idm": True}, {"model": "rssmo"}])
def test_the_frozen_model_passes_gradients_and_gets_none(variant: dict[str, Any]) -> None:
    torch.manual_seed(0)
    learner: Any = method_class("aime").from_json({**AIME, **variant}).learner(SPEC)
    learner.body.rssm.requires_grad_(False)
    terms = learner.losses(drawn())
    sum(value for name, value in terms.items() if not name.startswith("_")).backward()
    assert all(value.grad is None for value in learner.body.rssm.parameters())
    assert all(float(value.grad.abs().sum()) > 0 for value in learner.policy.parameters())
    if variant.get("use_idm"):
        assert all(float(value.grad.abs().sum()) > 0 for value in learner.body.idm.parameters())
    assert ("state_loss" in terms) != bool(variant.get("kl_only"))
    assert (float(terms["kl_loss"].detach()) == 0) == ("kl_scale" in variant)
    assert ("policy_loss" in terms) == bool(variant.get("use_idm"))


def test_the_second_phase_leaves_the_model_as_it_was() -> None:
    """The model after both phases is the one that the first phase alone gives."""
    demos, few = Demos.concat([own(8), strip(homing(4))]), {**AIME, "model_steps": 20}
    short, long = (fitted("aime", demos, **{**few, "steps": steps}) for steps in (1, 25))
    for key, value in short.learner.state_dict().items():
        same = torch.equal(value, long.learner.state_dict()[key])
        assert same == key.startswith("body."), key


def test_an_action_gets_the_gradient_of_what_it_explains() -> None:
    """By differences: the bound's gradient to the policy's bias is that of the bound with the same noise."""
    torch.manual_seed(0)
    learner: Any = method_class("aime").from_json(AIME).learner(SPEC)
    learner.body.rssm.requires_grad_(False)
    batch = Batch({STATE: torch.randn(4, 5, 1)}, torch.zeros(4, 5, 1))
    bias = learner.policy.net[-1].bias

    def loss() -> torch.Tensor:
        torch.manual_seed(3)
        # Reweighting takes deviations as constants, which differences would not: the plain bound is looked at.
        learner.body.rssm.sensors.parts[0].reweighted = False
        terms = learner.losses(batch)
        return sum(value for name, value in terms.items() if not name.startswith("_"))  # pyright: ignore

    gradient = torch.autograd.grad(loss(), bias)[0][0].item()
    with torch.no_grad():
        bias[0] += 1e-2
        above = loss().item()
        bias[0] -= 2e-2
        below = loss().item()
    assert gradient == pytest.approx((above - below) / 2e-2, rel=0.05)


def test_acting_remembers_what_was_done() -> None:
    agent = fitted("aime", Demos.concat([own(8), strip(homing(4))]), **{**AIME, "model_steps": 20, "steps": 5})
    first = agent.learner.start(1)
    obs = {STATE: torch.zeros(1, 1, 1)}
    with torch.inference_mode():
        action, state = agent.learner.act_recurrent(obs, first)
        torch.testing.assert_close(state[2], action[:, 0])
        again, _ = agent.learner.act_recurrent(obs, (state[0], state[1], state[2] + 1.0))
        plain, _ = agent.learner.act_recurrent(obs, state)
    assert not torch.equal(again, plain)


# ---------------------------------------------------------------- one-step models


def test_training_ends_when_held_out_episodes_have_heard_enough() -> None:
    settings = {**BCO, "steps": 5, "inverse_steps": 5_000, "least_steps": 30, "patience": 2, "inverse_lr": 0.02}
    run = Run(show=False, precision="fp32", report_every=10_000)
    agent = method_class("bco").from_json(settings).fit(Demos.concat([own(), strip(homing())]), run, None)
    last = max(row["step"] for row in run.metrics.rows if row["stage"] == "inverse")
    epoch = -(-28 * LENGTH // 256)
    assert last < 5_000
    assert last >= 30
    assert last % epoch == 0
    assert agent.facts["labelling"]["held_out"]["r2"] > 0.9


def test_the_last_step_is_labelled_from_the_final_observation() -> None:
    agent: Any = fitted("bco", Demos.concat([own(), strip(homing())]), **BCO)
    from imitari.models.one_step import inferred

    shown = homing()
    found = inferred(agent.learner.inverse, strip(shown), agent._scale).reshape(len(shown), LENGTH)
    true = np.stack([episode.action[:, 0] for episode in shown])
    np.testing.assert_allclose(found[:, -1], true[:, -1], atol=0.1)
    assert np.abs(found - true).mean() < 0.05
