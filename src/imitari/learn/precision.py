"""Which arithmetic pays on this device: bfloat16 where the hardware multiplies it natively and the network is large."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from imitari.core.errors import UserError

Precision = Literal["auto", "fp32", "bf16"]
# Below this many parameters a perceptron's casts may cost what its faster products save. A cautious bound: recurrent
# and attention networks of 0.2 and 0.75 million parameters were measured to gain already.
WORTHWHILE = 1_000_000


@cache
def native_bf16(kind: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported()
    info = Path("/proc/cpuinfo")
    return kind == "cpu" and info.exists() and any(flag in info.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def choose(precision: Precision, learner: nn.Module, device: torch.device) -> Literal["fp32", "bf16"]:
    """Resolves "auto" from device and network size, never from a timing: it must not vary between runs."""
    if precision not in ("auto", "fp32", "bf16"):
        raise UserError(f"precision '{precision}' is unknown: choose auto, fp32 or bf16")
    if precision != "auto":
        return precision
    large = sum(parameter.numel() for parameter in learner.parameters()) >= WORTHWHILE
    return "bf16" if large and native_bf16(device.type) else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which networks run; losses and optimiser stay in float32."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
