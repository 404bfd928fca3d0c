"""GLiDE: finds where the modes of a plan lie from changed demonstrations that succeed or fail, and goes mode by mode.

A plan says in words which modes a task goes through and which direct steps between modes are possible, but not where in
the state space they lie. Demonstrations are deformed and tried again; of each trial only success or failure is known. A
classifier of states learns to explain them: no forbidden step in a success, at least one in a failure. Its modes then
cut the demonstrations into skills, and the policy goes on from whatever mode a disturbance has put it in.
Wang, Wang, Mao, Hagenow & Shah 2024, "Grounding Language Plans in Demonstrations Through Counterfactual Perturbations".
Differs from the paper: the way from mode to mode leads along the shortest path on a grid, in the place of RRT with a
potential field and of straight lines; a step that would enter a forbidden mode is turned aside; the guess is chosen by
its accuracy on held-out trials. The guesses begin as those of many segmentations of the demonstrations that explain the
trials best, are fitted in rounds of fewer guesses on finer paths, and keep to the first mode what need not belong to
another. Absent: pictures as states, robot arms, and asking a language model for the state
features of each mode (all of the state is read).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import Array, Episode
from imitari.core.errors import UserError
from imitari.core.pictures import Mark, Picture, Plane
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.counterfactual import STATE, by_arc_length, replays
from imitari.data.scaling import Scaler
from imitari.language.plans import language_plan
from imitari.learn.agent import Agent
from imitari.learn.cloning import described, finished, fit_facts
from imitari.learn.learner import Learner
from imitari.learn.method import Need, Trained
from imitari.learn.optim import Schedule
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.models.modes import BEGUN, SUCCEEDED, Beginning, ModeClassifier, Weights, successors
from imitari.models.segments import Demonstrated, segmentations
from imitari.nets.critics import stacked_mlp
from imitari.plan.wavefront import CELLS, Wavefront, cells_of, centres, distance_from, widened

HELD = 0.2  # share of the trials by which the guess is chosen
TURNS = (0, 25, -25, 50, -50, 75, -75, 100, -100, 125, -125, 150, -150)  # degrees, tried in this order
FEWEST = 10  # trials of either outcome
POLICY_LR = 1e-3  # of the cloned policies
MODE = "mode"
STREAM = 0x61
SHOWN, SHOWN_POINTS = 20, 100  # demonstrations that are cut into segments, at most, and points along each
FUNNEL = 0.4  # share of the clearance within which a gate may be approached along what lies beside it
GATE, WIDE = 0.25, 1.1  # share of the successes that make up a gate; how far it reaches beyond them, in cells
BEGIN_STEPS = 200  # updates in which the guesses take the shape of regions around segments


@dataclass(frozen=True)
class GroundedPlan(Trained):
    plan: str = ""  # file with the answer of a language model (JSON: modes, feasible); empty: `modes` modes in a row
    modes: int = 3  # in a row, where no file is given; the first is where everything begins
    trials: int = 500  # changed demonstrations of either outcome
    points: int = 96  # along each trial, at equal distances
    segments: int = 300  # segmentations of the demonstrations that are tried; the best begin the guesses (0: by chance)
    guesses: int = 10  # groundings learned at once, of which one is chosen
    rounds: int = 2  # of fitting: after each a quarter of the guesses goes on, on twice as many points
    hidden: int = 256  # width of the classifier's layer
    success_weight: float = 120.0  # of forbidden steps in successes
    failure_weight: float = 1.0  # of failures without a forbidden step
    end_weight: float = 10.0  # of beginning in the first mode, and of ending in the last
    elsewhere_weight: float = 0.3  # of giving states to other modes than the first, without need
    best_share: float = 0.9  # weight of the best guess's loss; the mean of all guesses has the rest
    controller: Literal["geometric", "imitation"] = "geometric"  # the way to the next mode, or a cloned policy a mode
    clearance: float = 1.0  # distance kept from modes that may not be entered
    attraction: float = 2.0  # of the next mode's entry, beside the cloned policies
    policy_hidden: tuple[int, ...] = (128, 128)  # widths of the cloned policies
    policy_steps: int = 2_000  # optimiser steps of the cloned policies
    steps: int = 600  # optimiser steps of the classifier, in all rounds together
    batch: int = 32  # trials of either outcome a batch
    lr: float = 5e-3  # peak learning rate of the classifier
    schedule: Schedule = "cosine"  # constant or cosine

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {},
        "paper": {
            "steps": 40_000,
            "batch": 400,
            "lr": 1e-3,
            "schedule": "constant",
            "success_weight": 1000.0,
            "elsewhere_weight": 0.0,
            "points": 100,
            "segments": 0,
            "rounds": 1,
            "hidden": 128,
        },
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"trials"})
    smoke: ClassVar[dict[str, Any]] = {
        "steps": 20, "batch": 8, "trials": 12, "points": 20, "hidden": 16, "guesses": 4, "segments": 20,
        "controller": "imitation", "policy_hidden": (8,), "policy_steps": 10,
    }  # fmt: skip

    def learner(self, spec: Spec) -> Navigator:
        return Navigator(self, spec)

    def fit(self, demos: Demos, run: Run, task: Task | None = None) -> Agent:
        """From demonstrations that are changed and tried in `task`, or from data that holds failures already.

        Raises:
            UserError: when nothing failed and nothing can be tried.
        """
        demos = described(demos, task)
        run.identity = {**run.identity, **fit_facts(self, demos, run)}
        learner = run.build(lambda: self.learner(demos.spec))
        assert isinstance(learner, Navigator)
        good, bad = self.outcomes(demos, run, task)
        scaler = Scaler.fit(demos, "none", "none")
        scale = DeviceScaler(scaler, demos.spec, run.place)
        shown = [one.obs[STATE] for one in demos if one.success is not False][:SHOWN]
        accuracy = self.explained(learner.classifier, (shown, good, bad), scale, run)
        learner.ground(good)
        if learner.policies is not None:
            clips, optim = self.clips(learner, good, run), replace(self.optim(), lr=POLICY_LR)
            run.train(learner.policies, clips, optim, self.policy_steps, scale, stage="skills")
        agent = finished(self, learner, scaler, demos, run)
        agent.facts["grounding"] = {"held_out_accuracy": accuracy.tolist(), "chosen": int(learner.classifier.best)}
        return agent

    def explained(
        self,
        classifier: ModeClassifier,
        seen: tuple[Sequence[Array], Sequence[Episode], Sequence[Episode]],
        scale: DeviceScaler,
        run: Run,
    ) -> Tensor:
        """Fits the classifier to what was seen, ways of demonstrations, successes and failures: in rounds of ever fewer
        guesses on ever finer paths. The held-out accuracies of those that are left."""
        shown, good, bad = seen
        ways = [one.obs[STATE] for one in (*good, *bad)]
        succeeded = np.arange(len(ways)) < len(good)
        chosen, held = self.split(succeeded, run.seed)
        classifier.fit_range(scale.tensor(np.concatenate(ways)))
        truth = scale.tensor(succeeded[held])
        for number in range(self.rounds):
            count = max(2, self.points // 2 ** (self.rounds - 1 - number))
            paths = paths_of(ways, count)
            if number > 0:
                classifier.sift(scale.tensor(paths[held]), truth, max(1, self.guesses // 4**number))
            elif self.segments:
                learned = np.concatenate(chosen)
                source = self.begun(
                    classifier, Demonstrated(paths_of(shown, SHOWN_POINTS)), paths[learned], succeeded[learned], run
                )
                run.train(Beginning(classifier), source, self.optim(), BEGIN_STEPS, scale, stage="regions")
            # The mean over steps is weighted so that one forbidden step costs the same in every round.
            classifier.weights = replace(self.weights(), success=self.success_weight * count / self.points)
            steps, source = max(1, self.steps // self.rounds), self.batches(paths, chosen, run.seed, number)
            run.train(classifier, source, self.optim(), steps, scale, stage=f"modes-{number + 1}")
        return classifier.choose(scale.tensor(paths_of(ways, self.points)[held]), truth)

    def begun(
        self, classifier: ModeClassifier, shown: Demonstrated, paths: Array, succeeded: Array, run: Run
    ) -> Callable[[int], Batch]:
        """Batch number -> states all over the plane and of trials, and their modes by the segmentations that explain
        the trials best."""
        rng = np.random.default_rng([run.seed, STREAM, BEGIN_STEPS])
        feasible = classifier.feasible.tolist()
        found = segmentations(shown, (paths, succeeded), feasible, self.segments, self.guesses, rng)
        met = rng.choice(paths.reshape(-1, paths.shape[-1]), len(classifier.places))
        states = np.concatenate([classifier.everywhere().cpu().numpy(), met])
        when, far = shown.beside(states)
        modes = np.stack([one.modes(when, far) for one in found], 1)
        batch = Batch({STATE: states}, None, extra={BEGUN: modes})
        return lambda number: batch

    def weights(self) -> Weights:
        ends = self.end_weight
        return Weights(self.success_weight, self.failure_weight, ends, ends, self.elsewhere_weight)

    def pictures(self, agent: Agent, task: Task) -> list[Picture]:
        """The learned modes over the plane, and where each is entered."""
        assert isinstance(agent.learner, Navigator)
        return [agent.learner.plane()]

    def outcomes(self, demos: Demos, run: Run, task: Task | None) -> tuple[list[Episode], list[Episode]]:
        """Successes and failures: those of the data, or the demonstrations and what came of changed ones."""
        episodes = list(demos)
        bad = [episode for episode in episodes if episode.success is False]
        good = [episode for episode in episodes if episode.success is not False]
        if min(len(good), len(bad)) >= FEWEST:
            return good, bad
        if bad:
            raise UserError(
                f"{demos.provenance.path}: {len(good)} episodes succeeded and {len(bad)} failed: at least {FEWEST} of "
                "each are needed, or demonstrations that all succeeded"
            )
        if task is None:
            raise UserError(
                f"{demos.provenance.path}: no demonstration failed, and there is no task where changed ones can be "
                "tried: give --task, or data with failures"
            )
        tried, failed = replays(task, demos, self.trials, run.seed)
        return [*good, *tried], failed

    def split(self, succeeded: Array, seed: int) -> tuple[tuple[Array, Array], Array]:
        """Numbers of the successes and failures that are learned from, and of all that are held out."""
        rng = np.random.default_rng([seed, STREAM])
        kinds = [rng.permutation(np.flatnonzero(succeeded == kind)) for kind in (True, False)]
        counts = [max(1, round(HELD * len(kind))) for kind in kinds]
        good, bad = (kind[count:] for kind, count in zip(kinds, counts, strict=True))
        return (good, bad), np.concatenate([kind[:count] for kind, count in zip(kinds, counts, strict=True)])

    def batches(self, paths: Array, chosen: tuple[Array, Array], seed: int, part: int) -> Callable[[int], Batch]:
        """Batch number -> as many successes as failures, a pure function; other ones in every round (`part`)."""
        truth = np.arange(2 * self.batch) < self.batch

        def source(number: int) -> Batch:
            rng = np.random.default_rng([seed, STREAM, part, number])
            rows = np.concatenate([rng.choice(kind, self.batch) for kind in chosen])
            return Batch({STATE: paths[rows]}, None, extra={SUCCEEDED: truth})

        return source

    def clips(self, learner: Navigator, episodes: Sequence[Episode], run: Run) -> Callable[[int], Batch]:
        """Batch number -> states, actions and modes of single steps."""
        state = np.concatenate([one.obs[STATE][: len(one)] for one in episodes])
        action = np.concatenate([one.action for one in episodes])
        mode = learner.modes_of(torch.from_numpy(state).float().to(run.place)).cpu().numpy()

        def source(number: int) -> Batch:
            rows = np.random.default_rng([run.seed, STREAM, number, 1]).integers(len(state), size=4 * self.batch)
            return Batch({STATE: state[rows]}, action[rows], extra={MODE: mode[rows]})

        return source


class Skills(Learner):
    """One policy a mode."""

    def __init__(self, modes: int, width: int, hidden: Sequence[int], action: int) -> None:
        super().__init__()
        self.net = stacked_mlp(modes, width, hidden, action)

    def forward(self, state: Tensor, mode: Tensor) -> Tensor:
        """States (B, D) in modes (B,) to actions (B, A)."""
        return self.net(state)[mode, torch.arange(len(mode), device=mode.device)]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        error = self(batch.obs[STATE], batch.extra[MODE]) - batch.action
        return {"cloning_loss": error.square().mean()}


class Navigator(Learner):
    """The classifier of modes, and how to go from each mode to the next."""

    following: Tensor
    entries: Tensor
    ahead: Tensor
    edge: Tensor
    gain: Tensor

    def __init__(self, method: GroundedPlan, spec: Spec) -> None:
        super().__init__()
        width = spec.obs[STATE].size if STATE in spec.obs else 0
        if width != 2 or spec.action.shape != (2,) or spec.action.kind != "number":
            raise UserError(
                f"method 'glide' goes on a plane: it needs '{STATE}' of two numbers and an action that moves them, not "
                f"{', '.join(spec.obs)} and an action of shape {spec.action.shape}"
            )
        plan = language_plan(method.plan, method.modes)
        self.clearance, self.attraction = method.clearance, method.attraction
        self.classifier = ModeClassifier(
            width, plan.feasible, method.guesses, method.hidden, method.weights(), method.best_share
        )
        modes = self.classifier.modes
        imitates = method.controller == "imitation"
        self.policies = Skills(modes, width, method.policy_hidden, 2) if imitates else None
        # The mode to go to from each, and where each is entered; behind the last stands where successes end.
        self.register_buffer("following", torch.tensor([*successors(plan.feasible), modes]))
        self.register_buffer("entries", torch.zeros(modes + 1, 2))
        self.register_buffer("ahead", torch.zeros(modes, CELLS, CELLS, 2))
        self.register_buffer("edge", torch.tensor(1.0))
        self.register_buffer("gain", torch.tensor(1.0))

    def modes_of(self, states: Tensor) -> Tensor:
        """States (..., 2) to the numbers (...) of their modes."""
        return self.classifier.modes_of(states)

    @torch.no_grad()
    def plane(self) -> Plane:
        """The modes of the plane's cells, the entries of all but the first, and where successes end."""
        edge, modes = float(self.edge), self.classifier.modes
        cells = self.modes_of(torch.from_numpy(centres(CELLS, edge)).float().to(self.edge.device)).cpu().numpy()
        words = [*(f"into mode {mode}" for mode in range(1, modes)), "end"]
        places = self.entries[1:].tolist()
        marks = tuple(Mark(x, y, word) for (x, y), word in zip(places, words, strict=True))
        why = (
            "What the classifier takes for each mode, learned from successes and failures alone; dots: where they are "
        )
        why += "entered, and where successes end."
        return Plane("Learned modes", why, cells, tuple(f"mode {mode}" for mode in range(modes)), edge, marks)

    @torch.no_grad()
    def ground(self, good: Sequence[Episode]) -> None:
        """Entries, ways and the length of a step, from the successes."""
        paths = [one.obs[STATE] for one in good]
        device = self.entries.device
        found = [self.modes_of(torch.tensor(path, dtype=torch.float32, device=device)).cpu().numpy() for path in paths]
        modes = self.classifier.modes
        whole = [number for number, mode in enumerate(found) if set(range(modes)) <= set(mode.tolist())]
        used = whole or range(len(paths))
        self.entries[modes] = torch.from_numpy(np.mean([path[-1] for path in paths], 0)).float()
        for mode in reversed(range(modes)):
            first = [paths[one][int(np.argmax(found[one] == mode))] for one in used if (found[one] == mode).any()]
            # What no success goes through is left out of the way.
            self.entries[mode] = torch.from_numpy(np.mean(first, 0)).float() if first else self.entries[mode + 1]
        self._measure(good)
        self._ways([(paths[one], found[one]) for one in used])

    def _measure(self, good: Sequence[Episode]) -> None:
        """How far an action of length one moves the state."""
        moved = np.concatenate([np.diff(one.obs[STATE], axis=0)[: len(one)] for one in good])
        action = np.concatenate([one.action[: len(one.obs[STATE]) - 1] for one in good])
        self.gain.fill_(float((moved * action).sum() / max(1e-9, (action**2).sum())))
        reach = float((self.classifier.centre.abs() + self.classifier.spread).max())
        self.edge.fill_(reach)

    def _ways(self, passed: Sequence[tuple[Array, Array]]) -> None:
        """From everywhere into the mode after each, clear of those that may not be entered from it.

        Args:
            passed: states (T, 2) and modes (T,) of successes.
        """
        edge = float(self.edge)
        cells = torch.from_numpy(centres(CELLS, edge)).float().to(self.edge.device)
        modes = self.modes_of(cells).cpu().numpy()
        following = self.following.tolist()[: self.classifier.modes]
        gates = [
            _inner((modes == target) & self._gate(passed, mode, target), np.isin(modes, (mode, target)), edge)
            for mode, target in enumerate(following)
        ]
        for mode, target in enumerate(following):
            forbidden = np.isin(modes, np.flatnonzero(self.classifier.feasible[mode].cpu().numpy() < 0))
            inside, goal = modes == target, gates[mode]
            if mode == 0 and target < len(gates):
                # The first mode is all around. Into the next just before the gate of that: the two ways are then one.
                before = widened(gates[target], FUNNEL * self.clearance, edge)
                closed = forbidden
                goal = _inner(inside & before, inside | (modes == following[target]), edge)
            else:
                before = widened(goal, FUNNEL * self.clearance, edge)
                # Trials say little about where else the next mode may be entered: where successes entered it, it may.
                closed = forbidden | inside
            near = (widened(closed, self.clearance, edge) & ~before) | forbidden
            goal = goal if goal.any() else inside
            # Where the classifier knows no such mode, straight to where it is said to begin.
            straight = self.entries[target].cpu().numpy()
            ahead = Wavefront.to(goal, near, edge).ahead if goal.any() else np.tile(straight, (CELLS, CELLS, 1))
            self.ahead[mode] = torch.from_numpy(ahead).float()

    def _gate(self, passed: Sequence[tuple[Array, Array]], mode: int, target: int) -> Array:
        """Cells (C, C) about where the middle quarter of the successes stepped from a mode to the one after it."""
        edge = float(self.edge)
        points = np.concatenate([path[1:][(mark[:-1] == mode) & (mark[1:] == target)] for path, mark in passed])
        away = np.linalg.norm(points - np.median(points, 0), axis=1) if len(points) else np.empty(0)
        gate = np.zeros((CELLS, CELLS), bool)
        gate[cells_of(points[away <= np.quantile(away, GATE)] if len(points) else points, CELLS, edge)] = True
        return widened(gate, 2 * edge / CELLS * WIDE, edge)

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        state = obs[STATE][:, -1].float()
        mode = self.modes_of(state)
        heading = self.aims(state, mode) - state
        # At full speed, but for the last step to the end.
        pull = heading / torch.maximum(heading.norm(dim=-1, keepdim=True), self.gain).clamp(min=1e-9)
        if self.policies is None:
            action = pull
        else:
            # A pull that is longer than what was cloned wins where that leads astray.
            action = _at_most_one(self.policies(state, mode)) + self.attraction * pull
            action = _at_most_one(action)
        return self.turned_aside(state, mode, action).unsqueeze(1)

    def aims(self, state: Tensor, mode: Tensor) -> Tensor:
        """Where to head for: along the way into the next mode, in the last one to where successes end."""
        x, y = cells_of(state.cpu().numpy(), CELLS, float(self.edge))
        return self.ahead[mode, x, y]

    def turned_aside(self, state: Tensor, mode: Tensor, action: Tensor) -> Tensor:
        """The action, turned by the least angle at which it enters no forbidden mode."""
        angle = torch.deg2rad(torch.tensor(TURNS, dtype=torch.float32, device=state.device))[:, None]
        cosine, sine = angle.cos(), angle.sin()
        x, y = action[:, 0], action[:, 1]
        turned = torch.stack([cosine * x - sine * y, sine * x + cosine * y], -1)
        allowed = self.classifier.feasible[mode, self.modes_of(state + self.gain * turned)] >= 0
        first = allowed.float().argmax(0)  # where none is allowed, straight on
        return turned[first, torch.arange(len(state), device=state.device)]


def paths_of(ways: Sequence[Array], points: int) -> Array:
    """Ways (T_b, 2) as (B, points, 2), at equal distances."""
    return by_arc_length(ways, points).astype(np.float32)


def _inner(cells: Array, around: Array, edge: float) -> Array:
    """The half of `cells` (C, C) that is farthest from all that is not `around` them: borders are not certain."""
    depth = np.minimum(distance_from(~around, edge), 4 * edge)
    return cells & (depth >= (np.median(depth[cells]) if cells.any() else 0.0))


def _at_most_one(action: Tensor) -> Tensor:
    """Actions (B, A), the longer ones cut to length one."""
    return action / action.norm(dim=-1, keepdim=True).clamp(min=1.0)
