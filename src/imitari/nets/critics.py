"""Value functions and Gaussian policies. Several critics are one network with stacked weights, not several networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.spec import Feature, Spec
from imitari.nets.encoder import ObsEncoder
from imitari.nets.heads.actions import Choice, ChoiceHead
from imitari.nets.mlp import ACTIVATIONS, Activation, mlp

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
CACHE = 3 << 18  # bytes between two layers that are still quick to reach again


Step = Callable[[Tensor], Tensor]


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.addmm(bias, x, weight)


def _quick(layer: nn.Module) -> Step:
    """In place where what comes before does not need its own output in the backward pass."""
    return functional.relu_ if isinstance(layer, nn.ReLU) else layer


def _chosen(stack: Tensor, only: Tensor | None) -> Tensor:
    return stack if only is None else stack[only]


class StackedLinear(nn.Module):
    """E linear layers as one batched product, each with the initial weights that `nn.Linear` draws.

    Args:
        count: layers E.
        inputs, outputs: widths.
    """

    def __init__(self, count: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.count = count
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(count, inputs, outputs).uniform_(-bound, bound))
        # Flat, so that the optimiser takes it for what it is: biases, which are not decayed.
        self.bias = nn.Parameter(torch.empty(count * outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor, only: Tensor | None = None) -> Tensor:
        """(B, inputs), seen by all layers, or (E, B, inputs), to (E, B, outputs); of the layers `only`, if given."""
        weight, bias = _chosen(self.weight, only), _chosen(self.bias.view(self.count, 1, -1), only)
        if x.ndim == 2:
            x = x.expand(len(weight), *x.shape)
        return torch.baddbmm(bias, x, weight)

    def each(self, only: Tensor | None = None) -> list[Step]:
        """The layers one by one: (B, inputs) to (B, outputs)."""
        weights, biases = _chosen(self.weight, only), _chosen(self.bias.view(self.count, -1), only)
        pairs = zip(weights.unbind(), biases.unbind(), strict=True)
        return [partial(_affine, weight=weight, bias=bias) for weight, bias in pairs]


class StackedNorm(nn.Module):
    """Layer normalisation (Ba et al. 2016) of (E, B, width) with gain and shift of each network's own."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.count, self.width = count, width
        self.gain = nn.Parameter(torch.ones(count * width))
        self.shift = nn.Parameter(torch.zeros(count * width))

    def forward(self, x: Tensor, only: Tensor | None = None) -> Tensor:
        gain, shift = (_chosen(value.view(self.count, 1, self.width), only) for value in (self.gain, self.shift))
        return torch.addcmul(shift, functional.layer_norm(x, (self.width,)), gain)

    def each(self, only: Tensor | None = None) -> list[Step]:
        """The norms one by one: (B, width) to (B, width)."""
        gains, shifts = (_chosen(value.view(self.count, self.width), only) for value in (self.gain, self.shift))
        norm = partial(functional.layer_norm, normalized_shape=(self.width,))
        return [partial(norm, weight=g, bias=s) for g, s in zip(gains.unbind(), shifts.unbind(), strict=True)]


class Stacked(nn.Sequential):
    """E networks of one shape: (B, inputs), seen by all, to (E, B, outputs).

    Together they are few large operations, which pays on a GPU and while what is between the layers fits the
    processor's cache; beyond that they run one by one, with the same weights.
    """

    def __init__(self, count: int, widest: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.count, self.widest = count, widest

    def forward(self, input: Tensor, only: Tensor | None = None) -> Tensor:
        """With `only`, numbers (N,), of those networks alone: (N, B, outputs)."""
        count = self.count if only is None else len(only)
        size = count * len(input) * self.widest * input.element_size()
        if input.device.type == "cpu" and size > CACHE:
            return self._one_by_one(input, count, only)
        x = input
        for layer in self:
            x = layer(x, only) if isinstance(layer, (StackedLinear, StackedNorm)) else layer(x)
        return x

    def _one_by_one(self, input: Tensor, count: int, only: Tensor | None) -> Tensor:
        shared = (StackedLinear, StackedNorm)
        steps = [layer.each(only) if isinstance(layer, shared) else [_quick(layer)] * count for layer in self]
        found: list[Tensor] = []
        for own in zip(*steps, strict=True):
            x = input
            for step in own:
                x = step(x)
            found.append(x)
        return torch.stack(found)


def stacked_mlp(
    count: int,
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    *,
    activation: Activation = "relu",
    norm: bool = False,
    dropout: float = 0.0,
) -> Stacked:
    """`count` perceptrons of one shape: (B, inputs) to (count, B, outputs). Arguments as of `nets.mlp.mlp`."""
    layers: list[nn.Module] = []
    width = inputs
    for size in hidden:
        layers.append(StackedLinear(count, width, size))
        if norm:
            layers.append(StackedNorm(count, size))
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = size
    layers.append(StackedLinear(count, width, outputs))
    return Stacked(count, max(hidden, default=outputs), *layers)


def action_width(action: Feature) -> int:
    """Scalars that `flat_action` gives."""
    return action.choices if action.kind == "choice" else action.size


def flat_action(value: Tensor, action: Feature) -> Tensor:
    """Actions (..., *shape) as vectors (..., width): numbers as they are, a choice as one-hot."""
    if action.kind == "choice":
        return functional.one_hot(value.long().squeeze(-1), action.choices).float()
    return value.flatten(value.ndim - len(action.shape))


class Critics(nn.Module):
    """E action values Q_e(s, a) in one batched computation.

    Args:
        spec: observations and action.
        hidden: widths of the layers.
        count: critics E; 2 are twin critics (Fujimoto et al. 2018).
        norm: LayerNorm before each activation.
        dropout: after each activation.
    """

    def __init__(
        self, spec: Spec, hidden: Sequence[int], count: int = 2, *, norm: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.action, self.count = spec.action, count
        self.encoder = ObsEncoder(spec)
        inputs = self.encoder.width + action_width(spec.action)
        self.body = stacked_mlp(count, inputs, hidden, 1, norm=norm, dropout=dropout)

    def forward(self, obs: dict[str, Tensor], action: Tensor, only: Tensor | None = None) -> Tensor:
        """Observations (B, ...) and actions (B, *shape) to (E, B); actions (B, N, *shape), N a state, to (E, B, N).

        With `only`, numbers of critics, of those alone.
        """
        return self.of_features(self.encoder(obs), flat_action(action, self.action), only)

    def of_features(self, features: Tensor, flat: Tensor, only: Tensor | None = None) -> Tensor:
        """As `forward`, of encoded observations (B, F) and flat actions (B, A) or (B, N, A)."""
        if flat.ndim == 2:
            return self.body(torch.cat([features, flat], -1), only).squeeze(-1)
        features = features.unsqueeze(1).expand(-1, flat.shape[1], -1)
        value = self.body(torch.cat([features, flat], -1).flatten(0, 1), only)
        return value.view(-1, *flat.shape[:2])


class StateValue(nn.Module):
    """V(s): observations (B, ...) to (B,)."""

    def __init__(self, spec: Spec, hidden: Sequence[int], *, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = ObsEncoder(spec)
        self.body = mlp(self.encoder.width, hidden, 1, norm=norm, dropout=dropout)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        return self.body(self.encoder(obs)).squeeze(-1)


@dataclass
class Gaussian:
    """A diagonal Gaussian over actions (B, A).

    Attributes:
        mean: (B, A).
        log_scale: (A,) or (B, A), natural logarithm of the deviation.
    """

    mean: Tensor
    log_scale: Tensor

    def loss(self, target: Tensor) -> Tensor:
        """-log N(target), (B,)."""
        error = (target - self.mean.float()) * torch.exp(-self.log_scale)
        return (0.5 * error**2 + self.log_scale + HALF_LOG_TAU).sum(-1)

    def sample(self) -> Tensor:
        """With gradient through the reparameterisation."""
        return self.mean + self.log_scale.exp() * torch.randn_like(self.mean)

    @property
    def mode(self) -> Tensor:
        return self.mean


@dataclass
class TanhGaussian:
    """tanh of a diagonal Gaussian (Haarnoja et al. 2018, appendix C): actions within (-1, 1).

    Attributes:
        mean, log_scale: before tanh, (B, A).
    """

    mean: Tensor
    log_scale: Tensor

    def draw(self) -> tuple[Tensor, Tensor]:
        """An action (B, A), with gradient, and its log-density (B,)."""
        inner = Gaussian(self.mean.float(), self.log_scale)
        raw = inner.sample()
        return torch.tanh(raw), -inner.loss(raw) - _log_slope(raw)

    def loss(self, target: Tensor) -> Tensor:
        """-log density of an action, (B,). Actions at the border are moved inside by 1e-6, where it is finite."""
        raw = torch.atanh(target.clamp(-1 + 1e-6, 1 - 1e-6))
        return Gaussian(self.mean.float(), self.log_scale).loss(raw) + _log_slope(raw)

    def sample(self) -> Tensor:
        return self.draw()[0]

    @property
    def mode(self) -> Tensor:
        """tanh of the mean: the median of each dimension."""
        return torch.tanh(self.mean)


def _log_slope(raw: Tensor) -> Tensor:
    """Sum over dimensions of log(1 - tanh(raw)^2), in a form that does not underflow."""
    return (2 * (math.log(2) - raw - functional.softplus(-2 * raw))).sum(-1)


class GaussianActor(nn.Module):
    """A Gaussian around a mean within (-1, 1), with one deviation a dimension that does not depend on the state.

    Choices get a categorical distribution instead.

    Args:
        spec: observations and action.
        hidden: widths of the layers.
        log_scale: bounds on the logarithm of the deviation; it begins at 0 (or at the nearer bound).
    """

    def __init__(
        self,
        spec: Spec,
        hidden: Sequence[int],
        *,
        norm: bool = False,
        dropout: float = 0.0,
        log_scale: tuple[float, float] = (-5.0, 2.0),
    ) -> None:
        super().__init__()
        self.encoder = ObsEncoder(spec)
        self.bounds = log_scale
        self.discrete = spec.action.kind == "choice"
        width = hidden[-1] if self.discrete else spec.action.size
        self.body = mlp(self.encoder.width, hidden[:-1] if self.discrete else hidden, width, norm=norm, dropout=dropout)
        if self.discrete:
            self.head = ChoiceHead(width, spec.action.choices)
        else:
            self.log_scale = nn.Parameter(torch.zeros(width).clamp(*log_scale))

    def forward(self, obs: dict[str, Tensor]) -> Gaussian | Choice:
        out = self.body(self.encoder(obs))
        if self.discrete:
            return self.head(out.relu())
        return Gaussian(torch.tanh(out), self.log_scale.clamp(*self.bounds))


class TanhGaussianActor(nn.Module):
    """The policy of soft actor-critic: mean and deviation depend on the state, actions are squashed.

    Args:
        spec: observations and action (numbers).
        hidden: widths of the layers.
        log_scale: bounds on the logarithm of the deviation.
    """

    def __init__(
        self,
        spec: Spec,
        hidden: Sequence[int],
        *,
        norm: bool = False,
        dropout: float = 0.0,
        log_scale: tuple[float, float] = (-5.0, 2.0),
    ) -> None:
        super().__init__()
        self.encoder = ObsEncoder(spec)
        self.bounds = log_scale
        self.body = mlp(self.encoder.width, hidden, 2 * spec.action.size, norm=norm, dropout=dropout)

    def forward(self, obs: dict[str, Tensor]) -> TanhGaussian:
        mean, log_scale = self.body(self.encoder(obs)).float().chunk(2, -1)
        return TanhGaussian(mean, log_scale.clamp(*self.bounds))
