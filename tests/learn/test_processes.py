"""Processes that train together: equal to one with the larger batch, resumed after a kill, stopped together."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.data.opening import save_demos
from imitari.data.sampling import Batches, Windows
from imitari.learn.checkpoint import read_tensors
from imitari.learn.method import method_class
from imitari.learn.processes import Processes
from imitari.learn.run import Run

# Forks processes that find each other as torchrun's would; the body comes from the test.
SCRIPT = """
import os, signal, socket, sys, time
import torch
torch.set_num_threads(1)
from pathlib import Path
from torch import nn
from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.interaction import interact
from imitari.envs import task_named
from imitari.learn.learner import Learner
from imitari.learn.method import method_class
from imitari.learn.optim import Optim
from imitari.learn.run import Run

def begin(count, body):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            status = 1
            try:
                status = body(rank) or 0
            except UserError as error:
                os.write(1, f"{rank} {error}\\n".encode())
                status = error.status
            finally:
                os._exit(status)
        children.append(child)
    return children

def end(children):
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

class Line(Learner):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(1, 1)
    def losses(self, batch):
        return {"error": (self.line(batch.obs["x"]) - batch.action).square().mean()}

def numbered(number):
    x = torch.linspace(-1, 1, 8)[:, None] + 0.01 * number
    return Batch({"x": x}, 3 * x - 1)
"""


def carried_out(tmp_path: Path, body: str, *words: str) -> str:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT + body)
    done = subprocess.run(
        [sys.executable, str(script), *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder / "weights.safetensors")[0]


def test_torchrun_trains_like_one_process_with_the_larger_batch(small_demos: Demos, tmp_path: Path) -> None:
    """`torchrun -m imitari train` against a training in this process; one run folder, written once."""
    save_demos(small_demos, tmp_path / "demos.npz", "npz")
    settings = ["--steps", "20", "--batch", "16", "--hidden", "32", "--lr", "0.01", "--clip", "0.5", "--ema", "0.9"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "imitari", "train", "bc"]
    words = [*launch, "--data", str(tmp_path / "demos.npz"), "--out", str(tmp_path / "two"), *settings]
    words += ["--holdout", "0.1", "--seed", "3"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained bc") == 1
    demos, held = small_demos.split(0.1, 3)
    method = method_class("bc").from_json(
        {"steps": 20, "batch": 32, "hidden": (32,), "lr": 0.01, "clip": 0.5, "ema": 0.9}
    )
    run = Run(seed=3, show=False, folder=tmp_path / "one", held=held, precision="fp32")
    method.fit(demos, run).save(tmp_path / "one")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    start = run.build(lambda: method.learner(demos.spec)).state_dict()
    assert max(float((one[key] - start[key]).abs().max()) for key in one) > 1e-2, "nothing was learned"
    for key, value in one.items():
        assert torch.allclose(value, two[key], atol=1e-5), key
    losses = [
        [line for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines() if line]
        for name in ("one", "two")
    ]
    assert len(losses[0]) == len(losses[1]) == 1
    assert not list((tmp_path / "two").rglob("*.partial"))


RESUMED = """
task = task_named("two_ways")
world = task.make(8)
demos = Demos.from_episodes(interact(task.expert(world), world, range(8)), task.spec)
method = method_class("bc").from_json({"steps": 150, "batch": 32, "hidden": (32, 32), "ema": 0.99, "dropout": 0.1})

def training(folder):
    def body(rank):
        run = Run(folder=folder, show=False, save_seconds=0.02)
        method.fit(demos, run, task).save(folder)
        run.processes.wait()
    return body

whole, cut = Path(sys.argv[1]), Path(sys.argv[2])
assert end(begin(2, training(whole))) == [0, 0]
point, kills = cut / "resume" / "train.safetensors", 0
while kills < 2:
    seen = point.stat().st_mtime_ns if point.exists() else 0
    children = begin(2, training(cut))
    for _ in range(4000):  # until this one has written a resume point
        if point.exists() and point.stat().st_mtime_ns != seen:
            break
        time.sleep(0.005)
    for child in children:
        os.kill(child, signal.SIGKILL)
    if end(children) == [0, 0]:
        break
    kills += 1
    assert not (cut / "agent.json").exists()
assert end(begin(2, training(cut))) == [0, 0]
try:
    method.fit(demos, Run(folder=cut, show=False), task)
except UserError as error:
    print(kills, error)
"""


def test_killed_and_resumed_bit_for_bit(tmp_path: Path) -> None:
    """Two processes are killed twice; the weights equal those of two that were left alone, dropout included."""
    said = carried_out(tmp_path, RESUMED, str(tmp_path / "whole"), str(tmp_path / "cut"))
    assert said.startswith("2 "), said
    assert "number of processes" in said, "one process must not take up what two began"
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(value, two[key]) for key, value in one.items())


STOPPED = """
def broken(number):
    batch = numbered(number)
    return Batch(batch.obs, batch.action * (float("nan") if number == 9 else 1))  # step 4 of process 1

def stopped(rank):
    run = Run(show=False)
    run.train(run.build(Line), broken, Optim(), 10)

def left(number):
    if number == 9:
        os._exit(7)
    return numbered(number)

def lost(rank):
    run = Run(show=False)
    run.train(run.build(Line), left, Optim(), 10)

def reported(rank):
    torch.manual_seed(rank)  # weights and noise come from the run alone
    run = Run(seed=1, show=False, report_every=5)
    noise = []
    def noisy(number):
        batch = numbered(number)
        noise.append(float(torch.rand(())))
        return batch
    learner = run.build(Line)
    if rank == 1:
        learner.line.weight.data.fill_(9.0)
    run.train(learner, noisy, Optim(), 5)
    text = " ".join(f"{value:.9f}" for value in (learner.line.weight.item(), run.metrics.rows[-1]["loss"], noise[0]))
    os.write(1, f"seen {rank} {text}\\n".encode())

print(end(begin(2, stopped)), end(begin(2, lost)), end(begin(2, reported)))
"""


def test_they_stop_together_and_agree(tmp_path: Path) -> None:
    """A loss that is not finite in one process, a process that vanishes, weights that differ at the start."""
    printed = carried_out(tmp_path, STOPPED)
    assert printed.splitlines()[-1].endswith("[2, 2] [2, 7] [0, 0]")
    assert printed.count("stage 'train', step 4: loss term error is not finite") == 2
    assert "0 process 0 of 2 lost another one" in printed
    one, two = re.findall(r"seen \d (\S+) (\S+) ([\d.]+)", printed)
    assert one[:2] == two[:2], "weights and mean losses"
    assert one[2] != two[2], "noise"


@pytest.mark.parametrize("count", [2, 3])
def test_the_batches_of_all_processes_are_one_batch(random_demos: Demos, count: int) -> None:
    windows = Windows(random_demos)
    together = Batches(windows, 4 * count, seed=5)
    shares = [Batches(windows, 4, seed=5) for _ in range(count)]
    for number in range(100):
        parts = [share.indices(number * count + rank) for rank, share in enumerate(shares)]
        assert np.array_equal(np.concatenate(parts), together.indices(number))


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Processes.here() == Processes(0, 1, 0)
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert Processes.here() == Processes(3, 4, 1)
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UserError, match="start with torchrun"):
        Processes.here()
    assert Processes(0, 1).noise(8, 2) == 8
    assert len({Processes(rank, 3).noise(8, step) for rank in range(3) for step in range(1, 50)}) == 147
    with pytest.raises(UserError, match="use --device cuda"):
        Processes(1, 2, 1).place(torch.device("cuda:0"))
