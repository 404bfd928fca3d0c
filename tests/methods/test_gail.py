"""Adversarial imitation: it comes to act as demonstrated, without rewards, and from observations too; rewards of one
sign and ends; masks; resuming; and what it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.batch import Batch
from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, ACTION_KNOWN, Array, Episode, Obs
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.core.spec import Feature, Spec
from imitari.core.task import Stateless, Task
from imitari.envs._batched import BatchedWorld, State
from imitari.learn.adversarial import SHOWN, AdversarialReward
from imitari.learn.agent import Agent
from imitari.learn.run import Run, Updates
from imitari.methods.online.gail import AdversarialImitation, AdversarialPolicy
from tests.conftest import CutAt
from tests.worlds import KEY, Point

MASK = "observation.allowed"
PLANE = Spec({KEY: Feature((2,))}, Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))
BOX = Feature((1,), "int64", "choice", low=(0,), high=(3,))
BOXES = Spec({KEY: Feature((3,)), MASK: Feature((4,))}, BOX)
LIMIT = 30
SMALL = AdversarialImitation(
    steps=512,
    together=4,
    horizon=16,
    batch=32,
    epochs=2,
    hidden=(16,),
    judge_hidden=(16,),
    judge_updates=3,
    judge_batch=16,
)
LEARNING = AdversarialImitation(
    steps=24_576,
    together=32,
    horizon=32,
    batch=256,
    epochs=4,
    lr=3e-3,
    gamma=0.9,
    hidden=(32,),
    deviation=0.5,
    reward="logit",
    judge_hidden=(64, 64),
    penalty=0.1,
)


class Plane(Point):
    """A point is driven to the origin, where the episode ends; the action is its velocity. There is no reward."""

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        place = state["place"] + 0.1 * np.clip(action, -1, 1)
        there = np.linalg.norm(place, axis=1) < 0.15
        return {"place": place}, np.zeros(len(place)), there, there


CHANCES = np.array([[0.7, 0.3, 0.0, 0.0], [0.1, 0.1, 0.8, 0.0], [0.0, 0.5, 0.0, 0.5]])
ALLOWED = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 1]])


class Boxes(BatchedWorld):
    """Of four boxes one is opened, once; which of them demonstrators open depends on which of three signs is up."""

    def start(self, rng: np.random.Generator) -> State:
        return {"sign": rng.integers(3)}

    def observe(self, state: State) -> Obs:
        sign = state["sign"]
        return {KEY: np.eye(3, dtype=np.float32)[sign], MASK: ALLOWED[sign].astype(np.float32)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        over = np.ones(len(action), bool)
        return state, np.zeros(len(action)), over, over


def plane() -> Task:
    return Task("plane", PLANE, LIMIT, lambda count: Plane(count, PLANE, LIMIT))


def boxes() -> Task:
    return Task("boxes", BOXES, 1, lambda count: Boxes(count, BOXES, 1))


def towards_origin(obs: Obs) -> Array:
    return (-obs[KEY] / np.maximum(np.linalg.norm(obs[KEY], axis=1, keepdims=True), 0.1)).astype(np.float32)


def without_rewards(episodes: list[Episode], spec: Spec) -> Demos:
    return Demos.from_episodes([dataclasses.replace(one, reward=None) for one in episodes], spec)


def demos(count: int = 8) -> Demos:
    return without_rewards(interact(Stateless(towards_origin), Plane(count, PLANE, LIMIT), range(count)), PLANE)


def opened(count: int = 600) -> Demos:
    rng = np.random.default_rng(0)

    def drawn(obs: Obs) -> Array:
        chances = obs[KEY] @ CHANCES
        return np.array([[rng.choice(4, p=one / one.sum())] for one in chances.astype(np.float64)])

    return without_rewards(interact(Stateless(drawn), Boxes(count, BOXES, 1), range(count)), BOXES)


def fit(method: AdversarialImitation, task: Task, data: Demos | None, **settings: Any) -> Agent:
    return method.fit(data, Run(device="cpu", show=False, **settings), task)


def solved(agent: Agent) -> float:
    episodes = interact(agent, plane().make(50), range(100_000, 100_050), record=False)
    return float(np.mean([one.success for one in episodes]))


def test_it_comes_to_act_as_demonstrated() -> None:
    agent = fit(LEARNING, plane(), demos())
    assert solved(agent) >= 0.9
    places = np.random.default_rng(1).uniform(-1, 1, (200, 2)).astype(np.float32)
    found, _ = agent.act({KEY: places}, agent.reset(200))
    shown = towards_origin({KEY: places})
    cosine = (found * shown).sum(1) / np.maximum(np.linalg.norm(found, axis=1) * np.linalg.norm(shown, axis=1), 1e-6)
    assert np.median(cosine) >= 0.9
    assert solved(fit(dataclasses.replace(LEARNING, steps=1), plane(), demos())) <= 0.5


def test_it_learns_from_observations_alone() -> None:
    data = demos()
    unknown = data.with_columns(
        {
            ACTION: ArrayColumn(np.full(data.columns[ACTION].shape, np.nan, np.float32)),
            ACTION_KNOWN: ArrayColumn(np.zeros((data.columns[ACTION].shape[0], 1), bool)),
        },
        "without actions",
    )
    assert solved(fit(dataclasses.replace(LEARNING, sees="next"), plane(), unknown)) >= 0.9
    with pytest.raises(UserError, match="'action' is unknown in every step"):
        fit(LEARNING, plane(), unknown)


def test_rewards_that_are_never_negative_keep_it_from_ending() -> None:
    """The known bias: who is paid for every step that looks right does not come to an end that stops the payment."""
    episodes = {}
    for form in ("positive", "negative"):
        agent = fit(dataclasses.replace(LEARNING, reward=form), plane(), demos())  # type: ignore[arg-type]
        found = interact(agent, plane().make(50), range(100_000, 100_050), record=False)
        episodes[form] = np.mean([len(one) for one in found])
    assert episodes["positive"] >= episodes["negative"] + 5


@pytest.mark.parametrize("mask", ["", MASK])
def test_its_chances_come_near_the_demonstrators(mask: str) -> None:
    """Where nothing follows, the two distributions are equal at the optimum, whatever the form of the reward."""
    method = AdversarialImitation(
        steps=32_768, together=256, horizon=1, batch=256, epochs=2, lr=3e-3, hidden=(32,), reward="logit", mask=mask,
        judge_hidden=(32,), judge_updates=8, judge_batch=256, judge_rate=2.0, entropy_weight=0.0, schedule="cosine",
        acting="sample", normalise_obs=False,
    )  # fmt: skip
    agent = fit(method, boxes(), opened())
    obs = {KEY: torch.eye(3), MASK: torch.from_numpy(ALLOWED.astype(np.float32))}
    chances = torch.softmax(agent.learner.policy(obs).logits, -1).detach().numpy()  # type: ignore[operator]
    distance = 0.5 * np.abs(chances - CHANCES).sum(1)
    assert distance.max() <= 0.2, chances.round(2)
    if mask:
        assert (chances[ALLOWED == 0] == 0).all()
        assert agent.learner.seen == [KEY]


def test_a_batch_is_half_the_policys_and_half_demonstrated() -> None:
    data = demos()
    learner = AdversarialPolicy(SMALL, PLANE)
    against = AdversarialReward(learner, data, updates=3, size=16, sees="all", seed=0)
    rng = np.random.default_rng(0)
    own = Batch(
        {KEY: 100 + rng.random((40, 2)), "observation.further": np.zeros((40, 1))},
        rng.random((40, 2)),
        discount=np.ones(40),
        next_obs={KEY: 200 + rng.random((40, 2)), "observation.further": np.zeros((40, 1))},
    )
    batch = against.batch(own, 5)
    assert batch.next_obs is not None
    assert list(batch.obs) == [KEY]
    np.testing.assert_array_equal(batch.extra[SHOWN], [0] * 16 + [1] * 16)
    np.testing.assert_array_equal(batch.obs[KEY][:, 0] > 50, batch.extra[SHOWN] == 0)
    np.testing.assert_allclose(  # of demonstrations the action is the way between the two states
        batch.next_obs[KEY][16:] - batch.obs[KEY][16:], 0.1 * batch.action[16:], atol=1e-5
    )
    there = np.linalg.norm(batch.next_obs[KEY][16:], axis=1) < 0.15
    np.testing.assert_array_equal(batch.discount[16:] == 0, there)
    again = AdversarialReward(learner, data, updates=3, size=16, sees="all", seed=0).batch(own, 5)
    np.testing.assert_array_equal(again.action, batch.action)
    assert not np.array_equal(against.batch(own, 6).action, batch.action)


def test_each_round_first_judges_and_then_improves() -> None:
    seen: list[tuple[int, str]] = []
    step = Updates.step

    def watched(self: Updates, number: int, batch: Batch, losses: Any = None) -> None:
        seen.append((number, "judge" if SHOWN in batch.extra else "policy"))
        before = {key: value.detach().clone() for key, value in self.learner.named_parameters()}
        step(self, number, batch, losses)
        moved = {key for key, value in self.learner.named_parameters() if not torch.equal(before[key], value)}
        assert {key.startswith("discriminator.") for key in moved} == {SHOWN in batch.extra}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updates, "step", watched)
        fit(SMALL, plane(), demos())
    assert [number for number, _ in seen] == list(range(SMALL.rounds * (3 + SMALL.updates)))
    a_round = ["judge"] * 3 + ["policy"] * SMALL.updates
    assert [what for _, what in seen] == a_round * SMALL.rounds


@pytest.mark.parametrize("update", [2, 9, 12])
@pytest.mark.parametrize("clone_steps", [0, 5])
def test_cut_off_it_ends_with_the_same_weights(update: int, clone_steps: int, tmp_path: Path, cut_at: CutAt) -> None:
    method = dataclasses.replace(SMALL, kl_bound=0.002, lr=5e-3, penalty=1.0, clone_steps=clone_steps, sees="all")
    whole = fit(method, plane(), demos())
    with cut_at(update + clone_steps):
        fit(method, plane(), demos(), folder=tmp_path, save_seconds=0.0)
    again = fit(method, plane(), demos(), folder=tmp_path, save_seconds=0.0)
    assert again.identity() == whole.identity()


def test_it_remembers_its_demonstrations() -> None:
    data = Demos.from_episodes(
        [
            dataclasses.replace(demos()[number], source={"task_name": "plane", "seed": 7 + number})
            for number in range(4)
        ],
        PLANE,
    )
    agent = fit(SMALL, plane(), data)
    assert agent.facts["data"] == data.facts()
    assert set(range(7, 11)) < set(agent.facts["starts"]["plane"])
    assert fit(SMALL, plane(), demos()).identity() != agent.identity()


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match="imitates demonstrations: give --data"):
        fit(SMALL, plane(), None)
    with pytest.raises(UserError, match="give --task"):
        SMALL.fit(demos(), Run(device="cpu", show=False), None)
    with pytest.raises(UserError, match=r"none of its observations .* is one of the task's"):
        fit(SMALL, Task("other", Spec({"observation.x": Feature((2,))}, PLANE.action), 9, lambda count: None), demos())  # type: ignore[arg-type, return-value]
    short = [dataclasses.replace(one, obs={KEY: one.obs[KEY][:-1]}) for one in demos()[:]]
    cut = without_rewards(short, PLANE)
    with pytest.raises(UserError, match="episode 0 has no final observation"):
        fit(dataclasses.replace(SMALL, sees="next"), plane(), cut)
    fit(SMALL, plane(), cut)


@pytest.mark.parametrize(
    "settings",
    [{"judge_updates": 0}, {"judge_batch": 0}, {"judge_rate": 0.0}, {"largest_logit": 0.0}, {"penalty": -1.0}],
)
def test_settings_have_bounds(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        AdversarialImitation.from_json(settings)
