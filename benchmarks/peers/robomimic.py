"""robomimic 0.3.0, the newest release in the package index: behaviour cloning from HDF5, with and without memory."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers._environment import Environment


def _vision(packages: Path) -> None:
    """torchvision has no build for a CPU torch of this version. Its plain Python parts, which robomimic imports for
    cameras, load once nothing describes the compiled operators that are not there."""
    (packages / "torchvision" / "_meta_registrations.py").write_text("")


ROBOMIMIC = Environment(
    name="robomimic",
    version="0.3.0",
    requirements=(
        ("torch==2.13.0", "numpy<2"),
        # Its requirements by hand: they bring a package that is compiled against EGL.
        (
            "numpy<2", "h5py", "psutil", "tqdm", "termcolor", "tensorboard", "tensorboardX", "imageio", "matplotlib",
            "pillow", "setuptools<81", "six",
        ),
        ("--no-deps", "robomimic==0.3.0", "torchvision==0.28.0"),
    ),
    check="import robomimic.algo, robomimic.utils.dataset, robomimic.utils.train_utils",
    finish=_vision,
)  # fmt: skip
