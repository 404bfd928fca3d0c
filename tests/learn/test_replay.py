"""The ring buffer against a plain list, exact resume, and the shares of mixed batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.replay import Draws, MixedDraws, Replay, joined

KEY, IMAGE = "observation.state", "observation.images.top"
SPEC = Spec({KEY: Feature((2,)), IMAGE: Feature((4, 4, 3), "uint8", "image")}, Feature((1,)))


def transitions(first: int, count: int, extra: bool = False) -> Batch:
    """Transitions whose every value tells their number."""
    number = np.arange(first, first + count, dtype=np.float32)
    image = np.broadcast_to((number % 256).astype(np.uint8)[:, None, None, None], (count, 4, 4, 3))
    return Batch(
        obs={KEY: np.stack([number, -number], 1), IMAGE: image},
        action=number[:, None],
        reward=number,
        discount=np.full(count, 0.9, np.float32),
        next_obs={KEY: np.stack([number + 1, -number - 1], 1), IMAGE: image + 1},
        extra={"intervention": number % 2 == 0} if extra else {},
    )


def held(replay: Replay) -> list[int]:
    return replay.gather(np.arange(len(replay))).reward.astype(int).tolist()


@pytest.mark.parametrize("sizes", [[3, 4, 5], [10], [7, 7, 7], [25], [1] * 23, [9, 1, 1, 30, 2]])
def test_the_ring_holds_the_latest_in_order(sizes: list[int]) -> None:
    replay, everything = Replay(SPEC, 10), list[int]()
    for size in sizes:
        replay.add(transitions(len(everything), size))
        everything += range(len(everything), len(everything) + size)
        assert held(replay) == everything[-10:]
    batch = replay.gather(np.array([0, len(replay) - 1]))
    first = float(everything[-10:][0])
    assert batch.next_obs is not None
    assert batch.obs[KEY][0].tolist() == [first, -first]
    assert batch.next_obs[KEY][0].tolist() == [first + 1, -first - 1]
    assert batch.obs[IMAGE].dtype == np.uint8
    assert int(batch.obs[IMAGE][0, 0, 0, 0]) == int(first)


def test_saved_and_loaded_it_goes_on_the_same(tmp_path: Path) -> None:
    extra = {"intervention": Feature((), "bool")}
    replay = Replay(SPEC, 10, extra)
    replay.add(transitions(0, 13, extra=True))
    replay.save(tmp_path / "replay.npz")
    again = Replay(SPEC, 10, extra)
    again.load(tmp_path / "replay.npz")
    for one in (replay, again):
        one.add(transitions(13, 4, extra=True))
    assert held(again) == held(replay) == list(range(7, 17))
    for number in range(5):
        mine, theirs = Draws(replay, 8, 3)(number), Draws(again, 8, 3)(number)
        np.testing.assert_array_equal(mine.obs[IMAGE], theirs.obs[IMAGE])
        np.testing.assert_array_equal(mine.extra["intervention"], theirs.extra["intervention"])


def test_a_damaged_or_foreign_file_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    replay = Replay(SPEC, 10)
    replay.add(transitions(0, 5))
    path = tmp_path / "replay.npz"
    replay.save(path)
    with pytest.raises(UserError, match="capacity 10, not 12"):
        Replay(SPEC, 12).load(path)
    with pytest.raises(UserError, match="other columns"):
        Replay(Spec({KEY: Feature((3,))}, Feature((1,))), 10).load(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"replay\.npz"):
        replay.load(path)
    assert held(replay) == [0, 1, 2, 3, 4]


def test_wrong_transitions_are_refused() -> None:
    replay = Replay(SPEC, 10)
    batch = transitions(0, 3)
    batch.discount = None
    with pytest.raises(UserError, match="'discount' is missing"):
        replay.add(batch)
    batch = transitions(0, 3)
    batch.action = np.zeros((3, 2), np.float32)
    with pytest.raises(UserError, match="'action' has shape"):
        replay.add(batch)
    assert len(replay) == 0
    with pytest.raises(UserError, match="no transition"):
        Draws(replay, 4, 0)(0)
    with pytest.raises(UserError, match="capacity is 0"):
        Replay(SPEC, 0)


def test_draws_are_uniform_and_follow_seed_and_number() -> None:
    replay = Replay(SPEC, 10)
    replay.add(transitions(0, 10))
    draws = Draws(replay, 64, 1)
    counts = np.bincount(np.concatenate([draws(number).reward.astype(int) for number in range(200)]), minlength=10)
    expected = 200 * 64 / 10
    assert float(((counts - expected) ** 2 / expected).sum()) < 27.9  # chi-square, 9 degrees, 0.1 %
    np.testing.assert_array_equal(draws(7).reward, Draws(replay, 64, 1)(7).reward)
    assert not np.array_equal(draws(7).reward, draws(8).reward)
    assert not np.array_equal(draws(7).reward, Draws(replay, 64, 2)(7).reward)


def test_mixed_batches_take_a_fixed_share_whatever_the_sizes() -> None:
    small, large = Replay(SPEC, 3), Replay(SPEC, 500)
    small.add(transitions(1000, 3))
    large.add(transitions(0, 500))
    for number in range(4):
        reward = MixedDraws(small, large, 32, 0)(number).reward
        assert (reward >= 1000).sum() == 16
    assert (MixedDraws(small, large, 32, 0, share=0.25)(0).reward >= 1000).sum() == 8
    with pytest.raises(UserError, match="leaves one source out"):
        MixedDraws(small, large, 32, 0, share=0.0)


def test_two_sources_of_one_seed_draw_differently() -> None:
    replay = Replay(SPEC, 500)
    replay.add(transitions(0, 500))
    reward = MixedDraws(replay, replay, 64, 0)(0).reward
    assert not np.array_equal(reward[:32], reward[32:])


def test_joined_keeps_common_columns() -> None:
    batch = joined(transitions(0, 2, extra=True), transitions(2, 3))
    assert len(batch) == 5
    assert batch.extra == {}
    assert batch.valid is None
    assert batch.next_obs is not None
    assert batch.next_obs[KEY][:, 0].tolist() == [1, 2, 3, 4, 5]
