"""Alignment by voting against a plain loop over its steps, warping against enumeration, what both leave out."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.curate import voting as module
from imitari.data.curate.voting import Likeness, Reference, Voting, beside, common, voted, warped

Array = np.ndarray
EMPTY = Spec({}, Feature((1,)))


def like(one: Array, other: Array, kind: Likeness) -> float:
    if kind == "inner":
        return float(one @ other)
    if kind == "cosine":
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    return -float(((one - other) ** 2).sum())


def plain(videos: list[Array], kind: Likeness, tolerance: int, reference: Reference, running: bool) -> Any:
    """The steps a to e, one video, one voter and one frame after the other."""
    if kind == "cosine":
        videos = [np.stack([frame / np.linalg.norm(frame) for frame in video]) for video in videos]
    count = len(videos)
    at = [0] * count
    columns, commons, confidence = [], [], []
    while any(at[i] < len(videos[i]) - 1 for i in range(count)):
        rest = [videos[i][at[i] :] for i in range(count)]
        candidates, won = [], []
        for i in range(count):
            ballot = [0] * len(rest[i])
            for j in range(count):
                if j != i:
                    likes = [like(rest[j][0], frame, kind) for frame in rest[i]]
                    ballot[likes.index(max(likes))] += 1
            candidates.append(rest[i][ballot.index(max(ballot))])
            won.append(max(ballot))
        among = [i for i in range(count) if not running or at[i] < len(videos[i]) - 1]
        if reference == "median":
            common = np.median([candidates[i] for i in among], axis=0)
        else:
            weight = [won[i] if reference == "votes" else 1 for i in among]
            common = np.sum([w * candidates[i] for w, i in zip(weight, among, strict=True)], axis=0) / sum(weight)
        confidence.append(sum(won) / (count * (count - 1)))
        commons.append(common)
        for i in range(count):
            ahead = rest[i][1:]
            if len(ahead) < tolerance:
                at[i] = min(at[i] + 1, len(videos[i]) - 1)
            else:
                likes = [like(common, frame, "inner" if kind == "cosine" else kind) for frame in ahead]
                best = sorted(range(len(ahead)), key=lambda k: (-likes[k], k))[:tolerance]
                at[i] += 1 + min(best)
        columns.append(list(at))
    return np.array(columns), np.stack(commons), np.array(confidence)


@pytest.mark.parametrize("kind", ["inner", "distance", "cosine"])
@pytest.mark.parametrize(
    ("tolerance", "reference", "running"), [(2, "mean", False), (1, "median", True), (3, "votes", True)]
)
def test_voting_is_the_plain_loop(kind: Likeness, tolerance: int, reference: Reference, running: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        videos = [rng.normal(size=(length, 3)) for length in rng.integers(1, 12, 5)]
        found = voted(videos, Voting(kind, tolerance, reference, running))
        frame, common, confidence = plain(videos, kind, tolerance, reference, running)
        np.testing.assert_array_equal(found.frame, frame)
        np.testing.assert_allclose(found.reference, common)
        np.testing.assert_allclose(found.confidence, confidence)


def test_warping_finds_the_best_of_all_ways() -> None:
    rng = np.random.default_rng(1)
    lengths = np.array([5, 3, 1])
    likes = rng.normal(size=(4, 3, 5))
    found = warped(likes, lengths)
    for video, length in enumerate(lengths.tolist()):
        best: tuple[float, list[tuple[int, int]]] = (-np.inf, [])
        for moves in itertools.product([(1, 0), (0, 1), (1, 1)], repeat=4 + length - 2):
            for used in range(len(moves) + 1):
                way = [(0, 0)]
                for down, right in moves[:used]:
                    way.append((way[-1][0] + down, way[-1][1] + right))
                if way[-1] == (3, length - 1) and max(x for _, x in way) < length:
                    best = max(best, (sum(likes[k, video, t] for k, t in way), way))
        for step in range(4):
            mapped = [t for k, t in best[1] if k == step]
            assert found[step, video] == max(mapped, key=lambda t: likes[step, video, t])


def interrupted(rng: np.random.Generator, count: int = 6, common: int = 20, strange: int = 8) -> tuple[Any, Any]:
    """Videos of one way through the plane, in which each goes somewhere of its own in between."""
    way = np.stack([np.linspace(0, 4, common), np.zeros(common), np.ones(common)], 1)
    videos, marks = [], []
    for number in range(count):
        at = int(rng.integers(3, common - 3))
        apart = np.tile([0.0, 6.0, 1.0], (strange, 1)) + 0.1 * rng.normal(size=(strange, 3))
        apart[:, 0] = -10.0 - 5 * number
        videos.append(np.concatenate([way[:at], apart, way[at:]]))
        marks.append(np.arange(common + strange) - at)
    return videos, [(mark >= 0) & (mark < strange) for mark in marks]


@pytest.mark.parametrize(("kept", "least"), [("walk", 0.7), ("nearest", 0.7), ("warped", 0.5)])
def test_what_one_video_alone_shows_is_left_out(kept: Any, least: float) -> None:
    videos, strange = interrupted(np.random.default_rng(2))
    found = voted(videos, Voting("distance", kept=kept))
    lengths = np.array([len(video) for video in videos])
    mask, apart = found.kept(lengths), np.concatenate(strange)
    assert mask[apart].mean() < 0.1
    assert (
        mask[~apart].mean() > least
    )  # warping maps every frame somewhere, strange ones to the reference's nearest end
    assert kept == "nearest" or (np.diff(found.frame, axis=0) >= 0).all()


def test_of_a_clean_reference_every_frame_is_found_again() -> None:
    videos, strange = interrupted(np.random.default_rng(3))
    clean = videos[0][~strange[0]]
    found = beside(clean, videos, "distance")
    mask = found.kept(np.array([len(video) for video in videos]))
    np.testing.assert_array_equal(mask, ~np.concatenate(strange))


def test_long_vectors_win_votes_by_inner_product_alone() -> None:
    """The pitfall of the published choice: one long frame is like everything."""
    rng = np.random.default_rng(4)
    way = np.stack([np.cos(np.linspace(0, 1.5, 15)), np.sin(np.linspace(0, 1.5, 15))], 1)
    videos = [way + 0.01 * rng.normal(size=way.shape) for _ in range(5)]
    for video in videos:
        video[12] *= 5
    lengths = np.full(5, 15)
    assert voted(videos, Voting("inner")).kept(lengths).mean() < 0.6
    assert voted(videos, Voting("cosine")).kept(lengths).mean() > 0.8


def test_agreement_on_order_is_one_for_copies_and_none_for_noise() -> None:
    rng = np.random.default_rng(5)
    way = np.linspace(0, 1, 30)[:, None] * [1.0, 2.0]
    assert module.agreement([way, way]) == pytest.approx(1.0)
    assert module.agreement([way, way[::-1]]) == pytest.approx(-1.0)
    assert abs(module.agreement([rng.normal(size=(40, 4)) for _ in range(6)])) < 0.1
    assert module.agreement([np.zeros((20, 2)), np.zeros((20, 2))]) == 0  # collapsed


def test_a_clean_video_is_kept_whole_and_others_may_follow_it() -> None:
    videos, strange = interrupted(np.random.default_rng(6))
    videos[2] = videos[2][~strange[2]]
    strange[2] = np.zeros(len(videos[2]), bool)
    apart, lengths = np.concatenate(strange), np.array([len(video) for video in videos])
    demos = Demos.from_episodes([Episode({}, np.zeros((length, 1), np.float32)) for length in lengths], EMPTY)
    owner = np.repeat(np.arange(len(videos)), lengths)
    for followed in (False, True):
        kept = common(demos, np.concatenate(videos), Voting("distance", clean=2, followed=followed))
        assert kept[owner == 2].all()
        assert kept[apart].mean() < 0.1
    with pytest.raises(UserError, match="needs a clean episode"):
        common(demos, np.concatenate(videos), Voting(followed=True))


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(UserError, match="at least two videos"):
        voted([np.zeros((3, 2))])
    with pytest.raises(UserError, match="tolerance is 0"):
        voted([np.zeros((3, 2))] * 2, Voting(tolerance=0))
    with pytest.raises(UserError, match="has no frame"):
        voted([np.zeros((3, 2)), np.zeros((0, 2))])
