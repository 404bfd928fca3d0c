"""Seconds of single decisions of an agent of this library: observations in numpy to a chunk of actions in numpy."""

import statistics
import time
from typing import Any

import numpy as np
import torch
from _serve import serve, settings

from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.spec import Feature, Spec
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent
from imitari.learn.method import method_named
from imitari.learn.precision import Precision, choose


def described(sizes: dict[str, int], action: int, pixels: int) -> Spec:
    obs = {f"observation.{key}": Feature((size,)) for key, size in sizes.items()}
    if pixels:
        obs["observation.images.top"] = Feature((pixels, pixels, 3), "uint8", "image")
    return Spec(obs, Feature((action,), low=(-1.0,) * action, high=(1.0,) * action))


def observations(spec: Spec, count: int, rng: np.random.Generator) -> dict[str, Any]:
    return {
        key: rng.integers(0, 256, (count, *feature.shape), np.uint8)
        if feature.kind == "image"
        else rng.uniform(-1, 1, (count, *feature.shape)).astype(np.float32)
        for key, feature in spec.obs.items()
    }


def agent_of(name: str, given: dict[str, Any], spec: Spec, precision: Precision) -> Agent:
    """Untrained: the time of a decision does not depend on what was learnt. It acts as one trained in `precision`."""
    rng = np.random.default_rng(0)
    action = rng.uniform(-1, 1, (30, *spec.action.shape)).astype(np.float32)
    demos = Demos.from_episodes([Episode(observations(spec, 31, rng), action, np.zeros(30, np.float32))], spec)
    method = method_named(name, given)
    torch.manual_seed(0)
    learner = method.learner(spec)
    facts = {"precision": choose(precision, learner, torch.device("cpu"))}
    return Agent(method, learner, Scaler.fit(demos, "minmax", "minmax"), spec, facts)


def reading(count: int) -> float:
    """ms to read as many float32 numbers once, all of them: below this no pass over weights can go."""
    numbers, times = torch.zeros(count), list[float]()
    for _ in range(5):
        began = time.perf_counter()
        numbers.sum()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def main() -> None:
    given = settings()
    torch.set_num_threads(1)
    spec = described(given["sizes"], given["action"], given.get("pixels", 0))
    agent = agent_of(given["method"], given["settings"], spec, given["precision"])
    obs = observations(spec, 1, np.random.default_rng(1))
    memory = agent.reset(1)

    def answer(count: int) -> dict[str, Any]:
        nonlocal memory
        times: list[float] = []
        for _ in range(count):
            agent.interrupt(np.array([True]), memory)  # so that each call decides
            began = time.perf_counter()
            _, memory = agent.act(obs, memory)
            times.append(time.perf_counter() - began)
        return {"times": times}

    answer(given.get("warm", 3))
    count = sum(value.numel() for value in agent.learner.parameters())
    serve(answer, parameters=count, reading=reading(count), precision=agent.precision)


main()
