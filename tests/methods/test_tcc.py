"""Temporal cycle-consistency: which frames are seen, what they are embedded with, and what trimming keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.starts import BLOCK
from imitari.data.curate.strip import strip
from imitari.data.moments import TIME, Moments
from imitari.learn.agent import Agent
from imitari.learn.method import method_class
from imitari.learn.run import Run
from imitari.methods.pretraining.tcc import Progress, vectors_of

TOP = "observation.images.top"
SPEC = Spec({TOP: Feature((16, 16, 3), "uint8", "image")}, Feature((2,)))


def numbered(*lengths: int) -> Demos:
    """Videos whose frames and actions say their episode and step."""
    episodes = []
    for number, length in enumerate(lengths):
        frames = np.zeros((length, 16, 16, 3), np.uint8)
        frames[..., 0], frames[..., 1] = number, np.arange(length)[:, None, None]
        action = np.stack([np.full(length, number), np.arange(length)], 1).astype(np.float32)
        episodes.append(Episode({TOP: frames}, action))
    return Demos.from_episodes(episodes, SPEC)


def made(**settings: Any) -> Progress:
    kind = method_class("tcc")
    torch.manual_seed(0)
    learner = kind.from_json({**kind.smoke, **settings}).learner(SPEC)
    assert isinstance(learner, Progress)
    return learner.eval()


def test_moments_are_sorted_frames_of_one_video_drawn_without_replacement() -> None:
    demos, rng = numbered(9, 4, 30), np.random.default_rng(0)
    seen: set[int] = set()
    for _ in range(30):
        batch = Moments(demos, 6, context=2, stride=3).gather(np.array([0, 1, 2]), rng)
        step = batch.action[..., 1].astype(int)
        assert (batch.action[..., 0] == np.arange(3)[:, None]).all()
        assert (np.diff(step, axis=1) >= 0).all()
        assert (np.diff(step[[0, 2]], axis=1) > 0).all()
        assert set(step[1]) == {0, 1, 2, 3}  # of four frames each comes before any comes twice
        frames = batch.obs[TOP][:, :, 0, 0, 1].reshape(3, 6, 2)
        np.testing.assert_array_equal(frames[..., 1], step)
        np.testing.assert_array_equal(frames[..., 0], np.maximum(step - 3, 0))
        np.testing.assert_allclose(batch.extra[TIME], step / np.array([[9], [4], [30]]), rtol=1e-6)
        seen |= set(step[2])
    assert seen == set(range(30))


def test_vectors_depend_on_the_direction_of_the_action_and_only_with_actions() -> None:
    clips, action = [torch.randint(0, 256, (2, 5, 16, 16, 3), dtype=torch.uint8)], torch.randn(2, 5, 2)
    with torch.inference_mode():
        seen = made().vectors(clips, action)
        assert torch.allclose(made().vectors(clips, 3 * action), seen, atol=1e-5)
        assert not torch.allclose(made().vectors(clips, -action), seen, atol=1e-2)
        sized = made(direction=False)
        assert not torch.allclose(sized.vectors(clips, 3 * action), sized.vectors(clips, action), atol=1e-2)
        blind = made(actions=False)
        assert torch.equal(blind.vectors(clips, action), blind.vectors(clips, -action))


def test_context_frames_are_seen_and_views_are_averaged() -> None:
    learner, action = made(context=2), torch.randn(2, 3, 2)
    one, other = torch.randint(0, 256, (2, 2, 6, 16, 16, 3), dtype=torch.uint8)
    changed = one.clone()
    changed[:, ::2] = 255 - changed[:, ::2]  # the earlier frame of each context
    with torch.inference_mode():
        assert not torch.equal(learner.vectors([one], action), learner.vectors([changed], action))
        both = learner.vectors([one, other], action)
        assert torch.allclose(both, learner.vectors([other, one], action), atol=1e-5)


@pytest.mark.parametrize("context", [1, 2])
def test_all_steps_are_embedded_as_they_are_in_training(context: int) -> None:
    kind, demos = method_class("tcc"), numbered(7, 5, 6)
    agent = kind.from_json({**kind.smoke, "steps": 2, "context": context}).fit(demos, Run(show=False))
    found = vectors_of(agent, demos)
    assert found.shape == (18, 8)
    batch = Moments(demos, 5, context, 3).gather(np.array([1]), np.random.default_rng(0))  # all five frames
    learner = agent.learner
    assert isinstance(learner, Progress)
    with torch.inference_mode():
        plain = learner.vectors([torch.from_numpy(batch.obs[TOP])], torch.from_numpy(batch.action))
    np.testing.assert_allclose(found[7:12], plain[0].numpy(), rtol=1e-4, atol=1e-5)


def test_scores_keep_the_vote_and_a_clean_episode_whole() -> None:
    kind, demos = method_class("tcc"), numbered(12, 9, 10)
    agent = kind.from_json({**kind.smoke, "steps": 2, "clean": 1, "tolerance": 2}).fit(demos, Run(show=False))
    scores = agent.method.scored(agent, demos)
    assert scores.keep is not None
    assert scores.keep.shape == (31,)
    assert scores.keep[12:21].all()
    assert -1 <= scores.about["agreement"] <= 1
    np.testing.assert_allclose(scores.episodes["kept"][0], scores.keep[:12].mean())


def test_of_several_tries_the_one_of_most_agreement_is_kept() -> None:
    demos, kind = numbered(12, 9, 10), method_class("tcc")

    def fitted(seed: int, tries: int) -> Agent:
        return kind.from_json({**kind.smoke, "steps": 5, "tries": tries}).fit(demos, Run(seed=seed, show=False))

    each = [fitted(number * BLOCK, 1) for number in range(3)]
    found = [one.method.scored(one, demos).about["agreement"] for one in each]
    assert len(set(found)) == 3
    best, kept = each[int(np.argmax(found))].learner.state_dict(), fitted(0, 3).learner.state_dict()
    assert all(torch.equal(value, best[key]) for key, value in kept.items())


def test_bad_input_is_one_sentence() -> None:
    kind, demos = method_class("tcc"), numbered(5, 5)
    with pytest.raises(UserError, match="--actions no"):
        kind.from_json(dict(kind.smoke)).fit(strip(demos, 0.5), Run(show=False))
    kind.from_json({**kind.smoke, "steps": 2, "actions": False}).fit(strip(demos), Run(show=False))
    with pytest.raises(UserError, match="pairs of videos"):
        kind.from_json({**kind.smoke, "batch": 1}).fit(demos, Run(show=False))
    agent = kind.from_json({**kind.smoke, "steps": 2, "clean": 5}).fit(demos, Run(show=False))
    with pytest.raises(UserError, match="clean is 5"):
        agent.method.scored(agent, demos)
