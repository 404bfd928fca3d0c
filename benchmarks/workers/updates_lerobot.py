"""Updates of LeRobot: its `update_policy`, with the optimiser of the policy's presets and its own normalisation.

That is forward and backward pass, clipping, optimiser, schedule and logging. Windows are drawn from arrays in memory,
not by its data set.

Settings: policy ("act" or "diffusion"), config, batch, history, chunk, data.
"""

import contextlib
import sys

import numpy as np
import torch
from _data import episodes
from _serve import serve, settings, timed
from accelerate import Accelerator
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors
from lerobot.scripts.lerobot_train import update_policy
from lerobot.utils.logging_utils import AverageMeter, MetricsTracker


class Windows:
    """Random windows as LeRobot's data set would give them."""

    def __init__(self, given):
        obs, action, _ = episodes(given["data"])
        self.obs, self.action, self.state = obs[:, :-1], action, given["data"]["state"]
        self.history, self.chunk, self.batch = given["history"], given["chunk"], given["batch"]
        self.rng = np.random.default_rng(0)

    def draw(self):
        count, length = self.action.shape[:2]
        episode = self.rng.integers(count, size=(self.batch, 1))
        step = self.rng.integers(length, size=(self.batch, 1))
        seen = np.clip(step + np.arange(1 - self.history, 1), 0, None)
        at = step + np.arange(self.chunk)
        obs = torch.from_numpy(self.obs[episode, seen])
        obs = obs[:, 0] if self.history == 1 else obs
        return {
            "observation.state": obs[..., : self.state],
            "observation.environment_state": obs[..., self.state :],
            "action": torch.from_numpy(self.action[episode, np.minimum(at, length - 1)]),
            "action_is_pad": torch.from_numpy(at >= length),
        }

    def statistics(self):
        arrays = {
            "observation.state": self.obs[..., : self.state],
            "observation.environment_state": self.obs[..., self.state :],
            "action": self.action,
        }
        names = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}
        return {
            key: {name: torch.from_numpy(np.asarray(made(value, (0, 1)))) for name, made in names.items()}
            for key, value in arrays.items()
        }


def configured(given):
    shape = given["data"]
    inputs = {
        "observation.state": PolicyFeature(FeatureType.STATE, (shape["state"],)),
        "observation.environment_state": PolicyFeature(FeatureType.ENV, (shape["more"],)),
    }
    outputs = {"action": PolicyFeature(FeatureType.ACTION, (shape["action"],))}
    words = {key: tuple(value) if isinstance(value, list) else value for key, value in given["config"].items()}
    return make_policy_config(
        given["policy"], input_features=inputs, output_features=outputs, device="cpu", push_to_hub=False, **words
    )


def main():
    given = settings()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    windows = Windows(given)
    with contextlib.redirect_stdout(sys.stderr):
        accelerator = Accelerator(step_scheduler_with_optimizer=False, cpu=True)
        config = configured(given)
        policy = get_policy_class(given["policy"])(config)
        prepare, _ = make_pre_post_processors(config, dataset_stats=windows.statistics())
        preset = config.get_optimizer_preset()
        optimiser = preset.build(policy.get_optim_params())
        planned = config.get_scheduler_preset()
        schedule = planned.build(optimiser, 1_000_000) if planned else None
        policy, optimiser, schedule = accelerator.prepare(policy, optimiser, schedule)
    names = ("loss", "grad_norm", "lr", "update_s", "dataloading_s")
    metrics = MetricsTracker(
        given["batch"], 1, 1, {name: AverageMeter(name) for name in names}, accelerator=accelerator
    )

    def step(count):
        for _ in range(count):
            batch = prepare(windows.draw())
            update_policy(metrics, policy, batch, optimiser, preset.grad_clip_norm, accelerator, schedule)
            metrics.step()

    parameters = sum(value.numel() for value in policy.parameters() if value.requires_grad)
    serve(timed(step), batch=given["batch"], parameters=parameters, clip=preset.grad_clip_norm)


main()
