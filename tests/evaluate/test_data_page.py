"""The page about a data set says what its parts say, and draws what is kept."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from imitari.cli import main
from imitari.core.demos import Demos
from imitari.core.episode import Episode
from imitari.core.spec import Feature, Spec
from imitari.data.curate.scores import Scores
from imitari.data.doctor import Finding
from imitari.data.opening import save_demos
from imitari.evaluate._data_plots import kept_rows, law_plot
from imitari.evaluate.data_page import DataPage, law_from, render
from imitari.evaluate.power_law import fit

SIZES = (5, 10, 20)


@pytest.fixture
def demos() -> Demos:
    spec, rng = Spec({"observation.state": Feature((2,))}, Feature((2,))), np.random.default_rng(0)
    episodes = [
        Episode(
            {"observation.state": rng.normal(size=(9, 2)).astype(np.float32)}, rng.normal(size=(8, 2)), success=True
        )
        for _ in range(5)
    ]
    return Demos.from_episodes(episodes, spec)


def study() -> dict[str, object]:
    rng = np.random.default_rng(1)
    gaps = [(rng.random((2, 50)) < 1.5 * size**-0.5).astype(float) for size in SIZES]
    law = fit(SIZES, gaps)
    scores = {str(size): (1 - table.mean(1)).tolist() for size, table in zip(SIZES, gaps, strict=True)}
    about = {"axis": "demos", "metric": "success", "method": "bc", "perfect": 1.0}
    return {**about, "scores": scores, "sentence": law.sentence(), **law.to_json()}


def test_everything_stands_on_one_page(demos: Demos) -> None:
    finding = Finding("error", "not_finite", "three are not numbers", "drop <episode> 2", 2)
    scores = Scores(
        {}, {"rank_sum": np.array([3.0, 1, 4, 1, 5])}, {"rank_sum": "low"}, np.arange(40) % 4 > 0,
        {"ann": {"rank_sum": 2.5}}, {"who": "measures"},
    )  # fmt: skip
    found = study()
    text = render(DataPage("cups", demos, [finding, finding], scores, 0.4, found))
    assert "1 errors" not in text
    assert "2 errors: mend these before anything is trained" in text
    assert "drop &lt;episode&gt; 2" in text
    assert "episode 2 and 1 more" in text
    sentence = str(found["sentence"]).replace("'", "&#x27;")
    assert f"<p>{sentence[0].upper()}{sentence[1:]}</p>" in text
    assert "30 of 40 steps would be kept (75.0%)" in text
    assert "<td class=name>ann</td>" in text
    best = re.findall(r"<td class=name>(\d)</td><td>yes</td>", text)
    assert sorted(best) == ["1", "3"]


def test_it_says_who_scored_with_what_and_what_the_data_holds(demos: Demos) -> None:
    values = {"order": np.arange(5.0), "bad": np.arange(5.0)}
    about = {"who": "ensemble_bc 12ab", "eta": 0.123456789, "near_distance": 2, "none": None}
    spec = Spec({"observation.state": Feature((2,), names=("x", "y"), unit="m")}, Feature((2,)))
    scores = Scores({}, values, {"order": "low"}, None, {}, about)
    text = render(DataPage("cups", demos.with_spec(spec), [Finding("error", "idle", "rests", "cut")], scores))
    assert "<strong>1 error: mend" in text
    assert "Scored by ensemble_bc 12ab (eta 0.123, near distance 2)." in text
    assert "steps that contradict in familiar states" in text
    assert "<td>8 to 8, median 8</td>" in text
    assert "<td>number 2; m; x, y</td>" in text
    assert "<td>number 2</td>" in text


def test_the_law_comes_back_from_its_file() -> None:
    found = study()
    law = law_from(found)
    assert law.to_json() == {key: found[key] for key in law.to_json()}
    picture = law_plot(law, [[0.5, 0.4], [0.3, 0.4], [0.2, 0.0]], "demonstrations")
    assert picture.count("<circle") == len(SIZES) + 6
    assert "nan" not in picture


def test_rows_of_kept_steps_are_as_long_as_they_are() -> None:
    keep = np.array([1, 1, 0, 1, 0, 0], bool)
    picture = kept_rows(keep, np.array([4, 2]))
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="9"', picture)]
    whole = sum(widths[:3])
    assert np.allclose(np.array(widths) / whole, [0.5, 0.25, 0.25, 0.5], atol=1e-3)
    assert picture.count("var(--neither)") == 2


def test_the_command(demos: Demos, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_demos(demos, tmp_path / "set.npz", "npz")
    assert main(["data", "report", str(tmp_path / "set.npz"), "--out", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text()
    assert "How good every episode is" in text
    assert "was not asked" in text
    capsys.readouterr()
    command = ["data", "report", str(tmp_path / "set.npz"), "--scale", str(tmp_path), "--out", str(tmp_path / "p.html")]
    assert main(command) == 2
    assert "scale.json: is missing" in capsys.readouterr().err
