"""LeRobot on one data set: opening, random samples one by one or through its loader, every frame in order, memory."""

import time

import numpy as np
import torch
from _serve import peak, serve, settings
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def main():
    given = settings()
    torch.set_num_threads(1)
    kept = {}

    def opened():
        past = {key: [step / given["fps"] for step in range(1 - given["history"], 1)] for key in given["keys"]}
        ahead = [step / given["fps"] for step in range(given["chunk"])]
        return LeRobotDataset("local/set", root=given["root"], delta_timestamps={**past, "action": ahead})

    def begin():
        """Opens the folder and makes the first batch, the way its training does without worker processes."""
        began = time.perf_counter()
        data = opened()
        loader = torch.utils.data.DataLoader(data, batch_size=given["batch"], shuffle=True, num_workers=0)
        next(iter(loader))
        kept["data"] = data
        return {"seconds": time.perf_counter() - began, "steps": len(data)}

    def sample(seconds):
        order = np.random.default_rng(0).integers(len(kept["data"]), size=100_000)
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            kept["data"][int(order[count])]
            count += 1
        return {"rate": count / (time.perf_counter() - began), "peak": peak()}

    def load(seconds):
        """Through its loader with two processes, once they are under way. Not after `begin`: processes that come after
        a video was opened share its place in the file and fail."""
        loader = torch.utils.data.DataLoader(
            opened(), batch_size=given["batch"], shuffle=True, num_workers=2, drop_last=True
        )
        batches = iter(loader)
        next(batches)
        count, began = 0, time.perf_counter()
        for _ in batches:
            count += 1
            if time.perf_counter() - began >= seconds:
                break
        return {"rate": count * given["batch"] / (time.perf_counter() - began)}

    def decode():
        """Every frame once, in order."""
        data = LeRobotDataset("local/set", root=given["root"])
        began = time.perf_counter()
        for number in range(len(data)):
            data[number]
        return {"seconds": time.perf_counter() - began}

    serve(lambda what, **words: {"begin": begin, "sample": sample, "load": load, "decode": decode}[what](**words))


main()
