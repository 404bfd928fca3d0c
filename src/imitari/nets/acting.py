"""What networks may keep of their weights while an agent acts, such as weights laid out for products of few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

Value = TypeVar("Value")

# Laying weights out anew gains where they are read from memory (from about this many on) and where rows are few.
LEAST_WEIGHTS, MOST_ROWS = 100_000, 128
# Products (weights times rows) from which rounding what is seen, and casting what comes out, costs less than is gained.
LEAST_PRODUCTS = 10_000_000
# Numbers up to which the plain GELU is faster than oneDNN's, which takes 5 us to begin.
MOST_BENT = 20_000

_gelu_ = cast(Callable[[Tensor], Tensor], torch._C._nn.gelu_)  # pyright: ignore


class Fixed(nn.Module):
    """A module that may keep values made of its weights after `fix`, when these do not change.

    Training mode, a call that wants gradients and a move to another device or type end that. Weights written in place
    (by `load_state_dict`) are noticed by their version. Optimisers that write without raising it need gradients first.
    Another parameter in a weight's place is not noticed.
    """

    _count: int = 0
    _half: bool = False
    _kept: tuple[list[Tensor], list[int], Any] | None = None

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

    def keep(self, make: Callable[[], Value], weights: Callable[[], Iterable[Tensor]] | None = None) -> Value:
        """What `make` gave when it was last called, as long as the weights that it is made of are as they were then.

        Args:
            make: the value.
            weights: lists them when the value is made: to walk through modules takes longer than to look at their
                weights. None: all of this module. `list` lists none, for what holds the weights themselves.
        """
        if self._kept is not None:
            made_of, versions, value = self._kept
            if versions == _versions(made_of):
                return cast(Value, value)
        made_of = list(weights() if weights else self.parameters())
        self._kept = (made_of, _versions(made_of), make())
        return cast(Value, self._kept[2])

    def train(self, mode: bool = True) -> Any:
        self.release()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self.release()
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        # A copy may be trained, and weights that were laid out cannot be copied.
        return {**self.__dict__, "_count": 0, "_kept": None}


def _versions(weights: list[Tensor]) -> list[int]:
    return [weight._version for weight in weights]  # pyright: ignore[reportPrivateUsage]


def fix(module: nn.Module, count: int, half: bool = False) -> None:
    """Tells the parts of a module in evaluation mode that they will act on `count` samples, with weights that stay.

    Args:
        module: whose parts.
        count: samples.
        half: products of large layers may be taken in bfloat16.
    """
    if module.training or any(weight.is_inference() for weight in module.parameters()):
        return
    for part in module.modules():
        if isinstance(part, Fixed):
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
            if self._half and rows <= MOST_ROWS and rows * self.weight.numel() >= LEAST_PRODUCTS and self.large:
                return self._in_half(input)
            if 1 < rows <= MOST_ROWS and self.large:
                made_for, packed = self.keep(lambda: (rows, _laid_out(self.weight, rows)))
                if made_for == rows:
                    return torch.ops.mkl._mkl_linear(input, packed, self.weight, self.bias, rows)
        return functional.linear(input, self.weight, self.bias)

    def _in_half(self, input: Tensor) -> Tensor:
        own = list(self.parameters(recurse=False))  # the weight, and the bias where there is one

        def brief() -> tuple[Tensor, Tensor | None]:
            weight, *bias = (one.bfloat16() for one in own)
            return torch.ops.mkldnn._reorder_linear_weight(weight, None), bias[0] if bias else None

        return torch.ops.mkldnn._linear_pointwise(input.bfloat16(), *self.keep(brief), "none", [], "").float()

    @property
    def large(self) -> bool:
        """Whether other layouts or types of its weights may gain."""
        weight = self.weight
        return (
            weight.device.type == "cpu"
            and weight.dtype == torch.float32
            and weight.numel() >= LEAST_WEIGHTS
            and torch.backends.mkl.is_available()
        )


def _laid_out(weight: Tensor, rows: int) -> Tensor:
    return torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)


def joined(*layers: Linear) -> Callable[[Tensor], Tensor] | None:
    """Small linear layers of the same input as one, their outputs side by side; None where one of them is large. It is
    made of copies of their weights."""
    if any(layer.large for layer in layers):
        return None
    weight, bias = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
    return partial(functional.linear, weight=weight, bias=bias)


def direct(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """A small linear layer or a norm as a function that holds its weights, as they are when it is called. Other modules
    stay as they are. For modules that are fixed: at one sample a module's call takes as long as its product."""
    if isinstance(module, nn.LayerNorm):
        weights = {"weight": module.weight, "bias": module.bias, "eps": module.eps}
        return partial(torch.layer_norm, normalized_shape=module.normalized_shape, **weights)
    if isinstance(module, Linear) and not module.large:
        return partial(functional.linear, weight=module.weight, bias=module.bias)
    return module


def gelu_(x: Tensor) -> Tensor:
    """GELU of (..., N, W) in place, where nothing needs gradients."""
    _gelu_(x.mT if x.numel() <= MOST_BENT else x)  # oneDNN's is for tensors that lie in order
    return x
