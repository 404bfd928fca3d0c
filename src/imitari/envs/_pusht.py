"""gym-pusht's environment stepped about four times faster, with the same arithmetic and so the same numbers."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from gym_pusht.envs.pusht import PushTEnv
from pymunk import Space, Vec2d

from imitari.core.episode import Array

shapely: Any = importlib.import_module("shapely")  # its stubs refuse arrays of polygons


class Quick(PushTEnv):
    """Push-T without the work that only its debugging output needs.

    No contact counting (a Python callback at every contact of every physics step), plain floats in the controller,
    the goal's outline built once, and no polygon intersection where the outlines' boxes are apart (it is empty).
    """

    def _setup(self) -> None:
        super()._setup()
        handler = self._structure(
            self.collision_handeler
        )  # pymunk cannot take a callback back: put the C library's own there
        handler.postSolveFunc = self._structure(Space().add_collision_handler(0, 0)).postSolveFunc
        corners = [[tuple(corner) for corner in shape.get_vertices()] for shape in self.block.shapes]
        self._rings = [[*ring, ring[0]] for ring in corners]
        self._goal = self._outline(self.get_goal_pose_body(self.goal_pose))
        self._goal_area, self._goal_box = self._goal.area, self._goal.bounds

    @staticmethod
    def _structure(handler: Any) -> Any:
        return handler._handler

    def _points(self, body: Any) -> list[list[Any]]:
        return [[body.local_to_world(corner) for corner in ring] for ring in self._rings]

    def _outline(self, body: Any) -> Any:
        return shapely.multipolygons(shapely.polygons(self._points(body)))

    def coverage(self) -> float:
        """Share of the goal's area that the block covers."""
        points = np.asarray(self._points(self.block))
        low, high = points.min((0, 1)), points.max((0, 1))
        left, bottom, right, top = self._goal_box
        if low[0] > right or low[1] > top or high[0] < left or high[1] < bottom:
            return 0.0
        return self._goal.intersection(shapely.multipolygons(shapely.polygons(points))).area / self._goal_area

    def step(self, action: Any) -> tuple[Any, Any, bool, Any, dict[str, Any]]:
        self._last_action = action
        goal_x, goal_y = float(action[0]), float(action[1])
        agent, space, dt, stiffness, damping = self.agent, self.space, self.dt, self.k_p, self.k_v
        for _ in range(int(1 / (dt * self.control_hz))):
            (x, y), (speed_x, speed_y) = agent.position, agent.velocity
            pull_x = stiffness * (goal_x - x) + damping * (0 - speed_x)
            pull_y = stiffness * (goal_y - y) + damping * (0 - speed_y)
            agent.velocity = Vec2d(speed_x + pull_x * dt, speed_y + pull_y * dt)
            space.step(dt)
        coverage = self.coverage()
        solved = coverage > self.success_threshold
        reward = min(max(coverage / self.success_threshold, 0.0), 1.0)
        return self.state(), reward, solved, False, {"is_success": solved, "coverage": coverage}

    def state(self) -> Array:
        """(5,): agent x, y, block x, y in px, block angle in [0, 2 pi)."""
        block = self.block
        return np.array([*self.agent.position, *block.position, block.angle % (2 * np.pi)])

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
