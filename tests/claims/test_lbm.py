"""The claims on comparing and on pretraining: what they measure is what they say."""

from __future__ import annotations

import numpy as np
import pytest

from imitari.claims.lbm import after_ten, by_pairs, lai
from imitari.claims.lbm_pretraining import CASES, CLAIM, SIDES, UNSEEN
from imitari.evaluate.sequential import characteristics


@pytest.mark.parametrize(("pairs", "rates"), [(50, (0.8, 0.5)), (50, (0.3, 0.3)), (200, (0.6, 0.5))])
def test_pair_by_pair_it_comes_to_what_first_passages_come_to(pairs: int, rates: tuple[float, float]) -> None:
    a, b = rates
    found = characteristics(lai(pairs), pairs, a * (1 - b), b * (1 - a), two_sided=False)
    assert by_pairs(lai(pairs), pairs, a, b) == pytest.approx((found.a_better, found.mean_pairs))


def test_after_ten_rollouts_by_simulation() -> None:
    rng = np.random.default_rng(0)
    better, worse = (rng.binomial(10, rate, 200_000) for rate in (0.6, 0.5))
    assert after_ten() == pytest.approx(((better < worse).mean(), (better <= worse).mean()), abs=4e-3)


def test_every_unseen_task_has_three_policies_under_both_conditions() -> None:
    assert len(CASES) == 16
    assert len(UNSEEN) == 3 * len(SIDES) == 12
    data = CLAIM.budgets["quick"].demos
    assert len(data["unseen"]) == len(data["seen"]) == 2
    from imitari.envs import task_named
    from imitari.envs.mixed import MixedTask

    mixture = task_named(data["mixture"])
    assert isinstance(mixture, MixedTask)
    names = {part.name for part in mixture.parts}
    assert set(data["seen"]) <= names
    assert not set(data["unseen"]) & names
