"""gym-pusht's environment without its overhead: the same physics, number for number, and an exact coverage."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from gym_pusht.envs.pusht import PushTEnv
from pymunk import Space

from imitari.core.episode import Array

# The C library below pymunk, whose Python layer costs five times the physics.
physics: Any = importlib.import_module("pymunk._chipmunk").lib

Point = tuple[float, float]


def area_inside(corners: list[Point], box: tuple[float, float, float, float]) -> float:
    """Area of a convex polygon within left, bottom, right, top: cut at each side (Sutherland & Hodgman 1974)."""
    left, bottom, right, top = box
    for axis, bound, sign in ((0, left, 1.0), (0, right, -1.0), (1, bottom, 1.0), (1, top, -1.0)):
        kept: list[Point] = []
        before = corners[-1]
        depth_before = sign * (before[axis] - bound)
        for corner in corners:
            depth = sign * (corner[axis] - bound)
            if (depth >= 0) != (depth_before >= 0):
                share = depth_before / (depth_before - depth)
                kept.append((before[0] + share * (corner[0] - before[0]), before[1] + share * (corner[1] - before[1])))
            if depth >= 0:
                kept.append(corner)
            before, depth_before = corner, depth
        if len(kept) < 3:
            return 0.0
        corners = kept
    last_x, last_y = corners[-1]
    twice = 0.0
    for x, y in corners:
        twice += last_x * y - x * last_y
        last_x, last_y = x, y
    return abs(twice) / 2


class Quick(PushTEnv):
    """Push-T without the work that only its debugging output needs.

    No contact counting (a Python callback at every contact of every physics step), plain floats in the controller and
    no Python layer around the physics. Block and mark are two rectangles each, so that their common area is a sum of
    four: those of the block cut by those of the mark, in the mark's frame, where its sides follow the axes.
    """

    def _setup(self) -> None:
        super()._setup()
        # pymunk cannot take a callback back: the C library's own is put there.
        handler = _below(self.collision_handeler, "handler")
        handler.postSolveFunc = _below(Space().add_collision_handler(0, 0), "handler").postSolveFunc
        self._rings = [[tuple(corner) for corner in shape.get_vertices()] for shape in self.block.shapes]
        self._bodies = _below(self.agent, "body"), _below(self.block, "body"), _below(self.space, "space")
        self._mark = self.get_goal_pose_body(self.goal_pose)  # kept, since the C library frees what nobody holds
        self._boxes = [
            (min(x for x, _ in ring), min(y for _, y in ring), max(x for x, _ in ring), max(y for _, y in ring))
            for ring in self._rings
        ]
        self._goal_area = sum((right - left) * (top - bottom) for left, bottom, right, top in self._boxes)

    def coverage(self) -> float:
        """Share of the goal's area that the block covers."""
        block, mark = self._bodies[1], _below(self._mark, "body")
        outward, inward = physics.cpBodyLocalToWorld, physics.cpBodyWorldToLocal
        common = 0.0
        for ring in self._rings:
            corners: list[Point] = []
            for corner in ring:
                seen = inward(mark, outward(block, corner))
                corners.append((seen.x, seen.y))
            common += sum(area_inside(corners, box) for box in self._boxes)
        return common / self._goal_area

    def step(self, action: Any) -> tuple[Any, Any, bool, Any, dict[str, Any]]:
        self._last_action = action
        goal_x, goal_y = float(action[0]), float(action[1])
        dt, stiffness, damping = self.dt, self.k_p, self.k_v
        agent, _, space = self._bodies
        place_of, speed_of = physics.cpBodyGetPosition, physics.cpBodyGetVelocity
        set_speed, advance = physics.cpBodySetVelocity, physics.cpSpaceStep
        for _ in range(int(1 / (dt * self.control_hz))):
            place, speed = place_of(agent), speed_of(agent)
            pull_x = stiffness * (goal_x - place.x) + damping * (0 - speed.x)
            pull_y = stiffness * (goal_y - place.y) + damping * (0 - speed.y)
            set_speed(agent, (speed.x + pull_x * dt, speed.y + pull_y * dt))
            advance(space, dt)
        coverage = self.coverage()
        solved = coverage > self.success_threshold
        reward = min(max(coverage / self.success_threshold, 0.0), 1.0)
        return self.state(), reward, solved, False, {"is_success": solved, "coverage": coverage}

    def state(self) -> Array:
        """(5,): agent x, y, block x, y in px, block angle in [0, 2 pi)."""
        agent, block, _ = self._bodies
        place, other = physics.cpBodyGetPosition(agent), physics.cpBodyGetPosition(block)
        return np.array([place.x, place.y, other.x, other.y, physics.cpBodyGetAngle(block) % (2 * np.pi)])

    def start_at(self, state: Array) -> Array:
        """Puts agent and block exactly at (agent x, y, block x, y, angle).

        The angle goes first: the block turns about its centre of mass, which would move its position afterwards. (The
        environment's own option `reset_to_state` has the other order.)
        """
        self._setup()
        values = [float(value) for value in state]
        self.agent.position = values[0], values[1]
        self.block.angle = values[4]
        self.block.position = values[2], values[3]
        self.space.reindex_shapes_for_body(self.block)
        self.space.reindex_shapes_for_body(self.agent)
        return self.state()

    def keypoints(self) -> Array:
        """(16,): x, y of the eight corners of the block's two rectangles in px."""
        return np.asarray(self.get_keypoints(self._block_shapes)).reshape(-1)

    def picture(self, side: int) -> Array:
        """uint8 (side, side, 3): agent, block and goal from above."""
        return self._get_img(self._draw(), width=side, height=side)


def _below(thing: Any, kind: str) -> Any:
    """The C library's structure behind an object of pymunk."""
    return getattr(thing, f"_{kind}")
