"""Eyes: a pretrained frame encoder in front of a method, frozen, or as the beginning of the method's own encoders."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imitari.core.columns import ArrayColumn, Column
from imitari.core.demos import Demos
from imitari.core.episode import Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.nets.encoder import beginning_with
from imitari.nets.frames import FrameEncoder, FrameNetwork

IMAGES, EMBEDDING = "observation.images.", "observation.embedding."
TOGETHER = 256  # frames embedded at once


@dataclass(frozen=True)
class Eyes:
    """What turns the pictures of named cameras into vectors, before a policy sees anything.

    Attributes:
        encoder: one for all cameras.
        cameras: name -> its pictures.
        source: identity of the agent that the encoder came from.
        tuned: the weights went into the policy's own encoders as their beginning; then pictures stay pictures.
    """

    encoder: FrameEncoder
    cameras: Mapping[str, Feature]
    source: str
    tuned: bool = False

    @staticmethod
    def of(encoder: Any, spec: Spec, source: str, tuned: bool = False) -> Eyes:
        """Eyes for all cameras of `spec`.

        Raises:
            UserError: when `encoder` is none, or was made for pictures of another shape.
        """
        if not isinstance(encoder, FrameEncoder):
            raise UserError("is a policy, not an encoder: give a folder that a pretraining method was trained into")
        if not spec.images:
            raise UserError("the data has no pictures for the encoder: choose cameras with --obs")
        for key, feature in spec.images.items():
            if feature.shape != encoder.shape:
                raise UserError(
                    f"the pictures of '{key}' have shape {feature.shape}, and the encoder was trained on "
                    f"{encoder.shape}: read them with --pixels {encoder.shape[0]}"
                )
        return Eyes(encoder.eval().requires_grad_(False), spec.images, source, tuned)

    def inside(self, spec: Spec) -> Spec:
        """What the policy sees of observations `spec`."""
        if self.tuned:
            return spec
        vector = Feature((self.encoder.width,))
        obs = {(named(key) if key in self.cameras else key): feature for key, feature in spec.obs.items()}
        return Spec({key: vector if key.startswith(EMBEDDING) else value for key, value in obs.items()}, spec.action)

    def outside(self, spec: Spec) -> Spec:
        """What has to be observed for a policy that sees `spec`."""
        if self.tuned:
            return spec
        camera = {named(key): key for key in self.cameras}
        return Spec(
            {
                camera.get(key, key): self.cameras[camera[key]] if key in camera else value
                for key, value in spec.obs.items()
            },
            spec.action,
        )

    def __call__(self, obs: Obs) -> Obs:
        """Observations name -> (B, ...), with a vector (B, width) in the place of each camera's picture."""
        if self.tuned:
            return obs
        return {
            (named(key) if key in self.cameras else key): (self.embed(value) if key in self.cameras else value)
            for key, value in obs.items()
        }

    def embed(self, frames: Array) -> Array:
        """uint8 (N, height, width, channels) to float32 (N, width); batch norm uses the statistics of its training."""
        device = next(self.encoder.parameters()).device
        parts: list[Array] = []
        with torch.inference_mode():
            for begin in range(0, len(frames), TOGETHER):
                part = torch.from_numpy(np.ascontiguousarray(frames[begin : begin + TOGETHER])).to(device)
                parts.append(self.encoder(part).float().cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.encoder.width), np.float32)

    def embedded(self, demos: Demos) -> Demos:
        """The demos with each camera's embedding as a column, made once; the pictures stay behind as columns."""
        if self.tuned:
            return demos
        rows = demos.rows(final=True)
        made: dict[str, Column] = {}
        for key in self.cameras:
            column = demos.columns[key]
            values = np.zeros((column.shape[0], self.encoder.width), np.float32)
            for begin in range(0, len(rows), TOGETHER):
                some = rows[begin : begin + TOGETHER]
                values[some] = self.embed(column.take(some))
            made[named(key)] = ArrayColumn(values)
        return demos.with_columns(made, f"pictures embedded by {self.source}", self.inside(demos.spec))

    @contextmanager
    def beginning(self) -> Generator[None]:
        """Within it, networks that give each camera a vector begin with this encoder, where it is to be tuned.

        Raises:
            UserError: when no network did.
        """
        if not self.tuned:
            yield
            return
        with beginning_with(self.encoder) as begun:
            yield
        if not begun:
            raise UserError(
                "this method's network does not read a picture as one vector, and cannot begin with the encoder: leave "
                "out --tune-encoder to use it frozen"
            )

    def tensors(self) -> dict[str, Tensor]:
        """Weights to save; none where they went into the policy."""
        return {} if self.tuned else {f"eyes.{key}": value for key, value in self.encoder.state_dict().items()}

    def to_json(self) -> dict[str, Any]:
        return {
            "network": self.encoder.network.to_json(),
            "cameras": {key: feature.to_json() for key, feature in self.cameras.items()},
            "source": self.source,
            "tuned": self.tuned,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Eyes:
        """Eyes with untrained weights."""
        cameras = {key: Feature.from_json(value) for key, value in data["cameras"].items()}
        encoder = FrameEncoder(next(iter(cameras.values())).shape, FrameNetwork.from_json(data["network"]))
        return Eyes(encoder.eval().requires_grad_(False), cameras, str(data["source"]), bool(data["tuned"]))


def named(camera: str) -> str:
    """The column of a camera's embedding."""
    return EMBEDDING + camera.removeprefix(IMAGES)
