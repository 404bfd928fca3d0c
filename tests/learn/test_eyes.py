"""An encoder in front of a policy: frozen it embeds once and acts the same, tuned it becomes part of the network."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imitari.cli import main
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.data.opening import save_demos
from imitari.envs import task_named
from imitari.jobs.evaluation import evaluate
from imitari.jobs.training import TrainRequest, train
from imitari.learn.agent import Agent
from imitari.learn.eyes import Eyes, named
from imitari.learn.method import method_class
from imitari.nets.encoder import TunedEncoder

TOP = "observation.images.top"
TASK = task_named("two_ways", pixels=16)
REQUEST = TrainRequest("bc", {"steps": 5, "batch": 8, "hidden": (8,)}, pixels=16, obs=(TOP,), show=False)


@pytest.fixture(scope="module")
def encoder(seen_demos: Demos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    smoke = method_class("dynamo").smoke
    train(TrainRequest("dynamo", dict(smoke), pixels=16, show=False), folder, seen_demos, TASK)
    return folder


def steps(agent: Agent, demos: Demos) -> np.ndarray:
    memory, actions = agent.reset(3), []
    for step in range(4):
        obs = {key: np.stack([demos[number].obs[key][step] for number in range(3)]) for key in agent.spec.obs}
        action, memory = agent.act(obs, memory)
        actions.append(action)
    return np.stack(actions)


def test_embedding_once_equals_embedding_while_acting(encoder: Path, seen_demos: Demos) -> None:
    eyes = Eyes.of(Agent.load(encoder).learner.get_submodule("encoder"), seen_demos.spec, "it")
    embedded = eyes.embedded(seen_demos)
    assert list(embedded.spec.obs) == ["observation.state", named(TOP)]
    assert eyes.outside(embedded.spec) == seen_demos.spec
    rows = seen_demos.rows(final=True)
    alone = np.concatenate([eyes({TOP: seen_demos.columns[TOP].take(rows[n : n + 1])})[named(TOP)] for n in range(9)])
    np.testing.assert_allclose(embedded.columns[named(TOP)].take(rows[:9]), alone, rtol=1e-4, atol=1e-5)


def test_frozen_agent_owns_its_eyes(encoder: Path, seen_demos: Demos, tmp_path: Path) -> None:
    copy = tmp_path / "encoder"
    shutil.copytree(encoder, copy)
    agent = train(replace(REQUEST, encoder=str(copy)), tmp_path / "run", seen_demos, TASK)
    shutil.rmtree(copy)
    loaded = Agent.load(tmp_path / "run")
    assert loaded.identity() == agent.identity()
    assert list(loaded.spec.obs) == [TOP]
    assert loaded.eyes is not None
    np.testing.assert_array_equal(steps(agent, seen_demos), steps(loaded, seen_demos))
    before = loaded.identity()
    with torch.no_grad():
        next(loaded.eyes.encoder.parameters()).add_(1.0)
    assert loaded.identity() != before
    assert len(evaluate(agent, TASK, range(100_000, 100_002), show=False)) == 2


def test_frozen_weights_stay_as_they_are(encoder: Path, seen_demos: Demos, tmp_path: Path) -> None:
    agent = train(replace(REQUEST, encoder=str(encoder)), tmp_path, seen_demos, TASK)
    assert agent.eyes is not None
    kept = Agent.load(encoder).learner.get_submodule("encoder").state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in agent.eyes.encoder.state_dict().items())


def test_tuned_encoder_begins_with_the_weights_and_learns(encoder: Path, seen_demos: Demos, tmp_path: Path) -> None:
    request = replace(REQUEST, encoder=str(encoder), tune_encoder=True)
    agent = train(request, tmp_path, seen_demos, TASK)
    (tuned,) = [module for module in agent.learner.modules() if isinstance(module, TunedEncoder)]
    first = Agent.load(encoder).learner.get_submodule("encoder").state_dict()
    now = tuned.encoder.state_dict()
    assert any(not torch.equal(now[key], first[key]) for key in now)
    assert all(torch.equal(now[key], first[key]) for key in now if "running" in key)
    largest = max(float((now[key].float() - first[key].float()).abs().max()) for key in now)
    assert largest < 0.1  # five small steps away from where it began
    np.testing.assert_array_equal(steps(agent, seen_demos), steps(Agent.load(tmp_path), seen_demos))


def test_wrong_uses_are_refused(encoder: Path, seen_demos: Demos, tmp_path: Path) -> None:
    def refused(match: str, request: TrainRequest) -> None:
        with pytest.raises(UserError, match=match):
            train(request, tmp_path / "none", seen_demos, TASK)

    refused("--encoder FOLDER", replace(REQUEST, tune_encoder=True))
    refused("acts while it learns", replace(REQUEST, method="dagger", settings={}, encoder=str(encoder)))
    refused("trains an encoder itself", replace(REQUEST, method="byol", settings={}, encoder=str(encoder)))
    act = {"steps": 2, "batch": 2, **{key: value for key, value in method_class("act").smoke.items() if key != "steps"}}
    refused("one vector", replace(REQUEST, method="act", settings=act, encoder=str(encoder), tune_encoder=True))
    train(REQUEST, tmp_path / "policy", seen_demos, TASK)
    refused("holds a policy", replace(REQUEST, encoder=str(tmp_path / "policy")))
    with pytest.raises(UserError, match="does not act"):
        evaluate(Agent.load(encoder), TASK, range(2), show=False)


def test_encoder_probe_and_use_from_the_command_line(
    encoder: Path, seen_demos: Demos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_demos(seen_demos, tmp_path / "demos.npz", "npz")
    data = ["--data", str(tmp_path / "demos.npz")]
    out = tmp_path / "probe.json"
    assert main(["probe", str(encoder), *data, "--target", "observation.state", "--json", str(out)]) == 0
    assert "mean R2" in capsys.readouterr().out
    assert len(json.loads(out.read_text())["r2"]) == 4
    words = ["train", "knn", *data, "--task", "two_ways", "--encoder", str(encoder), "--obs", TOP, "--quiet"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--episodes", "2", "--quiet"]) == 0
    assert main(["probe", str(tmp_path / "run"), *data, "--target", "observation.state"]) == 2
    assert "holds a policy" in capsys.readouterr().err


def test_uses_of_the_learner_alone_are_refused(encoder: Path, seen_demos: Demos, tmp_path: Path) -> None:
    frozen = train(replace(REQUEST, encoder=str(encoder)), tmp_path / "frozen", seen_demos, TASK)
    with pytest.raises(UserError, match="frozen encoder"):
        frozen.seeing_itself("it")
    tuned = train(replace(REQUEST, encoder=str(encoder), tune_encoder=True), tmp_path / "tuned", seen_demos, TASK)
    assert tuned.seeing_itself("it") is tuned
