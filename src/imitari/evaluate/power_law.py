"""How the distance from perfect falls with the amount of data: a power law, and what more data would be worth.

The gap Y (1 - success, or an error) against the amount M: log Y = log factor + exponent * log M, by least squares over
all amounts (Lin et al. 2024, "Data Scaling Laws in Imitation Learning for Robotic Manipulation", section on fits).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imitari.evaluate.intervals import Interval, interval_of_function

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PowerLaw:
    """Attributes:
    sizes: amounts of data.
    gaps: mean gap at each, as it was seen.
    exponent: with its interval; 0: more data changes nothing, -1: twice as much data halves the gap.
    factor: the gap that the line has at an amount of 1.
    correlation: of log amount and log gap (Pearson); the paper speaks of a law beyond -0.9.
    worth: by how much the gap falls with `more` beyond the largest amount, with its interval.
    more: that many.
    clipped: amounts whose gap was nothing, which was taken as half a trial.
    """

    sizes: tuple[int, ...]
    gaps: tuple[float, ...]
    exponent: Interval
    factor: float
    correlation: float
    worth: Interval
    more: int
    clipped: tuple[int, ...] = ()

    def at(self, size: float) -> float:
        """The gap on the line."""
        return self.factor * size**self.exponent.estimate

    def halving(self) -> float:
        """How many times as much data halves the gap, infinite where more data does not help."""
        return 2 ** (-1 / self.exponent.estimate) if self.exponent.estimate < 0 else float("inf")

    def sentence(self, unit: str = "demonstrations", points: bool = True) -> str:
        """The answer for people; `points`: gaps are rates."""
        scale, name = (100, " points") if points else (1, "")
        low, high = (value * scale for value in (self.worth.low, self.worth.high))
        if self.worth.low <= 0:
            what = f"whether {self.more} more {unit} help cannot be said yet ({low:+.2g} to {high:+.2g}{name})"
        else:
            gain = self.worth.estimate * scale
            what = f"{self.more} more {unit} are worth {gain:.2g}{name} ({low:.2g} to {high:.2g})"
        times, slope = self.halving(), self.exponent
        many = f"{float(f'{times:.2g}'):g}"  # 110, not 1.1e+02
        halves = f"{many} times as many halve what is missing" if times < 1000 else "more hardly help"
        return f"{what}; {halves} (exponent {slope.estimate:.2f} [{slope.low:.2f}, {slope.high:.2f}])"

    def to_json(self) -> dict[str, Any]:
        def ends(one: Interval) -> list[float]:
            return [one.estimate, one.low, one.high]

        return {
            "sizes": list(self.sizes), "gaps": list(self.gaps), "exponent": ends(self.exponent), "factor": self.factor,
            "correlation": self.correlation, "worth": ends(self.worth), "more": self.more,
            "clipped": list(self.clipped),
        }  # fmt: skip


def fit(sizes: Sequence[int], gaps: Sequence[ArrayLike], more: int = 20, least: float | None = None) -> PowerLaw:
    """The line through the mean gaps, with intervals over training seeds and starts.

    Args:
        sizes: at least 3 different amounts, ascending.
        gaps: one table (training seeds, starts) an amount, of gaps of at least 0; seeds and starts are the same in all.
        more: asks what so much more than the largest amount is worth.
        least: the smallest gap that can be told from none; None: half a trial, for gaps of which each is 0 or 1.

    Raises:
        ValueError: for fewer amounts, or tables of different shapes.
    """
    amounts = np.asarray(sizes, np.float64)
    tables = [np.asarray(table, np.float64) for table in gaps]
    if len(amounts) < 3 or len(tables) != len(amounts) or (np.diff(amounts) <= 0).any():
        raise ValueError(f"a power law needs at least 3 ascending amounts with one table each, not {list(sizes)}")
    if len({table.shape for table in tables}) != 1:
        raise ValueError("every amount needs the same training seeds and starts")
    least = 0.5 / tables[0].size if least is None else least
    means = np.array([table.mean() for table in tables])
    rise = interval_of_function(tables, lambda seen: _line(amounts, seen, least)[1], _scale(least))
    worth = interval_of_function(tables, _worth(amounts, least, more), _scale(least))
    offset, _ = _line(amounts, means, least)
    return PowerLaw(
        sizes=tuple(int(size) for size in sizes),
        gaps=tuple(means.tolist()),
        exponent=rise,
        factor=float(np.exp(offset)),
        correlation=correlation(sizes, means, least),
        worth=worth,
        more=more,
        clipped=tuple(int(size) for size, mean in zip(sizes, means, strict=True) if mean < least),
    )


def exponent(sizes: Sequence[int], gaps: Floats, least: float = 1e-9) -> float:
    """Of the line through the gaps (len(sizes),)."""
    return _line(np.asarray(sizes, np.float64), gaps, least)[1]


def correlation(sizes: Sequence[int], gaps: Floats, least: float = 1e-9) -> float:
    """Pearson's, of the logarithms; 0 where nothing changes."""
    along = np.log(np.maximum(gaps, least))
    return float(np.corrcoef(np.log(sizes), along)[0, 1]) if np.ptp(along) > 0 else 0.0


def _scale(least: float) -> Callable[[Floats], Floats]:
    """Steps of the derivatives: small beside every mean."""
    return lambda means: 1e-5 * np.maximum(means, least)


def _line(amounts: Floats, means: Floats, least: float) -> tuple[float, float]:
    """(offset, slope) of the logarithms."""
    across = np.log(amounts) - np.log(amounts).mean()
    along = np.log(np.maximum(means, least))
    slope = float((across * along).sum() / (across**2).sum())
    return float(along.mean() - slope * np.log(amounts).mean()), slope


def _worth(amounts: Floats, least: float, more: int) -> Callable[[Floats], float]:
    def worth(means: Floats) -> float:
        offset, slope = _line(amounts, means, least)
        now, then = (np.exp(offset + slope * np.log(size)) for size in (amounts[-1], amounts[-1] + more))
        return float(now - then)

    return worth
