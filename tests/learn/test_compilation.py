"""Whether losses are compiled, and that the fused step is AdamW's."""

from __future__ import annotations

import copy
import os
import time
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed

from imitari.core.errors import Missing, UserError
from imitari.learn import compilation
from imitari.learn.learner import Learner
from imitari.learn.optim import Optim

CPU = torch.device("cpu")


class Gains(Learner):
    compiles = True


@pytest.mark.parametrize(
    ("wanted", "learner", "steps", "expected"),
    [
        ("auto", Gains(), 100_000, True),
        ("auto", Gains(), 1_000, False),
        ("auto", Learner(), 100_000, False),
        ("off", Gains(), 100_000, False),
        ("on", Learner(), 1, True),
    ],
)
def test_long_trainings_that_gain_are_compiled(
    monkeypatch: pytest.MonkeyPatch, wanted: compilation.Compile, learner: Learner, steps: int, expected: bool
) -> None:
    monkeypatch.setattr(compilation, "compiler", lambda: "g++")
    assert compilation.compilation(wanted, learner, CPU, steps, show=False) is expected


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(compilation, "compiler", lambda: None)
    with pytest.raises(Missing, match="install"):
        compilation.compilation("on", Gains(), CPU, 1, show=False)
    assert not compilation.compilation("auto", Gains(), CPU, 100_000, show=True)
    assert "not compiled" in capsys.readouterr().err
    with pytest.raises(UserError, match="choose auto"):
        compilation.compilation("maybe", Gains(), CPU, 1, show=False)  # pyright: ignore[reportArgumentType]


def test_what_a_killed_compiler_left_is_removed(tmp_path: Path) -> None:
    library = tmp_path / "ab"
    library.mkdir()
    for name, content, age in (("empty.so", b"", 3600), ("whole.so", b"x", 3600), ("young.so", b"", 0)):
        (library / name).write_bytes(content)
        os.utime(library / name, (time.time() - age,) * 2)
    compilation._sweep(tmp_path)
    assert sorted(path.name for path in library.iterdir()) == ["whole.so", "young.so"]


def test_a_compiler_that_fails_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: object) -> NoReturn:
        raise BackendCompilerFailed("inductor", RuntimeError("file too short"), None)

    monkeypatch.setattr(torch, "compile", lambda losses: failing)
    with pytest.raises(UserError, match=r"file too short.*--compile off"):
        compilation.compiled(Gains().losses)(None)  # pyright: ignore[reportArgumentType]


def test_the_fused_step_is_that_of_adamw() -> None:
    """Ten steps, in some of which one layer has no gradient, equal those of PyTorch's own step."""

    class Two(Learner):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

        def rates(self) -> dict[str, float]:
            return {"first": 0.5}

    torch.manual_seed(0)
    ours = Two()
    theirs = copy.deepcopy(ours)
    settings = Optim(lr=1e-2, weight_decay=0.1)
    quick, plain = settings.build(ours), settings.build(theirs)
    for step in range(10):
        x = torch.randn(5, 3)
        for learner, optimiser in ((ours, quick), (theirs, plain)):
            settings.set_rate(optimiser, step, 10)
            optimiser.zero_grad()
            hidden = learner.first(x)
            loss = hidden.square().mean() if step % 3 == 1 else learner.second(hidden).square().mean()
            loss.backward()
        quick.descend()
        plain.step()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=0)
