"""Ways on a plane around obstacles: distances to a goal over a grid, and the next point to head for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imitari.core.episode import Array

STENCIL = 3  # cells looked ahead: the more, the straighter the way
CELLS = 96  # a side


@dataclass(frozen=True)
class Wavefront:
    """Where to head for on the shortest way to a goal, at every cell of a grid (Dijkstra's algorithm, 8 neighbours).

    Attributes:
        edge: the plane is [-edge, edge]^2.
        distance: (C, C) to the goal, infinite where there is no way; first index x.
        ahead: (C, C, 2) the point to head for.
    """

    edge: float
    distance: Array
    ahead: Array

    @staticmethod
    def to(goal: Array, blocked: Array, edge: float) -> Wavefront:
        """The ways to the cells where `goal` (C, C) is True around those where `blocked` (C, C) is.

        A blocked cell is left towards the nearest cell that is not.
        """
        distance = _distances(goal, blocked & ~goal, edge)
        return Wavefront(edge, distance, _ahead(distance, edge))

    def next_points(self, position: Array) -> Array:
        """(B, 2) to the points (B, 2) to head for."""
        x, y = cells_of(position, len(self.distance), self.edge)
        return self.ahead[x, y]


def centres(cells: int, edge: float) -> Array:
    """(C, C, 2) the middle of every cell; first index x."""
    axis = (np.arange(cells) + 0.5) / cells * 2 * edge - edge
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)


def cells_of(position: Array, cells: int, edge: float) -> tuple[Array, Array]:
    """The cell indices of points (B, 2); those outside count for the nearest."""
    index = np.clip(((position + edge) / (2 * edge) * cells).astype(np.int64), 0, cells - 1)
    return index[:, 0], index[:, 1]


def widened(cells: Array, margin: float, edge: float) -> Array:
    """Cells (C, C) and all whose middle is nearer than `margin` to the middle of one of them."""
    return distance_from(cells, edge) < max(margin, 1e-9)


def distance_from(cells: Array, edge: float) -> Array:
    """How far (C, C) the middle of every cell is from that of the nearest of `cells`; infinite where there are none."""
    from scipy.ndimage import distance_transform_edt

    if not cells.any():
        return np.full(cells.shape, np.inf)
    return np.asarray(distance_transform_edt(~cells)) * (2 * edge / len(cells))


def _distances(goal: Array, blocked: Array, edge: float) -> Array:
    from scipy.ndimage import distance_transform_edt
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    cells = len(goal)
    number = np.arange(cells * cells).reshape(cells, cells)
    size = 2 * edge / cells
    # Inside an obstacle every step costs more the deeper it is, so that the way out is the shortest one.
    depth = np.asarray(distance_transform_edt(blocked))
    rows: list[Array] = []
    columns: list[Array] = []
    costs: list[Array] = []
    for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1)):
        here = (slice(0, cells - dx), slice(max(0, -dy), cells - max(0, dy)))
        there = (slice(dx, cells), slice(max(0, dy), cells + min(0, dy)))
        cost = size * np.hypot(dx, dy) * (1 + 1000 * (depth[here] + depth[there]))
        rows.append(number[here].ravel())
        columns.append(number[there].ravel())
        costs.append(cost.ravel())
    graph = coo_matrix((np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns))), (cells**2, cells**2))
    found = dijkstra(graph.tocsr(), directed=False, indices=number[goal], min_only=True)
    return np.asarray(found).reshape(cells, cells)


def _ahead(distance: Array, edge: float) -> Array:
    """Of every cell the middle of the one of least distance among those within the stencil."""
    cells = len(distance)
    padded = np.pad(distance, STENCIL, constant_values=np.inf)
    offsets = [(dx, dy) for dx in range(-STENCIL, STENCIL + 1) for dy in range(-STENCIL, STENCIL + 1)]
    near = [padded[STENCIL + dx : STENCIL + dx + cells, STENCIL + dy : STENCIL + dy + cells] for dx, dy in offsets]
    best = np.argmin(np.stack(near), 0)
    step = np.asarray(offsets)[best] * (2 * edge / cells)
    return centres(cells, edge) + step
