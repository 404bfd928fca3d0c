"""Trials that fail tell where the modes of a plan lie, which no segmentation of the demonstrations does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from imitari.claims.glide import walked, where
from imitari.core.episode import Array
from imitari.core.outcome import Outcome
from imitari.data.counterfactual import STATE, by_arc_length, replays
from imitari.envs.polygons import EDGE, Chain, layout
from imitari.jobs.claim import Arm, ArmRun, Budget, Claim, Level
from imitari.jobs.sharing import shared, trained_once
from imitari.jobs.training import TrainRequest
from imitari.learn.agent import Agent
from imitari.models.modes import ModeClassifier
from imitari.plan.wavefront import centres

CELLS = 200  # a side of the grid on which regions are compared
POINTS = 60  # of a demonstration that is segmented
FRESH = 10**6  # added to the training seed: trials on which nothing was learned or chosen
LEAST, ACCURACY = ", least", ", accuracy"  # suffixes of arms
GROUNDED: dict[str, dict[str, Any]] = {
    "grounded": {},
    "one guess": {"guesses": 1, "segments": 0},
    "successes only": {"failure_weight": 0.0, "segments": 0},
}
SEGMENTED = ("clusters", "change points")

# ---------------------------------------------------------------- regions without trials


def by_clusters(paths: Array, modes: int, points: Array, seed: int) -> Array:
    """Modes of points (N, 2): k-means of all states of paths (B, T, 2), numbered by their mean time."""
    from scipy.cluster.vq import kmeans2

    states, time = paths.reshape(-1, 2), np.tile(np.arange(paths.shape[1]), len(paths))
    rng = np.random.default_rng(seed)
    begun = [states[rng.choice(len(states), modes, replace=False)] for _ in range(20)]
    runs = [kmeans2(states, first, minit="matrix") for first in begun]
    centre, label = min(runs, key=lambda run: float(((states - run[0][run[1]]) ** 2).sum()))
    # An empty cluster comes last.
    when = [time[label == mode].mean() if (label == mode).any() else np.inf for mode in range(modes)]
    return nearest(points, centre, np.argsort(np.argsort(when)))


def by_change_points(paths: Array, modes: int, points: Array) -> Array:
    """Modes of points (N, 2): every path cut where straight pieces fit it best, then the nearest neighbour's."""
    labels = np.concatenate([straight_pieces(path, modes) for path in paths])
    return nearest(points, paths.reshape(-1, 2), labels)


def straight_pieces(path: Array, pieces: int) -> Array:
    """The piece (T,) that each point of a path (T, D) belongs to, at least squared distance (dynamic programming)."""
    length = len(path)
    cost = np.full((length + 1, length + 1), np.inf)
    for first in range(length):
        for end in range(first + 2, length + 1):
            line = np.linspace(-1, 1, end - first)[:, None] ** np.arange(2)
            cost[first, end] = float(((path[first:end] - line @ np.linalg.lstsq(line, path[first:end])[0]) ** 2).sum())
    best, cuts = cost[0], list[Array]()
    for _ in range(pieces - 1):
        total = best[:, None] + cost
        cuts.append(total.argmin(0))
        best = total.min(0)
    label, end = np.empty(length, np.int64), length
    for piece in reversed(range(pieces)):
        first = int(cuts[piece - 1][end]) if piece else 0
        label[first:end], end = piece, first
    return label


def nearest(points: Array, known: Array, labels: Array) -> Array:
    """The label of the known point (M, D) next to each of `points` (N, D)."""
    from scipy.spatial import KDTree

    return labels[KDTree(known).query(points)[1]]


# ---------------------------------------------------------------- one arm


def overlaps(found: Array, true: Array, modes: int) -> Array:
    """Intersection over union of each mode but the first, of modes (N,) of the same points."""
    return np.array(
        [
            ((found == mode) & (true == mode)).sum() / ((found == mode) | (true == mode)).sum()
            for mode in range(1, modes)
        ]
    )


def grounded(run: ArmRun, arm: str) -> Agent:
    """The agent of an arm, trained by whichever of its arms is first."""
    settings = {**CLAIM.settings(arm, run.budget), **(run.settings if run.arm == arm else {})}
    settings |= {name: run.budget.demos[name] for name in ("modes", "trials")}
    task = where(run, "-replay")
    request = TrainRequest("glide", settings, task=task.name, seed=run.seed, holdout=0, show=False)
    return Agent.load(trained_once(shared(run, arm), request, lambda: walked(run), task))


def classifier_of(agent: Agent) -> ModeClassifier:
    classifier = agent.learner.get_submodule("classifier")
    assert isinstance(classifier, ModeClassifier)
    return classifier


def foretold(run: ArmRun, agent: Agent) -> float:
    """Share of fresh trials whose success is foretold."""
    good, bad = replays(where(run, "-replay"), walked(run), run.budget.demos["fresh"], run.seed + FRESH)
    paths = by_arc_length([episode.obs[STATE] for episode in (*good, *bad)], agent.method.to_json()["points"])
    classifier = classifier_of(agent)
    said = classifier.predicted(torch.from_numpy(paths).float())[:, int(classifier.best)].numpy()
    return float((said == (np.arange(len(said)) < len(good))).mean())


def score(run: ArmRun) -> float:
    arm = run.arm.removesuffix(LEAST).removesuffix(ACCURACY)
    modes = run.budget.demos["modes"]
    chain: Chain = layout(modes, run.seed)
    cells = centres(CELLS, EDGE).reshape(-1, 2)
    if arm in SEGMENTED:
        paths = by_arc_length([episode.obs[STATE] for episode in walked(run)], POINTS)
        found = (
            by_clusters(paths, modes, cells, run.seed) if arm == "clusters" else by_change_points(paths, modes, cells)
        )
    else:
        agent = grounded(run, arm)
        if run.arm.endswith(ACCURACY):
            return foretold(run, agent)
        found = classifier_of(agent).modes_of(torch.from_numpy(cells).float()).numpy()
    each = overlaps(found, chain.modes_of(cells), modes)
    return float(each.min() if run.arm.endswith(LEAST) else each.mean())


def run_arm(run: ArmRun) -> list[Outcome]:
    """`total` is the score of the arm, the same at every start."""
    value = score(run)
    name = where(run).name
    return [Outcome(run.arm, name, start, run.seed, True, value, value, 0, "terminated") for start in run.starts]


# ---------------------------------------------------------------- what is compared, and what must come out

TINY: dict[str, Any] = {"steps": 5, "batch": 8, "hidden": 16}

CLAIM = Claim(
    paper="Wang, Wang, Mao, Hagenow & Shah 2024, Grounding Language Plans in Demonstrations Through Counterfactual "
    "Perturbations",
    sentence="From trials of which only success or failure is known, the regions of a plan's modes are found, which "
    "neither segmentations of the demonstrations, nor successes alone, nor a single guess find.",
    arms={
        **{name: Arm("glide", settings) for name, settings in GROUNDED.items()},
        **{f"grounded{suffix}": Arm("glide", GROUNDED["grounded"]) for suffix in (LEAST, ACCURACY)},
        **{name: Arm("") for name in SEGMENTED},
    },
    task="polygons/3-0",
    criteria=(
        Level(f"grounded{LEAST}", at_least=0.7),
        Level(f"grounded{ACCURACY}", at_least=0.9),
        *(Level(name, at_most=0.4) for name in ("one guess", "successes only", *SEGMENTED)),
    ),
    budgets={
        "smoke": Budget(
            range(2),
            2,
            {"modes": 3, "walks": 2, "trials": 15, "fresh": 5},
            dict.fromkeys(GROUNDED, TINY),
            minutes=0.3,
        ),
        "quick": Budget(range(20, 28), 2, {"modes": 3, "walks": 5, "trials": 500, "fresh": 200}, minutes=15),
        "full": Budget(
            range(9),
            2,
            {"modes": 5, "walks": 5, "trials": 500, "fresh": 500},
            {name: {"steps": 2_000} for name in GROUNDED},
            minutes=120,
        ),
    },
    metric="total",
    run_arm=run_arm,
    notes="Every training seed has a layout of its own. 'grounded' is the mean intersection over union of all modes but"
    " the first with their true regions on a 200 x 200 grid, 'least' the least of them; 'accuracy' the share of "
    "400 fresh trials whose success the chosen guess foretells. All are of the guess that was chosen by held-out "
    "trials. 'one guess' and 'successes only' begin by chance, as in the paper, since where the others begin is "
    "itself chosen among many by the trials. Only mode 1, the surroundings, is left out of the means, since it "
    "covers most of the plane. What success does not depend on cannot be found: the first polygon may be entered "
    "from everywhere and left again, so that trials pin its border only where the next polygon begins.",
)
