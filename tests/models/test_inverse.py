"""The inverse model: what it sees, what it learns in a world of clips, where its labels come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.episode import ACTION, ACTION_KNOWN, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.curate.label import unlabelled
from imitari.data.curate.strip import strip
from imitari.learn.agent import Agent
from imitari.learn.method import method_class
from imitari.learn.run import Run
from imitari.models.inverse import InverseModel, Labeller, Labels, WindowPlan, agreement

CAMERA, SIDE = "observation.images.view", 16
SPEC = Spec(
    {CAMERA: Feature((SIDE, SIDE, 3), "uint8", "image")},
    Feature((1,), "int64", "choice", low=(0.0,), high=(3.0,)),
)
MOVES = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])
TINY = {
    "window": 8, "network": "strided", "channels": (8, 16), "filters": 8, "width": 32, "blocks": 1,
    "heads": 2, "lr": 3e-3,
}  # fmt: skip


def clips(count: int, seed: int, length: int = 14) -> Demos:
    """A square walks at random over a torus; the action says where to. The past does not tell."""
    rng = np.random.default_rng(seed)
    episodes: list[Episode] = []
    for number in range(count):
        action = rng.integers(0, 4, (length, 1))
        place = (rng.integers(0, SIDE, 2) + np.cumsum(np.vstack([[[0, 0]], MOVES[action[:, 0]]]), 0) * 2) % SIDE
        frames = np.zeros((length + 1, SIDE, SIDE, 3), np.uint8)
        for step, (row, column) in enumerate(place):
            for one in range(3):
                for other in range(3):
                    frames[step, (row + one) % SIDE, (column + other) % SIDE] = 255
        episodes.append(Episode({CAMERA: frames}, action, success=True, source={"seed": number}))
    return Demos.from_episodes(episodes, SPEC)


def trained(context: str = "both", fusion: str = "early", steps: int = 400) -> Agent:
    method = method_class("inverse_dynamics").from_json(
        {**TINY, "context": context, "fusion": fusion, "steps": steps, "batch": 16}
    )
    return method.fit(clips(100, 0), Run(seed=0, show=False))


@pytest.fixture(scope="module")
def both() -> Agent:
    return trained()


def labeller(agent: Agent, **options: object) -> Labeller:
    assert isinstance(agent.learner, InverseModel)
    return Labeller(agent.learner, agent.scaler, agent.spec, **options)  # type: ignore[arg-type]


def test_it_sees_what_was_done_and_its_causal_twin_does_not(both: Agent) -> None:
    """Moves are drawn at random: from the past alone a quarter can be right, from past and future all."""
    held, every = clips(10, 1), np.arange(10)
    full = agreement(labeller(both)(held, every), held, every)
    past = agreement(labeller(trained("past"))(held, every), held, every)
    assert full["accuracy"] > 0.9
    assert full["effective"] == pytest.approx(full["accuracy"])  # every move is seen
    assert past["accuracy"] < 0.45


def test_labels_are_not_shifted(both: Agent) -> None:
    """Replaying them moves the square along the recorded path; shifted by one, they would not."""
    held = clips(6, 2)
    labels = labeller(both)(held, np.arange(6)).action.reshape(6, -1)
    same = shifted = 0
    for number in range(6):
        frames = held[number].obs[CAMERA]
        for step in range(labels.shape[1]):
            move = 2 * MOVES[labels[number, step]]
            now = np.roll(frames[step], move, (0, 1))
            same += (now == frames[step + 1]).all()
            late = 2 * MOVES[labels[number, max(0, step - 1)]]
            shifted += (np.roll(frames[step], late, (0, 1)) == frames[step + 1]).all()
    assert same > 0.8 * labels.size
    assert shifted < same / 2


@pytest.mark.parametrize("fusion", ["early", "late"])
@pytest.mark.parametrize("context", ["both", "past"])
def test_only_the_full_context_sees_the_future(context: str, fusion: str) -> None:
    method = method_class("inverse_dynamics").from_json({**TINY, "context": context, "fusion": fusion})
    torch.manual_seed(0)
    model = method.learner(SPEC).eval()
    assert isinstance(model, InverseModel)
    obs = torch.randint(0, 256, (2, 8, SIDE, SIDE, 3), dtype=torch.uint8)
    changed = obs.clone()
    changed[:, 5:] = 255 - changed[:, 5:]
    with torch.no_grad():
        one, other = model.predict({CAMERA: obs}).logits, model.predict({CAMERA: changed}).logits  # type: ignore[attr-defined]
    before = (one - other)[:, :5].abs().max()
    assert (one - other)[:, 5:].abs().max() > 1e-3
    assert before > 1e-4 if context == "both" else before == 0


def test_early_fusion_alone_reaches_two_frames_each_way() -> None:
    method = method_class("inverse_dynamics").from_json({**TINY, "blocks": 0})
    torch.manual_seed(0)
    model = method.learner(SPEC).eval()
    assert isinstance(model, InverseModel)
    obs = torch.randint(0, 256, (1, 8, SIDE, SIDE, 3), dtype=torch.uint8)
    changed = obs.clone()
    changed[:, 4] = 255 - changed[:, 4]
    with torch.no_grad():
        one, other = model.predict({CAMERA: obs}).logits, model.predict({CAMERA: changed}).logits  # type: ignore[attr-defined]
    moved = (one - other).abs().amax((0, 2)) > 1e-6
    np.testing.assert_array_equal(moved.numpy(), [False, False, True, True, True, True, True, False])


def test_a_dense_layer_lies_between_the_maps_and_the_features() -> None:
    method = method_class("inverse_dynamics").from_json({**TINY, "dense": 5})
    model = method.learner(SPEC)
    assert isinstance(model, InverseModel)
    shapes = [tuple(value.shape) for name, value in model.encoder.named_parameters() if ".out." in name]
    assert shapes == [(5, 16 * 4 * 4), (5,), (TINY["width"], 5), (TINY["width"],)]
    with pytest.raises(UserError, match="'dense' is -1"):
        method_class("inverse_dynamics").from_json({**TINY, "dense": -1})


def test_numbers_are_stacked_with_their_neighbours() -> None:
    """States of a point whose velocity is the action: bins, joint bins and points."""
    rng = np.random.default_rng(0)
    spec = Spec({"observation.state": Feature((2,))}, Feature((2,)))
    episodes = []
    for _ in range(40):
        action = rng.uniform(-1, 1, (20, 2)).astype(np.float32)
        state = np.cumsum(np.vstack([rng.normal(size=(1, 2)), action]), 0).astype(np.float32)
        episodes.append(Episode({"observation.state": state}, action))
    demos = Demos.from_episodes(episodes, spec)
    for head in ("bins", "joint", "mse"):
        settings = {
            "head": head,
            "blocks": 0,
            "window": 10,
            "width": 64,
            "steps": 900,
            "batch": 32,
            "lr": 3e-3,
            "bins": 7,
            "mu": 0.0,
        }
        agent = method_class("inverse_dynamics").from_json(settings).fit(demos.keep(range(32)), Run(show=False))
        held = np.arange(32, 40)
        labels = labeller(agent)(demos, held)
        found = agreement(labels, demos, held)
        assert found["r2"] > (0.65 if head == "joint" else 0.85), head
        true = demos.keep(held).columns[ACTION].take(demos.keep(held).rows())
        for axis in range(2):
            rest = np.var(true[:, axis] - labels.action[:, axis]) + np.mean(true - labels.action, 0)[axis] ** 2
            assert found[f"r2 of {axis}"] == pytest.approx(1 - rest / np.var(true[:, axis]), abs=1e-4)
        assert np.isnan(labels.confidence).all() if head == "mse" else (labels.confidence > 0).all()


def test_training_uses_known_steps_only() -> None:
    """The same weights whether unknown actions are NaN-like fillers of one value or another."""
    bare = strip(clips(12, 0), 0.5, seed=1)
    other = bare.columns[ACTION].take(np.arange(bare.columns[ACTION].shape[0]))
    known = bare.known(np.arange(len(other)))
    assert known is not None
    other[~known] = 3
    from imitari.core.columns import ArrayColumn

    method = method_class("inverse_dynamics").from_json({**TINY, "steps": 5, "batch": 8})
    first = method.fit(bare, Run(show=False))
    second = method.fit(bare.with_columns({ACTION: ArrayColumn(other)}, "other fillers"), Run(show=False))
    for name, value in first.learner.state_dict().items():
        assert torch.equal(value, second.learner.state_dict()[name]), name


@pytest.mark.parametrize("width", [1, 2, 5, 8, 40])
def test_every_step_takes_its_label_nearest_to_a_middle(width: int) -> None:
    demos = clips(3, 0, length=17)
    plan = WindowPlan.of(demos, np.array([2, 0]), width)
    rows = plan.rows[plan.window, plan.place]
    expected = np.concatenate([demos.table.start[number] + np.arange(17) for number in (2, 0)])
    np.testing.assert_array_equal(rows, expected)
    begins = plan.rows[:, 0]
    for number in range(len(rows)):
        owner = demos.table.start[2 if number < 17 else 0]
        inside = (begins >= owner) & (begins < owner + 18) & (begins <= rows[number]) & (rows[number] < begins + width)
        best = np.abs(rows[number] - begins[inside] - (width - 1) / 2).min()
        assert abs(plan.place[number] - (width - 1) / 2) == best
    if width <= 8:  # away from the ends of the episode, never further from the middle than half the hop
        middle = (np.tile(np.arange(17), 2) >= width // 2) & (np.tile(np.arange(17), 2) <= 17 - width // 2 - 1)
        assert np.abs(plan.place[middle] - (width - 1) / 2).max() <= max(1, width // 2) / 2 + 0.5


def test_drawn_labels_are_reproducible_and_follow_the_distribution() -> None:
    agent = trained(steps=2)
    demos, every = clips(6, 3), np.arange(6)
    one, same = (labeller(agent, pick="sampled", seed=4)(demos, every) for _ in range(2))
    np.testing.assert_array_equal(one.action, same.action)
    other = labeller(agent, pick="sampled", seed=5)(demos, every)
    assert (one.action != other.action).any()
    assert len(np.unique(one.action)) == 4
    assert (labeller(agent)(demos, every).confidence >= one.confidence - 1e-6).all()


class Watched:
    """A column that notes the largest piece that is taken from it."""

    def __init__(self, column: object) -> None:
        self.column, self.most = column, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.column, name)

    def take(self, rows: np.ndarray) -> np.ndarray:
        self.most = max(self.most, rows.size)
        return self.column.take(rows)  # type: ignore[attr-defined]

    def span(self, start: int, stop: int) -> np.ndarray:
        self.most = max(self.most, stop - start)
        return self.column.span(start, stop)  # type: ignore[attr-defined]


def test_labelling_reads_a_few_windows_at_a_time(both: Agent) -> None:
    demos = clips(40, 5)
    watched = Watched(demos.columns[CAMERA])
    seen = demos.with_columns({CAMERA: watched}, "watched")  # type: ignore[dict-item]
    labels = labeller(both, together=4)(seen, np.arange(40))
    assert watched.most <= 4 * TINY["window"]  # type: ignore[operator]
    np.testing.assert_array_equal(labels.action, labeller(both, together=64)(demos, np.arange(40)).action)


def test_agreement_needs_something_to_compare_with(both: Agent) -> None:
    bare = strip(clips(2, 0))
    assert not bare.columns[ACTION_KNOWN].take(bare.rows()).any()
    with pytest.raises(UserError, match="no action is known"):
        agreement(Labels(np.zeros((bare.steps, 1)), np.ones(bare.steps)), bare, np.arange(2))


VPT = {
    **TINY,
    "inverse_steps": 250,
    "inverse_batch": 16,
    "inverse_lr": 3e-3,
    "length": 8,
    "layers": 1,
    "memory": "gru",
    "batch": 8,
}


def vpt(**settings: object) -> object:
    return method_class("vpt").from_json({**VPT, "steps": 4, **settings})


def test_the_policy_clones_inferred_actions(tmp_path: Path) -> None:
    """Eighty episodes with actions, twenty without: what is cloned is mostly what was done."""
    whole = clips(100, 0)
    bare = strip(whole, 0.2, seed=0)
    agent = vpt().fit(bare, Run(seed=1, show=False, folder=tmp_path))  # type: ignore[attr-defined]
    facts = agent.facts["labelling"]
    assert facts["episodes"] == 20 == len(unlabelled(bare))
    assert 0.3 < facts["confidence"] <= 1
    agent.save(tmp_path)
    again = Agent.load(tmp_path)
    every = unlabelled(bare)
    labels = Labeller(again.learner.inverse, again.scaler, again.spec)(whole, every)  # type: ignore[arg-type]
    assert agreement(labels, whole, every)["accuracy"] > 0.9
    # The same labels from the saved agent, with another policy.
    second = vpt(labeller=str(tmp_path)).fit(bare, Run(show=False, seed=2))  # type: ignore[attr-defined]
    assert second.facts["labelling"]["confidence"] == pytest.approx(facts["confidence"], abs=1e-6)
    assert second.learner.inverse is None
    tuned = vpt(policy_start=str(tmp_path), labels="true", lr=1e-9, steps=1).fit(whole, Run(show=False))  # type: ignore[attr-defined]
    for name, value in agent.learner.policy.state_dict().items():
        torch.testing.assert_close(tuned.learner.policy.state_dict()[name], value, atol=1e-6, rtol=0)


def test_a_poor_inverse_model_stops_the_training() -> None:
    bare, held = strip(clips(12, 0), 0.5), clips(4, 9)
    with pytest.raises(UserError, match=r"less than least_agreement 0.9"):
        vpt(inverse_steps=1, least_agreement=0.9).fit(bare, Run(show=False, held=held))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="give --holdout"):
        vpt(inverse_steps=1, least_agreement=0.9).fit(bare, Run(show=False))  # type: ignore[attr-defined]


@pytest.mark.parametrize("memory", ["gru", "transformer"])
def test_acting_step_by_step_equals_seeing_the_stretch(memory: str) -> None:
    agent = vpt(memory=memory, labels="true", remembered=3, acting="mode").fit(clips(4, 0), Run(show=False))  # type: ignore[attr-defined]
    frames = torch.from_numpy(np.stack([clips(3, 7)[number].obs[CAMERA] for number in range(3)]))
    with torch.no_grad():
        whole, _ = agent.learner.policy({CAMERA: frames}, None)
        state, steps = agent.learner.start(3), []
        for step in range(frames.shape[1]):
            prediction, state = agent.learner.policy({CAMERA: frames[:, step : step + 1]}, state)
            steps.append(prediction.logits)
    torch.testing.assert_close(torch.cat(steps, 1), whole.logits, atol=1e-5, rtol=1e-4)
