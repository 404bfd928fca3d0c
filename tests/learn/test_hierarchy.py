"""Plan and follow: what a goal is, how long it is kept, and which of many is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.sampling import Transitions
from imitari.data.stretches import Stretches
from imitari.learn.agent import Agent
from imitari.learn.hierarchy import Hierarchy
from imitari.learn.run import Run
from imitari.methods.cloning.hbc import HierarchicalCloning
from imitari.methods.offline.iris import ImplicitReinforcement, ValuedHierarchy

STATE = "observation.state"
SPEC = Spec({STATE: Feature((2,))}, Feature((1,), low=(-1.0,), high=(1.0,)))
SMALL: dict[str, Any] = {"width": 8, "planner_hidden": (8,), "steps": 5, "batch": 8}
VALUES: dict[str, Any] = {"hidden": (8,), "sampler_hidden": (8,), "goals": 4, "acted": 3}


def numbered(lengths: tuple[int, ...] = (4, 9, 13), final: bool = True) -> Demos:
    """The first number of an observation tells the episode, the second the step; rewards tell both."""
    episodes = []
    for number, length in enumerate(lengths):
        seen = np.stack([np.full(length + final, number), np.arange(length + final)], 1).astype(np.float32)
        action = np.linspace(-1, 1, length, dtype=np.float32)[:, None]
        reward = (100 * number + np.arange(length)).astype(np.float32)
        ended = "terminated" if number % 2 else "truncated"
        episodes.append(Episode({STATE: seen}, action, reward=reward, ended=ended))
    return Demos.from_episodes(episodes, SPEC)


def spied(learner: Hierarchy, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The goals that it plans from here on."""
    plans: list[Tensor] = []
    plan = learner.plan

    def noted(features: Tensor) -> Tensor:
        plans.append(plan(features))
        return plans[-1]

    monkeypatch.setattr(learner, "plan", noted)
    return plans


@pytest.mark.parametrize("final", [True, False])
def test_a_stretch_is_a_window_and_a_transition_of_the_same_step(final: bool) -> None:
    demos = numbered(final=final)
    offsets = [0, 1, 2, 6]
    stretches = Stretches(demos, offsets, range(3), n_step=2, gamma=0.5)
    single = Transitions(demos, 2, 0.5)
    assert len(stretches) == len(single)
    index = np.arange(len(stretches))
    batch, one = stretches.gather(index), single.gather(index)
    assert np.array_equal(batch.reward, one.reward)
    assert np.array_equal(batch.discount, one.discount)
    assert batch.next_obs is not None
    assert one.next_obs is not None
    assert np.array_equal(batch.next_obs[STATE], one.next_obs[STATE])
    assert np.array_equal(batch.obs[STATE][:, 0], one.obs[STATE])
    assert np.array_equal(batch.action[:, 0], one.action)
    for row in index:
        number, step = batch.obs[STATE][row, 0].astype(int)
        length = len(demos[number])
        expected = [min(step + offset, length - 1 + final) for offset in offsets]
        assert batch.obs[STATE][row, :, 1].tolist() == expected
        assert (batch.obs[STATE][row, :, 0] == number).all()
        assert batch.valid[row].tolist() == [step + offset < length for offset in range(3)]


def test_the_goal_is_the_observation_so_many_steps_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    method, demos = HierarchicalCloning(**{**SMALL, "ahead": 7, "length": 3}), numbered()
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    terms = Hierarchy.losses

    def watched(self: Hierarchy, batch: Any) -> dict[str, Tensor]:
        monkeypatch.setattr(self.planner, "terms", lambda x, condition: noted(self, batch, x, condition))
        return terms(self, batch)

    def noted(self: Hierarchy, batch: Any, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        seen.append((batch.obs[STATE], x, condition))
        return type(self.planner).terms(self.planner, x, condition)

    monkeypatch.setattr(Hierarchy, "losses", watched)
    agent = method.fit(demos, Run(show=False))
    offset, width = (torch.from_numpy(getattr(agent.scaler.scalings[STATE], name)) for name in ("offset", "width"))
    for obs, goal, now in seen:
        assert obs.shape[1:] == (4, 2)
        before, after = (part * width + offset for part in (now, goal))
        assert torch.allclose(before[:, 0], after[:, 0])  # of the same episode
        length = torch.tensor([4.0, 9.0, 13.0])[before[:, 0].round().long()]
        assert torch.allclose(after[:, 1], torch.minimum(before[:, 1] + 7, length), atol=1e-4)


def test_a_goal_is_kept_and_the_memory_is_cleared_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    method = HierarchicalCloning(**{**SMALL, "hold": 4})
    agent = method.fit(numbered(), Run(show=False))
    assert isinstance(agent.learner, Hierarchy)
    plans = spied(agent.learner, monkeypatch)
    obs = {STATE: np.tile(np.float32([[1.0, 2.0]]), (3, 1))}
    memory, goals, hidden = agent.reset(3, seed=0), [], []
    for _ in range(9):
        _, memory = agent.act(obs, memory)
        *state, goal, age = memory.state
        goals.append(goal)
        hidden.append(state[0])
        assert torch.equal(age, torch.full((3, 1), (len(goals) - 1) % 4 + 1.0))
    assert len(plans) == 3
    for step, goal in enumerate(goals):
        assert torch.equal(goal, plans[step // 4])
    assert not torch.equal(plans[0], plans[1])
    assert not torch.equal(plans[0][0], plans[0][1])  # episodes draw their own
    with torch.inference_mode():  # the fifth step begins from a blank memory
        features = agent.learner.encoder(agent._scale.obs({STATE: obs[STATE][:, None]}))  # pyright: ignore[reportPrivateUsage]
        _, fresh = agent.learner.follow(features, plans[1], None)
    assert torch.allclose(hidden[4], fresh[0], atol=1e-6)
    assert not torch.allclose(hidden[5], fresh[0], atol=1e-6)


def test_following_step_by_step_equals_one_pass() -> None:
    learner = HierarchicalCloning(**{**SMALL, "after_layers": 2, "after_width": 6}).learner(SPEC)
    assert isinstance(learner, Hierarchy)
    features, goal = torch.randn(3, 6, 2), torch.randn(3, 2)
    with torch.inference_mode():
        whole, _ = learner.follow(features, goal, None)
        state, parts = None, []
        for step in range(6):
            prediction, state = learner.follow(features[:, step : step + 1], goal, state)
            parts.append(prediction.mode)
    assert torch.allclose(torch.cat(parts, 1), whole.mode, atol=1e-5)
    assert whole.mode.abs().max() < 1  # squashed


def test_planner_and_actor_share_no_gradient() -> None:
    learner = HierarchicalCloning(**SMALL).learner(SPEC)
    from imitari.core.batch import Batch

    batch = Batch({STATE: torch.randn(4, 11, 2)}, torch.rand(4, 10, 1), valid=torch.ones(4, 10, dtype=torch.bool))
    reached = {"goal_loss": "planner", "goal_kl": "planner", "action_loss": "body head"}
    for term, parts in reached.items():
        learner.zero_grad()
        learner.losses(batch)[term].backward()
        found = {name.split(".")[0] for name, value in learner.named_parameters() if value.grad is not None}
        assert found == set(parts.split()), term


def test_the_most_valuable_plan_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = ImplicitReinforcement(**SMALL, **VALUES).learner(SPEC)
    assert isinstance(learner, ValuedHierarchy)
    drawn = torch.randn(5, 4, 2)
    monkeypatch.setattr(learner.planner, "draw", lambda features, count: drawn)
    asked: list[Tensor] = []

    def worth(features: Tensor, count: int) -> Tensor:
        asked.append(features)
        assert count == 3
        return -(features - 0.4).square().sum(-1)

    monkeypatch.setattr(learner.values, "state_values", worth)
    found = learner.plan(torch.zeros(5, 2))
    assert asked[0].shape == (20, 2)
    for row in range(5):
        best = min(drawn[row], key=lambda goal: float((goal - 0.4).square().sum()))
        assert torch.equal(found[row], best)


def test_values_learn_from_the_first_step_of_a_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    demos = numbered()
    method = ImplicitReinforcement(**SMALL, **VALUES)
    learner = method.learner(SPEC)
    assert isinstance(learner, ValuedHierarchy)
    stretches = Stretches(demos, method.obs_offsets, range(method.length), 1, 0.99)
    batch = stretches.gather(np.arange(6)).map(lambda _, value: torch.as_tensor(value))
    given: list[Any] = []
    monkeypatch.setattr(learner.values, "losses", lambda step: given.append(step) or {})
    learner.losses(batch)
    one = Transitions(demos, 1, 0.99).gather(np.arange(6))
    assert torch.equal(given[0].obs[STATE], torch.from_numpy(one.obs[STATE]))
    assert torch.equal(given[0].action, torch.from_numpy(one.action))
    assert torch.equal(given[0].reward, torch.from_numpy(one.reward))


def test_rates_are_those_of_the_parts() -> None:
    learner = ImplicitReinforcement(**SMALL, **VALUES, sampler_rate=0.1, critic_rate=0.2).learner(SPEC)
    optimiser = ImplicitReinforcement(**SMALL, **VALUES).optim().build(learner)
    scale = {id(value): group["scale"] for group in optimiser.param_groups for value in group["params"]}
    for name, value in learner.named_parameters():
        if value.requires_grad:
            expected = 0.1 if "sampler" in name else 0.2 if "critics" in name else 1.0
            assert scale[id(value)] == expected, name


def test_what_cannot_be_planned_is_refused() -> None:
    seen = Spec({STATE: Feature((2,)), "observation.images.top": Feature((8, 8, 3), "uint8", "image")}, SPEC.action)
    with pytest.raises(UserError, match=r"observation\.images\.top"):
        HierarchicalCloning(**SMALL).learner(seen)
    for wrong in ("ahead", "hold", "length", "latent"):
        with pytest.raises(UserError, match=wrong):
            HierarchicalCloning(**{wrong: 0})
    with pytest.raises(UserError, match="goals"):
        ImplicitReinforcement(goals=0)


def test_choices_are_followed_too(tmp_path: Any) -> None:
    spec = Spec({STATE: Feature((2,))}, Feature((1,), "int64", "choice", low=(0.0,), high=(2.0,)))
    rng = np.random.default_rng(0)
    episodes = [
        Episode({STATE: rng.normal(size=(9, 2)).astype(np.float32)}, rng.integers(0, 3, (8, 1))) for _ in range(3)
    ]
    agent = HierarchicalCloning(**SMALL).fit(Demos.from_episodes(episodes, spec), Run(show=False))
    agent.save(tmp_path)
    first = {STATE: episodes[0].obs[STATE][:1]}
    actions = [one.act(first, one.reset(1, seed=3))[0] for one in (agent, Agent.load(tmp_path))]
    assert actions[0].dtype == np.int64
    assert np.array_equal(actions[0], actions[1])
