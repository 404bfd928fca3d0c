"""Damaged data, wrong settings, unusable places: each is one sentence with place and remedy, and exit status 2."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
import torch

from imitari.cli import main
from imitari.core.columns import ArrayColumn
from imitari.core.episode import ACTION, REWARD
from imitari.data.opening import save_demos
from tests.cli._damage import (
    STATE,
    TRAIN,
    Workshop,
    changed,
    cut,
    edit_json,
    edit_table,
    flip,
    only,
    shorter,
    spoilt,
    without,
)

REMEDY = re.compile(
    r"\b(add|check|choose|convert|copy|correct|delete|did you mean|drop|free|give|install|leave|lists|loosen|lower|"
    r"name|record|rename|restore|say|set|shows|train again|use|write|must (be|lie|read))\b"
)


@dataclass(frozen=True)
class Case:
    """One thing that is wrong.

    Attributes:
        words: in the sentence: the file, field or value.
        make: (workshop, empty folder) -> command line.
        status: expected exit status.
    """

    words: tuple[str, ...]
    make: Callable[[Workshop, Path], list[Any]]
    status: int = 2


def train_on(data: Path, folder: Path, *more: str) -> list[Any]:
    return [*TRAIN, "--data", data, "--out", folder / "run", *more]


def settings(*words: str, method: str = "bc", data: bool = True) -> Callable[[Workshop, Path], list[Any]]:
    """A training on good data with these words on the command line."""

    def make(shop: Workshop, folder: Path) -> list[Any]:
        given = ["--data", shop.copy("demos.npz", folder)] if data else []
        return ["train", method, "--task", "two_ways", *given, "--out", folder / "run", "--quiet", *words]

    return make


def damaged(name: str, damage: Callable[[Path], object], *more: str) -> Callable[[Workshop, Path], list[Any]]:
    """A training on a copy of the good data set `name` after `damage(its path)`."""

    def make(shop: Workshop, folder: Path) -> list[Any]:
        place = shop.copy(name, folder)
        damage(place)
        return train_on(place, folder, *more)

    return make


def of(edit: Callable[[Any], Any], *more: str, format: str = "npz") -> Callable[[Workshop, Path], list[Any]]:
    """A training on data written from `edit(good demos)`."""

    def make(shop: Workshop, folder: Path) -> list[Any]:
        place = folder / {"npz": "edited.npz", "lerobot": "edited"}[format]
        save_demos(edit(shop.demos), place, format)
        return train_on(place, folder, *more)

    return make


def info(edit: Callable[[dict[str, Any]], object]) -> Callable[[Workshop, Path], list[Any]]:
    return damaged("lerobot", lambda place: edit_json(place / "meta" / "info.json", edit))


def data_file(edit: Callable[[Any], Any]) -> Callable[[Workshop, Path], list[Any]]:
    return damaged("lerobot", lambda place: edit_table(only(place / "data", "*.parquet"), edit))


def hdf5(edit: Callable[[Any], object]) -> Callable[[Workshop, Path], list[Any]]:
    def damage(path: Path) -> None:
        with h5py.File(path, "a") as file:
            edit(file)

    return damaged("demos.hdf5", damage)


def plain_npz(edit: Callable[[dict[str, Any]], object]) -> Callable[[Workshop, Path], list[Any]]:
    """A training on an npz file of other projects' kind."""

    def make(shop: Workshop, folder: Path) -> list[Any]:
        rows = shop.demos.rows()
        arrays: dict[str, Any] = {
            "observations": shop.demos.columns[STATE].take(rows),
            "actions": shop.demos.columns[ACTION].take(rows),
            "lengths": shop.demos.table.length,
        }
        edit(arrays)
        np.savez(folder / "plain.npz", **arrays)
        return train_on(folder / "plain.npz", folder)

    return make


def zarr_ends(values: list[int]) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        import zarr

        root: Any = zarr.open_group(str(place), mode="a")
        del root["meta/episode_ends"]
        root.create_array("meta/episode_ends", data=np.array(values))

    return damage


def run_folder(*words: str, damage: Callable[[Path], object] = lambda folder: None) -> Callable[..., list[Any]]:
    """An evaluation of a copy of the good run folder after `damage(its path)`."""

    def make(shop: Workshop, folder: Path) -> list[Any]:
        place = shop.copy("run", folder)
        damage(place)
        return ["evaluate", place, "--episodes", "2", "--quiet", *words]

    return make


def agent(edit: Callable[[dict[str, Any]], object]) -> Callable[..., list[Any]]:
    return run_folder(damage=lambda place: edit_json(place / "agent.json", edit))


def compare(*words: str, other: str = "other") -> Callable[[Workshop, Path], list[Any]]:
    def make(shop: Workshop, folder: Path) -> list[Any]:
        return ["compare", shop.copy("run", folder), shop.copy(other, folder / "b"), "--quiet", *words]

    return make


def scaled_weights(folder: Path) -> None:
    from imitari.learn.checkpoint import read_tensors, write_tensors

    tensors, facts = read_tensors(folder / "weights.safetensors")
    write_tensors(folder / "weights.safetensors", {key: value * 1.5 for key, value in tensors.items()}, facts)


def objects(arrays: dict[str, Any]) -> None:
    arrays["actions"] = np.array([{"a": 1}] * len(arrays["actions"]), dtype=object)


def words_for_numbers(table: Any) -> Any:
    place = table.column_names.index(ACTION)
    return table.set_column(place, ACTION, pa.array([["a", "b"]] * table.num_rows))


def none_of_it(shop: Workshop, folder: Path) -> list[Any]:
    place = shop.copy("lerobot", folder)
    edit_table(only(place / "data", "*.parquet"), lambda table: table.slice(0, 0))
    edit_table(only(place / "meta" / "episodes", "*.parquet"), lambda table: table.slice(0, 0))
    edit_json(place / "meta" / "info.json", lambda data: data.update(total_episodes=0, total_frames=0))
    return train_on(place, folder)


def zero_bytes(name: str) -> Callable[[Workshop, Path], list[Any]]:
    def make(shop: Workshop, folder: Path) -> list[Any]:
        (folder / name).touch()
        return train_on(folder / name, folder)

    return make


def two_sets(shop: Workshop, folder: Path) -> list[Any]:
    save_demos(changed(shop.demos, STATE, lambda values: values[:, :3]), folder / "narrow.npz", "npz")
    return train_on(shop.copy("demos.npz", folder), folder, "--data", str(folder / "narrow.npz"))


def resumed_with_other_settings(shop: Workshop, folder: Path) -> list[Any]:
    command = train_on(shop.copy("demos.npz", folder), folder)
    assert main(list(map(str, command))) == 0
    return [*command, "--lr", "0.5"]


def resume_cut_off(shop: Workshop, folder: Path) -> list[Any]:
    command = train_on(shop.copy("demos.npz", folder), folder)
    assert main(list(map(str, command))) == 0
    cut(folder / "run" / "resume" / "train.safetensors", 0.4)
    return command


def metrics_damaged(shop: Workshop, folder: Path) -> list[Any]:
    command = train_on(shop.copy("demos.npz", folder), folder)
    assert main(list(map(str, command))) == 0
    (folder / "run" / "metrics.jsonl").write_text('{"stage": "train" oops}\n')
    return command


def out_is_a_file(shop: Workshop, folder: Path) -> list[Any]:
    (folder / "run").write_text("")
    return train_on(shop.copy("demos.npz", folder), folder)


def out_below_a_file(shop: Workshop, folder: Path) -> list[Any]:
    (folder / "file").write_text("")
    return [*TRAIN, "--data", shop.copy("demos.npz", folder), "--out", folder / "file" / "run"]


def out_where_nothing_can_be_made(shop: Workshop, folder: Path) -> list[Any]:
    return [*TRAIN, "--data", shop.copy("demos.npz", folder), "--out", "/proc/imitari/run"]


def json_below_a_file(shop: Workshop, folder: Path) -> list[Any]:
    (folder / "file").write_text("")
    return run_folder("--json", str(folder / "file" / "out.json"))(shop, folder)


def unreadable_json(place: Path) -> None:
    (place / "meta" / "info.json").write_text("{ not json")


DAMAGED_SETS: dict[str, Case] = {
    "Parquet cut off": Case(
        ("file-000.parquet", "truncated"), damaged("lerobot", lambda place: cut(only(place / "data", "*.parquet"), 0.6))
    ),
    "meta/episodes cut off": Case(
        ("file-000.parquet", "truncated"),
        damaged("lerobot", lambda place: cut(only(place / "meta" / "episodes", "*.parquet"), 0.6)),
    ),
    "MP4 cut off": Case(
        (".mp4", "observation.images.top", "episode"),
        damaged("video", lambda place: cut(only(place / "videos", "*.mp4"), 0.6), "--pixels", "64"),
    ),
    "MP4 of zero bytes": Case(
        (".mp4", "observation.images.top"),
        damaged("video", lambda place: cut(only(place / "videos", "*.mp4"), 0), "--pixels", "64"),
    ),
    "info.json no JSON": Case(("info.json",), damaged("lerobot", unreadable_json)),
    "info.json without features": Case(("info.json", "'features'"), info(lambda data: data.pop("features"))),
    "info.json with text for fps": Case(("info.json", "'fps'"), info(lambda data: data.update(fps="fast"))),
    "info.json with fps 0": Case(("info.json", "'fps'"), info(lambda data: data.update(fps=0))),
    "info.json of the future": Case(
        ("info.json", "codebase_version", "v9.0"), info(lambda data: data.update(codebase_version="v9.0"))
    ),
    "feature of another shape": Case(
        (STATE, "shape"), info(lambda data: data["features"][STATE].update(shape=[3], names=None))
    ),
    "feature without shape": Case((STATE, "'shape'"), info(lambda data: data["features"][STATE].pop("shape"))),
    "column missing": Case((".parquet", f"'{STATE}'"), data_file(lambda table: table.drop_columns([STATE]))),
    "no action named": Case(("info.json", "'action'"), info(lambda data: data["features"].pop(ACTION))),
    "rows missing": Case((".parquet", "rows"), data_file(lambda table: table.slice(0, table.num_rows - 9))),
    "text in a numeric column": Case((".parquet", "action", "string"), data_file(words_for_numbers)),
    "episode metadata missing": Case(
        ("meta/episodes", "Parquet"),
        damaged("lerobot", lambda place: only(place / "meta" / "episodes", "*").rename(place / "gone")),
    ),
    "data file missing": Case(
        (".parquet", "missing"), damaged("lerobot", lambda place: only(place / "data", "*.parquet").unlink())
    ),
    "no episode": Case(("no episode",), none_of_it),
    "NaN in the state": Case(
        ("edited.npz", f"'{STATE}'", "episode 0", "step 7"), of(lambda demos: changed(demos, STATE, spoilt(7, np.nan)))
    ),
    "infinity in the action": Case(
        ("edited", "'action'", "episode 0", "step 3"),
        of(lambda demos: changed(demos, ACTION, spoilt(3, np.inf)), format="lerobot"),
    ),
    "NaN in the reward": Case(
        ("edited.npz", f"'{REWARD}'", "episode 0", "step 5"),
        lambda shop, folder: [
            "iql" if word == "bc" else word
            for word in of(lambda demos: changed(demos, REWARD, spoilt(5, np.nan)))(shop, folder)
        ],
    ),
    "actions of another size": Case(
        ("edited.npz", "action", "(3,)", "two_ways"),
        of(lambda demos: changed(demos, ACTION, lambda values: np.repeat(values[:, :1], 3, 1))),
    ),
    "states of another size": Case(
        ("edited.npz", STATE, "(2,)", "two_ways"),
        of(lambda demos: changed(demos, STATE, lambda values: values[:, :2])),
    ),
    "no reward for a method that needs it": Case(
        (REWARD, "edited.npz"),
        lambda shop, folder: [
            "iql" if word == "bc" else word for word in of(lambda demos: without(demos, REWARD))(shop, folder)
        ],
    ),
    "one step an episode, no successor": Case(
        ("edited.npz", "too short"),
        lambda shop, folder: [
            "iql" if word == "bc" else word
            for word in of(
                lambda demos: shorter(demos, 1).with_columns(
                    {REWARD: ArrayColumn(np.zeros(demos.columns[ACTION].shape[0], np.float32))}, "zero reward"
                )
            )(shop, folder)
        ],
    ),
    "two sets that do not fit together": Case(("narrow.npz", "demos.npz", STATE), two_sets),
    "npz cut off": Case(("demos.npz",), damaged("demos.npz", lambda path: cut(path, 0.5))),
    "npz of zero bytes": Case(("empty.npz",), zero_bytes("empty.npz")),
    "npz without actions": Case(("plain.npz", "'actions'"), plain_npz(lambda arrays: arrays.pop("actions"))),
    "npz with pickled objects": Case(("plain.npz", "'actions'"), plain_npz(objects)),
    "npz whose lengths do not add up": Case(
        ("plain.npz", "'lengths'"), plain_npz(lambda arrays: arrays.update(lengths=arrays["lengths"] + 1))
    ),
    "npz with text for actions": Case(
        ("plain.npz", "'action'", "text"),
        plain_npz(lambda arrays: arrays.update(actions=np.array([["a", "b"]] * len(arrays["actions"])))),
    ),
    "HDF5 cut off": Case(("demos.hdf5",), damaged("demos.hdf5", lambda path: cut(path, 0.5))),
    "HDF5 of zero bytes": Case(("empty.hdf5",), zero_bytes("empty.hdf5")),
    "HDF5 without data": Case(("demos.hdf5", "'data'"), hdf5(lambda file: file.move("data", "other"))),
    "HDF5 demo without actions": Case(
        ("demos.hdf5", "demo_2", "'actions'"), hdf5(lambda file: file["data/demo_2"].pop("actions"))
    ),
    "HDF5 demo without observations": Case(
        ("demos.hdf5", "demo_1", "obs"), hdf5(lambda file: [file["data/demo_1/obs"].pop(key) for key in ["state"]])
    ),
    "zarr chunk cut off": Case(
        ("buffer.zarr", "'state'"), damaged("buffer.zarr", lambda place: cut(place / "data" / "state" / "1.0", 0.5))
    ),
    "zarr ends beyond the rows": Case(
        ("buffer.zarr", "episode_ends"), damaged("buffer.zarr", zarr_ends([20, 40, 10_000]))
    ),
    "zarr ends out of order": Case(
        ("buffer.zarr", "episode_ends", "episode 1"), damaged("buffer.zarr", zarr_ends([40, 20]))
    ),
    "TFRecord with a wrong byte": Case(("steps.tfrecord",), damaged("steps.tfrecord", lambda path: flip(path, 300))),
    "TFRecord cut off": Case(("steps.tfrecord",), damaged("steps.tfrecord", lambda path: cut(path, 0.9))),
    "not a data set": Case(
        ("note.txt", "--format"),
        lambda shop, folder: train_on(Path((folder / "note.txt").write_text("x") and folder / "note.txt"), folder),
    ),
    "an empty folder": Case(("--format",), lambda shop, folder: train_on(folder, folder / "elsewhere")),
    "the wrong reader": Case(
        ("demos.npz", "HDF5"),
        lambda shop, folder: train_on(shop.copy("demos.npz", folder), folder, "--format", "robomimic"),
    ),
    "no such path": Case(
        ("no/such/path", "does not exist"), lambda shop, folder: train_on(Path("no/such/path"), folder)
    ),
}

SETTINGS: dict[str, Case] = {
    "unknown verb": Case(("'trian'", "did you mean train"), lambda shop, folder: ["trian", "bc"]),
    "unknown verb, nothing near": Case(("'zzz'", "--help"), lambda shop, folder: ["zzz"]),
    "unknown method": Case(("'flow_polcy'", "did you mean flow_policy"), settings(method="flow_polcy")),
    "unknown task": Case(("'two_way'", "did you mean two_ways"), settings("--task", "two_way")),
    "unknown task of a suite": Case(
        ("'metaworld/reech-v3'", "did you mean metaworld/reach-v3"), settings("--task", "metaworld/reech-v3")
    ),
    "unknown preset": Case(("'smal'", "did you mean small"), settings("--preset", "smal")),
    "unknown setting": Case(("--hiden", "did you mean --hidden"), settings("--hiden", "8")),
    "a setting that is not written in full": Case(("--step", "did you mean --steps"), settings("--step", "5")),
    "unknown choice": Case(("head", "'msee'", "mse"), settings("--head", "msee")),
    "unknown format": Case(("'robomimc'", "did you mean robomimic"), settings("--format", "robomimc")),
    "unknown observation": Case(("'observation.stat'", STATE), settings("--obs", "observation.stat")),
    "unknown device": Case(("'gpu'", "cuda"), settings("--device", "gpu")),
    "unknown tracker": Case(("'tensorbord'", "tensorboard"), settings("--track", "tensorbord")),
    "tracker not installed": Case(("wandb", "pip install"), settings("--track", "wandb"), status=3),
    "text for a whole number": Case(("steps", "'abc'", "whole number"), settings("--steps", "abc")),
    "text for a number": Case(("lr", "'x'"), settings("--lr", "x")),
    "a fraction of a layer": Case(("hidden", "'1.5'", "whole number"), settings("--hidden", "1.5")),
    "a flag without value": Case(("--steps", "argument"), settings("--steps")),
    "no --out": Case(("--out",), lambda shop, folder: ["train", "bc", "--task", "two_ways"]),
    "no step": Case(("steps", "0"), settings("--steps", "0")),
    "negative steps": Case(("steps", "-3"), settings("--steps", "-3")),
    "empty batch": Case(("batch", "0"), settings("--batch", "0")),
    "no history": Case(("history", "0"), settings("--history", "0")),
    "executes more than it predicts": Case(("execute 9", "chunk 4"), settings("--chunk", "4", "--execute", "9")),
    "a layer of no width": Case(("hidden", "0"), settings("--hidden", "0")),
    "a rate of NaN": Case(("lr", "nan"), settings("--lr", "nan")),
    "a negative rate": Case(("lr", "-0.1"), settings("--lr", "-0.1")),
    "a rate that explodes": Case(
        ("step", "not finite", "--lr"), settings("--lr", "1e30", "--steps", "200", "--batch", "8", "--hidden", "8")
    ),
    "everything dropped out": Case(("dropout", "1.0"), settings("--dropout", "1.0")),
    "an average that never moves": Case(("ema", "1.5"), settings("--ema", "1.5")),
    "no pixel": Case(("--pixels", "0"), settings("--pixels", "0")),
    "negative seed": Case(("--seed", "-1"), settings("--seed", "-1")),
    "no episode": Case(("--episodes", "0"), settings("--episodes", "0")),
    "more episodes than there are": Case(("--episodes", "7", "6"), settings("--episodes", "7")),
    "everything held out": Case(("--holdout", "1.5"), settings("--holdout", "1.5")),
    "less than nothing held out": Case(("--holdout", "-0.5"), settings("--holdout", "-0.5")),
    "no data": Case(("--data", "'bc'"), settings(data=False)),
    "no task for a method that acts": Case(
        ("'dagger'", "--task"),
        lambda shop, folder: ["train", "dagger", "--data", shop.copy("demos.npz", folder), "--out", folder / "run"],
    ),
    "expectile beyond 1": Case(("expectile", "1.5"), settings("--expectile", "1.5", method="iql")),
    "unknown verb of data": Case(("zzz",), lambda shop, folder: ["data", "zzz"]),
    "unknown method to explain": Case(("'bcc'", "did you mean bc"), lambda shop, folder: ["methods", "bcc"]),
    "unknown claim": Case(("'two_side'", "did you mean two_sided"), lambda shop, folder: ["claim", "two_side"]),
    "unknown budget": Case(("'quik'",), lambda shop, folder: ["claim", "two_sided", "--budget", "quik"]),
    "a setting of a claim without value": Case(
        ("--set bc.lr", "ARM.FIELD=VALUE"), lambda shop, folder: ["claim", "two_sided", "--set", "bc.lr"]
    ),
    "seeds that are no range": Case(("'a:b'",), lambda shop, folder: ["claim", "two_sided", "--seeds", "a:b"]),
    "a rate beyond 1": Case(("'1.2'", "0"), lambda shop, folder: ["plan", "1.2", "0.5"]),
    "a task for the wrong suite": Case(("two_ways/left",), lambda shop, folder: ["tasks", "two_ways/left"]),
}


def on_data(action: str, *words: str) -> Callable[[Workshop, Path], list[Any]]:
    """`imitari data ACTION` on a good data set; OUT stands for a path that is free."""

    def make(shop: Workshop, folder: Path) -> list[Any]:
        place = shop.copy("demos.npz", folder)
        return ["data", action, place, *(str(folder / "new") if word == "OUT" else word for word in words)]

    return make


def collecting(*words: str, task: str = "two_ways") -> Callable[[Workshop, Path], list[Any]]:
    return lambda shop, folder: ["collect", task, "--out", folder / "demos", "--quiet", *words]


def collected_with_other_noise(shop: Workshop, folder: Path) -> list[Any]:
    # A recording that was cut off: its journal is there, the data set is not.
    command = ["collect", "two_ways", "--out", folder / "demos", "--episodes", "2", "--quiet"]
    assert main(list(map(str, command))) == 0
    return [*command, "--noise", "gaussian:0.1"]


def written_over(shop: Workshop, folder: Path) -> list[Any]:
    (folder / "taken.npz").write_text("something")
    return ["data", "convert", shop.copy("demos.npz", folder), "--out", folder / "taken.npz"]


DATA_VERBS: dict[str, Case] = {
    "info of nothing": Case(("no/such/set",), lambda shop, folder: ["data", "info", "no/such/set/at/all"]),
    "info of a damaged file": Case(
        ("demos.npz",), lambda shop, folder: ["data", "info", cut(shop.copy("demos.npz", folder), 0.5)]
    ),
    "doctor of a damaged file": Case(
        ("demos.hdf5",), lambda shop, folder: ["data", "doctor", cut(shop.copy("demos.hdf5", folder), 0.5)]
    ),
    "an unknown check": Case(("frozn",), on_data("doctor", "--only", "frozn")),
    "an episode that is not there": Case(("99", "0 to 5"), on_data("show", "--episode", "99")),
    "an unknown camera": Case(
        ("'observation.images.top'",),
        lambda shop, folder: ["data", "info", shop.copy("lerobot", folder), "--cameras", "observation.images.top"],
    ),
    "an unknown format to write": Case(("'zar'",), on_data("convert", "--out", "OUT", "--to", "zar")),
    "a format that is only read": Case(("minari",), on_data("convert", "--out", "OUT", "--to", "minari")),
    "a path that is taken": Case(("taken.npz", "exists"), written_over),
    "a split of everything": Case(("--fraction", "2"), on_data("split", "--out", "OUT", "--fraction", "2")),
    "a filter that keeps nothing": Case(
        ("demos.npz", "no episode is left"), on_data("filter", "--out", "OUT", "--min-steps", "100000")
    ),
    "episodes that are no numbers": Case(("'a:b'",), on_data("convert", "--out", "OUT", "--episodes", "a:b")),
    "collect: unknown task": Case(("'two_way'", "did you mean two_ways"), collecting(task="two_way")),
    "collect: no episode": Case(("--episodes 0",), collecting("--episodes", "0")),
    "collect: unknown noise": Case(("'gausian:0.1'", "gaussian:0.1"), collecting("--noise", "gausian:0.1")),
    "collect: unknown expert": Case(("'human'", "scripted"), collecting("--expert", "human")),
    "collect: negative start": Case(("--seeds", "-1"), collecting("--seeds", "-1")),
    "collect: no pixel": Case(("--pixels", "-4"), collecting("--pixels", "-4")),
    "collect: into another recording": Case(("demos",), collected_with_other_noise),
    "collect: no expert": Case(("pusht", "expert"), collecting(task="pusht")),
    "report of nothing": Case(("nowhere",), lambda shop, folder: ["report", folder / "nowhere"]),
}

PLACES: dict[str, Case] = {
    "--out is a file": Case(("run", "is a file", "--out"), out_is_a_file),
    "--out below a file": Case(("run", "cannot be written"), out_below_a_file),
    "--out where nothing can be made": Case(("/proc/imitari", "cannot be written"), out_where_nothing_can_be_made),
    "--out of another training": Case(("run", "other settings", "--out"), resumed_with_other_settings),
    "resume point cut off": Case(("train.safetensors",), resume_cut_off),
    "metrics damaged": Case(("metrics.jsonl", "line 1"), metrics_damaged),
    "--json below a file": Case(("out.json", "cannot be written"), json_below_a_file),
}

RUNS: dict[str, Case] = {
    "no agent": Case(("agent.json",), lambda shop, folder: ["evaluate", folder, "--task", "two_ways"]),
    "no such run": Case(("nowhere",), lambda shop, folder: ["evaluate", folder / "nowhere", "--task", "two_ways"]),
    "agent.json cut off": Case(("agent.json",), run_folder(damage=lambda place: cut(place / "agent.json", 0.5))),
    "agent.json no text": Case(
        ("agent.json",), run_folder(damage=lambda place: (place / "agent.json").write_bytes(b"\xff\xfe\x00"))
    ),
    "agent.json a list": Case(
        ("agent.json",), run_folder(damage=lambda place: (place / "agent.json").write_text("[1]"))
    ),
    "agent.json without identity": Case(("agent.json", "'identity'"), agent(lambda data: data.pop("identity"))),
    "agent.json without scaler": Case(("agent.json", "'scaler'"), agent(lambda data: data.pop("scaler"))),
    "agent.json of the future": Case(("agent.json", "'format'", "99"), agent(lambda data: data.update(format=99))),
    "a setting edited": Case(("identity", "agent.json"), agent(lambda data: data["settings"].update(lr=0.5))),
    "a setting of another type": Case(("hidden", "wide"), agent(lambda data: data["settings"].update(hidden="wide"))),
    "a setting that fits no weight": Case(
        ("weights.safetensors", "agent.json"), agent(lambda data: data["settings"].update(hidden=[9]))
    ),
    "a scaling edited": Case(
        ("identity", "agent.json"), agent(lambda data: data["scaler"]["action"].update(width=[9.0, 9.0]))
    ),
    "a scaling of another size": Case(
        ("agent.json", "action"), agent(lambda data: data["scaler"]["action"].update(width=[1.0]))
    ),
    "a scaling missing": Case(("agent.json", "action"), agent(lambda data: data["scaler"].pop("action"))),
    "weights cut off": Case(
        ("weights.safetensors",), run_folder(damage=lambda place: cut(place / "weights.safetensors", 0.5))
    ),
    "weights missing": Case(
        ("weights.safetensors",), run_folder(damage=lambda place: (place / "weights.safetensors").unlink())
    ),
    "weights changed": Case(("identity", "agent.json"), run_folder(damage=scaled_weights)),
    "training starts": Case(("start 0", "--seeds"), run_folder("--seeds", "0")),
    "negative starts": Case(("--seeds", "-5"), run_folder("--seeds", "-5")),
    "no episode": Case(("--episodes", "0"), run_folder("--episodes", "0")),
    "none together": Case(("--together", "0"), run_folder("--together", "0")),
    "another task": Case((STATE, "pusht"), run_folder("--task", "pusht")),
    "unknown task": Case(("'two_way'", "did you mean two_ways"), run_folder("--task", "two_way")),
    "outcomes damaged": Case(
        ("outcomes.parquet",), run_folder(damage=lambda place: (place / "outcomes.parquet").write_bytes(b"PAR1"))
    ),
    "two runs of two tasks": Case(("two_ways", "three_ways", "--task"), compare()),
    "compared on no start": Case(("--episodes", "0"), compare("--task", "two_ways", "--episodes", "0")),
    "compared with nothing": Case(
        ("agent.json",), lambda shop, folder: ["compare", shop.copy("run", folder), folder / "nowhere"]
    ),
}

CASES = {
    f"{group}: {name}": case
    for group, cases in (
        ("data", DAMAGED_SETS),
        ("setting", SETTINGS),
        ("verb", DATA_VERBS),
        ("place", PLACES),
        ("run", RUNS),
    )
    for name, case in cases.items()
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("good"))


def said(text: str) -> list[str]:
    """What was said about the problem: the lines that are not notices about the data."""
    return [line for line in text.splitlines() if line.strip() and not line.startswith("notice: ")]


def check_sentence(text: str, words: tuple[str, ...]) -> None:
    """One sentence, with everything in it that a person needs."""
    lines = said(text)
    assert len(lines) == 1, text
    sentence = lines[0]
    assert sentence.startswith("imitari: ")
    assert "Traceback" not in text
    for word in words:
        assert word in sentence
    assert REMEDY.search(sentence), f"says nothing about what to do: {sentence}"


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 100
    assert len(DAMAGED_SETS) >= 30


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_with_place_and_remedy(
    name: str, shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    command = list(map(str, case.make(shop, tmp_path)))
    capsys.readouterr()
    status = main(command)
    errors = capsys.readouterr().err
    assert status == case.status, errors
    # The folder's own name holds numbers and words of the case, which would count as having been said.
    check_sentence(errors.replace(str(tmp_path), ""), case.words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("make", [settings("--device", "cuda"), run_folder("--device", "cuda")])
def test_no_gpu_is_one_sentence(
    make: Callable[[Workshop, Path], list[Any]], shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = list(map(str, make(shop, tmp_path)))
    capsys.readouterr()
    assert main(command) == 2
    check_sentence(capsys.readouterr().err, ("'cuda'", "--device cpu"))


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_full_disk_is_one_sentence(
    verb: str, shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make = settings("--steps", "5") if verb == "train" else run_folder()
    command = list(map(str, make(shop, tmp_path)))
    monkeypatch.setattr(os, "replace", full_disk)
    assert main(command) == 2
    check_sentence(capsys.readouterr().err, ("No space left on device", str(tmp_path)))


def test_a_disk_that_fills_up_while_metrics_are_written(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = list(map(str, settings("--steps", "5")(shop, tmp_path)))
    usual = Path.open

    def full(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if mode == "a":
            full_disk()
        return usual(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", full)
    assert main(command) == 2
    check_sentence(capsys.readouterr().err, ("metrics.jsonl", "No space left on device"))


def test_an_absent_chunk_is_reported(shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # zarr leaves out chunks that hold nothing but zeros, so that one that is absent can be right.
    command = damaged("buffer.zarr", lambda place: (place / "data" / "action" / "0.0").unlink())(shop, tmp_path)
    assert main(list(map(str, command))) == 0
    assert "column 'action': 1 of 10 chunks are not there" in capsys.readouterr().err


def test_one_step_episodes_train(shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = of(lambda demos: shorter(demos, 1), "--history", "2", "--chunk", "4", "--execute", "2")(shop, tmp_path)
    assert main(list(map(str, command))) == 0
    assert json.loads((tmp_path / "run" / "agent.json").read_text())["facts"]["data"]["steps"] == 6


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "bc", "--data", "lerobot/pusht", "--out", "run"], ("lerobot/pusht", "network")),
        (["train", "bc", "--data", "cut.npz", "--out", "run"], ("cut.npz",)),
    ],
)
def test_a_real_process_says_one_sentence(
    words: list[str], expected: tuple[str, ...], shop: Workshop, tmp_path: Path
) -> None:
    cut(shop.copy("demos.npz", tmp_path).rename(tmp_path / "cut.npz"), 0.7)
    # Offline by the client's own switch, with a cache that holds nothing: no test may reach for the network.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run(
        [sys.executable, "-m", "imitari", *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    check_sentence(done.stderr, expected)


def test_verbs_of_one_process_refuse_several(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["claim", "two_sided", "--budget", "smoke"]) == 2
    assert capsys.readouterr().err == "imitari: imitari claim is one process: leave out torchrun, or unset WORLD_SIZE\n"
