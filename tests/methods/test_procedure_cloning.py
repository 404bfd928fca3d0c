"""Procedure cloning against plain loops: samples, loss, the repetition of a step, other sizes; its baselines."""

from __future__ import annotations

from contextlib import nullcontext
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.data.procedures import AGENT, BLANK, LENGTH, MOVES, STEP, TARGET, VALUE, WALL, MapSteps
from imitari.data.sampling import Batches
from imitari.envs import task_named
from imitari.envs.tunnels import MAP, layout
from imitari.evaluate.rollout import rollout
from imitari.jobs.demonstrations import demonstrate
from imitari.learn.agent import Agent
from imitari.learn.learner import Learner
from imitari.learn.method import method_class
from imitari.learn.run import Run
from imitari.nets.procedure import StepModel, generate, moved

SMALL = {"widths": [8, 8], "batch": 16, "lr": 3e-3}


def trained(name: str, demos: Demos, **settings: object) -> Agent:
    return method_class(name).from_json(settings).fit(demos, Run(show=False), task_named("tunnels/10"))


def learner_of(name: str, **settings: object) -> Learner:
    torch.manual_seed(0)
    return method_class(name).from_json(settings).learner(task_named("tunnels/10").spec)


def test_samples_are_all_pairs_of_state_and_step(map_demos: Demos) -> None:
    steps = MapSteps(map_demos)
    expected = []
    for episode in map_demos:
        for at in range(len(episode)):
            value, order = episode.extra[VALUE][at], episode.extra[STEP][at]
            for number in range(int(episode.extra[LENGTH][at])):
                maps = [np.where((order >= 0) & (order < count), value, BLANK) for count in (number, number + 1)]
                expected.append((episode.obs[MAP][at], *maps))
    batch = steps.gather(np.arange(len(steps)))
    assert len(steps) == len(expected)
    for found, wanted in zip(
        (batch.obs[MAP][:, 0], batch.extra["before"], batch.extra["after"]), zip(*expected, strict=True), strict=True
    ):
        np.testing.assert_array_equal(found, np.stack(wanted))
    # What is written stays, something new is written in every step, and the agent's cell only in the last.
    before, after = batch.extra["before"], batch.extra["after"]
    assert (after[before != BLANK] == before[before != BLANK]).all()
    assert (before != after).any((1, 2)).all()


def test_a_chosen_part_has_samples_of_its_own(map_demos: Demos) -> None:
    part, rows = map_demos.keep([3, 1]), []
    for episode in part:
        rows += [episode.obs[MAP][at] for at in range(len(episode)) for _ in range(int(episode.extra[LENGTH][at]))]
    seen = MapSteps(part).gather(np.arange(len(rows))).obs[MAP][:, 0]
    np.testing.assert_array_equal(seen, np.stack(rows))


def test_the_loss_is_the_mean_over_samples_and_cells(map_demos: Demos) -> None:
    batch = Batches(MapSteps(map_demos), 3, 0)(0).map(lambda _, value: torch.as_tensor(value))
    learner = learner_of("procedure_cloning", **SMALL)
    loss = learner.losses(batch)
    total, wrong = 0.0, []
    step = cast(StepModel, learner.get_submodule("step"))
    weights = [layer for layer in step.layers if isinstance(layer, torch.nn.Conv2d)]
    for state, before, after in zip(batch.obs[MAP][:, 0], batch.extra["before"], batch.extra["after"], strict=True):
        channels = [state[..., channel].float() for channel in (WALL, TARGET, AGENT)]
        channels += [(before == value).float() for value in (0, 1, 2, 3, BLANK)]
        x = torch.stack(channels)[None]
        for number, layer in enumerate(weights):
            x = functional.conv2d(x if number == 0 else x.relu(), layer.weight, layer.bias, padding=1)
        for i in range(10):
            for j in range(10):
                label = 4 if after[i, j] == BLANK else int(after[i, j])
                total -= x[0, :, i, j].log_softmax(0)[label].item()
                if before[i, j] != after[i, j]:
                    wrong.append(int(x[0, :, i, j].argmax()) != label)
    assert loss["procedure_loss"].item() == pytest.approx(total / 300, rel=1e-4)
    assert float(loss["_frontier_error"]) == pytest.approx(np.mean(wrong))


def test_inside_a_larger_map_a_step_is_the_same() -> None:
    model = StepModel(3, 4, (6, 6, 6, 6)).eval()
    state = torch.randint(0, 2, (2, 24, 24, 3)).float()
    before = torch.randint(-1, 4, (2, 24, 24))
    small = model(state[:, 3:19, 5:21], before[:, 3:19, 5:21])
    torch.testing.assert_close(small[:, 5:11, 5:11], model(state, before)[:, 8:14, 10:16])
    changed = before.clone()
    changed[:, 3 + 8 + 6, 5 + 8] = (before[:, 3 + 8 + 6, 5 + 8] + 2) % 4  # six cells away: out of sight
    torch.testing.assert_close(model(state, changed)[:, 11, 13], model(state, before)[:, 11, 13])
    changed[:, 3 + 8 + 5, 5 + 8] = (before[:, 3 + 8 + 5, 5 + 8] + 2) % 4
    assert not torch.allclose(model(state, changed)[:, 11, 13], model(state, before)[:, 11, 13])


class Perfect(StepModel):
    """A step of the search by hand."""

    def __init__(self) -> None:
        super().__init__(3, 4, (4,))

    def following(self, state: Tensor, before: Tensor) -> Tensor:
        after = before.clone()
        reached = (before >= 0) | (state[..., TARGET] > 0)
        for move in reversed(range(4)):
            dx, dy = MOVES[move].tolist()
            closer = torch.roll(reached, (-dx, -dy), (1, 2))
            after[closer & ~reached & (state[..., WALL] == 0)] = move
        return after


def test_the_repetition_of_a_perfect_step_is_the_search() -> None:
    task = task_named("tunnels/16")
    world = task.make(30)
    seen = world.reset(seed=range(30))[0]
    expert = task.expert(world)
    action, _ = expert.act(seen, None)
    trace = expert.trace()  # type: ignore[attr-defined]
    state = torch.from_numpy(seen[MAP]).float()
    here = state[..., AGENT].flatten(1).argmax(1)

    def done(which: Tensor, written: Tensor) -> Tensor:
        return written.flatten(1).gather(1, here[which, None])[:, 0] >= 0

    written, steps = generate(Perfect(), state, done, 100, nullcontext())
    np.testing.assert_array_equal(steps.numpy(), trace[LENGTH])
    np.testing.assert_array_equal(written.numpy(), trace[VALUE])
    np.testing.assert_array_equal(written.flatten(1).gather(1, here[:, None]).numpy(), action)
    _, few = generate(Perfect(), state, done, 3, nullcontext())
    np.testing.assert_array_equal(few.numpy(), np.minimum(trace[LENGTH], 3))
    # Without an agent to find it goes on until nothing changes: one step more than the longest way.
    _, whole = generate(
        Perfect(), state, lambda which, _: torch.zeros(len(which), dtype=torch.bool), 999, nullcontext()
    )
    assert (whole.numpy() >= trace[LENGTH]).all()
    assert (whole < 100).all()


def perfect_searcher(**settings: object) -> Learner:
    learner = learner_of("procedure_cloning", **SMALL, **settings)
    learner.step = Perfect()
    return learner.eval()


def test_acting_is_the_read_out_and_chance_where_there_is_none() -> None:
    task = task_named("tunnels/10")
    world = task.make(200)
    seen = world.reset(seed=range(200))[0]
    expert = task.expert(world)
    wanted, _ = expert.act(seen, None)
    far = expert.trace()[LENGTH] > 1  # type: ignore[attr-defined]
    obs = {MAP: torch.from_numpy(seen[MAP])[:, None]}
    learner = perfect_searcher()
    np.testing.assert_array_equal(learner.act(obs)[:, 0].numpy(), wanted)
    assert learner.undecided == 0
    one = perfect_searcher(longest=1)
    acted = one.act(obs)[:, 0, 0].numpy()
    assert one.undecided == far.sum()
    assert (acted[~far] == wanted[~far, 0]).all()
    assert (np.bincount(acted[far], minlength=4) / far.sum() > 0.15).all()


def test_at_the_target_nothing_is_computed() -> None:
    state = torch.from_numpy(np.stack([layout(10, 0)] * 2).astype(np.int8))
    obs = torch.zeros(2, 1, 10, 10, 3, dtype=torch.int8)
    obs[..., WALL] = state[:, None]
    obs[0, 0, 1, 1, TARGET] = obs[0, 0, 1, 1, AGENT] = obs[1, 0, 1, 1, TARGET] = obs[1, 0, 1, 2, AGENT] = 1
    _, _, steps = perfect_searcher().think({MAP: obs})  # type: ignore[operator]
    assert steps.tolist() == [0, 1]


def test_one_maze_is_learned_and_other_sizes_are_accepted() -> None:
    task = task_named("tunnels/7")
    demos = demonstrate(task, range(10))
    agent = method_class("procedure_cloning").from_json({**SMALL, "steps": 300}).fit(demos, Run(show=False), task)
    assert np.mean([episode.success for episode in rollout(agent, task, range(10))]) >= 0.8
    larger = task_named("tunnels/10")
    agent.check(larger.spec, "the larger maze")
    assert len(rollout(agent, larger, range(20, 23))) == 3
    with pytest.raises(UserError, match="does not fit"):
        agent.check(task_named("two_ways").spec, "another world")


def test_cloning_refuses_other_sizes_and_procedures_must_be_there(map_demos: Demos) -> None:
    agent = trained("map_bc", map_demos, steps=2, widths=[4] * 5, hidden=[8])
    with pytest.raises(UserError, match="shape"):
        agent.check(task_named("tunnels/13").spec, "another size")
    bare = Demos(map_demos.spec, {key: map_demos.columns[key] for key in (MAP, "action")}, map_demos.table)
    with pytest.raises(UserError, match=r"procedure\.value"):
        trained("procedure_cloning", bare, steps=2)
    with pytest.raises(UserError, match=r"procedure\.value"):
        trained("map_bc", bare, steps=2, auxiliary=1.0)
    with pytest.raises(UserError, match="one observation must be a map"):
        method_class("procedure_cloning").from_json({}).learner(task_named("two_ways").spec)


def test_moved_maps_and_labels_move_alike() -> None:
    state = torch.rand(40, 10, 10, 3)
    written = (state[..., 0] * 100).long()
    same = moved(state, written, 0.0, 0.0)
    assert torch.equal(same[0], state)
    assert torch.equal(same[1], written)  # type: ignore[arg-type]
    shifted, labels = moved(state, written, 0.1, 0.1)
    assert labels is not None
    assert torch.equal((shifted[..., 0] * 100).long(), labels)
    whole, _ = moved(state, None, 0.2, 0.0)
    offsets = set()
    for before, after in zip(state, whole, strict=True):
        found = [
            (dx, dy)
            for dx in range(-2, 3)
            for dy in range(-2, 3)
            if torch.equal(after[2:8, 2:8], before[2 + dx : 8 + dx, 2 + dy : 8 + dy])
        ]
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) > 10


def test_the_side_task_asks_for_every_cell_that_was_written(map_demos: Demos) -> None:
    from imitari.data.sampling import Windows

    batch = Windows(map_demos, extra=(VALUE,)).gather(np.arange(5)).map(lambda _, value: torch.as_tensor(value))
    learner = learner_of("map_bc", widths=[4] * 5, hidden=[8], auxiliary=2.0)
    terms = learner.losses(batch)
    features = learner.encoder(batch.obs[MAP][:, 0].float())  # type: ignore[operator]
    logits = learner.side(features).view(5, 10, 10, 4)  # type: ignore[operator]
    wanted = [
        -logits[number, i, j].log_softmax(0)[label].item()
        for number in range(5)
        for i in range(10)
        for j in range(10)
        if (label := int(batch.extra[VALUE][number, 0, i, j])) >= 0
    ]
    assert terms["auxiliary_loss"].item() == pytest.approx(2 * np.mean(wanted), rel=1e-4)
    chosen = learner.head(learner.body(features).relu()).logits.log_softmax(-1)  # type: ignore[operator]
    plain = [-chosen[number, int(batch.action[number, 0, 0])].item() for number in range(5)]
    assert terms["action_loss"].item() == pytest.approx(np.mean(plain), rel=1e-4)
