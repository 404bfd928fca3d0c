"""HG-DAgger: the policy acts, somebody takes over where it looks bad, and only what they then did is added and cloned.

Each round lets the current policy act under an intervener. The segments in which the intervener acted join the
demonstrations, with the intervener's actions, and the policy is trained on the whole. A person is in control of whole
segments, and not of single steps drawn at random as in DAgger; but the policy cannot become better than their hands.
Kelly, Sidrane, Driggs-Campbell & Kochenderfer 2019, "HG-DAgger: Interactive Imitation Learning with Human Experts".
Differs from it: no ensemble and no estimate of a risk threshold (its section III-C), which tell where the trained
policy is to be trusted and do not change it; scripted interveners stand for the person; the last policy is returned.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from imitari.core.demos import Demos, Provenance
from imitari.core.episode import Episode
from imitari.core.errors import UserError
from imitari.core.starts import learning_starts
from imitari.core.task import Task
from imitari.learn.agent import Agent
from imitari.learn.cloner import ClonerSettings
from imitari.learn.interactive import clone_stage, gather, segments
from imitari.learn.interveners import Watched, intervener
from imitari.learn.judging import judge_named
from imitari.learn.method import Need
from imitari.learn.recorded import kept
from imitari.learn.run import Run


@dataclass(frozen=True)
class HumanGated(ClonerSettings, Watched):
    steps: int = 2_500  # optimiser steps a round
    weight_decay: float = 1e-3  # decoupled weight decay on matrices
    rounds: int = 20  # times that the policy acts and is trained again
    round_episodes: int = 5  # episodes a round
    environment_steps: int = 0  # no round begins after so many; 0: all rounds are played
    start: Literal["scratch", "warm"] = "warm"  # a round's training: anew, or from the weights of the round before

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 500, "rounds": 10},
        "paper": {"rounds": 100, "hidden": (256, 256, 256)},
        "paper_random": {"rounds": 100, "hidden": (256, 256, 256), "intervener": "random", "probability": 0.85},
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"task", "expert"})
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 30,
        "batch": 16,
        "hidden": (32,),
        "rounds": 2,
        "round_episodes": 2,
        "intervener": "distance",
        "threshold": 0.2,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.round_episodes < 1:
            raise UserError(f"round_episodes is {self.round_episodes}: it must be at least 1")

    def fit(self, demos: Demos | None, run: Run, task: Task | None = None) -> Agent:
        """Trains in rounds. With `run.folder` each round's episodes are kept there, and a run that was cut off goes on.

        Raises:
            UserError: without demonstrations or task.
        """
        if task is None or demos is None:
            raise UserError(
                "method 'hg_dagger' begins with demonstrations and acts while it learns: give --data and --task"
            )
        judge_for = judge_named(self.judge, task, run, self.judge_steps) if self.intervener == "value" else None
        supervisor = intervener(self, task, judge_for, run.seed)
        data, acted = demos, 0
        agent = clone_stage(self, data, run, task, "round_0")
        for number in range(1, self.rounds + 1):
            if self.environment_steps and acted >= self.environment_steps:
                break
            seeds, policy = learning_starts(run.seed, number, self.round_episodes), agent
            episodes = kept(
                run,
                f"round_{number}",
                {"seeds": list(seeds), "policy": policy.identity(), "settings": json.loads(json.dumps(self.to_json()))},
                lambda policy=policy, seeds=seeds: gather(policy, task, supervisor, seeds, show=run.show),
            )
            acted += sum(map(len, episodes))
            taken = [segment for episode in episodes for segment in segments(episode)]
            if taken:
                data = Demos.concat([data, self.added(taken, data, task, number)])
            agent = clone_stage(self, data, run, task, f"round_{number}", agent if self.start == "warm" else None)
        agent.facts["environment_steps"] = acted
        return agent

    @staticmethod
    def added(taken: list[Episode], data: Demos, task: Task, number: int) -> Demos:
        """The segments in which the intervener acted."""
        step = f"hg_dagger round {number}: {len(taken)} interventions of {sum(map(len, taken))} steps"
        return Demos.from_episodes(taken, data.spec, Provenance(f"made in {task.name}", "memory", (step,)))
