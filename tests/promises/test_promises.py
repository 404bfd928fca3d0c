"""What every method promises: each promise a function, each method a parameter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.registry import entries
from imitari.envs import task_named
from imitari.learn.agent import Agent
from imitari.learn.method import Method, method_class
from imitari.learn.run import Run
from tests.conftest import CutAt
from tests.promises.conftest import suited

METHODS = sorted(entries("methods"))
every_method = pytest.mark.parametrize("name", METHODS)


def exact(name: str) -> bool:
    return method_class(name).exact


def method(name: str) -> Method:
    kind = method_class(name)
    return kind.from_json(dict(kind.smoke))


def fit(name: str, demos: Demos, folder: Path | None = None, seed: int = 0, **settings: float) -> Agent:
    run = Run(seed=seed, folder=folder, show=False, save_seconds=settings.pop("save_seconds", 30.0))
    return method(name).fit(demos.keep(range(6)), run, task_named(suited(name)[1]))


def weights(agent: Agent) -> dict[str, torch.Tensor]:
    return agent.learner.state_dict()


def equal(a: Agent, b: Agent) -> bool:
    return all(torch.equal(value, weights(b)[key]) for key, value in weights(a).items())


def acts(agent: Agent, demos: Demos) -> np.ndarray:
    """Actions over a few steps of three episodes in step; of an encoder, its vectors."""
    if not agent.method.acts:
        frames = demos[0].obs[next(iter(agent.spec.images))][:5]
        encoder = agent.learner.get_submodule("encoder")
        with torch.inference_mode():
            return encoder(torch.from_numpy(frames.copy())).numpy()
    memory = agent.reset(3, seed=5)
    actions = []
    for step in range(5):
        seen = [demos[number].obs for number in range(3)]
        obs = {key: np.stack([one[key][min(step, len(one[key]) - 1)] for one in seen]) for key in agent.spec.obs}
        action, memory = agent.act(obs, memory)
        actions.append(action)
    return np.stack(actions)


@every_method
def test_same_seed_same_weights_other_seed_other_weights(name: str, suited_demos: Demos) -> None:
    first, again, other = fit(name, suited_demos), fit(name, suited_demos), fit(name, suited_demos, seed=1)
    assert equal(first, again)
    # An exact method draws nothing but ties.
    assert exact(name) or not equal(first, other)


@every_method
def test_a_saved_agent_acts_the_same(name: str, suited_demos: Demos, tmp_path: Path) -> None:
    agent = fit(name, suited_demos)
    agent.save(tmp_path)
    loaded = Agent.load(tmp_path)
    assert loaded.identity() == agent.identity()
    np.testing.assert_array_equal(acts(agent, suited_demos), acts(loaded, suited_demos))


@every_method
def test_resuming_equals_never_having_stopped(name: str, suited_demos: Demos, tmp_path: Path, cut_at: CutAt) -> None:
    whole = fit(name, suited_demos, tmp_path / "whole")
    if exact(name):  # it is done in one pass: after a cut it begins again
        assert not (tmp_path / "whole" / "resume").exists()
        assert equal(whole, fit(name, suited_demos, tmp_path / "whole"))
        return
    with cut_at(17):
        fit(name, suited_demos, tmp_path / "cut", save_seconds=0.0)
    assert equal(whole, fit(name, suited_demos, tmp_path / "cut", save_seconds=0.0))


@every_method
def test_batches_are_left_untouched(name: str, suited_demos: Demos, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array that a sampler hands out is made read-only: a learner that writes into it fails."""
    from imitari.learn.learner import Learner
    from imitari.learn.scaled import DeviceScaler

    before: list[tuple[torch.Tensor, torch.Tensor]] = []
    scaled = DeviceScaler.batch

    def watched(self: DeviceScaler, batch: object) -> object:
        for tensor, copy in before:
            assert torch.equal(tensor, copy)
        before.clear()
        out = scaled(self, batch)  # type: ignore[arg-type]
        given = (*out.obs.values(), out.action, out.reward, out.discount)
        before.extend((value, value.clone()) for value in given if value is not None)
        return out

    if exact(name):  # it sees the columns themselves
        facts = suited_demos.fingerprint()
        fit(name, suited_demos)
        assert suited_demos.fingerprint() == facts
        return
    monkeypatch.setattr(DeviceScaler, "batch", watched)
    assert isinstance(fit(name, suited_demos).learner, Learner)
    assert before
    for tensor, copy in before:
        assert torch.equal(tensor, copy)


@every_method
def test_every_weight_is_trained(name: str, suited_demos: Demos) -> None:
    agent = fit(name, suited_demos)
    torch.manual_seed(0)
    fresh = method(name).rebuilt(agent.spec, agent.learner.parts()).state_dict()
    trained = {key for key, parameter in agent.learner.named_parameters() if parameter.requires_grad}
    if exact(name):
        # The table; what it is believed to be worth may well be 0. Of a planning domain its summary.
        trained = {"size" if "symbols" in method_class(name).needs else "action"}
    still = [key for key in trained if torch.equal(fresh[key], weights(agent)[key])]
    assert not still, f"never changed: {still}"


@every_method
def test_settings_go_through_json(name: str) -> None:
    import json

    for preset in (None, *method_class(name).presets):
        one = method_class(name).from_preset(preset)
        assert method_class(name).from_json(json.loads(json.dumps(one.to_json()))) == one


@every_method
def test_a_method_is_described(name: str) -> None:
    from imitari.cli._parser import field_comments

    kind = method_class(name)
    comments = field_comments(kind)
    assert entries("methods")[name].description.endswith(".")
    assert {"small", "paper"} <= kind.presets.keys()
    missing = [field for field in method(name).to_json() if not comments.get(field)]
    assert not missing, f"settings without a comment: {missing}"
    page = Path(__file__).parent.parent.parent / "docs" / "methods" / f"{name}.md"
    assert page.exists(), f"{page} is missing"
