"""A training from names and paths: what `imitari train` and the claims run."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.files import replace_text
from imitari.core.spec import INSTRUCTION, SOURCE, Spec, as_tuple
from imitari.core.task import Task
from imitari.data.curate.augment import with_symmetries
from imitari.data.instructions import instructed, vectors_named
from imitari.data.labelled import labelled
from imitari.jobs.probing import eyes_of
from imitari.jobs.sources import mixture, parsed, tasks_of
from imitari.learn.agent import Agent
from imitari.learn.compilation import Compile
from imitari.learn.method import Method, method_class
from imitari.learn.precision import Precision
from imitari.learn.run import Run

REQUEST = "train.json"


@dataclass(frozen=True)
class TrainRequest:
    """Everything that decides a training, as plain values; the flags of `imitari train`."""

    method: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    preset: str | None = None
    data: tuple[str, ...] = ()
    play: tuple[str, ...] = ()
    format: str | None = None
    fields: tuple[str, str] | None = None
    task: str | None = None
    seed: int = 0
    obs: tuple[str, ...] | None = None
    pixels: int | None = None
    episodes: int | None = None
    holdout: float = 0.0
    symmetry: bool = False
    encoder: str | None = None
    tune_encoder: bool = False
    instruction: str | None = None
    device: str = "auto"
    precision: Precision = "auto"
    compile: Compile = "auto"
    trackers: tuple[str, ...] = ()
    show: bool = True


def train(request: TrainRequest, folder: Path, demos: Demos | None = None, task: Task | None = None) -> Agent:
    """Trains into `folder`, or resumes there; returns (and saves) the agent.

    Args:
        request: what to do.
        folder: agent, metrics, resume points, and the request.
        demos: taken in the place of `request.data`.
        task: taken in the place of `request.task`.
    """
    _check_numbers(request)
    method = method_class(request.method).from_preset(request.preset, **request.settings)
    encoder = _encoder(method, request)
    if encoder is not None and request.pixels is None:
        request = dataclasses.replace(request, pixels=next(iter(encoder.spec.images.values())).shape[0])
    task = task or _task(request)
    _check_needs(method, request, demos, task)
    part, held = _parts(method, request, demos, task)
    eyes = eyes_of(encoder, part, f"--encoder {request.encoder}", request.tune_encoder) if encoder and part else None
    if eyes is not None and part is not None:
        part, held = eyes.embedded(part), eyes.embedded(held) if held else None
    run = Run(
        seed=request.seed,
        device=request.device,
        precision=request.precision,
        folder=folder,
        identity={"task": request.task, **({"encoder": eyes.source, "tuned": eyes.tuned} if eyes else {})},
        compile=request.compile,
        show=request.show,
        trackers=request.trackers,
        held=held,
    )
    if run.processes.first:
        _prepare(folder, request)
    with eyes.beginning() if eyes else nullcontext():
        agent = method.fit(part, run, task)
    agent = agent.seeing_through(eyes) if eyes else agent
    agent.facts |= {"task": request.task, **_told(request, part)}
    agent.save(folder)
    run.processes.wait()
    run.metrics.close()
    return agent


def _told(request: TrainRequest, part: Demos | None) -> dict[str, Any]:
    """What the agent must be told when it acts: how its instructions were made, and what its data sets are of."""
    told: dict[str, Any] = {"instruction": request.instruction} if request.instruction else {}
    if part is not None and SOURCE in part.spec.obs:
        told["sources"] = tasks_of(part)
    return told


def _encoder(method: Method, request: TrainRequest) -> Agent | None:
    """The trained encoder that was asked for."""
    if request.encoder is None:
        if request.tune_encoder:
            raise UserError("--tune-encoder goes on training an encoder: give it with --encoder FOLDER")
        return None
    if not method.acts or method.needs & {"task", "expert"}:
        why = "acts while it learns" if method.acts else "trains an encoder itself"
        raise UserError(
            f"method '{request.method}' {why}: --encoder is for methods that learn from recorded data alone"
        )
    return Agent.load(Path(request.encoder))


def _parts(
    method: Method, request: TrainRequest, demos: Demos | None, task: Task | None
) -> tuple[Demos | None, Demos | None]:
    """Training part and held-out part; neither where a method that acts was given no demonstrations."""
    if demos is None and not request.data:
        if request.play:
            raise UserError("--play marks the episodes of --data as an expert's: give --data PATH too")
        return None, None
    demos = demos if demos is not None else open_data(request)
    if request.instruction:
        demos = instructed(demos, vectors_named(request.instruction))
    demos = fitted_to(demos, task, request)
    _check_texts(method, request, demos.spec, demos.provenance.path)
    part, held = chosen(demos, request).split(request.holdout, request.seed)
    if request.symmetry:
        if task is None:
            raise UserError("--symmetry uses what the task declares: give --task")
        part = with_symmetries(part, task.symmetries)
    return part, held


def fitted_to(demos: Demos, task: Task | None, request: TrainRequest) -> Demos:
    """The demos seen through the observations that were asked for, or else those that the task has too."""
    mixture = SOURCE in demos.spec.obs  # of which each data set was fitted by itself
    keys = list(demos.spec.obs if mixture else request.obs or ())
    if keys and request.instruction and INSTRUCTION in demos.spec.obs:
        keys = list(dict.fromkeys([*keys, INSTRUCTION]))
    if not keys:
        keys = list(demos.spec.obs)
        if task is not None:
            keys = [key for key in keys if key in task.spec.obs]
        if request.pixels is None and any(demos.spec.obs[key].kind != "image" for key in keys):
            keys = [key for key in keys if demos.spec.obs[key].kind != "image"]
        if demos.spec.action.kind != "text":
            keys = [key for key in keys if demos.spec.obs[key].kind != "text"]
    if not keys:
        wanted = ", ".join(task.spec.obs) if task else "any"
        raise UserError(
            f"{demos.provenance.path}: none of its observations ({', '.join(demos.spec.obs)}) is one of the task's "
            f"({wanted}): choose with --obs, or another --task"
        )
    seen = demos if keys == list(demos.spec.obs) else demos.select(keys)
    if task is not None:
        _check_task(seen.spec, task, demos.provenance.path)
    return seen


def chosen(demos: Demos, request: TrainRequest) -> Demos:
    """The subset of `request.episodes` demonstrations, drawn with the seed."""
    if request.episodes is None or request.episodes == len(demos):
        return demos
    if not 1 <= request.episodes <= len(demos):
        raise UserError(
            f"--episodes is {request.episodes}: {demos.provenance.path} holds {len(demos)} episodes, choose from 1 to "
            f"{len(demos)}"
        )
    order = np.random.default_rng([request.seed, 0xDE]).permutation(len(demos))
    return demos.keep(np.sort(order[: request.episodes]), f"--episodes {request.episodes}")


def read_request(folder: Path) -> TrainRequest:
    """The request that a run folder was made from."""
    path = folder / REQUEST
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        values: dict[str, Any] = {key: as_tuple(value) for key, value in data.items()}
        return TrainRequest(**values)
    except (OSError, json.JSONDecodeError, TypeError) as error:
        raise UserError(f"{path}: is missing or damaged: give the folder that `imitari train --out` wrote") from error


def _check_numbers(request: TrainRequest) -> None:
    if request.seed < 0:
        raise UserError(f"--seed is {request.seed}: it must be at least 0")
    if request.pixels is not None and request.pixels < 1:
        raise UserError(f"--pixels is {request.pixels}: it must be at least 1")
    if not 0 <= request.holdout < 1:
        raise UserError(f"--holdout is {request.holdout:g}: it must be at least 0 and below 1")


def _check_needs(method: Method, request: TrainRequest, demos: Demos | None, task: Task | None) -> None:
    if not request.data and demos is None and "task" not in method.needs:
        raise UserError(f"method '{request.method}' learns from demonstrations: give --data PATH")
    if method.needs & {"task", "expert"} and parsed(request.data):
        raise UserError(f"method '{request.method}' acts while it learns: give one data set, without a name")
    if method.needs & {"task", "expert"}:
        method.acting_in(task)
    if "expert" in method.needs and task is not None and task.expert_for is None:
        raise UserError(
            f"method '{request.method}' asks an expert, and task '{task.name}' has none: choose another --task"
        )


def _check_texts(method: Method, request: TrainRequest, spec: Spec, path: str) -> None:
    """Methods for texts learn from texts, and the others from numbers."""
    wanted, given = "text" in method.needs, spec.action.kind == "text"
    if wanted != given:
        kinds = ("texts", "numbers") if wanted else ("numbers", "texts")
        raise UserError(
            f"{path}: method '{request.method}' learns actions that are {kinds[0]}, and these are {kinds[1]}: choose "
            "another method (`imitari methods`), or other data"
        )


def _check_task(spec: Spec, task: Task, path: str) -> None:
    for key, feature in spec.obs.items():
        need = task.spec.obs.get(key)
        if need is not None and need.shape != feature.shape:
            raise UserError(
                f"{path}: observation '{key}' has shape {feature.shape}, and task '{task.name}' gives {need.shape}: "
                "choose the task that the data was recorded in"
                + (", or another --pixels" if feature.kind == "image" else "")
            )
    if spec.action.shape != task.spec.action.shape:
        raise UserError(
            f"{path}: action has shape {spec.action.shape}, and task '{task.name}' takes {task.spec.action.shape}: "
            "choose the task that the data was recorded in"
        )


def _task(request: TrainRequest) -> Task | None:
    from imitari.envs import task_named

    if request.task is None:
        return None
    options: dict[str, Any] = {"pixels": request.pixels, "instruction": request.instruction}
    return task_named(request.task, **{key: value for key, value in options.items() if value is not None})


def open_data(request: TrainRequest) -> Demos:
    """What `request.data` and `request.play` name."""
    from imitari.data.opening import ReadOptions, open_demos

    cameras = None if request.pixels or request.obs else ()
    options = ReadOptions(pixels=request.pixels, cameras=cameras, fields=request.fields)

    def joined(paths: tuple[str, ...]) -> Demos:
        return Demos.concat([open_demos(path, request.format, options) for path in paths])

    sources = parsed(request.data)
    if sources and request.play:
        raise UserError("--play marks --data as an expert's, which named data sets do not allow: leave the names out")
    if sources:
        return mixture(sources, lambda path: _alone(joined((path,)), request))
    demos = joined(request.data)
    return labelled(demos, joined(request.play)) if request.play else demos


def _alone(demos: Demos, request: TrainRequest) -> Demos:
    """One of several named data sets, with those of its observations that were asked for."""
    keys = tuple(key for key in request.obs or () if key in demos.spec.obs)
    return fitted_to(demos, None, dataclasses.replace(request, obs=keys or request.obs))


def _prepare(folder: Path, request: TrainRequest) -> None:
    replace_text(folder / REQUEST, json.dumps(dataclasses.asdict(request), indent=1))
