"""What networks may keep of their weights while an agent acts, such as weights laid out for products of few rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

Value = TypeVar("Value")

# Laying weights out anew gains where they are read from memory (from about this many on) and where rows are few.
LEAST_WEIGHTS, MOST_ROWS = 100_000, 128
# Products (weights times rows) from which rounding what is seen, and casting what comes out, costs less than is gained.
LEAST_PRODUCTS = 10_000_000


class Fixed(nn.Module):
    """A module that may keep values made of its weights after `fix`, when these do not change.

    Training mode, a call that wants gradients and a move to another device or type end that. Weights written in place
    (by `load_state_dict`) are noticed by their version. Optimisers that write without raising it need gradients first.
    """

    _count: int = 0
    _half: bool = False
    _kept: tuple[tuple[int, ...], Any] | None = None

    def fix(self, count: int, half: bool = False) -> None:
        """Allows values to be kept, for acting on `count` samples, with weights in bfloat16 or not; other ones start
        anew."""
        if (self._count, self._half) != (count, half):
            self._count, self._half, self._kept = count, half, None

    def release(self) -> None:
        self._count, self._kept = 0, None

    @property
    def fixed(self) -> bool:
        """Whether `keep` may be called now."""
        if not self._count:
            return False
        if torch.is_grad_enabled():
            self.release()
        return bool(self._count) and not torch.is_autocast_enabled("cpu")

    def keep(self, make: Callable[[], Value], *weights: Tensor) -> Value:
        """What `make` gave when it was last called with these weights as they are."""
        versions = tuple([weight._version for weight in weights])  # pyright: ignore[reportPrivateUsage]
        if self._kept is None or self._kept[0] != versions:
            self._kept = (versions, make())
        return cast(Value, self._kept[1])

    def train(self, mode: bool = True) -> Any:
        self.release()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self.release()
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        # A copy may be trained, and weights that were laid out cannot be copied.
        return {**self.__dict__, "_count": 0, "_kept": None}


def fix(module: nn.Module, count: int, half: bool = False) -> None:
    """Tells the parts of a module in evaluation mode that they will act on `count` samples, with weights that stay.

    Args:
        module: whose parts.
        count: samples.
        half: products of large layers may be taken in bfloat16.
    """
    if module.training:
        return
    for part in module.modules():
        if isinstance(part, Fixed) and not any(weight.is_inference() for weight in part.parameters()):
            part.fix(count, half)


class Linear(Fixed, nn.Linear):
    """`nn.Linear`, with weights laid out for the number of rows while it is fixed.

    A product of few rows takes as long as its weights take to be read. In rows, they are read at two thirds of the
    memory's rate (7 of 12 GB/s with 4 rows of 5120 inputs), laid out for the product at nine tenths. In bfloat16 they
    are half as long, and processors that multiply it natively have no less to gain where rows are more.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self._count and self.fixed:
            rows = input.numel() // self.in_features
            if self._half and rows <= MOST_ROWS and rows * self.weight.numel() >= LEAST_PRODUCTS and self._worthwhile():
                return self._in_half(input)
            if 1 < rows <= MOST_ROWS and self._worthwhile():
                made_for, packed = self.keep(lambda: (rows, _laid_out(self.weight, rows)), self.weight)
                if made_for == rows:
                    return torch.ops.mkl._mkl_linear(input, packed, self.weight, self.bias, rows)
        return functional.linear(input, self.weight, self.bias)

    def _in_half(self, input: Tensor) -> Tensor:
        own = list(self.parameters(recurse=False))  # the weight, and the bias where there is one

        def brief() -> tuple[Tensor, Tensor | None]:
            weight, *bias = (one.bfloat16() for one in own)
            return torch.ops.mkldnn._reorder_linear_weight(weight, None), bias[0] if bias else None

        return torch.ops.mkldnn._linear_pointwise(input.bfloat16(), *self.keep(brief, *own), "none", [], "").float()

    def _worthwhile(self) -> bool:
        weight = self.weight
        return (
            weight.device.type == "cpu"
            and weight.dtype == torch.float32
            and weight.numel() >= LEAST_WEIGHTS
            and torch.backends.mkl.is_available()
        )


def _laid_out(weight: Tensor, rows: int) -> Tensor:
    return torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)
