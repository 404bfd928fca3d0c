"""imitation 1.0.1 with the Stable-Baselines3 that it asks for: behaviour cloning, soft actor-critic."""

from __future__ import annotations

from benchmarks.peers._environment import Environment

IMITATION = Environment(
    name="imitation",
    version="1.0.1",
    requirements=(
        ("torch==2.13.0", "numpy<2"),
        ("torch==2.13.0", "numpy<2", "setuptools<81", "imitation==1.0.1"),
    ),
    check="import imitation.algorithms.bc, stable_baselines3",
)
