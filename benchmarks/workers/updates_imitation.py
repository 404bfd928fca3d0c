"""Updates of imitation's behaviour cloning and of two methods of Stable-Baselines3, by their own `train`.

Each method gives an `answer` for `serve` and its number of parameters.

Settings: method ("bc", "sac" or "ppo"), hidden, batch, data.
"""

import gymnasium
import numpy as np
import torch
from _data import transitions
from _serve import serve, settings, timed
from gymnasium.spaces import Box


def spaces(data):
    return Box(-np.inf, np.inf, data[0].shape[1:], np.float32), Box(-1, 1, data[1].shape[1:], np.float32)


def cloning(given, data):
    from imitation.algorithms.bc import BC
    from imitation.data.types import Transitions
    from imitation.util.logger import configure
    from stable_baselines3.common.policies import ActorCriticPolicy

    obs, action, _, after, done = data
    observed, acted = spaces(data)
    infos = np.array([{}] * len(obs))
    policy = ActorCriticPolicy(
        observed,
        acted,
        lambda _: 1e-3,
        net_arch={"pi": list(given["hidden"]), "vf": []},
        activation_fn=torch.nn.ReLU,
    )
    trainer = BC(
        observation_space=observed,
        action_space=acted,
        rng=np.random.default_rng(0),
        policy=policy,
        demonstrations=Transitions(obs=obs, acts=action, infos=infos, next_obs=after, dones=done.astype(bool)),
        batch_size=given["batch"],
        custom_logger=configure(format_strs=[]),
    )

    def step(count):
        trainer.train(n_batches=count, progress_bar=False)

    return timed(step), sum(value.numel() for value in policy.parameters())


class Still(gymnasium.Env):
    """Spaces only: nothing is ever acted out."""

    def __init__(self, observed, acted):
        self.observation_space, self.action_space = observed, acted

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}


def actor_critic(given, data):
    from stable_baselines3 import SAC
    from stable_baselines3.common.logger import Logger

    obs, action, reward, after, done = data
    model = SAC(
        "MlpPolicy",
        Still(*spaces(data)),
        batch_size=given["batch"],
        buffer_size=len(obs),
        policy_kwargs={"net_arch": list(given["hidden"])},
        device="cpu",
    )
    model.set_logger(Logger(None, []))
    model._current_progress_remaining = 1.0
    for number in range(len(obs)):
        one = slice(number, number + 1)
        model.replay_buffer.add(obs[one], after[one], action[one], reward[one], done[one], [{}])

    def step(count):
        model.train(gradient_steps=count, batch_size=given["batch"])

    parts = [*model.actor.parameters(), *model.critic.parameters(), model.log_ent_coef]
    return timed(step), sum(value.numel() for value in parts)


def policy_optimisation(given, data):
    """`train` passes over a round of 2,048 steps once: updates come in groups, of which a part counts in proportion."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.logger import Logger

    obs, action, reward, _, _ = data
    rows, group = 2048, 2048 // given["batch"]
    model = PPO(
        "MlpPolicy",
        Still(*spaces(data)),
        n_steps=rows,
        batch_size=given["batch"],
        n_epochs=1,
        policy_kwargs={"net_arch": list(given["hidden"])},
        device="cpu",
    )
    model.set_logger(Logger(None, []))
    model._current_progress_remaining = 1.0
    model.rollout_buffer.reset()
    for number in range(rows):
        one = slice(number, number + 1)
        model.rollout_buffer.add(obs[one], action[one], reward[one], np.zeros(1), torch.zeros(1), torch.zeros(1))
    model.rollout_buffer.compute_returns_and_advantage(torch.zeros(1), np.zeros(1))
    train = timed(lambda groups: [model.train() for _ in range(groups)])

    def answer(count):
        groups = -(-count // group)
        return {key: value * count / (groups * group) for key, value in train(groups).items()}

    return answer, sum(value.numel() for value in model.policy.parameters())


METHODS = {"bc": cloning, "sac": actor_critic, "ppo": policy_optimisation}


def main():
    given = settings()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    answer, parameters = METHODS[given["method"]](given, transitions(given["data"]))
    serve(answer, batch=given["batch"], parameters=parameters)


main()
