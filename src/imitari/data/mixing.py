"""Several data sets as one, for one policy: features meet by name, each set keeps its scaling and gets its share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from imitari.core.columns import Column, ConstantColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array
from imitari.core.errors import UserError
from imitari.core.spec import PRESENT, SOURCE, Feature, Spec
from imitari.data.sampling import MIXTURE


def mix(sources: Mapping[str, Demos], weights: Mapping[str, float] | None = None) -> Demos:
    """The episodes of all data sets, without copying.

    Every observation that some set has is there; where a set lacks it, it holds zeros. `observation.source` is an
    indicator of the set (`Scaler.fit` scales each by itself), and `observation.present`, where anything is lacking,
    has a 1 for each such observation that is there.

    Args:
        sources: name -> data set.
        weights: name -> how often samples of the set are drawn, relative to the others (see `sampling.Shares`);
            None: every sample is drawn equally often.

    Raises:
        UserError: when two sets differ in shape or kind of a feature of one name, or in the action's; when a weight is
            not positive.
    """
    if not sources:
        raise UserError("there is nothing to mix: give at least one data set")
    for name, weight in (weights or {}).items():
        if not 0 < weight < np.inf:
            raise UserError(f"data set '{name}' has weight {weight:g}: it must be positive")
    spec = _united(sources)
    optional = [key for key in spec.obs if any(key not in demos.spec.obs for demos in sources.values())]
    told = {SOURCE: Feature((len(sources),), names=tuple(sources))}
    if optional:
        told[PRESENT] = Feature((len(optional),), names=tuple(optional))
    spec = Spec({**spec.obs, **told}, spec.action)
    shares = weights or dict.fromkeys(sources)
    mixed = Demos.concat([_part(demos, name, shares[name], spec) for name, demos in sources.items()])
    drawn = [name if weight is None else f"{name} (weight {weight:g})" for name, weight in shares.items()]
    return mixed.with_table(mixed.table, f"mixed: {', '.join(drawn)}")


def circumstances(spec: Spec, name: str, there: Mapping[str, Any]) -> dict[str, Array]:
    """What the data set `name` adds to the observations `there`: `observation.source`, `observation.present`, and
    zeros for what is lacking.

    Args:
        spec: of a mixture.

    Raises:
        UserError: when the mixture has no such set.
    """
    names = spec.obs[SOURCE].names or ()
    if name not in names:
        raise UserError(f"there is no data set named '{name}' in this mixture: choose from {', '.join(names)}")
    out = {SOURCE: (np.array(names) == name).astype(np.float32)}
    if PRESENT in spec.obs:
        out[PRESENT] = np.array([key in there for key in spec.obs[PRESENT].names or ()], np.float32)
        lacking = [key for key in spec.obs[PRESENT].names or () if key not in there]
        out |= {key: np.zeros(spec.obs[key].shape, spec.obs[key].dtype) for key in lacking}
    return out


def _part(demos: Demos, name: str, weight: float | None, spec: Spec) -> Demos:
    """One set as the mixture sees it; what is the same in all rows is stored once."""
    rows = demos.columns[ACTION].shape[0]
    columns: dict[str, Column] = {
        key: ConstantColumn(value, rows) for key, value in circumstances(spec, name, demos.spec.obs).items()
    }
    source = tuple({**one, MIXTURE: {"name": name, "weight": weight}} for one in demos.table.source)
    table = replace(demos.table, source=source)
    return demos.with_table(table, f"data set '{name}'").with_columns(columns, "told apart", spec)


def _united(sources: Mapping[str, Demos]) -> Spec:
    """All observations of all sets; of each feature what the sets agree on."""
    obs: dict[str, Feature] = {}
    action: Feature | None = None
    for name, demos in sources.items():
        if SOURCE in demos.spec.obs:
            raise UserError(f"{demos.provenance.path}: is a mixture already: mix the sets that it was made of")
        for key, feature in demos.spec.obs.items():
            obs[key] = _agreed(obs.get(key, feature), feature, f"observation '{key}'", name)
        action = _agreed(action or demos.spec.action, demos.spec.action, "action", name)
    for key, feature in obs.items():
        if feature.kind == "text" and any(key not in demos.spec.obs for demos in sources.values()):
            raise UserError(f"observation '{key}' is text, which not every data set has: leave it out with --obs")
    assert action is not None
    return Spec(obs, action)


def _agreed(before: Feature, feature: Feature, what: str, name: str) -> Feature:
    if before == feature:
        return before
    for field in ("shape", "kind", "periodic"):
        one, other = getattr(feature, field), getattr(before, field)
        if one != other:
            raise UserError(
                f"data set '{name}': {what} has {field} {one}, and {other} in a set before it: leave it out with "
                "--obs, or rename it in one of them"
            )
    return Feature(before.shape, before.dtype, before.kind, periodic=before.periodic)
