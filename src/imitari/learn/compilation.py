"""Whether losses are compiled: worth it where a training is long enough to repay what compiling costs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.errors import Missing, UserError
from imitari.learn.learner import Learner

Compile = Literal["auto", "on", "off"]
Losses = Callable[[Batch], dict[str, Tensor]]
# Steps from which compiling repays its half minute: on a GPU for any learner, on a processor for those that say that
# they gain (about a quarter of a step of 10 ms was measured).
LONG = {"cuda": 5_000, "cpu": 50_000}
SETTLED = 600  # seconds after which a file that a compiler still writes would be complete
HINT = "install a C++ compiler (Debian: apt-get install g++)"


def compilation(wanted: Compile, learner: Learner, place: torch.device, steps: int, *, show: bool) -> bool:
    """Whether the losses of this training are compiled.

    "auto" decides by device, learner and length, never by a timing nor by what is left to do, so that a training that
    is taken up again goes on with the same arithmetic.

    Raises:
        UserError: for another word.
        Missing: when compiling is asked for and there is no C++ compiler.
    """
    if wanted not in ("auto", "on", "off"):
        raise UserError(f"compile '{wanted}' is unknown: choose auto, on or off")
    if wanted == "off" or (wanted == "auto" and not _repays(learner, place, steps)):
        return False
    if place.type == "cuda" or compiler():
        return True
    if wanted == "on":
        raise Missing("a C++ compiler, which compiling the losses needs,", f"{HINT}, or use --compile off")
    if show:
        print(f"there is no C++ compiler, so this training is not compiled: {HINT}", file=sys.stderr)
    return False


def _repays(learner: Learner, place: torch.device, steps: int) -> bool:
    return steps >= LONG.get(place.type, steps + 1) and (place.type == "cuda" or learner.compiles)


def compiler() -> str | None:
    """The C++ compiler that would be used."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX") or "g++", "clang++"))), None)


def compiled(losses: Losses) -> Losses:
    """Losses that are compiled when they are first called.

    Raises:
        UserError: when compiling fails: names where compiled parts are kept and how to do without.
    """
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    _sweep(Path(cache_dir()))
    fast = torch.compile(losses)

    def call(batch: Batch) -> dict[str, Tensor]:
        try:
            return fast(batch)
        except BackendCompilerFailed as error:
            reason = error.inner_exception or error
            raise UserError(
                f"compiling the losses failed ({reason}): delete what was compiled, {cache_dir()}, or use --compile off"
            ) from error

    return call


def _sweep(folder: Path) -> None:
    """Removes empty libraries, which a compiler leaves that was killed and which would be loaded for good ones."""
    for path in folder.glob("*/*.so"):
        try:
            found = path.stat()
            if found.st_size == 0 and time.time() - found.st_mtime > SETTLED:
                path.unlink()
        except FileNotFoundError:
            continue
