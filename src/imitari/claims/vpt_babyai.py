"""The same on a BabyAI level, as the specification has it: there the few episodes with actions are enough alone."""

from __future__ import annotations

from imitari.claims.vpt import CLAIM as VPT
from imitari.claims.vpt import CRITERIA, arms, budgets, run_arm, videos
from imitari.jobs.claim import Budget, Claim

CLAIM = Claim(
    paper=VPT.paper,
    sentence=VPT.sentence,
    arms=arms({"steps": 900, "batch": 8, "lr": 1e-3}, {"steps": 800, "batch": 24}),
    task="minigrid/BabyAI-UnlockPickup-v0",
    criteria=CRITERIA,
    budgets=budgets(Budget(range(3), 200, videos(20), minutes=15)),
    metric="total",
    run_arm=run_arm,
    options={"pixels": 56},
    notes="Settings were tuned on seeds 1000 and 1001 for the model that sees the future; the model of the past has "
    "the same. Labels right there, future seen and not: 98.3 and 98.1 % against 79.8 and 77.4 % with a kernel "
    "of 3 frames, 96.0 and 95.7 % against 75.6 and 78.4 % with 5, 97.7 and 97.1 % against 74.0 and 76.0 % "
    "with 3 frames and two blocks of attention over 16 (500 steps). On seed 1000 the policy from 20 episodes "
    "alone solved 72 % of 200 starts, and 46 % of those of BlockedUnlockPickup, a harder level, within as "
    "many steps: the bot is that predictable. So neither the criterion on that policy nor the one on the "
    "model of the past was expected to hold. Both are the specification's, and were kept. A bot "
    "that hesitates, harder levels and rooms to be explored were tried on tuning seeds (page of the method): where the "
    "20 episodes alone are worth little, the true actions of 2,000 are not enough either, or labels are less right. "
    "Judged under the name vpt, which is since said of the world orders/3.",
)
