"""Losses of lcb and its baselines over all mixtures and sizes, beside the rates of the theory, as Markdown tables.

  python benchmarks/pessimism_rates.py [--replicates 100] [--seed 2000]

Also: VI-LCB over its penalty scale, and on grids of any difficulty.
"""

from __future__ import annotations

import argparse

import numpy as np

from imitari.claims.lcb import METHODS, Condition, instance, recorded
from imitari.core.episode import Array
from imitari.core.tabular import TabularMDP
from imitari.envs import slippery_grid
from imitari.learn.method import method_named

BANDIT = [Condition("bandit", expert, steps) for expert in (95, 60, 30, 10, 5) for steps in (200, 1000, 5000, 20_000)]
GRID = [Condition("grid", expert, steps) for expert in (90, 50, 10) for steps in (300, 1000, 3000, 10_000)]
SCALES = (0.002, 0.005, 0.01, 0.05)


def concentrability(condition: Condition, mdp: TabularMDP) -> float:
    """C*: the largest ratio of the optimum's occupancy to the distribution of the data."""
    plan = mdp.optimal()
    share = condition.expert / 100
    target = mdp.occupancy(plan.policy)
    if condition.world == "bandit":
        return 1 / share
    data = share * target + (1 - share) / mdp.reward.size
    return float((target / data).max())


def rate(condition: Condition, ratio: float) -> float:
    """The upper bound of the theory without constants and logarithms."""
    steps, states = condition.steps, 20 if condition.world == "bandit" else 64
    if condition.world == "bandit":
        return float(np.sqrt(states * (ratio - 1) / steps) + states / steps)
    return float(np.sqrt(states * ratio / ((1 - slippery_grid.GAMMA) ** 5 * steps)))


def losses(condition: Condition, mdps: list[TabularMDP], seed: int, methods: dict[str, object]) -> dict[str, Array]:
    """Method -> (replicates,) exact losses, all from the same data."""
    found: dict[str, list[float]] = {name: [] for name in methods}
    for number, mdp in enumerate(mdps):
        plan = mdp.optimal()
        steps = recorded(condition, mdp, plan, np.random.default_rng([seed, number, condition.expert, condition.steps]))
        for name, method in methods.items():
            policy = method.solve(steps, np.random.default_rng([seed, number])).action  # type: ignore[attr-defined]
            found[name].append(float(mdp.start @ plan.value) - mdp.score(policy))
    return {name: np.array(values) for name, values in found.items()}


def table(
    title: str, conditions: list[Condition], mdps: list[TabularMDP], seed: int, methods: dict[str, object]
) -> None:
    print(f"\n{title}\n\n| expert | steps | C* | bound | {' | '.join(methods)} |\n|{'---|' * (4 + len(methods))}")
    for condition in conditions:
        ratio = float(np.mean([concentrability(condition, mdp) for mdp in mdps[:20]]))
        found = losses(condition, mdps, seed, methods)
        cells = " | ".join(f"{one.mean():.4f} ± {one.std(ddof=1) / np.sqrt(len(one)):.4f}" for one in found.values())
        print(
            f"| {condition.expert} % | {condition.steps} | {ratio:.2f} | {rate(condition, ratio):.2g} | {cells} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--seed", type=int, default=2000, help="of instances and data")
    args = parser.parse_args()
    seeds = [(args.seed, number) for number in range(args.replicates)]
    bandits, grids = [instance("bandit", one) for one in seeds], [instance("grid", one) for one in seeds]
    every = [slippery_grid.grid_mdp(slippery_grid.hole_cells(one, worth=0.0)) for one in seeds]
    made = {world: {name: method_named(*spec) for name, spec in arms.items()} for world, arms in METHODS.items()}
    table("Contextual bandit", BANDIT, bandits, args.seed, made["bandit"])
    table("Grid", GRID, grids, args.seed, made["grid"])
    table("Grids of any difficulty", GRID[1:3] + GRID[5:7] + GRID[9:11], every, args.seed, made["grid"])
    name, settings = METHODS["grid"]["lcb"]
    scales = {f"scale {scale}": method_named(name, {**settings, "scale": scale}) for scale in SCALES}
    table("Penalty scale, grid", GRID[1:3] + GRID[5:7] + GRID[9:11], grids, args.seed, scales)


if __name__ == "__main__":
    main()
