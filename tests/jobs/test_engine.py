"""Engines: local processes that survive a kill, failures that speak, a local Ray."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imitari.core.errors import Missing, UserError
from imitari.jobs.arm import arm_outcomes
from imitari.jobs.claim import claim_named
from imitari.jobs.claim_run import ClaimRequest, plan, run_claim
from imitari.jobs.engine import engine_named, last_count, only_one, raise_failure
from imitari.jobs.engine_ray import take_back
from imitari.jobs.folder import Job, prepare, read_job, write_json

NAME = "two_sided"
TINY = {"all": {"steps": 60, "batch": 16}}


def tiny(**changes: object) -> ClaimRequest:
    return ClaimRequest(NAME, "smoke", engine="inline", show=False, changes=TINY, **changes)  # pyright: ignore


def decision(verdict: dict) -> dict:
    """What must be the same however often the run was cut off."""
    left_out = {"minutes", "date", "machine", "commits"}
    return {key: value for key, value in verdict.items() if key not in left_out}


def test_kill_and_run_again_gives_the_same_verdict(tmp_path: Path) -> None:
    whole = run_claim(tiny(), tmp_path / "whole")
    out = tmp_path / "killed"
    words = ["claim", NAME, "--budget", "smoke", "--set", "all.steps=60", "--set", "all.batch=16", "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-m", "imitari", *words, "--quiet"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.rglob("metrics.jsonl")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    started = list(out.rglob("metrics.jsonl"))
    assert started, "the kill came before any training: nothing was tested"
    assert not (out / "verdict.json").exists()
    _wait_until_alone(out)
    again = run_claim(tiny(), out)
    assert decision(again) == decision(whole)


def _wait_until_alone(out: Path) -> None:
    """The jobs end by themselves when their parent is killed."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        commands = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                commands.append(path.read_bytes())
            except OSError:
                continue
        if not any(str(out).encode() in command for command in commands):
            return
        time.sleep(0.1)
    pytest.fail("a job outlived the run that started it")


def test_finished_jobs_are_not_repeated(tmp_path: Path) -> None:
    run_claim(tiny(), tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights.safetensors")}
    arms = len(claim_named(NAME).arms)
    assert len(stamps) == 2 * arms
    run_claim(tiny(), tmp_path)
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights.safetensors")}
    run_claim(tiny(seeds=(0, 1, 2)), tmp_path)
    assert len(list(tmp_path.rglob("weights.safetensors"))) == 3 * arms


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    job = plan(claim_named(NAME), tiny())[0]
    prepare(tmp_path / job.name(), job)
    prepare(tmp_path / job.name(), job)
    assert read_job(tmp_path / job.name()) == job
    other = plan(claim_named(NAME), ClaimRequest(NAME, "smoke"))[0]
    with pytest.raises(UserError, match="field 'settings' differs"):
        prepare(tmp_path / job.name(), other)


def test_a_failing_job_says_why(tmp_path: Path) -> None:
    job = plan(claim_named(NAME), tiny())[0]
    wrong = Job(**{**vars(job), "task": "two_way"})
    folder = tmp_path / "flow" / "seed-0"
    prepare(folder, wrong)
    with pytest.raises(UserError, match=r"job flow/seed-0: there is no task named 'two_way': did you mean two_ways\?"):
        engine_named("local")([folder], 1, False)


def test_what_is_missing_stays_missing(tmp_path: Path) -> None:
    error = Missing("mujoco", "install it")
    write_json(tmp_path / "error.json", {"status": 3, "sentence": str(error), "component": "mujoco"})
    with pytest.raises(Missing, match=r"^mujoco is missing: install it$"):
        raise_failure(tmp_path, 3)


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(UserError, match="another run is at work"), only_one(tmp_path):
        pass


def test_unknown_engine_and_single_seed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose local, ray or inline"):
        engine_named("slurm")
    with pytest.raises(UserError, match="fewer than two seeds"):
        plan(claim_named(NAME), tiny(seeds=(0,)))


def test_progress_is_read_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert last_count(log) == ("", 0.0)
    log.write_text("train: 100/400, 0:30 left loss 2.0\ntwo_ways: steps: 30/60, 0:01 left\n")
    assert last_count(log) == ("two_ways: steps", 0.5) or last_count(log) == ("steps", 0.5)


def test_files_of_a_worker_stay_in_their_folder(tmp_path: Path) -> None:
    take_back(tmp_path / "job", {"done.json": b"{}", "deep/log.txt": b"x"})
    assert (tmp_path / "job" / "deep" / "log.txt").read_bytes() == b"x"
    with pytest.raises(UserError, match="outside"):
        take_back(tmp_path / "job", {"../elsewhere": b"x"})


def test_ray_gives_the_outcomes_of_this_process(tmp_path: Path) -> None:
    """In a process of its own: Ray leaves threads and warnings behind."""
    pytest.importorskip("ray")
    job = plan(claim_named(NAME), tiny())[1]
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        prepare(folder, job)
    engine_named("inline")([here], 1, False)
    script = (
        "import ray, sys, pathlib\n"
        "ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)\n"
        "from imitari.jobs.engine_ray import ray_engine\n"
        "ray_engine([pathlib.Path(sys.argv[1])], 2, False)"
    )
    words = [sys.executable, "-c", script, str(there)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert arm_outcomes(there) == arm_outcomes(here)
