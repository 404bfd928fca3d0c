"""Square blocks that a rod pushes about on a table, without a simulator: contact without inertia, batched.

What is pushed moves as the limit surface of its friction with the table says, taken as an ellipsoid (Goyal, Ruina &
Papadopoulos 1991): a force f at the arm r moves the block by k f and turns it by k (r x f) / lever^2. At the rod there
is dry friction, so that a point of contact sticks or slides (Lynch, Maekawa & Tanie 1992); blocks slide along each
other.
"""

from __future__ import annotations

import numpy as np

from imitari.core.episode import Array
from imitari.envs._table import ROD

SUBSTEPS = 4
ROUNDS = 3  # of taking overlaps away in a substep
FRICTION = 0.5  # between rod and block
MEAN_REACH = 0.7652  # mean distance of a square's points from its middle, in halves of its side


def lever(half: float) -> float:
    """Length that relates torque to force in the friction of a square with the table."""
    return MEAN_REACH * half


def crossed(a: Array, b: Array) -> Array:
    """The third component of a x b, (..., 2) each."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def across(a: Array) -> Array:
    """Turned by 90 degrees to the left (..., 2)."""
    return np.stack([-a[..., 1], a[..., 0]], -1)


def turned(a: Array, yaw: Array) -> Array:
    """Vectors (..., 2) turned by yaw (...)."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.stack([cos * a[..., 0] - sin * a[..., 1], sin * a[..., 0] + cos * a[..., 1]], -1)


def touched(rod: Array, middle: Array, yaw: Array, half: float) -> tuple[Array, Array]:
    """How deep discs (..., 2) overlap squares (...), negative where apart, and the direction into them (..., 2)."""
    local = turned(rod - middle, -yaw)
    outside = local - np.clip(local, -half, half)
    distance = np.linalg.norm(outside, axis=-1)
    # A disc whose middle is inside is pushed out of the nearest side.
    side = np.abs(local).argmax(-1)[..., None] == np.arange(2)
    out = np.where(
        (distance > 0)[..., None], outside / np.maximum(distance, 1e-12)[..., None], side * np.sign(local + 1e-12)
    )
    depth = np.where(distance > 0, ROD - distance, ROD + half - np.abs(local).max(-1))
    return depth, turned(-out, yaw)


def given_way(depth: Array, normal: Array, arm: Array, slip: Array, reach: float) -> tuple[Array, Array]:
    """How bodies move (..., 2) and turn (...) until overlaps are gone, where a pusher touches them with friction.

    Args:
        depth: of the overlap (...); nothing moves where it is not positive.
        normal: into the body (..., 2).
        arm: from its middle to the point of contact (..., 2).
        slip: how far the pusher goes along `across(normal)` while it pushes (...).
        reach: the body's lever.
    """
    tangent = across(normal)
    wanted = depth[..., None] * normal + slip[..., None] * tangent
    # What moves by f and turns by (r x f) / c^2 moves at the arm by (1 + s s^T) f with s = across(r) / c.
    spin = across(arm) / reach
    force = wanted - spin * ((spin * wanted).sum(-1) / (1 + (spin**2).sum(-1)))[..., None]
    inward, along = (force * normal).sum(-1), (force * tangent).sum(-1)
    edge = normal + FRICTION * np.sign(along)[..., None] * tangent
    rise = (edge * normal).sum(-1) + (spin * edge).sum(-1) * (spin * normal).sum(-1)
    sliding = edge * (depth / np.maximum(rise, 1e-3))[..., None]
    sticks = (np.abs(along) <= FRICTION * inward)[..., None]
    force = np.where((depth > 0)[..., None], np.where(sticks, force, sliding), 0.0)
    return force, crossed(arm, force) / reach**2


def pushed(rod: Array, way: Array, middle: Array, yaw: Array, half: float) -> tuple[Array, Array]:
    """Middles (B, N, 2) and yaws (B, N) after rods (B, 2), which came by `way` (B, 2), no longer overlap the blocks."""
    depth, normal = touched(rod[:, None], middle, yaw, half)
    if not (depth > 0).any():
        return middle, yaw
    ahead = (way[:, None] * normal).sum(-1)
    share = np.minimum(1.0, np.maximum(depth, 0) / np.maximum(ahead, 1e-9))  # of the way with contact
    slip = share * (way[:, None] * across(normal)).sum(-1)
    arm = rod[:, None] + ROD * normal - middle
    moved, spun = given_way(depth, normal, arm, slip, lever(half))
    return middle + moved, yaw + spun


def parted(middle: Array, yaw: Array, half: float) -> tuple[Array, Array]:
    """Middles (B, N, 2) and yaws (B, N) after one round of taking overlaps between squares away, half of it each."""
    first, second = np.triu_indices(middle.shape[1], 1)
    gap = np.linalg.norm(middle[:, first] - middle[:, second], axis=2)
    near, pair = np.nonzero(gap < 2 * np.sqrt(2) * half)
    if not len(near):
        return middle, yaw
    one, two = (near, first[pair]), (near, second[pair])
    depth, normal, point = overlap(middle[one], yaw[one], middle[two], yaw[two], half)
    reach = lever(half)
    arms = [point - middle[one], point - middle[two]]
    spins = [crossed(arm, normal) for arm in arms]
    force = np.maximum(depth, 0) / (2 + (spins[0] ** 2 + spins[1] ** 2) / reach**2)
    middle, yaw = middle.copy(), yaw.copy()
    for place, spin, sign in ((one, spins[0], -1), (two, spins[1], 1)):
        np.add.at(middle, place, sign * force[:, None] * normal)
        np.add.at(yaw, place, sign * force * spin / reach**2)
    return middle, yaw


def apart(middle: Array, yaw: Array, half: float) -> tuple[Array, Array]:
    """Middles (B, N, 2) and yaws (B, N) of squares that lie next to each other where they lay over each other."""
    for _ in range(60):
        before = middle
        middle, yaw = parted(middle, yaw, half)
        if np.abs(middle - before).max() < 1e-5:
            break
    return middle, yaw


def overlap(one: Array, turn_one: Array, two: Array, turn_two: Array, half: float) -> tuple[Array, Array, Array]:
    """Of pairs of squares (P, 2), (P,): how deep they overlap (P,) (negative: apart), along which direction from the
    first to the second (P, 2), and where (P, 2).

    The direction is the side of either along which they overlap least (separating axes).
    """
    there = _beyond_sides(one, turn_one, two, turn_two, half)
    back = _beyond_sides(two, turn_two, one, turn_one, half)
    own = there[0] <= back[0]
    depth = np.where(own, there[0], back[0])
    normal = np.where(own[:, None], there[1], -back[1])
    return depth, normal, np.where(own[:, None], there[2], back[2])


def _beyond_sides(base: Array, turn: Array, other: Array, turn_other: Array, half: float) -> tuple[Array, Array, Array]:
    """Depth (P,) of `other` in the side of `base` that it has entered least, that side's normal, and where."""
    signs = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * half
    corners = other[:, None] + turned(signs[None], turn_other[:, None])
    local = turned(corners - base[:, None], -turn[:, None])  # (P, 4, 2)
    toward = np.where(turned(other - base, -turn) >= 0, 1.0, -1.0)
    depth = half - (local * toward[:, None]).min(1)  # of the deepest corner, for the nearer side of each axis
    axis = depth.argmin(1)
    every = np.arange(len(axis))
    normal = (np.arange(2) == axis[:, None]) * toward
    deep = np.maximum(half - local[every, :, axis] * toward[every, axis][:, None], 0)
    weight = deep / np.maximum(deep.sum(1, keepdims=True), 1e-12)
    at = (weight[..., None] * np.clip(local, -half, half)).sum(1)
    return depth[every, axis], turned(normal, turn), base + turned(at, turn)


def swept(
    rod: Array, desired: Array, share: float, middle: Array, yaw: Array, half: float
) -> tuple[Array, Array, Array]:
    """Rods (B, 2), middles (B, N, 2) and yaws (B, N) after one step in which each rod covers `share` of its way.

    What cannot give way holds the rod back.
    """
    way = share * (desired - rod)
    reach = np.sqrt(2) * half + ROD + np.linalg.norm(way, axis=1)
    near = (np.linalg.norm(middle - rod[:, None], axis=2).min(1) < reach).nonzero()[0]
    rod, middle, yaw = rod + way, middle.copy(), yaw.copy()
    if len(near):
        begins = rod[near] - way[near]
        rod[near], middle[near], yaw[near] = _touching(begins, desired[near], share, middle[near], yaw[near], half)
    return rod, middle, yaw


def _touching(
    rod: Array, desired: Array, share: float, middle: Array, yaw: Array, half: float
) -> tuple[Array, Array, Array]:
    """`swept` for rods that may touch a block on their way."""
    part = 1 - (1 - share) ** (1 / SUBSTEPS)
    for _ in range(SUBSTEPS):
        way = part * (desired - rod)
        rod = rod + way
        for round_ in range(ROUNDS):
            before = middle
            middle, yaw = pushed(rod, way if round_ == 0 else 0 * way, middle, yaw, half)
            if middle is before:
                break  # nothing was touched
            if middle.shape[1] > 1:
                middle, yaw = parted(middle, yaw, half)
        else:
            depth, normal = touched(rod[:, None], middle, yaw, half)
            rod = rod - (np.maximum(depth, 0)[..., None] * normal).sum(1)
    return rod, middle, yaw
