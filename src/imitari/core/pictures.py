"""What an agent can show of itself besides its acting, as data; a report draws it."""

from __future__ import annotations

from dataclasses import dataclass

from imitari.core.episode import Array


@dataclass(frozen=True)
class Box:
    """One step of a row: its kind decides the colour, its words say it in full."""

    kind: str
    words: str


@dataclass(frozen=True)
class Timeline:
    """Sequences of steps, one row each.

    Attributes:
        title, why: the headline, and what is to be seen.
        rows: (label, steps).
    """

    title: str
    why: str
    rows: tuple[tuple[str, tuple[Box, ...]], ...]


@dataclass(frozen=True)
class Mark:
    """A place on a plane with a word beside it."""

    x: float
    y: float
    words: str


@dataclass(frozen=True)
class Plane:
    """A square of the plane that is cut into regions.

    Attributes:
        title, why: the headline, and what is to be seen.
        cells: (C, C) the number of the region of every cell; first index x, second y (upwards).
        names: of the regions.
        edge: the square is [-edge, edge]^2.
        marks: places in it.
    """

    title: str
    why: str
    cells: Array
    names: tuple[str, ...]
    edge: float
    marks: tuple[Mark, ...] = ()


Picture = Timeline | Plane
