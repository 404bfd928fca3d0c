"""Every claim's smoke budget runs through: data, trainings, evaluations, verdict, report."""

import json
from pathlib import Path

import pytest

from imitari.core import registry
from imitari.jobs.claim import FIRST_TRAINING_START, claim_named, test_starts, training_starts
from imitari.jobs.claim_run import ClaimRequest, run_claim
from imitari.jobs.report import claim_report

NAMES = sorted(registry.entries("claims"))
test_starts.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


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
    assert 100_000 + most < FIRST_TRAINING_START == training_starts(0, 1)[0]
    assert training_starts(0, FIRST_TRAINING_START)[-1] < training_starts(1, 1)[0]
