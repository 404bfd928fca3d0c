"""The scaler against numpy on the whole column."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.scaling import Scaler


def column(demos: Demos, key: str) -> np.ndarray:
    return np.concatenate([episode.obs[key][: len(episode)] for episode in demos])


@pytest.mark.parametrize("kind", ["minmax", "meanstd", "quantile", "none"])
def test_statistics(random_demos: Demos, kind: str) -> None:
    scaling = Scaler.fit(random_demos, kind).scalings["observation.state"]  # type: ignore[arg-type]
    values = column(random_demos, "observation.state")
    scaled = scaling.apply(values)
    if kind == "minmax":
        np.testing.assert_allclose([scaled.min(0), scaled.max(0)], [[-1] * 3, [1] * 3], rtol=1e-5)
    elif kind == "meanstd":
        np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(scaled.std(0), 1, rtol=1e-5)
    elif kind == "quantile":
        assert abs(scaled).max() <= 1.5
        np.testing.assert_allclose(
            scaling.offset, np.quantile(values, [0.02, 0.98], axis=0).mean(0), rtol=1e-4, atol=1e-5
        )
    else:
        np.testing.assert_array_equal(scaled, values)
    if kind != "quantile":
        np.testing.assert_allclose(scaling.invert(scaled), values, rtol=1e-4, atol=1e-5)


def test_only_the_steps_of_the_view_count(random_demos: Demos) -> None:
    part = random_demos.keep([2, 5])
    scaling = Scaler.fit(part, "meanstd").scalings["observation.state"]
    np.testing.assert_allclose(scaling.offset, column(part, "observation.state").mean(0), rtol=1e-4, atol=1e-6)


def changed(demos: Demos, values: np.ndarray, periodic: tuple[int, ...] = ()) -> Demos:
    feature = dataclasses.replace(demos.spec.obs["observation.state"], periodic=periodic)
    spec = Spec({"observation.state": feature}, demos.spec.action)
    return demos.with_columns({"observation.state": ArrayColumn(values)}, "changed", spec)


def test_constant_dimensions_and_angles_stay_finite_and_untouched(random_demos: Demos) -> None:
    values = (
        random_demos.columns["observation.state"].span(0, random_demos.columns["observation.state"].shape[0]).copy()
    )
    values[:, 0] = 7.0
    scaling = Scaler.fit(changed(random_demos, values, periodic=(2,)), "minmax").scalings["observation.state"]
    scaled = scaling.apply(values)
    assert (scaled[:, 0] == 0).all()
    np.testing.assert_array_equal(scaled[:, 2], values[:, 2])


def test_not_a_number_is_refused_with_its_place(random_demos: Demos) -> None:
    values = (
        random_demos.columns["observation.state"].span(0, random_demos.columns["observation.state"].shape[0]).copy()
    )
    values[int(random_demos.table.start[3]) + 2, 1] = np.nan
    with pytest.raises(UserError, match=r"'observation.state' holds NaN or infinity at episode 3, step 2"):
        Scaler.fit(changed(random_demos, values))


def test_json_round_trip(random_demos: Demos) -> None:
    scaler = Scaler.fit(random_demos)
    again = Scaler.from_json(scaler.to_json())
    for key, scaling in scaler.scalings.items():
        np.testing.assert_array_equal(scaling.offset, again.scalings[key].offset)
        np.testing.assert_array_equal(scaling.width, again.scalings[key].width)
    assert Feature((1,)) == Feature.from_json(Feature((1,)).to_json())
