"""Behaviour transformer: a class of action and an offset from it, predicted from the last observations.

1. k-means over all demonstrated actions gives the centres of the classes.
2. A transformer over a window of observations gives at each step the probabilities of the classes and an offset for
   each class; the nearest centre is the true class (focal loss), and only its own offset is regressed.
3. Acting draws a class, adds its offset and holds the sum to the range of the data.

Shafiullah et al. 2022, "Behavior Transformers: Cloning k Modes with One Stone", as set up in Jia et al. 2024, "Towards
Diverse Behaviors: A Benchmark for Imitation Learning with Human Demonstrations" (one class a step, a short window; with
`backbone` mlp its BeT-MLP, which sees the present alone).
Differs from them: the centres begin by k-means++; one dropout for attention and blocks, where the benchmark has two;
the benchmark's transformer without classes (BC-GPT) is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.learn.learner import Learner
from imitari.learn.windowed import WindowLearner, WindowSettings
from imitari.nets.heads.actions import masked_mean
from imitari.nets.heads.clusters import Clustered, ClusterHead
from imitari.nets.mlp import ResidualMLP
from imitari.nets.windows import narrow_transformer


@dataclass(frozen=True)
class BehaviourTransformer(WindowSettings):
    bins: int = 64  # classes of actions
    iterations: int = 50  # of k-means, at most
    focus: float = 2.0  # exponent of the focal loss; 0: plain cross-entropy
    offset_weight: float = 1.0  # on the squared error of the offsets
    backbone: Literal["gpt", "mlp"] = "gpt"  # transformer over the window, or residual layers over the present alone
    lr: float = 1e-3  # peak learning rate

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {
            "steps": 2_000, "width": 32, "layers": 2, "dropout": 0.0, "lr": 6e-3, "weight_decay": 1e-3,
            "schedule": "cosine", "warmup": 100,
        },
        "paper": {"lr": 1e-4, "batch": 1024, "steps": 3_500},
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 16, "width": 16, "layers": 1, "heads": 2, "bins": 6, "window": 3,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bins < 1 or self.focus < 0 or self.offset_weight < 0:
            raise UserError(
                f"bins {self.bins}, focus {self.focus:g}, offset_weight {self.offset_weight:g}: at least 1 bin is "
                "needed, and the others must not be below 0"
            )

    def learner(self, spec: Spec) -> Learner:
        return Classifier(self, spec)


class Classifier(WindowLearner):
    """Observation encoder, transformer, head over classes and offsets."""

    def __init__(self, method: BehaviourTransformer, spec: Spec) -> None:
        super().__init__("bet", method.window if method.backbone == "gpt" else 1, spec)
        self.method = method
        width, features = method.width, self.encoder.width
        if method.backbone == "gpt":
            self.observe = nn.Linear(features, width)
            self.body = narrow_transformer(width, method.heads, method.layers, method.window, method.dropout)
        else:
            self.observe = ResidualMLP(features, width, method.layers, width, activation="mish", dropout=method.dropout)
            self.body = None
        self.head = ClusterHead(width, spec.action.size, method.bins, method.focus, method.offset_weight)

    def measure(self, action: Tensor) -> None:
        super().measure(action)
        self.head.learn(action, self.method.iterations)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Focal loss of the nearest centre, squared error of its offset."""
        classes, offsets = self.predict(self.encoder(batch.obs)).losses(batch.action)
        return {"class_loss": masked_mean(classes, batch.valid), "offset_loss": masked_mean(offsets, batch.valid)}

    def decide(self, features: Tensor) -> Tensor:
        return self.bounds(self.predict(features, last=True).sample())

    def predict(self, features: Tensor, last: bool = False) -> Clustered:
        """Features (B, T, F) to what is said about the actions (B, T, A), or about the last of them (B, A)."""
        x = self.observe(features)
        x = x if self.body is None else self.body.features(x)
        return self.head(x[:, -1] if last else x)
