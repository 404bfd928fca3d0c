"""The plain cloning network (encoder, perceptron, action head), for methods that differ in where data comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.nets.encoder import ObsEncoder
from imitari.nets.heads.actions import action_head, masked_mean
from imitari.nets.mlp import ACTIVATIONS, Activation, ResidualMLP, mlp

STEP_WIDTH = 32


@dataclass(frozen=True)
class ClonerSettings(Trained):
    """Settings of methods that train a `Cloner`."""

    head: Literal["mse", "tanh", "gmm"] = "mse"  # squared error, the same of a squashed action, or a Gaussian mixture
    modes: int = 5  # components of the mixture
    hidden: tuple[int, ...] = (256, 256)  # widths of the layers
    activation: Activation = "relu"  # of the layers
    residual: bool = False  # each two layers are a block with a norm and a skip; all layers are then equally wide
    dropout: float = 0.0  # after each layer
    crop: float = 0.9  # side of the random crops of pictures, as a share; 1: none, where places count to the pixel
    history: int = 1  # observations seen
    chunk: int = 1  # actions predicted
    execute: int = 1  # actions executed before the next decision

    def framing(self) -> Framing:
        return Framing(self.history, self.chunk, self.execute)

    def learner(self, spec: Spec) -> Learner:
        return Cloner(self, spec)


class Cloner(Learner):
    """Encoder, layers, head: one forward pass gives the chunk."""

    def __init__(self, settings: ClonerSettings, spec: Spec) -> None:
        super().__init__()
        self.chunk = settings.chunk
        self.encoder = ObsEncoder(spec, crop=settings.crop)
        # A chunk gets a narrow feature vector a step: full width a step would make this layer the whole network.
        width = settings.hidden[-1] if settings.chunk == 1 else min(STEP_WIDTH, settings.hidden[-1])
        inputs = self.encoder.width * settings.history
        layers = settings.hidden[:-1] if settings.chunk == 1 else settings.hidden
        bent, outputs = ACTIVATIONS[settings.activation], width * settings.chunk
        more: dict[str, Any] = {"activation": settings.activation, "dropout": settings.dropout}
        if settings.residual and len(set(settings.hidden)) > 1:
            raise UserError(f"hidden {list(settings.hidden)}: with residual all layers must be equally wide")
        if settings.residual:
            blocks = ResidualMLP(inputs, settings.hidden[-1], (len(settings.hidden) + 1) // 2, outputs, **more)
            self.body = nn.Sequential(blocks, bent())
        else:
            self.body = nn.Sequential(*mlp(inputs, layers, outputs, **more), bent())
        self.head = action_head(settings.head, width, spec.action, settings.modes)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        prediction = self.predict(batch.obs)
        return {"action_loss": masked_mean(prediction.loss(batch.action), batch.valid)}

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        return self.predict(obs).sample()

    def predict(self, obs: dict[str, Tensor]) -> Any:
        """Observations (B, H, ...) to a prediction of (B, C, A)."""
        features = self.body(self.encoder(obs).flatten(1))
        return self.head(features.unflatten(-1, (self.chunk, -1)))
