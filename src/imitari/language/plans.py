"""Plans in words: which modes a task goes through, and which direct steps between them are possible.

The answer of a language model is asked for once and kept in a file, which is all that training reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imitari.core.errors import UserError
from imitari.core.files import replace_text
from imitari.language.client import Client

QUESTION = """A robot's task: {task}

Name the modes that it goes through in their order: stages within which one constraint on its motion holds, such as
"moving freely" or "holding the cup". The first is where everything begins, the last is where the task is done.
For every mode say which features of the state matter. Then say for every pair of modes whether a direct step from one
to the other is possible: 0 where it is (staying, the next mode, falling back), and -m where m modes would be skipped.

Answer with one JSON object and nothing else:
{{"modes": ["...", ...], "features": [["...", ...], ...], "feasible": [[0, ...], ...]}}
"""


def chain(modes: int) -> list[list[float]]:
    """Feasibility of direct steps between modes in a row: 0 within one, to the next, back; -m where m are left out."""
    if modes < 1:
        raise UserError(f"modes is {modes}: a plan has at least 1")
    # From the last two modes nothing is left to skip.
    return [[float(min(0, here + 1 - there)) for there in range(modes)] for here in range(modes)]


@dataclass(frozen=True)
class LanguagePlan:
    """What a language model says about a task.

    Attributes:
        modes: (K) names in their order.
        feasible: (K, K), 0 where a step from mode i to mode j is possible, negative where it is not.
        features: (K) lists of features of the state that matter in each mode; may be empty.
    """

    modes: tuple[str, ...]
    feasible: tuple[tuple[float, ...], ...]
    features: tuple[tuple[str, ...], ...] = ()

    @staticmethod
    def from_json(data: Any, where: str) -> LanguagePlan:
        """Raises UserError, naming `where` and the field, for what is no plan."""
        if not isinstance(data, dict) or not isinstance(data.get("modes"), list) or len(data["modes"]) < 2:
            raise UserError(f"{where}: 'modes' must be a list of at least two names")
        modes = tuple(str(name) for name in data["modes"])
        rows = data.get("feasible")
        if rows is None:
            rows = chain(len(modes))
        if not _square(rows, len(modes)):
            raise UserError(f"{where}: 'feasible' must be {len(modes)} rows of {len(modes)} numbers, none above 0")
        features = tuple(tuple(str(one) for one in each) for each in data.get("features", []))
        return LanguagePlan(modes, tuple(tuple(float(value) for value in row) for row in rows), features)


def language_plan(path: str, modes: int) -> LanguagePlan:
    """The plan in the file `path`; without a path, `modes` modes in a row."""
    if not path:
        return LanguagePlan(tuple(f"mode {number}" for number in range(modes)), tuple(map(tuple, chain(modes))))
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): give the file of a plan") from error
    except ValueError as error:
        raise UserError(f"{path}: is no JSON ({error}): give the file of a plan") from error
    return LanguagePlan.from_json(data, path)


def asked_plan(task: str, client: Client, path: Path) -> LanguagePlan:
    """The plan that a language model gives for a task in words; kept in `path`, and read from there the next time."""
    if not path.exists():
        answer = client.ask(QUESTION.format(task=task))
        start, end = answer.find("{"), answer.rfind("}")
        try:
            data = json.loads(answer[start : end + 1])
        except ValueError as error:
            raise UserError(
                f"{client.url}: the answer holds no JSON object: ask again, or write {path} by hand"
            ) from error
        LanguagePlan.from_json(data, client.url)
        replace_text(path, json.dumps(data, indent=1))
    return language_plan(str(path), 0)


def _square(rows: Any, size: int) -> bool:
    if not isinstance(rows, Sequence) or len(rows) != size:
        return False
    return all(
        isinstance(row, Sequence) and len(row) == size and all(isinstance(v, (int, float)) and v <= 0 for v in row)
        for row in rows
    )
