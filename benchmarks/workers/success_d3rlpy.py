"""Behaviour cloning of d3rlpy on arrays, a multilayer perceptron.

Settings: data (.npz with obs, action of all steps in a row, and end, True at the last of an episode), steps, batch,
seed, lr, hidden (widths), kind ("deterministic" or "stochastic").
"""

import contextlib
import sys

import numpy as np
import torch
from _serve import settings
from _training import serve_training

with contextlib.redirect_stdout(sys.stderr):
    import d3rlpy
    from d3rlpy.logging import NoopAdapterFactory
    from d3rlpy.models.encoders import VectorEncoderFactory

PIECE = 200  # updates between looks at the clock

wanted = settings()
torch.set_num_threads(1)
d3rlpy.seed(wanted["seed"])
stored = np.load(wanted["data"])
with contextlib.redirect_stdout(sys.stderr):
    data = d3rlpy.dataset.MDPDataset(
        stored["obs"],
        stored["action"],
        np.zeros(len(stored["obs"]), np.float32),
        stored["end"].astype(np.float32),
        action_space=d3rlpy.ActionSpace.CONTINUOUS,
    )
    algorithm = d3rlpy.algos.BCConfig(
        batch_size=wanted["batch"],
        learning_rate=wanted["lr"],
        policy_type=wanted.get("kind", "deterministic"),
        encoder_factory=VectorEncoderFactory(wanted["hidden"]),
    ).create(device="cpu:0")
    pieces = algorithm.fitter(
        data,
        n_steps=10**9,
        n_steps_per_epoch=PIECE,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        save_interval=10**9,
    )


def advance(left):
    with contextlib.redirect_stdout(sys.stderr):
        next(pieces)
    return PIECE


def act(values):
    return algorithm.predict(np.asarray(values, np.float32)).tolist()


serve_training(advance, lambda count, seed: None, act, wanted["steps"])
