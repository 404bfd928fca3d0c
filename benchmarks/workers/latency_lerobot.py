"""Seconds of single decisions of a LeRobot policy: observations in numpy to a chunk of actions in numpy."""

import time

import numpy as np
import torch
from _serve import serve, settings
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.policies.factory import make_policy_config, make_pre_post_processors
from lerobot.utils.constants import ACTION


def configured(given):
    sizes, pixels = given["sizes"], given.get("pixels", 0)
    inputs = {
        f"observation.{key}": PolicyFeature(FeatureType.STATE if key == "state" else FeatureType.ENV, (size,))
        for key, size in sizes.items()
    }
    if pixels:
        inputs["observation.images.top"] = PolicyFeature(FeatureType.VISUAL, (3, pixels, pixels))
    outputs = {"action": PolicyFeature(FeatureType.ACTION, (given["action"],))}
    words = {key: tuple(value) if isinstance(value, list) else value for key, value in given["settings"].items()}
    scaling = {"STATE": NormalizationMode.MIN_MAX, "ENV": NormalizationMode.MIN_MAX}
    scaling |= {"VISUAL": NormalizationMode.MEAN_STD, "ACTION": NormalizationMode.MIN_MAX}
    return make_policy_config(
        given["policy"],
        input_features=inputs,
        output_features=outputs,
        normalization_mapping=scaling,
        device="cpu",
        push_to_hub=False,
        **words,
    )


def policy_of(config):
    if config.type == "diffusion":
        from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy as Policy
    else:
        from lerobot.policies.act.modeling_act import ACTPolicy as Policy
    torch.manual_seed(0)
    return Policy(config).eval()


def statistics(config):
    found = {}
    for key, feature in {**config.input_features, **config.output_features}.items():
        shape = (3, 1, 1) if feature.type is FeatureType.VISUAL else feature.shape
        zero = torch.zeros(shape)
        found[key] = {"min": zero - 1, "max": zero + 1, "mean": zero + 0.5, "std": zero + 0.25}
    return found


def main():
    given = settings()
    torch.set_num_threads(1)
    config = configured(given)
    policy = policy_of(config)
    before, after = make_pre_post_processors(config, dataset_stats=statistics(config))
    rng = np.random.default_rng(1)
    raw = {
        key: rng.random(feature.shape, np.float32)
        if feature.type is FeatureType.VISUAL
        else rng.uniform(-1, 1, feature.shape).astype(np.float32)
        for key, feature in config.input_features.items()
    }

    def decide(whole):
        batch = {key: torch.from_numpy(value) for key, value in raw.items()}
        if whole:
            return after(policy.select_action(before(batch))).numpy()
        return policy.select_action({key: value.unsqueeze(0) for key, value in batch.items()}).numpy()

    def answer(count, whole=False):
        times = []
        for _ in range(count):
            queue = policy._queues[ACTION] if config.type == "diffusion" else policy._action_queue
            queue.clear()  # so that each call decides
            began = time.perf_counter()
            decide(whole)
            times.append(time.perf_counter() - began)
        return {"times": times}

    answer(given.get("warm", 3))
    serve(answer, parameters=sum(value.numel() for value in policy.parameters()))


main()
