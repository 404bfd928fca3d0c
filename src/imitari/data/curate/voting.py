"""What several videos of one task have in common: alignment by voting, by a reference, by dynamic time warping.

Frames come as vectors. The videos walk on together and vote for the next common frame; what nobody else has is jumped
over (unsupervised voting-based alignment: Zheng, Ma & Xu et al. 2023, "Extraneousness-Aware Imitation Learning").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError

Likeness = Literal["inner", "distance", "cosine"]
Reference = Literal["mean", "median", "votes"]
Kept = Literal["walk", "nearest", "warped"]


@dataclass(frozen=True)
class Voting:
    """How videos are aligned.

    Attributes:
        likeness: of two vectors: their inner product as published (long ones win votes), minus their squared distance,
            or the cosine between them.
        tolerance: of so many most similar frames ahead, a video goes on to the earliest.
        reference: the common frame of a step: mean or median of the videos' candidates, or their mean weighted by the
            votes for them.
        running: only videos that are not at their last frame make the common frame.
        kept: what a video keeps: where it stood in each step; of all its frames the one that is most like each common
            frame, possibly out of order; or the same among those that warping maps to it.
        clean: number of a video that shows nothing but the task: it is kept whole and does not vote.
        followed: all others keep what is most like the frames of the clean video, and nobody votes.
    """

    likeness: Likeness = "inner"
    tolerance: int = 2
    reference: Reference = "mean"
    running: bool = False
    kept: Kept = "walk"
    clean: int | None = None
    followed: bool = False


@dataclass(frozen=True)
class Alignment:
    """Frames of N videos that belong together, in K steps.

    Attributes:
        frame: (K, N) number of each video's frame; a video that has come to its end repeats its last.
        reference: (K, D) the common frames.
        confidence: (K,) votes for the candidates, as a share of all votes; 1 where nobody voted.
    """

    frame: Array
    reference: Array
    confidence: Array

    def kept(self, lengths: Array) -> Array:
        """(sum of lengths,) whether each frame of each video is in the alignment, video by video."""
        kept = np.zeros(int(lengths.sum()), bool)
        kept[self.frame + np.cumsum(lengths) - lengths] = True
        return kept


def videos_of(demos: Demos, vectors: Array) -> list[Array]:
    """The vectors (steps, D) of all steps of `demos`, episode by episode."""
    if len(vectors) != demos.steps:
        raise ValueError(f"{len(vectors)} vectors for {demos.steps} steps")
    return np.split(vectors, np.cumsum(demos.table.length)[:-1])


def common(demos: Demos, vectors: Array, voting: Voting) -> Array:
    """(steps,) bool: which steps show what all episodes have in common, from the vectors (steps, D) of all steps.

    Raises:
        UserError: when there are too few episodes, or the clean one is none of them.
    """
    videos, lengths = videos_of(demos, vectors), demos.table.length
    if voting.clean is None:
        if voting.followed:
            raise UserError("followed needs a clean episode: name it with clean")
        return voted(videos, voting).kept(lengths)
    if not 0 <= voting.clean < len(videos):
        raise UserError(f"clean is {voting.clean}: it must be the number of an episode, 0 to {len(videos) - 1}")
    owner = np.repeat(np.arange(len(videos)), lengths)
    kept = owner == voting.clean
    others = [video for number, video in enumerate(videos) if number != voting.clean]
    follow = voting.followed
    found = beside(videos[voting.clean], others, voting.likeness) if follow else voted(others, voting)
    kept[~kept] = found.kept(np.delete(lengths, voting.clean))
    return kept


def voted(videos: Sequence[Array], voting: Voting | None = None) -> Alignment:
    """Walks through all videos together: in each step they vote for the next common frame, and each goes on to it.

    Args:
        videos: (T_i, D) vectors of the frames of each.
        voting: how; None: as published.

    Raises:
        UserError: when there are fewer than two videos, or `tolerance` is not positive.
    """
    voting = voting or Voting()
    if len(videos) < 2:
        raise UserError(f"voting needs at least two videos, and there is {len(videos)}: use more episodes")
    if voting.tolerance < 1:
        raise UserError(f"tolerance is {voting.tolerance}: it must be at least 1")
    frames, lengths = _stacked(videos, voting.likeness)
    walk = _walk(frames, lengths, voting)
    if voting.kept == "walk":
        return walk
    inside = np.arange(frames.shape[1]) < lengths[:, None]
    like = np.where(inside, _likeness(walk.reference, frames, voting.likeness), -np.inf)
    frame = like.argmax(-1) if voting.kept == "nearest" else warped(like, lengths)
    return Alignment(frame, walk.reference, walk.confidence)


def beside(reference: Array, videos: Sequence[Array], likeness: Likeness = "inner") -> Alignment:
    """The frame of each video that is most like each frame of a clean `reference` video (K, D)."""
    frames, lengths = _stacked(videos, likeness)
    reference = _measured(np.asarray(reference, np.float64), likeness)
    inside = np.arange(frames.shape[1]) < lengths[:, None]
    like = np.where(inside, _likeness(reference, frames, likeness), -np.inf)
    return Alignment(like.argmax(-1), reference, np.ones(len(reference)))


def warped(like: Array, lengths: Array) -> Array:
    """Dynamic time warping of a reference with each of N videos: (K, N) frames.

    The way through the table goes from the first pair to the last one by steps of one in either or both, and has the
    least sum of unlikeness. Of the frames that it maps to a reference frame, the one that is most like it is given.

    Args:
        like: (K, N, T) likeness of reference frame k and frame t of each video; what lies beyond its end is not read.
        lengths: (N,) of the videos.
    """
    steps, count, most = like.shape
    cost = np.where(np.arange(most) < lengths[:, None], -like, 0.0)
    total = np.full((steps + 1, count, most + 1), np.inf)
    total[0, :, 0] = 0.0
    for step in range(steps):
        # total[t] = cost[t] + min(before[t], total[t - 1]) for all t at once: a running minimum of differences of sums.
        before = np.minimum(total[step, :, 1:], total[step, :, :-1])
        along = np.cumsum(cost[step], -1)
        total[step + 1, :, 1:] = along + np.minimum.accumulate(before - along + cost[step], -1)
    return _traced_back(total, like, lengths)


def _traced_back(total: Array, like: Array, lengths: Array) -> Array:
    steps, count, _ = like.shape
    every, step, frame = np.arange(count), np.full(count, steps), lengths.copy()
    best = np.zeros((steps, count), np.int64)
    value = np.full((steps, count), -np.inf)
    while (step > 0).any():
        at, one = np.maximum(step, 1), np.maximum(frame, 1)
        here, going = like[at - 1, every, one - 1], step > 0
        better = going & (here >= value[at - 1, every])  # of equals the earliest: the way is read from its end
        best[at[better] - 1, every[better]] = one[better] - 1
        value[at[better] - 1, every[better]] = here[better]
        choices = np.stack([total[at - 1, every, one - 1], total[at - 1, every, one], total[at, every, one - 1]])
        move = choices.argmin(0)
        step, frame = step - (going & (move != 2)), frame - (going & (move != 1))
    return best


def _walk(frames: Array, lengths: Array, voting: Voting) -> Alignment:
    count, most, _ = frames.shape
    every, time = np.arange(count), np.arange(most)
    at = np.zeros(count, np.int64)
    columns: list[Array] = []
    references: list[Array] = []
    confidence: list[float] = []
    while (at < lengths - 1).any():
        ahead = (time >= at[:, None]) & (time < lengths[:, None])
        candidate, votes = _elected(frames, at, ahead, voting.likeness)
        among = at < lengths - 1 if voting.running else np.ones(count, bool)
        reference = _common(frames[every, candidate][among], votes[among], voting.reference)
        like = _likeness(reference[None], frames, voting.likeness)[0]
        at = _gone_on(np.where(ahead & (time > at[:, None]), like, -np.inf), at, lengths, voting.tolerance)
        columns.append(at)
        references.append(reference)
        confidence.append(float(votes.sum()) / (count * (count - 1)))
    if not columns:  # videos of one frame
        return Alignment(at[None], frames[:, 0].mean(0, keepdims=True), np.ones(1))
    return Alignment(np.stack(columns), np.stack(references), np.array(confidence))


def _elected(frames: Array, at: Array, ahead: Array, likeness: Likeness) -> tuple[Array, Array]:
    """The frame of each video that most of the other videos vote for with where they stand, and how many did."""
    count, most, _ = frames.shape
    every = np.arange(count)
    like = _likeness(frames[every, at], frames, likeness)  # (voter, video, frame)
    vote = np.where(ahead, like, -np.inf).argmax(-1)
    ballot = np.zeros((count, most), np.int64)
    voter, video = np.nonzero(~np.eye(count, dtype=bool))
    np.add.at(ballot, (video, vote[voter, video]), 1)
    candidate = ballot.argmax(-1)  # of equally many votes the earliest frame
    return candidate, ballot[every, candidate]


def _common(candidates: Array, votes: Array, how: Reference) -> Array:
    if how == "median":
        return np.median(candidates, axis=0)
    return np.average(candidates, axis=0, weights=votes if how == "votes" else None)


def _gone_on(like: Array, at: Array, lengths: Array, tolerance: int) -> Array:
    """Where each video goes: the earliest of its `tolerance` frames ahead that are most like the common one.

    `like` (N, T) is -inf but ahead. With fewer frames left than that, it goes on by one, and at its end it stays.
    """
    width = min(tolerance, like.shape[1])
    nearest = np.argsort(-like, axis=-1, kind="stable")[:, :width]
    enough = lengths - 1 - at >= tolerance
    return np.where(enough, nearest.min(-1), np.minimum(at + 1, lengths - 1))


def _stacked(videos: Sequence[Array], likeness: Likeness) -> tuple[Array, Array]:
    """(N, T, D) float64 with zeros behind each video's end, and lengths (N,)."""
    lengths = np.array([len(video) for video in videos])
    if not lengths.all():
        raise UserError(f"video {int(lengths.argmin())} has no frame: leave it out")
    frames = np.zeros((len(videos), int(lengths.max()), videos[0].shape[1]))
    for number, video in enumerate(videos):
        frames[number, : len(video)] = _measured(np.asarray(video, np.float64), likeness)
    return frames, lengths


def _measured(vectors: Array, likeness: Likeness) -> Array:
    """Vectors as `likeness` compares them: for cosines, of length 1."""
    if likeness != "cosine":
        return vectors
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _likeness(queries: Array, frames: Array, likeness: Likeness) -> Array:
    """(Q, D) and (N, T, D) to (Q, N, T)."""
    count, most, size = frames.shape
    inner = (queries @ frames.reshape(count * most, size).T).reshape(-1, count, most)
    if likeness != "distance":
        return inner
    lengths = (queries**2).sum(-1)[:, None, None] + (frames**2).sum(-1)
    return 2 * inner - lengths


def agreement(videos: Sequence[Array], likeness: Likeness = "distance") -> float:
    """Kendall's tau of the order in which the nearest frames of one video to another's follow each other.

    Mean over all ordered pairs of videos: 1 where all show the same in the same order, about 0 where vectors say
    nothing of time, and 0 where they have collapsed to one point.
    """
    frames, lengths = _stacked(videos, likeness)
    inside = np.arange(frames.shape[1]) < lengths[:, None]
    found: list[float] = []
    for number, length in enumerate(lengths.tolist()):
        like = np.where(inside, _likeness(frames[number, :length], frames, likeness), -np.inf)
        nearest = np.delete(like.argmax(-1), number, axis=1).T  # (N - 1, length)
        later = np.triu(np.ones((length, length), bool), 1)
        order = np.sign(nearest[:, None, :] - nearest[:, :, None])[:, later]
        found.append(float(order.mean()) if order.size else 1.0)
    return float(np.mean(found))
