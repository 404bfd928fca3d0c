"""Every claim's smoke budget runs through: data, trainings, evaluations, verdict, report."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from imitari.core import registry
from imitari.core.errors import UserError
from imitari.core.starts import BLOCK, evaluation_starts, judging_starts, learning_starts, training_starts
from imitari.jobs.claim import claim_named
from imitari.jobs.claim_run import ClaimRequest, run_claim
from imitari.jobs.report import claim_report

NAMES = sorted(registry.entries("claims"))


@pytest.mark.parametrize("name", NAMES)
def test_smoke_budget_runs(name: str, tmp_path: Path) -> None:
    verdict = run_claim(ClaimRequest(name, "smoke", engine="inline", show=False), tmp_path)
    claim = claim_named(name)
    assert verdict == json.loads((tmp_path / "verdict.json").read_text())
    assert list(verdict["arms"]) == list(claim.arms)
    assert verdict["holds"] == all(found["holds"] for found in verdict["criteria"])
    for arm in verdict["arms"].values():
        counts = {entry["episodes"] for entry in arm["seeds"].values()}
        assert counts == {claim.budgets["smoke"].starts}
    claim_report(tmp_path, films=False)
    page = (tmp_path / "report.html").read_text()
    assert all(arm in page for arm in claim.arms)


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_is_complete(name: str) -> None:
    claim = claim_named(name)
    assert {"smoke", "quick", "full"} <= set(claim.budgets)
    assert claim.sentence.endswith(".")
    assert claim.budgets["quick"].minutes <= 15
    assert len(claim.budgets["quick"].seeds) >= 3
    for label in ("quick", "full"):
        assert max(claim.budgets[label].seeds) < 1000, "seeds from 1000 on are for tuning"


def test_training_and_evaluation_starts_never_meet() -> None:
    most = max(budget.starts for name in NAMES for budget in claim_named(name).budgets.values())
    seed_0 = [training_starts(0, 500_000), learning_starts(0, 39_998, 10), judging_starts(0, 100_000)]
    in_order = [evaluation_starts(most), *seed_0, training_starts(1, 1)]
    for one, two in pairwise(in_order):
        assert one[-1] < two[0]
    with pytest.raises(UserError):
        evaluation_starts(BLOCK)
