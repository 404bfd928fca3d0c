"""BYOL: an encoder whose view of a picture predicts a slow copy's view of the same picture, changed otherwise.

1. A frame is changed twice at random (moved, scaled, colours). The encoder and a projector see one version, slow copies
   of both the other.
2. A predictor maps the first projection to the second; the loss is twice 1 - cosine, summed over both orders. No
   negatives: the slow copy and the predictor keep it from collapsing.
3. `--temporal K` takes the second version from the frame up to K steps later (BYOL-T).
Grill et al. 2020, "Bootstrap Your Own Latent", and for step 3 Cui et al. 2024 (DynaMo), who compare with it.
Differs from it: AdamW for LARS, small encoders and changes of pictures that suit them: no blur and no flips; crops are
moves and zooms whose outside repeats the border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.spec import Spec
from imitari.learn.learner import Learner
from imitari.learn.pretraining import RESNET_18, TwoViewPretrainer, TwoViews, collapse, covariance


@dataclass(frozen=True)
class Byol(TwoViews):
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "paper": {**RESNET_18, "projection": 256, "inner": 4096, "beta": 0.996, "scale": 0.5, "batch": 256},
    }

    def learner(self, spec: Spec) -> Learner:
        return Bootstrap(self, spec)


class Bootstrap(TwoViewPretrainer):
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        seen, predicted, wanted = self.compared(batch)
        loss = sum(
            (2 - 2 * functional.cosine_similarity(guess, aim.detach(), dim=1)).mean()
            for guess, aim in zip(predicted, reversed(wanted), strict=True)
        )
        return {"prediction_loss": torch.as_tensor(loss), **collapse(seen.detach(), covariance(seen.detach()))}
