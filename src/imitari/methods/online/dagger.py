"""DAgger: the policy acts, the expert says what it would have done in every state, and all of that is cloned again.

Cloned policies drift into states that no demonstration shows. Each round lets the current policy act (mixed with the
expert in the early rounds), labels every visited state with the expert's action, adds that to all data before, and
trains on the whole.
Ross, Gordon & Bagnell 2011, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning",
algorithm 3.1.
Differs from it: the last policy is returned, not the best of all rounds on validation; given demonstrations are the
first round, in which the expert acts alone; a round may go on from the weights of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from imitari.core.demos import Demos, Provenance
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.starts import learning_starts
from imitari.core.task import Actor, RandomActor, Task
from imitari.learn.agent import Agent
from imitari.learn.cloner import ClonerSettings
from imitari.learn.interactive import Mixing, MixingSupervisor, clone_stage, gather
from imitari.learn.method import Need
from imitari.learn.recorded import kept
from imitari.learn.run import Run


@dataclass(frozen=True)
class DatasetAggregation(ClonerSettings):
    steps: int = 3_000  # optimiser steps a round
    rounds: int = 5  # times that the policy acts, is labelled, and is trained again
    round_episodes: int = 10  # episodes a round
    expert_decay: float = 0.5  # the expert acts in a share expert_decay^i of round i; 0: the policy acts alone
    mixing: Mixing = "step"  # who acts is drawn afresh every step, or once an episode
    start: Literal["scratch", "warm"] = "scratch"  # a round's training: anew, or from the weights of the round before

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"steps": 2_000},
        "paper": {"rounds": 20, "expert_decay": 0.0, "steps": 10_000},
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"task", "expert"})
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 16, "hidden": (32,), "rounds": 2, "round_episodes": 2}

    def __post_init__(self) -> None:
        if self.rounds < 0 or self.round_episodes < 1 or not 0 <= self.expert_decay <= 1:
            raise UserError(
                f"rounds {self.rounds}, round_episodes {self.round_episodes}, expert_decay {self.expert_decay}: "
                "they must be at least 0, at least 1, and between 0 and 1"
            )
        if self.start not in ("scratch", "warm"):
            raise UserError(f"start '{self.start}' is unknown: choose scratch or warm")

    def fit(self, demos: Demos | None, run: Run, task: Task | None = None) -> Agent:
        """Trains in rounds. Without demonstrations the expert alone gives those of the first round.

        With `run.folder`, each round's episodes and training are kept there, and a run that was cut off goes on.
        """
        task = self.acting_in(task)
        data = demos if demos is not None else self.labelled(RandomActor(task.spec), task.spec, run, task, 0)
        agent = clone_stage(self, data, run, task, "round_0")
        for number in range(1, self.rounds + 1):
            data = Demos.concat([data, self.labelled(agent, data.spec, run, task, number)])
            before = agent if self.start == "warm" else None
            agent = clone_stage(self, data, run, task, f"round_{number}", before)
        return agent

    def labelled(self, actor: Actor, spec: Spec, run: Run, task: Task, number: int) -> Demos:
        """Episodes of the mixture of expert (share expert_decay^number) and `actor`, labelled by the expert."""
        seeds = learning_starts(run.seed, number, self.round_episodes)
        supervisor = MixingSupervisor(self.expert_decay**number, self.mixing, run.seed)
        policy = actor.identity() if isinstance(actor, Agent) else "expert"
        episodes = kept(
            run,
            f"round_{number}",
            {"seeds": list(seeds), "beta": supervisor.beta, "by": self.mixing, "policy": policy},
            lambda: gather(actor, task, supervisor, seeds, label=True, show=run.show),
        )
        step = f"dagger round {number}, expert acts in {supervisor.beta:.3g} of it, starts {seeds[0]} to {seeds[-1]}"
        return Demos.from_episodes(episodes, spec, Provenance(f"made in {task.name}", "memory", (step,)))
