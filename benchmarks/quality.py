"""Measures of data quality on recordings of people: do they tell good trials from bad ones? As Markdown tables.

  python benchmarks/quality.py [overcooked] [pusht] [kinder] [trimming] [--seeds 0 1 2] [--steps 3000]

`overcooked`: 39 trials of two people cooking together, whose return is known. Of every trial each measure and its
compatibility with the best trial of its layout (`ensemble_bc`, actions as indicators), the mean of both cooks;
Spearman's rank correlation with the return, of ranks within each of the five layouts, with a 95 % interval from 2,000
bootstrap draws of the trials of each layout. Then clones of all trials, of the half that is best by a measure or by
the return, and of a random half, for equally many updates, cook with themselves: the return of 400 steps from the
layout's start (needs the simulator: pip install overcooked). `pusht`, `kinder`: the measures of each set and the
compatibility of the second half with the first, and the rank correlation of each with the length of the episode.
`trimming`: clones of Push-T with all actions, without those of idle frames, and without as many random ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import rankdata, spearmanr

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.cooking import MOVES, STATE, cooks, returns, trials
from benchmarks.demonstrations import DATA
from imitari.core.columns import ArrayColumn
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array
from imitari.core.outcome import Outcome
from imitari.core.spec import Feature, Spec
from imitari.data.curate.idle import idle
from imitari.data.curate.quality import Measure, measured
from imitari.data.curate.trim import masked
from imitari.data.opening import ReadOptions, open_demos
from imitari.envs import task_named
from imitari.evaluate.intervals import Interval, crossed_interval, crossed_mean_interval
from imitari.evaluate.rollout import rollout
from imitari.learn.agent import Agent
from imitari.learn.method import method_class
from imitari.learn.run import Run

DRAWS = 2000
SHOWN = ("action variance", "action variance, others", "state similarity", "rank sum", "standing still")
CHOSEN = ("action variance, others", "standing still")  # lower is taken for better
ENSEMBLE = {"hidden": [128, 128], "dropout": 0.3, "batch": 160, "steps": 1000, "schedule": "cosine", "share": 0.99}
COOKING, TOGETHER = 400, 20  # steps of a clone's trial, and trials of each clone
STARTS = range(100)  # of Push-T
SETS = {
    "pusht": ["pusht_human"],
    "kinder": [
        f"kinder2d_human/{name}.npz"
        for name in ("Motion2D-p0", "Motion2D-p2", "StickButton2D-b1", "DynObstruction2D-o1")
    ],
}


def cloned(demos: Demos, seed: int, steps: int, **more: object) -> Agent:
    settings = {"hidden": [128, 128], "batch": 128, "steps": steps, "schedule": "cosine", **more}
    return method_class("bc").from_json(settings).fit(demos, Run(seed=seed, show=False, precision="fp32"))


def measures(demos: Demos) -> dict[str, Array]:
    """name -> (E,) of every episode."""
    plain, others = measured(demos), measured(demos, Measure(others=True))
    still = [float((episode.action == 0).all(1).mean()) for episode in demos]
    return {
        "action variance": plain.episodes["action_variance"],
        "action variance, others": others.episodes["action_variance"],
        "state similarity": plain.episodes["similarity"],
        "rank sum": plain.episodes["rank_sum"],
        "standing still": np.array(still),
    }


def compatible(first: Demos, new: Demos, seeds: Sequence[int], folds: int) -> Array:
    """(E,) compatibility of the episodes of `new` with the policy of `first`, mean over seeds."""
    method = method_class("ensemble_bc").from_json({**ENSEMBLE, "folds": folds})
    agents = [method.fit(first, Run(seed=seed, show=False, precision="fp32")) for seed in seeds]
    return np.mean([method.scored(agent, new).episodes["compatibility"] for agent in agents], 0)


# ---------------------------------------------------------------- overcooked


def indicated(demos: Demos) -> Demos:
    """Choices as indicators: numbers have a mean."""
    told = np.eye(len(MOVES), dtype=np.float32)[demos.columns[ACTION].take(np.arange(demos.columns[ACTION].shape[0]))]
    feature = Feature((len(MOVES),), low=(0.0,) * len(MOVES), high=(1.0,) * len(MOVES))
    columns = {**demos.columns, ACTION: ArrayColumn(told.reshape(-1, len(MOVES)))}
    return Demos(Spec(demos.spec.obs, feature), columns, demos.table, demos.provenance)


def per_trial(demos: Demos, values: Array) -> tuple[Array, Array]:
    """(return, mean value) of every trial."""
    numbers, told = of_trials(demos, "trial"), of_trials(demos, "return")
    each = np.unique(numbers)
    means = np.array([values[numbers == one].mean() for one in each])
    return np.array([told[numbers == one][0] for one in each]), means


def of_trials(demos: Demos, key: str) -> Array:
    """(E,) what the source of every episode says of its trial."""
    return np.array([source[key] for source in demos.table.source])


def with_the_best(demos: Demos, seeds: Sequence[int]) -> Array:
    """(E,) compatibility with the best trial of the layout, NaN for that trial itself; mean over seeds."""
    numbers = of_trials(demos, "trial")
    best = numbers == numbers[of_trials(demos, "return").argmax()]
    numeric, values = indicated(demos), np.full(len(demos), np.nan)
    first, new = numeric.keep(best, "the best trial"), numeric.keep(~best, "the others")
    values[~best] = compatible(first, new, seeds, folds=2)
    return values


def correlated(pairs: Sequence[tuple[Array, Array]]) -> Interval:
    """Spearman's of ranks within groups, each brought to (0, 1); interval by drawing trials within every group."""

    def of(parts: Sequence[tuple[Array, Array]]) -> float:
        ranks = [np.stack([(rankdata(one) - 0.5) / len(one) for one in pair]) for pair in parts]
        return float(np.corrcoef(np.concatenate(ranks, 1))[0, 1])

    rng = np.random.default_rng(0)
    picks = ([rng.integers(len(pair[0]), size=len(pair[0])) for pair in pairs] for _ in range(DRAWS))
    draws = [of([(a[which], b[which]) for (a, b), which in zip(pairs, pick, strict=True)]) for pick in picks]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(of(pairs), float(low), float(high))


def lower_half(demos: Demos, values: Array) -> Array:
    """Numbers of the episodes of the half of the trials with the lower mean values."""
    numbers = of_trials(demos, "trial")
    each = np.unique(numbers)
    order = each[np.argsort(per_trial(demos, values)[1], kind="stable")]
    return np.flatnonzero(np.isin(numbers, order[: (len(each) + 1) // 2]))


def report_overcooked(seeds: Sequence[int], steps: int) -> None:
    layouts = cooks(trials())
    found = {name: measures(demos) for name, demos in layouts.items()}
    for name, demos in layouts.items():
        found[name]["compatibility with the best"] = with_the_best(demos, seeds)
    print(f"| correlation with the return | {' | '.join(layouts)} | all 39 trials, 95 % |")
    print("|---|" + "---|" * (len(layouts) + 1))
    for measure in (*SHOWN, "compatibility with the best"):
        pairs = [per_trial(demos, found[name][measure]) for name, demos in layouts.items()]
        pairs = [(told[~np.isnan(values)], values[~np.isnan(values)]) for told, values in pairs]
        each = " | ".join(f"{ranked(*pair):+.2f}" for pair in pairs)
        print(f"| {measure} | {each} | {shown(correlated(pairs), '+.2f')} |", flush=True)
    report_clones(layouts, found, seeds, steps)


def report_clones(
    layouts: dict[str, Demos], found: dict[str, dict[str, Array]], seeds: Sequence[int], steps: int
) -> None:
    """What clones of parts of the trials earn by cooking with themselves."""
    arms = ["all", "best half by return", *(f"lower half by {name}" for name in CHOSEN), "random half"]
    earned: dict[str, list[Array]] = {arm: [] for arm in arms}
    print(f"\n| layout | people | {' | '.join(arms)} |\n|---|---|" + "---|" * len(arms))
    for layout, demos in layouts.items():
        told = of_trials(demos, "return")
        drawn = np.random.default_rng(0).normal(size=len(demos))
        values = [-told, *(found[layout][name] for name in CHOSEN), drawn]
        parts = [demos, *(demos.keep(lower_half(demos, one), "half") for one in values)]
        for arm, part in zip(arms, parts, strict=True):
            table = [returns(cloned(part, seed, steps), layout, TOGETHER, COOKING, seed) for seed in seeds]
            earned[arm].append(np.array(table))
        people = np.mean([told[::2] * COOKING / demos.table.length[::2]])
        cells = [shown(crossed_mean_interval(earned[arm][-1], limits=None), ".0f") for arm in arms]
        print(f"| {layout} | {people:.0f} | {' | '.join(cells)} |", flush=True)
    means = {arm: np.mean(tables, 0) for arm, tables in earned.items()}  # (seeds, trials) over layouts
    for arm in arms[1:]:
        gain = crossed_interval(means["all"], means[arm], limits=None)
        print(f"{arm} less all, mean of the layouts: {shown(gain, '+.1f')}")


def ranked(one: Array, two: Array) -> float:
    return float(spearmanr(one, two).statistic)  # pyright: ignore[reportAttributeAccessIssue]


def shown(interval: Interval, how: str) -> str:
    return f"{interval.estimate:{how}} [{interval.low:{how}}, {interval.high:{how}}]"


# ---------------------------------------------------------------- sets without a known return


def vectors(name: str) -> Demos:
    demos = open_demos(DATA / name, options=ReadOptions(cameras=()))
    keys = [key for key, feature in demos.spec.obs.items() if feature.kind == "number"]
    return demos.select([STATE] if STATE in keys else keys)


def report_sets(names: Sequence[str], seeds: Sequence[int]) -> None:
    print("| set | episodes, steps | measure | mean | correlation with the length of the episode |")
    print("|---|---|---|---|---|")
    for name in names:
        demos = vectors(name)
        found = {key: values for key, values in measures(demos).items() if key != "standing still"}
        half = len(demos) // 2
        first, new = (demos.keep(np.arange(*ends), "half") for ends in ((0, half), (half, len(demos))))
        values = np.full(len(demos), np.nan)
        values[half:] = compatible(first, new, seeds, folds=0)
        for measure, each in {**found, "compatibility with the first half": values}.items():
            told = ~np.isnan(each)
            length = ranked(each[told], demos.table.length[told])
            about = f"{len(demos)}, {demos.steps}"
            print(f"| {name} | {about} | {measure} | {each[told].mean():.3g} | {length:+.2f} |", flush=True)


def report_trimming(seeds: Sequence[int], steps: int) -> None:
    """Push-T: the highest coverage, as a share of the one that solves it."""
    task, demos = task_named("pusht"), vectors("pusht_human")
    still = idle(demos, [STATE], 5e-3, 3)
    print(f"\n{int(still.sum())} of {demos.steps} steps are idle.\n\n| arm | best coverage | solved |\n|---|---|---|")
    found: dict[str, Array] = {}
    for arm in ("all", "without idle steps", "without as many random ones"):
        table: list[list[tuple[float, bool]]] = []
        for seed in seeds:
            out = np.random.default_rng([seed, 1]).permutation(still) if "random" in arm else still
            part = demos if arm == "all" else masked(demos, ~out)
            agent = cloned(part.with_spec(part.spec.annotated(task.spec)), seed, steps, chunk=8, execute=8)
            told = [Outcome.of(episode, arm, task.name, seed) for episode in rollout(agent, task, STARTS)]
            table.append([(one.best, one.success) for one in told])
        found[arm] = np.array(table, float)
        best, solved = (crossed_mean_interval(found[arm][..., part]) for part in (0, 1))
        print(f"| {arm} | {shown(best, '.3f')} | {shown(solved, '.3f')} |", flush=True)
    gain = crossed_interval(found["all"][..., 0], found["without idle steps"][..., 0])
    print(f"\nwithout idle steps less all, best coverage: {shown(gain, '+.3f')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["overcooked", "pusht", "kinder", "trimming"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=3000)
    args = parser.parse_args()
    began = time.process_time()
    if "overcooked" in args.what:
        report_overcooked(args.seeds, args.steps)
    chosen = [name for key, names in SETS.items() if key in args.what for name in names]
    if chosen:
        report_sets(chosen, args.seeds)
    if "trimming" in args.what:
        report_trimming(args.seeds, args.steps)
    print(f"\n{(time.process_time() - began) / 60:.1f} core minutes")


if __name__ == "__main__":
    main()
