"""The loop: averages, trailing copies, schedules, refusals, and a real kill -9."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.learn.checkpoint import read_tensors
from imitari.learn.learner import Lagged, Learner
from imitari.learn.optim import Average, Optim
from imitari.learn.run import Run


class Line(Learner):
    """Least squares with a trailing copy of its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.lagged = Lagged(self.line, tau=0.1, every=2)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {"error": (self.line(batch.obs["x"]) - batch.action).square().mean()}


def batches(number: int) -> Batch:
    x = torch.linspace(-1, 1, 8)[:, None] + 0.01 * number
    return Batch({"x": x}, 3 * x - 1)


def test_the_trailing_copy_follows_the_formula() -> None:
    run = Run(show=False)
    learner = run.build(Line)
    trace: list[float] = []
    follow = Lagged.follow

    class Seen(Lagged):
        def follow(self, step: int) -> None:
            follow(self, step)
            trace.append(float(self._online[0].weight.detach()))  # type: ignore[arg-type]

    expected = float(learner.lagged.copy.weight.detach())  # type: ignore[arg-type]
    learner.lagged.__class__ = Seen
    run.train(learner, batches, Optim(lr=0.05), 11)
    for step, online in enumerate(trace, 1):
        if step % 2 == 0:
            expected += 0.1 * (online - expected)
    assert float(learner.lagged.copy.weight.detach()) == pytest.approx(expected, rel=1e-5)  # type: ignore[arg-type]
    assert not any(parameter.requires_grad for parameter in learner.lagged.parameters())


def test_the_average_follows_the_formula() -> None:
    learner = Line()
    average, expected = Average(learner, 0.9), float(learner.line.weight.detach())
    for step in range(20):
        with torch.no_grad():
            learner.line.weight.fill_(float(step))
        average.follow(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    average.install()
    assert float(learner.line.weight.detach()) == pytest.approx(expected, rel=1e-5)


def test_schedules() -> None:
    cosine = Optim(schedule="cosine", warmup=10)
    assert cosine.factor(0, 100) == pytest.approx(0.1)
    assert cosine.factor(55, 100) == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert cosine.factor(100, 100) == pytest.approx(0)
    assert Optim().factor(99, 100) == 1


def test_rates_and_decay_reach_their_parameters() -> None:
    class Two(Line):
        def rates(self) -> dict[str, float]:
            return {"line.weight": 0.1}

    groups = Optim(lr=1.0, weight_decay=0.5).build(Two()).param_groups
    assert sorted((group["scale"], group["weight_decay"]) for group in groups) == [(0.1, 0.5), (1.0, 0.0)]


def test_training_solves_least_squares() -> None:
    run = Run(show=False)
    learner = run.train(run.build(Line), batches, Optim(lr=0.05, schedule="cosine"), 600)
    assert float(learner.line.weight.detach()) == pytest.approx(3, abs=1e-2)
    assert float(learner.line.bias.detach()) == pytest.approx(-1, abs=1e-2)


def test_a_loss_that_is_not_finite_stops_with_step_and_term() -> None:
    def broken(number: int) -> Batch:
        batch = batches(number)
        return Batch(batch.obs, batch.action * (float("nan") if number == 4 else 1))

    run = Run(show=False)
    with pytest.raises(UserError, match=r"step 4: loss term error is not finite"):
        run.train(run.build(Line), broken, Optim(), 10)


def test_another_training_is_not_resumed(tmp_path: Path) -> None:
    for lr in (0.01, 0.01):
        run = Run(show=False, folder=tmp_path)
        run.train(run.build(Line), batches, Optim(lr=lr), 5)
    run = Run(show=False, folder=tmp_path)
    with pytest.raises(UserError, match="other settings, data or seed"):
        run.train(run.build(Line), batches, Optim(lr=0.02), 5)


def test_metrics_are_json_lines(tmp_path: Path) -> None:
    run = Run(show=False, folder=tmp_path, report_every=2)
    run.train(run.build(Line), batches, Optim(clip=1.0), 5)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 5]
    assert {"error", "loss", "rate", "gradient", "steps_per_second"} <= rows[0].keys()


SCRIPT = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)
from pathlib import Path
from imitari.core.interaction import interact
from imitari.core.demos import Demos
from imitari.envs import task_named
from imitari.learn.method import method_class
from imitari.learn.run import Run
task = task_named("two_ways")
world = task.make(8)
demos = Demos.from_episodes(interact(task.expert(world), world, range(8)), task.spec)
method = method_class("bc").from_json({"steps": 1500, "batch": 32, "hidden": (32, 32), "ema": 0.99, "dropout": 0.1})

def train(folder):
    child = os.fork()
    if child == 0:
        method.fit(demos, Run(folder=folder, show=False, save_seconds=0.02), task).save(folder)
        os._exit(0)
    return child

began = time.monotonic()
assert os.waitpid(train(Path(sys.argv[1])), 0)[1] == 0
length = time.monotonic() - began
draw, kills = random.Random(0), 0
for _ in range(20):
    child = train(Path(sys.argv[2]))
    time.sleep(draw.uniform(0.0, length / 8))
    if os.waitpid(child, os.WNOHANG)[0]:
        break
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    kills += 1
else:
    assert os.waitpid(train(Path(sys.argv[2])), 0)[1] == 0
print(kills)
"""


def test_killed_twenty_times_and_resumed_bit_for_bit(tmp_path: Path) -> None:
    """kill -9 at random moments of the training; the final weights equal those of an uninterrupted run."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), str(tmp_path / "whole"), str(tmp_path / "cut")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10
    one, two = (read_tensors(tmp_path / name / "weights.safetensors")[0] for name in ("whole", "cut"))
    assert all(torch.equal(value, two[key]) for key, value in one.items())


def test_the_seed_decides_and_nothing_else(small_demos: Demos) -> None:
    run = Run(seed=4, show=False)
    torch.rand(100)
    first = run.build(Line).line.weight
    np.random.default_rng(0)
    assert torch.equal(first, Run(seed=4, show=False).build(Line).line.weight)
