"""Video pretraining: an inverse model learned from a few actions labels the video, a policy with memory clones it.

1. An inverse model, which sees past and future frames, is trained on the steps whose action is known (see
   `inverse_dynamics`, which is the same stage alone).
2. It labels all other steps: the likeliest action, one that is drawn, or only where it is confident. Idle steps can be
   left out of the loss (`idle_choice`, `idle_below`); they are still seen.
3. A causal policy (network of a frame, memory, one distribution a component with logits divided by `temperature`)
   clones recorded and inferred actions; it acts by sampling.
4. `policy_start` goes on from an agent of this method on a narrower data set.
Baker et al. 2022, "Video PreTraining (VPT): Learning to Act by Watching Unlabeled Online Videos", and its published
code; the sizes of the paper are as remembered and were not checked against its text.
Differs from it: Minecraft, its native mouse and keyboard (the joint head of 8,641 buttons and a conditional camera) and
the cleaning of internet video are not here; labelled and inferred steps are cloned together; training stretches begin
with a blank memory, and each step sees the `remembered` steps before it in the same stretch, where the paper carries
the memory from stretch to stretch; attention is scaled by 1/sqrt(d); the rate falls as a cosine (the paper: linearly);
beside each label lies its probability, not the entropy; faults of single recorders are not repaired.
Its reinforcement learning (stage 5) is `ppo` with `prior_weight`, whose policy has no memory and so cannot start from
an agent of this method: it clones what `imitari data label` wrote (--data) and is kept near that. The auxiliary phase
of phasic policy gradients is not here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.curate.label import unlabelled, with_labels, without_idle
from imitari.data.sampling import Batches, Windows
from imitari.data.scaling import Scaler
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished, fit_facts, run_updates
from imitari.learn.learner import Learner
from imitari.learn.precision import choose
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.models.inverse import (
    InverseModel,
    InverseSettings,
    Labeller,
    agreement,
    comparable,
    labelling_head,
    train_inverse,
)
from imitari.nets.clips import StepEncoder
from imitari.nets.distortion import Distortion
from imitari.nets.heads.actions import Choice, Prediction, masked_mean
from imitari.nets.heads.bins import Binned
from imitari.nets.memory import MemoryTransformer
from imitari.nets.recurrent import Recurrent, State

INVERSE = "inverse"  # name of the stage


@dataclass(frozen=True)
class VideoPretraining(InverseSettings):
    labels: Literal["argmax", "sampled", "filtered", "true"] = "argmax"  # what is cloned; true: recorded actions alone
    confidence: float = 0.5  # of labels below which filtered ones are not cloned
    labeller: str = ""  # folder of an agent whose inverse model labels; without it one is trained
    inverse_steps: int = 10_000  # optimiser steps of the inverse model
    inverse_batch: int = 128  # windows a batch of the inverse model
    inverse_lr: float = 1e-3  # peak learning rate of the inverse model
    least_agreement: float = 0.0  # accuracy (R2 of numbers) on held-out episodes below which training stops
    idle_choice: int | None = None  # choice that means doing nothing and is not cloned; none: all are cloned
    idle_below: float = 0.0  # numbers that are all smaller mean doing nothing and are not cloned; 0: none
    memory: Literal["transformer", "gru"] = "transformer"  # of the policy: attention, or a recurrent network
    layers: int = 4  # of that memory
    remembered: int = 128  # steps that attention reaches back
    length: int = 128  # steps of a training stretch of the policy
    temperature: float = 2.0  # logits of the policy are divided by it, in training too
    acting: Literal["sample", "mode"] = "sample"  # drawn actions, or the likeliest
    policy_start: str = ""  # folder of an agent of this method whose policy is fine-tuned
    batch: int = 32  # stretches a batch of the policy

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {
            "network": "strided", "channels": (16, 32, 32), "filters": 16, "width": 128, "blocks": 2, "memory": "gru",
            "layers": 1, "length": 20, "inverse_steps": 1_000, "inverse_batch": 32, "steps": 1_500,
        },
        "paper": {
            "window": 128, "width": 1024, "dense": 256, "heads": 16, "colour": 0.2, "zoom": 0.05, "shift": 0.02,
            "inverse_lr": 3e-3, "lr": 2.147e-3, "weight_decay": 0.0625, "batch": 880, "schedule": "cosine",
        },
        "paper_tuning": {"lr": 1.81e-4, "weight_decay": 0.039428, "clip": 5.0, "labels": "true"},
    }  # fmt: skip
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30, "batch": 8, "inverse_steps": 5, "inverse_batch": 8, "window": 6, "width": 16, "blocks": 1,
        "heads": 2, "filters": 4, "channels": (4, 8), "layers": 1, "length": 6, "remembered": 4,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.inverse_steps, self.inverse_batch, self.remembered) < 1 or self.inverse_lr <= 0:
            raise UserError(
                f"inverse_steps {self.inverse_steps}, inverse_batch {self.inverse_batch}, remembered "
                f"{self.remembered}, inverse_lr {self.inverse_lr:g}: they must be at least 1, the last above 0"
            )
        if self.temperature <= 0 or not 0 <= self.confidence <= 1:
            raise UserError(
                f"temperature {self.temperature:g}, confidence {self.confidence:g}: the first must be above 0, the "
                "second between 0 and 1"
            )

    @property
    def trains_inverse(self) -> bool:
        return self.labels != "true" and not self.labeller

    def learner(self, spec: Spec) -> VideoPretrained:
        return VideoPretrained(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        demos = described(demos, task)
        run.identity = {**run.identity, **fit_facts(self, demos, run)}
        scaler = Scaler.fit(demos)
        learner = run.build(lambda: self.learner(demos.spec))
        assert isinstance(learner, VideoPretrained)
        if self.policy_start:
            start_from(learner, self.policy_start)
        scale = DeviceScaler(scaler, demos.spec, run.place)
        if learner.inverse is not None:
            optim = replace(self.optim(), lr=self.inverse_lr)
            steps, windows = self.inverse_steps, self.inverse_batch
            train_inverse(learner.inverse, demos, run, scale, optim, steps=steps, batch=windows, stage=INVERSE)
            learner.inverse.requires_grad_(False)
        known, facts = self._labelled(demos, learner, scaler, run)
        stretch = range(self.length)
        batches = Batches(Windows(known, stretch, stretch, inside=True), self.batch, run.seed)
        held = comparable(run.held, demos.spec)
        aside = Windows(held, stretch, stretch, inside=True) if held else None
        run_updates(self, learner, batches, scale, run, aside)
        agent = finished(self, learner, scaler, demos, run)
        agent.facts["labelling"] = facts
        return agent

    def _labelled(
        self, demos: Demos, learner: VideoPretrained, scaler: Scaler, run: Run
    ) -> tuple[Demos, dict[str, Any]]:
        """The demonstrations as they are cloned, and what was inferred."""
        if self.labels == "true":
            return without_idle(demos, self.idle_choice, self.idle_below), {"source": "recorded"}
        label = self._labeller(demos, learner, scaler, run)
        facts: dict[str, Any] = {"source": self.labels, "held_out": self._checked(label, run)}
        episodes = unlabelled(demos)
        if len(episodes):
            found = label(demos, episodes)
            least = self.confidence if self.labels == "filtered" else 0.0
            demos = with_labels(demos, episodes, found.action, found.confidence, "the inverse model", least)
            facts |= {"episodes": len(episodes), "confidence": float(np.mean(found.confidence))}
        return without_idle(demos, self.idle_choice, self.idle_below), facts

    def _labeller(self, demos: Demos, learner: VideoPretrained, scaler: Scaler, run: Run) -> Labeller:
        model, spec = learner.inverse, demos.spec
        if model is None:
            agent = Agent.load(Path(self.labeller), str(run.place))
            found = getattr(agent.learner, INVERSE, agent.learner)
            if not isinstance(found, InverseModel):
                raise UserError(f"labeller {self.labeller}: that agent has no inverse model: give one that has")
            agent.check(demos.spec, "these demonstrations")
            model, scaler, spec = found, agent.scaler, agent.spec
        pick = "sampled" if self.labels == "sampled" else "argmax"
        return Labeller(model, scaler, spec, choose(run.precision, model, run.place), pick=pick, seed=run.seed)

    def _checked(self, label: Labeller, run: Run) -> dict[str, float] | None:
        """How the labels agree with recorded actions of the held-out episodes."""
        held = comparable(run.held, label.spec)
        if held is None:
            if self.least_agreement:
                raise UserError("least_agreement is judged on held-out episodes with actions: give --holdout, or more")
            return None
        episodes = np.arange(len(held))
        found = agreement(label(held, episodes), held, episodes)
        value = found.get("accuracy", found.get("r2", float("nan")))
        if self.least_agreement and not value >= self.least_agreement:
            raise UserError(
                f"the inverse model agrees with held-out actions to {value:.3f}, less than least_agreement "
                f"{self.least_agreement:g}: train it longer or on more episodes with actions"
            )
        return found


class VideoPretrained(Learner):
    """The policy, and beside it the inverse model that labelled what it clones."""

    recurrent = True

    def __init__(self, method: VideoPretraining, spec: Spec) -> None:
        super().__init__()
        self.acting = method.acting
        self.policy = RememberingPolicy(method, spec)
        self.inverse = InverseModel(method, spec) if method.trains_inverse else None

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        prediction, _ = self.policy(batch.obs, None)
        return {"action_loss": masked_mean(prediction.loss(batch.action), batch.valid)}

    def start(self, count: int) -> State:
        return self.policy.body.start(count)

    def act_recurrent(self, obs: dict[str, Tensor], state: State) -> tuple[Tensor, State]:
        prediction, state = self.policy(obs, state)
        return prediction.sample() if self.acting == "sample" else prediction.mode, state


class RememberingPolicy(nn.Module):
    """Network of a frame, memory, head."""

    def __init__(self, method: VideoPretraining, spec: Spec) -> None:
        super().__init__()
        width = method.width
        distortion = Distortion(method.shift, method.zoom, method.colour)
        self.encoder = StepEncoder(
            spec, width, method.channels, method.network, dense=method.dense, distortion=distortion
        )
        self.body = (
            Recurrent(width, width, method.layers, "gru")
            if method.memory == "gru"
            else MemoryTransformer(width, width, method.layers, method.heads, method.remembered)
        )
        self.norm = nn.LayerNorm(width)
        self.head = labelling_head(method, width, spec.action)
        self.temperature = method.temperature

    def forward(self, obs: dict[str, Tensor], state: State | None) -> tuple[Prediction, State]:
        """Observations (B, T, ...) and the memory before them to a prediction of (B, T, A) and the memory after."""
        features, after = self.body(self.encoder(obs), state)
        prediction = self.head(self.norm(features.float().relu()))
        if isinstance(prediction, Choice | Binned):
            prediction.logits = prediction.logits / self.temperature
        return prediction, after


def start_from(learner: VideoPretrained, folder: str) -> None:
    """Takes over the policy of an agent of this method.

    Raises:
        UserError: when it has another method or another network.
    """
    theirs = Agent.load(Path(folder))
    if not isinstance(theirs.learner, VideoPretrained):
        raise UserError(f"policy_start {folder}: is an agent of method '{theirs.method.name()}', not of this one")
    try:
        learner.policy.load_state_dict(theirs.learner.policy.state_dict())
    except RuntimeError as error:
        raise UserError(
            f"policy_start {folder}: the networks differ: give the settings that it was trained with"
        ) from error
