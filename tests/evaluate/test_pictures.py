"""Pictures of plans and of regions: what is drawn is what is there, in the report of a run and by the methods' hook."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from imitari.core.demos import Demos
from imitari.core.pictures import Box, Mark, Plane, Timeline
from imitari.core.starts import evaluation_starts
from imitari.envs import task_named
from imitari.envs.crafting import layout
from imitari.evaluate._pictures import LABEL, SIDE, WIDTH, colours_of, picture, plane, timeline
from imitari.jobs.report import runs_report
from imitari.learn.method import method_named
from imitari.learn.run import Run
from imitari.plan.reading import Reading
from imitari.plan.validation import execute
from tests.evaluate.test_report import Tags, page

RECT = re.compile(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"[^>]*?fill="([^"]+)"')
PLANS = Timeline(
    "Plans",
    "why <b>",
    (
        ("start 1: 3 steps", (Box("go", "(go c1 c2)"), Box("cut", "(cut c2)"), Box("go", "(go c2 c<3)"))),
        ("start 2: no plan", ()),
        ("start 3: 1 step", (Box("make", "(make)"),)),
    ),
)


def test_a_row_a_plan_and_a_box_an_action_in_the_colour_of_its_kind() -> None:
    drawn = timeline(PLANS)
    boxes = [(float(x), float(y), colour) for x, y, _, _, colour in RECT.findall(drawn)]
    rows = sorted({y for _, y, _ in boxes})
    assert [sum(y == row for _, y, _ in boxes) for row in rows] == [3, 1]
    assert rows[1] - rows[0] == 60  # between them the row without a plan
    first = [colour for _, y, colour in boxes if y == rows[0]]
    go, cut, make = colours_of(3)
    assert first == [go, cut, go]
    assert boxes[-1][2] == make
    assert all(LABEL <= x <= WIDTH for x, _, _ in boxes)
    assert "<title>3. (go c2 c&lt;3)</title>" in drawn
    assert "start 2: no plan" in drawn


def test_long_plans_fit() -> None:
    row = ("start 1", tuple(Box(f"action_{number % 3}", "x") for number in range(60)))
    drawn = RECT.findall(timeline(Timeline("t", "w", (row,))))
    assert len(drawn) == 60
    assert float(drawn[-1][0]) + float(drawn[-1][2]) <= WIDTH


def test_regions_are_where_their_cells_are() -> None:
    cells = np.random.default_rng(0).integers(0, 3, (7, 7))
    shown = Plane("Modes", "why", cells, ("a", "b", "c"), 2.0, (Mark(-2.0, 2.0, "corner"),))
    found = RECT.findall(plane(shown))
    colours = colours_of(3)
    for x in range(7):
        for y in range(7):
            middle = (x + 0.5) / 7 * SIDE, SIDE - (y + 0.5) / 7 * SIDE
            here = [
                colour
                for left, top, width, height, colour in found
                if float(left) <= middle[0] <= float(left) + float(width)
                and float(top) <= middle[1] <= float(top) + float(height)
            ]
            assert here == [colours[cells[x, y]]]
    assert '<circle cx="0.0" cy="0.0"' in plane(shown)


def test_the_report_has_a_section_for_them() -> None:
    from dataclasses import replace

    from imitari.evaluate.report import render

    told = page()
    text = render(told)
    assert "What the agents know" not in text
    first, second = told.sides
    with_pictures = [replace(first, pictures=[PLANS]), replace(second, pictures_note="Not shown: install Java.")]
    text = render(replace(told, sides=with_pictures))
    assert "<h2>What the agents know</h2>" in text
    assert picture(PLANS) in text
    assert "Not shown: install Java." in text
    checker = Tags()
    checker.feed(text)
    assert checker.open == []


def test_plans_of_a_run_are_in_its_report(crafting_demos: Demos, tmp_path: Path) -> None:
    task = task_named("crafting/pogo-6")
    method = method_named("nsam", {"states": 1500})
    agent = method.fit(crafting_demos, Run(show=False), task)
    (shown,) = method.pictures(agent, task)
    assert isinstance(shown, Timeline)
    reading = Reading(layout("pogo-6").symbols())
    obs, _ = task.make(len(shown.rows)).reset(seed=list(evaluation_starts(len(shown.rows))))
    states = reading.states(obs)
    solved = 0
    from imitari.plan.pddl import read_plan

    for row, (label, boxes) in enumerate(shown.rows):
        steps = [read_plan(box.words)[0] for box in boxes]
        assert label.startswith(f"start {evaluation_starts(6)[row]}: ")
        assert [box.kind for box in boxes] == [step.action for step in steps]
        if boxes:
            assert execute(layout("pogo-6").domain(), reading.problem_at(states, row), steps).valid
            solved += 1
    assert solved >= 1
    agent.facts["task"] = task.name
    agent.save(tmp_path / "run")
    runs_report([tmp_path / "run"], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "What the agents know" in text
    assert shown.rows[0][0] in text


def test_learned_modes_are_drawn_as_they_are(trial_demos: Demos) -> None:
    task = task_named("polygons/3-0-replay")
    method = method_named("glide", {**method_named("glide", {}).smoke, "controller": "geometric"})
    agent = method.fit(trial_demos, Run(show=False), task)
    (shown,) = method.pictures(agent, task)
    assert isinstance(shown, Plane)
    assert len(shown.names) == 3
    count = len(shown.cells)
    places = np.random.default_rng(1).integers(0, count, (40, 2))
    points = (places + 0.5) / count * 2 * shown.edge - shown.edge
    told = agent.learner.get_submodule("classifier").modes_of(torch.from_numpy(points).float()).numpy()  # type: ignore[operator]
    assert [shown.cells[x, y] for x, y in places] == told.tolist()
    assert [mark.words for mark in shown.marks] == ["into mode 1", "into mode 2", "end"]


def test_who_has_nothing_to_show_shows_nothing(small_demos: Demos) -> None:
    method = method_named("bc", {"steps": 1, "batch": 4, "hidden": [4]})
    agent = method.fit(small_demos, Run(show=False), task_named("two_ways"))
    assert method.pictures(agent, task_named("two_ways")) == []
