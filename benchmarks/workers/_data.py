"""Random demonstrations of a given shape, the same numbers in every environment: they cost what real ones cost."""

import numpy as np


def episodes(shape):
    """Arrays for a shape {"state", "action", "episodes", "length"} and perhaps "more", a second observation.

    Returns:
        observations (E, L + 1, state + more), actions (E, L, action) within (-1, 1), rewards (E, L); float32.
    """
    rng = np.random.default_rng(0)
    count, length = shape["episodes"], shape["length"]
    width = shape["state"] + shape.get("more", 0)
    obs = rng.standard_normal((count, length + 1, width), np.float32)
    action = rng.uniform(-0.99, 0.99, (count, length, shape["action"])).astype(np.float32)
    return obs, action, rng.standard_normal((count, length), np.float32)


def transitions(shape):
    """Observation, action, reward, next observation, and 1 where the episode ended, which is nowhere: time ran out."""
    obs, action, reward = episodes(shape)
    first, after = obs[:, :-1].reshape(-1, obs.shape[-1]), obs[:, 1:].reshape(-1, obs.shape[-1])
    return first, action.reshape(-1, action.shape[-1]), reward.reshape(-1), after, np.zeros(reward.size, np.float32)
