"""Models of a single step: which action led from some frames to the next one, or what an action leads to.

Both are perceptrons that are trained until held-out episodes say enough (early stopping), the way the baselines of
Zhang et al. 2023, "Action Inference by Maximising Evidence", are trained in its published code.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.data.sampling import Batches, Windows
from imitari.learn.learner import Learner
from imitari.learn.optim import Optim
from imitari.learn.precision import autocast, choose
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.nets.critics import action_width, flat_action
from imitari.nets.encoder import NumberEncoder, ObsEncoder
from imitari.nets.heads.actions import Prediction, action_head
from imitari.nets.mlp import mlp

CHECKED = 8192  # held-out windows that a check looks at
TOGETHER = 4096  # windows that are labelled together


@dataclass(frozen=True)
class Patience:
    """When a one-step model has learned enough.

    Attributes:
        held: share of the episodes that only judge.
        checks: epochs in a row without improvement after which training ends.
        epochs, steps: that it takes at least. most: steps that it takes at most.
    """

    held: float
    checks: int
    epochs: int
    steps: int
    most: int

    def __post_init__(self) -> None:
        if not 0 < self.held < 1 or min(self.checks, self.most) < 1:
            raise UserError(
                f"a model with held {self.held:g}, patience {self.checks}, at most {self.most} steps: held must lie "
                "between 0 and 1, the others be at least 1"
            )


class OneStep(Learner):
    """A model that remembers its best weights and how long ago they were found, across restarts too.

    Args:
        net: trained; `best` holds the weights that held-out episodes liked best.
        before, after: frames that a sample shows: `before` up to step t, `after` beyond it.
    """

    def __init__(self, net: nn.Module, before: int, after: int) -> None:
        super().__init__()
        self.net, self.best = net, copy.deepcopy(net).requires_grad_(False)
        self.offsets = range(1 - before, 1 + after)
        self.register_buffer("least", torch.tensor(torch.inf))
        self.register_buffer("waited", torch.zeros((), dtype=torch.long))

    def error(self, net: nn.Module, batch: Batch) -> Tensor:
        """Mean loss of a batch of windows."""
        raise NotImplementedError

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"model_loss": self.error(self.net, batch)}

    @torch.no_grad()
    def judged(self, loss: float) -> None:
        """Keeps the present weights where they are the best so far, or waits on."""
        least, waited = self.get_buffer("least"), self.get_buffer("waited")
        if loss < float(least):
            least.fill_(loss)
            waited.zero_()
            self.best.load_state_dict(self.net.state_dict())
        else:
            waited.add_(1)


class InverseStep(OneStep):
    """p(a_t | o_{t-k+2}, ..., o_{t+1}) from k frames: a point, or a distribution over choices."""

    def __init__(self, spec: Spec, frames: int, hidden: tuple[int, ...]) -> None:
        encoder = ObsEncoder(spec)
        body = mlp(encoder.width * frames, hidden[:-1], hidden[-1])
        net = nn.ModuleDict({"encoder": encoder, "body": body, "head": action_head("mse", hidden[-1], spec.action)})
        super().__init__(net, frames - 1, 1)

    def error(self, net: nn.Module, batch: Batch) -> Tensor:
        return self.predict(batch.obs, net).loss(batch.action[:, 0]).mean()

    def predict(self, obs: dict[str, Tensor], net: nn.Module | None = None) -> Prediction:
        """Frames (B, k, ...) to a prediction of (B, A), by the best weights."""
        net = net or self.best
        assert isinstance(net, nn.ModuleDict)
        return net["head"](net["body"](net["encoder"](obs).flatten(1)).relu())


class ForwardStep(OneStep):
    """o_{t+1} from the frames up to o_t and a_t: numbers, and a choice as one-hot."""

    def __init__(self, spec: Spec, history: int, hidden: tuple[int, ...]) -> None:
        if spec.images:
            raise UserError(
                f"a one-step model predicts numbers, and '{next(iter(spec.images))}' is a picture: choose numbers with "
                "--obs, or a method with a world model"
            )
        encoder = NumberEncoder(spec)
        width = encoder.width
        super().__init__(mlp(width * history + action_width(spec.action), hidden, width), history, 1)
        self.encoder, self.action = encoder, spec.action

    def error(self, net: nn.Module, batch: Batch) -> Tensor:
        return self.distance(batch.obs, flat_action(batch.action[:, 0], self.action).float(), net)

    def distance(self, obs: dict[str, Tensor], action: Tensor, net: nn.Module | None = None) -> Tensor:
        """Mean squared distance between what flat actions (B, A) lead to and the newest of the frames (B, k + 1, ...),
        summed over its numbers."""
        frames = self.encoder(obs)
        seen, newest = frames[:, :-1], frames[:, -1]
        change = (net or self.best)(torch.cat([seen.flatten(1), action], -1))
        return ((seen[:, -1] + change - newest) ** 2).sum(-1).mean()


def train_one_step(
    model: OneStep, own: Demos, run: Run, scale: DeviceScaler, optim: Optim, batch: int, stage: str, patience: Patience
) -> Demos:
    """Trains `model` on own experience until `patience` ends; returns the held-out episodes."""
    part, held = own.split(patience.held, run.seed)
    if held is None:
        raise UserError(f"{own.provenance.path}: {len(own)} episodes with actions: too few to hold some out")
    batches = Batches(_windows(part, model), batch, run.seed)
    check = _windows(held, model)
    looked_at = check.gather(np.linspace(0, len(check) - 1, min(CHECKED, len(check))).astype(np.int64))
    epoch = -(-len(batches.sampler) // batch)
    updates = run.begin(model, optim, patience.most, scale, stage=stage)
    count, rank = run.processes.count, run.processes.rank
    for step in range(updates.first, patience.most):
        if int(model.get_buffer("waited")) >= patience.checks:
            break
        updates.step(step, batches(step * count + rank))
        done = step + 1
        if done % epoch == 0 or done == patience.most:
            early = done < patience.steps or done < patience.epochs * epoch
            model.judged(_loss(model, looked_at, scale, run))
            if early:
                model.get_buffer("waited").zero_()
        over = done == patience.most or int(model.get_buffer("waited")) >= patience.checks
        if done % run.report_every == 0 or over:
            updates.report(done, {"held_loss": float(model.get_buffer("least"))})
        if over or updates.due(done):
            updates.save(done)
    updates.finish()
    return held


def _windows(demos: Demos, model: OneStep) -> Windows:
    return Windows(demos, model.offsets, (0,), final=True)


def _loss(model: OneStep, batch: Batch, scale: DeviceScaler, run: Run) -> float:
    model.eval()
    with torch.inference_mode(), autocast(choose(run.precision, model, run.place), run.place):
        loss = float(model.error(model.net, scale.batch(batch)))
    model.train()
    return loss


def inferred(model: InverseStep, demos: Demos, scale: DeviceScaler) -> Array:
    """Actions (N, *A) of all steps of the demonstrations, in recorded units and within their bounds."""
    windows = Windows(demos, model.offsets, (0,), final=True, unknown=True)
    parts: list[Array] = []
    model.eval()
    for begin in range(0, len(windows), TOGETHER):
        obs = windows.gather(np.arange(begin, min(len(windows), begin + TOGETHER))).obs
        with torch.inference_mode():
            parts.append(scale.unscale_action(model.predict(scale.obs(obs)).mode))
    feature = demos.spec.action
    action = np.concatenate(parts).reshape(-1, *feature.shape)
    if feature.kind == "number" and feature.low is not None and feature.high is not None:
        action = np.clip(action, np.asarray(feature.low), np.asarray(feature.high))
    return action.astype(np.dtype(feature.dtype))
