"""TCC: an encoder that knows how far a task has come, from cycles through pairs of videos; with actions, EIL's.

1. From each of a few videos n frames are drawn. An image branch embeds each (of c frames that end there, two
   convolutions over time as well make one map); an action branch embeds the direction of the action. A linear layer
   over both gives the vector of the frame.
2. A frame's soft nearest neighbour in another video, softmax(-|u - v|^2 / (d tau)), is led back to its own video alike.
3. The loss, over all ordered pairs of videos, is the cross-entropy of the frame to which it is led back, or as
   published for EIL the squared error of its time (`--loss regression`; also over the variance, and Huber's).
4. `imitari data trim --model` keeps what all videos have in common (`data/curate/voting`): they vote for common frames.
Dwibedi, Aytar, Tompson, Sermanet & Zisserman 2019, "Temporal Cycle-Consistency Learning" (`--actions no`); with actions
the embedding of Zheng, Ma et al. 2023, "Extraneousness-Aware Imitation Learning", and its published code: what is shown
in all videos in one order lies together, and what demonstrators do besides lies apart, as its motion is another. The
vectors of several cameras are averaged.
Differs from the papers: a small encoder from scratch, read out by mean or cells and not by the maximum (`--preset
paper`: ResNet-18, without ImageNet's weights), no blur among the changes of pictures. Not here: the branch for states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.data.curate.scores import Scores, by_episode
from imitari.data.curate.voting import Kept, Likeness, Reference, Voting, agreement, common, videos_of
from imitari.data.moments import TIME, Moments
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent
from imitari.learn.learner import Learner
from imitari.learn.method import Schedule
from imitari.learn.pretraining import RESNET_18, Pretrainer, Pretraining, collapse, covariance
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.nets.cycles import CycleLoss, cycles
from imitari.nets.distortion import Distortion

TOGETHER = 256  # frames embedded at once
AGREEING = 16  # episodes whose order of frames is compared


@dataclass(frozen=True)
class Tcc(Pretraining):
    actions: bool = True  # the vector of a frame depends on the action taken there, too
    direction: bool = True  # of the recorded action its direction alone is seen; no: the action scaled to [-1, 1]
    moments: int = 20  # frames n of a video
    context: int = 1  # frames c that a frame is embedded with: itself and earlier ones
    stride: int = 3  # steps between these
    width: int = 32  # of the vectors that are compared
    inner: int = 128  # of the layers over an image
    action_width: int = 256  # of the action branch
    loss: CycleLoss = "classification"  # of the frame; or squared error of the time, over its variance, Huber's
    temperature: float = 1.0  # tau of both softmaxes
    shift: float = 0.0  # random move of a video's pictures, as a share of the side
    scale: float = 0.0  # random zoom, as a share of the size
    colour: float = 0.0  # random brightness, contrast and saturation
    grey: float = 0.0  # share of videos that lose their colours
    likeness: Likeness = "distance"  # of vectors in the vote; published: the inner product, by which long ones win
    tolerance: int = 10  # of so many most similar frames ahead, a video goes on to the earliest; published: 2
    reference: Reference = "mean"  # the common frame: mean or median of candidates, or their mean weighted by votes
    running: bool = True  # only videos that have not come to their end make the common frame; published: all
    kept: Kept = "walk"  # frames of the walk, those most like the common ones, or of warping
    clean: int | None = None  # number of an episode that shows nothing but the task and is kept whole; or none
    followed: bool = False  # align with the clean episode itself, without a vote
    tries: int = 1  # trainings from other weights; kept is that on whose vectors the videos agree most in order
    batch: int = 4  # videos a batch
    steps: int = 1_000  # optimiser steps
    lr: float = 2e-3  # peak learning rate
    weight_decay: float = 1e-4  # decoupled weight decay on matrices
    schedule: Schedule = "cosine"  # constant or cosine
    warmup: int = 20  # steps of linear increase of the rate

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "paper": {
            **RESNET_18, "moments": 40, "inner": 512, "shift": 0.1, "scale": 0.2, "colour": 0.4, "grey": 0.2,
            "steps": 4_000, "lr": 1e-5, "schedule": "constant", "warmup": 0, "loss": "regression",
            "likeness": "inner", "tolerance": 2, "running": False,
        },
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 3, "channels": (4, 8), "embedding": 16, "moments": 5, "width": 8, "inner": 16,
        "action_width": 8, "warmup": 0, "tries": 2,
    }  # fmt: skip

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise UserError(f"tries is {self.tries}: at least one training is needed")

    @property
    def labelled(self) -> bool:
        return self.actions

    def learner(self, spec: Spec) -> Learner:
        return Progress(self, spec)

    def scaling(self, demos: Demos) -> Scaler:
        return Scaler.fit(demos, action="none" if self.direction else "minmax")

    @property
    def voting(self) -> Voting:
        settings = self.likeness, self.tolerance, self.reference, self.running, self.kept
        return Voting(*settings, clean=self.clean, followed=self.followed)

    def trained(self, demos: Demos, scaler: Scaler, run: Run, number: int = 0) -> Learner:
        """Of `tries` trainings that whose vectors bring the frames of the first episodes into one order best."""
        if self.tries == 1:
            return super().trained(demos, scaler, run, number)
        few = demos[:AGREEING]

        def order(learner: Learner) -> float:
            return ordered(few, vectors_of(Agent(self, learner, scaler, demos.spec, {}), few))

        numbers = range(number * self.tries, (number + 1) * self.tries)
        return max([super(Tcc, self).trained(demos, scaler, run, one) for one in numbers], key=order)

    def scored(self, agent: Agent, demos: Demos) -> Scores:
        """Kept are the steps that show what all episodes have in common. Of episodes: `kept`, the share of these.

        `about` says the agreement on the order of frames among the first episodes: near 0 vectors say nothing of time.
        """
        vectors = vectors_of(agent, demos)
        keep = common(demos, vectors, self.voting)
        return Scores(
            episodes={"kept": by_episode(demos, keep.astype(np.float64))},
            keep=keep,
            about={
                "who": f"{self.name()} {agent.identity()}",
                "agreement": ordered(demos, vectors),
                **asdict(self.voting),
            },
            fingerprint=demos.fingerprint(),
        )

    def samples(self, demos: Demos) -> Moments:
        if self.batch < 2 or len(demos) < 2:
            raise UserError(f"{demos.provenance.path}: cycles go through pairs of videos: use two or more in a batch")
        if self.actions and len(demos.known_rows()) < demos.steps:
            raise UserError(f"{demos.provenance.path}: not all actions are known: leave them out with --actions no")
        return Moments(demos, self.moments, self.context, self.stride)


class Progress(Pretrainer):
    """Image branch, action branch, and the layer that joins them."""

    def __init__(self, method: Tcc, spec: Spec) -> None:
        super().__init__(method, spec)
        self.method = method
        maps, inner = self.encoder.maps[0], method.inner
        over_time = [nn.Conv3d(maps, maps, 3, padding=1), nn.ReLU(), nn.Conv3d(maps, maps, 3, padding=1), nn.ReLU()]
        self.over_time = nn.Sequential(*over_time) if method.context > 1 else None
        self.body = nn.Sequential(nn.Linear(self.encoder.width, inner), nn.ReLU(), nn.Linear(inner, inner), nn.ReLU())
        self.motion = nn.Linear(spec.action.size, method.action_width) if method.actions else None
        self.joint = nn.Linear(inner + (method.action_width if method.actions else 0), method.width)
        self.distort = Distortion(method.shift, method.scale, method.colour, method.grey)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        clips = [batch.obs[key] for key in self.cameras]
        clips = [self.distort(each) for each in clips] if self.training else clips
        seen = self.vectors(clips, batch.action)
        found = cycles(seen, batch.extra[TIME], self.method.temperature)
        flat = seen.detach().flatten(0, 1)
        signs = {"_cycle_error": found.error().detach(), **collapse(flat, covariance(flat))}
        return {"cycle_loss": found.loss(self.method.loss), **signs}

    def vectors(self, clips: Sequence[Tensor], action: Tensor) -> Tensor:
        """Clips (B, n * context, height, width, channels) of each camera and actions (B, n, ...) to (B, n, width)."""
        count = len(clips[0])
        image = torch.stack([self.body(self._image(each.flatten(0, 1)).relu()) for each in clips]).mean(0)
        parts = [image.float()]
        if self.motion is not None:
            moved = action.flatten(2).flatten(0, 1).float()
            moved = functional.normalize(moved, dim=-1) if self.method.direction else moved
            parts.append(self.motion(moved).relu().float())
        return self.joint(torch.cat(parts, -1)).float().unflatten(0, (count, -1))

    def _image(self, frames: Tensor) -> Tensor:
        """uint8 (N * context, height, width, channels) to (N, encoder.width)."""
        if self.over_time is None:
            return self.encoder(frames)
        maps = self.encoder.mapped(frames).unflatten(0, (-1, self.method.context)).transpose(1, 2)
        return self.encoder.read(self.over_time(maps).amax(2))


def ordered(demos: Demos, vectors: Array) -> float:
    """Agreement of the first episodes on the order of frames, from the vectors (steps, width) of all steps."""
    return agreement(videos_of(demos, vectors)[:AGREEING])


def vectors_of(agent: Agent, demos: Demos) -> Array:
    """float32 (steps, width) of all steps of `demos`, in the order of `demos.rows()`."""
    learner, method = agent.learner, agent.method
    assert isinstance(learner, Progress)
    assert isinstance(method, Tcc)
    demos = demos.with_spec(agent.spec)
    scale = DeviceScaler(agent.scaler, agent.spec, agent.device)
    first = np.repeat(demos.table.start, demos.table.length)
    rows = demos.rows()
    seen = first[:, None] + method.samples(demos).seen((rows - first)[:, None])
    parts: list[Array] = []
    with torch.inference_mode():
        for begin in range(0, len(rows), TOGETHER):
            part = slice(begin, begin + TOGETHER)
            clips = [scale.tensor(demos.columns[key].take(seen[part])) for key in learner.cameras]
            action = scale.scale(ACTION, demos.columns[ACTION].take(rows[part])[:, None])
            parts.append(learner.vectors(clips, action)[:, 0].cpu().numpy())
    return np.concatenate(parts)
