"""ENHSP, a heuristic search planner for numeric domains, as a program of its own beside us.

Scala, Haslum, Thiébaux & Ramirez 2020, "Subgoaling techniques for satisficing and optimal numeric planning". It comes
with the package up-enhsp and runs on Java. It is called directly and not through unified-planning, whose translation of
a learned domain with hundreds of conditions costs more than the search.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from imitari.core.errors import Missing, UserError, missing_extra
from imitari.plan.model import Domain, Problem
from imitari.plan.pddl import domain_text, problem_text, read_plan
from imitari.plan.planners import Planned

JAR = Path("ENHSP", "enhsp.jar")
HEAP = "2g"
OPTIMAL = ("-planner", "opt-hrmax")
# Helpful actions and jumps solve what traps greedy search with h-add, but may miss a plan and say that there is none.
HELPFUL, COMPLETE = ("-planner", "sat-hmrphj"), ("-planner", "sat-hadd")
NO_PLAN = ("problem unsolvable", "unsolvable problem", "goal is not reachable", "problem detected as unsolvable")
EXHAUSTED = ("outofmemory", "out of memory", "timeout")


def parts() -> tuple[str, Path]:
    """Java and the planner's archive.

    Raises:
        Missing: naming what there is not.
    """
    java = shutil.which("java")
    if java is None:
        raise Missing("Java, on which the planner ENHSP runs,", "install a Java runtime, version 17 or later")
    spec = find_spec("up_enhsp")
    if spec is None or spec.origin is None:
        raise missing_extra("the planner ENHSP (package up-enhsp)", "plan")
    return java, Path(spec.origin).parent / JAR


def ask(domain: Domain, problem: Problem, seconds: float = 60.0, *, optimal: bool = False) -> Planned:
    """Its plan.

    Args:
        seconds: after which it is stopped, the start of Java (about one second) included.
        optimal: a shortest plan (A*, h-rmax); else any: half of the time greedy search with helpful actions (h-mrp),
            then without (h-add).

    Raises:
        Missing: when Java or up-enhsp is not installed.
        UserError: when it fails in another way, with its own words.
    """
    if optimal:
        return _run(domain, problem, seconds, OPTIMAL)
    first = _run(domain, problem, seconds / 2, HELPFUL)
    if first.status == "solved":
        return first
    second = _run(domain, problem, seconds - first.seconds, COMPLETE)
    return replace(second, seconds=first.seconds + second.seconds)


def _run(domain: Domain, problem: Problem, seconds: float, search: tuple[str, ...]) -> Planned:
    java, archive = parts()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "domain.pddl").write_text(domain_text(domain))
        (place / "problem.pddl").write_text(problem_text(problem))
        files = ("-o", "domain.pddl", "-f", "problem.pddl", "-sp", "plan.txt", "-npm")
        command = [java, "-XX:+UseSerialGC", f"-Xmx{HEAP}", "-jar", str(archive), *files, *search]
        try:
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return Planned("timeout", (), time.monotonic() - began)
        took = time.monotonic() - began
        if (place / "plan.txt").exists():
            return Planned("solved", tuple(read_plan(_steps(place / "plan.txt"), "ENHSP's plan")), took)
    said = f"{done.stdout}\n{done.stderr}"
    if any(words in said.lower() for words in NO_PLAN):
        return Planned("none", (), took)
    if any(words in said.lower() for words in EXHAUSTED):
        return Planned("timeout", (), took)
    last = [line for line in said.splitlines() if line.strip()][-3:]
    raise UserError(f"ENHSP could not plan in domain '{domain.name}' ({' / '.join(last)}): check the domain")


def _steps(path: Path) -> str:
    """The plan's lines without times and remarks."""
    return "\n".join(re.sub(r"^\s*[\d.]+\s*:", "", line) for line in path.read_text().splitlines() if "(" in line)
