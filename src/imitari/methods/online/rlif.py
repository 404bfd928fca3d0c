"""RLIF: reinforcement learning in which being interrupted is the only reward.

Somebody watches the policy and takes over for a few steps where it looks bad. What the policy did last before that gets
-1, everything else 0, whatever the somebody then did: an off-policy learner that begins with demonstrations (rewards 0)
makes interventions rare, and so can become better than the hands that took over, if the eye that judged was better.
Luo, Dong, Zhai, Ma & Levine 2024, "RLIF: Interactive Imitation Learning as Reinforcement Learning".
Differs from the authors' code: steps inside an intervention are stored (as in the paper's pseudo-code; `store_inside`),
several environments are stepped together, the policy is updated at the critics before the last of their updates, and
the trained policy acts by its mean unless `acting` is sample. A person with a button is not here: a `Supervisor` is.
The policy is not evaluated while it learns; how often it is interrupted is logged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from imitari.core.demos import Demos
from imitari.core.task import Task
from imitari.learn.actor_critic import SoftSettings
from imitari.learn.agent import Agent
from imitari.learn.blame import Blame, Ending
from imitari.learn.interveners import Watched, intervener
from imitari.learn.judging import judge_named
from imitari.learn.method import Need
from imitari.learn.offpolicy import fit_offpolicy
from imitari.learn.run import Run


@dataclass(frozen=True)
class InterventionsAsReward(SoftSettings, Watched):
    utd: int = 5  # updates of the critics an environment step; the policy has one
    hidden: tuple[int, ...] = (256, 256, 256)  # widths of the layers
    entropy_backup: bool = False  # whether the entropy is part of the value, or of the policy's loss alone
    store_inside: bool = True  # keep steps of the intervener that it follows with another one
    blame_window: int = 1  # policy steps before a take-over that share its -1
    ending: Ending = "omit"  # an episode's last step: left out, kept (failures go on), or kept with -1 for failures

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 10_000, "utd": 2, "critics": 2, "hidden": (128, 128)},
        "paper": {"steps": 1_000_000, "together": 1, "store_inside": False, "acting": "sample"},
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"task", "expert"})
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 60,
        "batch": 16,
        "hidden": (32,),
        "critics": 3,
        "utd": 2,
        "together": 3,
        "intervener": "distance",
        "threshold": 0.5,
    }

    def __post_init__(self) -> None:
        SoftSettings.__post_init__(self)
        Watched.__post_init__(self)
        Blame(self.gamma, self.blame_window)

    def fit(self, demos: Demos | None, run: Run, task: Task | None = None) -> Agent:
        """Acts under the intervener and learns; demonstrations need no reward, and may be missing."""
        task = self.acting_in(task)
        judge_for = judge_named(self.judge, task, run, self.judge_steps) if self.intervener == "value" else None
        supervisor = intervener(self, task, judge_for, run.seed)
        labels = Blame(self.gamma, self.blame_window, self.store_inside, self.ending)
        return fit_offpolicy(self, demos, run, task, labels=labels, supervisor=supervisor, without_reward=True)
