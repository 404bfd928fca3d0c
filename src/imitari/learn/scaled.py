"""Batches on the device in the learner's units: the only place where data is scaled for training and acting."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.episode import ACTION, Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.data.scaling import Scaler


class DeviceScaler:
    """A `Scaler` as tensors on one device.

    Args:
        scaler: fitted statistics.
        spec: what must be scaled; a numeric observation without statistics is refused.
        device: where batches go.
    """

    def __init__(self, scaler: Scaler, spec: Spec, device: torch.device) -> None:
        for key in spec.numbers:
            if key not in scaler.scalings:
                raise UserError(f"observation '{key}' has no scaling statistics: train again with this observation")
        self.device = device
        self._terms = {
            key: (torch.as_tensor(value.offset).to(device), (1 / torch.as_tensor(value.width)).to(device), value.clip)
            for key, value in scaler.scalings.items()
        }
        self._action = scaler.scalings.get(ACTION)

    def tensor(self, value: Any) -> Tensor:
        """An array on the device; numbers become float32, uint8 and integers stay."""
        out = torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else torch.as_tensor(value)
        out = out.to(self.device, non_blocking=True)
        return out.float() if out.dtype == torch.float64 else out

    def scale(self, key: str, value: Any) -> Tensor:
        """Feature `key` (..., *shape) on the device, scaled where it has statistics."""
        out = self.tensor(value)
        if key not in self._terms:
            return out
        offset, factor, clip = self._terms[key]
        out = (out.float() - offset) * factor
        return out if clip is None else out.clamp(-clip, clip)

    def batch(self, batch: Batch) -> Batch:
        return batch.map(self.scale)

    def obs(self, obs: Obs) -> dict[str, Tensor]:
        return {key: self.scale(key, value) for key, value in obs.items()}

    def unscale_action(self, value: Tensor) -> Array:
        """Scaled actions to recorded units, as numpy."""
        out = value.detach().float().cpu().numpy() if value.is_floating_point() else value.detach().cpu().numpy()
        return out if self._action is None else self._action.invert(out)
