"""The usual pipeline in plain PyTorch: one picture file a frame, a Dataset that opens a clip's files, a DataLoader; the
same network in its training loop, and labelling clip by clip. Needs the network's class from this library and nothing
else of it."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _serve import peak, serve, settings
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from imitari.core.spec import Spec
from imitari.learn.method import method_class
from imitari.models.inverse import InverseModel


class Clips(Dataset):  # type: ignore[type-arg]
    """Item t: the `window` frames from t on, each opened from its file, and their actions."""

    def __init__(self, root: Path, window: int) -> None:
        about = json.loads((root / "about.json").read_text())
        self.root, self.window, self.key = root, window, about["key"]
        self.spec = Spec.from_json(about["spec"])
        self.actions = np.load(root / "actions.npy")
        low, high = self.actions.min(0), self.actions.max(0)
        self.actions = ((self.actions - low) / np.maximum(high - low, 1e-6) * 2 - 1).astype(np.float32)
        begins = np.cumsum([0, *about["lengths"]])
        self.starts = [
            begin + step
            for begin, length in zip(begins, about["lengths"], strict=False)
            for step in range(max(1, length - window + 1))
        ]

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> Any:
        rows = np.minimum(self.starts[number] + np.arange(self.window), len(self.actions) - 1)
        frames = [np.asarray(Image.open(self.root / f"{row:06d}.png")) for row in rows]
        return torch.from_numpy(np.stack(frames)), torch.from_numpy(self.actions[rows])


def main() -> None:
    given = settings()
    torch.set_num_threads(1)
    method = method_class("inverse_dynamics").from_preset("small", **given["model"])
    clips = Clips(Path(given["root"]), method.to_json()["window"])
    torch.manual_seed(0)
    model = method.learner(clips.spec)
    assert isinstance(model, InverseModel)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    precision = torch.autocast("cpu", torch.bfloat16, enabled=given["precision"] == "bf16")
    size = given["batch"]

    def endless(shuffle: bool) -> Any:
        while True:
            yield from DataLoader(clips, size, shuffle=shuffle, drop_last=True, num_workers=given["workers"])

    shuffled, ordered = endless(True), endless(False)

    def batch() -> int:
        frames, _ = next(shuffled)
        return frames.shape[0] * frames.shape[1]

    def update() -> int:
        model.train()
        frames, action = next(shuffled)
        with precision:
            loss = model.predict({clips.key: frames}).loss(action).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return frames.shape[0] * frames.shape[1]

    def label() -> int:
        """One label a clip, that of its middle frame: the usual sliding window."""
        model.eval()
        frames, _ = next(ordered)
        with torch.inference_mode(), precision:
            model.predict({clips.key: frames}).mode[:, clips.window // 2].float().numpy()
        return frames.shape[0]

    work = {"batch": batch, "update": update, "label": label}

    def during(what: str, seconds: float) -> dict[str, Any]:
        once, count = work[what], 0
        once()
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            count += once()
        return {"rate": count / (time.perf_counter() - began), "peak": peak()}

    serve(during)


main()
