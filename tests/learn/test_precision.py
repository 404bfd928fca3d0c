"""Which arithmetic is chosen, and what rounding the factors of products does and leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from imitari.core.errors import UserError
from imitari.learn import precision
from imitari.learn.precision import autocast, choose

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("width", "native", "expected"),
    [(20, True, "fp32"), (400, True, "bf32"), (1200, True, "bf16"), (1200, False, "fp32")],
)
def test_larger_networks_get_shorter_products(
    monkeypatch: pytest.MonkeyPatch, width: int, native: bool, expected: str
) -> None:
    monkeypatch.setattr(precision, "native_bf16", lambda kind: native)
    assert choose("auto", nn.Linear(width, width), CPU) == expected
    assert choose("fp32", nn.Linear(width, width), CPU) == "fp32"
    with pytest.raises(UserError, match="choose auto, fp32, bf32, bf16"):
        choose("fp8", nn.Linear(width, width), CPU)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_small_convolutions_get_short_numbers(monkeypatch: pytest.MonkeyPatch, native: bool, expected: str) -> None:
    seeing = nn.Sequential(nn.Linear(3, 3), nn.Conv2d(3, 3, 3))
    monkeypatch.setattr(precision, "native_bf16", lambda kind: native)
    assert choose("auto", seeing, CPU) == expected
    assert choose("fp32", seeing, CPU) == "fp32"


@pytest.mark.skipif(not precision.native_bf16("cpu"), reason="this processor does not multiply bfloat16")
def test_only_the_factors_are_rounded() -> None:
    """A product in bf32 is that of factors rounded to bfloat16, gradients included; outside the context nothing is."""
    torch.manual_seed(0)
    left, right = torch.randn(64, 256), torch.randn(256, 128, requires_grad=True)
    with autocast("bf32", CPU):
        product = left @ right
        product.backward(torch.ones_like(product))
    assert product.dtype == torch.float32
    short = left.bfloat16().float()
    torch.testing.assert_close(product, short @ right.detach().bfloat16().float(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(right.grad, short.t() @ torch.ones(64, 128), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(left @ right, left.double() @ right.double(), check_dtype=False, rtol=1e-4, atol=1e-4)
