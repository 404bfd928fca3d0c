"""LeRobot 0.4.4 in an environment of its own, for comparisons. Built on first use below .venvs/lerobot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PLACE = ROOT / ".venvs" / "lerobot"
PYTHON = PLACE / "bin" / "python"

# Torch first, so that nothing pulls in another build of it; LeRobot's own bounds exclude this torch, hence --no-deps.
TORCH = ["torch==2.13.0", "numpy<2.3"]
WITH_DEPENDENCIES = [
    "numpy<2.3", "datasets>=4,<5", "huggingface-hub>=0.34.2,<0.36", "av>=15,<16", "einops>=0.8,<0.9", "jsonlines>=4,<5",
    "packaging>=24.2,<26", "draccus==0.10.0", "gymnasium>=1.1.1,<2", "deepdiff>=7.0.1,<9", "termcolor>=2.4",
    "imageio>=2.34", "opencv-python-headless>=4.9,<4.13", "accelerate>=1.10,<2", "pillow", "setuptools<81",
]  # fmt: skip
WITHOUT_DEPENDENCIES = ["lerobot==0.4.4", "torchcodec==0.13.0"]

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


def ensure() -> None:
    """Builds the environment if it is not there or not whole."""
    if PYTHON.exists() and _works():
        return
    print(f"building {PLACE.relative_to(ROOT)} (some minutes, once)", file=sys.stderr)
    if shutil.which("ffmpeg") is None:
        if os.geteuid() != 0:
            raise SystemExit("ffmpeg is missing (its libraries decode LeRobot's videos): sudo apt-get install ffmpeg")
        subprocess.run("apt-get update -qq && apt-get install -y -qq ffmpeg", shell=True, check=True)
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True)
    for arguments in (TORCH, WITH_DEPENDENCIES, ["--no-deps", *WITHOUT_DEPENDENCIES]):
        subprocess.run([str(PYTHON), "-m", "pip", "install", "--quiet", *arguments], check=True)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([str(PYTHON), "-c", code], text=True).strip())
    (packages / "torchvision" / "transforms").mkdir(parents=True, exist_ok=True)
    (packages / "torchvision" / "__init__.py").write_text("")
    (packages / "torchvision" / "transforms" / "__init__.py").write_text(VISION)
    if not _works():
        raise SystemExit("LeRobot 0.4.4 does not start in its environment: delete .venvs/lerobot and try again")


def _works() -> bool:
    code = "import torchcodec.decoders, lerobot.datasets.lerobot_dataset"
    return subprocess.run([str(PYTHON), "-c", code], capture_output=True).returncode == 0


def call(code: str, *arguments: str) -> dict[str, Any]:
    """Runs code in that environment; its last line of output is JSON."""
    done = subprocess.run([str(PYTHON), "-c", code, *arguments], capture_output=True, text=True, env=quiet())
    if done.returncode:
        raise SystemExit(f"LeRobot failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def quiet() -> dict[str, str]:
    """Environment variables: no network, one thread, no chatter."""
    return os.environ | {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "SVT_LOG": "1",
    }
