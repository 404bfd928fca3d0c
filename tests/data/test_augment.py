"""Symmetries: the mirrored demonstration, replayed in the real world, is the mirror image of the demonstration."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.symmetry import Affine, Symmetry
from imitari.data.curate.augment import with_symmetries


def test_the_image_stands_behind_the_original(random_demos: Demos) -> None:
    demos = random_demos.select(["observation.state"])
    turn = Symmetry("turn", {"observation.state": Affine(-np.eye(3), np.ones(3))}, Affine(2 * np.eye(2), np.zeros(2)))
    more = with_symmetries(demos, [turn])
    assert len(more) == 2 * len(demos)
    for number, episode in enumerate(demos):
        image = more[len(demos) + number]
        np.testing.assert_allclose(image.obs["observation.state"], 1 - episode.obs["observation.state"], rtol=1e-6)
        np.testing.assert_allclose(image.action, 2 * episode.action, rtol=1e-6)
        np.testing.assert_array_equal(image.reward, episode.reward)  # type: ignore[arg-type]
        np.testing.assert_array_equal(more[number].action, episode.action)
        assert image.source == {"symmetry": "turn"}


def test_what_a_symmetry_does_not_know_is_refused(random_demos: Demos) -> None:
    turn = Symmetry("turn", {"observation.state": Affine(-np.eye(3), np.ones(3))}, Affine(np.eye(2), np.zeros(2)))
    with pytest.raises(UserError, match=r"says nothing about observation 'observation\.images\.top'"):
        with_symmetries(random_demos, [turn])
    with pytest.raises(UserError, match="declares no symmetry"):
        with_symmetries(random_demos, [])


def test_push_t_is_its_own_mirror_image() -> None:
    pytest.importorskip("gym_pusht", reason="gym-pusht is not installed")
    from imitari.envs import task_named

    task = task_named("pusht")
    mirror = task.symmetries[0]
    world, image = task.make(5), task.make(5)
    obs, _ = world.reset(seed=list(range(5)))
    change = mirror.obs["observation.state"]
    seen, _ = image.reset(options={"state": change.apply(obs["observation.state"].astype(np.float64))})
    rng = np.random.default_rng(0)
    target = obs["observation.state"][:, :2].astype(np.float64)
    for _ in range(30):
        target = np.clip(target + rng.normal(0, 25, target.shape) + 0.1 * (256 - target), 0, 512)
        obs, reward, *_ = world.step(target)
        seen, mirrored, *_ = image.step(mirror.action.apply(target))
        np.testing.assert_allclose(reward, mirrored, atol=0.02)
    expected = change.apply(obs["observation.state"])
    np.testing.assert_allclose(seen["observation.state"][:, :4], expected[:, :4], atol=1.0)
    angle = np.angle(np.exp(1j * (seen["observation.state"][:, 4] - expected[:, 4])))
    np.testing.assert_allclose(angle, 0, atol=0.02)
