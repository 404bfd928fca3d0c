"""Batches on the device in the learner's units: the only place where data is scaled for training and acting."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.episode import ACTION, Array, Obs
from imitari.core.errors import UserError
from imitari.core.spec import SOURCE, Spec
from imitari.data.scaling import Scaler, refuse_no_group


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
        self._grouped = {key for key, value in scaler.scalings.items() if value.grouped}
        self._action = scaler.scalings.get(ACTION)

    def tensor(self, value: Any) -> Any:
        """An array on the device; numbers become float32, uint8 and integers stay. Texts stay arrays."""
        if isinstance(value, np.ndarray) and value.dtype.kind in "OU":
            return value
        out = torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else torch.as_tensor(value)
        out = out.to(self.device, non_blocking=True)
        return out.float() if out.dtype == torch.float64 else out

    def scale(self, key: str, value: Any, group: Tensor | None = None) -> Tensor:
        """Feature `key` (..., *shape) on the device, scaled where it has statistics.

        `group` (B,) says which of several mixed data sets values (B, ..., *shape) are of.
        """
        out = self.tensor(value)
        if key not in self._terms:
            return out
        offset, factor, clip = self._terms[key]
        if key in self._grouped:
            refuse_no_group(group)
            offset, factor = (_spread(terms[group], out.ndim) for terms in (offset, factor))
        out = (out.float() - offset) * factor
        return out if clip is None else out.clamp(-clip, clip)

    def batch(self, batch: Batch) -> Batch:
        group = self.group(batch.obs)
        return batch.map(lambda key, value: self.scale(key, value, group))

    def obs(self, obs: Obs) -> dict[str, Tensor]:
        group = self.group(obs)
        return {key: self.scale(key, value, group) for key, value in obs.items()}

    def group(self, obs: dict[str, Any]) -> Tensor | None:
        """(B,) which of several mixed data sets the samples are of; None without a mixture."""
        if not self._grouped:
            return None
        source = self.tensor(obs[SOURCE])
        return source.reshape(len(source), -1, source.shape[-1])[:, 0].argmax(-1)

    def unscale_action(self, value: Tensor | Array, obs: dict[str, Any] | None = None) -> Array:
        """Scaled actions (B, ..., A) to recorded units, as numpy; `obs` tells their data set in a mixture. Texts are in
        theirs already."""
        if isinstance(value, np.ndarray):
            return value
        out = value.detach().float().cpu().numpy() if value.is_floating_point() else value.detach().cpu().numpy()
        if self._action is None:
            return out
        group = self.group(obs) if obs is not None else None
        return self._action.invert(out, None if group is None else group.cpu().numpy())


def _spread(terms: Tensor, dimensions: int) -> Tensor:
    """(B, *shape) to (B, 1, ..., *shape)."""
    return terms.reshape(len(terms), *[1] * (dimensions - terms.ndim), *terms.shape[1:])
