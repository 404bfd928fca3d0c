"""d3rlpy 2.8.1: offline and online reinforcement learning, behaviour cloning."""

from __future__ import annotations

from benchmarks.peers._environment import Environment

D3RLPY = Environment(
    name="d3rlpy",
    version="2.8.1",
    requirements=(("torch==2.13.0", "numpy<2.3"), ("torch==2.13.0", "numpy<2.3", "d3rlpy==2.8.1")),
    check="import d3rlpy.algos",
)
