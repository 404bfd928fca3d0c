"""Runs a training command and ends the process right after its first gradient step: what is timed is the process.

Called as `first_step.py FUNCTION WORD ...`, where FUNCTION is the command's entry point, such as "imitari.cli:main".
"""

import importlib
import os
import sys

from torch.optim.optimizer import register_optimizer_step_post_hook


def leave(*_):
    print("first step", flush=True)
    os._exit(0)


def watch(place):
    """Ends the process after the first step of any optimiser; ours has a step of its own, without PyTorch's hooks."""
    register_optimizer_step_post_hook(leave)
    if place.startswith("imitari"):
        from imitari.learn.optim import FusedAdamW

        descend = FusedAdamW.descend
        FusedAdamW.descend = lambda self: leave(descend(self))


if __name__ == "__main__":
    place, _, name = sys.argv[1].partition(":")
    watch(place)
    sys.argv = [place, *sys.argv[2:]]
    sys.exit(getattr(importlib.import_module(place), name)())
