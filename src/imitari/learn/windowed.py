"""Policies that see a window of the last observations: settings, how windows are cut, and what acting remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.sampling import Windows
from imitari.learn.agent import Agent
from imitari.learn.cloning import fit_samples
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.run import Run
from imitari.nets.diffusion import Bounds, Process
from imitari.nets.encoder import ObsEncoder
from imitari.nets.heads.actions import masked_mean
from imitari.nets.windows import WindowTransformer


@dataclass(frozen=True)
class WindowSettings(Trained):
    """Settings of methods whose policy is a causal transformer over the last observations.

    Training windows lie inside their episode, and as every step of a window is trained on what comes before it in the
    window, shorter ones are trained with it: acting begins with a window of one step and never repeats an observation.
    """

    window: int = 5  # observations that are seen; fewer at the start of an episode
    width: int = 72  # of all tokens
    heads: int = 4  # of the attention
    layers: int = 4  # of the transformer
    dropout: float = 0.1  # of embeddings, attention and the layers' outputs
    weight_decay: float = 0.1  # decoupled weight decay on matrices
    clip: float = 1.0  # bound on the norm of the gradient; 0: none

    def __post_init__(self) -> None:
        if self.window < 1 or self.width % self.heads:
            raise UserError(
                f"window {self.window}, width {self.width}, heads {self.heads}: the window must be at least 1, and the "
                "heads must divide the width"
            )

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        steps = range(self.window)
        sampler = partial(Windows, obs_offsets=steps, action_offsets=steps, inside=True)
        return fit_samples(self, demos, run, task, sampler, obs_scaling="meanstd", action_scaling="meanstd")


@dataclass(frozen=True)
class DenoiserSettings(WindowSettings):
    """Settings of methods that make the actions of a window from noise."""

    joined: bool = False  # observation and noisy action of a step are one token (their sum), not two
    alone: bool = False  # noisy actions do not see those of the steps before them; then not joined

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joined and self.alone:
            raise UserError("joined and alone do not go together: a token of both would be hidden and seen")


class WindowLearner(Learner):
    """Encoder of the observations, and the window of what it gave that acting carries along."""

    recurrent = True
    measures = True

    def __init__(self, name: str, window: int, spec: Spec) -> None:
        super().__init__()
        if spec.action.kind != "number":
            raise UserError(f"method '{name}' needs numeric actions: use bc or bc_rnn for choices")
        self.window = window
        self.encoder = ObsEncoder(spec)
        self.bounds = Bounds(spec.action.size)

    def measure(self, action: Tensor) -> None:
        self.bounds.learn(action)

    def decide(self, features: Tensor) -> Tensor:
        """Features (B, T, F) of the last T <= window observations to the action of the last of them (B, A)."""
        raise NotImplementedError

    def start(self, count: int) -> tuple[Tensor, ...]:
        return (torch.zeros(count, 0, self.encoder.width, device=next(self.parameters()).device),)

    def act_recurrent(self, obs: dict[str, Tensor], state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        seen = torch.cat([state[0], self.encoder(obs)], 1)[:, -self.window :]
        return self.decide(seen).unsqueeze(1), (seen,)


class WindowDenoiser(WindowLearner):
    """A window of actions, made from noise; of these the last is executed.

    Args:
        make: the process between noise and actions, given the range of the data.
    """

    def __init__(self, name: str, method: DenoiserSettings, spec: Spec, make: Callable[[Bounds], Process]) -> None:
        super().__init__(name, method.window, spec)
        self.size = spec.action.size
        self.process = make(self.bounds)
        shape = (method.window, method.width, method.heads, method.layers)
        self.net = WindowTransformer(self.encoder.width, self.size, *shape, method.dropout, method.joined, method.alone)

    def error(self, batch: Batch) -> Tensor:
        """Mean error of the process over the actions of the windows that are known."""
        condition = self.net.prepare(self.encoder(batch.obs))
        error = self.process.error(partial(self.net, condition=condition), batch.action)
        return masked_mean(error.mean(-1), batch.valid)

    def decide(self, features: Tensor) -> Tensor:
        network = self.net.along(self.process.path, self.net.prepare(features))
        noise = torch.randn(*features.shape[:2], self.size, device=features.device)
        return self.bounds(self.process.sample(network, noise)[:, -1])
