"""ACT: chunks that follow the demonstrations, a latent that carries the style, masked tails, cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.sampling import Windows
from imitari.learn.agent import Agent
from imitari.learn.run import Run
from imitari.methods.cloning.act import ActionChunking, Chunker

STATE = "observation.state"
SPEC = Spec({STATE: Feature((2,))}, Feature((1,)))
STEPS, CHUNK = 16, 6


def waves(sides: tuple[float, ...]) -> Demos:
    """Half a wave, up or down; the time is seen, and the height that was started from."""
    rng = np.random.default_rng(0)
    episodes = []
    for number in range(24):
        time, start = np.linspace(-1, 1, STEPS), rng.uniform(-0.5, 0.5)
        action = start + sides[number % len(sides)] * np.cos(time * np.pi / 2)
        seen = np.stack([time, np.full(STEPS, start)], 1).astype(np.float32)
        episodes.append(Episode({STATE: seen}, action[:, None].astype(np.float32)))
    return Demos.from_episodes(episodes, SPEC)


def batch_of(demos: Demos, agent: Agent) -> Batch:
    """All windows, in the learner's units."""
    windows = Windows(demos, (0,), range(CHUNK))
    return agent._scale.batch(windows.gather(np.arange(len(windows))))  # pyright: ignore[reportPrivateUsage]


def trained(sides: tuple[float, ...], **settings: object) -> tuple[Demos, Agent]:
    demos = waves(sides)
    method = ActionChunking.from_preset(
        "small",
        **{
            "width": 32,
            "inner": 64,
            "chunk": CHUNK,
            "execute": CHUNK,
            "lr": 3e-3,
            "batch": 32,
            "style_layers": 1,
            "encoder_layers": 1,
            "steps": 200,
            **settings,
        },
    )
    return demos, method.fit(demos, Run(show=False))  # pyright: ignore[reportReturnType]


def test_it_follows_the_demonstrations_with_and_without_ensembling() -> None:
    demos, agent = trained((1.0,))
    settings = {**agent.method.to_json(), "execute": 1, "ensemble": 0.01}
    averaging = Agent(ActionChunking.from_json(settings), agent.learner, agent.scaler, agent.spec, agent.facts)
    for actor in (agent, averaging):
        memory = actor.reset(len(demos))
        for step in range(STEPS):
            action, memory = actor.act({STATE: np.stack([episode.obs[STATE][step] for episode in demos])}, memory)
            wanted = np.stack([episode.action[step] for episode in demos])
            assert np.abs(action - wanted).max() < 0.25


def test_the_latent_tells_the_styles_apart() -> None:
    demos, agent = trained((1.0, -1.0), kl_weight=0.01, steps=300)
    learner, batch = agent.learner, batch_of(demos, agent)
    assert isinstance(learner, Chunker)
    assert learner.style is not None
    with torch.inference_mode():
        latent, _ = learner.style(batch.obs, batch.action, batch.valid)
        informed, blind = (float(learner.action_loss(batch, value)) for value in (latent, None))
    assert informed < 0.5 * blind


def test_the_latent_of_acting_is_zero_or_drawn() -> None:
    obs = {STATE: torch.zeros(4000, 1, 2)}
    torch.manual_seed(0)
    zero, prior, uniform = (
        Chunker(ActionChunking(width=16, inner=16, acting_latent=kind), SPEC).eval()
        for kind in ("zero", "prior", "uniform")
    )
    drawn = prior.drawn(4000)
    assert drawn is not None
    assert abs(float(drawn.mean())) < 0.01
    assert abs(float(drawn.std()) - 1) < 0.01
    evenly = uniform.drawn(4000)
    assert evenly is not None
    assert 0 <= float(evenly.min()) < float(evenly.max()) < 1
    assert abs(float(evenly.var()) - 1 / 12) < 0.001
    with torch.inference_mode():
        still, moving = zero.act(obs), prior.act(obs)
    assert float(still.std(0).max()) < 1e-5
    assert float(moving.std(0).min()) > 1e-3


def test_the_divergence_is_the_closed_form() -> None:
    torch.manual_seed(0)
    demos = waves((1.0,))
    learner = ActionChunking(chunk=CHUNK, execute=1, width=16, inner=16, kl_weight=3.0).learner(SPEC).eval()
    batch = Windows(demos, (0,), range(CHUNK)).gather(np.arange(20)).map(lambda _, value: torch.as_tensor(value))
    assert isinstance(learner, Chunker)
    assert learner.style is not None
    mean, log_variance = learner.style(batch.obs, batch.action, batch.valid)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(-1).mean()
    terms = learner.losses(batch)
    assert torch.isclose(terms["_divergence"], expected, rtol=1e-4)
    assert torch.isclose(terms["kl_loss"], 3 * expected, rtol=1e-4)


def test_actions_beyond_the_end_change_nothing() -> None:
    torch.manual_seed(0)
    demos = waves((1.0,))
    learner = ActionChunking(chunk=CHUNK, execute=1, width=16, inner=16).learner(SPEC).eval()
    batch = Windows(demos, (0,), range(CHUNK)).gather(np.arange(STEPS)).map(lambda _, value: torch.as_tensor(value))
    assert not batch.valid.all()
    changed = Batch(batch.obs, torch.where(batch.valid[..., None], batch.action, 7.0), batch.valid)
    losses = []
    for given in (batch, changed):
        torch.manual_seed(1)
        losses.append(learner.losses(given))
    for name, value in losses[0].items():
        assert torch.isclose(value, losses[1][name], rtol=1e-5)


def test_every_weight_is_trained_and_the_paper_sizes_hold() -> None:
    torch.manual_seed(0)
    learner = ActionChunking(chunk=CHUNK, execute=1, width=16, inner=16).learner(SPEC)
    batch = Windows(waves((1.0,)), (0,), range(CHUNK)).gather(np.arange(20))
    torch.stack(
        [
            value
            for name, value in learner.losses(batch.map(lambda _, value: torch.as_tensor(value))).items()
            if name[0] != "_"
        ]
    ).sum().backward()
    assert [name for name, weight in learner.named_parameters() if weight.grad is None] == []
    method = ActionChunking.from_preset("paper")
    paper = method.learner(SPEC)
    with torch.inference_mode():
        assert paper.act({STATE: torch.zeros(1, 1, 2)}).shape == (1, 100, 1)
    assert method.framing().ensemble == 0.01


@pytest.mark.parametrize("settings", [{}, {"latent": 0, "history": 2, "prenorm": False, "dropout": 0.1}])
def test_cameras_train_and_survive_saving(settings: dict[str, object], tmp_path: Path) -> None:
    camera = Feature((24, 24, 3), "uint8", "image")
    spec = Spec({"left": camera, "right": camera, STATE: Feature((2,))}, Feature((3,)))
    rng = np.random.default_rng(0)

    def episode() -> Episode:
        images = {key: rng.integers(0, 255, (7, 24, 24, 3), np.uint8) for key in ("left", "right")}
        state, action = (rng.normal(size=(7, size)).astype(np.float32) for size in (2, 3))
        return Episode({STATE: state, **images}, action)

    demos = Demos.from_episodes([episode() for _ in range(3)], spec)
    method = ActionChunking.from_preset(None, **{**ActionChunking.smoke, "steps": 4, "ensemble": 0.1, **settings})
    agent = method.fit(demos, Run(show=False))
    assert isinstance(agent, Agent)
    agent.save(tmp_path)
    first = {key: value[:1] for key, value in demos[0].obs.items()}
    actions = [one.act(first, one.reset(1))[0] for one in (agent, Agent.load(tmp_path))]
    assert np.array_equal(actions[0], actions[1])
    dark = {**first, "right": 0 * first["right"]}
    assert not np.array_equal(actions[0], agent.act(dark, agent.reset(1))[0])


def test_choices_are_refused() -> None:
    spec = Spec({STATE: Feature((1,))}, Feature((1,), "int64", "choice", high=(3.0,)))
    with pytest.raises(UserError, match="numeric actions"):
        ActionChunking().learner(spec)
