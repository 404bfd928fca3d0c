"""Benchmarks beside peers: `python -m benchmarks --help`."""
