"""Generative adversarial imitation: the policy is rewarded for steps that a discriminator takes for demonstrated ones.

In every round the policy acts; a discriminator is trained to tell its steps from the demonstrations; what it says of
them is their reward, for the updates of proximal policy optimisation. So the policy learns in its own states what leads
back to those of the demonstrations, where cloning knows the demonstrated states alone. No reward of the world is used.
Ho & Ermon 2016, "Generative Adversarial Imitation Learning", algorithm 1; two states in the place of state and action:
Torabi, Warnell & Stone 2018, "Generative Adversarial Imitation from Observation"; the penalty on slopes is that of
Gulrajani et al. 2017.
Differs from them: proximal policy optimisation in the place of trust regions; the discriminator takes a few batches a
round, each half of the policy's steps, and not the whole round once; its logit is bounded where it rewards;
observations are standardised by what the policy has seen, for the discriminator too. Rewards of one sign favour long or
short episodes whatever is done in them (see `reward`); absorbing states, which mend that, are not there, nor are
spectral norms, noisy labels, and a store of earlier rounds' steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.learn.adversarial import SHOWN, AdversarialReward, imitated
from imitari.learn.agent import Agent
from imitari.learn.onpolicy import OnPolicyLearner, fit_onpolicy
from imitari.learn.proximal import Proximal, ProximalPolicy
from imitari.learn.run import Run
from imitari.nets.discriminator import Discriminator, RewardForm, Sees, imitation_reward


@dataclass(frozen=True)
class AdversarialImitation(Proximal):
    clone_steps: int = 0  # optimiser steps of cloning the demonstrations first
    reward: RewardForm = "logit"  # positive: -log(1 - D), negative: log D, logit: their sum
    sees: Sees = "action"  # what the discriminator sees: state, action (with it), next (two states), all (with the end)
    judge_hidden: tuple[int, ...] = (64, 64)  # widths of the discriminator's layers
    judge_updates: int = 16  # batches that the discriminator takes in a round
    judge_batch: int = 256  # steps of the policy in such a batch, and as many demonstrated ones
    judge_rate: float = 1.0  # factor on the discriminator's learning rate
    penalty: float = 0.0  # on the discriminator's slope between the policy's steps and demonstrated ones; 0: none
    largest_logit: float = 10.0  # bound on the discriminator's logit where it rewards

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 100_000},
        "paper": {
            "steps": 1_500_000,
            "together": 5,
            "horizon": 1_000,
            "hidden": (100, 100),
            "gamma": 0.995,
            "gae_lambda": 0.97,
            "reward": "positive",
            "judge_hidden": (100, 100),
            "judge_updates": 1,
            "judge_batch": 5_000,
        },
        "paper_crafting": {
            "steps": 20_480,
            "together": 1,
            "horizon": 32,
            "batch": 32,
            "reward": "positive",
            "sees": "all",
            "acting": "sample",
        },
    }
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 128, "together": 4, "horizon": 8, "epochs": 2, "batch": 8, "hidden": (16,), "judge_hidden": (16,),
        "judge_updates": 2, "judge_batch": 8, "penalty": 0.1, "sees": "all", "clone_steps": 4,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.judge_updates, self.judge_batch) < 1 or min(self.judge_rate, self.largest_logit) <= 0:
            raise UserError(
                f"judge_updates {self.judge_updates}, judge_batch {self.judge_batch}, judge_rate {self.judge_rate:g}, "
                f"largest_logit {self.largest_logit:g}: the first two must be at least 1, the others above 0"
            )
        if self.penalty < 0:
            raise UserError(f"penalty is {self.penalty:g}: it must be at least 0")

    def learner(self, spec: Spec) -> AdversarialPolicy:
        return AdversarialPolicy(self, spec)

    def fit(self, demos: Demos | None, run: Run, task: Task | None = None) -> Agent:
        demos, task = imitated(demos, self.acting_in(task), self.name(), self.mask_key)

        def learned(learner: OnPolicyLearner) -> AdversarialReward:
            assert isinstance(learner, AdversarialPolicy)
            seen = demos.select(learner.seen)
            return AdversarialReward(
                learner, seen, updates=self.judge_updates, size=self.judge_batch, sees=self.sees, seed=run.seed
            )

        return fit_onpolicy(self, demos, run, task, learned=learned)


class AdversarialPolicy(ProximalPolicy):
    """Policy, value and discriminator. `seen`: the observations of the last."""

    def __init__(self, method: AdversarialImitation, spec: Spec) -> None:
        super().__init__(method, spec)
        self.form: RewardForm = method.reward
        self.penalty, self.largest, self.rate = method.penalty, method.largest_logit, method.judge_rate
        self.seen = [key for key in spec.obs if key != method.mask_key]
        self.discriminator = Discriminator(
            spec.select(self.seen), method.judge_hidden, sees=method.sees, activation=method.activation
        )

    def rates(self) -> dict[str, float]:
        return {"discriminator.": self.rate}

    def discriminator_losses(self, batch: Batch) -> dict[str, Tensor]:
        """-E_policy[log(1 - D)] - E_shown[log D], by half, D the chance that a step is demonstrated (line 4)."""
        return self.discriminator.losses(self.standardised(batch), batch.extra[SHOWN].bool(), self.penalty)

    def reward(self, steps: Batch) -> Tensor:
        """What the policy is to gain, (B,) (line 5)."""
        logit = self.discriminator(self.standardised(steps))
        return imitation_reward(logit.clamp(-self.largest, self.largest), self.form)

    def standardised(self, steps: Batch) -> Batch:
        assert steps.next_obs is not None
        return replace(steps, obs=self.standard(steps.obs), next_obs=self.standard(steps.next_obs))
