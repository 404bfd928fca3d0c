"""Behaviour cloning of imitation on arrays, a multilayer perceptron with a Gaussian.

Settings: data (.npz with obs, action of all steps in a row, and end, True at the last of an episode), steps, batch,
seed, lr, hidden (widths), l2, entropy.
"""

import contextlib
import sys

import gymnasium as gym
import numpy as np
import torch
from _serve import settings
from _training import serve_training
from imitation.algorithms import bc
from imitation.data.types import Transitions
from imitation.util import logger
from stable_baselines3.common.policies import ActorCriticPolicy

PIECE = 200  # updates between looks at the clock

wanted = settings()
torch.set_num_threads(1)
torch.manual_seed(wanted["seed"])
stored = np.load(wanted["data"])
obs, action = stored["obs"], stored["action"]
seen = gym.spaces.Box(-np.inf, np.inf, obs.shape[1:], np.float32)
done = gym.spaces.Box(-1.0, 1.0, action.shape[1:], np.float32)
policy = ActorCriticPolicy(
    seen, done, lambda _: wanted["lr"], net_arch=wanted["hidden"], activation_fn=torch.nn.ReLU
)  # the rate is the optimiser's, which BC makes itself
with contextlib.redirect_stdout(sys.stderr):
    trainer = bc.BC(
        observation_space=seen,
        action_space=done,
        rng=np.random.default_rng(wanted["seed"]),
        demonstrations=Transitions(
            obs=obs, acts=action, infos=np.full(len(obs), {}), next_obs=obs, dones=stored["end"]
        ),
        policy=policy,
        batch_size=wanted["batch"],
        optimizer_kwargs={"lr": wanted["lr"]},
        ent_weight=wanted.get("entropy", 1e-3),
        l2_weight=wanted.get("l2", 0.0),
        device="cpu",
        custom_logger=logger.configure(None, []),
    )


def advance(left):
    count = min(left, PIECE)
    trainer.train(n_batches=count, log_interval=10**9, progress_bar=False)
    return count


def act(values):
    return policy.predict(np.asarray(values, np.float32), deterministic=True)[0].tolist()


parameters = sum(value.numel() for value in policy.parameters())
serve_training(advance, lambda count, seed: None, act, wanted["steps"], parameters=parameters)
