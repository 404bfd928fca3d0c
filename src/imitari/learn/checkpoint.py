"""Resume points: all that a training needs to go on bit for bit, in one file that is replaced atomically."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from imitari.core.errors import UserError
from imitari.learn.learner import Learner
from imitari.learn.optim import Average


def write_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Writes beside `path` and renames: a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        owned = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        save_file(owned, partial, metadata={"facts": json.dumps(facts)})
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error}): choose another --out or free some space") from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file that `write_tensors` made."""
    try:
        with safe_open(path, framework="pt") as file:  # pyright: ignore[reportUnknownVariableType]
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {key: file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a readable weights file ({error}): restore it or train again") from error


class ResumePoint:
    """The state of one training stage on disk.

    Args:
        path: the file.
        key: identifies the training (settings, data, seed); a file with another key is refused, not overwritten.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key

    def save(self, step: int, learner: Learner, optimiser: torch.optim.Optimizer, average: Average | None) -> None:
        tensors = {f"learner.{name}": value for name, value in learner.state_dict().items()}
        for number, state in optimiser.state_dict()["state"].items():
            tensors.update({f"optimiser.{number}.{name}": torch.as_tensor(value) for name, value in state.items()})
        if average:
            tensors.update({f"average.{number}": value for number, value in enumerate(average.values)})
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        write_tensors(self.path, tensors, {"step": step, "key": self.key})

    def load(self, learner: Learner, optimiser: torch.optim.Optimizer, average: Average | None) -> int:
        """Restores everything; returns the number of steps already done (0 when there is no file)."""
        if not self.path.exists():
            return 0
        tensors, facts = read_tensors(self.path)
        if facts.get("key") != self.key:
            raise UserError(
                f"{self.path.parent.parent}: holds a training with other settings, data or seed (or number of "
                "processes): choose another --out, or delete that folder"
            )
        learner.load_state_dict(_under("learner.", tensors))
        layout = optimiser.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimiser.", tensors).items():
            number, field = name.split(".", 1)
            state.setdefault(int(number), {})[field] = value
        optimiser.load_state_dict({"state": state, "param_groups": layout["param_groups"]})
        if average:
            for number, value in enumerate(average.values):
                value.copy_(tensors[f"average.{number}"])
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random.cuda"])
        return int(facts["step"])


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
