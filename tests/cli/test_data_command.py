"""`imitari data`: every action on a small set, exit statuses, and one sentence for what goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imitari.cli import main
from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.spec import Feature, Spec
from imitari.data.curate.scores import Scores
from imitari.data.formats import npz
from imitari.data.opening import open_demos

SPEC = Spec({"observation.state": Feature((2,))}, Feature((2,)))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    parts: list[Episode] = []
    for number in range(8):
        action = rng.uniform(-1, 1, (30, 2)).astype(np.float32)
        state = np.concatenate([np.zeros((1, 2)), np.cumsum(action, 0)]).astype(np.float32)
        source = {"seed": number, "task": "push"}
        parts.append(
            Episode({"observation.state": state}, action, np.zeros(30), success=number % 2 == 0, source=source)
        )
    npz.write(Demos.from_episodes(parts, SPEC), tmp_path / "set.npz")
    return tmp_path / "set.npz"


def damaged(place: Path) -> Path:
    demos = open_demos(place)
    values = demos.columns["observation.state"].take(np.arange(demos.columns["action"].shape[0]))
    values[int(demos.table.start[3]) + 7] = np.nan
    from imitari.core.columns import ArrayColumn

    out = place.with_name("bad.npz")
    npz.write(demos.with_columns({"observation.state": ArrayColumn(values)}, "planted"), out)
    return out


def test_info(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(place)]) == 0
    text = capsys.readouterr().out
    assert "8 episodes, 240 steps" in text
    assert "4 of 8" in text
    assert "observation.state" in text
    assert main(["data", "info", str(place), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["features"]["action"]["shape"] == [2]


def test_doctor_is_silent_on_clean_data(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "doctor", str(place)]) == 0
    assert "0 errors, 0 warnings, 0 notes in 8 episodes" in capsys.readouterr().out


def test_doctor_exits_1_on_errors(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = damaged(place)
    assert main(["data", "doctor", str(bad), "--json", str(tmp_path / "found.json")]) == 1
    assert "not_finite" in capsys.readouterr().out
    (first, *_) = json.loads((tmp_path / "found.json").read_text())["findings"]
    assert (first["check"], first["episode"], first["frame"]) == ("not_finite", 3, 7)
    assert main(["data", "doctor", str(bad), "--only", "idle"]) == 0


def test_the_doctors_remedy_works(place: Path, tmp_path: Path) -> None:
    bad = damaged(place)
    assert main(["data", "filter", str(bad), "--drop", "3", "--out", str(tmp_path / "good.npz")]) == 0
    assert main(["data", "doctor", str(tmp_path / "good.npz")]) == 0
    assert main(["data", "filter", str(bad), "--finite", "--out", str(tmp_path / "same.npz")]) == 0
    one, other = open_demos(tmp_path / "good.npz"), open_demos(tmp_path / "same.npz")
    assert one.fingerprint() == other.fingerprint()


def test_show(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", str(place)]) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) == 9
    assert main(["data", "show", str(place), "--episode", "2", "--png", str(tmp_path / "look.png")]) == 0
    text = capsys.readouterr().out
    assert "30 steps, success" in text
    assert "█" in text
    assert (tmp_path / "look.png").stat().st_size > 1000


@pytest.mark.parametrize(("out", "format"), [("new.hdf5", "robomimic"), ("new.npz", "npz"), ("folder", "lerobot")])
def test_convert_to_every_writable_format(place: Path, tmp_path: Path, out: str, format: str) -> None:
    assert main(["data", "convert", str(place), "--out", str(tmp_path / out)]) == 0
    back, want = open_demos(tmp_path / out), open_demos(place)
    assert back.provenance.format == format
    assert (len(back), back.steps) == (8, 240)
    assert back.fingerprint() == want.fingerprint()
    assert [source["seed"] for source in back.table.source] == list(range(8))


def test_filter_merge_and_split(place: Path, tmp_path: Path) -> None:
    good, poor = tmp_path / "good.npz", tmp_path / "poor.npz"
    assert main(["data", "filter", str(place), "--success", "--source", "task=push", "--out", str(good)]) == 0
    assert main(["data", "filter", str(place), "--failure", "--episodes", "0:5", "--out", str(poor)]) == 0
    assert (len(open_demos(good)), len(open_demos(poor))) == (4, 2)
    assert main(["data", "merge", str(good), str(poor), "--out", str(tmp_path / "both.npz")]) == 0
    assert [source["seed"] for source in open_demos(tmp_path / "both.npz").table.source] == [0, 2, 4, 6, 1, 3]
    command = ["data", "split", str(place), "--fraction", "0.25", "--out", str(tmp_path / "parts"), "--to", "npz"]
    assert main(command) == 0
    parts = [open_demos(tmp_path / "parts" / f"{name}.npz") for name in ("train", "held_out")]
    seeds = [source["seed"] for part in parts for source in part.table.source]
    assert sorted(seeds) == list(range(8))
    assert len(parts[1]) == 2


def test_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "formats"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert {"lerobot", "robomimic", "minari", "zarr_buffer", "rlds", "npz"} <= set(lines)
    assert "write" in lines["npz"]
    assert "write" not in lines["minari"].split()[1]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["info", "SET.missing"], ["does not exist"]),
        (["info", "SET", "--format", "npy"], ["no format named 'npy'", "npz"]),
        (["show", "SET", "--episode", "8"], ["no episode 8"]),
        (["filter", "SET", "--drop", "99", "--out", "NEW.npz"], ["no episode 99"]),
        (["filter", "SET", "--min-steps", "99", "--out", "NEW.npz"], ["no episode is left"]),
        (["filter", "SET", "--episodes", "one", "--out", "NEW.npz"], ["ranges", "one"]),
        (["convert", "SET", "--out", "SET"], ["exists already"]),
        (["convert", "SET", "--out", "NEW", "--to", "minari"], ["only be read", "npz"]),
        (["doctor", "SET", "--only", "NaN"], ["no check named 'NaN'"]),
        (["doctor"], ["PATH"]),
        (["mend", "SET"], ["mend"]),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(
    command: list[str], words: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.replace("SET", str(place)).replace("NEW", str(place.with_name("new"))) for word in command]
    assert main(["data", *given]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    for word in words:
        assert word in said[0]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from imitari.cli import main\n"
        "try: main(['data', 'info', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'scipy', 'pyarrow', 'h5py', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_score_then_filter(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, out, facts = (place.with_name(name) for name in ("scores.npz", "best.npz", "facts.json"))
    assert main(["data", "score", str(place), "--by", "task", "--out", str(kept), "--json", str(facts)]) == 0
    assert "horizon (low)" in capsys.readouterr().out
    told = json.loads(facts.read_text())
    assert list(told["groups"]) == ["push"]
    variance = np.array(told["episodes"]["action_variance"])
    command = ["data", "filter", str(place), "--scores", str(kept), "--score", "action_variance", "--best", "0.25"]
    assert main([*command, "--drop", str(int(variance.argmin())), "--out", str(out)]) == 0
    assert [episode.source["seed"] for episode in open_demos(out)] == [int(np.argsort(variance)[1])]
    other = damaged(place)
    assert main(["data", "filter", str(other), "--scores", str(kept), "--out", str(place.with_name("no.npz"))]) == 2
    assert "speaks of other data" in capsys.readouterr().err


def test_trim_cuts_out_or_forgets(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demos = open_demos(place)
    keep = np.arange(demos.steps) % 3 > 0
    kept, cut, forgotten = (place.with_name(name) for name in ("scores.npz", "cut.npz", "forgotten.npz"))
    Scores(keep=keep, fingerprint=demos.fingerprint()).save(kept)
    assert main(["data", "trim", str(place), "--scores", str(kept), "--out", str(cut)]) == 0
    assert open_demos(cut).steps == keep.sum()
    assert main(["data", "trim", str(place), "--scores", str(kept), "--forget", "--out", str(forgotten)]) == 0
    left = open_demos(forgotten)
    assert (left.steps, len(left.known_rows())) == (demos.steps, keep.sum())
    assert main(["data", "trim", str(place), "--idle", "0.001", "--out", str(place.with_name("moving.npz"))]) == 0
    assert open_demos(place.with_name("moving.npz")).steps == demos.steps
    Scores({"error": keep * 1.0}, fingerprint=demos.fingerprint()).save(kept)
    assert main(["data", "trim", str(place), "--scores", str(kept), "--out", str(place.with_name("no.npz"))]) == 2
    assert "does not say which steps to keep" in capsys.readouterr().err
