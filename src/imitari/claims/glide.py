"""A policy that goes mode by mode reaches the goal after disturbances that a cloned policy does not survive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from imitari.core.demos import Demos, Provenance
from imitari.core.outcome import Outcome
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.counterfactual import replays
from imitari.envs import task_named
from imitari.envs.polygons import Chain, layout
from imitari.evaluate.rollout import rollout
from imitari.jobs.claim import Arm, ArmRun, Budget, Claim, Level, training_starts
from imitari.jobs.demonstrations import demonstrate
from imitari.jobs.sharing import shared, trained_once
from imitari.jobs.training import TrainRequest
from imitari.learn.agent import Agent
from imitari.learn.learner import Learner
from imitari.learn.method import Method, method_class
from imitari.learn.run import Run

DISTURBED = ", disturbed"  # suffix of an arm
POLICY: dict[str, Any] = {"hidden": [128, 128], "schedule": "cosine", "steps": 2_000}
FEW: dict[str, Any] = {**POLICY, "steps": 1_000}
SKILLS: dict[str, Any] = {"controller": "imitation"}
STRAIGHT: dict[str, Any] = {"controller": "geometric"}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "cloned": ("bc", FEW),
    "cloned trials": ("bc", POLICY),
    "attracted": ("glide", {**SKILLS, "modes": 1, "steps": 1}),
    "geometric": ("glide", SKILLS),  # the weights of the next one
    "imitation": ("glide", SKILLS),
    "true, geometric": ("glide", {**STRAIGHT, "steps": 1}),
    "true, imitation": ("glide", {**SKILLS, "steps": 1}),
}

# ---------------------------------------------------------------- the true modes in the place of learned ones


def with_true_modes(settings: dict[str, Any], chain: Chain) -> Method:
    """The method, told the mode of every state."""
    kind = method_class("glide")

    def modes_of(states: Tensor) -> Tensor:
        return torch.from_numpy(chain.modes_of(states.cpu().double().numpy())).to(states.device)

    def learner(method: Method, spec: Spec) -> Learner:
        made = kind.learner(method, spec)
        made.modes_of = modes_of  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
        return made

    return type("TrueModes", (kind,), {"learner": learner}).from_json(settings)


# ---------------------------------------------------------------- data and agents of a training seed


def where(run: ArmRun, kind: str = "") -> Task:
    """Every training seed has a layout of its own."""
    return task_named(f"polygons/{run.budget.demos['modes']}-{run.seed}{kind}")


def walked(run: ArmRun) -> Demos:
    return demonstrate(where(run), training_starts(run.seed, run.budget.demos["walks"]))


def tried(run: ArmRun) -> Demos:
    """The demonstrations, and the changed ones that succeeded: those that the modes are learned from too."""
    demos = walked(run)
    good, _ = replays(where(run, "-replay"), demos, run.budget.demos["trials"], run.seed)
    return Demos.from_episodes([*demos, *good], demos.spec, Provenance("changed demonstrations", "memory", ()))


def acting(run: ArmRun, arm: str) -> Agent:
    """The agent of an arm."""
    settings = {**CLAIM.settings(arm, run.budget), **(run.settings if run.arm == arm else {})}
    if ARMS[arm][0] == "glide":
        settings = {"modes": run.budget.demos["modes"], "trials": run.budget.demos["trials"], **settings}
    if arm.startswith("true"):
        method = with_true_modes(settings, layout(settings["modes"], run.seed))
        place = Run(seed=run.seed, show=False)
        return method.fit(walked(run), place, where(run, "-replay"))
    if arm == "geometric":
        return without_policies(trained(run, "imitation", settings))
    return trained(run, arm, settings)


def trained(run: ArmRun, arm: str, settings: dict[str, Any]) -> Agent:
    """Trained by whichever of the arms that use it is first."""
    task, data = where(run, "-replay"), tried if arm == "cloned trials" else walked
    request = TrainRequest(ARMS[arm][0], settings, task=task.name, seed=run.seed, holdout=0, show=False)
    return Agent.load(trained_once(shared(run, arm), request, lambda: data(run), task))


def without_policies(agent: Agent) -> Agent:
    """The same modes with the geometric controller."""
    method = replace(agent.method, **STRAIGHT)
    learner = method.learner(agent.spec)
    learner.load_state_dict({key: agent.learner.state_dict()[key] for key in learner.state_dict()})
    return Agent(method, learner, agent.scaler, agent.spec, agent.facts)


def run_arm(run: ArmRun) -> list[Outcome]:
    agent = acting(run, run.arm.removesuffix(DISTURBED))
    task = where(run, "-disturbed" if run.arm.endswith(DISTURBED) else "")
    return [Outcome.of(episode, run.arm, task.name, run.seed) for episode in rollout(agent, task, run.starts)]


# ---------------------------------------------------------------- what is compared, and what must come out

SMALL: dict[str, Any] = {"steps": 5, "batch": 8}
TINY: dict[str, Any] = {**SMALL, "guesses": 2, "hidden": 16, "policy_steps": 5}


def everywhere(cloning: dict[str, Any], modes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings of a budget for the arms that clone and for those with modes, disturbed or not."""
    told = {key: value for key, value in modes.items() if key != "steps"}
    each = {
        name: cloning if method == "bc" else told if "steps" in settings else modes
        for name, (method, settings) in ARMS.items()
    }
    return each | {f"{name}{DISTURBED}": settings for name, settings in each.items()}


CLAIM = Claim(
    paper="Wang, Wang, Mao, Hagenow & Shah 2024, Grounding Language Plans in Demonstrations Through Counterfactual "
    "Perturbations",
    sentence="From five demonstrations and trials of which only success or failure is known, modes are learned with "
    "which a policy comes to the goal from anywhere and after being moved, where cloned policies do not.",
    arms={f"{name}{kind}": Arm(*arm) for name, arm in ARMS.items() for kind in ("", DISTURBED)},
    task="polygons/3-0",
    criteria=(
        Level("cloned", at_least=0.85),
        Level("cloned, disturbed", at_most=0.35),
        Level("cloned trials, disturbed", at_most=0.35),
        Level("geometric, disturbed", at_least=0.75),
        Level("imitation, disturbed", at_least=0.75),
        Level("true, geometric, disturbed", at_least=0.9),
        Level("true, imitation, disturbed", at_least=0.9),
    ),
    budgets={
        "smoke": Budget(range(2), 3, {"modes": 3, "walks": 2, "trials": 15}, everywhere(SMALL, TINY), minutes=0.3),
        "quick": Budget(range(40, 56), 100, {"modes": 3, "walks": 5, "trials": 500}, minutes=15),
        "full": Budget(
            range(9), 100, {"modes": 5, "walks": 5, "trials": 500}, everywhere({}, {"steps": 2_000}), minutes=120
        ),
    },
    run_arm=run_arm,
    notes="Every training seed has a layout of its own: two polygons in a chain, as in the paper's code, but ours. "
    "'disturbed': starts anywhere outside, and up to three jumps back outside; else starts are as in the "
    "demonstrations. 'cloned' learns from the five demonstrations, 'cloned trials' from the 500 changed ones that "
    "succeeded too, 'attracted' is cloning of these with a pull to the end of the task and no modes. 'geometric' and "
    "'imitation' are the two controllers on the same learned modes, 'true' has the true modes in their place. The "
    "guesses begin as the ten of 600 segmentations of the demonstrations that explain the trials best, and are fitted"
    " in 600 updates of 32 and 32 trials, with a weight of forbidden steps in successes of 120 in the place of 1,000."
    " Settings were chosen on seeds from 1,000 on. An earlier judging on seeds 0 to 7 did not hold: guesses begun by "
    "chance ended in modes that are not there (two layouts of eight had 0 and 40 %), and the cloned controllers went "
    "astray in one layout even with the true modes. Since then guesses begin as segmentations, a small weight keeps "
    "to the first mode what need not belong to another, the way from the surroundings ends before the gate to the "
    "second polygon and is clear of that by 1.0 in the place of 0.8, and the pull to the next mode is longer than "
    "what was cloned. On seeds 20 to 27 that met all that is asked of the modes (99 % with jumps), but cloning from "
    "five demonstrations, where nothing jumps, solved 86 %, give or take 16, where at least 85 % are to show that it "
    "works at all. With 1,000 updates in the place of 300 it solves 99.8 % in twelve layouts (seeds 1020 to 1031; 96 "
    "% before, 89 % with 150); nothing else was changed. On seeds 30 to 37 all was met but one interval: cloning after "
    "jumps solved 22 %, give or take 15, where at most 35 are allowed. Nothing was changed since: twice as many fresh "
    "layouts are judged.",
)
