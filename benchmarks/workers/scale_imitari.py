"""Batches as a training step takes them, and as they are gathered, from one data set; opening, memory."""

import time
from typing import Any

import torch
from _serve import peak, serve, settings

from imitari.data.opening import ReadOptions, open_demos
from imitari.data.sampling import Batches, Windows
from imitari.data.scaling import Scaler
from imitari.learn.scaled import DeviceScaler


def main() -> None:
    given = settings()
    torch.set_num_threads(1)
    kept: dict[str, Any] = {"number": 1}

    def begin() -> dict[str, Any]:
        """Opens the folder and makes the first batch."""
        began = time.perf_counter()
        demos = open_demos(given["root"], options=ReadOptions(budget=given["budget"]))
        windows = Windows(demos, range(1 - given["history"], 1), range(given["chunk"]))
        kept["batches"] = Batches(windows, given["batch"], 0)
        kept["batches"](0)
        seconds = time.perf_counter() - began
        kept["scaler"] = DeviceScaler(Scaler.fit(demos[:10]), demos.spec, torch.device("cpu"))
        return {"seconds": seconds, "steps": demos.steps}

    def sample(seconds: float, scaled: bool) -> dict[str, Any]:
        """Processor time of a batch; `scaled`: as tensors in the network's units, else only gathered."""
        count, began, used = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            batch = kept["batches"](kept["number"])
            if scaled:
                kept["scaler"].batch(batch)
            kept["number"] += 1
            count += 1
        return {"cost": (time.process_time() - used) / count, "peak": peak()}

    def warm(count: int) -> dict[str, Any]:
        began = time.process_time()
        for _ in range(count):
            kept["batches"](kept["number"])
            kept["number"] += 1
        return {"cost": (time.process_time() - began) / count}

    serve(lambda what, **words: {"begin": begin, "warm": warm, "sample": sample}[what](**words))


main()
