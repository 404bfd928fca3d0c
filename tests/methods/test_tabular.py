"""LCB, VI-LCB and the tabular baselines against the listings written as plain loops, and against enumeration."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from imitari.cli import main
from imitari.core.errors import UserError
from imitari.core.tabular import TabularMDP
from imitari.core.task import Task
from imitari.data.tabular import Counts, Steps
from imitari.envs import contextual_bandit, slippery_grid, task_named
from imitari.learn.agent import Agent
from imitari.learn.run import Run
from imitari.methods.offline.lcb import LowerConfidenceBound
from imitari.methods.offline.tabular_bc import MostPlayed
from imitari.methods.offline.tabular_greedy import TabularGreedy


def drawn(mdp: TabularMDP, count: int, seed: int, chances: np.ndarray | None = None) -> Steps:
    rng = np.random.default_rng(seed)
    flat = np.full(mdp.reward.size, 1 / mdp.reward.size) if chances is None else chances.reshape(-1) / chances.sum()
    state, action = np.divmod(rng.choice(mdp.reward.size, count, p=flat), mdp.actions)
    after = mdp.after(state, action, rng.random(count))
    reward = (rng.random(count) < mdp.reward[state, action]).astype(float)
    return Steps(state, action, reward, after, mdp.states, mdp.actions)


def small_mdp(seed: int, states: int = 4, actions: int = 3) -> TabularMDP:
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(states, 0.4), (states, actions))
    return TabularMDP(transition, rng.random((states, actions)) ** 3, 0.8, np.full(states, 1 / states))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# ---------------------------------------------------------------- bandits


@pytest.mark.parametrize(("penalty", "contexts"), [("hoeffding", 1), ("hoeffding", 6), ("theory", 6), ("scale", 6)])
def test_the_bandit_maximises_the_listed_lower_bound(penalty: str, contexts: int) -> None:
    """One context and Hoeffding: listing (A), sqrt(log(2A/delta) / 2N). Several: listing (B)."""
    arms, count = 5, 60
    generator = np.random.default_rng(3)
    context, action = generator.integers(contexts, size=count), generator.integers(arms - 1, size=count)
    reward = generator.random(count)
    steps = Steps(context, action, reward, np.full(count, contexts), contexts, arms)
    method = LowerConfidenceBound(gamma=0.0, penalty=penalty, scale=0.3)  # type: ignore[arg-type]
    found = method.solve(steps, rng())
    constant = {"hoeffding": 0.5, "theory": 2000.0, "scale": 1.0}[penalty]
    width = constant * math.log(2 * contexts * arms * count) if penalty != "scale" else 0.3**2
    for state in range(contexts):
        bounds = []
        for arm in range(arms):
            mine = [float(reward[i]) for i in range(count) if context[i] == state and action[i] == arm]
            bounds.append(sum(mine) / len(mine) - math.sqrt(width / len(mine)) if mine else -1.0)
        assert found.value[state] == pytest.approx(max(bounds))
        assert bounds[found.action[state]] == pytest.approx(max(bounds))


def test_unseen_contexts_get_the_most_played_action() -> None:
    steps = Steps(np.array([0, 0, 1]), np.array([2, 2, 1]), np.ones(3), np.full(3, 3), 3, 4)
    for method in (LowerConfidenceBound(gamma=0.0, penalty="hoeffding"), MostPlayed()):
        assert method.solve(steps, rng()).action[2] == 2


def test_a_rare_lucky_arm_fools_the_plug_in_estimate_alone() -> None:
    action = np.array([0] * 100 + [1])
    steps = Steps(
        np.zeros(101, np.int64), action, np.array([1.0] * 70 + [0.0] * 30 + [1.0]), np.ones(101, np.int64), 1, 3
    )
    assert TabularGreedy(gamma=0.0).solve(steps, rng()).action.tolist() == [1]
    assert LowerConfidenceBound(gamma=0.0, penalty="hoeffding").solve(steps, rng()).action.tolist() == [0]
    assert MostPlayed().solve(steps, rng()).action.tolist() == [0]


# ---------------------------------------------------------------- value iteration


def listing(steps: Steps, parts: list[np.ndarray], gamma: float, scale: float, top: float, split: bool) -> np.ndarray:
    """Listing (C) with plain loops: the value after the last sweep. `parts`: the steps of the first policy, then of
    every sweep."""
    value = np.zeros(steps.states)
    for part in parts[1:]:
        action_value = np.zeros((steps.states, steps.actions))
        for state, action in product(range(steps.states), range(steps.actions)):
            mine = [i for i in part if steps.state[i] == state and steps.action[i] == action]
            if not mine and not split:
                action_value[state, action] = -top
                continue
            penalty = scale * top / math.sqrt(max(1, len(mine)))
            ahead = [0.0 if steps.after[i] == steps.states else value[steps.after[i]] for i in mine]
            mean = sum(steps.reward[i] for i in mine) / max(1, len(mine))
            action_value[state, action] = mean - penalty + gamma * sum(ahead) / max(1, len(mine))
        value = np.maximum(value, action_value.max(1))
    return value


@pytest.mark.parametrize("scale", [0.0, 0.01, 0.05])
def test_value_iteration_follows_the_listing_with_all_data(scale: float) -> None:
    mdp = small_mdp(0)
    steps = drawn(mdp, 90, 1)
    method = LowerConfidenceBound(gamma=0.8, scale=scale, sweeps=12)
    expected = listing(steps, [np.arange(90)] * 13, 0.8, scale, 5.0, split=False)
    assert expected.max() > 0
    np.testing.assert_allclose(method.solve(steps, rng()).value, expected)


def test_value_iteration_follows_the_listing_with_a_part_for_every_sweep() -> None:
    steps = drawn(small_mdp(2), 300, 1)
    method = LowerConfidenceBound(gamma=0.8, scale=0.02, split=True, sweeps=9)
    parts = np.array_split(np.random.default_rng(0).permutation(300), 10)
    assert sorted(np.concatenate(parts).tolist()) == list(range(300))
    expected = listing(steps, parts, 0.8, 0.02, 5.0, split=True)
    np.testing.assert_allclose(method.solve(steps, np.random.default_rng(0)).value, expected)


def test_size_of_the_penalty_and_number_of_sweeps() -> None:
    steps = drawn(small_mdp(0), 500, 0)
    logarithm = math.log(2 * 11 * 4 * 3 / 0.01)
    for penalty, constant in (("theory", 2000.0), ("hoeffding", 0.5)):
        method = LowerConfidenceBound(gamma=0.8, penalty=penalty, delta=0.01)  # type: ignore[arg-type]
        assert method.spread(steps, 11) == pytest.approx(5.0 * math.sqrt(constant * logarithm))
    assert LowerConfidenceBound(scale=0.1, largest_value=3.0).spread(steps, 11) == pytest.approx(0.3)
    split = LowerConfidenceBound(gamma=0.8, split=True)
    assert len(split.parts(steps, math.ceil(math.log(500) / 0.2), rng())) == 33


def test_a_valid_penalty_gives_a_lower_bound() -> None:
    """Hoeffding with a split is valid with chance 1 - delta; with hundreds of samples a pair it is not idle."""
    for seed in range(20):
        mdp = small_mdp(seed)
        found = LowerConfidenceBound(gamma=0.8, penalty="hoeffding", delta=0.1, sweeps=10, split=True).solve(
            drawn(mdp, 50_000, seed), rng()
        )
        assert (found.value <= mdp.value(found.action) + 1e-6).all()
        assert found.value.max() > 0.1


def test_nothing_to_gain_leaves_imitation() -> None:
    mdp = slippery_grid.grid_mdp(slippery_grid.hole_cells(0))
    expert = mdp.occupancy(mdp.optimal().policy)
    steps = drawn(mdp, 3000, 0, 0.9 * expert + 0.1 / expert.size)
    wary = LowerConfidenceBound(penalty="theory", split=True).solve(steps, rng())
    assert wary.value.max() == 0
    most = Counts.of(steps.pick(np.array_split(rng().permutation(3000), 162)[0])).played
    seen = most.any(1)
    assert (np.take_along_axis(most, wary.action[:, None], 1)[seen, 0] == most[seen].max(1)).all()


def test_with_full_knowledge_it_plans() -> None:
    mdp = small_mdp(5)
    steps = drawn(mdp, 200_000, 0)
    for method in (LowerConfidenceBound(gamma=0.8, scale=0.0, sweeps=200), TabularGreedy(gamma=0.8)):
        assert mdp.score(method.solve(steps, rng()).action) == pytest.approx(mdp.score(mdp.optimal().policy), abs=0.01)


def test_greedy_planning_is_the_best_policy_of_the_empirical_process() -> None:
    steps = drawn(small_mdp(4), 12, 2)
    counts = Counts.of(steps)
    assert (counts.played == 0).any()
    transition = counts.transition()
    transition[counts.played == 0] = 1 / 4
    empirical = TabularMDP(transition, counts.reward, 0.8, np.full(4, 0.25))
    every = [empirical.score(np.array(policy)) for policy in product(range(3), repeat=4)]
    found = TabularGreedy(gamma=0.8).solve(steps, rng())
    assert empirical.score(found.action) == pytest.approx(max(every))
    assert float(found.value.mean()) == pytest.approx(max(every))


# ---------------------------------------------------------------- as methods


@pytest.mark.parametrize(
    "task", [task_named("slippery_grid"), task_named("contextual_bandit")], ids=lambda task: task.name
)
def test_an_agent_acts_as_its_table_says(task: Task, tmp_path: Path) -> None:
    bandit = task.name == "contextual_bandit"
    mdp = contextual_bandit.bandit_mdp(0) if bandit else slippery_grid.grid_mdp(slippery_grid.hole_cells(0))
    demos = drawn(mdp, 2000, 0).demos(task.spec, "test")
    method = LowerConfidenceBound(gamma=0.0, penalty="hoeffding") if bandit else LowerConfidenceBound()
    method.fit(demos, Run(show=False), task).save(tmp_path)
    agent = Agent.load(tmp_path)
    states = np.arange(mdp.states)[:, None]
    action, _ = agent.act({next(iter(task.spec.obs)): states}, agent.reset(mdp.states))
    expected = method.solve(Steps.of(demos, rewards=True, successors=not bandit), np.random.default_rng([0, 0x7AB]))
    np.testing.assert_array_equal(action[:, 0], expected.action)
    assert action.dtype == np.int64


@pytest.mark.parametrize("form", ["set.npz", "set"])
def test_collect_train_and_evaluate_on_the_command_line(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = str(tmp_path / form), str(tmp_path / "run")
    collected = ["collect", "slippery_grid", "--episodes", "40", "--noise", "random:0.3", "--keep-failures", "--quiet"]
    assert main([*collected, "--out", data]) == 0
    assert main(["train", "lcb", "--data", data, "--task", "slippery_grid", "--out", run, "--quiet"]) == 0
    assert main(["evaluate", run, "--task", "slippery_grid", "--episodes", "50", "--quiet"]) == 0
    agent = Agent.load(Path(run))
    mdp = slippery_grid.grid_mdp(slippery_grid.hole_cells(0))
    policy = agent.learner.get_buffer("action").numpy()
    assert mdp.score(policy) > 0.8 * mdp.score(mdp.optimal().policy)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gamma": 1.0}, "gamma is 1.0"),
        ({"scale": -0.1}, "scale is -0.1"),
        ({"delta": 1.0}, "delta is 1.0"),
        ({"largest_value": -1.0}, "largest_value is -1.0"),
        ({"penalty": "bernstein"}, "'penalty' is 'bernstein': it must be one of scale, hoeffding, theory"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        LowerConfidenceBound.from_json(settings)


def test_rewards_and_sizes_that_cannot_be_are_refused() -> None:
    steps = Steps(
        np.zeros(4, np.int64), np.zeros(4, np.int64), np.array([0.0, 0.5, 1.5, 0.0]), np.ones(4, np.int64), 1, 2
    )
    with pytest.raises(UserError, match=r"rewards must lie in \[0, 1\]"):
        LowerConfidenceBound().solve(steps, rng())
    with pytest.raises(UserError, match="split needs more than"):
        LowerConfidenceBound(split=True).solve(drawn(small_mdp(0), 20, 0), rng())
