"""LeRobot 0.4.4, the last version for Python 3.11: data sets, diffusion policy, ACT."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.peers._environment import Environment, NotInstalled

# torchvision has no build for a CPU torch of this version. LeRobot's data sets need one function of it, for PNG images.
VISION = '''"""Stands in for torchvision, of which LeRobot's data sets use only this."""
import numpy
import torch


class ToTensor:
    """A PIL image to float32 (channels, height, width) in [0, 1]."""

    def __call__(self, image):
        values = numpy.atleast_3d(numpy.array(image))
        return torch.from_numpy(values).permute(2, 0, 1).float() / 255
'''


def _ffmpeg() -> None:
    """torchcodec decodes with the system's FFmpeg libraries."""
    if shutil.which("ffmpeg"):
        return
    if os.geteuid() != 0:
        raise NotInstalled("ffmpeg is missing (its libraries decode videos): sudo apt-get install ffmpeg")
    subprocess.run("apt-get update -qq && apt-get install -y -qq ffmpeg", shell=True, check=True)


def _vision(packages: Path) -> None:
    (packages / "torchvision" / "transforms").mkdir(parents=True, exist_ok=True)
    (packages / "torchvision" / "__init__.py").write_text("")
    (packages / "torchvision" / "transforms" / "__init__.py").write_text(VISION)


LEROBOT = Environment(
    name="lerobot",
    version="0.4.4",
    requirements=(
        ("torch==2.13.0", "numpy<2.3"),
        # LeRobot's own bounds exclude this torch, hence its requirements by hand and --no-deps for itself.
        (
            "numpy<2.3", "datasets>=4,<5", "huggingface-hub>=0.34.2,<0.36", "av>=15,<16", "einops>=0.8,<0.9",
            "jsonlines>=4,<5", "packaging>=24.2,<26", "draccus==0.10.0", "gymnasium>=1.1.1,<2", "deepdiff>=7.0.1,<9",
            "termcolor>=2.4", "imageio>=2.34", "opencv-python-headless>=4.9,<4.13", "accelerate>=1.10,<2", "pillow",
            "setuptools<81",
        ),
        ("--no-deps", "lerobot==0.4.4", "torchcodec==0.13.0"),
    ),
    check="import torchcodec.decoders, lerobot.datasets.lerobot_dataset",
    prepare=_ffmpeg,
    finish=_vision,
)  # fmt: skip
