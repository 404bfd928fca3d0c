"""Deep Q-learning: its targets against hand computation, its values against value iteration, masks, exploration,
starts in turn, and a training that is cut off."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.core.spec import Feature, Spec
from imitari.core.starts import learning_starts
from imitari.core.tabular import TabularMDP
from imitari.core.task import RandomActor, Task
from imitari.envs import task_named
from imitari.envs._batched import BatchedWorld, State
from imitari.learn.agent import Agent
from imitari.learn.deep_q import DeepQ
from imitari.learn.offpolicy import Explorer
from imitari.learn.run import Run
from imitari.methods.offline.offline_dqn import OfflineDeepQNetwork
from imitari.methods.online.dqn import DeepQNetwork
from tests.conftest import CutAt

KEY, MASK = "observation.place", "observation.allowed"
PLACES, GAMMA, LIMIT = 6, 0.8, 12
ACTION = Feature((1,), "int64", "choice", low=(0,), high=(2,))
PLACE = Feature((1,), "int64", "choice", low=(0,), high=(PLACES - 1,))
SPEC = Spec({KEY: PLACE}, ACTION)
MASKED = Spec({KEY: PLACE, MASK: Feature((3,))}, ACTION)
NEXT = np.array([[max(p - 1, 0), min(p + 1, PLACES - 1), p] for p in range(PLACES)])  # back, on, stay
SMALL = DeepQNetwork(
    steps=400, together=4, batch=16, warm_steps=20, hidden=(16,), target_every=10, gamma=GAMMA, capacity=500, lr=3e-3
)


def table() -> TabularMDP:
    """A line: the last place ends the episode with reward 1; staying at the first gives 0.1."""
    chances, reward = np.zeros((PLACES, 3, PLACES)), np.zeros((PLACES, 3))
    for place in range(PLACES - 1):
        for choice, after in enumerate(NEXT[place]):
            chances[place, choice, after] = after < PLACES - 1
            reward[place, choice] = after == PLACES - 1
    reward[0, 2] = 0.1
    return TabularMDP(chances, reward, GAMMA, np.eye(PLACES)[0])


class Line(BatchedWorld):
    """The line of `table`, begun anywhere but at its end."""

    def start(self, rng: np.random.Generator) -> State:
        return {"place": rng.integers(PLACES - 1, size=())}

    def observe(self, state: State) -> Obs:
        seen: Obs = {KEY: state["place"][:, None].astype(np.int64)}
        if MASK in self.spec_of_step.obs:
            seen[MASK] = np.stack([state["place"] > 0, np.ones_like(state["place"]), state["place"] % 2 == 0], 1)
            seen[MASK] = seen[MASK].astype(np.float32)
        return seen

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        before, chosen = state["place"], action.reshape(-1)
        after = NEXT[before, chosen]
        there = after == PLACES - 1
        return {"place": after}, there + 0.1 * ((before == 0) & (chosen == 2)), there, there


def line(spec: Spec = SPEC) -> Task:
    return Task("line", spec, LIMIT, lambda count: Line(count, spec, LIMIT))


def fit(
    settings: dict[str, Any] | None = None, task: Task | None = None, data: Demos | None = None, **run: Any
) -> Agent:
    method = dataclasses.replace(SMALL, **(settings or {}))
    return method.fit(data, Run(device="cpu", precision="fp32", show=False, **run), task or line())


def random_demos(spec: Spec = SPEC, episodes: int = 60) -> Demos:
    return Demos.from_episodes(interact(RandomActor(spec), Line(episodes, spec, LIMIT), range(episodes)), spec)


def values(agent: Agent) -> Array:
    """(places but the last, 3) action values."""
    assert isinstance(agent.learner, DeepQ)
    with torch.inference_mode():
        return agent.learner.values({KEY: torch.arange(PLACES - 1)[:, None]}).numpy()


class Fixed(torch.nn.Module):
    """Values that were written down, in the place of a network."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        return self.rows[obs[KEY].squeeze(1)]


def written_down(**settings: Any) -> DeepQ:
    """Q says that choice 1 is best in place 0, its target that choice 2 is."""
    learner = DeepQ(OfflineDeepQNetwork(**settings), MASKED if settings.get("mask") else SPEC)
    learner.values, learner.target = Fixed([[1.0, 5.0, 2.0]]), Fixed([[10.0, 20.0, 30.0]])  # type: ignore[assignment]
    return learner


def batch_of(discount: list[float], **more: Tensor) -> Batch:
    obs = {KEY: torch.zeros(len(discount), 1, dtype=torch.int64), **more}
    action = torch.tensor([[0], [1], [2]])[: len(discount)]
    return Batch(obs, action, reward=torch.ones(len(discount)), discount=torch.tensor(discount), next_obs=obs)


def test_targets_are_those_computed_by_hand() -> None:
    batch = batch_of([0.5, 0.0, 1.0])
    assert written_down(double=True).backup(batch).tolist() == [11, 1, 21]  # Q's choice 1, by the target worth 20
    assert written_down(double=False).backup(batch).tolist() == [16, 1, 31]
    allowed = torch.tensor([[1.0, 0, 1], [1, 1, 0], [0, 0, 0]])  # where nothing is left everything is
    masked = batch_of([1.0, 1.0, 1.0], **{MASK: allowed})
    assert written_down(double=True, mask=MASK).backup(masked).tolist() == [31, 21, 21]
    assert written_down(double=False, mask=MASK).backup(masked).tolist() == [31, 21, 31]


def test_errors_beyond_one_count_linearly() -> None:
    value, backup = torch.tensor([0.5, -3.0], requires_grad=True), torch.zeros(2)
    for huber, loss, slopes in ((True, (0.125 + 2.5) / 2, [0.25, -0.5]), (False, (0.125 + 4.5) / 2, [0.25, -1.5])):
        found = written_down(huber=huber).value_loss(value, backup)
        assert found.item() == pytest.approx(loss)
        (slope,) = torch.autograd.grad(found, value)
        assert slope.tolist() == pytest.approx(slopes)


def test_the_target_is_a_hard_copy_every_so_many_updates() -> None:
    from imitari.learn.run import Updates

    same: list[bool] = []
    step = Updates.step

    def watched(self: Updates, *given: Any, **named: Any) -> None:
        step(self, *given, **named)
        learner = self.learner
        assert isinstance(learner, DeepQ)
        pairs = zip(learner.values.parameters(), learner.target.copy.parameters(), strict=True)
        same.append(all(torch.equal(one, other) for one, other in pairs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updates, "step", watched)
        OfflineDeepQNetwork(steps=20, target_every=7, hidden=(8,)).fit(random_demos(), Run(device="cpu", show=False))
    assert same == [number % 7 == 6 for number in range(20)]


@pytest.mark.parametrize("double", [True, False])
def test_values_are_those_of_value_iteration(double: bool) -> None:
    exact = table().optimal().action_value[:-1]
    settings = {"hidden": (64,), "batch": 64, "lr": 3e-3, "target_every": 25, "double": double}
    method = OfflineDeepQNetwork(steps=1_200, gamma=GAMMA, **settings)  # type: ignore[arg-type]
    offline = method.fit(random_demos(), Run(device="cpu", precision="fp32", show=False))
    np.testing.assert_allclose(values(offline), exact, atol=0.03)
    online = fit({**settings, "steps": 1_300, "warm_steps": 100, "explore_to": 0.5, "explore_share": 1.0})
    np.testing.assert_allclose(values(online), exact, atol=0.03)
    obs = {KEY: np.arange(PLACES - 1)[:, None]}
    for agent in (offline, online):
        assert agent.act(obs, agent.reset(5))[0][:, 0].tolist() == exact.argmax(1).tolist()


def test_what_is_masked_is_neither_done_nor_hoped_for() -> None:
    seen: list[tuple[Array, Array]] = []

    class Watched(Line):
        def step(self, actions: Any) -> Any:
            running = ~(self._terminated | self._truncated)
            seen.append((self.observe(self.state)[MASK][running], np.asarray(actions)[running]))
            return super().step(actions)

    task = Task("line", MASKED, LIMIT, lambda count: Watched(count, MASKED, LIMIT))
    agent = fit({"mask": MASK}, task)
    assert len(seen) > 50
    for mask, actions in seen:
        assert np.take_along_axis(mask, actions, 1).all()
    assert isinstance(agent.learner, DeepQ)
    assert list(agent.learner.values.encoder.numbers.sizes) == [KEY]
    offline = OfflineDeepQNetwork(steps=20, hidden=(8,), mask=MASK, epsilon=1.0).fit(
        random_demos(MASKED), Run(device="cpu", show=False)
    )
    allowed = np.tile(np.array([[0, 1, 0], [1, 0, 1]], np.float32), (200, 1))
    obs = {KEY: np.zeros((400, 1), np.int64), MASK: allowed}
    action, _ = offline.act(obs, offline.reset(400))
    assert np.take_along_axis(allowed, action, 1).all()
    assert set(action[1::2, 0]) == {0, 2}


def test_chance_falls_along_a_line() -> None:
    method = dataclasses.replace(SMALL, steps=1000, warm_steps=50, explore_from=0.9, explore_to=0.1, explore_share=0.5)
    chances = [method.randomness(steps) for steps in (0, 49, 50, 250, 500, 900)]
    assert chances == pytest.approx([1, 1, 0.82, 0.5, 0.1, 0.1])
    share: list[float] = []
    propose = Explorer._proposed  # pyright: ignore[reportPrivateUsage]

    def counting(self: Explorer, *given: Any) -> Any:
        calls = 0
        act = self.chance.act

        def noting(obs: Obs, dice: Any) -> Any:
            nonlocal calls
            calls += 1
            return np.full((len(obs[KEY]), 1), 2), dice

        self.chance.act = noting  # type: ignore[method-assign]
        found = propose(self, *given)
        self.chance.act = act  # type: ignore[method-assign]
        share.append(float((found[0] == 2).mean()))
        return found

    with pytest.MonkeyPatch.context() as patch:
        # A learner that never chooses 2 by itself.
        patch.setattr(DeepQ, "act", lambda self, obs: torch.zeros(len(obs[KEY]), 1, 1, dtype=torch.int64))
        patch.setattr(Explorer, "_proposed", counting)
        fit({"steps": 4000, "together": 40, "explore_from": 1.0, "explore_to": 0.0, "explore_share": 1.0})
    third = len(share) // 3
    assert np.mean(share[:third]) == pytest.approx(5 / 6, abs=0.08)
    assert np.mean(share[-third:]) == pytest.approx(1 / 6, abs=0.08)


def test_after_training_chance_has_its_share() -> None:
    obs = {KEY: np.full((3000, 1), PLACES - 2)}
    for epsilon in (0.0, 0.3):
        agent = fit({"epsilon": epsilon})
        action, _ = agent.act(obs, agent.reset(3000))
        best = np.bincount(action[:, 0]).max() / 3000
        assert best == pytest.approx(1 - epsilon * 2 / 3, abs=0.03)


def test_fewer_updates_than_steps() -> None:
    run = Run(device="cpu", show=False, report_every=1)
    dataclasses.replace(SMALL, update_every=4).fit(None, run, line())
    assert run.metrics.rows[-1]["step"] == (400 - 20) // 4


def test_demonstrations_fill_the_replay_or_a_share_of_the_batches() -> None:
    for ratio in (0.0, 0.5):
        agent = fit({"offline_ratio": ratio}, data=random_demos())
        assert agent.facts["data"]["episodes"] == 60


@pytest.mark.parametrize("update", [3, 90, 300])
def test_starts_in_turn_with_a_learned_mask_survive_a_cut(update: int, tmp_path: Path, cut_at: CutAt) -> None:
    task = task_named("crafting/pogo-counts")
    settings = {"maps": 3, "mask": "learned", "together": 2, "steps": 350, "explore_share": 1.0}
    whole = fit(settings, task, folder=tmp_path / "whole")
    with cut_at(update):
        fit(settings, task, folder=tmp_path / "cut", save_seconds=0.0)
    again = fit(settings, task, folder=tmp_path / "cut", save_seconds=0.0)
    assert again.identity() == whole.identity()
    assert again.facts == whole.facts
    starts = [learning_starts(0, number)[0] for number in range(3)]
    assert [one["start"] for one in whole.facts["maps"]] == starts == whole.facts["starts"][task.name]
    rounds, maps = whole.facts["explored"]["rounds"], whole.facts["maps"]
    assert sum(one["steps"] for one in rounds) == 350
    assert sum(one["episodes"] for one in rounds) == sum(one["episodes"] for one in maps)
    assert sum(one["solved"] for one in rounds) == sum(one["solved"] for one in maps) > 0
    assert all((one["best"] > 0) == (one["solved"] > 0) for one in maps)
    assert whole.learner.get_submodule("tried").get_buffer("refused").any()


def test_the_best_of_a_start_is_its_shortest_solution() -> None:
    agent = fit({"maps": 2, "steps": 800, "explore_share": 0.5})
    for one in agent.facts["maps"]:
        world = Line(1, SPEC, LIMIT)
        place = int(world.reset(seed=[one["start"]])[0][KEY][0, 0])
        assert one["best"] == PLACES - 1 - place  # so many steps forward; random walks find them here
        assert one["episodes"] >= one["solved"] > 0


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    for settings, words in (
        ({"target_every": 0}, "target_every is 0"),
        ({"epsilon": 1.5}, "epsilon is 1.5"),
        ({"explore_to": 1.2}, "explore_to 1.2"),
        ({"explore_share": 0.0}, "explore_share 0"),
        ({"update_every": 500}, "update_every is 500"),
        ({"maps": -1}, "maps is -1"),
    ):
        with pytest.raises(UserError, match=words):
            dataclasses.replace(SMALL, **settings)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="actions that are choices"):
        fit(task=task_named("two_ways"))
    with pytest.raises(UserError, match="'learned' is no observation"):
        OfflineDeepQNetwork(mask="learned").fit(random_demos(), Run(device="cpu", show=False))
    with pytest.raises(UserError, match="give --task"):
        SMALL.fit(None, Run(device="cpu", show=False))
