"""`imitari train`, whole: from the start of the process to the saved agent, which then acts.

Settings: method, settings, data, task, seed, symmetry.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _serve import settings
from _training import serve_training

from imitari.jobs.training import TrainRequest, train
from imitari.learn.agent import Agent

STATE = "observation.state"
wanted = settings()
torch.set_num_threads(1)
folder = tempfile.TemporaryDirectory()
trained: list[Agent] = []
memory: list[Any] = []


def advance(left: int) -> int:
    request = TrainRequest(
        wanted["method"],
        settings=wanted["settings"],
        data=(wanted["data"],),
        task=wanted["task"],
        seed=wanted["seed"],
        symmetry=wanted["symmetry"],
        show=False,
    )
    trained.append(train(request, Path(folder.name)))
    return left


def begin(count: int, seed: int) -> None:
    memory[:] = [trained[-1].reset(count, seed)]


def act(values: list[list[float]]) -> list[list[float]]:
    action, memory[0] = trained[-1].act({STATE: np.asarray(values, np.float32)}, memory[0])
    return action.tolist()


serve_training(advance, begin, act, wanted["settings"]["steps"])
