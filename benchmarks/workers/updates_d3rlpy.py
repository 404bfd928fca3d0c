"""Updates of d3rlpy: `algo.update` on batches of its own replay buffer, which is what its `fit` does in each step.

Settings: method ("bc", "iql" or "sac"), hidden, batch, data.
"""

import logging

import d3rlpy
import numpy as np
import structlog
import torch
from _data import transitions
from _serve import serve, settings, timed
from d3rlpy.models.encoders import VectorEncoderFactory


def dataset(shape):
    obs, action, reward, _, done = transitions(shape)
    timeouts = np.zeros_like(done)
    timeouts[shape["length"] - 1 :: shape["length"]] = 1
    return d3rlpy.dataset.MDPDataset(obs, action, reward, done, timeouts)


def algorithm(given):
    encoder = VectorEncoderFactory(list(given["hidden"]))
    if given["method"] == "bc":
        config = d3rlpy.algos.BCConfig(batch_size=given["batch"], encoder_factory=encoder)
    elif given["method"] == "iql":
        config = d3rlpy.algos.IQLConfig(
            batch_size=given["batch"],
            actor_encoder_factory=encoder,
            critic_encoder_factory=encoder,
            value_encoder_factory=encoder,
        )
    else:
        config = d3rlpy.algos.SACConfig(
            batch_size=given["batch"], actor_encoder_factory=encoder, critic_encoder_factory=encoder
        )
    return config.create(device="cpu:0")


def main():
    given = settings()
    torch.set_num_threads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    data, algo = dataset(given["data"]), algorithm(given)
    algo.build_with_dataset(data)
    parts = vars(algo.impl.modules).values()
    optimisers = [part for part in parts if hasattr(part, "param_groups") or hasattr(part, "optim")]
    groups = [group for part in optimisers for group in getattr(part, "optim", part).param_groups]

    def step(count):
        for _ in range(count):
            algo.update(data.sample_transition_batch(given["batch"]))

    serve(
        timed(step),
        batch=given["batch"],
        parameters=sum(value.numel() for group in groups for value in group["params"]),
    )


main()
