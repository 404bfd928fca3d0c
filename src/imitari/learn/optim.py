"""Optimiser and schedule: settings, and their construction for a learner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from imitari.core.errors import UserError
from imitari.learn.learner import Learner

Schedule = Literal["constant", "cosine", "tri_stage"]


@dataclass(frozen=True)
class Optim:
    """AdamW with a schedule, clipping and an average of the weights.

    Attributes:
        lr: peak learning rate.
        weight_decay: decoupled (Loshchilov & Hutter 2019); not applied to vectors (biases, gains).
        schedule: "constant", "cosine" down to zero at the last step, or "tri_stage" (Park et al. 2019): up from a tenth
            in 2 % of the steps, 8 % at the peak, then exponentially down to a millionth.
        warmup: steps of linear increase from zero.
        clip: bound on the norm of the gradient; 0: none.
        ema: decay of the exponential moving average of the weights that is kept as the result; 0: none.
        betas: of Adam.
        parts: prefixes of parameters' names: the gradient of each part is bounded by itself.
        part_clip: bound on the norm of the gradient of each part; 0: none.
        steady: prefixes of parameters whose rate stays at its peak after the warm-up, whatever the schedule.
    """

    lr: float = 1e-3
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    warmup: int = 0
    clip: float = 0.0
    ema: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    parts: tuple[str, ...] = ()
    part_clip: float = 0.0
    steady: tuple[str, ...] = ()

    def factor(self, step: int, steps: int) -> float:
        """Share of the peak rate at `step` (from 0) of `steps`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "cosine":
            done = (step - self.warmup) / max(1, steps - self.warmup)
            return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        if self.schedule == "tri_stage":
            done = step / max(1, steps)
            return min(1.0, 0.1 + 0.9 * done / 0.02) if done < 0.1 else 1e-6 ** ((done - 0.1) / 0.9)
        raise UserError(f"schedule '{self.schedule}' is unknown: choose constant, cosine or tri_stage")

    def build(self, learner: Learner) -> FusedAdamW:
        """AdamW over the trainable parameters; `group["scale"]` holds each group's factor on the rate."""
        groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
        bounded: dict[str, list[nn.Parameter]] = {}
        rates = learner.rates()
        for name, parameter in learner.named_parameters():
            if not parameter.requires_grad:
                continue
            scale = next((rate for prefix, rate in rates.items() if name.startswith(prefix)), 1.0)
            decay = self.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((scale, decay, name.startswith(self.steady)), []).append(parameter)
            part = next((prefix for prefix in self.parts if name.startswith(prefix)), None)
            if self.part_clip and part is not None:
                bounded.setdefault(part, []).append(parameter)
        entries = [
            {"params": parameters, "scale": scale, "weight_decay": decay, "steady": steady}
            for (scale, decay, steady), parameters in groups.items()
        ]
        optimiser = FusedAdamW(entries, lr=self.lr, betas=self.betas, fused=True)
        optimiser.bounded = [(parameters, self.part_clip) for parameters in bounded.values()]
        return optimiser

    def set_rate(self, optimiser: torch.optim.Optimizer, step: int, steps: int) -> float:
        """Sets the rate of `step`; returns the unscaled one."""
        rate = self.lr * self.factor(step, steps)
        steady = self.lr * min(1.0, (step + 1) / max(1, self.warmup))
        for group in optimiser.param_groups:
            group["lr"] = (steady if group["steady"] else rate) * group["scale"]
        return rate


class FusedAdamW(torch.optim.AdamW):
    """AdamW whose `descend` is one kernel a group and nothing else.

    The numbers are those of `step`, whose hooks and checks cost as much as the kernels where networks are small.

    Attributes:
        bounded: parts of the parameters and the bound on the norm of each part's gradient.
    """

    bounded: Sequence[tuple[list[nn.Parameter], float]] = ()

    @torch.no_grad()
    def descend(self) -> None:
        """One step for every parameter that has a gradient."""
        for parameters, bound in self.bounded:
            nn.utils.clip_grad_norm_(parameters, bound, foreach=True)
        for group in self.param_groups:
            moving = [value for value in group["params"] if value.grad is not None]
            if not moving:
                continue
            states = [self.state[value] or self._fresh(value) for value in moving]
            clocks = [state["step"] for state in states]
            torch._foreach_add_(clocks, 1.0)  # pyright: ignore[reportPrivateUsage]
            torch._fused_adamw_(  # pyright: ignore[reportPrivateUsage]
                moving,
                [value.grad for value in moving],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                clocks,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores a saved state, each average laid out in memory as its parameter is.

        The fused kernel goes through memory and not through indices, and files hold rows in order: the averages of
        channel-last weights would be taken for those of other weights.
        """
        super().load_state_dict(state_dict)
        for value, state in self.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                if name in state and state[name].stride() != value.stride():
                    state[name] = torch.empty_like(value).copy_(state[name])

    def _fresh(self, value: Tensor) -> dict[str, Tensor]:
        state = {
            "step": torch.zeros((), device=value.device),
            "exp_avg": torch.zeros_like(value),
            "exp_avg_sq": torch.zeros_like(value),
        }
        self.state[value].update(state)
        return state


class Average:
    """Exponential moving average of a learner's parameters (warm-started: decay grows as (1 + n) / (10 + n))."""

    def __init__(self, learner: nn.Module, decay: float) -> None:
        self.decay = decay
        self.names = [name for name, parameter in learner.named_parameters() if parameter.requires_grad]
        self._live = [parameter for parameter in learner.parameters() if parameter.requires_grad]
        self.values = [parameter.detach().clone() for parameter in self._live]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [value.detach() for value in self._live], 1 - decay)  # pyright: ignore[reportPrivateUsage]

    @torch.no_grad()
    def install(self) -> None:
        """Puts the averages in the place of the live weights."""
        for live, value in zip(self._live, self.values, strict=True):
            live.copy_(value)
