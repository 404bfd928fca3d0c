"""Plain measures of demonstrations: how consistent their actions are, how long they take, how alike their states are.

Belkhale, Cui & Sadigh 2023, "Data Quality in Imitation Learning". A learner stays where its data are when actions at
similar states agree (low action variance), when little can go wrong on the way (short horizon), and when what is around
is covered (state diversity) by the system's own scatter rather than by the demonstrators'. No measure ranks data by
itself: they must be read together, and with the size of the neighbourhoods that they were taken over.

1. States and actions are brought to deviation 1 in every dimension, over all of the data.
2. The neighbourhood of a step: its k nearest steps, itself among them, or all steps within a radius.
3. Action variance: mean squared distance of the neighbourhood's actions from their mean. A choice: of indicators.
4. State similarity: share of the steps that lie within the radius; its inverse is the state diversity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array
from imitari.core.errors import UserError
from imitari.core.spec import CIRCUMSTANCES, Feature
from imitari.data.curate.scores import Scores, by_episode, grouped, ranks

FLAT = 12  # dimensions up to which a tree finds neighbours sooner than all distances do
BLOCK = 1 << 20  # distances at once
LOOKED = 8192  # steps that the similarity of a step is counted over, at most
PAIRS = 200_000  # drawn for the quantile of distances
LOW = ("action_variance", "horizon")  # what the rank sum is made of: less is better
MOST_CODES = 256


@dataclass(frozen=True)
class Measure:
    """How neighbourhoods are made.

    Attributes:
        neighbours: k of the nearest steps over which actions are compared.
        radius: compare actions over all steps within this distance in place of the k nearest, as a quantile of the
            distances of pairs; None: the k nearest.
        near: quantile of the distances of pairs that is the radius of state similarity.
        others: only steps of other episodes are neighbours (and the step itself).
        chunk: the mean of so many actions from a step on counts as its action, for policies of chunks.
        seed: of drawn pairs and drawn steps.
    """

    neighbours: int = 10
    radius: float | None = None
    near: float = 0.05
    others: bool = False
    chunk: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.neighbours < 2:
            raise UserError(f"neighbours is {self.neighbours}: the variance of fewer than two actions is nothing")
        for name in ("radius", "near"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise UserError(f"{name} is {value:g}: it must be a share of the pairs, above 0 and below 1")
        if self.chunk < 1:
            raise UserError(f"chunk is {self.chunk}: it must be at least 1")


@dataclass(frozen=True)
class Points:
    """Steps as vectors.

    Attributes:
        states: (N, D). actions: (N, A), NaN where they are unknown. owner: (N,) number of the episode.
    """

    states: Array
    actions: Array
    owner: Array

    def pick(self, which: Array) -> Points:
        return Points(self.states[which], self.actions[which], self.owner[which])


@dataclass(frozen=True)
class Radii:
    """Distances, made from all of the data: of state similarity, and of the neighbourhoods of actions (or None)."""

    near: float
    actions: float | None


def measured(demos: Demos, measure: Measure | None = None, group: str | None = None) -> Scores:
    """Scores of every step, every episode and, with `group`, of every operator.

    `action_variance` and `similarity` of steps; of episodes their means, `diversity`, `horizon` (its steps) and first
    `rank_sum`, the sum of the ranks of action variance and horizon: the lower the better. See `of_groups` for groups.

    Args:
        demos: with numbers among their observations; pictures are left out.
        measure: how neighbourhoods are made.
        group: key of the episodes' source that names the operator.

    Raises:
        UserError: where there is nothing to compare, or numbers are not finite.
    """
    measure = measure or Measure()
    points, left_out = points_of(demos, measure.chunk)
    if len(points.states) < 2 * measure.neighbours:
        raise UserError(
            f"{demos.provenance.path}: has {len(points.states)} steps, too few for {measure.neighbours} neighbours: "
            "choose fewer"
        )
    radii = radii_of(points.states, measure)
    variance, sizes = action_variance(points, measure, radii.actions)
    similarity = state_similarity(points.states, radii.near)
    steps = {"action_variance": variance, "similarity": similarity}
    each = {name: by_episode(demos, values) for name, values in steps.items()}
    each["diversity"] = 1 / each["similarity"]
    each["horizon"] = demos.table.length.astype(np.float64)
    episodes = {"rank_sum": sum((_ranked(each[name]) for name in LOW), np.zeros(len(demos))), **each}
    about = {
        "who": "measures without learning",
        **asdict(measure),
        "neighbourhood": float(np.mean(sizes)),
        "near_distance": radii.near,
        "steps": len(points.states),
        **({"left_out": left_out} if left_out else {}),
    }
    groups = of_groups(demos, grouped(demos, group), measure, points, radii) if group else {}
    better = dict.fromkeys(("rank_sum", *LOW), "low")
    return Scores(steps, episodes, better, None, groups, about, demos.fingerprint())  # pyright: ignore[reportArgumentType]


def of_groups(
    demos: Demos,
    groups: Mapping[str, Array],
    measure: Measure,
    points: Points | None = None,
    radii: Radii | None = None,
) -> dict[str, dict[str, float]]:
    """group -> `rank_sum`, `action_variance`, `horizon`, `similarity`, `diversity`, `log_volume`, `neighbourhood`,
    `steps`, `episodes`.

    Every group is looked at by itself, as if it were all the data, but scaled and with the radius of all; of each as
    many steps are drawn as the smallest has, because a denser set has nearer neighbours. `horizon` is the mean number
    of steps of its successful episodes, of all where none says whether it succeeded (NaN where none did). `log_volume`:
    mean logarithm of the distance to the k-th neighbour.

    Args:
        groups: name -> numbers of its episodes.
    """
    points = points or points_of(demos, measure.chunk)[0]
    radii = radii or radii_of(points.states, measure)
    mine = {name: np.flatnonzero(np.isin(points.owner, numbers)) for name, numbers in groups.items()}
    count = min(len(which) for which in mine.values())
    if count < 2 * measure.neighbours:
        raise UserError(
            f"{demos.provenance.path}: a group has only {count} steps, too few for {measure.neighbours} neighbours: "
            "choose fewer"
        )
    found: dict[str, dict[str, float]] = {}
    for name, which in mine.items():
        drawn = np.random.default_rng([measure.seed, 0x6E0]).permutation(which)[:count]
        own = points.pick(np.sort(drawn))
        variance, sizes = action_variance(own, measure, radii.actions)
        similarity = float(state_similarity(own.states, radii.near).mean())
        distance = nearest(own.states, measure.neighbours)[0][:, -1]
        found[name] = {
            "action_variance": float(np.nanmean(variance)),
            "horizon": horizon(demos, groups[name]),
            "similarity": similarity,
            "diversity": 1 / similarity,
            "log_volume": float(np.log(np.maximum(distance, 1e-12)).mean()),
            "neighbourhood": float(np.mean(sizes)),
            "steps": float(count),
            "episodes": float(len(groups[name])),
        }
    return ranked(found)


def ranked(found: Mapping[str, Mapping[str, float]], names: Sequence[str] = LOW) -> dict[str, dict[str, float]]:
    """The same, each with its `rank_sum`: the sum of its ranks in the measures `names`, 0 for the least of each."""
    table = np.array([[one[name] for name in names] for one in found.values()])
    sums = sum((_ranked(column) for column in table.T), np.zeros(len(found)))
    return {key: {"rank_sum": float(total), **one} for (key, one), total in zip(found.items(), sums, strict=True)}


def _ranked(values: Array) -> Array:
    """Ranks from 0; what could not be measured comes last."""
    return ranks(np.where(np.isnan(values), np.inf, values))


def horizon(demos: Demos, numbers: Array) -> float:
    """Mean steps of the successful episodes among `numbers`; of all where none of the data says whether it was."""
    length, flags = demos.table.length[numbers], demos.table.success[numbers]
    if (demos.table.success < 0).all():
        return float(length.mean())
    return float(length[flags == 1].mean()) if (flags == 1).any() else float("nan")


# ---------------------------------------------------------------- steps as vectors


def points_of(demos: Demos, chunk: int = 1) -> tuple[Points, str]:
    """The steps, and a sentence about observations that were left out ("" where none was).

    Numbers have deviation 1 (an angle stands as sine and cosine), symbols of known bound stand as indicators.
    """
    rows = demos.rows()
    owner = np.repeat(np.arange(len(demos)), demos.table.length)
    parts: list[Array] = []
    left_out: list[str] = []
    for key, feature in demos.spec.obs.items():
        if not _comparable(feature):
            left_out.append(f"'{key}' ({feature.kind})")
            continue
        values = demos.columns[key].take(rows).reshape(len(rows), -1).astype(np.float64)
        if not np.isfinite(values).all():
            raise UserError(f"{demos.provenance.path}: '{key}' has NaN or infinity: drop such episodes with --finite")
        parts.append(_vector(values, feature, scaled=key not in CIRCUMSTANCES))
    if not parts:
        raise UserError(
            f"{demos.provenance.path}: no observation is a vector that can be compared: there are "
            f"{', '.join(left_out) or 'none'}"
        )
    sentence = f"left out of the states: {', '.join(left_out)}" if left_out else ""
    return Points(np.concatenate(parts, 1), _actions(demos, rows, owner, chunk), owner), sentence


def _comparable(feature: Feature) -> bool:
    return feature.kind == "number" or (feature.kind in ("symbol", "choice") and _codes(feature) is not None)


def _codes(feature: Feature) -> Array | None:
    """How many values each dimension of a symbol or choice has, where that is known and not too many."""
    if feature.high is None:
        return None
    codes = np.broadcast_to(np.asarray(feature.high, np.int64).reshape(-1) + 1, (feature.size,))
    return codes if codes.max() <= MOST_CODES else None


def _vector(values: Array, feature: Feature, scaled: bool = True) -> Array:
    if feature.kind != "number":
        codes = _codes(feature)
        assert codes is not None
        parts = [np.eye(int(count))[values[:, number].astype(np.int64)] for number, count in enumerate(codes)]
        return np.concatenate(parts, 1)
    angles = [number for number in range(values.shape[1]) if number in feature.periodic]
    plain = np.delete(values, angles, axis=1)
    plain = _scaled(plain) if scaled else plain
    return np.concatenate([plain, np.sin(values[:, angles]), np.cos(values[:, angles])], 1)


def _scaled(values: Array) -> Array:
    """Deviation 1 in every dimension that changes."""
    deviation = np.nanstd(values, 0) if len(values) else np.ones(values.shape[1])
    return (values - np.nanmean(values, 0)) / np.where(deviation > 1e-8, deviation, 1.0)


def _actions(demos: Demos, rows: Array, owner: Array, chunk: int) -> Array:
    """(N, A), NaN where unknown: deviation 1, then the mean over a chunk that ends with the episode."""
    feature = demos.spec.action
    if feature.kind == "text":
        raise UserError(f"{demos.provenance.path}: its actions are texts, which have no variance")
    values = demos.columns[ACTION].take(rows).reshape(len(rows), -1).astype(np.float64)
    known = demos.known(rows)
    known = np.ones(len(rows), bool) if known is None else known
    if not np.isfinite(values[known]).all():
        raise UserError(f"{demos.provenance.path}: 'action' has NaN or infinity: drop such episodes with --finite")
    if feature.kind == "number":
        values = np.where(known[:, None], values, np.nan)
        values = _scaled(values)
    else:
        values = np.where(known[:, None], _vector(np.where(known[:, None], values, 0), feature), np.nan)
    return values if chunk == 1 else _chunk_means(values, np.cumsum(demos.table.length)[owner], chunk)


def _chunk_means(values: Array, ends: Array, chunk: int) -> Array:
    """Mean of `chunk` values from each on, of fewer where the episode ends (`ends` (N,)); NaN with unknown ones."""
    first = np.arange(len(values))
    last = np.minimum(first + chunk, ends)
    told = ~np.isnan(values).any(1, keepdims=True)
    counted = np.concatenate([np.where(told, values, 0), told], 1)
    total = np.concatenate([np.zeros((1, counted.shape[1])), np.cumsum(counted, 0)])
    whole = total[last] - total[first]
    complete = whole[:, -1:] == (last - first)[:, None]
    return np.where(complete, whole[:, :-1] / (last - first)[:, None], np.nan)


# ---------------------------------------------------------------- neighbourhoods


def radii_of(states: Array, measure: Measure) -> Radii:
    """The quantiles of the distances of drawn pairs of different steps."""
    rng = np.random.default_rng([measure.seed, 0xD15])
    first = rng.integers(len(states), size=PAIRS)
    second = (first + rng.integers(1, len(states), size=PAIRS)) % len(states)
    distance = np.concatenate(
        [np.linalg.norm(states[first[part]] - states[second[part]], axis=1) for part in _parts(PAIRS, states.shape[1])]
    )
    # A quantile is the distance of some pair: a little more, so that rounding does not decide about that pair.
    actions = None if measure.radius is None else float(np.quantile(distance, measure.radius)) * (1 + 1e-9)
    return Radii(float(np.quantile(distance, measure.near)) * (1 + 1e-9), actions)


def action_variance(points: Points, measure: Measure, radius: float | None = None) -> tuple[Array, Array]:
    """(N,) mean squared distance of the actions around each step from their mean, and (N,) how many they are.

    NaN where the action of the step itself is unknown; unknown actions of others do not count.

    Args:
        points: of these steps alone.
        measure: `neighbours` and `others`.
        radius: count all within it in the place of the nearest.
    """
    known = np.asarray(~np.isnan(points.actions).any(1))
    told = points.pick(np.flatnonzero(known))
    owner = told.owner if measure.others else None
    if radius is None:
        numbers = nearest(told.states, measure.neighbours, owner)[1]
        variance = np.empty(len(numbers))
        for part in _parts(len(numbers), numbers.shape[1] * told.actions.shape[1]):
            variance[part] = told.actions[numbers[part]].var(1).sum(-1)
        sizes = np.full(len(numbers), numbers.shape[1])
    else:
        variance, sizes = _variance_within(told, radius, owner)
    spread, count = np.full(len(known), np.nan), np.zeros(len(known), np.int64)
    spread[known], count[known] = variance, sizes
    return spread, count


def _variance_within(points: Points, radius: float, owner: Array | None) -> tuple[Array, Array]:
    """Over all steps within `radius`: from sums over the neighbourhood, which needs no list of its members."""
    squares = (points.actions**2).sum(1)
    variance, sizes = np.empty(len(squares)), np.empty(len(squares), np.int64)
    for part, square in _squares(points.states, owner):
        near = np.asarray(square <= radius**2, np.float64)
        sizes[part] = near.sum(1)
        mean = near @ points.actions / sizes[part, None]
        variance[part] = np.maximum(near @ squares / sizes[part] - (mean**2).sum(1), 0)
    return variance, sizes


def state_similarity(states: Array, radius: float) -> Array:
    """(N,) share of the steps (N, D) that lie within `radius` of each, itself among them.

    Of more than `LOOKED` steps only so many, evenly spaced, are looked at.
    """
    looked = np.unique(np.linspace(0, len(states) - 1, min(len(states), LOOKED)).astype(np.int64))
    if states.shape[1] <= FLAT:
        from scipy.spatial import KDTree

        tree = KDTree(states[looked])
        found = [tree.query_ball_point(states[part], radius, return_length=True) for part in _parts(len(states), 1024)]
        return np.concatenate(found).astype(np.float64) / len(looked)
    share = np.empty(len(states))
    for part, square in _squares(states, None, looked):
        share[part] = np.count_nonzero(square <= radius**2, axis=1) / len(looked)
    return share


def nearest(states: Array, count: int, owner: Array | None = None) -> tuple[Array, Array]:
    """Distances and numbers (N, count) of the nearest steps, the step itself among them.

    Args:
        states: (N, D), at least `count`.
        owner: (N,) with it, steps of the same owner are no neighbours, but for the step itself.
    """
    if states.shape[1] <= FLAT and owner is None:
        from scipy.spatial import KDTree

        found: tuple[Array, Array] = KDTree(states).query(states, k=count)  # pyright: ignore[reportAssignmentType]
        return found
    distances, numbers = np.empty((len(states), count)), np.empty((len(states), count), np.int64)
    for part, square in _squares(states, owner):
        some = np.argpartition(square, count - 1, axis=1)[:, :count]
        value = np.take_along_axis(square, some, 1)
        order = np.argsort(value, axis=1)
        numbers[part] = np.take_along_axis(some, order, 1)
        distances[part] = np.sqrt(np.take_along_axis(value, order, 1))
    if not np.isfinite(distances).all():
        raise UserError(f"a step has fewer than {count} steps of other episodes to compare with: ask for fewer")
    return distances, numbers


def _squares(states: Array, owner: Array | None, others: Array | None = None) -> Iterator[tuple[Array, Array]]:
    """Blocks of rows (b,) and their squared distances (b, N) to all steps, or to the steps numbered `others`.

    With `owner`, infinite to others of the same owner. The same memory is used for every block: fresh pages would cost
    more than the arithmetic.
    """
    other = np.arange(len(states)) if others is None else others
    seen = states[other]
    length, own = (states**2).sum(1), (seen**2).sum(1)
    memory: Array | None = None
    for part in _parts(len(states), len(seen)):
        memory = np.empty((len(part), len(seen))) if memory is None else memory
        block = memory[: len(part)]
        np.matmul(-2 * states[part], seen.T, out=block)
        block += own
        block += length[part, None]
        np.maximum(block, 0, out=block)
        if owner is not None:
            block[np.equal(owner[part, None], owner[other])] = np.inf
        row, column = np.nonzero(np.equal(part[:, None], other)) if others is not None else (np.arange(len(part)), part)
        block[row, column] = 0
        yield part, block


def _parts(count: int, width: int) -> Iterator[Array]:
    """The numbers below `count` in blocks whose rows of `width` numbers are few enough at once."""
    size = max(1, BLOCK // max(1, width))
    for begin in range(0, count, size):
        yield np.arange(begin, min(begin + size, count))


def describe(scores: Scores) -> dict[str, Any]:
    """The whole data set in numbers: means over episodes, with the size of the neighbourhoods."""
    means = {name: float(np.nanmean(values)) for name, values in scores.episodes.items() if name != "rank_sum"}
    return {**means, "neighbourhood": scores.about["neighbourhood"], "steps": scores.about["steps"]}
