"""Modes that are known in the place of learned ones: entries, ways, turning aside, and what data is used."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.core.spec import Feature, Spec
from imitari.envs import task_named
from imitari.envs.polygons import STATE, Chain, layout, outside_way
from imitari.learn.agent import Agent
from imitari.learn.run import Run
from imitari.methods.planning.glide import TURNS, GroundedPlan, Navigator
from imitari.models.modes import successors

SMOKE = GroundedPlan(**GroundedPlan.smoke)
CHAIN = layout(4, 0)


class Told(Navigator):
    """Is told the mode of every state."""

    chain: Chain = CHAIN

    def modes_of(self, states: Tensor) -> Tensor:
        return torch.from_numpy(self.chain.modes_of(states.double().numpy()))


class ToldPlan(GroundedPlan):
    def learner(self, spec: Spec) -> Navigator:
        return Told(self, spec)


class Strip(Told):
    """Takes only what is near the edge of the second polygon for the first: all that outcomes can tell of it."""

    def modes_of(self, states: Tensor) -> Tensor:
        points = states.double().numpy()
        a, b = CHAIN.polygons[1, :2]
        share = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        near = np.linalg.norm(points - a - share[..., None] * (b - a), axis=-1) < 0.7
        mode = self.chain.modes_of(points)
        return torch.from_numpy(np.where((mode == 1) & ~near, 0, mode))


class StripPlan(GroundedPlan):
    def learner(self, spec: Spec) -> Navigator:
        return Strip(self, spec)


@pytest.fixture(scope="module")
def walks() -> Demos:
    task = task_named("polygons/4-0")
    world = task.make(8)
    return Demos.from_episodes(interact(task.expert(world), world, range(8)), task.spec)


@pytest.fixture(scope="module", params=["geometric", "imitation"])
def told(request: pytest.FixtureRequest, walks: Demos) -> Agent:
    method = ToldPlan(modes=4, trials=60, steps=1, batch=8, policy_steps=400, controller=request.param)
    return method.fit(walks, Run(show=False), task_named("polygons/4-0-replay"))


def navigator(agent: Agent) -> Told:
    assert isinstance(agent.learner, Told)
    return agent.learner


def test_entries_lie_where_modes_begin(told: Agent) -> None:
    entries = navigator(told).entries.double().numpy()
    for number in (2, 3):  # entered through the edge shared with the polygon before
        a, b = CHAIN.polygons[number - 1, :2]
        share = (entries[number] - a) @ (b - a) / ((b - a) @ (b - a))
        assert 0 < share < 1
        assert np.linalg.norm(entries[number] - a - share * (b - a)) < 0.2
    assert np.linalg.norm(entries[4] - CHAIN.goal) < 1.0
    assert np.linalg.norm(entries[0] - CHAIN.start) < 0.6


def test_ways_lead_around_the_later_polygons(told: Agent) -> None:
    """They are those of the expert, who knows the polygons: the same points to head for nearly everywhere."""
    learner, rng = navigator(told), np.random.default_rng(0)
    places = np.stack([CHAIN.outside(rng) for _ in range(300)])
    aims = learner.aims(torch.from_numpy(places).float(), torch.zeros(300, dtype=torch.long)).double().numpy()
    expected = outside_way(CHAIN).next_points(places)
    assert np.median(np.linalg.norm(aims - expected, axis=1)) < 0.3
    assert (CHAIN.modes_of(aims[CHAIN.modes_of(expected) < 2]) < 2).mean() > 0.99


def test_the_goal_is_reached_from_anywhere_and_after_jumps(told: Agent) -> None:
    world = task_named("polygons/4-0-disturbed").make(40)
    assert np.mean([bool(episode.success) for episode in interact(told, world, range(1000, 1040))]) >= 0.95


def test_a_strip_along_the_second_polygon_is_enough_of_the_first(walks: Demos) -> None:
    """It is thinner than the distance that is kept from the second one."""
    method = StripPlan(modes=4, trials=60, steps=1, batch=8)
    agent = method.fit(walks, Run(show=False), task_named("polygons/4-0-replay"))
    world = task_named("polygons/4-0-disturbed").make(40)
    assert np.mean([bool(episode.success) for episode in interact(agent, world, range(1000, 1040))]) >= 0.95


def test_a_step_into_a_forbidden_mode_is_turned_by_the_least_angle(told: Agent) -> None:
    learner, rng = navigator(told), np.random.default_rng(1)
    places = np.stack([CHAIN.outside(rng) for _ in range(20_000)])
    state, wanted = torch.from_numpy(places).float(), torch.from_numpy(rng.normal(size=places.shape)).float()
    wanted = wanted / wanted.norm(dim=1, keepdim=True)
    mode = torch.zeros(len(places), dtype=torch.long)
    forbidden = (learner.modes_of(state + learner.gain * wanted) > 1).numpy()
    assert 10 < forbidden.sum() < 2000
    turned = learner.turned_aside(state, mode, wanted)
    assert torch.equal(turned[~forbidden], wanted[~forbidden])
    assert (learner.modes_of(state + learner.gain * turned)[forbidden] <= 1).all()
    for row in np.flatnonzero(forbidden)[:20]:
        x, y = wanted[row].double().numpy()
        radians = np.deg2rad(TURNS)
        ways = np.stack([np.cos(radians) * x - np.sin(radians) * y, np.sin(radians) * x + np.cos(radians) * y], 1)
        free = CHAIN.modes_of(state[row].double().numpy() + float(learner.gain) * ways) <= 1
        np.testing.assert_allclose(turned[row].numpy(), ways[np.flatnonzero(free)[0]], atol=1e-5)


def test_the_length_of_a_step_is_measured(told: Agent) -> None:
    assert float(navigator(told).gain) == pytest.approx(0.1, rel=0.02)


def test_the_next_mode_is_on_a_shortest_way() -> None:
    rng = np.random.default_rng(0)
    reached = 0
    for _ in range(50):
        feasible = -(rng.random((5, 5)) < 0.6).astype(float)
        np.fill_diagonal(feasible, 0)
        ways = {
            start: min((n for n in range(1, 5) for way in itertools.permutations(set(range(5)) - {start}, n)
                        if way[-1] == 4 and all(feasible[a, b] == 0 for a, b in itertools.pairwise((start, *way)))),
                       default=None)
            for start in range(4)
        }  # fmt: skip
        if None in ways.values():
            with pytest.raises(UserError, match="the plan leads nowhere"):
                successors(feasible.tolist())
            continue
        reached += 1
        following = successors(feasible.tolist())
        assert following[4] == 5
        for start, length in ways.items():
            here, steps = start, 0
            while here != 4:
                assert feasible[here, following[here]] == 0
                here, steps = following[here], steps + 1
            assert steps == length
    assert reached > 5


def with_failures(walks: Demos) -> Demos:
    """Every walk once as it is and once called a failure."""
    episodes = [replace(episode, success=kind) for kind in (True, False) for episode in (*walks, *walks)]
    return Demos.from_episodes(episodes, walks.spec)


def test_data_with_failures_is_used_as_it_is(walks: Demos) -> None:
    good, bad = SMOKE.outcomes(with_failures(walks), Run(show=False), None)
    assert [episode.success for episode in good] == [True] * 16
    assert [episode.success for episode in bad] == [False] * 16


def test_what_cannot_be_learned_from_is_refused_in_a_sentence(walks: Demos) -> None:
    few = with_failures(walks).keep([0, 1, 2, 20])
    with pytest.raises(UserError, match=r"3 episodes succeeded and 1 failed: at least 10 of each"):
        SMOKE.fit(few, Run(show=False))
    with pytest.raises(UserError, match="no demonstration failed, and there is no task"):
        SMOKE.fit(walks, Run(show=False))
    with pytest.raises(UserError, match="follows no paths"):
        SMOKE.outcomes(walks, Run(show=False), replace(task_named("polygons/4-0"), follow_for=None))
    with pytest.raises(UserError, match="goes on a plane"):
        SMOKE.learner(Spec({STATE: Feature((3,))}, Feature((2,))))


def test_a_plan_of_one_mode_is_cloning_with_a_pull_to_the_end(walks: Demos) -> None:
    method = replace(SMOKE, modes=1, attraction=100.0)
    agent = method.fit(walks, Run(show=False), task_named("polygons/4-0-replay"))
    learner = agent.learner
    assert isinstance(learner, Navigator)
    state = torch.tensor([[-7.0, 7.0], [7.0, -7.0]])
    towards = learner.entries[1] - state
    action = learner.act({STATE: state.unsqueeze(1)})[:, 0]
    assert torch.nn.functional.cosine_similarity(action, towards).min() > 0.99
