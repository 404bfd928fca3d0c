"""PPO: its objective against the gradients that it stands for; starts, priors, masks; resuming; and that it learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.core.spec import Feature, Spec
from imitari.core.task import Stateless, Task
from imitari.envs import task_named
from imitari.envs._batched import BatchedWorld, State
from imitari.learn.agent import Agent
from imitari.learn.onpolicy import fit_onpolicy
from imitari.learn.proximal import ProximalPolicy
from imitari.learn.run import Run, Updates
from imitari.methods.cloning.bc import BehaviourCloning
from imitari.methods.online.ppo import ProximalPolicyOptimisation
from imitari.nets.heads.actions import Choice
from tests.conftest import CutAt
from tests.worlds import KEY, Point

MASK = "observation.allowed"
PLANE = Spec({KEY: Feature((2,))}, Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))
DOORS = Spec({KEY: Feature((2,)), MASK: Feature((3,))}, Feature((1,), "int64", "choice", low=(0,), high=(2,)))
SMALL = ProximalPolicyOptimisation(
    steps=512, together=4, horizon=16, batch=32, epochs=2, hidden=(16,), clone_steps=0, deviation=0.5
)


class Plane(Point):
    """A point is driven to the origin; the action is its velocity. The reward is the way that it has come nearer."""

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        place = state["place"] + 0.1 * np.clip(action, -1, 1)
        before, after = np.linalg.norm(state["place"], axis=1), np.linalg.norm(place, axis=1)
        there = after < 0.15
        return {"place": place}, before - after, there, there


class Doors(BatchedWorld):
    """Three doors, of which one is locked. The best open one has the highest number: reward its number."""

    def start(self, rng: np.random.Generator) -> State:
        return {"locked": rng.integers(3), "age": np.array(0)}

    def observe(self, state: State) -> Obs:
        locked = state["locked"]
        allowed = (np.arange(3) != locked[:, None]).astype(np.float32)
        return {KEY: np.stack([locked, state["age"]], 1).astype(np.float32), MASK: allowed}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        assert (action[:, 0] != state["locked"]).all(), "a locked door was tried"
        best = np.where(state["locked"] == 2, 1, 2)
        age = state["age"] + 1
        return {**state, "age": age}, action[:, 0].astype(float), age >= 3, action[:, 0] == best


def plane() -> Task:
    return Task("plane", PLANE, 30, lambda count: Plane(count, PLANE, 30))


def doors() -> Task:
    return Task("doors", DOORS, 10, lambda count: Doors(count, DOORS, 10))


def towards_origin(obs: Obs) -> Array:
    return (-obs[KEY] / np.maximum(np.linalg.norm(obs[KEY], axis=1, keepdims=True), 0.1)).astype(np.float32)


def demos() -> Demos:
    return Demos.from_episodes(interact(Stateless(towards_origin), Plane(8, PLANE, 30), range(8)), PLANE)


def fit(method: ProximalPolicyOptimisation, task: Task, data: Demos | None = None, **settings: Any) -> Agent:
    return method.fit(data, Run(device="cpu", show=False, **settings), task)


def solved(agent: Agent, task: Task) -> float:
    episodes = interact(agent, task.make(50), range(100_000, 100_050), record=False)
    return float(np.mean([one.success for one in episodes]))


def batch_of(learner: ProximalPolicy, count: int = 64) -> Batch:
    obs, action = {KEY: torch.randn(count, 2)}, torch.randn(count, 2)
    with torch.no_grad():
        before = -learner.policy(obs).loss(action)
    extra = {"log_density": before, "advantage": torch.randn(count), "return": torch.randn(count)}
    return Batch(obs, action, extra={**extra, "value": torch.zeros(count)})


def test_at_the_weights_that_acted_its_gradient_is_the_policy_gradient() -> None:
    torch.manual_seed(0)
    learner = ProximalPolicy(SMALL, PLANE)
    batch = batch_of(learner)
    advantage = batch.extra["advantage"]
    standard = (advantage - advantage.mean()) / advantage.std()
    plain = (standard * learner.policy(batch.obs).loss(batch.action)).mean()
    parameters = [*learner.net.policy_parameters().values(), learner.net.log_scale]
    expected = torch.autograd.grad(plain, parameters)
    found = torch.autograd.grad(learner.losses(batch)["policy_loss"], parameters)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_nothing_is_gained_beyond_the_clip() -> None:
    learner = ProximalPolicy(dataclasses.replace(SMALL, clip_ratio=0.2), PLANE)
    log_ratio = torch.log(torch.tensor([0.5, 0.9, 1.1, 1.5, 0.5, 0.9, 1.1, 1.5])).requires_grad_(True)
    advantage = torch.tensor([1.0] * 4 + [-1.0] * 4)
    learner.policy_loss(log_ratio, advantage).backward()
    assert log_ratio.grad is not None
    moved = log_ratio.grad != 0
    # Better actions that are likelier already, and worse ones that are rarer already, have no gradient.
    assert moved.tolist() == [True, True, True, False, False, True, True, True]


def test_a_clipped_value_takes_the_worse_error() -> None:
    learner = ProximalPolicy(dataclasses.replace(SMALL, value_clip=0.1, normalise_returns=False), PLANE)
    batch = batch_of(learner, 3)
    batch.extra |= {"return": torch.tensor([1.0, 1.0, 0.0]), "value": torch.zeros(3)}
    error = learner.value_error(torch.tensor([0.5, 0.05, 0.5]), batch)
    assert float(error) == pytest.approx((0.9**2 + 0.95**2 + 0.5**2) / 3)


def test_it_learns_where_to_go() -> None:
    method = dataclasses.replace(SMALL, steps=10_240, together=16, horizon=32, batch=128, epochs=4, lr=5e-3, gamma=0.9)
    agent = fit(method, plane())
    assert solved(agent, plane()) >= 0.9
    untrained = fit(dataclasses.replace(method, steps=1, lr=1e-9), plane())
    assert solved(untrained, plane()) <= 0.5


@pytest.mark.parametrize("shared", [False, True])
def test_masked_it_learns_the_best_open_door(shared: bool) -> None:
    method = dataclasses.replace(
        SMALL, steps=4_096, together=16, batch=64, epochs=4, lr=5e-3, mask=MASK, shared=shared, entropy_weight=0.01
    )
    agent = fit(method, doors())
    assert solved(agent, doors()) == 1.0


def test_it_starts_from_what_it_cloned_and_a_prior_keeps_it_there() -> None:
    data = demos()
    cloning = dataclasses.replace(SMALL, steps=1, lr=1e-9, clone_steps=300, activation="relu")
    assert solved(fit(cloning, plane(), data), plane()) >= 0.9

    def away(steps: Batch) -> Array:
        return -10 * steps.reward

    moving = dataclasses.replace(cloning, steps=2_048, lr=5e-3)
    run = {"device": "cpu", "show": False}
    turned = fit_onpolicy(moving, data, Run(**run), plane(), reward=away)  # type: ignore[arg-type]
    kept = fit_onpolicy(
        dataclasses.replace(moving, prior_weight=100.0, prior_decay=1.0),
        data,
        Run(**run),
        plane(),
        reward=away,  # type: ignore[arg-type]
    )
    assert solved(turned, plane()) <= 0.2
    assert solved(kept, plane()) >= 0.9


def test_it_takes_over_a_cloned_agent(tmp_path: Path) -> None:
    clone = BehaviourCloning(steps=50, hidden=(16, 8)).fit(demos(), Run(show=False, device="cpu"), plane())
    clone.save(tmp_path)
    method = dataclasses.replace(
        SMALL, steps=1, lr=1e-12, hidden=(16, 8), activation="relu", policy_start=str(tmp_path)
    )
    agent = fit(method, plane())
    obs = {KEY: np.random.default_rng(0).uniform(-1, 1, (20, 2)).astype(np.float32)}
    expected, _ = clone.act(obs, clone.reset(20))
    found, _ = agent.act(obs, agent.reset(20))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for wrong, words in (({"activation": "tanh"}, "activation"), ({"hidden": (16, 9)}, "hidden")):
        with pytest.raises(UserError, match=words):
            fit(dataclasses.replace(method, **wrong), plane())  # type: ignore[arg-type]


def test_it_goes_on_from_an_agent_of_its_own(tmp_path: Path) -> None:
    first = fit(SMALL, plane())
    first.save(tmp_path)
    again = fit(dataclasses.replace(SMALL, steps=1, lr=1e-12, policy_start=str(tmp_path)), plane())
    obs = {KEY: np.random.default_rng(0).uniform(-1, 1, (20, 2)).astype(np.float32)}
    expected, _ = first.act(obs, first.reset(20))
    found, _ = again.act(obs, again.reset(20))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert fit(dataclasses.replace(SMALL, policy_start=str(tmp_path)), plane()).identity() != first.identity()


def test_only_the_value_learns_in_the_first_rounds() -> None:
    seen: list[tuple[dict[str, torch.Tensor], torch.Tensor]] = []
    step = Updates.step

    def watched(self: Updates, *given: Any, **named: Any) -> None:
        step(self, *given, **named)
        net = self.learner.net  # type: ignore[union-attr]
        policy = {key: value.detach().clone() for key, value in net.policy_parameters().items()}
        seen.append((policy, net.value_head.weight.detach().clone()))  # type: ignore[union-attr]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updates, "step", watched)
        fit(dataclasses.replace(SMALL, value_rounds=2, shared=True), plane())
    a_round = SMALL.updates
    assert all(torch.equal(seen[0][0][key], value) for key, value in seen[2 * a_round - 1][0].items())
    assert not torch.equal(seen[0][1], seen[2 * a_round - 1][1])
    assert not all(torch.equal(seen[0][0][key], value) for key, value in seen[2 * a_round][0].items())


def test_a_bound_on_the_divergence_leaves_passes_out() -> None:
    def updates(bound: float) -> int:
        run = Run(device="cpu", show=False)
        dataclasses.replace(SMALL, lr=0.02, kl_bound=bound, epochs=8).fit(None, run, plane())
        return run.metrics.rows[-1]["step"]

    assert updates(0.0) == SMALL.rounds * 16
    assert SMALL.rounds * 2 <= updates(0.01) < updates(0.0)


@pytest.mark.parametrize("name", ["plane", "gym/CartPole-v1"])
@pytest.mark.parametrize("update", [3, 9, 13])
def test_killed_in_a_round_it_ends_with_the_same_weights(name: str, update: int, tmp_path: Path, cut_at: CutAt) -> None:
    task = plane() if name == "plane" else task_named(name)
    method = dataclasses.replace(SMALL, kl_bound=0.002, lr=5e-3, entropy_weight=0.01)
    whole = fit(method, task)
    whole_run = Run(device="cpu", show=False, folder=tmp_path, save_seconds=0.0)
    with cut_at(update):
        method.fit(None, whole_run, task)
    again = fit(method, task, folder=tmp_path, save_seconds=0.0)
    assert again.identity() == whole.identity()
    assert len(list((tmp_path / "resume").glob("practice-*.npz"))) == 1
    assert fit(method, task, folder=tmp_path).identity() == whole.identity()
    assert again.facts["starts"] == whole.facts["starts"]


def test_its_starts_are_remembered_and_lie_in_the_block_of_the_seed() -> None:
    agent = fit(SMALL, plane(), seed=3)
    starts = agent.facts["starts"]["plane"]
    assert starts[0] == 4_500_000
    assert starts == sorted(set(starts))
    assert len(starts) >= 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prior_weight": 0.1}, "give --data or --policy-start"),
        ({"policy_start": "/nowhere"}, "holds no trained agent"),
        ({"mask": KEY}, "only choices"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        fit(dataclasses.replace(SMALL, **settings), plane())


@pytest.mark.parametrize(
    "settings",
    [
        {"together": 0},
        {"gae_lambda": 1.5},
        {"kl_bound": -1.0},
        {"clip_ratio": 0.0},
        {"deviation": 0.0},
        {"clone_lr": 0.0},
    ],
)
def test_settings_have_bounds(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        ProximalPolicyOptimisation.from_json(settings)


def test_choices_draw_or_take_the_likeliest() -> None:
    for acting in ("sample", "mean"):
        method = dataclasses.replace(SMALL, mask=MASK, acting=acting, steps=1)  # type: ignore[arg-type]
        agent = fit(method, doors())
        obs = {KEY: np.zeros((200, 2), np.float32), MASK: np.ones((200, 3), np.float32)}
        action, _ = agent.act(obs, agent.reset(200))
        assert len(np.unique(action)) == (1 if acting == "mean" else 3)
        policy = agent.learner.policy({key: torch.from_numpy(value) for key, value in obs.items()})  # type: ignore[operator]
        assert isinstance(policy, Choice)
