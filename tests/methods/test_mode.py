"""Mixture of denoising experts: fused and not it acts alike, goals and variants, and going on from an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.episode import Array, Episode
from imitari.core.errors import UserError
from imitari.core.spec import INSTRUCTION, Feature, Spec
from imitari.learn.agent import Agent
from imitari.learn.optim import Optim
from imitari.learn.run import Run
from imitari.methods.cloning.bc import BehaviourCloning
from imitari.methods.cloning.diffusion_policy import DiffusionPolicy
from imitari.methods.cloning.mode import ExpertDenoiser, MixtureOfDenoisers, Tokens
from imitari.nets.experts import ExpertTransformer

STATE = "observation.state"
SPEC = Spec({STATE: Feature((1,)), INSTRUCTION: Feature((4,))}, Feature((1,), low=(-1.0,), high=(1.0,)))
CHUNK = 4


def two_tasks(count: int = 40) -> Demos:
    """The instruction says the side: left or right all along; the state (a number without meaning) does not."""
    rng = np.random.default_rng(0)
    episodes = []
    for number in range(count):
        side = number % 2
        instruction = np.tile(np.where(side, [1, 1, -1, 1], [1, -1, 1, -1]).astype(np.float32), (12, 1))
        action = (0.8 if side else -0.8) + 0.03 * rng.normal(size=(12, 1))
        state = rng.uniform(-1, 1, (12, 1)).astype(np.float32)
        episodes.append(Episode({STATE: state, INSTRUCTION: instruction}, action.astype(np.float32)))
    return Demos.from_episodes(episodes, SPEC)


def small(**settings: Any) -> MixtureOfDenoisers:
    made = MixtureOfDenoisers.from_json({
        "steps": 300, "batch": 64, "lr": 2e-3, "warmup": 20, "ema": 0.98, "width": 32, "layers": 2, "heads": 2,
        "inner": 32, "chunk": CHUNK, "execute": CHUNK, "initial": 0.1, "attention_dropout": 0.0, **settings,
    })  # fmt: skip
    assert isinstance(made, MixtureOfDenoisers)
    return made


def chunks(agent: Agent, side: int, count: int = 100) -> Array:
    """(count, CHUNK) predicted at states spread over the range."""
    memory = agent.reset(count, seed=0)
    told = two_tasks(2)[side].obs[INSTRUCTION][:1]
    agent.act({STATE: np.linspace(-1, 1, count, dtype=np.float32)[:, None], INSTRUCTION: told.repeat(count, 0)}, memory)
    return memory.queue[:, :, 0]


@pytest.fixture(scope="module")
def agent() -> Agent:
    return small().fit(two_tasks(), Run(show=False))


def test_it_does_what_the_goal_says(agent: Agent) -> None:
    for side, where in ((0, -0.8), (1, 0.8)):
        assert (np.abs(chunks(agent, side) - where) < 0.2).mean() > 0.95


def test_fused_or_not_it_acts_alike(agent: Agent, tmp_path: Path) -> None:
    agent.save(tmp_path)
    other = Agent.load(tmp_path)
    net = other.learner.get_submodule("net")
    assert isinstance(net, ExpertTransformer)
    net.cache = False
    assert np.abs(chunks(agent, 0) - chunks(other, 0)).max() < 1e-5
    assert net.usage(torch.linspace(0, 1, 5)).shape == (2, 5, 4)


VARIANTS: list[dict[str, Any]] = [
    {"router": "token"},
    {"router": "dense"},
    {"active": 1},
    {"shared": True, "bias": True},
    {"noise": "adaln"},
    {"noise": "none", "noise_token": False},
    {"residual": "raw", "balanced": "all", "router_penalty": 1e-3},
    {"goal_hiding": "whole", "history": 2, "masked": True, "schedule": "tri_stage"},
]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_variants_learn_and_survive_saving(settings: dict[str, Any], tmp_path: Path) -> None:
    run = Run(show=False, report_every=10)
    agent = small(**{"steps": 60, "warmup": 0, **settings}).fit(two_tasks(), run)
    losses = [row["score_loss"] for row in run.metrics.rows]
    assert losses[-1] < 0.9 * losses[0]
    assert ("balance_loss" in run.metrics.rows[0]) == (settings.get("router") != "dense")
    assert ("router_loss" in run.metrics.rows[0]) == ("router_penalty" in settings)
    agent.save(tmp_path)
    assert np.array_equal(chunks(agent, 1), chunks(Agent.load(tmp_path), 1))


def test_goals_are_hidden_in_training_only() -> None:
    torch.manual_seed(0)
    for hiding in ("element", "whole"):
        tokens = Tokens(small(goal_dropout=0.3, goal_hiding=hiding), SPEC)
        goal = torch.ones(20_000, 4)
        hidden = tokens._hidden(goal)  # pyright: ignore[reportPrivateUsage]
        assert hidden.mean().item() == pytest.approx(0.7, abs=0.02)
        together = (hidden == hidden[:, :1]).all(1).float().mean().item()
        assert together == pytest.approx(1 if hiding == "whole" else 0.7**4 + 0.3**4, abs=0.02)
        assert torch.equal(tokens.eval()._hidden(goal), goal)  # pyright: ignore[reportPrivateUsage]


def test_tokens_of_goal_numbers_and_cameras() -> None:
    camera = Feature((24, 24, 3), "uint8", "image")
    obs = {STATE: Feature((2,)), "left": camera, "right": camera, "task": Feature((3,))}
    learner = small(goal="task", history=2).learner(Spec(obs, Feature((3,)))).eval()
    assert isinstance(learner, ExpertDenoiser)
    seen = {
        key: torch.zeros(5, 2, *feature.shape, dtype=torch.uint8 if feature.kind == "image" else torch.float32)
        for key, feature in obs.items()
    }
    with torch.no_grad():
        assert learner.condition(seen).shape == (5, 1 + 2 * 3, 32)
        assert learner.act(seen).shape == (5, CHUNK, 3)
    only = small().learner(Spec({"left": camera}, Feature((3,))))
    assert isinstance(only, ExpertDenoiser)
    assert only.condition({"left": seen["left"][:, :1]}).shape == (5, 1, 32)


def test_going_on_keeps_scaling_and_frozen_routers(agent: Agent, tmp_path: Path) -> None:
    agent.save(tmp_path)
    run = Run(show=False, report_every=5)
    more = two_tasks(10)
    tuned = small(policy_start=str(tmp_path), frozen_routers=True, steps=20, ema=0.0).fit(more, run)
    before, after = agent.learner.state_dict(), tuned.learner.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert {key for key in before if ".router." in key}.isdisjoint(changed)
    assert any(".experts." in key for key in changed)
    assert "balance_loss" not in run.metrics.rows[0]
    assert run.metrics.rows[0]["score_loss"] < 0.5
    assert tuned.scaler.to_json() == agent.scaler.to_json()
    free = small(policy_start=str(tmp_path), steps=20, ema=0.0).fit(more, Run(show=False)).learner.state_dict()
    assert any(".router." in key and not torch.equal(before[key], free[key]) for key in before)


def test_starts_that_do_not_fit_are_refused(agent: Agent, tmp_path: Path) -> None:
    agent.save(tmp_path / "mode")
    BehaviourCloning(steps=1).fit(two_tasks(2), Run(show=False)).save(tmp_path / "bc")
    with pytest.raises(UserError, match="not of this one"):
        small(policy_start=str(tmp_path / "bc")).fit(two_tasks(2), Run(show=False))
    with pytest.raises(UserError, match="networks differ"):
        small(policy_start=str(tmp_path / "mode"), width=16).fit(two_tasks(2), Run(show=False))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"heads": 3}, "must divide"),
        ({"active": 5}, "5 of 4 experts"),
        ({"least": 90.0}, "most above least"),
        ({"goal_dropout": 1.0}, "below 1"),
        ({"frozen_routers": True}, "policy-start"),
        ({"goal": "camera"}, "camera"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        small(**settings).learner(SPEC)


def test_choices_are_refused() -> None:
    spec = Spec({STATE: Feature((1,))}, Feature((1,), "int64", "choice", high=(3.0,)))
    with pytest.raises(UserError, match="numeric actions"):
        MixtureOfDenoisers().learner(spec)


def test_the_baseline_has_the_same_process(agent: Agent) -> None:
    """The encoder-decoder diffusion policy with the noise level as a token of its memory."""
    method = DiffusionPolicy(
        net="transformer", process="score", width=32, layers=2, history=1, chunk=CHUNK, execute=CHUNK, steps=300,
        batch=64, lr=2e-3, warmup=20, ema=0.98,
    )  # fmt: skip
    other = method.fit(two_tasks(), Run(show=False))
    assert torch.equal(other.learner.get_buffer("process.path"), agent.learner.get_buffer("process.path"))
    for side, where in ((0, -0.8), (1, 0.8)):
        assert (np.abs(chunks(other, side) - where) < 0.2).mean() > 0.95
    with pytest.raises(UserError, match="ddim"):
        DiffusionPolicy(process="score", sampler="ddpm").learner(SPEC)


def test_the_three_stages_of_the_rate() -> None:
    optim = Optim(schedule="tri_stage")
    factors = [optim.factor(step, 1000) for step in (0, 10, 20, 99, 100, 550, 1000)]
    assert factors == pytest.approx([0.1, 0.55, 1.0, 1.0, 1.0, 1e-3, 1e-6])
