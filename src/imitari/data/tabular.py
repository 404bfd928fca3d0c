"""Data of discrete states and actions: its steps as plain arrays, and how often everything was seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from imitari.core.columns import ArrayColumn
from imitari.core.demos import ENDINGS, Demos, EpisodeTable, Provenance
from imitari.core.episode import ACTION, REWARD, Array
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.scaling import refuse_nonfinite

# A dense table of transitions beyond this many entries (4 GB) is refused.
MOST_ENTRIES = 1 << 29


def state_key(spec: Spec) -> str:
    """The name of the one observation, which must be a choice; the action must be one too.

    Raises:
        UserError: when states or actions cannot be counted.
    """
    if len(spec.obs) != 1 or any(feature.kind != "choice" for feature in spec.obs.values()):
        seen = ", ".join(f"{key} ({feature.kind} {feature.shape})" for key, feature in spec.obs.items())
        raise UserError(
            f"tables need one observation that is a choice (an integer), not {seen or 'none'}: choose it with --obs, "
            "or use a method with a network"
        )
    if spec.action.kind != "choice":
        raise UserError(
            f"tables need an action that is a choice (an integer), not {spec.action.kind} {spec.action.shape}: use a "
            "method with a network"
        )
    return next(iter(spec.obs))


@dataclass(frozen=True)
class Steps:
    """N steps of discrete data.

    Attributes:
        state, action: (N,) integers.
        reward: (N,), zeros where the data has none.
        after: (N,) next state; `states` where the episode ended for good.
        states, actions: how many there are.
    """

    state: Array
    action: Array
    reward: Array
    after: Array
    states: int
    actions: int

    def __len__(self) -> int:
        return len(self.state)

    def pick(self, which: Array) -> Steps:
        """The steps `which`."""
        state, action, reward, after = (part[which] for part in (self.state, self.action, self.reward, self.after))
        return Steps(state, action, reward, after, self.states, self.actions)

    def demos(self, spec: Spec, why: str) -> Demos:
        """The steps as demonstrations: every step an episode of its own, with the state that it led to.

        Args:
            spec: one observation and one action, both choices.
            why: where the steps come from.
        """
        ends = self.after == self.states
        rows = np.stack([self.state, np.where(ends, self.state, self.after)], 1)
        columns = {
            state_key(spec): ArrayColumn(rows.reshape(-1, 1)),
            ACTION: ArrayColumn(self.action.repeat(2)[:, None]),
            REWARD: ArrayColumn(self.reward.repeat(2).astype(np.float32)),
        }
        endings = np.array([ENDINGS.index("truncated"), ENDINGS.index("terminated")], np.int8)[ends.astype(np.int64)]
        table = replace(EpisodeTable.of(np.ones(len(self), np.int64), final=True), ended=endings)
        return Demos(spec, columns, table, Provenance("tuples", "memory", (why,)))

    @staticmethod
    def of(demos: Demos, *, rewards: bool, successors: bool) -> Steps:
        """The steps of the demonstrations.

        Args:
            demos: observed through one choice.
            rewards: whether they are needed.
            successors: whether next states are needed: a step whose successor is neither known nor the end is left out.

        Raises:
            UserError: no rewards where they are needed, or a code outside its range: names column, episode and step.
        """
        key = state_key(demos.spec)
        if rewards and not demos.has_reward:
            raise UserError(
                f"{demos.provenance.path}: column '{REWARD}' is missing: use data with rewards, or a method without"
            )
        if demos.has_reward:
            refuse_nonfinite(demos, REWARD)
        demos.known_rows()  # says so where there are none
        for name in (key, ACTION):
            _refuse_outside(demos, name, demos.feature(name))
        table, rows, codes = demos.table, demos.rows(), demos.columns[key]
        last = np.zeros(len(rows), bool)
        last[np.cumsum(table.length)[table.length > 0] - 1] = True
        ends = np.repeat(table.ended == ENDINGS.index("terminated"), table.length) & last
        unknown = np.repeat(table.rows == table.length, table.length) & last & ~ends
        following = codes.take(np.minimum(rows + 1, codes.shape[0] - 1)).reshape(-1).astype(np.int64)
        states = demos.spec.obs[key].choices
        steps = Steps(
            codes.take(rows).reshape(-1).astype(np.int64),
            demos.columns[ACTION].take(rows).reshape(-1).astype(np.int64),
            demos.columns[REWARD].take(rows).astype(np.float64) if demos.has_reward else np.zeros(len(rows)),
            np.where(ends, states, following),
            states,
            demos.spec.action.choices,
        )
        known = demos.known(rows)
        wanted = ~unknown if successors else np.ones(len(rows), bool)
        return steps.pick(np.flatnonzero(wanted if known is None else wanted & known))


@dataclass(frozen=True)
class Counts:
    """What the steps say about every pair of state and action.

    Attributes:
        played: (S, A) how often it was seen.
        reward: (S, A) mean reward; 0 where it was never seen.
        pair, after, share: (U,) the different transitions that were seen: number of the pair (state * A + action), next
            state (S: the end), and their share of the pair's steps.
    """

    played: Array
    reward: Array
    pair: Array
    after: Array
    share: Array

    @staticmethod
    def of(steps: Steps) -> Counts:
        shape = steps.states, steps.actions
        pair = steps.state * steps.actions + steps.action
        played = np.bincount(pair, minlength=shape[0] * shape[1])
        total = np.bincount(pair, weights=steps.reward, minlength=shape[0] * shape[1])
        kind, number = np.unique(pair * (steps.states + 1) + steps.after, return_counts=True)
        seen, after = np.divmod(kind, steps.states + 1)
        reward = (total / np.maximum(played, 1)).reshape(shape)
        return Counts(played.reshape(shape), reward, seen, after, number / played[seen])

    def expected(self, value: Array) -> Array:
        """(S, A) mean of `value` (S,) over the next states that were seen; the end and unseen pairs count 0."""
        values = np.append(value, 0.0)[self.after]
        return np.bincount(self.pair, weights=self.share * values, minlength=self.played.size).reshape(
            self.played.shape
        )

    def transition(self) -> Array:
        """(S, A, S) empirical chances of the next states; zeros where a pair was never seen.

        Raises:
            UserError: when such a table would fill the memory.
        """
        states, actions = self.played.shape
        if states * actions * states > MOST_ENTRIES:
            raise UserError(
                f"a table of {states} x {actions} x {states} transitions is too large: use fewer states, or a method "
                "with a network"
            )
        table = np.zeros((states * actions, states + 1))
        table[self.pair, self.after] = self.share
        return table[:, :states].reshape(states, actions, states)


def most_played(played: Array, rng: np.random.Generator) -> Array:
    """(S,) the action that each state saw most often, ties at random; a state that was never seen gets the action that
    was played most often over all."""
    unseen = played.sum(1, keepdims=True) == 0
    return largest(np.where(unseen, played.sum(0), played), rng)


def largest(values: Array, rng: np.random.Generator) -> Array:
    """(S,) index of the largest of each row of `values` (S, A), ties at random."""
    top = values.max(1, keepdims=True)
    among = values >= top - 1e-10 * (1 + np.abs(top))
    return np.where(among, rng.random(values.shape), -1.0).argmax(1)


def _refuse_outside(demos: Demos, key: str, feature: Feature) -> None:
    codes = demos.columns[key].take(demos.rows())
    wrong = np.flatnonzero(((codes < 0) | (codes >= feature.choices)).reshape(len(codes), -1).any(1))
    if len(wrong):
        ends = np.cumsum(demos.table.length)
        episode = int(np.searchsorted(ends, wrong[0], side="right"))
        step = int(wrong[0] - ends[episode] + demos.table.length[episode])
        place = f"episode {episode}, step {step}"
        raise UserError(
            f"{demos.provenance.path}: column '{key}' holds {codes[wrong[0]].item():g} at {place}, but its codes go "
            f"from 0 to {feature.choices - 1}: drop that episode, or choose the right --task"
        )
