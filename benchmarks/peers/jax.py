"""JAX 0.10.2 with Optax on the processor, for loops of our own writing in the compiled single-file style."""

from __future__ import annotations

from benchmarks.peers._environment import Environment

JAX = Environment(
    name="jax",
    version="0.10.2",
    requirements=(("jax==0.10.2", "optax==0.2.8", "numpy<2.4"),),
    check="import jax, optax; assert jax.devices()[0].platform == 'cpu'",
)
