"""Windows and transitions: index arithmetic once, then one gather a column. Padding, n-step sums, discounts and goals
are computed here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from imitari.core.batch import Batch
from imitari.core.demos import ENDINGS, Demos
from imitari.core.episode import ACTION, ACTION_KNOWN, REWARD, Array
from imitari.core.errors import UserError

AHEAD = 16_384  # samples whose order is worked out together
TERMINATED = ENDINGS.index("terminated")
MIXTURE = "mixture"  # in an episode's source: name and weight of the data set that it came from (see data.mixing)
SHARES = 0x5A4E5  # keeps the drawing of samples apart from what else (seed, number) decides


class Sampler(Protocol):
    """Numbered samples of a data set."""

    def __len__(self) -> int: ...

    def gather(self, index: Array, rng: np.random.Generator) -> Batch:
        """The samples `index` (B,) as one batch. `rng` serves samplers that draw (goals)."""
        ...


class _Steps:
    """Sample number -> (episode, step), by binary search, so that memory does not grow with the data.

    Args:
        demos: where from.
        counts: (E,) steps of each episode that may be drawn.
        wanted: (sum of counts,) which of them are; None: all.
    """

    def __init__(self, demos: Demos, counts: Array, wanted: Array | None = None) -> None:
        self.demos = demos
        self._chosen = None if wanted is None or wanted.all() else np.flatnonzero(wanted)
        self._ends = np.cumsum(counts)
        self._counts = counts
        if len(counts) == 0 or self._ends[-1] == 0:
            raise UserError(f"{demos.provenance.path}: every episode is too short to learn from: use longer ones")

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._chosen is None else len(self._chosen)

    def locate(self, index: Array) -> tuple[Array, Array]:
        index = index if self._chosen is None else self._chosen[index]
        episode = np.searchsorted(self._ends, index, side="right")
        return episode, index - (self._ends[episode] - self._counts[episode])

    def per_episode(self) -> Array:
        if self._chosen is None:
            return self._counts
        return np.bincount(self.locate(np.arange(len(self)))[0], minlength=len(self._counts))


class Windows:
    """Around every step t: observations at t + obs_offsets and actions at t + action_offsets.

    Steps before the start repeat the first row, steps after the end the last one; `valid` is False for actions
    beyond the end of the episode and for actions that are not known. Windows without any known action are left out.

    Args:
        demos: where from.
        obs_offsets: steps relative to t, e.g. (-1, 0) for a history of two.
        action_offsets: e.g. range(16) for a chunk.
        extra: further columns to gather at the action steps.
        inside: windows that would reach beyond the episode are moved inside as far as it is long enough, and see its
            final observation where that is known: t is then the step at their middle where possible.
        unknown: also windows without any known action, for who learns from observations.
        final: windows see the final observation where that is known, and not the last step's again.

    Raises:
        UserError: when there is nothing to draw.
    """

    def __init__(
        self,
        demos: Demos,
        obs_offsets: Sequence[int] = (0,),
        action_offsets: Sequence[int] = (0,),
        extra: Sequence[str] = (),
        *,
        inside: bool = False,
        unknown: bool = False,
        final: bool = False,
    ) -> None:
        self.demos = demos
        self.extra = tuple(extra)
        self.inside, self.final = inside, inside or final
        self._obs_offsets = np.asarray(obs_offsets, np.int64)
        self._action_offsets = np.asarray(action_offsets, np.int64)
        self._steps = _Steps(demos, demos.table.length)
        if not unknown and len(self._action_offsets) and ACTION_KNOWN in demos.columns:
            self._steps = _Steps(demos, demos.table.length, self._some_known())

    def __len__(self) -> int:
        return len(self._steps)

    def per_episode(self) -> Array:
        """(E,) samples of each episode; they are numbered episode by episode."""
        return self._steps.per_episode()

    def gather(self, index: Array, rng: np.random.Generator | None = None) -> Batch:
        return self.around(*self._steps.locate(np.asarray(index, np.int64)))

    def around(self, episode: Array, step: Array) -> Batch:
        """The windows around steps (B,) of episodes (B,)."""
        columns, table = self.demos.columns, self.demos.table
        start, last = table.start[episode][:, None], (table.length[episode] - 1)[:, None]
        seen = (table.rows[episode] - 1)[:, None] if self.final else last
        step = self._moved(step, table.rows[episode])[:, None] if self.inside else step[:, None]
        at = step + self._action_offsets
        action_rows = start + np.clip(at, 0, last)
        obs_rows = start + np.clip(step + self._obs_offsets, 0, seen)
        action, valid = columns[ACTION].take(action_rows), (at >= 0) & (at <= last)
        known = self.demos.known(action_rows)
        if known is not None:
            action[~known] = 0  # and not NaN, which no mask takes out of a sum
            valid &= known
        return Batch(
            obs={key: columns[key].take(obs_rows) for key in self.demos.spec.obs},
            action=action,
            valid=valid,
            known=known,
            extra={key: columns[key].take(action_rows) for key in self.extra},
        )

    def _moved(self, step: Array, rows: Array) -> Array:
        """The t at which the window of observations around step t lies inside its episode of `rows` observations."""
        first, last = self._obs_offsets[0], self._obs_offsets[-1]
        middle = (first + last) // 2
        return np.clip(step - middle, -first, np.maximum(rows - 1 - last, -first))

    def _some_known(self) -> Array:
        """(steps,) whether the window around a step holds a known action."""
        table, rows = self.demos.table, self.demos.rows()
        known = self.demos.known(rows)
        assert known is not None
        self.demos.known_rows()  # says so where there are none
        length = np.repeat(table.length, table.length)
        step = np.arange(len(rows)) - np.repeat(np.cumsum(table.length) - table.length, table.length)
        at = self._moved(step, np.repeat(table.rows, table.length)) if self.inside else step
        found = np.zeros(len(rows), bool)
        for offset in self._action_offsets.tolist():
            there = at + offset
            inside = np.flatnonzero((there >= 0) & (there < length))
            found[inside] |= known[inside + (there - step)[inside]]
        return found


@dataclass(frozen=True)
class Goals:
    """Hindsight goals: an observation of the same episode (or any) that the transition is relabelled towards.

    Attributes:
        kind: "future" (geometric in the distance), "uniform" (any later step), "final", or "random" (any episode).
        discount: of the geometric distance.
    """

    kind: Literal["future", "uniform", "final", "random"] = "future"
    discount: float = 0.99


class Transitions:
    """(o_t, a_t, sum of the next n rewards, discount, o_{t+n}) of every step.

    The discount is gamma^m, where m <= n steps were summed, and 0 where o_{t+m} is terminal: a time limit does not zero
    it. A step whose successor is neither known nor terminal is left out, as is one whose action is not known.

    Args:
        demos: with rewards.
        n_step: rewards to sum.
        gamma: discount a step.
        goals: also draw a goal for each sample.
        extra: further columns to gather at t.
        rewards: False: the batches have none, and the data need none.
        unknown: also steps whose action is not known, for who learns from observations.
    """

    def __init__(
        self,
        demos: Demos,
        n_step: int = 1,
        gamma: float = 0.99,
        goals: Goals | None = None,
        extra: Sequence[str] = (),
        rewards: bool = True,
        unknown: bool = False,
    ) -> None:
        if rewards and not demos.has_reward:
            raise UserError(
                f"{demos.provenance.path}: column '{REWARD}' is missing: use data with rewards, or a method without"
            )
        if n_step < 1:
            raise UserError(f"n_step is {n_step}: it must be at least 1")
        table = demos.table
        known = (table.rows > table.length) | (table.ended == TERMINATED)
        self.demos, self.n_step, self.gamma, self.goals, self.extra = demos, n_step, gamma, goals, tuple(extra)
        self.rewards, self.unknown = rewards, unknown
        self._steps = _Steps(demos, table.length - ~known, self._wanted(table.length - ~known))
        self._powers = gamma ** np.arange(n_step + 1)

    def __len__(self) -> int:
        return len(self._steps)

    def per_episode(self) -> Array:
        """(E,) samples of each episode; they are numbered episode by episode."""
        return self._steps.per_episode()

    def _wanted(self, counts: Array) -> Array | None:
        """(sum of counts,) whether the actions of the first steps of each episode are known."""
        if self.unknown or ACTION_KNOWN not in self.demos.columns:
            return None
        self.demos.known_rows()  # says so where there are none
        begin = np.repeat(self.demos.table.start - np.cumsum(counts) + counts, counts)
        return self.demos.known(begin + np.arange(int(counts.sum())))

    def values(self, key: str) -> Array:
        """(len(self), ...) a step column of all samples, in their order."""
        episode, step = self.locate(np.arange(len(self)))
        return self.demos.columns[key].take(self.demos.table.start[episode] + step)

    def locate(self, index: Array) -> tuple[Array, Array]:
        """Episode and step (B,) of samples (B,)."""
        return self._steps.locate(np.asarray(index, np.int64))

    def gather(self, index: Array, rng: np.random.Generator | None = None) -> Batch:
        columns, table = self.demos.columns, self.demos.table
        episode, step = self.locate(index)
        start, length = table.start[episode], table.length[episode]
        last = np.minimum(length, table.rows[episode] - 1)  # the last observation that is stored
        terminated = table.ended[episode] == TERMINATED
        # Where the final observation is unknown and the end is terminal, the value behind it is never used.
        reach = np.where(terminated, length, last)
        after = np.minimum(step + self.n_step, reach)
        discount = self._powers[after - step] * ~(terminated & (after == length))
        here, there = start + step, start + np.minimum(after, last)
        keys = list(self.demos.spec.obs)
        return Batch(
            obs={key: columns[key].take(here) for key in keys},
            action=columns[ACTION].take(here),
            reward=self._reward(start, step, length, after) if self.rewards else None,
            discount=discount.astype(np.float32),
            next_obs={key: columns[key].take(there) for key in keys},
            goal=self._goal(episode, step, rng) if self.goals else None,
            extra={key: columns[key].take(here) for key in self.extra},
        )

    def _reward(self, start: Array, step: Array, length: Array, after: Array) -> Array:
        """(B,) discounted sums of the rewards from `step` to before `after`, steps within the episode."""
        ahead = step[:, None] + np.arange(self.n_step)
        rewards = self.demos.columns[REWARD].take(start[:, None] + np.minimum(ahead, length[:, None] - 1))
        return (rewards * (ahead < after[:, None]) * self._powers[:-1]).sum(1).astype(np.float32)

    def _goal(self, episode: Array, step: Array, rng: np.random.Generator | None) -> dict[str, Array]:
        assert self.goals is not None
        if rng is None:
            raise ValueError("sampling goals needs a random generator")
        table = self.demos.table
        last = table.rows[episode] - 1
        if self.goals.kind == "random":
            episode = rng.integers(len(table), size=len(step))
            at = (rng.random(len(step)) * table.rows[episode]).astype(np.int64)
        elif self.goals.kind == "final":
            at = last
        elif self.goals.kind == "uniform":
            at = np.minimum(step + 1, last) + (rng.random(len(step)) * np.maximum(last - step, 1)).astype(np.int64)
        else:
            at = step + rng.geometric(1 - self.goals.discount, size=len(step))
        rows = table.start[episode] + np.minimum(at, table.rows[episode] - 1)
        return {key: self.demos.columns[key].take(rows) for key in self.demos.spec.obs}


class Order:
    """A random order of `count` samples, a fresh one each pass, in groups of `size`: number -> (size,) samples.

    The order of a pass is a keyed permutation that is evaluated only where it is asked for (a 4-round Feistel network
    over the index bits, walking the cycle past the end), so that cost and memory do not grow with the data.

    Args:
        count: samples.
        size: of a group.
        seed: of the order.
    """

    def __init__(self, count: int, size: int, seed: int) -> None:
        self.count, self.size, self.seed = count, size, seed
        self._half = max(1, (max(2, count) - 1).bit_length() + 1 >> 1)
        self._last, self._ahead = -1, np.zeros(0, np.int64)
        self._groups = np.zeros((0, size), np.int64)

    def __call__(self, number: int) -> Array:
        """Worked out for some groups at once, those that follow if the numbers go on as far apart as the last two:
        numpy's calls cost more than their arithmetic here."""
        found = np.flatnonzero(self._ahead == number)
        if not len(found):
            count = -(-AHEAD // self.size)
            self._ahead = number + np.arange(count, dtype=np.int64) * max(1, number - self._last)
            position = (self._ahead[:, None] * self.size + np.arange(self.size)).reshape(-1)
            self._groups = self._permuted(position).reshape(count, self.size)
        self._last = number
        return self._groups[int(found[0]) if len(found) else 0]

    def _permuted(self, position: Array) -> Array:
        """Positions, in ascending order, to samples."""
        epoch, value = np.divmod(position.astype(np.uint64), np.uint64(self.count))
        if epoch[0] == epoch[-1]:
            epoch = epoch[:1]
        key = _mix(epoch + np.uint64(self.seed * 0x9E3779B97F4A7C15 % (1 << 64)))
        value = self._feistel(value, key)
        outside = np.flatnonzero(value >= self.count)
        while len(outside):
            walked = self._feistel(value[outside], key if len(key) == 1 else key[outside])
            value[outside] = walked
            outside = outside[walked >= self.count]
        return value.astype(np.int64)

    def _feistel(self, value: Array, key: Array) -> Array:
        mask = np.uint64((1 << self._half) - 1)
        shift = np.uint64(self._half)
        left, right = value >> shift, value & mask
        for turn in range(4):
            salt = np.uint64(turn * 0xD1B54A32D192ED03 % (1 << 64))
            left, right = right, left ^ (_mix(right + (key + salt)) & mask)
        return (left << shift) | right


class Shares:
    """Random samples, a data set of a mixture as often as its weight says: number -> (size,) samples.

    Each of `size` equal parts of the probability gives one sample, so that every batch holds each data set in its
    share, to within one sample; samples of one set are equally likely.

    Args:
        weights: (E,) of the data set that each episode is of.
        owner: (E,) a number for that data set.
        counts: (E,) samples of each episode.
        size: of a batch.
        seed: of the drawing.
    """

    def __init__(self, weights: Array, owner: Array, counts: Array, size: int, seed: int) -> None:
        self.size, self.seed, self._counts = size, seed, counts
        self._each = weights / np.maximum(1, np.bincount(owner, counts))[owner]
        self._ends, self._first = np.cumsum(self._each * counts), np.cumsum(counts) - counts

    def __call__(self, number: int) -> Array:
        places = np.arange(self.size) + np.random.default_rng([self.seed, number, SHARES]).random(self.size)
        mass = places * (self._ends[-1] / self.size)
        episode = np.searchsorted(self._ends, mass, side="right")
        episode = np.minimum(episode, len(self._ends) - 1)
        step = (mass - (self._ends - self._each * self._counts)[episode]) / self._each[episode]
        return self._first[episode] + np.clip(step.astype(np.int64), 0, self._counts[episode] - 1)


def _order(sampler: Sampler, size: int, seed: int) -> Order | Shares:
    if isinstance(sampler, (Windows, Transitions)):
        mixture = [source.get(MIXTURE) or {} for source in sampler.demos.table.source]
        if mixture[0].get("weight"):
            owner = np.unique([entry["name"] for entry in mixture], return_inverse=True)[1]
            weights = np.array([entry["weight"] for entry in mixture], np.float64)
            return Shares(weights, owner, sampler.per_episode(), size, seed)
    return Order(len(sampler), size, seed)


class Batches:
    """Batch number -> batch, a pure function of (seed, number): resuming needs no state.

    Args:
        sampler: what to draw from, in an `Order`.
        size: samples a batch.
        seed: of the order; of a mixture of data sets with weights, of the `Shares`.
    """

    def __init__(self, sampler: Sampler, size: int, seed: int) -> None:
        if size < 1:
            raise UserError(f"batch is {size}: it must be at least 1")
        self.sampler, self.size, self.seed = sampler, size, seed
        self.order = _order(sampler, size, seed)

    def __call__(self, number: int) -> Batch:
        return self.sampler.gather(self.indices(number), np.random.default_rng([self.seed, number]))

    def indices(self, number: int) -> Array:
        """(size,) the samples of batch `number`."""
        return self.order(number)


class MixedBatches(Batches):
    """Batches of two groups of samples, half and half whatever the sizes of the groups; the first group comes first.

    Args:
        sampler: what to draw from.
        first, second: (N,) the samples of either group, each visited in an `Order` of its own.
        size: samples a batch.
        seed: of the orders.
    """

    def __init__(self, sampler: Sampler, first: Array, second: Array, size: int, seed: int) -> None:
        if size < 2:
            raise UserError(f"batch is {size}: half of it comes from either of two sources, so it must be at least 2")
        super().__init__(sampler, size, seed)
        if isinstance(self.order, Shares):
            raise UserError("weights of data sets do not go with halves of an expert's and other data: leave them out")
        halves = ((first, size // 2, 2 * seed), (second, size - size // 2, 2 * seed + 1))
        self.groups = [(group, Order(len(group), count, part)) for group, count, part in halves]

    def indices(self, number: int) -> Array:
        return np.concatenate([group[order(number)] for group, order in self.groups])


def _mix(value: Array) -> Array:
    """The finaliser of SplitMix64 (Steele et al. 2014): every input bit reaches every output bit."""
    value = value ^ (value >> np.uint64(30))
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    value ^= value >> np.uint64(31)
    return value
