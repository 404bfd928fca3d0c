"""Devices by name."""

from __future__ import annotations

import torch

from imitari.core.errors import UserError


def device_named(name: str) -> torch.device:
    """The device "auto" (a GPU when there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        UserError: when it is unknown or not in this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise UserError(f"device '{name}' is unknown: choose auto, cpu or cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device '{name}' was asked for and this machine has no usable GPU: use --device cpu")
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise UserError(
            f"device '{name}' was asked for and this machine has {torch.cuda.device_count()} GPUs, counted from 0: "
            "choose one of them"
        )
    return torch.device(name)
