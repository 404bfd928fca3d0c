"""Texts: tokens and their batches, causal language models, samplers, verifiers, and what they are worth."""
