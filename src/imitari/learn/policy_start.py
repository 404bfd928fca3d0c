"""Where a policy that learns by acting begins: at an agent's weights, at cloned demonstrations, or nowhere."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import ACTION
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.core.task import Task
from imitari.data.sampling import Batches, Windows
from imitari.data.scaling import Scaler, Scaling
from imitari.learn.agent import Agent
from imitari.learn.cloner import Cloner
from imitari.learn.cloning import described
from imitari.learn.learner import Learner
from imitari.learn.optim import Optim
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.nets.actor_critic import ActorCritic
from imitari.nets.critics import Gaussian


def started_from(task: Task, demos: Demos | None, start: Agent | None, mask: str) -> tuple[Spec, Scaler]:
    """What is observed, and how it is scaled.

    As the starting agent has it; else observations to mean 0 and deviation 1 of the demonstrations, or as they are, and
    actions from their bounds to [-1, 1].
    """
    if start is not None:
        start.check(task.spec, f"task '{task.name}'")
        return start.spec, start.scaler
    if demos is not None:
        spec = described(demos, task).spec
        scalings = Scaler.fit(demos.with_spec(spec), "meanstd").scalings
    else:
        spec = task.spec.select([key for key, feature in task.spec.obs.items() if feature.kind != "text"])
        scalings = {key: plain(feature) for key, feature in spec.numbers.items()}
    if mask in scalings:
        scalings[mask] = plain(spec.obs[mask])
    action = spec.action
    if action.kind == "number" and action.low is not None and action.high is not None:
        low, high = (np.asarray(bound, np.float32).reshape(action.shape) for bound in (action.low, action.high))
        scalings[ACTION] = Scaling("minmax", (low + high) / 2, (high - low) / 2)
    elif action.kind == "number":
        scalings.setdefault(ACTION, plain(action))
    return spec, Scaler(scalings)


def plain(feature: Feature) -> Scaling:
    """As it is."""
    return Scaling("none", np.zeros(feature.shape, np.float32), np.ones(feature.shape, np.float32))


def take_over(start: Agent, learner: Learner, net: ActorCritic) -> None:
    """Copies the weights of an agent.

    Args:
        start: trained by the same method with the same network (everything is taken), or by plain cloning with a
            network of the same shape (the policy is taken, the value begins anew).
        learner: whose policy and value are `net`.

    Raises:
        UserError: when they do not fit.
    """
    theirs, settings, activation = start.learner, start.method.to_json(), type(net.last).__name__.lower()
    if isinstance(theirs, Cloner):
        if (settings["history"], settings["chunk"], activation) != (1, 1, "relu"):
            raise UserError(
                "policy_start: a cloned policy can be taken over with history 1, chunk 1 and --activation relu; it has "
                f"history {settings['history']}, chunk {settings['chunk']}, and the activation here is {activation}"
            )
        _load(net, {**net.state_dict(), **theirs.state_dict()}, start)
        return
    if type(theirs) is not type(learner):
        raise UserError(
            f"policy_start: an agent of method '{start.method.name()}' has no policy that can be taken over: start "
            "from one of the same method or of plain cloning, or give demonstrations with --data"
        )
    if settings["activation"] != activation:
        raise UserError(
            f"policy_start: its activation is {settings['activation']}, not {activation}: set --activation to it"
        )
    weight = learner.get_buffer("prior_weight").clone()
    _load(learner, theirs.state_dict(), start)
    learner.get_buffer("prior_weight").copy_(weight)


def _load(module: torch.nn.Module, tensors: dict[str, Tensor], agent: Agent) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        hidden = agent.method.to_json().get("hidden")
        raise UserError(
            f"policy_start: the networks differ: give the settings that it was trained with (hidden {hidden})"
        ) from error


class Cloning(Protocol):
    """Settings of the cloning that comes first."""

    @property
    def clone_steps(self) -> int: ...
    @property
    def clone_lr(self) -> float: ...
    @property
    def batch(self) -> int: ...


def clone_first(learner: Learner, net: ActorCritic, demos: Demos, scaler: Scaler, run: Run, settings: Cloning) -> None:
    """Trains the policy on the demonstrations by likelihood, the deviation of its exploration held."""
    optim = Optim(settings.clone_lr, schedule="cosine")
    batches = Batches(Windows(demos, (0,), (0,)), settings.batch, run.seed)
    scale = DeviceScaler(scaler, demos.spec, run.place)
    run.train(_FirstCloned(net), batches, optim, settings.clone_steps, scale, stage="clone")
    learner.eval()


class _FirstCloned(Learner):
    def __init__(self, net: ActorCritic) -> None:
        super().__init__()
        self.net = net

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        policy = self.net.policy({key: value[:, 0] for key, value in batch.obs.items()})
        if isinstance(policy, Gaussian):
            # As the demonstrators hardly vary, a learned deviation would leave nothing to explore with.
            policy = Gaussian(policy.mean, policy.log_scale.detach())
        return {"clone_loss": policy.loss(batch.action[:, 0]).mean()}
