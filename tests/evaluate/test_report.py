"""report.html: complete, self-contained, well formed."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from imitari.core.outcome import Outcome
from imitari.evaluate._films import Film, sprite
from imitari.evaluate._plots import Bar, Curve, curves, intervals, thinned, ticks
from imitari.evaluate.report import Contrast, Page, Side, Training, render


def outcomes(policy: str, seed: int, rate: float) -> list[Outcome]:
    wins = np.random.default_rng(seed).random(30) < rate
    return [
        Outcome(policy, "two_ways", 100 + number, seed, bool(win), 1.0, 0.5, 20, "terminated")
        for number, win in enumerate(wins)
    ]


FACTS = {
    "episodes": 12,
    "steps": 340,
    "success_share": 0.75,
    "fingerprint": "f00d",
    "provenance": {"path": "demos/x"},
}


def page(**changes: object) -> Page:
    film = Film(100, True, 20, np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), np.uint8))
    sides = [
        Side(
            name,
            "bc",
            {"head": head, "steps": 100},
            [
                Training(
                    seed,
                    [{"stage": "train", "step": step, "loss": 5 / step, "held_loss": 0.1} for step in (1, 50, 99)],
                    outcomes(name, seed, rate),
                    FACTS,
                    "beef",
                )
                for seed in (0, 1)
            ],
            (rate, rate - 0.1, rate + 0.1),
            [film],
        )
        for name, head, rate in (("mixture <b>", "gmm", 0.8), ("regression", "mse", 0.3))
    ]  # fmt: skip
    values: dict[str, object] = {
        "title": "A & B",
        "lead": "Task two_ways.",
        "verdict": "The claim holds",
        "explanation": "It is so.",
        "sides": sides,
        "tone": "good",
        "contrasts": [Contrast("mixture − regression", "+50 pt", 0.5, 0.3, 0.7, 0.2)],
        "pairs": [("mixture <b>", "regression")],
        "circumstances": [("machine", "a cpu"), ("training seeds", "0, 1")],
    }
    return Page(**{**values, **changes})  # pyright: ignore[reportArgumentType]


class Tags(HTMLParser):
    """Checks that what is opened is closed, in order."""

    EMPTY = {"meta", "br", "img", "line", "rect", "circle", "polyline"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def test_page_says_everything() -> None:
    text = render(page())
    for heading in (
        "Success", "Difference", "The same starts, side by side", "Rollouts", "Learning curves", "Demonstrations",
        "Settings", "Circumstances",
    ):  # fmt: skip
        assert f"<h2>{heading}</h2>" in text
    for fact in ("The claim holds", "f00d", "75%", "demos/x", "gmm", "a cpu", "training seed 1", "start 100: solved"):
        assert fact in text
    wins = sum(row.success for seed in (0, 1) for row in outcomes("", seed, 0.8))
    assert f"({wins} of 60)" in text


def test_page_is_well_formed_and_escapes_names() -> None:
    text = render(page())
    checker = Tags()
    checker.feed(text)
    assert checker.open == []
    assert "mixture &lt;b&gt;" in text
    assert "<b>" not in text


def test_nothing_is_fetched() -> None:
    text = render(page())
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)|url\(([^)]*)\)|@import""", text)
    assert addresses, "the films are data URIs"
    assert all((first or second).startswith("data:image/jpeg;base64,") for first, second in addresses)
    assert "<script" not in text


def test_parts_without_content_are_left_out() -> None:
    side = Side("bc", "bc", {}, [Training(0)])
    text = render(page(sides=[side], contrasts=[], pairs=[], circumstances=[], films_note="No pictures: install EGL."))
    assert "No pictures: install EGL." in text
    assert "Learning curves" not in text
    assert "<h2>Success</h2>" not in text


def test_film_keeps_its_frames_side_by_side() -> None:
    import base64
    import io

    from PIL import Image

    frames = np.zeros((3, 16, 16, 3), np.uint8)
    frames[1] = 255
    data = sprite(Film(0, False, 3, frames)).split(",", 1)[1]
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert image.shape == (16, 48, 3)
    assert image[:, 18:30].mean() > 250
    assert image[:, :14].mean() < 5


@pytest.mark.parametrize(("low", "high"), [(0, 100), (0, 1), (-0.37, 0.91), (0, 1500), (-3, 12000)])
def test_ticks_are_round_and_few(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 9
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)
    gaps = np.diff(found)
    assert np.allclose(gaps, gaps[0])


def test_marks_lie_where_their_values_are() -> None:
    picture = intervals([Bar("a", "", 50, 40, 60)], 0, 100)
    centre = float(re.search(r'<circle cx="([\d.]+)"', picture).group(1))  # pyright: ignore[reportOptionalMemberAccess]
    begin, width = (float(number) for number in re.search(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', picture).groups())  # pyright: ignore  # fmt: skip  # noqa: E501
    assert begin + width / 2 == pytest.approx(centre, abs=0.2)


def test_long_curves_are_thinned_without_losing_their_mean() -> None:
    points = [(float(step), float(step % 7)) for step in range(1, 4801)]
    few = thinned(points)
    assert len(few) <= 240
    assert np.mean([value for _, value in few]) == pytest.approx(np.mean([value for _, value in points]), rel=1e-3)
    assert few[-1][0] == 4800
    assert curves([Curve(points)], "loss").count(",") < 600
