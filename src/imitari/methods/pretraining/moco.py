"""MoCo: an encoder that recognises a picture, changed otherwise, among the others of the batch.

1. A frame is changed twice at random. Queries come from encoder, projector and predictor, keys from slow copies of the
   first two.
2. The loss is the symmetric InfoNCE: each query is to find the key of its own frame among those of the whole batch
   (times twice the temperature).
3. `--temporal K` takes the second version from the frame up to K steps later.
Chen, Xie & He 2021, "An Empirical Study of Training Self-Supervised Vision Transformers" (MoCo v3; there is no queue).
Differs from it: a small convolutional network, AdamW with small batches, gentler changes of pictures (see byol).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.spec import Spec
from imitari.learn.learner import Learner
from imitari.learn.pretraining import RESNET_18, TwoViewPretrainer, TwoViews, collapse, covariance, info_nce


@dataclass(frozen=True)
class Moco(TwoViews):
    temperature: float = 0.2  # of the softmax over the batch

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "paper": {**RESNET_18, "projection": 256, "inner": 4096, "scale": 0.5, "batch": 1024},
    }

    def learner(self, spec: Spec) -> Learner:
        return Contrast(self, spec)


class Contrast(TwoViewPretrainer):
    def __init__(self, method: Moco, spec: Spec) -> None:
        super().__init__(method, spec)
        self.temperature = method.temperature

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        seen, query, key = self.compared(batch)
        temperature = self.temperature
        loss = info_nce(query[0], key[1], temperature) + info_nce(query[1], key[0], temperature)
        return {"contrast_loss": 2 * temperature * loss, **collapse(seen.detach(), covariance(seen.detach()))}
