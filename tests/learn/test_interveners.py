"""Models of interveners: how often each takes over, for how long, whose eye judges and whose hands act."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Stateless, Task, World
from imitari.data.hands import Clumsy, Hands
from imitari.envs._batched import State
from imitari.learn.interactive import EXECUTED, INTERVENTION, ONSET, REASON, gather, segments
from imitari.learn.interveners import Watched, intervener
from tests.worlds import KEY, Point

LIMIT = 200
SPEC = Spec({KEY: Feature((1,))}, Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))


class Line(Point):
    dimensions = 1

    def advance(self, state: State, action: Array) -> tuple[State, Array, Array, Array]:
        no = np.zeros(len(action), bool)
        return {"place": state["place"] + 0.01 * action[:, :1]}, np.zeros(len(action)), no, no


class Strict:
    """Values an action by its first number; the reference policy says 0.5."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def reference(self, obs: Obs) -> Array:
        return np.full((len(obs[KEY]), 2), 0.5, np.float32)

    def values(self, obs: Obs, actions: Array) -> Array:
        return actions[..., 0] + self.shift


def constant(value: float) -> Stateless:
    return Stateless(lambda obs: np.full((len(obs[KEY]), 2), value, np.float32))


def task(shift: float = 0.0) -> Task:
    def judge(world: World) -> Strict:
        return Strict(shift)

    return Task("line", SPEC, LIMIT, lambda n: Line(n, SPEC, LIMIT), lambda world: constant(0.75), judge_for=judge)


def watch(policy: float, shift: float = 0.0, episodes: int = 40, **settings: Any) -> list[Any]:
    where = task(shift)
    supervisor = intervener(Watched(**settings), where, where.judge_for, seed=3)
    return gather(constant(policy), where, supervisor, range(episodes))


def rate(episodes: list[Any], column: str = INTERVENTION) -> float:
    return float(np.mean([episode.extra[column].mean() for episode in episodes]))


def runs(mask: Array) -> Array:
    """Lengths of the stretches of True that end before the episode does."""
    change = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return np.array([last - first for first, last in zip(change[::2], change[1::2], strict=True) if last < len(mask)])


@pytest.mark.parametrize(
    ("compare", "delta", "policy", "shift", "bad"),
    [
        ("difference", 0.3, 0.1, 0.0, True),
        ("difference", 0.5, 0.1, 0.0, False),
        ("difference", 0.3, 0.1, -9.0, True),  # differences do not ask where zero is
        ("difference", 0.5, 0.1, -9.0, False),
        ("share", 0.9, 0.4, 0.0, True),
        ("share", 0.7, 0.4, 0.0, False),
        ("share", 0.9, 0.4, 9.0, False),
    ],
)
def test_value_based_interventions(compare: str, delta: float, policy: float, shift: float, bad: bool) -> None:
    settings = {"compare": compare, "delta": delta, "hit": 0.8, "false_alarm": 0.1, "hold": 4}
    episodes = watch(policy, shift, **settings)
    chance = 0.8 if bad else 0.1
    # A cycle: the steps until the judge strikes, of which the last is the first of four, then one free step.
    expected = 4 / (1 / chance - 1 + 4 + 1)
    assert rate(episodes) == pytest.approx(expected, abs=0.03)
    assert all((runs(episode.extra[INTERVENTION]) == 4).all() for episode in episodes)


def test_a_negative_value_has_no_share() -> None:
    with pytest.raises(UserError, match="use difference"):
        watch(0.1, -9.0, compare="share", delta=0.9)


def test_the_reference_may_be_the_hands_own_action() -> None:
    settings = {"delta": 0.3, "hit": 1.0, "false_alarm": 0.0}
    assert rate(watch(0.4, reference="judge", **settings)) == 0  # the judge would do 0.5
    assert rate(watch(0.4, reference="hands", **settings)) > 0.7  # the hands do 0.75


def test_distance_based_interventions() -> None:
    settings = {"intervener": "distance", "hit": 1.0, "false_alarm": 0.0}
    assert rate(watch(0.25, threshold=0.9, **settings)) == pytest.approx(0.8, abs=0.01)  # twice 0.5 away
    assert rate(watch(0.25, threshold=1.1, **settings)) == 0


def test_random_interventions_hold_nothing() -> None:
    episodes = watch(0.0, intervener="random", probability=0.3)
    assert rate(episodes) == pytest.approx(0.3, abs=0.02)
    lengths = np.concatenate([runs(episode.extra[INTERVENTION]) for episode in episodes])
    assert lengths.mean() == pytest.approx(1 / 0.7, abs=0.08)
    assert rate(episodes, ONSET) == pytest.approx(0.3 * 0.7, abs=0.02)


@pytest.mark.parametrize("hold", [1, 3])
def test_after_a_hold_the_policy_acts_for_one_step(hold: int) -> None:
    [episode] = watch(0.0, episodes=1, hit=1.0, hold=hold, delta=0.1)
    mask = episode.extra[INTERVENTION]
    np.testing.assert_array_equal(mask, np.arange(LIMIT) % (hold + 1) < hold)
    np.testing.assert_array_equal(episode.extra[EXECUTED][:, 0], np.where(mask, 0.75, 0.0))
    assert set(episode.extra[REASON][mask]) == ({1} if hold == 1 else {1, 2})
    assert not episode.extra[ONSET][0]
    np.testing.assert_array_equal(np.flatnonzero(episode.extra[ONSET]), np.arange(hold + 1, LIMIT, hold + 1))


def test_an_intervention_depends_on_the_start_and_not_on_its_company() -> None:
    where, settings = task(), Watched(delta=0.1)
    supervisor = intervener(settings, where, where.judge_for, seed=1)
    together = gather(constant(0.0), where, supervisor, range(5))
    apart = gather(constant(0.0), where, supervisor, range(5), together=1)
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one.extra[INTERVENTION], other.extra[INTERVENTION])


def test_segments_are_what_the_intervener_did() -> None:
    [episode] = watch(0.0, episodes=1, hit=1.0, hold=3, delta=0.1)
    parts = segments(episode)
    assert sum(map(len, parts)) == int(episode.extra[INTERVENTION].sum())
    for part in parts:
        first = part.source["from_step"]
        assert (part.action == 0.75).all()
        np.testing.assert_array_equal(part.obs[KEY], episode.obs[KEY][first : first + len(part)])


def test_clumsy_hands_are_pulled_and_hold_on() -> None:
    hands = Clumsy(constant(0.5), Hands(bias=0.4, side=2), SPEC.action)
    obs = {KEY: np.zeros((3, 1), np.float32)}
    action, _ = hands.act(obs, hands.reset(3, 0))
    np.testing.assert_allclose(action, np.tile(0.3 + 0.4 * hands.pull, (3, 1)), rtol=1e-6)
    assert set(hands.pull.tolist()) <= {-1.0, 1.0}
    counter = Stateless(lambda obs: obs[KEY].repeat(2, 1))
    holding, kept = Clumsy(counter, Hands(hold=0.7), SPEC.action), 0
    memory = holding.reset(500, 0)
    for step in range(20):
        action, memory = holding.act({KEY: np.full((500, 1), step / 20, np.float32)}, memory)
        kept += int((action[:, 0] != np.float32(step / 20)).sum()) if step else 0
    assert kept / (500 * 19) == pytest.approx(0.7, abs=0.02)


def test_problems_are_one_sentence() -> None:
    where = dataclasses.replace(task(), judge_for=None)
    with pytest.raises(UserError, match="has no judge of actions"):
        intervener(Watched(), where, None, 0)
    with pytest.raises(UserError, match="hit is 2"):
        Watched(hit=2.0)
    with pytest.raises(UserError, match="hold is 0"):
        Watched(hold=0)
    with pytest.raises(UserError, match="bias 2"):
        Watched(hands_bias=2.0)
    unbounded = Feature((2,))
    with pytest.raises(UserError, match="numbers with bounds"):
        Clumsy(constant(0.0), Hands(0.1), unbounded)
