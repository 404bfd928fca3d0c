"""Pretraining of encoders against plain loops: covariance, what sees what, stopped gradients, contrastive losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.learn.learner import Learner
from imitari.learn.method import method_class
from imitari.learn.optim import Optim
from imitari.learn.pretraining import covariance, info_nce, rising, seen_by, two_frames
from imitari.methods.pretraining.autoencoder import Redrawing
from imitari.methods.pretraining.dynamo import Dynamics, off_diagonal
from imitari.methods.pretraining.tcn import Moments

TOP = "observation.images.top"
SPEC = Spec({TOP: Feature((16, 16, 3), "uint8", "image")}, Feature((2,)))


def made(name: str, spec: Spec = SPEC, **settings: Any) -> Learner:
    kind = method_class(name)
    torch.manual_seed(0)
    return kind.from_json({**kind.smoke, **settings}).learner(spec)


def dynamics(**settings: Any) -> Dynamics:
    learner = made("dynamo", window=4, **settings)
    assert isinstance(learner, Dynamics)
    return learner


def clips(count: int = 3, length: int = 4) -> Batch:
    frames = torch.randint(0, 256, (count, length, 16, 16, 3), dtype=torch.uint8)
    valid = torch.ones(count, length - 1, dtype=torch.bool)
    return Batch({TOP: frames}, torch.randn(count, length - 1, 2), valid)


def test_covariance_term_is_the_plain_sum() -> None:
    values = torch.randn(7, 5, dtype=torch.float64)
    expected = 0.0
    for i in range(5):
        for j in range(5):
            if i != j:
                entry = sum(
                    float((values[n, i] - values[:, i].mean()) * (values[n, j] - values[:, j].mean())) for n in range(7)
                )
                expected += (entry / 6) ** 2
    assert float(off_diagonal(covariance(values), "paper")) == pytest.approx(expected / 5)
    assert float(off_diagonal(covariance(values), "code")) == pytest.approx(expected / 20)


def test_latent_of_a_transition_sees_its_end_and_nothing_later() -> None:
    model = dynamics().eval()
    seen = torch.randn(1, 4, 16, requires_grad=True)
    changes = model.changes(seen)
    assert changes is not None
    assert changes.shape == (1, 3, model.method.latent)
    for t in range(3):
        (gradient,) = torch.autograd.grad(changes[0, t].sum(), seen, retain_graph=True)
        touched = gradient[0].abs().sum(1) > 0
        assert touched.tolist() == [frame <= t + 1 for frame in range(4)]


def test_prediction_pairs_the_latent_of_a_transition_with_its_start() -> None:
    """The input of p at t is (s_t, z_t), and what it gives there is compared with s_{t+1}."""
    model = dynamics().eval()
    seen, target = torch.randn(2, 4, 16), torch.randn(2, 4, 16)
    changes = model.changes(seen)
    assert changes is not None
    assert model.forward_model is not None
    given = torch.stack([torch.cat([seen[:, t], changes[:, t]], -1) for t in range(3)], 1)
    predicted = model.forward_model(given).detach()
    total = 0.0
    for n in range(2):
        for t in range(3):
            a, b = predicted[n, t], target[n, t + 1]
            total += 1 - float(a @ b / (a.norm() * b.norm()))
    assert float(model.dynamics(seen, changes, target).detach()) == pytest.approx(total / 6, rel=1e-5)


@pytest.mark.parametrize("stop", [True, False])
def test_no_gradient_reaches_the_target_unless_asked_for(stop: bool) -> None:
    model = dynamics(stop_gradient=stop, inverse=False).train()
    seen = torch.randn(2, 4, 16, requires_grad=True)
    frames = clips(2).obs[TOP]
    model.dynamics(seen, None, model.targets(frames, seen)).backward()
    assert seen.grad is not None
    last = float(seen.grad[:, -1].abs().sum())  # without q the last frame is a target and nothing else
    assert (last == 0) == stop


def test_slow_copy_receives_no_gradient_and_its_pace_falls_along_a_cosine() -> None:
    model = dynamics(target="ema", steps=10)
    terms = model.losses(clips())
    terms["dynamics_loss"].backward()
    assert model.slow is not None
    assert all(parameter.grad is None for parameter in model.slow.parameters())
    assert model.slow.tau == pytest.approx(0.01)
    for step in range(11):
        plain = 1 - (1 - 0.99) * (math.cos(math.pi * step / 10) + 1) / 2
        assert rising(0.99, step / 10) == pytest.approx(plain)
    model.clock.fill_(5)
    model.losses(clips())
    assert model.slow.tau == pytest.approx(0.005)


def test_released_slow_inverse_model_never_learns() -> None:
    model = dynamics(target="ema", slow_inverse=True)
    model.losses(clips())["dynamics_loss"].backward()
    assert model.inverse is not None
    assert all(parameter.grad is None for parameter in model.inverse.parameters())


def test_ablations_and_labels_have_the_parts_they_say() -> None:
    assert dynamics(inverse=False).inverse is None
    only = dynamics(labels="inverse")
    assert only.forward_model is None
    assert set(only.losses(clips())) == {"action_loss"}
    extra = dynamics(labels="extra").losses(clips())
    assert {"dynamics_loss", "covariance_loss", "action_loss"} <= set(extra)
    model = dynamics(forward=False).eval()
    seen = torch.randn(2, 4, 16)
    changes = model.changes(seen)
    assert changes is not None
    assert model.forward_model is not None
    predicted = model.forward_model(torch.cat([seen[:, :-1], changes], -1))
    same = (1 - functional.cosine_similarity(predicted, seen[:, :-1], dim=-1)).mean()
    assert float(model.dynamics(seen, changes, seen).detach()) == pytest.approx(float(same.detach()))


def test_several_cameras_are_windows_of_their_own() -> None:
    two = Spec({TOP: SPEC.obs[TOP], "observation.images.side": SPEC.obs[TOP]}, SPEC.action)
    learner = made("dynamo", two)
    assert isinstance(learner, Dynamics)
    one, other = clips(2, 3).obs[TOP], clips(2, 3).obs[TOP]
    joined = learner.frames(Batch({TOP: one, "observation.images.side": other}, torch.zeros(2, 2, 2)))
    assert torch.equal(joined, torch.cat([one, other]))
    with pytest.raises(UserError, match="differ in shape"):
        seen_by(Spec({TOP: SPEC.obs[TOP], "observation.images.side": Feature((8, 8, 3), "uint8", "image")}), False)
    with pytest.raises(UserError, match="no picture"):
        seen_by(Spec({"observation.state": Feature((2,))}), False)


def test_info_nce_is_the_plain_loop() -> None:
    query, key = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    total = 0.0
    for i in range(5):
        scores = [float(query[i] @ key[j] / (query[i].norm() * key[j].norm())) / 0.2 for j in range(5)]
        total -= scores[i] - math.log(sum(math.exp(score) for score in scores))
    assert float(info_nce(query, key, 0.2)) == pytest.approx(total / 5, rel=1e-5)


def test_moments_are_told_apart_within_their_own_window() -> None:
    learner = made("tcn")
    assert isinstance(learner, Moments)
    anchor, alike = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    each = [info_nce(anchor[n], alike[n], learner.method.temperature) for n in range(2)]
    assert float(learner.told_apart(anchor, alike).detach()) == pytest.approx(float(sum(each)) / 2, rel=1e-5)


def test_second_frame_is_a_later_one_of_the_same_clip() -> None:
    frames = torch.arange(40).view(8, 5)
    first, second = two_frames(frames)
    assert torch.equal(first[:, 0], frames[:, 0])
    offset = (second - first)[:, 0]
    assert bool(((offset >= 1) & (offset <= 4)).all())
    assert len(offset.unique()) > 1


def test_hidden_patches_are_whole_and_as_many_as_asked_for() -> None:
    learner = made("autoencoder", masked=0.75, patch=4)
    assert isinstance(learner, Redrawing)
    hidden = learner.hidden(torch.zeros(6, 16, 16, 3, dtype=torch.uint8))
    assert hidden is not None
    patches = hidden.view(6, 4, 4, 4, 4).float().mean((2, 4))
    assert bool(((patches == 0) | (patches == 1)).all())
    assert patches.sum((1, 2)).tolist() == [12.0] * 6
    assert learner.drawn(torch.randn(2, learner.encoder.width)).shape == (2, 3, 16, 16)


def test_each_part_of_the_gradient_is_bounded_by_itself() -> None:
    model = dynamics()
    optim = Optim(lr=1.0, parts=("encoder.", "inverse."), part_clip=0.1, steady=("forward_model.",), warmup=2)
    optimiser = optim.build(model)
    parts: dict[str, list[Tensor]] = {"encoder.": [], "inverse.": [], "forward_model.": []}
    for name, parameter in model.named_parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
        for part, grads in parts.items():
            if name.startswith(part):
                grads.append(parameter.grad)
    optimiser.descend()
    norms = {part: float(torch.stack([grad.norm() for grad in grads]).norm()) for part, grads in parts.items()}
    assert norms["encoder."] == pytest.approx(0.1, rel=1e-3)
    assert norms["inverse."] == pytest.approx(0.1, rel=1e-3)
    assert norms["forward_model."] > 100
    cosine = Optim(lr=1.0, schedule="cosine", steady=("forward_model.",), warmup=2)
    cosine.set_rate(optimiser, 9, 10)
    rates = {bool(group["steady"]): group["lr"] for group in optimiser.param_groups}
    assert rates[True] == 1.0
    assert rates[False] < 0.1


def test_averages_of_channel_last_weights_survive_a_file() -> None:
    """A state that was read in index order must not be taken for one in memory order."""
    weight = torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)

    def stepped(reload: bool) -> Tensor:
        learner = Learner()
        model = learner.layer = torch.nn.Conv2d(3, 4, 2)
        learner.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        model.weight.data.copy_(weight)
        optimiser = Optim(lr=0.1).build(learner)
        for step in range(3):
            generator = torch.Generator().manual_seed(step)
            model.weight.grad = torch.randn(4, 3, 2, 2, generator=generator).to(memory_format=torch.channels_last)
            if reload and step == 2:
                saved = optimiser.state_dict()
                state = {
                    number: {key: value.contiguous().clone() for key, value in entry.items()}
                    for number, entry in saved["state"].items()
                }
                optimiser.load_state_dict({"state": state, "param_groups": saved["param_groups"]})
            optimiser.descend()
        return model.weight.detach()

    assert torch.equal(stepped(False), stepped(True))


def test_untrained_leaves_the_encoder_as_it_was_drawn(seen_demos: Any) -> None:
    from imitari.learn.run import Run

    kind = method_class("dynamo")
    method = kind.from_json({**kind.smoke, "untrained": True})
    agent = method.fit(seen_demos, Run(seed=3, show=False))
    torch.manual_seed(3)
    fresh = method.learner(agent.spec).state_dict()
    assert all(torch.equal(value, fresh[key]) for key, value in agent.learner.state_dict().items())
    assert np.isclose(float(agent.learner.state_dict()["clock"]), 0)


@pytest.mark.parametrize("name", ["dynamo", "byol", "tcn"])
def test_videos_without_any_action_are_enough(name: str, seen_demos: Any) -> None:
    from imitari.data.curate.strip import strip
    from imitari.learn.run import Run

    kind = method_class(name)
    method = kind.from_json(dict(kind.smoke))
    without = method.fit(strip(seen_demos), Run(show=False)).learner.state_dict()
    given = method.fit(seen_demos, Run(show=False)).learner.state_dict()
    assert all(torch.equal(value, given[key]) for key, value in without.items())
    if name == "dynamo":
        with pytest.raises(UserError, match="unknown in every step"):
            kind.from_json({**kind.smoke, "labels": "extra"}).fit(strip(seen_demos), Run(show=False))
