"""Action chunking with transformers: a conditional variational autoencoder over long chunks, regressed with L1.

In training an encoder reads the state and the demonstrated chunk and gives a small latent, the style in which it was
done; a transformer reads latent, state and cells of the camera images, and a decoder turns one query an action into
the chunk (Zhao et al. 2023, "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware"). Acting sets the
latent to zero, the mean of its prior, or draws it (`acting_latent`: Jia et al. 2024 mean the prior, their code draws
it uniformly); overlapping chunks can be averaged (`ensemble`), which makes motion smooth.
Differs from the paper: positions are learnt and added once, not in every layer; GELU for ReLU; norms before each part
unless `prenorm` is off; images pass a small residual trunk, not a pretrained ResNet-18.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.cloning import clone
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.run import Run
from imitari.nets.acting import Fixed
from imitari.nets.encoder import NumberEncoder, ObsTokens
from imitari.nets.heads.actions import masked_mean
from imitari.nets.transformer import Layer, Transformer, positions


@dataclass(frozen=True)
class ActionChunking(Trained):
    history: int = 1  # observations seen
    chunk: int = 20  # actions predicted
    execute: int = 10  # actions executed before the next decision
    ensemble: float | None = None  # average overlapping chunks with weights exp(-ensemble i), the oldest first; or none
    latent: int = 32  # numbers in the style latent; 0: no autoencoder
    acting_latent: Literal["zero", "prior", "uniform"] = "zero"  # 0, or drawn: N(0, 1), or uniform in [0, 1)
    kl_weight: float = 10.0  # on the divergence of the latent from its prior
    width: int = 128  # of all tokens
    heads: int = 4  # of the attention
    inner: int = 256  # width inside the layers
    style_layers: int = 2  # of the latent's encoder
    encoder_layers: int = 2  # over the observations
    decoder_layers: int = 1  # over the actions
    dropout: float = 0.0  # in every layer
    prenorm: bool = True  # norms before each part of a layer, not after
    lr: float = 5e-4  # peak learning rate
    weight_decay: float = 1e-4  # decoupled weight decay on matrices
    warmup: int = 100  # steps of linear increase of the rate

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 3_000, "batch": 64},
        "paper": {
            "chunk": 100, "execute": 1, "ensemble": 0.01, "width": 512, "heads": 8, "inner": 3200, "style_layers": 4,
            "encoder_layers": 4, "dropout": 0.1, "prenorm": False, "lr": 1e-5, "warmup": 0, "batch": 8,
            "steps": 100_000,
        },
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "width": 16, "inner": 16, "chunk": 6, "execute": 3}

    def framing(self) -> Framing:
        return Framing(self.history, self.chunk, self.execute, ensemble=self.ensemble)

    def learner(self, spec: Spec) -> Learner:
        return Chunker(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        return clone(self, demos, run, task, obs_scaling="meanstd", action_scaling="meanstd")


class Chunker(Fixed, Learner):
    """Encoder of the style, encoder of the observations, decoder of the actions."""

    compiles = True

    def __init__(self, method: ActionChunking, spec: Spec) -> None:
        super().__init__()
        if spec.action.kind != "number":
            raise UserError("method 'act' needs numeric actions: use bc or bc_rnn for choices")
        self.method = method
        shape = (method.width, method.heads)
        end = (method.inner, method.dropout)
        self.style = StyleEncoder(method, spec) if method.latent else None
        self.read_latent = nn.Linear(method.latent, method.width) if method.latent else None
        self.observe = ObsTokens(spec, method.width, method.history)
        self.encoder = Transformer(*shape, method.encoder_layers, *end, first=method.prenorm)
        self.queries = nn.Parameter(torch.randn(method.chunk, method.width))
        self.decoder = Transformer(*shape, method.decoder_layers, *end, cross=True, first=method.prenorm)
        self.outlet = nn.Linear(method.width, spec.action.size)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """L1 over the actions of the episode, and the divergence of the latent from a standard normal."""
        if self.style is None:
            return {"action_loss": self.action_loss(batch, None)}
        mean, log_variance = self.style(batch.obs, batch.action, batch.valid)
        latent = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean() / 2
        return {
            "action_loss": self.action_loss(batch, latent),
            "kl_loss": self.method.kl_weight * divergence,
            "_divergence": divergence,
        }

    def action_loss(self, batch: Batch, latent: Tensor | None) -> Tensor:
        error = (self.decode(batch.obs, latent).float() - batch.action).abs().mean(-1)
        return masked_mean(error, batch.valid)

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        return self.decode(obs, self.drawn(len(next(iter(obs.values())))))

    def drawn(self, count: int) -> Tensor | None:
        """Latents to act with (count, Z), or None for zero."""
        if self.style is None or self.method.acting_latent == "zero":
            return None
        draw = torch.randn if self.method.acting_latent == "prior" else torch.rand
        return draw(count, self.method.latent, device=self.queries.device)

    def decode(self, obs: dict[str, Tensor], latent: Tensor | None) -> Tensor:
        """Observations (B, H, ...) and latent (B, Z), zero where None, to the chunk (B, C, A)."""
        tokens = self.observe(obs)
        if self.read_latent is not None:
            style = self.read_latent.bias.expand(len(tokens), -1) if latent is None else self.read_latent(latent)
            tokens = torch.cat([style.unsqueeze(1).to(tokens.dtype), tokens], 1)
        memory = self.encoder(tokens)
        if self.fixed:
            begun = self.keep(
                lambda: self._first.begin(self.queries[None]), lambda: [self.queries, *self._first.parameters()]
            )
            return self.outlet(self.decoder.finish(begun.over(len(tokens)), memory))
        return self.outlet(self.decoder(self.queries.expand(len(tokens), -1, -1), memory))

    @property
    def _first(self) -> Layer:
        """The first layer of the decoder: its self-attention sees the queries alone, which no observation changes."""
        return cast(Layer, self.decoder.layers[0])


class StyleEncoder(nn.Module):
    """State and demonstrated chunk to mean and log-variance of the latent, read off a summary token."""

    places: Tensor

    def __init__(self, method: ActionChunking, spec: Spec) -> None:
        super().__init__()
        self.numbers = NumberEncoder(spec)
        self.read_state = nn.Linear(self.numbers.width, method.width) if self.numbers.width else None
        self.read_action = nn.Linear(spec.action.size, method.width)
        self.summary = nn.Parameter(torch.randn(1, 1, method.width))
        self.register_buffer("places", positions(2 + method.chunk, method.width), persistent=False)
        self.body = Transformer(
            method.width, method.heads, method.style_layers, method.inner, method.dropout, first=method.prenorm
        )
        self.out = nn.Linear(method.width, 2 * method.latent)

    def forward(self, obs: dict[str, Tensor], action: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Observations (B, H, ...), actions (B, C, A), valid (B, C) to mean and log-variance (B, Z)."""
        parts = [self.summary.expand(len(action), -1, -1), self.read_action(action)]
        if self.read_state is not None:
            parts.insert(1, self.read_state(self.numbers(obs)[:, -1:]))
        tokens = torch.cat([part.float() for part in parts], 1)
        extra = tokens.shape[1] - valid.shape[1]
        tokens = tokens + self.places[: tokens.shape[1]]
        out = self.body(tokens, mask=functional.pad(valid, (extra, 0), value=True))[:, 0]
        mean, log_variance = self.out(out).float().chunk(2, -1)
        return mean, log_variance
