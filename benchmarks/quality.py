"""Measures of data quality on recordings of people: do they tell good trials from bad ones? As Markdown tables.

  python benchmarks/quality.py [overcooked] [pusht] [kinder] [--seeds 0 1] [--steps 600]

`overcooked`: 39 trials of two people cooking together, whose return is known. Of every trial each measure, the mean of
both cooks; Spearman's rank correlation with the return, of ranks within each of the five layouts, with a 95 % interval
from 2,000 bootstrap draws of the trials. Then, in each layout, the trial of the highest return is held out, and cloning
sees the half of the others that is lower or higher in a measure (or in the return), or all, for equally many updates:
negative log-likelihood of the held-out actions. `pusht`, `kinder`: the measures of each set, and the rank correlation
of each with the length of the episode.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata, spearmanr

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.demonstrations import DATA
from imitari.core.demos import Demos, Provenance
from imitari.core.episode import Array, Episode
from imitari.core.spec import Feature, Spec
from imitari.data.curate.quality import Measure, measured
from imitari.data.opening import open_demos
from imitari.learn.method import method_class
from imitari.learn.run import Run

STATE = "observation.state"
MOVES = {(0, 0): 0, (0, -1): 1, (0, 1): 2, (1, 0): 3, (-1, 0): 4, "INTERACT": 5}
HELD = ("onion", "dish", "soup")
POTS = 2
DRAWS = 2000
SHOWN = ("action variance", "action variance, others", "state similarity", "rank sum", "standing still")
HALVED = ("action variance, others",)


# ---------------------------------------------------------------- overcooked


def overcooked() -> dict[str, Demos]:
    """layout -> one episode for each cook of each trial; `source` says trial, pair and return."""
    import pyarrow.parquet as parquet

    folder = DATA / "overcooked_human"
    pots = {
        name: [(x, y) for y, row in enumerate(grid) for x, mark in enumerate(row) if mark == "P"]
        for name, grid in json.loads((folder / "layouts.json").read_text()).items()
    }
    table = parquet.read_table(folder / "train_trials.parquet").sort_by([("trial", "ascending"), ("step", "ascending")])
    columns = {key: np.array(table[key].to_pylist()) for key in ("trial", "pair", "trial_return", "layout_name")}
    texts = {key: np.array(table[key].to_pylist(), object) for key in ("state", "joint_action")}
    found: dict[str, list[Episode]] = {}
    for trial in np.unique(columns["trial"]):
        rows = np.flatnonzero(columns["trial"] == trial)
        first = {key: values[rows[0]].item() for key, values in columns.items()}
        layout = first["layout_name"]
        states, joint = ([json.loads(text) for text in texts[key][rows]] for key in ("state", "joint_action"))
        about = {"trial": first["trial"], "pair": first["pair"], "return": first["trial_return"]}
        for cook in (0, 1):
            seen = np.array([features(state, cook, pots[layout]) for state in states], np.float32)
            moves = [one[cook] if isinstance(one[cook], str) else tuple(one[cook]) for one in joint]
            action = np.array([MOVES[move] for move in moves], np.int64)[:, None]
            found.setdefault(layout, []).append(Episode({STATE: seen}, action, source={**about, "cook": cook}))
    choice = Feature((1,), "int64", "choice", low=(0,), high=(len(MOVES) - 1,))
    return {
        layout: Demos.from_episodes(
            episodes, Spec({STATE: Feature(episodes[0].obs[STATE].shape[1:])}, choice), Provenance(layout)
        )
        for layout, episodes in sorted(found.items())
    }


def features(state: dict[str, Any], cook: int, pots: Sequence[tuple[int, int]]) -> list[float]:
    """Place, gaze and held thing of oneself and the partner, what is in the pots, and how much lies about."""
    values: list[float] = []
    for player in (state["players"][cook], state["players"][1 - cook]):
        name = (player.get("held_object") or {}).get("name")
        values += [*player["position"], *player["orientation"], *(float(name == thing) for thing in HELD)]
    objects = state["objects"]
    lying = list(objects.values()) if isinstance(objects, dict) else list(objects)
    where = {tuple(thing["position"]): thing for thing in lying}
    for place in [*pots, *[(-1, -1)] * POTS][:POTS]:
        _, count, cooked = (where.get(tuple(place)) or {}).get("state") or ("", 0, 0)
        values += [float(count), min(float(cooked), 20.0) / 5]
    loose = [thing for place, thing in where.items() if place not in set(map(tuple, pots))]
    return [*values, *(float(sum(thing["name"] == name for thing in loose)) for name in HELD)]


def per_trial(demos: Demos, values: Array) -> tuple[Array, Array]:
    """(return, mean value) of every trial."""
    trials = np.array([source["trial"] for source in demos.table.source])
    told = np.array([source["return"] for source in demos.table.source])
    each = np.unique(trials)
    return np.array([told[trials == one][0] for one in each]), np.array([values[trials == one].mean() for one in each])


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


def correlated(pairs: Sequence[tuple[Array, Array]]) -> tuple[float, float, float]:
    """Spearman's of ranks within groups, each brought to (0, 1), and its bootstrap interval."""
    ranks = [np.stack([(rankdata(part) - 0.5) / len(part) for part in pair]) for pair in pairs]
    whole = np.concatenate(ranks, 1)
    rng = np.random.default_rng(0)
    drawn = [whole[:, rng.integers(whole.shape[1], size=whole.shape[1])] for _ in range(DRAWS)]
    draws = [np.corrcoef(one)[0, 1] for one in drawn]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(np.corrcoef(whole)[0, 1]), float(low), float(high)


def held_out_loss(part: Demos, held: Demos, seed: int, steps: int) -> float:
    settings = {"hidden": [128, 128], "batch": 128, "steps": steps, "schedule": "cosine", "dropout": 0.1}
    run = Run(seed=seed, show=False, held=held, precision="fp32")
    method_class("bc").from_json(settings).fit(part, run)
    losses = [row["held_action_loss"] for row in run.metrics.rows if "held_action_loss" in row]
    return float(losses[-1])


def halves(demos: Demos, values: Array) -> tuple[Array, Array]:
    """Numbers of the episodes of the trials with the lower and with the higher values, as many trials of each."""
    trials = np.array([source["trial"] for source in demos.table.source])
    each = np.unique(trials)
    order = each[np.argsort([values[trials == one].mean() for one in each], kind="stable")]
    count = len(each) // 2
    low, high = order[:count], order[len(order) - count :]
    return np.flatnonzero(np.isin(trials, low)), np.flatnonzero(np.isin(trials, high))


def report_overcooked(seeds: Sequence[int], steps: int) -> None:
    layouts = overcooked()
    found = {name: measures(demos) for name, demos in layouts.items()}
    print("| measure | correlation with the return (39 trials) | 95 % |\n|---|---|---|")
    for measure in SHOWN:
        pairs = [per_trial(demos, found[name][measure]) for name, demos in layouts.items()]
        value, low, high = correlated(pairs)
        print(f"| {measure} | {value:+.2f} | {low:+.2f} to {high:+.2f} |")
    print("\n| layout | all | " + " | ".join(f"{name}: lower half, upper half" for name in (*HALVED, "return")) + " |")
    print("|---|---|" + "---|" * (len(HALVED) + 1), flush=True)
    for name, demos in layouts.items():
        told = np.array([source["return"] for source in demos.table.source])
        best = told == told.max()
        held, rest = demos.keep(best, "held out"), demos.keep(~best, "rest")
        values = {**{key: each[~best] for key, each in found[name].items()}, "return": told[~best]}
        row = [np.mean([held_out_loss(rest, held, seed, steps) for seed in seeds])]
        for key in (*HALVED, "return"):
            parts = [rest.keep(part) for part in halves(rest, values[key])]
            row += [np.mean([held_out_loss(part, held, seed, steps) for seed in seeds]) for part in parts]
        cells = [f"{row[0]:.3f}", *(f"{row[i]:.3f}, {row[i + 1]:.3f}" for i in range(1, len(row), 2))]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


# ---------------------------------------------------------------- sets without a known return


def report_sets(names: Sequence[str]) -> None:
    print(
        "| set | episodes, steps | measure | mean | correlation with the length of the episode |\n|---|---|---|---|---|"
    )
    for name in names:
        demos = open_demos(DATA / name)
        keys = [key for key, feature in demos.spec.obs.items() if feature.kind == "number"]
        demos = demos.select([STATE] if STATE in keys else keys)
        for measure, values in measures(demos).items():
            if measure == "standing still":
                continue
            told = spearmanr(values, demos.table.length).statistic  # pyright: ignore[reportAttributeAccessIssue]
            print(
                f"| {name} | {len(demos)}, {demos.steps} | {measure} | {values.mean():.3g} | {told:+.2f} |", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["overcooked", "pusht", "kinder"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=600)
    args = parser.parse_args()
    began = time.process_time()
    if "overcooked" in args.what:
        report_overcooked(args.seeds, args.steps)
    sets = {
        "pusht": ["pusht_human"],
        "kinder": ["kinder2d_human/Motion2D-p2.npz", "kinder2d_human/StickButton2D-b1.npz"],
    }
    chosen = [name for key, names in sets.items() if key in args.what for name in names]
    if chosen:
        report_sets(chosen)
    print(f"\n{(time.process_time() - began) / 60:.1f} core minutes")


if __name__ == "__main__":
    main()
