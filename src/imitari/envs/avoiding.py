"""A rod crosses a table between six pillars: 24 ways to pass them, and one start (D3IL's Avoiding)."""

from __future__ import annotations

from itertools import product

import numpy as np

from imitari.core.episode import Array
from imitari.core.task import Task
from imitari.envs._batched import State
from imitari.envs._table import ROD, Colour, Follower, TableWorld, covered, smooth, table_spec

START = (0.525, -0.28)
FINISH = 0.35  # y beyond which the table is crossed
LIMIT = 250
LEVELS = (-0.10, 0.08, 0.26)  # y of the three rows of pillars
PILLARS = np.array([(0.5, -0.10), (0.425, 0.08), (0.575, 0.08), (0.35, 0.26), (0.5, 0.26), (0.65, 0.26)])
RADII = np.array([0.03, 0.025, 0.025, 0.025, 0.025, 0.025])
TREMOR = 0.0015  # deviation of a hand from its plan in each step
BAND = 0.03  # of the first two levels: passed is who is as near as this
# On each level the ways are told apart by the x of its pillars.
GAPS = tuple(np.sort(PILLARS[PILLARS[:, 1] == level, 0]) for level in LEVELS)
CODES = tuple(product(*(range(len(gaps) + 1) for gaps in GAPS)))  # number of a way -> gap on each level, by rising x
NAMES = tuple("-".join(map(str, code)) for code in CODES)


def ids() -> list[str]:
    return [""]


def task(name: str = "", pixels: int | None = None, repeats: int = 1, limit: int = LIMIT) -> Task:
    """Across y = 0.35 without touching a pillar, which ends the episode. Every start is the same place.

    Args:
        pixels: also observe a picture from above of this side.
        repeats: for evaluations with several rollouts a start; here all starts are equal anyway.
        limit: steps of an episode at most.
    """
    spec = table_spec((), pixels=pixels)
    return Task(
        "avoiding",
        spec,
        limit,
        lambda count: Avoiding(count, spec, limit, START, repeats, pixels),
        Hand,
        description=(__doc__ or "").split("\n")[0],
        behaviours=NAMES,
        repeats=0,
    )


class Avoiding(TableWorld):
    """State also: `gap` (B, 3) that was taken on each level, -1 where none was. Reward: progress in y, 1 at the end.

    Which gap it was is decided once for each level: when the rod is first within its band, on the last one when it is
    first beyond it. A rod that leaps over a band leaves its level empty, and its way is unknown.
    """

    def scene(self, rng: np.random.Generator) -> State:
        return {"gap": np.full(3, -1)}

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        desired = self.wanted(state, action)
        rod = covered(state, desired)
        hit = (distances(state["rod"], rod) < RADII + ROD).any(1)
        crossed = (rod[:, 1] > FINISH) & ~hit
        reward = rod[:, 1] - state["rod"][:, 1] + crossed
        after = {**state, "desired": desired, "rod": rod, "gap": passed(state["gap"], rod)}
        return after, reward, hit | crossed, crossed

    def behaviour(self, state: State) -> Array:
        return code_of(state["gap"])

    def discs(self, state: State) -> list[tuple[Array, float, Colour]]:
        whole = np.ones((len(state["rod"]), 1))
        pairs = zip(PILLARS, RADII, strict=True)
        return [(whole * pillar, float(radius), (200, 60, 60)) for pillar, radius in pairs]

    def shapes(self, state: State) -> list[tuple[Array, Colour]]:
        line = np.array([(0.2, FINISH), (0.85, FINISH), (0.85, FINISH + 0.01), (0.2, FINISH + 0.01)])
        return [(np.repeat(line[None], len(state["rod"]), 0), (60, 160, 80))]


def distances(before: Array, after: Array) -> Array:
    """Of each pillar's middle (6, 2) to the way (B, 2) -> (B, 2) of a step: (B, 6)."""
    way, to = (after - before)[:, None], PILLARS - before[:, None]
    share = (way * to).sum(-1) / np.maximum((way**2).sum(-1), 1e-12)
    return np.linalg.norm(to - np.clip(share, 0, 1)[..., None] * way, axis=2)


def passed(gap: Array, rod: Array) -> Array:
    """`gap` (B, 3) with the levels that rods (B, 2) have reached now and had not before."""
    x, y = rod.T
    there = np.stack([np.abs(y - LEVELS[0]) <= BAND, np.abs(y - LEVELS[1]) <= BAND, y >= LEVELS[2]], 1)
    now = np.stack([np.searchsorted(gaps, x) for gaps in GAPS], 1)
    return np.where((gap < 0) & there, now, gap)


def bits(gap: Array) -> Array:
    """The nine bits of D3IL's descriptor (B, 9) for gaps (B, 3): one hot for each level, none where it is empty."""
    return np.concatenate([gap[:, level, None] == np.arange(len(gaps) + 1) for level, gaps in enumerate(GAPS)], 1)


def code_of(gap: Array) -> Array:
    """Number (B,) of the way through gaps (B, 3), -1 where a level is empty."""
    number = (gap[:, 0] * 3 + gap[:, 1]) * 4 + gap[:, 2]
    return np.where((gap >= 0).all(1), number, -1)


class Hand(Follower):
    """Scripted people: the number of the start decides the way, so that all ways are shown equally often.

    Each goes through the gaps near their middle or at an arm's length beside the outer pillars, with a pace and waves
    of its own.
    """

    def plans(self, state: State) -> Array:
        return np.stack([plan(int(seed)) for seed in state["seed"]])


def plan(seed: int) -> Array:
    """(LIMIT, 2) desired positions of the hand with this start, on the way number `seed` mod 24."""
    rng = np.random.default_rng([seed, 0xD3])
    code = CODES[seed % len(CODES)]
    aims = [_aim(rng, gaps, gap) for gaps, gap in zip(GAPS, code, strict=True)]
    hold = rng.uniform(0.038, 0.048, 3)  # before and behind a pillar the hand goes straight on
    at = [START[1], *(level + side * far for level, far in zip(LEVELS, hold, strict=True) for side in (-1, 1)), 0.5]
    to = [START[0], *np.repeat(aims, 2), aims[-1]]
    y = np.linspace(START[1], 0.45, 800)
    x = _curve(y, np.array(at), np.array(to))
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    pace = rng.uniform(0.008, 0.013) * np.exp(0.25 * smooth(rng, LIMIT, 12))
    gone = np.minimum(np.cumsum(pace), length[-1])
    ease = np.minimum(gone / 0.05, 1)  # the first centimetres are not shaken: all begin at the same place
    wave = 0.003 * ease[:, None] * np.stack([smooth(rng, LIMIT, 10), smooth(rng, LIMIT, 10)], 1)
    tremor = TREMOR * rng.standard_normal((LIMIT, 2))
    return np.stack([np.interp(gone, length, x), np.interp(gone, length, y)], 1) + wave + tremor


def _aim(rng: np.random.Generator, gaps: Array, gap: int) -> float:
    """The x at which a hand passes a level."""
    if gap == 0:
        return gaps[0] - rng.uniform(0.07, 0.08)
    if gap == len(gaps):
        return gaps[-1] + rng.uniform(0.07, 0.08)
    return (gaps[gap - 1] + gaps[gap]) / 2 + rng.uniform(-0.006, 0.006)


def _curve(y: Array, at: Array, to: Array) -> Array:
    """From point to point: off at once, and gently there."""
    where = np.clip(np.searchsorted(at, y, side="right") - 1, 0, len(at) - 2)
    share = (y - at[where]) / (at[where + 1] - at[where])
    return to[where] + (to[where + 1] - to[where]) * (2 - share) * share
