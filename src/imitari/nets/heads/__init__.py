"""Heads: layers that give an object with loss(target), sample() and mode."""
