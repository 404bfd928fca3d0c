"""LeRobot 0.4.4, the last version for Python 3.11: data sets, diffusion policy, ACT."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.peers._environment import Environment, NotInstalled


def _ffmpeg() -> None:
    """torchcodec decodes with the system's FFmpeg libraries."""
    if shutil.which("ffmpeg"):
        return
    if os.geteuid() != 0:
        raise NotInstalled("ffmpeg is missing (its libraries decode videos): sudo apt-get install ffmpeg")
    subprocess.run("apt-get update -qq && apt-get install -y -qq ffmpeg", shell=True, check=True)


def _vision(packages: Path) -> None:
    """torchvision has no build for a CPU torch of this version. LeRobot uses only what is plain Python in it (ResNet,
    crops, ToTensor), which runs once nothing describes the compiled operators that are not there."""
    (packages / "torchvision" / "_meta_registrations.py").write_text("")


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
            "setuptools<81", "diffusers==0.35.2", "pyserial>=3.5,<4",
        ),
        ("--no-deps", "lerobot==0.4.4", "torchcodec==0.13.0", "torchvision==0.28.0"),
    ),
    check=(
        "import torchcodec.decoders, lerobot.datasets.lerobot_dataset, lerobot.policies.act.modeling_act, "
        "lerobot.policies.diffusion.modeling_diffusion"
    ),
    prepare=_ffmpeg,
    finish=_vision,
)  # fmt: skip
