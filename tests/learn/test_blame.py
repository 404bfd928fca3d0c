"""Interventions as reward: hand-written cases of who acted when, and what each step is then worth."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.sampling import Transitions
from imitari.learn.blame import Blame, Ending, blame, blamed, onsets
from imitari.learn.interactive import INTERVENTION
from imitari.learn.offpolicy import Step

KEY = "observation.state"
GAMMA = 0.9

# Who acts (p policy, I intervener), window, and the reward of each step.
TABLE = [
    ("pppp", 1, [0, 0, 0, 0]),
    ("ppII", 1, [0, -1, 0, 0]),  # the policy's last action is blamed, no action of the intervener
    ("IIpp", 1, [0, 0, 0, 0]),  # acting from the beginning on is no take-over
    ("pIpI", 1, [-1, 0, -1, 0]),
    ("pIIpp", 1, [-1, 0, 0, 0, 0]),
    ("IpII", 1, [0, -1, 0, 0]),
    ("pppI", 2, [0, -0.5, -0.5, 0]),
    ("IpI", 3, [0, -1, 0]),  # a window stops where the intervener acted before
    ("ppI", 5, [-0.5, -0.5, 0]),
    ("pppIppI", 2, [0, -0.5, -0.5, 0, -0.5, -0.5, 0]),
]


def acted(who: str) -> np.ndarray:
    return np.array([letter == "I" for letter in who])


def stream(
    labels: Blame, rows: list[str], *, terminated: bool = False, success: bool = False
) -> list[dict[int, tuple[float, float]]]:
    """Plays episodes in step; each episode's stored steps: number -> (reward, discount)."""
    count, longest = len(rows), max(map(len, rows))
    stored: list[dict[int, tuple[float, float]]] = [{} for _ in rows]
    labels.begin(count)
    for time in range(longest):
        running = np.array([time < len(row) for row in rows])
        ended = np.array([time == len(row) - 1 for row in rows])
        place = np.stack([np.arange(count), np.full(count, time)], 1).astype(np.float32)
        step = Step(
            obs={KEY: place},
            action=place,
            reward=np.full(count, 7.0),
            terminated=ended & terminated,
            success=ended & success,
            next_obs={KEY: place + np.array([0, 1])},
            running=running,
            ended=ended,
            taken=np.array([time < len(row) and row[time] == "I" for row in rows]),
        )
        for batch in labels.step(step):
            assert batch.next_obs is not None
            np.testing.assert_array_equal(batch.next_obs[KEY], batch.obs[KEY] + [0, 1])
            np.testing.assert_array_equal(batch.action, batch.obs[KEY])
            for (number, at), reward, discount in zip(batch.obs[KEY], batch.reward, batch.discount, strict=True):
                assert int(at) not in stored[int(number)], "stored twice"
                stored[int(number)][int(at)] = (float(reward), float(discount))
    return stored


def test_onsets_are_take_overs_from_the_policy() -> None:
    assert onsets(acted("IIpIIpI")).tolist() == [False, False, False, True, False, False, True]


@pytest.mark.parametrize(("who", "window", "expected"), TABLE)
def test_table_of_recorded_episodes(who: str, window: int, expected: list[float]) -> None:
    np.testing.assert_allclose(blame(acted(who), window), expected)


@pytest.mark.parametrize(("who", "window", "expected"), TABLE)
def test_table_of_episodes_under_way(who: str, window: int, expected: list[float]) -> None:
    """Without its last step, which nothing follows."""
    [stored] = stream(Blame(GAMMA, window), [who])
    assert sorted(stored) == list(range(len(who) - 1))
    for number, (reward, discount) in stored.items():
        assert reward == pytest.approx(expected[number])
        assert discount == pytest.approx(GAMMA)


def test_episodes_of_unequal_length_do_not_mix() -> None:
    rng = np.random.default_rng(0)
    rows = ["".join(rng.choice(["p", "I"], size=length)) for length in (1, 2, 5, 9, 9, 17, 30)]
    for window in (1, 2, 4):
        for row, stored in zip(rows, stream(Blame(GAMMA, window), rows), strict=True):
            assert sorted(stored) == list(range(len(row) - 1))
            rewards = [stored[number][0] for number in sorted(stored)]
            np.testing.assert_allclose(rewards, blame(acted(row), window)[:-1])


def test_steps_inside_an_intervention_may_be_left_out() -> None:
    """The intervener's last step stays, with the state that the policy is given back."""
    [stored] = stream(Blame(GAMMA, store_inside=False), ["ppIIIpp"])
    assert {number: reward for number, (reward, _) in stored.items()} == {0: 0, 1: -1, 4: 0, 5: 0}


@pytest.mark.parametrize(
    ("ending", "who", "terminated", "success", "last"),
    [
        ("omit", "ppp", True, True, None),
        ("omit", "ppp", True, False, None),
        ("continue", "ppp", True, True, (0, 0)),  # nobody intervenes after a success
        ("continue", "ppp", True, False, (0, GAMMA)),  # dying must not look like peace
        ("continue", "ppp", False, False, (0, GAMMA)),
        ("blame", "ppp", True, False, (-1, 0)),
        ("blame", "ppI", True, False, (0, GAMMA)),  # not the policy's fault
        ("blame", "ppp", True, True, (0, 0)),
        ("blame", "ppp", False, False, (0, GAMMA)),
    ],
)
@pytest.mark.parametrize("window", [1, 3])
def test_the_last_step_of_an_episode(
    ending: Ending, who: str, terminated: bool, success: bool, last: tuple[float, float] | None, window: int
) -> None:
    [stored] = stream(Blame(GAMMA, window, ending=ending), [who], terminated=terminated, success=success)
    assert stored.get(2) == (None if last is None else pytest.approx(last))
    assert {0, 1} <= stored.keys()


def test_a_recorded_set_gets_the_same_rewards_and_dead_ends_go_on() -> None:
    spec = Spec({KEY: Feature((1,))}, Feature((1,)))
    episodes = [
        Episode(
            obs={KEY: np.arange(len(who) + 1, dtype=np.float32)[:, None]},
            action=np.zeros((len(who), 1), np.float32),
            reward=np.full(len(who), 7, np.float32),
            ended="terminated",
            success=success,
            extra={INTERVENTION: acted(who)},
        )
        for who, success in [("ppII", False), ("pIp", True)]
    ]
    labelled = blamed(Demos.from_episodes(episodes, spec))
    batch = Transitions(labelled, 1, GAMMA).gather(np.arange(7))
    np.testing.assert_allclose(batch.reward, [0, -1, 0, 0, -1, 0, 0])
    np.testing.assert_allclose(batch.discount, [GAMMA] * 6 + [0])


def test_problems_are_one_sentence() -> None:
    spec = Spec({KEY: Feature((1,))}, Feature((1,)))
    plain = Demos.from_episodes([Episode({KEY: np.zeros((2, 1))}, np.zeros((2, 1)))], spec)
    with pytest.raises(UserError, match="column 'intervention' is missing"):
        blamed(plain)
    with pytest.raises(UserError, match="blame_window is 0"):
        Blame(GAMMA, 0)
