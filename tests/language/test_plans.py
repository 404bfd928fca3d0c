"""Plans from files, and from a server that stands in for a language model."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from imitari.core.errors import Missing, UserError
from imitari.language.client import Client
from imitari.language.plans import asked_plan, chain, language_plan

PLAN = {"modes": ["reach", "grasp", "lift"], "feasible": chain(3), "features": [["distance"], [], ["height"]]}


class StandIn(BaseHTTPRequestHandler):
    answer = "Here it is: " + json.dumps(PLAN)
    asked: list[str] = []

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        StandIn.asked.append(question["messages"][0]["content"])
        body = json.dumps({"choices": [{"message": {"content": self.answer}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Generator[str]:
    StandIn.asked = []
    with HTTPServer(("127.0.0.1", 0), StandIn) as standing:
        threading.Thread(target=standing.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{standing.server_port}/v1"
        standing.shutdown()


def test_a_plan_is_asked_for_once_and_kept(server: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan = asked_plan("lift the cup", Client(server, "any"), path)
    assert plan.modes == ("reach", "grasp", "lift")
    assert plan.features[0] == ("distance",)
    assert asked_plan("lift the cup", Client("http://127.0.0.1:1/v1", "any", 0.1), path) == plan
    assert len(StandIn.asked) == 1
    assert "lift the cup" in StandIn.asked[0]


def test_no_server_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="stored answer"):
        asked_plan("x", Client("http://127.0.0.1:1/v1", "any", 0.2), tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "no JSON"),
        ('{"modes": ["one"]}', "'modes'"),
        ('{"modes": ["a", "b"], "feasible": [[0, 0]]}', "'feasible'"),
        ('{"modes": ["a", "b"], "feasible": [[0, 1], [0, 0]]}', "'feasible'"),
    ],
)
def test_a_damaged_plan_names_the_field(content: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(UserError, match=reason):
        language_plan(str(path), 3)


def test_without_a_file_modes_stand_in_a_row(tmp_path: Path) -> None:
    assert language_plan("", 3).feasible == tuple(map(tuple, chain(3)))
    with pytest.raises(UserError, match="cannot be read"):
        language_plan(str(tmp_path / "none.json"), 3)
