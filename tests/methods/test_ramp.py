"""RAMP: which episodes follow a plan, by the paper's rules; steps of plans are learned from as the policy's own; plans
are checked; it resumes, is saved, and acts by plan before it acts by policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.envs import task_named
from imitari.envs.crafting import STATE
from imitari.evaluate.rollout import rollout
from imitari.learn.agent import Agent
from imitari.learn.method import method_named
from imitari.learn.rollout import LOG_DENSITY, Practice, Rollout
from imitari.learn.run import Run
from imitari.methods.online.ppo import ProximalPolicyOptimisation
from imitari.methods.planning.ramp import PlannedEpisodes, PlanningPolicy, ReinforcedPlanning
from imitari.plan.following import PlanFollower
from imitari.plan.model import Domain, Problem
from imitari.plan.planners import Planned
from tests.conftest import CutAt

TASK = "crafting/pogo-6"
SETTINGS: dict[str, Any] = {
    "steps": 256, "maps": 2, "together": 1, "horizon": 32, "epochs": 1, "hidden": [16], "states": 600, "shortest": 0,
}  # fmt: skip


def ramp(**settings: Any) -> ReinforcedPlanning:
    method = method_named("ramp", {**SETTINGS, **settings})
    assert isinstance(method, ReinforcedPlanning)
    return method


def fit(method: ReinforcedPlanning, demos: Demos | None, task: str = TASK, **settings: Any) -> Agent:
    return method.fit(demos, Run(device="cpu", show=False, **settings), task_named(task))


def guide_of(demos: Demos | None, **settings: Any) -> PlannedEpisodes:
    task = task_named(TASK)
    assert task.symbols is not None
    guide = PlannedEpisodes(ramp(**settings), task, task.symbols, demos)
    guide.enter(700)
    return guide


def episode(guide: PlannedEpisodes, choose: int = 0) -> tuple[list[int], bool]:
    """From start 700, with a policy that always makes one choice: what was done, and whether that solved it."""
    from imitari.core.continuing import Moved

    world = task_named(TASK).make(1)
    obs, _ = world.reset(seed=[700])
    done: list[int] = []
    while True:
        action = guide.act(obs, np.array([[choose]]))
        obs, reward, terminated, truncated, _ = world.step(action)
        guide.saw(Moved(obs, reward, terminated, truncated))
        done.append(int(action[0, 0]))
        if (terminated | truncated)[0]:
            return done, bool(terminated[0])


def test_plans_are_followed_in_turns_and_only_where_they_are_better(crafting_demos: Demos) -> None:
    guide = guide_of(crafting_demos)
    first, solved = episode(guide)  # a plan is found: it is the first
    assert solved
    assert guide.best == len(first)
    assert guide.planned[0]
    second, solved = episode(guide)  # after a planned episode the policy acts
    assert second == [0] * 32
    assert not solved
    third, _ = episode(guide)  # a plan, but no shorter one
    assert third == [0] * 32
    assert guide.counted()[0] | {"episodes": 3, "planned": 1, "failed": 0, "best": len(first)} == guide.counted()[0]
    guide.best += 1  # as if what was found before had been longer
    assert episode(guide)[0] == first
    guide.enter(701)
    assert guide.best == 0
    assert not guide.planned.any()
    assert len(guide.counted()) == 2


def test_good_enough_plans_end_the_search(crafting_demos: Demos) -> None:
    guide = guide_of(crafting_demos, shortest=32)
    asked, plan = [], guide.plan
    guide.plan = lambda problem: asked.append(problem) or plan(problem)  # type: ignore[method-assign]
    assert episode(guide)[1]
    for _ in range(3):
        assert episode(guide)[0] == [0] * 32
    assert len(asked) == 1


def test_without_a_success_no_plan_is_asked_for() -> None:
    guide = guide_of(None)
    guide.plan = lambda problem: pytest.fail("asked for a plan")  # type: ignore[method-assign]
    for _ in range(3):
        assert episode(guide, choose=7)[0] == [7] * 32


def shown(guide: PlannedEpisodes, start: int) -> int:
    """An episode of the expert with detours, as if the policy had acted so; its length."""
    from imitari.core.continuing import Moved

    task = task_named(TASK)
    world = task.make(1)
    expert = task.expert(world)
    obs, _ = world.reset(seed=[start])
    length = 0
    while True:
        action, _ = expert.act(obs, None)
        if length % 4 < 2:
            action = np.array([[20 + length]])
        action = guide.act(obs, action)
        obs, reward, terminated, truncated, _ = world.step(action)
        guide.saw(Moved(obs, reward, terminated, truncated))
        length += 1
        if (terminated | truncated)[0]:
            assert terminated[0], "the expert was too slow: choose another start"
            return length


def test_where_the_planner_fails_what_was_done_is_shortened_and_followed() -> None:
    guide = guide_of(None, check="simulator")
    follower = guide.method.follower

    def blind(*given: Any) -> PlanFollower:
        found = follower(*given)
        found.planner = lambda domain, problem: Planned("timeout", (), 0.0)
        return found

    object.__setattr__(guide.method, "follower", blind)
    length = shown(guide, 700)
    assert guide.experience.reached
    followed, solved = episode(guide)
    assert solved
    assert len(followed) < length
    assert guide.counted()[0]["done_before"] == 1
    assert guide.counted()[0]["found"] == 0


@pytest.mark.parametrize("check", ["simulator", "execution"])
def test_wrong_plans_do_not_count(crafting_demos: Demos, check: str) -> None:
    """A planner that leaves out a step: the simulator refuses the plan, execution gives it up where it goes wrong."""
    guide = guide_of(crafting_demos, check=check)
    follower = guide.method.follower

    def careless(*given: Any) -> PlanFollower:
        found = follower(*given)
        planner = found.planner

        def without_last(domain: Domain, problem: Problem) -> Planned:
            planned = planner(domain, problem)
            return Planned(planned.status, planned.plan[:-1], 0.0)

        found.planner = without_last
        return found

    object.__setattr__(guide.method, "follower", careless)
    done, solved = episode(guide)
    assert not solved
    counts = guide.counted()[0]
    assert guide.best == 0
    if check == "simulator":
        assert done == [0] * 32
        assert (counts["refused"], counts["planned"], counts["failed"]) == (1, 0, 0)
    else:
        assert done[0] != 0
        assert (counts["refused"], counts["planned"], counts["failed"]) == (0, 1, 1)


def test_steps_of_a_plan_are_stored_with_what_the_policy_gives_them(
    crafting_demos: Demos, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollouts: list[tuple[Rollout, Array]] = []
    acted, densities = Practice.act, []

    def watched(self: Practice, horizon: int) -> Rollout:
        done: list[Array] = []
        guide = self.guide
        assert guide is not None
        act = guide.act

        def noted(obs: Obs, action: Array) -> Array:
            done.append(act(obs, action))
            return done[-1]

        guide.act = noted  # type: ignore[method-assign]
        rollout = acted(self, horizon)
        guide.act = act  # type: ignore[method-assign]
        rollouts.append((rollout, np.concatenate(done)))
        densities.append(self.log_density(rollout))
        return rollout

    monkeypatch.setattr(Practice, "act", watched)
    agent = fit(ramp(), crafting_demos)
    assert sum(one["planned"] for one in agent.facts["plans"]) >= 1
    for (one, done), density in zip(rollouts, densities, strict=True):
        np.testing.assert_array_equal(one.action, done)
        np.testing.assert_array_equal(one.extra[LOG_DENSITY], density)
    assert max(one["best"] for one in agent.facts["maps"]) > 0


def test_the_share_of_planned_episodes_is_logged(crafting_demos: Demos) -> None:
    run = Run(device="cpu", show=False)
    agent = ramp().fit(crafting_demos, run, task_named(TASK))
    last = run.metrics.rows[-1]
    plans = agent.facts["plans"][-1]
    assert last["planned_share"] == pytest.approx(plans["planned"] / plans["episodes"])
    assert last["best_plan"] == plans["best"]
    assert agent.facts["data"]["episodes"] == len(crafting_demos)


def test_the_same_after_a_cut(crafting_demos: Demos, tmp_path: Path, cut_at: CutAt) -> None:
    """Plans and counts too, in the middle of an episode that follows a plan or not."""
    method = ramp(together=2, steps=512)
    whole = fit(method, crafting_demos, folder=tmp_path / "whole")
    with cut_at(11):
        fit(method, crafting_demos, folder=tmp_path / "cut", save_seconds=0.0)
    again = fit(method, crafting_demos, folder=tmp_path / "cut", save_seconds=0.0)
    assert again.facts["plans"] == whole.facts["plans"]
    assert again.facts["maps"] == whole.facts["maps"]
    for key, value in whole.learner.state_dict().items():
        assert torch.equal(value, again.learner.state_dict()[key]), key


def test_the_agent_plans_first_and_else_asks_its_policy(crafting_demos: Demos, tmp_path: Path) -> None:
    fit(ramp(), crafting_demos).save(tmp_path)
    agent = Agent.load(tmp_path)
    learner = agent.learner
    assert isinstance(learner, PlanningPolicy)
    task = task_named(TASK)
    episodes = rollout(agent, task, range(500, 508))
    assert sum(bool(one.success) for one in episodes) >= 2
    learner.follower.planner = lambda domain, problem: Planned("none", (), 0.0)
    world = task.make(3)
    obs, _ = world.reset(seed=range(3))
    action, _ = agent.act(obs, agent.reset(3, seed=1))
    torch.manual_seed(0)
    own = learner.policy({STATE: torch.from_numpy(obs[STATE])}).logits  # type: ignore[union-attr]
    assert own.shape == (3, 42)
    assert (action >= 0).all()
    assert action.shape == (3, 1)


def test_before_the_first_success_it_is_masked_proximal_policy_optimisation() -> None:
    """Step by step, to the last bit: what it adds begins with the first success."""
    settings = {key: value for key, value in ramp().to_json().items() if hasattr(ProximalPolicyOptimisation, key)}
    alone = ProximalPolicyOptimisation.from_json({**settings, "steps": 128})
    task = task_named(TASK)
    one = alone.fit(None, Run(device="cpu", show=False), task)
    two = fit(ramp(steps=128), None)
    assert two.facts["maps"] == one.facts["maps"]
    assert not any(found["solved"] for found in one.facts["maps"])
    for key, value in one.learner.state_dict().items():
        assert torch.equal(value, two.learner.state_dict()[key]), key


@pytest.mark.parametrize(
    ("settings", "words"), [({"maps": 0}, "maps 0"), ({"clone_steps": 5}, "new policy"), ({"seconds": 0.0}, "seconds")]
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ramp(**settings)


def test_tasks_without_symbols_are_refused() -> None:
    with pytest.raises(UserError, match="words of planning"):
        fit(ramp(), None, "two_ways")
