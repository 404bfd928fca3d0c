"""Planned sample sizes against enumeration, simulation and textbook values."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from imitari.evaluate.planning import (
    critical_losses,
    episodes_to_decide,
    paired_power,
    paired_rates,
    rollouts_for_power,
    rollouts_unpaired,
)
from imitari.evaluate.significance import mcnemar_exact


def _power_by_listing(pairs: int, only_a: float, only_b: float, alpha: float) -> float:
    total = 0.0
    for x, y in itertools.product(range(pairs + 1), repeat=2):
        if x + y <= pairs and y > x and mcnemar_exact(x, y).p_value <= alpha:
            total += scipy.stats.multinomial.pmf([x, y, pairs - x - y], pairs, [only_a, only_b, 1 - only_a - only_b])
    return total


@pytest.mark.parametrize(
    ("pairs", "only_a", "only_b"), [(12, 0.1, 0.5), (30, 0.15, 0.4), (25, 0.0, 0.3), (9, 0.4, 0.6)]
)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_power_is_exact(pairs: int, only_a: float, only_b: float, alpha: float) -> None:
    expected = _power_by_listing(pairs, only_a, only_b, alpha)
    assert paired_power(pairs, only_a, only_b, alpha) == pytest.approx(expected, abs=1e-9)
    assert paired_power(pairs, only_b, only_a, alpha) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
def test_critical_losses_match_the_test(alpha: float) -> None:
    found = critical_losses(np.arange(120), alpha)
    for discordant in range(120):
        significant = [k for k in range(discordant // 2 + 1) if mcnemar_exact(k, discordant - k).p_value <= alpha]
        assert found[discordant] == (max(significant) if significant else -1)


def test_rollouts_for_power_is_the_first_that_suffices() -> None:
    needed = rollouts_for_power(0.5, 0.8)
    assert needed is not None
    rates = paired_rates(0.5, 0.8)
    assert paired_power(needed, *rates) >= 0.8 > paired_power(needed - 1, *rates)
    assert rollouts_for_power(0.8, 0.5) == needed


def test_rollouts_for_power_by_simulation() -> None:
    needed = rollouts_for_power(0.5, 0.7, correlation=0.3)
    assert needed is not None
    only_a, only_b = paired_rates(0.5, 0.7, 0.3)
    draws = np.random.default_rng(0).multinomial(needed, [only_a, only_b, 1 - only_a - only_b], size=4000)
    found = np.mean([mcnemar_exact(x, y).p_value <= 0.05 and y > x for x, y, _ in draws.tolist()])
    assert found == pytest.approx(0.8, abs=0.025)


def test_pairing_saves_rollouts_and_small_gaps_cost() -> None:
    independent, correlated = rollouts_for_power(0.5, 0.6), rollouts_for_power(0.5, 0.6, correlation=0.5)
    assert independent is not None
    assert correlated is not None
    assert correlated < 0.6 * independent
    assert rollouts_for_power(0.5, 0.5) is None
    assert rollouts_for_power(0.5, 0.500001) is None


def test_unpaired_formula_gives_textbook_values() -> None:
    # Fleiss, Levin & Paik: two-sided 5 %, 80 % power, without continuity correction
    assert rollouts_unpaired(0.5, 0.6) == 388
    assert rollouts_unpaired(0.6, 0.5) == 388
    assert rollouts_unpaired(0.1, 0.2) == 199
    assert rollouts_unpaired(0.3, 0.3) is None


def test_paired_rates() -> None:
    assert paired_rates(0.6, 0.5) == pytest.approx((0.3, 0.2))
    assert paired_rates(0.5, 0.5, correlation=1.0) == pytest.approx((0.0, 0.0))
    assert paired_rates(0.5, 0.5, correlation=-1.0) == pytest.approx((0.5, 0.5))
    with pytest.raises(ValueError, match="cannot have a correlation"):
        paired_rates(0.9, 0.5, correlation=0.9)
    with pytest.raises(ValueError, match="between 0 and 1"):
        paired_rates(1.2, 0.5)


def test_episodes_to_decide() -> None:
    assert episodes_to_decide(40, 5, 25, 30) == 0
    assert episodes_to_decide(40, 8, 8, 30) is None
    assert episodes_to_decide(40, 0, 0, 30) is None
    far, near = episodes_to_decide(40, 10, 15, 35), episodes_to_decide(40, 10, 20, 30)
    assert far is not None
    assert near is not None
    assert far > near > 0
    assert episodes_to_decide(40, 15, 10, 35) == far


def test_episodes_to_decide_by_simulation() -> None:
    more = episodes_to_decide(20, 6, 12, 12)
    assert more is not None
    generator = np.random.default_rng(1)
    for pairs, low, high in ((more, 0.78, 0.83), (more // 2, 0.0, 0.78)):
        draws = generator.multinomial(pairs, [6 / 50, 12 / 50, 32 / 50], size=4000).tolist()
        found = np.mean([mcnemar_exact(6 + x, 12 + y).p_value <= 0.05 and 12 + y > 6 + x for x, y, _ in draws])
        assert low < found < high


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match="power"):
        rollouts_for_power(0.5, 0.6, power=1.0)
    with pytest.raises(ValueError, match="paired counts"):
        episodes_to_decide(0, 0, 0, 0)
