"""Tasks by name: one file a suite, adapters to the real simulators and our own small batched worlds."""

from __future__ import annotations

from typing import Any

from imitari.core import registry
from imitari.core.errors import UserError, unknown
from imitari.core.task import Task

FOLDER = "envs"


def task_names() -> list[str]:
    """Every task name that can be listed without its simulator."""
    names: list[str] = []
    for suite, entry in registry.entries(FOLDER).items():
        ids = entry.load().ids()
        names += [f"{suite}/{name}" if name else suite for name in ids]
    return names


def task_named(name: str, *, instruction: str | None = None, **options: Any) -> Task:
    """The task `name`: "<suite>/<id>", or "<suite>" where the suite has one task.

    Args:
        name: see `imitari tasks`.
        instruction: also observe what is to be done, as these vectors (see `data.instructions.vectors_named`).
        options: of the suite: `pixels` (side of camera images; None: no images), `cameras`.

    Raises:
        UserError: for an unknown name, with the nearest that exist.
        Missing: when the simulator is not installed.
    """
    suite, _, within = name.partition("/")
    if suite not in registry.entries(FOLDER):
        raise unknown("task", name, task_names())
    module = registry.entries(FOLDER)[suite].load()
    ids = module.ids()
    if within not in ids and not getattr(module, "OPEN", False):
        raise unknown("task", name, task_names())
    try:
        task = module.task(within, **options)
        return task if instruction is None else _instructed(task, instruction)
    except TypeError as error:
        if "unexpected keyword" in str(error):
            given = " ".join(f"--{option}" for option in options)
            raise UserError(f"task '{name}' has no such option ({given}): leave it out") from error
        raise


def _instructed(task: Task, instruction: str) -> Task:
    from imitari.data.instructions import vectors_named
    from imitari.envs.mixed import instructed

    return instructed(task, vectors_named(instruction))
