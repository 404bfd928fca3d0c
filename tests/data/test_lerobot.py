"""LeRobot folders: what is written reads back, what LeRobot's layout says is there, and what is damaged is named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imitari.core.columns import MappedColumn, TextColumn
from imitari.core.demos import Demos, Provenance
from imitari.core.episode import ACTION, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.formats import _lerobot_read, _lerobot_stats, lerobot
from imitari.data.opening import ReadOptions, open_demos, save_demos

pq = pytest.importorskip("pyarrow.parquet")
pa = pytest.importorskip("pyarrow")

DATA = Path(os.environ.get("IMITARI_DATA") or Path(__file__).parents[3] / "shared" / "data")
CAMERA = "observation.images.front"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMITARI_CACHE", str(tmp_path / "cache"))


def smooth(count: int, side: int = 64) -> np.ndarray:
    """A bright square that moves a pixel a frame, over a ramp: frames that are told apart after compression."""
    ramp = np.linspace(0, 120, side).astype(np.uint8)
    frames = np.broadcast_to(ramp[None, :, None, None], (count, side, side, 3)).copy()
    for step in range(count):
        frames[step, 8:32, (2 * step) % (side - 24) : (2 * step) % (side - 24) + 24] = (250, 40 + 3 * step, 20)
    return frames


def make(seed: int = 0, camera: bool = True, final: bool = True, lengths: tuple[int, ...] = (7, 1, 12)) -> Demos:
    rng = np.random.default_rng(seed)
    obs = {
        "observation.state": Feature((3,), names=("x", "y", "turn"), unit="m", periodic=(2,)),
        "observation.grid": Feature((2, 4), "int16", "symbol"),
        "observation.height": Feature((), "float64"),
    }
    if camera:
        obs[CAMERA] = Feature((64, 64, 3), "uint8", "image")
    spec = Spec(obs, Feature((2,), low=(-1.0, -1.0), high=(1.0, 1.0)))
    episodes = []
    for number, length in enumerate(lengths):
        rows = length + (final and number != 1)
        values = {
            "observation.state": rng.normal(size=(rows, 3)).astype(np.float32),
            "observation.grid": rng.integers(-9, 9, (rows, 2, 4)).astype(np.int16),
            "observation.height": rng.normal(size=rows),
            CAMERA: smooth(rows),
        }
        episodes.append(
            Episode(
                {key: values[key] for key in obs},
                rng.normal(size=(length, 2)).astype(np.float32),
                rng.normal(size=length).astype(np.float32),
                ended=("terminated", "truncated", "unknown")[number % 3],
                success=(True, False, None)[number % 3],
                extra={"skill": np.array([f"skill {step // 5}" for step in range(length)], object)},
                source={"seed": number, "task": f"push {number % 2}", "fps": 20},
            )
        )
    return Demos.from_episodes(episodes, spec, Provenance("there", "test", ("a step",)))


def same(first: Demos, second: Demos, tolerance: float = 0.0) -> None:
    """Equal in everything, images within `tolerance` in the mean."""
    assert second.spec == first.spec
    assert len(first) == len(second)
    assert list(first.columns) == list(second.columns)
    for one, two in zip(first, second, strict=True):
        assert (one.ended, one.success, one.source, one.rows) == (two.ended, two.success, two.source, two.rows)
        assert np.array_equal(one.action, two.action)
        assert np.array_equal(np.asarray(one.reward), np.asarray(two.reward))
        for key, values in {**one.obs, **one.extra}.items():
            other = two.obs.get(key, two.extra.get(key))
            assert other is not None
            assert values.dtype == other.dtype
            assert values.shape == other.shape
            if values.dtype == np.uint8 and tolerance:
                assert np.abs(values.astype(int) - other.astype(int)).mean() < tolerance
            else:
                assert np.array_equal(values, other)


def change(path: Path, edit: Callable[[dict], object]) -> None:
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def rewrite(path: Path, edit: Callable[[object], object]) -> None:
    pq.write_table(edit(pq.read_table(path)), path)


def test_numbers_and_pictures_read_back_exactly(tmp_path: Path) -> None:
    demos = make()
    lerobot.write(demos, tmp_path / "set", images="image")
    again = open_demos(tmp_path / "set")
    same(demos, again)
    assert again.fingerprint() == demos.fingerprint()
    assert again.provenance.steps == ("read there (test)", "a step")
    lerobot.write(again, tmp_path / "twice", images="image")
    same(demos, open_demos(tmp_path / "twice"))


def test_video_keeps_every_frame_in_its_place(tmp_path: Path) -> None:
    pytest.importorskip("av")
    demos = make()
    save_demos(demos, tmp_path / "set")
    again = open_demos(tmp_path / "set")
    same(demos, again, tolerance=4.0)
    ours, theirs = demos.columns[CAMERA].span(0, 8), again.columns[CAMERA].span(0, 8)
    apart = np.abs(ours[:, None].astype(int) - theirs[None].astype(int)).mean((2, 3, 4))
    assert np.array_equal(apart.argmin(1), np.arange(8))  # nearest to itself, so none is off by one


def test_a_view_writes_only_its_episodes(tmp_path: Path) -> None:
    view = make(camera=False).keep([2, 0])
    save_demos(view, tmp_path / "set")
    same(view, open_demos(tmp_path / "set"))


def test_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    from imitari.data.formats import _lerobot_write

    monkeypatch.setattr(_lerobot_write, "DATA_BYTES", 1)
    monkeypatch.setattr(_lerobot_write, "VIDEO_BYTES", -1)
    monkeypatch.setattr(_lerobot_write, "FILES", 2)
    demos = make()
    save_demos(demos, tmp_path / "set")
    assert (tmp_path / "set" / "data" / "chunk-001" / "file-000.parquet").exists()
    assert len(list((tmp_path / "set" / "videos").rglob("*.mp4"))) > 1
    same(demos, open_demos(tmp_path / "set"), tolerance=4.0)


def test_large_columns_are_mapped_and_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demos = make(camera=False)
    save_demos(demos, tmp_path / "set")
    monkeypatch.setattr(_lerobot_read, "IN_MEMORY", 0)
    again = open_demos(tmp_path / "set")
    assert isinstance(again.columns["observation.state"], MappedColumn)
    same(demos, again)


def test_without_own_files_it_is_a_plain_lerobot_set(tmp_path: Path) -> None:
    demos = make(camera=False)
    save_demos(demos, tmp_path / "set")
    for path in (tmp_path / "set" / "meta" / "imitari").iterdir():
        path.unlink()
    again = open_demos(tmp_path / "set")
    assert again.table.rows.tolist() == again.table.length.tolist() == [7, 1, 12]
    assert again.table.success.tolist() == [1, 0, 0]
    assert again[0].ended == "terminated"
    assert again[1].ended == "truncated"
    assert again[1].source == {"episode": 1, "fps": 20, "task": "push 1"}
    tasks = again.columns["task"]
    assert isinstance(tasks, TextColumn)
    assert tasks.span(0, 9).tolist() == ["push 0"] * 7 + ["push 1", "push 0"]
    assert np.array_equal(again[2].obs["observation.state"], demos[2].obs["observation.state"][:12])
    assert again[2].obs["observation.height"].shape == (12, 1)


def test_a_set_that_another_program_changed_is_read_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_demos(make(camera=False), tmp_path / "set")
    change(tmp_path / "set" / "meta" / "imitari" / "spec.json", lambda data: data.update(frames=3))
    assert open_demos(tmp_path / "set").table.rows.tolist() == [7, 1, 12]
    assert "another program changed it" in capsys.readouterr().err


def test_tasks_a_step_survive(tmp_path: Path) -> None:
    demos = make(camera=False, final=False)
    words = ["reach"] * 3 + ["lift"] * 17
    demos = demos.with_columns({"task": TextColumn.of(words)}, "labelled")
    save_demos(demos, tmp_path / "set")
    assert open_demos(tmp_path / "set").columns["task"].span(0, 20).tolist() == words
    row = pq.read_table(tmp_path / "set" / "meta" / "episodes" / "chunk-000" / "file-000.parquet").to_pylist()[0]
    assert row["tasks"] == ["reach", "lift"]


def test_stats_are_those_of_all_rows(tmp_path: Path) -> None:
    demos = make(camera=False)
    save_demos(demos, tmp_path / "set")
    stats = json.loads((tmp_path / "set" / "meta" / "stats.json").read_text())
    rows = demos.columns["observation.state"].take(demos.rows()).astype(float)
    entry = stats["observation.state"]
    assert entry["count"] == [20]
    for key, want in (("min", rows.min(0)), ("max", rows.max(0)), ("mean", rows.mean(0)), ("std", rows.std(0))):
        assert np.allclose(entry[key], want, atol=1e-12)


def test_picture_stats_equal_numpy() -> None:
    frames = np.random.default_rng(0).integers(3, 200, (5, 6, 7, 3)).astype(np.uint8)
    flat = frames.reshape(-1, 3) / 255.0
    stats = _lerobot_stats.of_pictures(frames)
    for key, want in (("min", flat.min(0)), ("mean", flat.mean(0)), ("std", flat.std(0)), ("max", flat.max(0))):
        assert np.allclose(stats[key][:, 0, 0], want)
    for key, level in _lerobot_stats.QUANTILES.items():
        assert np.allclose(stats[key][:, 0, 0], np.quantile(flat, level, axis=0))


def test_resized_while_read(tmp_path: Path) -> None:
    demos = make()
    lerobot.write(demos, tmp_path / "set", images="image")
    again = open_demos(tmp_path / "set", options=ReadOptions(pixels=32))
    assert again.spec.obs[CAMERA].shape == (32, 32, 3)
    halved = demos[0].obs[CAMERA].reshape(8, 32, 2, 32, 2, 3).mean((2, 4))
    assert np.abs(again[0].obs[CAMERA] - halved).max() <= 1


def test_cameras_are_chosen(tmp_path: Path) -> None:
    lerobot.write(make(), tmp_path / "set", images="image")
    assert not open_demos(tmp_path / "set", options=ReadOptions(cameras=())).spec.images
    with pytest.raises(UserError, match="no camera 'wrist'"):
        open_demos(tmp_path / "set", options=ReadOptions(cameras=("wrist",)))


def test_refuses_to_write_an_episode_without_action(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="episode 1 has no action"):
        save_demos(make(camera=False, lengths=(4, 0)), tmp_path / "set")


def drop_column(name: str) -> Callable[[object], object]:
    return lambda table: table.drop_columns([name])


def narrow(table: object) -> object:
    at = table.column_names.index("observation.state")
    return table.set_column(at, "observation.state", pa.array([[1.0, 2.0]] * len(table), pa.list_(pa.float32())))


def hole(table: object) -> object:
    at = table.column_names.index("action")
    cells = table["action"].to_pylist()
    return table.set_column(at, "action", pa.array([None, *cells[1:]], pa.list_(pa.float32(), 2)))


def words(table: object) -> object:
    at = table.column_names.index("next.reward")
    return table.set_column(at, "next.reward", pa.array(["much"] * len(table)))


INFO, ROWS, META = "meta/info.json", "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"
DAMAGE: dict[str, tuple[str, Callable[[Path], object], list[str]]] = {
    "cut info": (INFO, lambda path: path.write_text(path.read_text()[:90]), ["damaged"]),
    "info is a list": (INFO, lambda path: path.write_text("[]"), ["JSON object"]),
    "no fps": (INFO, lambda path: change(path, lambda info: info.pop("fps")), ["'fps'", "missing"]),
    "fps is text": (INFO, lambda path: change(path, lambda info: info.update(fps="ten")), ["'fps'", "'ten'"]),
    "no features": (INFO, lambda path: change(path, lambda info: info.pop("features")), ["'features'"]),
    "no data path": (INFO, lambda path: change(path, lambda info: info.pop("data_path")), ["'data_path'"]),
    "strange data path": (
        INFO,
        lambda path: change(path, lambda info: info.update(data_path="data/{nothing}.parquet")),
        ["nothing"],
    ),
    "old version": (
        INFO,
        lambda path: change(path, lambda info: info.update(codebase_version="v1.6")),
        ["codebase_version", "v1.6"],
    ),
    "no action": (
        INFO,
        lambda path: change(path, lambda info: info["features"].pop("action")),
        ["'action'", "missing"],
    ),
    "bad shape": (
        INFO,
        lambda path: change(path, lambda info: info["features"]["action"].update(shape=["two"])),
        ["'action'", "shape"],
    ),
    "no dtype": (INFO, lambda path: change(path, lambda info: info["features"]["action"].pop("dtype")), ["'action'"]),
    "wrong count": (INFO, lambda path: change(path, lambda info: info.update(total_episodes=9)), ["total_episodes"]),
    "cut rows": (ROWS, lambda path: path.write_bytes(path.read_bytes()[:400]), ["truncated Parquet"]),
    "empty rows": (ROWS, lambda path: path.write_bytes(b""), ["truncated Parquet"]),
    "no rows": (ROWS, Path.unlink, ["is missing"]),
    "missing column": (ROWS, lambda path: rewrite(path, drop_column("observation.grid")), ["'observation.grid'"]),
    "fewer rows": (ROWS, lambda path: rewrite(path, lambda table: table.slice(0, 10)), ["10 rows", "20", "episode 2"]),
    "other order": (
        ROWS,
        lambda path: rewrite(path, lambda table: table.take(list(range(19, -1, -1)))),
        ["episode_index", "episode 0"],
    ),
    "narrow rows": (ROWS, lambda path: rewrite(path, narrow), ["'observation.state'", "2 values", "[3]"]),
    "empty cell": (ROWS, lambda path: rewrite(path, hole), ["'action'", "empty"]),
    "text for number": (ROWS, lambda path: rewrite(path, words), ["'next.reward'", "string"]),
    "cut meta": (META, lambda path: path.write_bytes(path.read_bytes()[:100]), ["truncated Parquet"]),
    "no meta": (META, Path.unlink, ["no Parquet file"]),
    "no length": (META, lambda path: rewrite(path, drop_column("length")), ["'length'"]),
    "no tasks": ("meta/tasks.parquet", Path.unlink, ["is missing"]),
    "cut own spec": ("meta/imitari/spec.json", lambda path: path.write_text("{"), ["damaged"]),
    "cut own final": ("meta/imitari/final.parquet", lambda path: path.write_bytes(b"PAR1"), ["truncated Parquet"]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    save_demos(make(camera=False), tmp_path / "set")
    file, hurt, words = DAMAGE[name]
    hurt(tmp_path / "set" / file)
    with pytest.raises(UserError) as raised:
        open_demos(tmp_path / "set")
    text = str(raised.value)
    assert "\n" not in text
    for word in [Path(file).parts[1] if name == "no meta" else Path(file).name, *words]:
        assert word in text


@pytest.mark.parametrize("keep", [0.0, 0.2, 0.6, 0.97])
def test_a_cut_video_is_named(tmp_path: Path, keep: float) -> None:
    pytest.importorskip("av")
    save_demos(make(), tmp_path / "set")
    path = next((tmp_path / "set" / "videos").rglob("*.mp4"))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UserError, match=r"file-000.mp4.*column 'observation.images.front', episode \d"):
        open_demos(tmp_path / "set")
    assert not list((tmp_path / "cache").glob("*.partial"))
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_frames_of_another_size_and_too_few_frames_are_named(tmp_path: Path) -> None:
    pytest.importorskip("av")
    save_demos(make(), tmp_path / "set")
    info = tmp_path / "set" / "meta" / "info.json"
    change(info, lambda data: data["features"][CAMERA].update(shape=[48, 64, 3]))
    with pytest.raises(UserError, match=r"64x64 where meta/info.json says 48x64"):
        open_demos(tmp_path / "set")
    change(info, lambda data: data["features"][CAMERA].update(shape=[64, 64, 3]))
    change(info, lambda data: data.update(fps=60))
    with pytest.raises(UserError, match=r"episode 0: no frame for step 1"):
        open_demos(tmp_path / "set")


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    lerobot.write(make(), tmp_path / "set", images="image")

    def spoil(table: object) -> object:
        cells = table[CAMERA].to_pylist()
        cells[3]["bytes"] = cells[3]["bytes"][:60]
        at = table.column_names.index(CAMERA)
        return table.set_column(at, CAMERA, pa.array(cells, table.schema.field(at).type))

    rewrite(tmp_path / "set" / ROWS, spoil)
    with pytest.raises(UserError, match=r"'observation.images.front': a picture is damaged"):
        open_demos(tmp_path / "set")


def test_a_missing_video_leaves_out_camera_or_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("av")
    from imitari.data.formats import _lerobot_write

    monkeypatch.setattr(_lerobot_write, "VIDEO_BYTES", -1)
    demos = make()
    save_demos(demos, tmp_path / "set")
    films = sorted((tmp_path / "set" / "videos").rglob("*.mp4"))
    films[-1].unlink()
    without = open_demos(tmp_path / "set")
    assert CAMERA not in without.spec.obs
    assert len(without) == 3
    said = capsys.readouterr().err
    assert "of 3 episodes have no video" in said
    assert films[-1].name in said
    fewer = open_demos(tmp_path / "set", options=ReadOptions(missing_video="episodes"))
    assert 0 < len(fewer) < 3
    same(demos.keep(list(range(len(fewer)))), fewer, tolerance=4.0)
    for path in films[:-1]:
        path.unlink()
    with pytest.raises(UserError, match="no episode has all its videos"):
        open_demos(tmp_path / "set", options=ReadOptions(missing_video="episodes"))


def v21(root: Path) -> Path:
    """Two episodes in the v2.1 layout, written by hand."""
    features = {
        "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["a", "b"]}},
        "action": {"dtype": "float32", "shape": [1], "names": None},
        **{key: {"dtype": "int64", "shape": [1], "names": None} for key in ("episode_index", "task_index")},
    }
    info = {
        "codebase_version": "v2.1",
        "fps": 10,
        "chunks_size": 1,
        "features": features,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": None,
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(info))
    (root / "meta" / "tasks.jsonl").write_text('{"task_index": 0, "task": "pour"}\n{"task_index": 4, "task": "wipe"}\n')
    lines = [json.dumps({"episode_index": e, "tasks": ["pour"], "length": 2 + e}) for e in range(2)]
    (root / "meta" / "episodes.jsonl").write_text("\n".join(lines))
    for e in range(2):
        rows = 2 + e
        cells = {
            "observation.state": pa.array([[e, float(step)] for step in range(rows)], pa.list_(pa.float32())),
            "action": pa.array(np.arange(rows, dtype=np.float32)),
            "episode_index": pa.array([e] * rows, pa.int64()),
            "task_index": pa.array([4 * e] * rows, pa.int64()),
        }
        path = root / f"data/chunk-{e:03d}/episode_{e:06d}.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table(cells), path)
    return root


def test_v21_by_hand(tmp_path: Path) -> None:
    demos = open_demos(v21(tmp_path / "set"))
    assert demos.provenance.format == "lerobot_v21"
    assert demos[1].obs["observation.state"].tolist() == [[1, 0], [1, 1], [1, 2]]
    assert demos[1].action.tolist() == [[0], [1], [2]]
    assert demos.spec.obs["observation.state"].names == ("a", "b")
    assert demos[1].extra["task"].tolist() == ["wipe"] * 3


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("episodes.jsonl", '{"episode_index": 0', ["line 1", "damaged"]),
        ("episodes.jsonl", '{"episode_index": 0}', ["line 1", "length"]),
        ("episodes.jsonl", '{"episode_index": 0, "length": 5}', ["episode_000000.parquet", "2 rows", "5"]),
        ("episodes.jsonl", '{"episode_index": 7, "length": 5}', ["episode_000007.parquet", "missing"]),
        ("tasks.jsonl", '{"task": "pour"}', ["line 1", "task_index"]),
        ("tasks.jsonl", '{"task_index": 0, "task": "a"}\n{"task_index": 1, "task": "b"}', ["task_index", "4"]),
    ],
)
def test_v21_damage_is_named(tmp_path: Path, file: str, text: str, words: list[str]) -> None:
    root = v21(tmp_path / "set")
    (root / "meta" / file).write_text(text)
    with pytest.raises(UserError) as raised:
        open_demos(root)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.skipif(not (DATA / "g1_lerobot_v21").exists(), reason="the humanoid set is not here")
def test_humanoid_loads_and_reports_its_missing_videos(capsys: pytest.CaptureFixture[str]) -> None:
    demos = open_demos(DATA / "g1_lerobot_v21")
    assert (len(demos), demos.steps, demos.spec.action.shape) == (100, 35_965, (26,))
    said = capsys.readouterr().err
    assert "94 of 100 episodes have no video of camera 'observation.images.cam_high'" in said
    assert "episode_000000.mp4" in said
    stats = json.loads((DATA / "g1_lerobot_v21/meta/episodes_stats.jsonl").read_text().splitlines()[17])["stats"]
    values = demos[17].obs["observation.state"].astype(float)
    assert np.allclose(stats["observation.state"]["mean"], values.mean(0), atol=1e-4)
    assert np.allclose(stats["observation.state"]["max"], values.max(0), atol=1e-6)


@pytest.mark.skipif(not (DATA / "g1_lerobot_v21").exists(), reason="the humanoid set is not here")
def test_humanoid_episodes_with_video() -> None:
    pytest.importorskip("av")
    demos = open_demos(DATA / "g1_lerobot_v21", options=ReadOptions(pixels=32, missing_video="episodes"))
    assert demos.table.length.tolist() == [278, 221, 277, 267, 280, 260]
    assert demos.columns["observation.images.cam_high"].shape == (1583, 32, 32, 3)
    assert demos.columns[ACTION].shape == (1583, 26)


@pytest.mark.skipif(not (DATA / "lerobot_v1_samples").exists(), reason="the v1 samples are not here")
@pytest.mark.parametrize(
    ("name", "steps", "camera", "fps"),
    [("pusht", 161, "observation.image", 10), ("aloha_sim_transfer_cube_human", 400, "observation.images.top", 50)],
)
def test_v1_samples(name: str, steps: int, camera: str, fps: int) -> None:
    pytest.importorskip("av")
    demos = open_demos(DATA / "lerobot_v1_samples" / name, options=ReadOptions(pixels=16))
    assert demos.provenance.format == "lerobot_v1"
    assert demos.table.length.tolist() == [steps]
    assert demos.columns[camera].shape == (steps, 16, 16, 3)
    assert demos.table.source[0]["fps"] == fps
    assert len(np.unique(demos.columns[camera].span(0, steps).reshape(steps, -1), axis=0)) > steps // 2


@pytest.mark.skipif(not (DATA / "lerobot_v1_samples").exists(), reason="the v1 samples are not here")
def test_v1_without_actions_and_cut_off(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'action' is missing"):
        open_demos(DATA / "lerobot_v1_samples" / "umi_cup_in_the_wild")
    source = DATA / "lerobot_v1_samples" / "pusht" / "train" / "data-00000-of-00001.arrow"
    (tmp_path / "set" / "train").mkdir(parents=True)
    (tmp_path / "set" / "train" / "data-00000-of-00001.arrow").write_bytes(source.read_bytes()[:700])
    with pytest.raises(UserError, match=r"data-00000-of-00001.arrow: damaged or truncated"):
        open_demos(tmp_path / "set")
