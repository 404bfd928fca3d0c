"""Which arithmetic pays on this device: bfloat16 where the hardware multiplies it natively.

fp32: float32 throughout. bf32: numbers are float32 and only the factors of matrix products are rounded to bfloat16,
what TPUs do by default; nothing is cast back and forth, so that it pays in small networks. bf16: networks run in
bfloat16, which saves memory traffic besides, so that it pays in large ones. Weights, losses and optimiser are always
float32.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import nn

from imitari.core.errors import UserError

Arithmetic = Literal["fp32", "bf32", "bf16"]
Precision = Literal["auto", "fp32", "bf32", "bf16"]
# Parameters from which each was measured to pay on a processor: two layers of 256, two of 1024.
WORTHWHILE = {"bf32": 50_000, "bf16": 1_000_000}


@cache
def native_bf16(kind: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported()
    info = Path("/proc/cpuinfo")
    return kind == "cpu" and info.exists() and any(flag in info.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def choose(precision: Precision, learner: nn.Module, device: torch.device) -> Arithmetic:
    """Resolves "auto" from device and network size, never from a timing: it must not vary between runs."""
    if precision not in get_args(Precision):
        raise UserError(f"precision '{precision}' is unknown: choose {', '.join(get_args(Precision))}")
    if precision != "auto":
        return precision
    if device.type == "cpu" and native_bf16("cpu") and any(isinstance(part, nn.Conv2d) for part in learner.modules()):
        return "bf16"  # convolutions pay at any size: 1.1 to 2.5 times the speed of bf32 in eight methods that see
    count = sum(parameter.numel() for parameter in learner.parameters())
    if not native_bf16(device.type) or count < WORTHWHILE["bf32"]:
        return "fp32"
    if count >= WORTHWHILE["bf16"]:
        return "bf16"
    return "bf32" if device.type == "cpu" else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which networks run; losses and optimiser stay in float32."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return products(precision, device)


def quick(device: torch.device) -> AbstractContextManager[object]:
    """The context for networks of which only the largest output is asked: bfloat16 where a processor multiplies it."""
    return autocast("bf16" if device.type == "cpu" and native_bf16("cpu") else "fp32", device)


def products(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which gradients go back."""
    return _rounded_products() if precision == "bf32" and device.type == "cpu" else nullcontext()


@contextmanager
def _rounded_products() -> Generator[None]:
    part = torch.backends.mkldnn.matmul  # pyright: ignore[reportAttributeAccessIssue]
    before = part.fp32_precision
    part.fp32_precision = "bf16"
    try:
        yield
    finally:
        part.fp32_precision = before
