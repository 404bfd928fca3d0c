"""Pretraining of image encoders on videos: what its methods share. Nothing of a data set but its pictures is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.starts import BLOCK
from imitari.core.task import Task
from imitari.data.sampling import Batches, Sampler, Windows
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished, fit_facts, run_updates
from imitari.learn.learner import Lagged, Learner
from imitari.learn.method import Need, Schedule, Trained
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.nets.distortion import Distortion
from imitari.nets.frames import FrameEncoder, FrameNetwork, Readout, Stem

RESNET_18: dict[str, Any] = {
    "channels": (64, 128, 256, 512), "blocks": 2, "stem": "large", "readout": "mean", "embedding": 0, "norm": False,
}  # fmt: skip


@dataclass(frozen=True)
class Pretraining(Trained):
    """Settings of the encoder that all methods share, and the fit. What comes out does not act: others use it."""

    channels: tuple[int, ...] = (32, 64, 128)  # of the encoder's stages
    blocks: int = 1  # residual blocks a stage
    stem: Stem = "small"  # small, or large as in ResNet-18
    readout: Readout = "cells"  # mean over the last map, or its cells side by side
    embedding: int = 128  # numbers of the embedding; 0: as the readout gives it
    norm: bool = True  # batch norm of the embedding
    untrained: bool = False  # leave the encoder as it was drawn: the baseline to compare with
    batch: int = 64  # windows a batch

    needs: ClassVar[frozenset[Need]] = frozenset({"image"})
    acts: ClassVar[bool] = False

    @property
    def network(self) -> FrameNetwork:
        return FrameNetwork(self.channels, self.blocks, self.stem, self.readout, self.embedding, self.norm)

    @property
    def offsets(self) -> Sequence[int]:
        """Frames of a window, in steps from its first."""
        return (0,)

    @property
    def labelled(self) -> bool:
        """Whether actions are looked at."""
        return False

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        demos = described(demos, task)
        spec = seen_by(demos.spec, self.labelled)
        demos = demos.with_spec(spec)
        run.identity = {**run.identity, **fit_facts(self, demos, run)}
        scaler = self.scaling(demos)
        return finished(self, self.trained(demos, scaler, run), scaler, demos, run)

    def trained(self, demos: Demos, scaler: Scaler, run: Run, number: int = 0) -> Learner:
        """The learner of training `number`, each with initial weights and batches of its own."""
        seed = run.seed + number * BLOCK
        learner = run.build(lambda: self.learner(demos.spec), seed)
        scale = DeviceScaler(scaler, demos.spec, run.place)
        held = self.samples(run.held.with_spec(demos.spec)) if run.held else None
        if not self.untrained:
            batches = Batches(self.samples(demos), self.batch, seed)
            run_updates(self, learner, batches, scale, run, held, f"train-{number}" if number else "train")
        return learner

    def scaling(self, demos: Demos) -> Scaler:
        """What actions are scaled by, where they are looked at."""
        return Scaler.fit(demos)

    def samples(self, demos: Demos) -> Sampler:
        """What batches are drawn from."""
        actions = self.offsets[:-1] if self.labelled else ()
        return Windows(demos, self.offsets, actions or (0,), inside=True, unknown=not self.labelled)


class Pretrainer(Learner):
    """A learner around a frame encoder, which all cameras share.

    Attributes:
        encoder: what the training is for.
        clock: optimiser steps done.
    """

    clock: Tensor

    def __init__(self, settings: Pretraining, spec: Spec) -> None:
        super().__init__()
        self.steps = settings.steps
        self.register_buffer("clock", torch.zeros((), dtype=torch.int64))
        self.cameras = list(spec.images)
        self.encoder = FrameEncoder(spec.images[self.cameras[0]].shape, settings.network)

    def frames(self, batch: Batch) -> Tensor:
        """uint8 (B V, T, height, width, channels): the windows of every camera, one camera after the other."""
        return torch.cat([batch.obs[key] for key in self.cameras])

    def slower(self, copies: Sequence[Lagged], first: float) -> None:
        """Sets how fast slow copies follow after this step: their decay rises from `first` to 1 over the training."""
        for copy in copies:
            copy.tau = 1 - rising(first, float(self.clock) / self.steps)

    def after_step(self) -> None:
        self.clock += 1

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        raise UserError(
            "an encoder does not act: train a method on what it sees (`imitari train METHOD --encoder DIR`)"
        )


@dataclass(frozen=True)
class TwoViews(Pretraining):
    """Settings of the methods that compare two distorted views of a frame, one of them through a slow copy."""

    temporal: int = 0  # steps that the second frame may be later; 0: the same frame
    projection: int = 64  # width of what is compared
    inner: int = 256  # width of projector and predictor
    beta: float = 0.99  # decay of the slow copy at the beginning; 1 at the end
    shift: float = 0.1  # random move of pictures, as a share of the side
    scale: float = 0.2  # random zoom, as a share of the size
    colour: float = 0.4  # random brightness, contrast and saturation
    grey: float = 0.2  # share of pictures that lose their colours
    batch: int = 128  # frames a batch
    steps: int = 4_000  # optimiser steps
    lr: float = 1e-3  # peak learning rate
    weight_decay: float = 1e-6  # decoupled weight decay on matrices
    schedule: Schedule = "cosine"  # constant or cosine
    warmup: int = 200  # steps of linear increase of the rate

    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 8, "channels": (4, 8), "embedding": 16, "projection": 8, "inner": 16, "warmup": 0,
    }  # fmt: skip

    @property
    def offsets(self) -> Sequence[int]:
        return range(1 + self.temporal)


class TwoViewPretrainer(Pretrainer):
    """Encoder, projector, predictor; slow copies of the first two."""

    def __init__(self, method: TwoViews, spec: Spec) -> None:
        super().__init__(method, spec)
        self.beta = method.beta
        self.projector = head(self.encoder.width, method.inner, method.projection)
        self.predictor = head(method.projection, method.inner, method.projection)
        self.slow = Lagged(nn.Sequential(self.encoder, self.projector), 1 - method.beta)
        self.distort = Distortion(method.shift, method.scale, method.colour, method.grey)

    def compared(self, batch: Batch) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Embeddings of all views (2N, width), what is predicted from each view and what the slow copy makes of it.

        Both lists have (N, projection) for the first views and for the second ones.
        """
        self.slower([self.slow], self.beta)
        first, second = two_frames(self.frames(batch))
        both = torch.cat([self.distort(first), self.distort(second)]).flatten(0, 1)
        seen = self.encoder(both).float()
        with torch.no_grad():
            slow = self.slow(both).float()
        predicted = self.predictor(self.projector(seen)).float()
        return seen, list(predicted.chunk(2)), list(slow.chunk(2))


def seen_by(spec: Spec, labelled: bool) -> Spec:
    """The pictures of `spec`, and its action only where it is learned from.

    Raises:
        UserError: when there is no picture, or pictures differ in shape.
    """
    images = spec.images
    if not images:
        raise UserError("there is no picture among the observations: read the data with --pixels, and see --obs")
    shapes = {feature.shape for feature in images.values()}
    if len(shapes) > 1:
        raise UserError(
            f"the cameras' pictures differ in shape ({', '.join(map(str, sorted(shapes)))}), and one encoder sees all: "
            "bring them to one size with --pixels, or choose with --obs"
        )
    return Spec(images, spec.action if labelled else Feature((0,)))


def embed(encoder: FrameEncoder, clips: Tensor) -> Tensor:
    """uint8 (B, T, height, width, channels) to float32 (B, T, width), all frames in one pass."""
    return encoder(clips.flatten(0, 1)).float().unflatten(0, clips.shape[:2])


def two_frames(clips: Tensor) -> tuple[Tensor, Tensor]:
    """The first frame of each clip (N, T, ...) and one of the clip's frames at random, (N, 1, ...) each."""
    count, length = clips.shape[:2]
    if length == 1:
        return clips, clips
    later = torch.randint(1, length, (count,)).to(clips.device)
    return clips[:, :1], clips[torch.arange(count, device=clips.device), later][:, None]


def head(inputs: int, inner: int, outputs: int) -> nn.Sequential:
    """Two layers with batch norm between them: the projectors and predictors of Grill et al. 2020."""
    return nn.Sequential(
        nn.Linear(inputs, inner), nn.BatchNorm1d(inner), nn.ReLU(inplace=True), nn.Linear(inner, outputs)
    )


def info_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Mean over the N rows of -log softmax(q k / temperature) at the key of the same row; both (N, D), any length.

    The others of the batch are the negatives (van den Oord et al. 2018).
    """
    scores = functional.normalize(query.float(), dim=1) @ functional.normalize(key.float(), dim=1).T / temperature
    return functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))


def rising(first: float, done: float) -> float:
    """A decay that goes from `first` to 1 along a cosine, at the share `done` of a training (Grill et al. 2020)."""
    return 1 - (1 - first) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def covariance(embedding: Tensor) -> Tensor:
    """Centred covariance matrix (D, D) of (N, D)."""
    centred = embedding - embedding.mean(0)
    return centred.T @ centred / max(1, len(embedding) - 1)


@torch.no_grad()
def collapse(embedding: Tensor, matrix: Tensor) -> dict[str, Tensor]:
    """How far embeddings (N, D) with a covariance `matrix` (D, D) are from being one point or one line.

    Returns:
        `_spread`: their standard deviation (root of the summed variances) relative to their mean norm: 0 is one point;
        `_rank`: effective number of dimensions, (tr C)^2 / tr(C C): 1 is a line.
    """
    trace = matrix.trace()
    return {
        "_spread": trace.sqrt() / embedding.norm(dim=1).mean().clamp(min=1e-12),
        "_rank": trace**2 / (matrix**2).sum().clamp(min=1e-24),
    }
