"""A transformer that denoises action chunks with experts chosen by the noise level (MoDE, Reuss et al. 2025).

Noise levels that are known before acting choose the same experts for every sample: these are then fused into one
ordinary network for each layer and level, and neither routers nor the other experts are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.nets.acting import Fixed, Linear
from imitari.nets.denoiser import Along
from imitari.nets.norms import RMSNorm
from imitari.nets.routing import Routed, chosen_experts
from imitari.nets.transformer import Attention

Router = Literal["sigma", "token", "dense"]
Noise = Literal["additive", "adaln", "none"]

BLOCK = 64  # tokens


class SwishGLU(nn.Module):
    """W_out((W_a x) * swish(W_b x)) (Shazeer 2020): (..., width) to (..., width).

    Args:
        inner: rows of W_a and of W_b, which lie in `inlet` one after the other.
    """

    def __init__(self, width: int, inner: int, dropout: float = 0.0, bias: bool = False) -> None:
        super().__init__()
        self.inner, self.bias = inner, bias
        self.inlet = Linear(width, 2 * inner, bias=bias)
        self.outlet = Linear(inner, width, bias=bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        plain, bent = self.inlet(x).split(self.inner, -1)
        mixed = plain * functional.silu(bent)
        return self.outlet(self.drop(mixed) if self.training else mixed)


def fused(parts: Sequence[SwishGLU], weights: Sequence[float], count: int = 0) -> SwishGLU:
    """One network that gives the sum of `weights[e] * parts[e](x)`.

    The weights multiply what comes out, as SwishGLU is not homogeneous.

    Args:
        count: samples that it will act on (see `nets.acting.fix`).
    """
    with torch.inference_mode(False), torch.no_grad():
        inner, bias = sum(part.inner for part in parts), parts[0].bias
        with torch.device("meta"):  # nothing is drawn
            whole = SwishGLU(parts[0].inlet.in_features, inner, bias=bias)
        halves = [part.inlet.weight.split(part.inner) for part in parts]
        tensors = {
            "inlet.weight": torch.cat([half[number] for number in (0, 1) for half in halves]),
            "outlet.weight": torch.cat(
                [by * part.outlet.weight for part, by in zip(parts, weights, strict=True)], dim=1
            ),
        }
        if bias:
            bounds = [part.inlet.bias.split(part.inner) for part in parts]
            tensors["inlet.bias"] = torch.cat([half[number] for number in (0, 1) for half in bounds])
            shifts = [by * part.outlet.bias for part, by in zip(parts, weights, strict=True)]
            tensors["outlet.bias"] = torch.stack(shifts).sum(0)
        whole.load_state_dict(tensors, assign=True)
        whole.requires_grad_(False).eval()
    for layer in (whole.inlet, whole.outlet):
        layer.fix(count)
    return whole


class Mixture(nn.Module):
    """N experts of which every token visits k; in training those are drawn, afterwards they are the likeliest.

    Args:
        inner: of each expert.
        count, active: N and k.
        by: what the router sees: "sigma", the embedded noise level alone, or "token", the token.
        shared: one further expert that every token visits with weight 1.
    """

    def __init__(
        self, width: int, inner: int, count: int, active: int, by: Router, shared: bool, dropout: float, bias: bool
    ) -> None:
        super().__init__()
        self.active, self.by = active, by
        self.router = nn.Sequential(Linear(width, 2 * width), nn.GELU(), Linear(2 * width, count))
        self.experts = nn.ModuleList(SwishGLU(width, inner, dropout, bias) for _ in range(count))
        self.shared = SwishGLU(width, inner, dropout, bias) if shared else None

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Routed]:
        """Tokens (B, M, W) and embedded noise levels (B, 1, W) to tokens and where they went."""
        flat = x.flatten(0, 1)
        logits = self.router(noise[:, 0] if self.by == "sigma" else flat).float()
        chances = functional.softmax(logits, -1).repeat_interleave(len(flat) // len(logits), 0)
        routed = Routed(logits, *chosen_experts(chances, self.active, self.training))
        mixed = self._sent(flat, routed.chosen, routed.weight.to(x.dtype)).view_as(x)
        return (mixed if self.shared is None else mixed + self.shared(x)), routed

    def _sent(self, x: Tensor, chosen: Tensor, weight: Tensor) -> Tensor:
        """(T, W) to the weighted sum over the experts of each token, which see their tokens side by side."""
        flat = chosen.flatten()
        counts = torch.bincount(flat, minlength=len(self.experts))
        # Sizes that vary from step to step are dear where kernels are made for each size: they are rounded up.
        rounded = (counts + BLOCK - 1) // BLOCK * BLOCK if self.training else counts
        order = flat.argsort(stable=True)
        place = torch.arange(len(flat), device=x.device)
        place += ((rounded - counts).cumsum(0) - (rounded - counts)).repeat_interleave(counts)
        sizes: list[int] = rounded.tolist()
        token = torch.zeros(sum(sizes), dtype=torch.long, device=x.device).scatter_(0, place, order // self.active)
        parts = x.index_select(0, token).split(sizes)
        out = torch.cat([expert(part) for expert, part in zip(self.experts, parts, strict=True)])
        back = torch.empty_like(order).scatter_(0, order, place)
        return (out.index_select(0, back).unflatten(0, (-1, self.active)) * weight.unsqueeze(-1)).sum(1)

    def routed(self, noise: Tensor) -> Routed:
        """Where a token of each of the embedded noise levels (S, W) goes when acting."""
        logits = self.router(noise).float()
        return Routed(logits, *chosen_experts(functional.softmax(logits, -1), self.active, draw=False))

    def fused_at(self, noise: Tensor, count: int) -> list[SwishGLU]:
        """For each embedded noise level (S, W) the network that does what this layer does there when acting.

        Levels with the same experts share what reads the tokens, two thirds of the weights.
        """
        always = [] if self.shared is None else [self.shared]
        made, inlets = list[SwishGLU](), dict[tuple[int, ...], Linear]()
        for weights in self.routed(noise).weights().tolist():
            chosen = tuple(number for number, weight in enumerate(weights) if weight > 0)
            parts = [*(cast(SwishGLU, self.experts[number]) for number in chosen), *always]
            made.append(fused(parts, [*(weights[number] for number in chosen), *(1.0 for _ in always)], count))
            made[-1].inlet = inlets.setdefault(chosen, made[-1].inlet)
        return made


class ExpertSettings(Protocol):
    """What an `ExpertTransformer` is made from.

    Attributes:
        width, layers, heads: of the transformer.
        inner: hidden width of each expert; with the router "dense" of the one network that all tokens pass.
        experts, active, router, shared, bias: see `Mixture`.
        noise: how the level enters the attention: added to what it reads, by shift, scale and gate, or not.
        noise_token: whether it is also the first token.
        residual: what the experts' output is added to: the norm of the tokens, or the tokens.
        attention_dropout, dropout, expert_dropout: of attention weights, of each part's output, inside experts.
        initial: deviation of the truncated normal that weights begin with.
    """

    @property
    def width(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def inner(self) -> int: ...
    @property
    def experts(self) -> int: ...
    @property
    def active(self) -> int: ...
    @property
    def router(self) -> Router: ...
    @property
    def shared(self) -> bool: ...
    @property
    def bias(self) -> bool: ...
    @property
    def noise(self) -> Noise: ...
    @property
    def noise_token(self) -> bool: ...
    @property
    def residual(self) -> Literal["normalised", "raw"]: ...
    @property
    def attention_dropout(self) -> float: ...
    @property
    def dropout(self) -> float: ...
    @property
    def expert_dropout(self) -> float: ...
    @property
    def initial(self) -> float: ...


class ExpertLayer(nn.Module):
    """Noise-conditioned self-attention, then experts: both behind a norm, both with a skip."""

    def __init__(self, settings: ExpertSettings) -> None:
        super().__init__()
        width, dropout = settings.width, settings.expert_dropout
        self.noise, self.normalised = settings.noise, settings.residual == "normalised"
        self.norms = nn.ModuleList(RMSNorm(width) for _ in range(2))
        self.attention = Attention(width, settings.heads, settings.attention_dropout, normed=True)
        self.modulation = Linear(width, 6 * width) if settings.noise == "adaln" else None
        self.body: SwishGLU | Mixture
        if settings.router == "dense":
            self.body = SwishGLU(width, settings.inner, dropout, settings.bias)
        else:
            self.body = Mixture(
                width, settings.inner, settings.experts, settings.active, settings.router, settings.shared, dropout,
                settings.bias,
            )  # fmt: skip
        self.drop = nn.Dropout(settings.dropout)

    def forward(
        self,
        x: Tensor,
        noise: Tensor,
        routes: list[Routed] | None,
        body: SwishGLU | None = None,
        routing: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, M, W) and embedded noise levels (B or 1, 1, W) to tokens.

        Args:
            routes: is given where the tokens went.
            routing: embedded noise levels that the router sees in the place of `noise`.
            body: in the place of the experts, when acting.
        """
        first, second = self.norms
        routing = noise if routing is None else routing
        if self.modulation is not None:
            shift, scale, gate, shift_after, scale_after, gate_after = self.modulation(functional.silu(noise)).chunk(
                6, -1
            )
            read = first(x) * (1 + scale) + shift
            x = x + gate * self._dropped(self.attention(read, read, causal=True))
            y = second(x) * (1 + scale_after) + shift_after
            return (y if self.normalised else x) + gate_after * self._mixed(y, routing, routes, body)
        read = first(x) + noise if self.noise == "additive" else first(x)
        x = x + self._dropped(self.attention(read, read, causal=True))
        y = second(x)
        return (y if self.normalised else x) + self._mixed(y, routing, routes, body)

    def _mixed(self, y: Tensor, noise: Tensor, routes: list[Routed] | None, body: SwishGLU | None) -> Tensor:
        body = body or (self.body if isinstance(self.body, SwishGLU) else None)
        if body is not None:
            return self._dropped(body(y))
        mixed, routed = self.body(y, noise)
        if routes is not None:
            routes.append(routed)
        return self._dropped(mixed)

    def _dropped(self, x: Tensor) -> Tensor:
        return self.drop(x) if self.training else x


class NoiseEmbedding(nn.Module):
    """Two linear layers of the noise's logarithm over 4: levels (...) in [0, 1] to (..., width).

    Args:
        least, most: noise at the levels 0 and 1.
    """

    def __init__(self, width: int, least: float, most: float) -> None:
        super().__init__()
        low, high = torch.tensor([least, most], dtype=torch.float64).log().tolist()
        self.low, self.reach = low, high - low
        self.first, self.second = nn.Linear(1, width), nn.Linear(width, width, bias=False)

    def forward(self, level: Tensor) -> Tensor:
        return self.second(self.first((self.low + self.reach * level.float().unsqueeze(-1)) / 4))


class ExpertTransformer(Fixed):
    """Denoises a chunk from one sequence: noise level, goal, what is seen at each step, and the actions; causal.

    Args:
        settings: sizes and variants.
        history, chunk, action: steps seen, actions denoised, numbers in each.
        least, most: noise at the levels 0 and 1.
        cache: fuse experts while the network is fixed (`nets.acting.fix`); off, every pass routes anew.
    """

    def __init__(
        self, settings: ExpertSettings, history: int, chunk: int, action: int, least: float, most: float,
        cache: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        width = settings.width
        self.history, self.chunk, self.noise_token, self.cache = history, chunk, settings.noise_token, cache
        self.level = NoiseEmbedding(width, least, most)
        self.inlet = Linear(action, width)
        self.place = nn.Parameter(
            torch.empty(history + chunk, width)
        )  # the goal, steps seen, and actions from the last
        self.layers = nn.ModuleList(ExpertLayer(settings) for _ in range(settings.layers))
        self.norm = RMSNorm(width)
        self.outlet = Linear(width, action)
        begin(self, settings.initial)
        nn.init.trunc_normal_(self.place, std=settings.initial, a=-3 * settings.initial, b=3 * settings.initial)
        for layer in self._each():
            if layer.modulation is not None:
                nn.init.zeros_(layer.modulation.weight)

    def prepare(self, goal: Tensor | None, steps: Tensor) -> Tensor:
        """Goal (B, W) and K tokens for each step seen (B, H, K, W) to the condition of `forward`."""
        seen = (steps + self.place[1 : 1 + self.history, None]).flatten(1, 2)
        return seen if goal is None else torch.cat([(goal + self.place[0]).unsqueeze(1), seen], 1)

    def forward(
        self,
        noisy: Tensor,
        level: Tensor,
        condition: Tensor,
        routes: list[Routed] | None = None,
        routed_as: Tensor | None = None,
    ) -> Tensor:
        """Noisy chunk (B, C, A), noise level (B,) and a prepared condition to (B, C, A).

        Args:
            routes: is given, layer by layer, where tokens went.
            routed_as: levels (B,) whose experts are taken in the place of those of `level`: to see what they are worth.
        """
        routing = None if routed_as is None else self.level(routed_as).unsqueeze(1)
        return self._passed(noisy, self.level(level).unsqueeze(1), condition, routes, None, routing)

    def along(self, levels: Tensor, condition: Tensor) -> Along:
        """`forward` for calls at each of the `levels` (S,), in this order, with fused experts where that can be."""
        if not self.cachable or not self.cache or not self.fixed:
            return lambda noisy, level: self(noisy, level, condition)
        kept, path = self.keep(dict[tuple[float, ...], list[Pass]], self._routing), tuple(levels.tolist())
        if path not in kept:
            kept[path] = self._prepared(levels)
        passes = iter(kept[path])
        return lambda noisy, _: self._known(noisy, condition, *next(passes))

    @property
    def cachable(self) -> bool:
        """Whether the noise level alone decides which experts are visited."""
        return all(not isinstance(layer.body, Mixture) or layer.body.by == "sigma" for layer in self._each())

    def mixtures(self) -> list[Mixture]:
        """The layers of experts, first to last; none where the router is "dense"."""
        return [layer.body for layer in self._each() if isinstance(layer.body, Mixture)]

    def routes(self, levels: Tensor) -> list[Routed]:
        """Layer by layer where tokens of each of the `levels` (S,) go when acting, with the router "sigma"."""
        noise = self.level(levels)
        return [mixture.routed(noise) for mixture in self.mixtures()]

    @torch.no_grad()
    def usage(self, levels: Tensor) -> Tensor:
        """(L, S, N) weight of each expert in each layer, when acting, at the `levels` (S,)."""
        return torch.stack([routed.weights() for routed in self.routes(levels)])

    def _each(self) -> list[ExpertLayer]:
        return [cast(ExpertLayer, layer) for layer in self.layers]

    def _routing(self) -> list[Tensor]:
        """All weights that fused experts are made of."""
        return [*self.level.parameters(), *(one for mixture in self.mixtures() for one in mixture.parameters())]

    def _prepared(self, levels: Tensor) -> list[Pass]:
        noise = self.level(levels)
        each = [
            layer.body.fused_at(noise, self._count) if isinstance(layer.body, Mixture) else [None] * len(levels)
            for layer in self._each()
        ]
        bodies = [list(of_level) for of_level in zip(*each, strict=True)]
        return list(zip(noise[:, None, None].unbind(0), bodies, strict=True))

    def _known(self, noisy: Tensor, condition: Tensor, noise: Tensor, bodies: list[SwishGLU | None]) -> Tensor:
        return self._passed(noisy, noise, condition, None, bodies)

    def _passed(
        self,
        noisy: Tensor,
        noise: Tensor,
        condition: Tensor,
        routes: list[Routed] | None,
        bodies: list[SwishGLU | None] | None,
        routing: Tensor | None = None,
    ) -> Tensor:
        actions = self.inlet(noisy) + self.place[-self.chunk :]
        token = [noise.expand(len(noisy), -1, -1)] if self.noise_token else []
        x = torch.cat([*token, condition, actions], 1)
        for layer, body in zip(self.layers, bodies or [None] * len(self.layers), strict=True):
            x = layer(x, noise, routes, body, routing)
        return self.outlet(self.norm(x[:, -self.chunk :]))


# Embedded noise (1, 1, W) of a pass, and the networks of its layers.
Pass = tuple[Tensor, list[SwishGLU | None]]


def begin(module: nn.Module, deviation: float) -> None:
    """Truncated normal weights (at three deviations), biases 0, in all linear layers."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=deviation, a=-3 * deviation, b=3 * deviation)
            if part.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
                nn.init.zeros_(part.bias)
