"""The cache of decoded frames: built once, never half, never beyond the disk or the memory budget."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imitari.core.columns import MappedColumn
from imitari.core.errors import UserError
from imitari.data import frames


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMITARI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def recipe(root: Path, rows: int = 10, **settings: object) -> frames.Recipe:
    source = root / "film.mp4"
    if not source.exists():
        source.write_bytes(b"film")
    return frames.Recipe("set/camera", root, [source], (rows, 4, 4, 3), "uint8", settings)


def fill(file: frames.ArrayFile, advance: Callable[[int], None]) -> None:
    for row in reversed(range(file.shape[0])):
        file.write(row, np.full((1, *file.shape[1:]), row, np.uint8))
    advance(file.shape[0])


def refuse(file: frames.ArrayFile, advance: Callable[[int], None]) -> None:
    raise AssertionError("decoded twice")


def test_built_once_and_rebuilt_when_something_changed(tmp_path: Path, cache: Path) -> None:
    column = frames.column(recipe(tmp_path), fill, "decoding", 10, 1 << 20)
    assert column.take(np.array([[3, 9]]))[0, :, 0, 0, 0].tolist() == [3, 9]
    frames.build(recipe(tmp_path), refuse, "decoding", 10)
    with pytest.raises(AssertionError, match="decoded twice"):
        frames.build(recipe(tmp_path, pixels=64), refuse, "decoding", 10)
    (tmp_path / "film.mp4").write_bytes(b"another film")
    with pytest.raises(AssertionError, match="decoded twice"):
        frames.build(recipe(tmp_path), refuse, "decoding", 10)
    assert len(list(cache.glob("*.npy"))) == 1
    assert not list(cache.glob("*.partial"))


def test_a_file_that_lacks_rows_is_not_kept(tmp_path: Path, cache: Path) -> None:
    def half(file: frames.ArrayFile, advance: Callable[[int], None]) -> None:
        file.write(0, np.zeros((5, 4, 4, 3), np.uint8))

    with pytest.raises(UserError, match=r"set/camera: only 5 of 10 rows"):
        frames.build(recipe(tmp_path), half, "decoding", 10)
    assert not list(cache.glob("*.npy"))


def test_remains_of_a_killed_process_are_swept(tmp_path: Path, cache: Path) -> None:
    path = recipe(tmp_path).file()
    cache.mkdir()
    (cache / f"{path.stem}.77-abc.partial").write_bytes(b"half")
    frames.build(recipe(tmp_path), fill, "decoding", 10)
    assert [found.name for found in cache.iterdir() if found.suffix != ".lock"] == [path.name]


def test_full_disk_is_said_before_decoding(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs 480,000,000,000,000 bytes and [\d,]+ are free"):
        frames.build(recipe(tmp_path, rows=10**13), refuse, "decoding", 10)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes everywhere")
def test_a_cache_folder_that_cannot_be_written(tmp_path: Path, cache: Path) -> None:
    cache.mkdir(mode=0o500)
    with pytest.raises(UserError, match="IMITARI_CACHE"):
        frames.build(recipe(tmp_path), fill, "decoding", 10)


def test_a_cache_folder_that_is_a_file(tmp_path: Path, cache: Path) -> None:
    cache.write_text("no folder")
    with pytest.raises(UserError, match=r"the cache cannot be written .*IMITARI_CACHE"):
        frames.build(recipe(tmp_path), fill, "decoding", 10)


WORKER = """
import sys, time
from pathlib import Path
import numpy as np
from imitari.data import frames
root = Path(sys.argv[1])
def fill(file, advance):
    (root / f"built-{time.monotonic_ns()}").touch()
    for row in range(file.shape[0]):
        file.write(row, np.full((1, 4, 4, 3), row, np.uint8))
        time.sleep(0.02)
recipe = frames.Recipe("set/camera", root, [root / "film.mp4"], (20, 4, 4, 3))
print(int(frames.column(recipe, fill, "decoding", 20, 1 << 20).take(np.arange(20))[:, 0, 0, 0].sum()))
"""


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"film")
    started = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [int(process.communicate(timeout=60)[0]) for process in started] == [190, 190]
    assert len(list(tmp_path.glob("built-*"))) == 1


@pytest.mark.parametrize("shape", [(40, 6, 5), (40, 3), (40,), (40, 0)])
@pytest.mark.parametrize("budget", [0, 1 << 20])
def test_a_mapped_column_gives_the_same_as_the_array(tmp_path: Path, shape: tuple[int, ...], budget: int) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.save(tmp_path / "values.npy", values)
    column = MappedColumn(tmp_path / "values.npy", budget)
    assert column.shape == values.shape
    assert column.dtype == values.dtype
    for rows in (
        np.array([7, 8, 9, 3, 3, 39, 0]),
        np.array([[1, 2], [38, 39]]),
        np.zeros((0, 2), np.int64),
        np.array(5),
    ):
        assert np.array_equal(column.take(rows), values[rows])
    for start, stop in ((0, 40), (3, 9), (5, 5), (35, 60)):
        assert np.array_equal(column.span(start, stop), values[start:stop])
    with pytest.raises(IndexError):
        column.take(np.array([40]))


def test_a_column_file_cut_off_while_open(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", np.zeros((100, 50)))
    column = MappedColumn(tmp_path / "values.npy", 0)
    os.truncate(tmp_path / "values.npy", 4000)
    with pytest.raises(UserError, match="cut off"):
        column.take(np.array([99]))


MEASURE = """
import sys
from pathlib import Path
import numpy as np
from imitari.core.columns import MappedColumn
def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024
column = MappedColumn(Path(sys.argv[1]), 20 << 20)
rng, count = np.random.default_rng(0), column.shape[0]
before = resident()
peak = before
for _ in range(100):
    column.take(rng.integers(0, count, (64, 2)))
    peak = max(peak, resident())
for start in range(0, count, 50):
    column.span(start, start + 50).max()
    peak = max(peak, resident())
print(peak - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_stays_below_the_budget_however_large_the_file(tmp_path: Path) -> None:
    row = (64, 64, 3)
    count = (200 << 20) // int(np.prod(row))
    file = frames.ArrayFile(tmp_path / "frames.npy", (count, *row), np.uint8)
    for start in range(0, count, 500):
        file.write(start, np.ones((min(500, count - start), *row), np.uint8))
    file.close()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE), str(tmp_path / "frames.npy")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 20
