"""Planning with learned actions: it plans once, plans anew where it must, moves to larger maps, is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.errors import Missing, UserError
from imitari.envs import task_named
from imitari.envs.crafting import STATE, Curious, layout
from imitari.evaluate.rollout import rollout
from imitari.jobs.demonstrations import demonstrate
from imitari.jobs.evaluation import evaluate
from imitari.learn.agent import Agent
from imitari.learn.method import method_named
from imitari.learn.run import Run
from imitari.methods.planning.nsam import PlanningLearner
from imitari.plan import enhsp
from imitari.plan.following import PlanFollower
from imitari.plan.grounding import World
from imitari.plan.model import Domain, Problem
from imitari.plan.planners import Planned
from imitari.plan.validation import execute


def fitted(demos: Demos, **settings: object) -> Agent:
    method = method_named("nsam", {"states": 1000, **settings})
    return method.fit(demos, Run(show=False), task_named("crafting/pogo-6"))


def follower_of(agent: Agent) -> PlanFollower:
    assert isinstance(agent.learner, PlanningLearner)
    return agent.learner.follower


def test_plans_of_what_was_learned_hold_in_truth(crafting_demos: Demos) -> None:
    agent = fitted(crafting_demos)
    follower = follower_of(agent)
    truth = World(layout("pogo-6").domain(), follower.reading.problem.objects)
    world = task_named("crafting/pogo-6").make(12)
    obs, _ = world.reset(seed=range(500, 512))
    states, solved = follower.reading.states(obs), 0
    for row in range(12):
        problem = follower.reading.problem_at(states, row)
        plan = follower.plan(problem)
        happened = execute(truth.vocabulary.domain, problem, plan.steps, truth)
        assert happened.refused is None
        assert happened.reached or plan.planned.status != "solved"
        np.testing.assert_array_equal(happened.states.facts, plan.states.facts)
        solved += happened.reached
    assert solved >= 6


def test_a_group_of_ten_curious_traces_is_enough() -> None:
    """Together they show every craft from little to much, so that hardly a problem lies outside what they allow."""
    task = task_named("crafting/pogo-6")
    demos = demonstrate(task, range(10), actor=Curious(layout("pogo-6")), together=10)
    assert sum(episode.success for episode in rollout(fitted(demos), task, range(500, 510))) >= 9


def test_it_plans_once_an_episode_and_anew_where_it_comes_out_differently(crafting_demos: Demos) -> None:
    agent = fitted(crafting_demos, plans=3)
    follower = follower_of(agent)
    task = task_named("crafting/pogo-6")
    world = task.make(1)
    start = next(seed for seed in range(500, 520) if rollout(agent, task, [seed])[0].success)
    asked, plan = [], follower.plan
    follower.plan = lambda problem: asked.append(problem) or plan(problem)  # type: ignore[method-assign]
    assert rollout(agent, task, [start])[0].success
    assert len(asked) == 1
    asked.clear()
    obs, _ = world.reset(seed=[start])
    memory = agent.reset(1)
    for step in range(32):
        action, memory = agent.act(obs, memory)
        if step == 1:  # somebody moves it elsewhere
            action = np.array([[35 if obs[STATE][0, -1] != 35 else 34]])
        obs, _, _, _, info = world.step(action)
    assert info["success"][0]
    assert len(asked) == 2


def test_who_finds_no_plan_asks_so_often_and_no_more(crafting_demos: Demos) -> None:
    agent = fitted(crafting_demos.keep([0]), plans=2, states=50)
    follower = follower_of(agent)
    asked: list[Problem] = []

    def none(domain: Domain, problem: Problem) -> Planned:
        asked.append(problem)
        return Planned("none", (), 0.0)

    follower.planner = none
    task = task_named("crafting/pogo-6")
    (episode,) = rollout(agent, task, [700])
    assert not episode.success
    assert len(asked) == 2
    assert (episode.action == 0).all()


def test_what_was_learned_holds_on_larger_maps(crafting_demos: Demos, tmp_path: Path) -> None:
    """Through saving, loading and the evaluation that all agents go through."""
    agent = fitted(crafting_demos)
    agent.save(tmp_path)
    large = task_named("crafting/pogo-8")
    outcomes = evaluate(Agent.load(tmp_path), large, range(800, 808), show=False)
    assert sum(outcome.success for outcome in outcomes) >= 4
    assert {outcome.policy for outcome in outcomes} == {agent.identity()}
    text = (tmp_path / "agent.json").read_text()
    assert "(:action craft_pogo" in text


def test_a_changed_model_is_refused(crafting_demos: Demos, tmp_path: Path) -> None:
    fitted(crafting_demos).save(tmp_path)
    path = tmp_path / "agent.json"
    path.write_text(path.read_text().replace("(increase (planks) 4)", "(increase (planks) 5)"))
    with pytest.raises(UserError, match="identity"):
        Agent.load(tmp_path)


def test_tasks_without_symbols_are_refused(small_demos: Demos) -> None:
    with pytest.raises(UserError, match="words of planning"):
        method_named("nsam", {}).fit(small_demos, Run(show=False), task_named("two_ways"))
    with pytest.raises(UserError, match="--task"):
        method_named("nsam", {}).fit(small_demos, Run(show=False), None)


def test_enhsp_plans_with_what_was_learned(crafting_demos: Demos) -> None:
    """What we write of a learned domain is what the planner reads: its plan is valid, and a shortest one as ours."""
    try:
        enhsp.parts()
    except Missing as error:
        pytest.skip(str(error))
    ours, theirs = (follower_of(fitted(crafting_demos, planner=name)) for name in ("breadth_first", "enhsp_optimal"))
    world = task_named("crafting/pogo-6").make(12)
    obs, _ = world.reset(seed=range(500, 512))
    states = ours.reading.states(obs)
    problems = [ours.reading.problem_at(states, row) for row in range(12)]
    problem = next(one for one in problems if ours.plan(one).planned.status == "solved")
    plan = theirs.plan(problem)
    assert execute(layout("pogo-6").domain(), problem, plan.steps).valid
    assert len(plan.steps) == len(ours.plan(problem).steps)
