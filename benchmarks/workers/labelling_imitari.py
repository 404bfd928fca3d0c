"""This library on one data set of pictures: batches for training on clips, updates, and labelling."""

import time
from typing import Any

import numpy as np
import torch
from _serve import peak, serve, settings

from imitari.data.opening import ReadOptions, open_demos
from imitari.data.sampling import Batches, Windows
from imitari.data.scaling import Scaler
from imitari.learn.method import method_class
from imitari.learn.optim import Optim
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.models.inverse import InverseModel, Labeller


def main() -> None:
    given = settings()
    torch.set_num_threads(1)
    demos = open_demos(given["root"], options=ReadOptions(pixels=given["pixels"]))
    demos = demos.select(list(demos.spec.images))
    method = method_class("inverse_dynamics").from_preset("small", **given["model"])
    torch.manual_seed(0)
    model = method.learner(demos.spec)
    assert isinstance(model, InverseModel)
    scaler = Scaler.fit(demos)
    scale = DeviceScaler(scaler, demos.spec, torch.device("cpu"))
    frames = range(model.window)
    batches = Batches(Windows(demos, frames, frames, inside=True), given["batch"], 0)
    updates = Run(show=False, precision=given["precision"]).begin(model, Optim(1e-3), 10**9, scale)
    label = Labeller(model, scaler, demos.spec, given["precision"], together=given["batch"])
    state = {"step": 0}

    def during(seconds: float, once: Any) -> dict[str, Any]:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            count += once()
        return {"rate": count / (time.perf_counter() - began), "peak": peak()}

    def batch() -> int:
        state["step"] += 1
        return given["batch"] * model.window if scale.batch(batches(state["step"])) else 0

    def update() -> int:
        model.train()
        updates.step(state["step"], batches(state["step"]))
        state["step"] += 1
        return given["batch"] * model.window

    def labelled() -> int:
        model.eval()
        state["step"] += 1
        episode = np.array([state["step"] % len(demos)])
        label(demos, episode)
        return int(demos.table.length[episode].sum())

    batch()  # decodes once
    work = {"batch": batch, "update": update, "label": labelled}
    serve(lambda what, seconds: during(seconds, work[what]), steps=demos.steps)


main()
