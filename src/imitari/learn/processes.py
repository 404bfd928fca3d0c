"""Processes that train one learner together, started by torchrun: gradients are averaged, the first process writes.

Without torchrun's environment variables there is one process, and nothing here is called in its training steps.
"""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as group

from imitari.core.errors import UserError

BUCKET = 1 << 23
"""Numbers that are averaged in one call: enough that its latency does not count, few beside the weights themselves."""


@dataclass(frozen=True)
class Processes:
    """This process among those of one training.

    Attributes:
        rank: its number.
        count: how many there are.
        local: its number on this machine, which is the GPU that it takes.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @staticmethod
    def here() -> Processes:
        """As torchrun's environment variables say.

        Raises:
            UserError: when they contradict each other.
        """
        words = [os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
        if None in words:
            return Processes()
        rank, count, local = (int(word) if word and word.isdecimal() else -1 for word in words)
        if not (0 <= rank < count and 0 <= local < count):
            raise UserError(
                f"environment variables RANK, WORLD_SIZE, LOCAL_RANK are {', '.join(map(str, words))}: "
                "start with torchrun, or unset them"
            )
        return Processes(rank, count, local)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.rank == 0

    def place(self, device: torch.device) -> torch.device:
        """The device of this process: of several on one machine each takes its own GPU."""
        if self.count == 1 or device.type != "cuda":
            return device
        if device != torch.device("cuda"):
            raise UserError(f"device '{device}' is one for all {self.count} processes: use --device cuda")
        if self.local >= torch.cuda.device_count():
            raise UserError(
                f"process {self.local} of this machine has no GPU, there are {torch.cuda.device_count()}: start at "
                "most as many processes, or use --device cpu"
            )
        return torch.device("cuda", self.local)

    def noise(self, seed: int, *further: int) -> int:
        """The seed of this process's own noise; the seed itself where there is one process."""
        if self.count == 1:
            return seed
        return int(np.random.SeedSequence([seed, self.rank, *further]).generate_state(1)[0])

    def join(self, place: torch.device) -> None:
        """Meets the others: NCCL between GPUs, gloo between processors."""
        if self.count == 1 or group.is_initialized():
            return
        on_gpu = place.type == "cuda"
        if on_gpu:
            torch.cuda.set_device(place)
        try:
            group.init_process_group("nccl" if on_gpu else "gloo", device_id=place if on_gpu else None)
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"process {self.rank} of {self.count} did not meet the others ({_first_line(error)}): start all with "
                "torchrun"
            ) from error
        atexit.register(group.destroy_process_group)

    @torch.no_grad()
    def equalise(self, module: nn.Module) -> None:
        """Gives every process the first one's parameters and buffers."""
        if self.count == 1:
            return
        for value in module.state_dict().values():
            sent = value.contiguous()
            self._together(lambda data: group.broadcast(data, 0), sent.reshape(-1).view(torch.uint8))
            value.copy_(sent)

    @torch.no_grad()
    def averaged(self, parameters: Sequence[nn.Parameter], terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replaces every gradient by its mean over the processes; returns the terms' means.

        The same parameters must have received a gradient in all processes.
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        place = parameters[0].device
        numbers = torch.stack([value.detach().float().to(place) for value in terms.values()])
        for bucket in _buckets([numbers, *gradients]):
            flat = torch.cat([value.reshape(-1) for value in bucket])
            self._together(group.all_reduce, flat)
            flat /= self.count
            parts = flat.split([value.numel() for value in bucket])
            for value, part in zip(bucket, parts, strict=True):
                value.copy_(part.view_as(value))
        return dict(zip(terms, numbers.unbind(), strict=True))

    def same(self, number: int) -> bool:
        """Whether all processes have this number."""
        if self.count == 1:
            return True
        place = "cuda" if group.get_backend() == "nccl" else "cpu"
        ends = torch.tensor([number, -number], device=place)
        self._together(lambda data: group.all_reduce(data, group.ReduceOp.MAX), ends)
        return ends.tolist() == [number, -number]

    def wait(self) -> None:
        """Until all are here; for processes that have met."""
        if self.count > 1 and group.is_initialized():
            self.same(0)

    def _together(self, call: Callable[[Tensor], object], data: Tensor) -> None:
        try:
            call(data)
        except RuntimeError as error:
            raise UserError(
                f"process {self.rank} of {self.count} lost another one ({_first_line(error)}): the message of that one "
                "says why; the same command resumes"
            ) from error


def _buckets(values: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for value in values:
        if bucket and size + value.numel() > BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(value)
        size += value.numel()
    yield bucket


def _first_line(error: Exception) -> str:
    """Without the place in the source that gloo puts before it."""
    return re.sub(r"^\[[^\]]*\] ", "", str(error).strip().split("\n")[0])[:120] or type(error).__name__
