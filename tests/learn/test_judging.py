"""Judges for tasks that bring none: fitted critics against the expert's true return, and a saved agent's critics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.core.spec import Feature, Spec
from imitari.core.task import Stateless, Task
from imitari.envs import task_named
from imitari.envs._batched import BatchedWorld, State
from imitari.learn.judging import Fitting, fitted_judge, judge_named
from imitari.learn.method import method_class
from imitari.learn.run import Run

KEY, LIMIT, GAMMA = "observation.state", 30, 0.9
SPEC = Spec({KEY: Feature((1,))}, Feature((1,), low=(-1.0,), high=(1.0,)))


class Ray(BatchedWorld):
    """From somewhere in [0.2, 1] to 0; a step is a tenth of the action; reward 1 on arrival, which ends the episode."""

    def start(self, rng: np.random.Generator) -> State:
        return {"place": rng.uniform(0.2, 1, 1)}

    def observe(self, state: State) -> Obs:
        return {KEY: state["place"].astype(np.float32)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        place = np.minimum(state["place"] + 0.1 * np.clip(action, -1, 1), 1.0)
        there = place[:, 0] <= 0
        return {"place": place}, there.astype(np.float64), there, there


def task() -> Task:
    walk = Stateless(lambda obs: np.full((len(obs[KEY]), 1), -0.5, np.float32))
    return Task("ray", SPEC, LIMIT, lambda count: Ray(count, SPEC, LIMIT), lambda world: walk)


def true_value(place: Array, action: Array) -> Array:
    """gamma^(steps of a twentieth that are needed after this one)."""
    after = np.minimum(place + 0.1 * action, 1.0)
    return np.where(after <= 0, 1.0, GAMMA ** np.ceil(np.maximum(after, 0) / 0.05 - 1e-6))


def test_a_fitted_judge_knows_the_experts_return() -> None:
    how = Fitting(episodes=60, shaken=0.5, steps=800, batch=128, lr=3e-3, gamma=GAMMA, tau=0.05, hidden=(32, 32))
    judge_for = fitted_judge(task(), Run(device="cpu", show=False), how)
    judge = judge_for(Ray(1, SPEC, LIMIT))
    place = np.linspace(0.1, 0.95, 40).astype(np.float32)[:, None]
    actions = np.stack([np.full((40, 1), value, np.float32) for value in (-1.0, -0.5, 0.0, 0.5)])
    values = judge.values({KEY: place}, actions)
    expected = np.stack([true_value(place, action)[:, 0] for action in actions])
    assert values.shape == (4, 40)
    assert np.abs(values - expected).mean() < 0.06
    assert np.corrcoef(values.ravel(), expected.ravel())[0, 1] > 0.95
    assert (values[0, 5:] > values[3, 5:]).mean() > 0.95
    np.testing.assert_array_equal(judge.reference({KEY: place}), -0.5)


def test_a_saved_agent_judges_with_its_critics(tmp_path: Path) -> None:
    learn = method_class("rlpd")
    agent = learn.from_json(dict(learn.smoke)).fit(None, Run(device="cpu", show=False), task_named("two_ways"))
    agent.save(tmp_path)
    where = task_named("two_ways")
    judge_for = judge_named(str(tmp_path), where, Run(device="cpu", show=False))
    assert judge_for is not None
    world = where.make(5)
    obs, _ = world.reset(seed=range(5))
    judge = judge_for(world)
    reference = judge.reference(obs)
    np.testing.assert_array_equal(reference, agent.act(obs, agent.reset(5))[0])
    values = judge.values(obs, np.stack([reference, -reference]))
    alone = judge.values(obs, -reference[None])
    np.testing.assert_allclose(values[1], alone[0], rtol=1e-5)


def test_problems_are_one_sentence(tmp_path: Path) -> None:
    run, where = Run(device="cpu", show=False), task_named("two_ways")
    assert judge_named("task", where, run) is None
    with pytest.raises(UserError, match="holds no trained agent"):
        judge_named(str(tmp_path), where, run)
    learn = method_class("bc")
    world = where.make(4)
    demos = Demos.from_episodes(interact(where.expert(world), world, range(4)), where.spec)
    learn.from_json(dict(learn.smoke)).fit(demos, run, where).save(tmp_path)
    with pytest.raises(UserError, match="no critics to judge with"):
        judge_named(str(tmp_path), where, run)
