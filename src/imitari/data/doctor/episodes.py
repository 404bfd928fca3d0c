"""Checks of whole episodes: lengths, copies, success flags, clocks, idling."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np

from imitari.core.episode import ACTION, REWARD, Array
from imitari.data.doctor._steps import Finding, Steps

SHORT, LONG = 0.1, 10.0  # of the median length
FRAME_NUMBER, CLOCK = "frame_index", "timestamp"
VERDICTS = ("next.success", "success", "is_success", "info.success", "info.is_success")
IDLE_RUN = 10  # steps without any change that are worth a word
IDLE_SHARE = 0.5  # of an episode, from which on it is a warning


def wrong_length(steps: Steps) -> list[Finding]:
    """Episodes without steps, far shorter or longer than the others, or whose frame numbers have gaps."""
    found: list[Finding] = []
    usual = float(np.median(steps.length)) if len(steps.length) else 0.0
    for episode, length in enumerate(steps.length.tolist()):
        if length == 0:
            found.append(
                Finding("error", "wrong_length", "has no step", f"leave it out: {steps.drop(episode)}", episode, 0)
            )
        elif length < SHORT * usual or (length == 1 and usual > 1) or length > LONG * usual:
            message = f"has {length} steps where the median is {usual:.0f}"
            remedy = (
                f"watch it: imitari data show {steps.path} --episode {episode}; to leave it out: {steps.drop(episode)}"
            )
            found.append(Finding("warning", "wrong_length", message, remedy, episode, 0))
    if FRAME_NUMBER in steps.extra():
        gap = steps.values(FRAME_NUMBER)[:, 0] != steps.step
        for episode, frame, _ in steps.first_where(gap):
            seen = steps.values(FRAME_NUMBER)[int(steps.first[episode]) + frame, 0]
            message = f"frame number {int(seen)} where {frame} is expected: frames were lost or episodes mixed"
            remedy = f"record it again or leave it out: {steps.drop(episode)}"
            found.append(Finding("error", "wrong_length", message, remedy, episode, frame, FRAME_NUMBER))
    return found


def duplicate(steps: Steps) -> list[Finding]:
    """Episodes whose actions and numeric observations are those of an earlier one, bit for bit."""
    found: list[Finding] = []
    keys = [key for key in dict.fromkeys([*steps.numeric(), ACTION]) if steps.values(key).size]
    seen: dict[bytes, int] = {}
    arrays = [np.ascontiguousarray(steps.values(key)) for key in keys]
    for episode, (first, length) in enumerate(zip(steps.first.tolist(), steps.length.tolist(), strict=True)):
        if length < 2 or not arrays:
            continue
        digest = hashlib.sha256(str(length).encode())
        for values in arrays:
            digest.update(values[first : first + length].data)
        earlier = seen.setdefault(digest.digest(), episode)
        if earlier != episode:
            message = f"is the same as episode {earlier}: a held-out part may then hold training data"
            remedy = f"leave the copy out: {steps.drop(episode)}"
            found.append(Finding("warning", "duplicate", message, remedy, episode, 0))
    return found


def success_contradiction(steps: Steps) -> list[Finding]:
    """Success flags against the recorded verdict of every step, or against a reward that is 1 exactly at success."""
    flags = steps.demos.table.success
    recorded = [key for key in steps.extra() if key in VERDICTS and steps.demos.columns[key].shape[1:] in ((), (1,))]
    seen: list[tuple[str, Array]] = [(key, steps.values(key)[:, 0] > 0) for key in recorded]
    if REWARD in steps.extra():
        reward = steps.values(REWARD)[:, 0]
        # All zeros would be a reward that was never filled in, all ones a bonus for staying alive.
        if np.isin(reward, (0.0, 1.0)).all() and reward.any() and not reward.all():
            seen.append((REWARD, reward > 0))
    found: list[Finding] = []
    for key, solved in seen:
        reached = steps.per_episode(solved, np.logical_or)
        for episode in np.flatnonzero((flags >= 0) & (reached != (flags == 1))):
            begin, length = int(steps.first[episode]), int(steps.length[episode])
            where = int(np.argmax(solved[begin : begin + length])) if reached[episode] else max(0, length - 1)
            said = "failure" if reached[episode] else "success"
            shown = f"is solved at step {where}" if reached[episode] else "is never solved"
            message = f"is flagged as {said}, but by its column '{key}' it {shown}"
            remedy = f"correct the flag, or leave it out: {steps.drop(int(episode))}"
            found.append(Finding("error", "success_contradiction", message, remedy, int(episode), where, key))
    return found


def timestamps(steps: Steps) -> list[Finding]:
    """Clocks that stand still or run backwards (error), or whose steps differ by more than half (warning)."""
    if CLOCK not in steps.extra():
        return []
    clock = steps.values(CLOCK)[:, 0].astype(np.float64)
    tick = np.diff(clock, prepend=clock[:1])
    inside = steps.step > 0
    if not inside.any():
        return []
    usual = float(np.median(tick[inside]))
    backwards = inside & (tick <= 0)
    irregular = inside & ~backwards & (np.abs(tick - usual) > 0.5 * abs(usual))
    found: list[Finding] = []
    for episode, frame, count in steps.first_where(backwards):
        message = f"time stands still or runs backwards at {count} steps"
        remedy = f"record with a monotonic clock; leave the episode out: {steps.drop(episode)}"
        found.append(Finding("error", "timestamps", message, remedy, episode, frame, CLOCK))
    for episode, frame, count in steps.first_where(irregular):
        seen = tick[int(steps.first[episode]) + frame]
        message = f"{count} steps last other than {usual:.4g} s (first {seen:.4g} s): frames were lost or came late"
        remedy = f"resample to a fixed rate, or leave the episode out: {steps.drop(episode)}"
        found.append(Finding("warning", "timestamps", message, remedy, episode, frame, CLOCK))
    return found


def idle(steps: Steps) -> list[Finding]:
    """Stretches in which neither an observation nor the action changes."""
    # What stands still in every episode says nothing about idling.
    keys = [key for key in steps.demos.spec.numbers if (steps.values(key) != steps.values(key)[:1]).any()]
    if not keys:
        return []
    keys += [ACTION] if steps.demos.spec.action.size else []
    still = steps.step > 0
    for key in keys:
        values = steps.values(key)
        still[1:] &= (values[1:] == values[:-1]).all(1)
    # Runs of `still` never cross a border, because the first step of an episode is never still.
    edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).astype(np.int8)))
    starts, stops = edges[0::2], edges[1::2]
    long = stops - starts >= IDLE_RUN
    starts, stops = starts[long], stops[long]
    found: list[Finding] = []
    owners = steps.episode[starts]
    bounds = [*np.flatnonzero(np.diff(owners, prepend=-1)).tolist(), len(owners)]
    for begin, end in pairwise(bounds):
        episode = int(owners[begin])
        total, frame = int((stops - starts)[begin:end].sum()), int(steps.step[starts[begin]])
        share = total / int(steps.length[episode])
        message = f"nothing changes during {total} steps ({share:.0%} of the episode)"
        remedy = f"trim pauses before training, or leave it out: {steps.drop(episode)}"
        found.append(Finding("warning" if share > IDLE_SHARE else "note", "idle", message, remedy, episode, frame))
    return found
