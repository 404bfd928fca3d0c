"""Mixed data sets: nothing is lost or copied, shares are as the weights say, and each set keeps its own scaling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from imitari.core.columns import ArrayColumn, JoinedColumn
from imitari.core.demos import Demos, EpisodeTable
from imitari.core.errors import UserError
from imitari.core.spec import PRESENT, SOURCE, Feature, Spec
from imitari.data.labelled import labelled
from imitari.data.mixing import circumstances, mix
from imitari.data.sampling import Batches, MixedBatches, Transitions, Windows
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent
from imitari.learn.method import method_named
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler

STATE, FORCE = "observation.state", "observation.force"
CPU = torch.device("cpu")


def made(lengths: list[int], scale: float, seed: int, force: bool = False) -> Demos:
    """Random episodes whose numbers are of order `scale`."""
    rng, rows = np.random.default_rng(seed), sum(lengths) + len(lengths)
    obs = {STATE: Feature((3,))} | ({FORCE: Feature((2,))} if force else {})
    columns = {key: (scale * rng.normal(1, 2, (rows, feature.size))).astype(np.float32) for key, feature in obs.items()}
    columns["action"] = (scale * rng.normal(0, 1, (rows, 2))).astype(np.float32)
    table = EpisodeTable.of(lengths, final=True)
    return Demos(Spec(obs, Feature((2,))), {key: ArrayColumn(value) for key, value in columns.items()}, table)


@pytest.fixture
def sources() -> dict[str, Demos]:
    return {"big": made([30, 20, 50], 1.0, 0), "small": made([4, 6], 100.0, 1, force=True)}


def test_features_meet_by_name_and_nothing_is_copied(sources: dict[str, Demos]) -> None:
    mixed = mix(sources)
    assert list(mixed.spec.obs) == [STATE, FORCE, SOURCE, PRESENT]
    assert mixed.spec.obs[PRESENT].names == (FORCE,)
    for episode, part, name in zip(
        mixed, [*sources["big"], *sources["small"]], ["big"] * 3 + ["small"] * 2, strict=True
    ):
        np.testing.assert_array_equal(episode.obs[STATE], part.obs[STATE])
        np.testing.assert_array_equal(episode.action, part.action)
        np.testing.assert_array_equal(episode.obs[FORCE], part.obs.get(FORCE, np.zeros((part.rows, 2))))
        np.testing.assert_array_equal(episode.obs[SOURCE], [[name == "big", name == "small"]] * part.rows)
        np.testing.assert_array_equal(episode.obs[PRESENT], [[name == "small"]] * part.rows)
    column = mixed.columns[STATE]
    assert isinstance(column, JoinedColumn)
    assert column.parts[0] is sources["big"].columns[STATE]


@pytest.mark.parametrize("sampler", [Windows, lambda demos: Transitions(demos, rewards=False)])
def test_every_batch_holds_each_set_in_its_share(sources: dict[str, Demos], sampler: type[Windows]) -> None:
    samples = sampler(mix(sources, {"big": 1.0, "small": 3.0}))
    batches = Batches(samples, 10, seed=5)
    for number in range(40):
        share = batches(number).obs[SOURCE].reshape(10, 2).mean(0)
        assert abs(share[1] - 0.75) <= 0.1 + 1e-9
    drawn = np.bincount(np.concatenate([batches.indices(number) for number in range(4000)]), minlength=len(samples))
    wanted = 40_000 * np.where(np.arange(len(samples)) < 100, 0.25 / 100, 0.75 / 10)
    assert len(samples) == 110
    assert (np.abs(drawn - wanted) < 5 * np.sqrt(wanted)).all(), "samples of one set are equally likely"


def test_batches_are_a_function_of_seed_and_number(sources: dict[str, Demos]) -> None:
    windows = Windows(mix(sources, {"big": 1.0, "small": 1.0}))
    batches, again = Batches(windows, 8, seed=1), Batches(windows, 8, seed=1)
    for number in (9, 2, 700):
        np.testing.assert_array_equal(batches.indices(number), again.indices(number))
    assert not np.array_equal(Batches(windows, 8, seed=2).indices(2), batches.indices(2))
    assert not np.array_equal(batches.indices(3), batches.indices(2))


def test_shares_hold_whatever_episodes_are_kept_and_without_weights_all_samples_come_once(
    sources: dict[str, Demos],
) -> None:
    kept = Windows(mix(sources, {"big": 1.0, "small": 1.0}).keep([4, 1, 0]))
    share = Batches(kept, 60, seed=0)(0).obs[SOURCE].reshape(60, 2).mean(0)
    np.testing.assert_allclose(share, 0.5, atol=1 / 60 + 1e-9)
    plain = Windows(mix(sources))
    batches = Batches(plain, 11, seed=0)
    assert sorted(np.concatenate([batches.indices(number) for number in range(10)])) == list(range(110))


def test_each_set_is_scaled_by_itself(sources: dict[str, Demos]) -> None:
    mixed = mix(sources)
    scaler = Scaler.from_json(Scaler.fit(mixed).to_json())
    scale = DeviceScaler(scaler, mixed.spec, CPU)
    windows = Windows(mixed, (-1, 0), (0, 1, 2))
    batch = scale.batch(windows.gather(np.arange(len(windows))))
    own = [Scaler.fit(demos) for demos in sources.values()]
    for part, demos, first in zip(own, sources.values(), (0, 100), strict=True):
        alone = Windows(demos, (-1, 0), (0, 1, 2))
        wanted = DeviceScaler(part, demos.spec, CPU).batch(alone.gather(np.arange(len(alone))))
        here = slice(first, first + len(alone))
        torch.testing.assert_close(batch.action[here], wanted.action)
        for key in demos.spec.obs:
            torch.testing.assert_close(batch.obs[key][here], wanted.obs[key])
    torch.testing.assert_close(batch.obs[SOURCE].sum(-1), torch.ones(110, 2))
    back = scale.unscale_action(batch.action, batch.obs)
    np.testing.assert_allclose(back, windows.gather(np.arange(110)).action, rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match="does not scale each of several mixed data sets by itself"):
        scale.unscale_action(batch.action)


def test_an_agent_acts_in_the_units_of_the_set_it_is_told_and_survives_saving(
    sources: dict[str, Demos], tmp_path: Path
) -> None:
    mixed = mix(sources, {"big": 1.0, "small": 1.0})
    method = method_named("bc", {"steps": 30, "batch": 16})
    agent = method.fit(mixed, Run(device="cpu", show=False), None)
    agent.save(tmp_path)
    again = Agent.load(tmp_path)
    assert again.identity() == agent.identity()
    sizes = []
    for name, demos in sources.items():
        rows = demos.rows()[:4]
        obs = {key: demos.columns[key].take(rows) for key in demos.spec.obs}
        told = circumstances(mixed.spec, name, obs)
        obs |= {key: np.repeat(value[None], 4, 0) for key, value in told.items()}
        action, _ = agent.act(obs, agent.reset(4))
        np.testing.assert_array_equal(action, again.act(obs, again.reset(4))[0])
        sizes.append(np.abs(action).mean())
    assert sizes[1] > 20 * sizes[0]


def test_a_damaged_number_is_found_in_its_set(sources: dict[str, Demos]) -> None:
    forces = sources["small"].columns[FORCE].take(np.arange(12))
    forces[7] = np.nan  # of the second episode, which begins at row 5
    sources["small"] = sources["small"].with_columns({FORCE: ArrayColumn(forces)}, "damaged")
    with pytest.raises(UserError, match=r"data set 'small': column 'observation.force' .* episode 1, step 2"):
        Scaler.fit(mix(sources))


def test_refusals(sources: dict[str, Demos]) -> None:
    other = made([5], 1.0, 2)
    wide = Demos(
        Spec({STATE: Feature((4,))}, other.spec.action),
        {**other.columns, STATE: ArrayColumn(np.zeros((6, 4)))},
        other.table,
    )
    with pytest.raises(
        UserError, match=r"data set 'wide': observation 'observation.state' has shape \(4,\), and \(3,\)"
    ):
        mix({**sources, "wide": wide})
    with pytest.raises(UserError, match="'small' has weight 0: it must be positive"):
        mix(sources, {"big": 1.0, "small": 0.0})
    with pytest.raises(UserError, match="is a mixture already"):
        mix({"both": mix(sources)})
    with pytest.raises(UserError, match="data set 'small' has no episode in the training part"):
        Scaler.fit(mix(sources).keep([0, 1]))
    with pytest.raises(UserError, match="no data set named 'none' in this mixture: choose from big, small"):
        circumstances(mix(sources).spec, "none", {})
    weighted = labelled(mix(sources, {"big": 1.0, "small": 1.0}), mix(sources, {"big": 1.0, "small": 1.0}))
    with pytest.raises(UserError, match="weights of data sets do not go with halves"):
        MixedBatches(Windows(weighted), np.arange(5), np.arange(5, 9), 4, 0)
