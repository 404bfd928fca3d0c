"""Readers and writers against hand-made files, other writers, exact round trips and the recorded sets."""

from __future__ import annotations

import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imitari.cli import main
from imitari.core.demos import Demos, Provenance
from imitari.core.episode import ACTION, REWARD, Episode
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.formats import _tfrecord, npz, robomimic
from imitari.data.opening import ReadOptions, open_demos, save_demos

h5py = pytest.importorskip("h5py")
REAL = Path(os.environ.get("IMITARI_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
SPEC = Spec(
    {
        "observation.state": Feature((3,), "float64"),
        "observation.images.wrist": Feature((16, 12, 3), "uint8", "image"),
    },
    Feature((2,), "float32", names=("left", "right"), low=(-1.0, -1.0), high=(1.0, 1.0)),
)


def episode(rng: np.random.Generator, steps: int, final: bool = True, **about: Any) -> Episode:
    rows = steps + final
    return Episode(
        obs={
            "observation.state": rng.normal(size=(rows, 3)),
            "observation.images.wrist": rng.integers(0, 256, (rows, 16, 12, 3), dtype=np.uint8),
        },
        action=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        reward=rng.normal(size=steps).astype(np.float32),
        extra={"task": np.array(["reach", "grasp"] * steps, dtype=object)[:steps], "label": np.arange(steps)},
        **about,
    )


@pytest.fixture
def demos() -> Demos:
    rng = np.random.default_rng(0)
    episodes = [
        episode(rng, 5, ended="terminated", success=True, source={"seed": 3, "masks": ["train"]}),
        episode(rng, 1, ended="truncated", success=False, source={"seed": 4, "masks": ["train", "valid"]}),
        episode(rng, 7, final=False),
    ]
    return Demos.from_episodes(episodes, SPEC, Provenance("here", "memory", ("made",)))


def assert_equal(have: Demos, want: Demos) -> None:
    assert len(have) == len(want)
    for key in (*want.spec.obs, ACTION, REWARD, "task", "label"):
        assert have.columns[key].dtype == want.columns[key].dtype
    for one, other in zip(have, want, strict=True):
        assert (one.ended, one.success) == (other.ended, other.success)
        for group in ("obs", "extra"):
            left, right = getattr(one, group), getattr(other, group)
            assert set(left) >= set(right)
            for key in right:
                np.testing.assert_array_equal(left[key].reshape(right[key].shape), right[key])
        np.testing.assert_array_equal(one.action, other.action)
        np.testing.assert_array_equal(np.asarray(one.reward), np.asarray(other.reward))
        assert {key: one.source[key] for key in other.source} == other.source


@pytest.mark.parametrize("format", ["npz", "robomimic"])
def test_written_and_read_back_is_the_same(demos: Demos, tmp_path: Path, format: str) -> None:
    place = tmp_path / ("set.npz" if format == "npz" else "set.hdf5")
    save_demos(demos, place, format)
    back = open_demos(place)
    assert back.provenance.format == format
    assert_equal(back, demos)
    assert back.fingerprint() == demos.fingerprint()
    assert back.provenance.steps[0] == "made"
    assert set(back.spec.obs.items()) == set(demos.spec.obs.items())
    assert back.spec.action == demos.spec.action


def test_a_view_is_written_without_what_it_leaves_out(demos: Demos, tmp_path: Path) -> None:
    npz.write(demos.keep([2, 0]), tmp_path / "some.npz")
    back = npz.read(tmp_path / "some.npz", ReadOptions())
    assert_equal(back, demos.keep([2, 0]))
    assert back.columns[ACTION].shape[0] == 7 + 6


def test_no_camera_asked_for_no_image_read(demos: Demos, tmp_path: Path) -> None:
    for name, format in (("set.npz", "npz"), ("set.hdf5", "robomimic")):
        save_demos(demos, tmp_path / name, format)
        without = open_demos(tmp_path / name, options=ReadOptions(cameras=()))
        assert list(without.spec.obs) == ["observation.state"]
        assert "observation.images.wrist" not in without.columns


def test_robomimic_layout_is_what_robomimic_reads(demos: Demos, tmp_path: Path) -> None:
    robomimic.write(demos, tmp_path / "set.hdf5")
    with h5py.File(tmp_path / "set.hdf5") as file:
        data = file["data"]
        assert data.attrs["total"] == 13
        about = json.loads(data.attrs["env_args"])
        assert {"env_name", "env_kwargs"} <= about.keys()
        assert about["env_type"] == about["type"] == 2
        assert sorted(data) == ["demo_0", "demo_1", "demo_2"]
        first = data["demo_0"]
        assert first.attrs["num_samples"] == 5
        assert first["obs/wrist_image"].shape == (5, 16, 12, 3)
        assert first["obs/wrist_image"].dtype == np.uint8
        np.testing.assert_array_equal(first["next_obs/state"][:-1], first["obs/state"][1:])
        np.testing.assert_array_equal(first["dones"][()], [0, 0, 0, 0, 1])
        assert "next_obs" not in data["demo_2"]  # its final observation is not known
        assert [item.decode() for item in file["mask/train"][()]] == ["demo_0", "demo_1"]


def plain_robomimic(path: Path, count: int = 11, env_type: int = 1) -> None:
    """As robomimic's own tools write it."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "env_type": env_type, "env_kwargs": {}})
        for number in range(count):
            demo = data.create_group(f"demo_{number}")
            demo["obs/robot0_eef_pos"] = np.full((4, 3), number, np.float64)
            demo["next_obs/robot0_eef_pos"] = np.full((4, 3), number + 0.5)
            demo["actions"] = np.zeros((4, 7))
            demo["rewards"] = np.array([0, 0, 0, number % 2], np.float64)
            demo["dones"] = np.array([0, 0, 0, 1])
            demo["states"] = np.zeros((4, 9))
        file["mask/better"] = [b"demo_10", b"demo_2"]


def test_robomimic_order_masks_success_and_final_observation(tmp_path: Path) -> None:
    plain_robomimic(tmp_path / "lift.hdf5")
    demos = open_demos(tmp_path / "lift.hdf5")
    assert [source["name"] for source in demos.table.source] == [f"demo_{number}" for number in range(11)]
    assert [source["name"] for source in demos.table.source if "better" in source.get("masks", [])] == [
        "demo_2",
        "demo_10",
    ]
    assert demos[10].obs["observation.robot0_eef_pos"][:, 0].tolist() == [10, 10, 10, 10, 10.5]
    assert (demos[3].success, demos[3].ended) == (True, "terminated")
    assert (demos[4].success, demos[4].ended) == (False, "truncated")
    assert demos[0].extra["states"].shape == (4, 9)


def test_robomimic_success_is_unknown_where_the_reward_does_not_say_it(tmp_path: Path) -> None:
    plain_robomimic(tmp_path / "gym.hdf5", count=2, env_type=2)
    assert [one.success for one in open_demos(tmp_path / "gym.hdf5")] == [None, None]


def test_robomimic_says_where_actions_leave_its_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain_robomimic(tmp_path / "lift.hdf5")
    open_demos(tmp_path / "lift.hdf5")
    assert "leave" not in capsys.readouterr().err
    with h5py.File(tmp_path / "lift.hdf5", "r+") as file:
        file["data/demo_7/actions"][2, 3] = -1.5
    open_demos(tmp_path / "lift.hdf5")
    assert "episode demo_7: actions leave [-1, 1]" in capsys.readouterr().err


def test_robomimic_masks_of_a_split_are_written_and_read(tmp_path: Path) -> None:
    plain_robomimic(tmp_path / "lift.hdf5")
    command = ["data", "split", str(tmp_path / "lift.hdf5"), "--fraction", "0.5", "--marks", "better"]
    assert main([*command, "--out", str(tmp_path / "marked.hdf5"), "--to", "robomimic"]) == 0
    with h5py.File(tmp_path / "marked.hdf5") as file:
        parts = {key: {item.decode() for item in file["mask"][key][()]} for key in file["mask"]}
    assert parts["better"] == {"demo_2", "demo_10"}
    assert parts["better_train"] | parts["better_valid"] == parts["better"]
    assert len(parts["better_train"]) == len(parts["better_valid"]) == 1
    back = open_demos(tmp_path / "marked.hdf5")
    assert {f"demo_{n}" for n, source in enumerate(back.table.source) if "better_valid" in source.get("masks", ())} == (
        parts["better_valid"]
    )


def test_robosuite_states_come_with_a_notice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(tmp_path / "raw.hdf5", "w") as file:
        file.create_group("data").attrs["env"] = "Lift"
        file["data/demo_1/states"] = np.arange(12.0).reshape(4, 3)
        file["data/demo_1/actions"] = np.zeros((4, 7))
    demos = open_demos(tmp_path / "raw.hdf5")
    assert demos.provenance.format == "robosuite_raw"
    assert demos[0].obs["observation.state"][-1].tolist() == [9, 10, 11]
    assert demos[0].source["env"] == "Lift"
    assert "no observations" in capsys.readouterr().err


def jpeg(image: np.ndarray) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=95)
    return out.getvalue()


BOX = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-1, -2], "high": [1, 2]}


def minari_hdf5(folder: Path) -> None:
    data = folder / "data"
    data.mkdir(parents=True)
    image = {"type": "Box", "dtype": "uint8", "shape": [40, 48, 3], "low": 0, "high": 255}
    space = {"type": "Dict", "subspaces": {"observation": BOX, "camera": image}}
    about = {
        "data_format": "hdf5",
        "observation_space": json.dumps(space),
        "action_space": json.dumps({"type": "Discrete", "dtype": "int64", "start": 0, "n": 5}),
        "env_spec": json.dumps({"id": "Made-v0"}),
    }
    (data / "metadata.json").write_text(json.dumps(about))
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for number in (0, 1, 10, 2):
            group = file.create_group(f"episode_{number}")
            group.attrs["seed"] = number + 100
            group["observations/observation"] = np.full((4, 2), number, np.float32)
            frames = [np.frombuffer(jpeg(np.full((40, 48, 3), 20 * number, np.uint8)), np.uint8)] * 4
            group["observations/camera"] = np.stack(frames)
            group["actions"] = np.array([0, 4, 1])
            group["rewards"] = np.ones(3)
            group["terminations"] = np.array([False, False, number == 1])
            group["truncations"] = np.array([False, False, number != 1])
            group["infos/success"] = np.array([False, False, False, number == 1])


def test_minari_hdf5_without_minari(tmp_path: Path) -> None:
    minari_hdf5(tmp_path / "set")
    demos = open_demos(tmp_path / "set")
    assert demos.provenance.format == "minari"
    assert [source["seed"] for source in demos.table.source] == [100, 101, 102, 110]
    assert demos.spec.action == Feature((1,), "int64", "choice", high=(4.0,))
    assert demos.spec.obs["observation.state"].high == (1.0, 2.0)
    assert [one.ended for one in demos] == ["truncated", "terminated", "truncated", "truncated"]
    assert [one.success for one in demos] == [False, True, False, False]
    assert demos[1].obs["observation.state"].shape == (4, 2)
    assert abs(int(demos[3].obs["observation.images.camera"][0, 5, 5, 0]) - 200) < 3
    assert demos[1].extra["info.success"].tolist() == [False, False, True]


@pytest.mark.parametrize("format", ["hdf5", "arrow", "parquet"])
@pytest.mark.filterwarnings("ignore")
def test_minari_as_minari_writes_it(tmp_path: Path, format: str) -> None:
    storage = pytest.importorskip("minari.dataset.minari_storage", reason="the Minari package is not installed")
    buffer = pytest.importorskip("minari.data_collector").EpisodeBuffer
    from gymnasium import spaces

    box, camera = spaces.Box(-1, 1, (2, 3), np.float32), spaces.Box(0, 255, (40, 48, 3), np.uint8)
    observed = spaces.Dict({"a": spaces.Dict({"b": box}), "camera": camera, "n": spaces.Discrete(7)})
    (tmp_path / "data").mkdir()
    store = storage.MinariStorage.new(
        tmp_path / "data", observed, spaces.Box(-2, 2, (4,), np.float32), data_format=format, jpeg_encoding=True
    )
    rng = np.random.default_rng(0)
    values = rng.uniform(-1, 1, (12, 3, 2, 3)).astype(np.float32)
    actions = rng.uniform(-2, 2, (12, 2, 4)).astype(np.float32)
    store.update_episodes(
        buffer(
            id=number, seed=number,
            observations={"a": {"b": list(values[number])}, "camera": [np.full((40, 48, 3), 90, np.uint8)] * 3,
                          "n": [1, 2, number % 7]},
            actions=list(actions[number]), rewards=[0.5, 1.5], terminations=[False, True], truncations=[False, False],
        )
        for number in range(12)
    )  # fmt: skip
    demos = open_demos(tmp_path)
    assert len(demos) == 12
    for number, one in enumerate(demos):
        np.testing.assert_array_equal(one.obs["observation.a.b"], values[number])
        np.testing.assert_array_equal(one.action, actions[number])
        np.testing.assert_array_equal(np.asarray(one.reward), [0.5, 1.5])
        assert one.obs["observation.n"][:, 0].tolist() == [1, 2, number % 7]
        assert one.ended == "terminated"
        assert one.source["seed"] == number
        assert np.abs(one.obs["observation.images.camera"].astype(int) - 90).max() < 3
    assert demos.spec.action.high == (2.0,) * 4


def zarr_buffer(path: Path, ends: list[int] | None = None, scale: float = 1.0) -> dict[str, np.ndarray]:
    zarr = pytest.importorskip("zarr")
    rng = np.random.default_rng(0)
    data = {
        "action": rng.normal(size=(9, 2)).astype(np.float32),
        "state": rng.normal(size=(9, 5)).astype(np.float32),
        "keypoint": rng.normal(size=(9, 4, 2)).astype(np.float32),
        "img": (rng.integers(0, 256, (9, 10, 12, 3)) * scale).astype(np.float32),
        "n_contacts": np.arange(9, dtype=np.float32)[:, None],
    }
    root = zarr.open_group(str(path), mode="w", zarr_format=2)
    for key, value in data.items():
        root.create_array(f"data/{key}", data=value, chunks=(4, *value.shape[1:]))
    root.create_array("meta/episode_ends", data=np.array([4, 9] if ends is None else ends))
    return data


@pytest.mark.parametrize("scale", [1.0, 1 / 255])
def test_zarr_buffer(tmp_path: Path, scale: float) -> None:
    data = zarr_buffer(tmp_path / "replay.zarr", scale=scale)
    demos = open_demos(tmp_path)  # the folder that holds the only buffer serves as well
    assert [len(one) for one in demos] == [4, 5]
    np.testing.assert_array_equal(demos[1].obs["observation.state"], data["state"][4:])
    np.testing.assert_array_equal(demos[1].obs["observation.keypoint"], data["keypoint"][4:])
    np.testing.assert_array_equal(demos[0].action, data["action"][:4])
    np.testing.assert_array_equal(demos[1].extra["n_contacts"], data["n_contacts"][4:])
    images = np.rint(data["img"][4:] / scale).astype(np.uint8)
    np.testing.assert_array_equal(demos[1].obs["observation.images.top"], images)


def test_zarr_images_wait_until_they_are_asked_for(tmp_path: Path) -> None:
    zarr_buffer(tmp_path / "replay.zarr")
    demos = open_demos(tmp_path / "replay.zarr")
    column: Any = demos.columns["observation.images.top"]
    demos.columns["observation.state"].take(demos.rows())
    assert not column.loaded
    assert column.take(np.array([0])).shape == (1, 10, 12, 3)
    assert column.loaded


def test_large_images_go_to_a_mapped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from imitari.core.columns import MappedColumn
    from imitari.data.formats import _assemble

    monkeypatch.setattr(_assemble, "MEMORY_LIMIT", 100)
    monkeypatch.setenv("IMITARI_CACHE", str(tmp_path / "cache"))
    data = zarr_buffer(tmp_path / "replay.zarr")
    demos = open_demos(tmp_path / "replay.zarr")
    column: Any = demos.columns["observation.images.top"]
    np.testing.assert_array_equal(column.take(np.arange(9)), data["img"].astype(np.uint8))
    assert isinstance(column._column, MappedColumn)


def test_pixels_resizes_images(tmp_path: Path) -> None:
    zarr_buffer(tmp_path / "replay.zarr")
    demos = open_demos(tmp_path / "replay.zarr", options=ReadOptions(pixels=6))
    assert demos.spec.obs["observation.images.top"].shape == (6, 6, 3)
    assert demos[0].obs["observation.images.top"].shape == (4, 6, 6, 3)


def message(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def example(features: dict[str, Any]) -> bytes:
    entries = b""
    for key, value in features.items():
        if isinstance(value, list):
            feature = message(1, b"".join(message(1, item) for item in value))
        elif value.dtype.kind == "f":
            feature = message(2, message(1, value.astype("<f4").tobytes()))
        else:
            feature = message(3, message(1, b"".join(varint(int(item)) for item in value.reshape(-1))))
        entries += message(1, message(1, key.encode()) + message(2, feature))
    return message(1, entries)


def framed(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", slow_mask(head)) + data + struct.pack("<I", slow_mask(data))


def slow_mask(data: bytes) -> int:
    """Bit by bit, independent of the reader's tables."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_checksum_against_the_definition() -> None:
    assert _tfrecord.crc32c(b"123456789") == 0xE3069283  # the check value in the catalogue of checksums
    rng = np.random.default_rng(0)
    for size in (0, 1, 7, 1023, 1024, 1025, 3000, 20_000):
        data = rng.bytes(size)
        assert _tfrecord.masked_crc(data) == slow_mask(data)


def test_example_of_every_type() -> None:
    values = np.array([0, 1, 127, 128, -1, 2**62, -(2**63)], np.int64)
    read = _tfrecord.example(
        memoryview(example({"i": values, "f": np.array([0.5, -2.0], np.float32), "b": [b"", b"xyz"]}))
    )
    np.testing.assert_array_equal(read["i"], values)
    np.testing.assert_array_equal(read["f"], [0.5, -2.0])
    assert [bytes(item) for item in read["b"]] == [b"", b"xyz"]
    unpacked = message(1, message(1, message(1, b"k") + message(2, message(3, b"\x08\x07\x08\x09"))))
    np.testing.assert_array_equal(_tfrecord.example(memoryview(unpacked))["k"], [7, 9])


def features_json() -> dict[str, Any]:
    def tensor(shape: list[str], dtype: str) -> dict[str, Any]:
        return {"tensor": {"shape": {"dimensions": shape}, "dtype": dtype, "encoding": "none"}}

    def group(features: dict[str, Any]) -> dict[str, Any]:
        return {"featuresDict": {"features": features}}

    image = {"image": {"shape": {"dimensions": ["16", "16", "3"]}, "dtype": "uint8", "encodingFormat": "jpeg"}}
    steps = {
        "action": group({"pos": tensor(["3"], "float32"), "grip": tensor([], "float32")}),
        "observation": group({"state": tensor(["2"], "float64"), "image": image}),
        "language_instruction": {"text": {}},
        **{key: tensor([], "bool") for key in ("is_first", "is_last", "is_terminal")},
    }
    return group({"steps": {"sequence": {"feature": group(steps)}}, "episode_metadata": group({"id": {"text": {}}})})


def rlds_episode(steps: int, value: float) -> dict[str, Any]:
    flags = np.zeros(steps, np.int64)
    last = flags.copy()
    last[-1] = 1
    position = np.full((steps, 3), value, np.float32)
    grip = np.arange(1, steps + 1).astype(np.float32)
    position[-1], grip[-1] = 0, 0  # the final step has no action
    return {
        "steps/action/pos": position.reshape(-1),
        "steps/action/grip": grip,
        "steps/observation/state": np.full(2 * steps, value, np.float32),
        "steps/observation/image": [jpeg(np.full((16, 16, 3), int(value), np.uint8))] * steps,
        "steps/language_instruction": [b"lift the cup"] * steps,
        "steps/is_first": np.eye(1, steps, dtype=np.int64)[0],
        "steps/is_last": last,
        "steps/is_terminal": last,
        "episode_metadata/id": [b"e%d" % steps],
    }


def test_rlds_episodes(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "features.json").write_text(json.dumps(features_json()))
    for split, steps in (("train", 4), ("val", 6)):
        data = framed(example(rlds_episode(steps, 40.0))) + framed(example(rlds_episode(steps + 1, 90.0)))
        (folder / f"made-{split}.tfrecord-00000-of-00001").write_bytes(data)
    demos = open_demos(tmp_path)
    assert [len(one) for one in demos] == [3, 4, 5, 6]
    assert [one.rows for one in demos] == [4, 5, 6, 7]  # the last step is the final observation
    assert demos.spec.action.names == ("grip.0", "pos.0", "pos.1", "pos.2")
    assert demos[1].action[2].tolist() == [3, 90, 90, 90]
    assert demos.spec.obs["observation.state"] == Feature((2,), "float64")
    assert abs(int(demos[3].obs["observation.images.top"][6, 3, 3, 1]) - 90) < 3
    assert demos[2].source["task"] == "lift the cup"
    assert [source["split"] for source in demos.table.source] == ["train", "train", "val", "val"]
    assert demos[0].ended == "terminated"


def test_tfrecord_of_single_steps(tmp_path: Path) -> None:
    records = b""
    for kind, discount in ((0, 1), (1, 1), (2, 0), (0, 1), (2, 1)):
        step = {"observation": np.array([kind, 7.0]), "action": np.array([0.5]), "reward": np.array([1.0])}
        step |= {"discount": np.array([float(discount)]), "step_type": [struct.pack("<i", kind)]}
        records += framed(example(step))
    (tmp_path / "steps.tfrecord").write_bytes(records)
    demos = open_demos(tmp_path / "steps.tfrecord")
    assert [len(one) for one in demos] == [3, 2]
    assert [one.ended for one in demos] == ["terminated", "truncated"]
    assert demos[0].obs["observation.state"].tolist() == [[0, 7], [1, 7], [2, 7]]
    assert demos[1].total == 2.0


def test_npz_of_other_projects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    obs = np.arange(16.0).reshape(8, 2)
    common = {"acts": np.array([0, 1, 2, 0, 1, 2]), "rews": np.ones(6)}
    hidden = np.array([{"a": 1}] * 6, dtype=object)
    np.savez(tmp_path / "old.npz", obs=obs, indices=[4], terminal=[True, False], infos=hidden, **common)
    demos = open_demos(tmp_path / "old.npz")
    assert "infos" in capsys.readouterr().err
    assert [one.obs["observation.state"].shape[0] for one in demos] == [5, 3]
    assert demos[1].obs["observation.state"][0].tolist() == [10, 11]
    assert [one.ended for one in demos] == ["terminated", "truncated"]
    assert demos.spec.action == Feature((1,), "int64", "choice", high=(2.0,))

    flags = {"terminals": [0, 0, 1, 0, 0, 0], "timeouts": [0, 0, 0, 0, 0, 1]}
    np.savez(tmp_path / "flags.npz", observations=obs[:6], actions=obs[:6], **flags)
    demos = open_demos(tmp_path / "flags.npz")
    assert [len(one) for one in demos] == [3, 3]
    assert [one.ended for one in demos] == ["terminated", "truncated"]

    np.savez(
        tmp_path / "kinder.npz", observations=obs, actions=obs[:6], lengths=[2, 4], seeds=[7, 8], env_id="kinder/X"
    )
    demos = open_demos(tmp_path / "kinder.npz")
    assert [(one.source["seed"], one.success, one.ended) for one in demos] == [
        (7, True, "terminated"),
        (8, True, "terminated"),
    ]


def truncate(path: Path, share: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def damaged(kind: str, folder: Path) -> Path:
    """A damaged data set of one kind."""
    rng = np.random.default_rng(0)
    obs, acts = rng.normal(size=(6, 2)), rng.normal(size=(6, 1))
    path = folder / "set.npz"
    if kind.startswith("npz"):
        arrays = {"observations": obs, "actions": acts, "lengths": [2, 4]}
        if kind == "npz without actions":
            del arrays["actions"]
        if kind == "npz with wrong lengths":
            arrays["lengths"] = [2, 3]
        if kind == "npz with wrong rows":
            arrays["observations"] = obs[:5]
        np.savez(path, **arrays)
        if kind == "npz cut off":
            truncate(path)
    elif kind.startswith("hdf5"):
        path = folder / "set.hdf5"
        plain_robomimic(path, 3)
        with h5py.File(path, "a") as file:
            if kind == "hdf5 without actions":
                del file["data/demo_1/actions"]
            if kind == "hdf5 with a column missing in one demo":
                file["data/demo_0/obs/extra"] = np.zeros((4, 2))
                file["data/demo_0/next_obs/extra"] = np.zeros((4, 2))
            if kind == "hdf5 with other shape in one demo":
                del file["data/demo_2/actions"]
                file["data/demo_2/actions"] = np.zeros((4, 6))
            if kind == "hdf5 with short observations":
                del file["data/demo_2/obs/robot0_eef_pos"], file["data/demo_2/next_obs/robot0_eef_pos"]
                file["data/demo_2/obs/robot0_eef_pos"] = np.zeros((2, 3))
            if kind == "hdf5 without data":
                del file["data"]
            if kind == "hdf5 without demos":
                del file["data"]
                file.create_group("data")
        if kind == "hdf5 cut off":
            truncate(path)
    elif kind.startswith("tfrecord"):
        path = folder / "set.tfrecord"
        data = framed(example(rlds_episode(4, 40.0)))
        at = len(data) // 2
        data = data[:at] if kind == "tfrecord cut off" else data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        path.write_bytes(b"" if kind == "tfrecord empty" else data)
    elif kind.startswith("zarr"):
        path = folder / "set.zarr"
        ends = {"zarr with wrong ends": [4, 8], "zarr with falling ends": [6, 4, 9], "zarr empty": []}
        zarr_buffer(path, ends.get(kind))
        if kind == "zarr with a damaged chunk":
            truncate(path / "data" / "action" / "1.0")
        if kind == "zarr without actions":
            import shutil

            shutil.rmtree(path / "data" / "action")
    else:
        minari_hdf5(folder / "set")
        path = folder / "set"
        with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
            if kind == "minari without rewards":
                del file["episode_1/rewards"]
        if kind == "minari cut off":
            truncate(path / "data" / "main_data.hdf5")
        if kind == "minari metadata":
            (path / "data" / "metadata.json").write_text('{"data_format": ')
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("npz without actions", ["set.npz", "'actions'"]),
        ("npz with wrong lengths", ["set.npz", "'lengths'"]),
        ("npz with wrong rows", ["set.npz", "'observation.state'"]),
        ("npz cut off", ["set.npz", "cut off"]),
        ("hdf5 without actions", ["set.hdf5", "demo_1", "'actions'"]),
        ("hdf5 with a column missing in one demo", ["set.hdf5", "demo_1", "'observation.extra'"]),
        ("hdf5 with other shape in one demo", ["set.hdf5", "demo_2", "'action'"]),
        ("hdf5 with short observations", ["set.hdf5", "demo_2", "'observation.robot0_eef_pos'"]),
        ("hdf5 without data", ["set.hdf5", "'data'"]),
        ("hdf5 without demos", ["set.hdf5", "'data'"]),
        ("hdf5 cut off", ["set.hdf5", "cut off"]),
        ("tfrecord cut off", ["set.tfrecord", "record 0"]),
        ("tfrecord with a flipped bit", ["set.tfrecord", "record 0", "checksum"]),
        ("tfrecord empty", ["set.tfrecord", "empty"]),
        ("zarr with wrong ends", ["set.zarr", "episode_ends"]),
        ("zarr with falling ends", ["set.zarr", "episode 1"]),
        ("zarr empty", ["set.zarr", "no episode"]),
        ("zarr with a damaged chunk", ["set.zarr", "'action'"]),
        ("zarr without actions", ["set.zarr", "'data/action'"]),
        ("minari without rewards", ["set", "episode_1", "'rewards'"]),
        ("minari cut off", ["main_data.hdf5", "cut off"]),
        ("minari metadata", ["metadata.json", "JSON"]),
    ],
)
def test_damage_is_one_sentence_with_place_and_remedy(kind: str, words: list[str], tmp_path: Path) -> None:
    path = damaged(kind, tmp_path)
    with pytest.raises(UserError) as caught:
        open_demos(path)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_empty_episodes_are_left_out_with_a_notice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "set.npz", observations=np.zeros((5, 2)), actions=np.zeros((5, 1)), lengths=[2, 0, 3])
    assert [len(one) for one in open_demos(tmp_path / "set.npz")] == [2, 3]
    assert "hold no step" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "episodes", "steps"),
    [
        ("pusht_human", 206, 25_650),
        ("kinder2d_human/Motion2D-p0.npz", 111, 4_634),
        ("kinder2d_human/Motion2D-p2.npz", 113, 9_143),
        ("kinder2d_human/StickButton2D-b1.npz", 115, 8_254),
        ("kinder2d_human/DynObstruction2D-o1.npz", 102, 8_987),
        ("adroit_human/door_human_vr_25.npz", 25, 6_729),
        ("adroit_human/pen_human_50x100.npz", 50, 5_000),
        ("adroit_human/kitchen_complete_4.npz", 4, 755),
        ("adroit_human/kitchen-complete-v0_0.tfrecord", 4, 755),
        ("bridge_rlds_sample", 50, 500),
        ("imitation_rollouts/cartpole_0/rollouts_final.npz", 57, 26_964),
        ("imitation_rollouts/pendulum_0/rollouts_final.npz", 56, 11_200),
        ("robosuite_human_raw/lift_panda_demo.hdf5", 1, 412),
        ("atari_human/Pitfall.npz", 1, 42_036),
    ],
)
def test_recorded_sets_have_their_published_size(path: str, episodes: int, steps: int) -> None:
    if not (REAL / path).exists():
        pytest.skip(f"{path} is not here: set IMITARI_DATA to the folder of recorded sets")
    demos = open_demos(REAL / path)
    assert (len(demos), demos.steps) == (episodes, steps)


def test_the_same_kitchen_episodes_from_both_files() -> None:
    folder = REAL / "adroit_human"
    if not folder.exists():
        pytest.skip("the recorded sets are not here: set IMITARI_DATA")
    one, other = open_demos(folder / "kitchen_complete_4.npz"), open_demos(folder / "kitchen-complete-v0_0.tfrecord")
    assert one.table.length.tolist() == other.table.length.tolist() == [184, 185, 191, 195]
    for key in ("observation.state", ACTION, REWARD):
        np.testing.assert_array_equal(one.columns[key].take(one.rows()), other.columns[key].take(other.rows()))


def test_success_only_recordings_say_so() -> None:
    path = REAL / "kinder2d_human" / "Motion2D-p2.npz"
    if not path.exists():
        pytest.skip("the recorded sets are not here: set IMITARI_DATA")
    demos = open_demos(path)
    assert demos.table.success.tolist() == [1] * 113
    assert {one.ended for one in demos} == {"terminated"}
    assert (demos.table.rows == demos.table.length + 1).all()
    assert [source["seed"] for source in demos.table.source][:3] == [0, 0, 1]
    assert demos[0].total == -len(demos[0])
