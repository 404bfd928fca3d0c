"""This library on one data set: opening, random batches of windows, memory."""

import time
from typing import Any

import torch
from _serve import peak, serve, settings

from imitari.data.opening import ReadOptions, open_demos
from imitari.data.sampling import Batches, Windows


def main() -> None:
    given = settings()
    torch.set_num_threads(1)
    kept: dict[str, Any] = {}

    def begin() -> dict[str, Any]:
        """Opens the folder and makes the first batch."""
        began = time.perf_counter()
        demos = open_demos(given["root"], options=ReadOptions(budget=given["budget"])).select(given["keys"])
        windows = Windows(demos, range(1 - given["history"], 1), range(given["chunk"]))
        kept["batches"], kept["number"] = Batches(windows, given["batch"], given.get("seed", 0)), 1
        kept["batches"](0)
        return {"seconds": time.perf_counter() - began, "steps": demos.steps}

    def sample(seconds: float) -> dict[str, Any]:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            kept["batches"](kept["number"])
            kept["number"] += 1
            count += 1
        return {"rate": count * given["batch"] / (time.perf_counter() - began), "peak": peak()}

    serve(lambda what, **words: {"begin": begin, "sample": sample}[what](**words))


main()
