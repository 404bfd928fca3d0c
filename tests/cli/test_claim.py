"""`imitari claim` and `imitari ledger`: exit status, settings, records."""

import json
from pathlib import Path
from typing import Any

import pytest

from imitari.cli import claim as verb
from imitari.cli import main
from imitari.core.errors import UserError

METHODS = {"flow": "flow_policy", "regression": "bc"}


def test_without_a_name_the_claims_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claim"]) == 0
    assert "two_sided" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["claim", "two_side"], "did you mean two_sided"),
        (["claim", "two_sided", "--budget", "huge"], "no budget 'huge'"),
        (["claim", "two_sided", "--seeds", "a:b"], "not a range of seeds"),
        (["claim", "two_sided", "--set", "steps=3"], "must read ARM.FIELD=VALUE"),
        (["claim", "two_sided", "--set", "nobody.steps=3"], "no arm 'nobody'"),
        (["claim", "two_sided", "--set", "flow.step=3"], "no setting 'step'"),
        (["claim", "two_sided", "--set", "flow.steps=many"], "needs a whole number"),
        (["claim", "two_sided", "--set", "regression.head=other"], "is one of mse, tanh, gmm"),
        (["claim", "two_sided", "--budget", "smoke", "--record"], "--record keeps verdicts of the claim as written"),
        (["claim", "two_sided", "--budget", "smoke", "--engine", "slurm"], "choose local, ray or inline"),
        (["claim", "two_sided", "--budget", "smoke", "--jobs", "0"], "must be at least 1"),
    ],
)
def test_bad_usage_is_one_sentence_and_status_2(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1


def test_settings_are_read_as_the_type_of_their_field() -> None:
    words = ["flow.width=64", "regression.hidden=32,16", "all.lr=0.01", "regression.head=gmm"]
    assert verb.changes_of(words, {**METHODS, "measured": ""}) == {
        "flow": {"width": 64, "lr": 0.01},
        "regression": {"hidden": (32, 16), "lr": 0.01, "head": "gmm"},
    }
    with pytest.raises(UserError, match="has no method"):
        verb.changes_of(["measured.lr=0.01"], {**METHODS, "measured": ""})


def test_ranges_of_seeds() -> None:
    assert verb.seed_range("0:3") == (0, 1, 2)
    assert verb.seed_range("4,9") == (4, 9)


@pytest.mark.parametrize(("holds", "status"), [(True, 0), (False, 1)])
def test_exit_status_is_the_verdict(
    holds: bool, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from imitari.jobs import claim_run

    monkeypatch.setattr(claim_run, "run_claim", lambda request, out: _verdict(holds))
    monkeypatch.setattr(verb, "report", lambda out: None)
    assert main(["claim", "two_sided", "--out", str(tmp_path)]) == status
    said = capsys.readouterr().out
    assert ("DOES NOT HOLD" in said) != holds
    assert "(90/100, 80/100 by training seed)" in said


def test_something_missing_is_status_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    words = ["claim", "two_sided", "--budget", "smoke", "--engine", "ray", "--out", str(tmp_path), "--quiet"]
    assert main(words) == 3


def test_ledger_shows_what_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two_sided.json").write_text(json.dumps(_verdict(True)))
    assert main(["ledger", "--results", str(tmp_path), "--out", str(tmp_path / "ledger.md")]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("two_sided"))
    assert "holds" in line
    assert "1 of 1" in line
    assert "+85 [+60, +95]" in line
    page = (tmp_path / "ledger.md").read_text()
    assert "| two_sided |" in page
    assert "not run yet" in page  # the claims without a record


def test_a_damaged_record_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "two_sided.json").write_text("{")
    assert main(["ledger", "--results", str(tmp_path)]) == 2
    assert "two_sided.json" in capsys.readouterr().err


def test_record_writes_into_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from imitari.jobs import circumstances

    monkeypatch.setattr(circumstances, "checkout", lambda: tmp_path)
    verb.record(_verdict(True))
    assert json.loads((tmp_path / "results" / "two_sided.json").read_text())["holds"]
    monkeypatch.setattr(circumstances, "checkout", lambda: None)
    with pytest.raises(UserError, match="installed copy"):
        verb.record(_verdict(True))


def _verdict(holds: bool) -> dict[str, Any]:
    seeds = {str(seed): {"episodes": 100, "successes": 90 - 10 * seed} for seed in range(2)}
    return {
        "claim": "two_sided",
        "sentence": "It is so.",
        "holds": holds,
        "metric": "success",
        "criteria": [
            {
                "kind": "difference", "arms": ["flow", "regression"], "estimate": 0.85, "low": 0.6, "high": 0.95,
                "level": 0.95, "needs": "> 0.3", "margin": 0.3, "holds": holds,
            }
        ],
        "arms": {"flow": {"mean": 0.85, "low": 0.7, "high": 0.95, "seeds": seeds}},
        "seeds": [0, 1],
        "starts": {"first": 100_000, "count": 100},
        "budget": "quick",
        "minutes": 3.25,
        "commits": ["abcdef012345"],
        "date": "2026-01-01",
        "machine": {"cpu": "a cpu", "cores": 2},
    }  # fmt: skip
