"""Labelling a data set with a trained inverse model: shard by shard, resumed where it was cut off."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError, missing_extra
from imitari.core.files import replace_arrays, replace_text
from imitari.core.progress import Progress
from imitari.core.spec import mismatch
from imitari.data.curate.label import unlabelled, with_labels
from imitari.data.opening import ReadOptions, open_demos, save_demos
from imitari.learn.agent import Agent
from imitari.learn.device import device_named
from imitari.learn.precision import Precision, choose
from imitari.models.inverse import InverseModel, Labeller, Labels, Pick

SHARD = 8192  # frames, about: what is lost when a labelling is cut off
ABOUT = "about.json"


@dataclass(frozen=True)
class LabelRequest:
    """Everything that decides the labels, as plain values.

    Attributes:
        model: folder of an agent that is, or holds, an inverse model.
        data: path or Hub id.
        format, pixels, cameras, missing_video: how to read it; pixels: None: as the model needs them.
        pick: the likeliest action, or one that is drawn.
        seed: of what is drawn.
        confidence: labels below it are left unknown.
        device, precision: of the model.
    """

    model: str
    data: str
    format: str | None = None
    pixels: int | None = None
    cameras: tuple[str, ...] | None = None
    missing_video: Literal["camera", "episodes"] = "camera"
    pick: Pick = "argmax"
    seed: int = 0
    confidence: float = 0.0
    device: str = "auto"
    precision: Precision = "auto"


def label(
    request: LabelRequest, out: Path, to: str = "lerobot", engine: str = "local", together: int = 2, show: bool = True
) -> Demos:
    """Writes the data set to `out` with inferred actions where they were not known; returns it.

    Labels are kept shard by shard beside `out` until the set is written; the same call then goes on.

    Args:
        request: what to do.
        out: must not exist.
        to: format to write.
        engine: "local": in this process, "ray": shards on a cluster that sees the same files.
        together: shards side by side on the cluster.
        show: progress.

    Raises:
        UserError: when all actions are known already, when the model does not fit the data.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise UserError(f"{out}: exists already: choose another path, or delete it first")
    if engine not in ("local", "ray"):
        raise UserError(f"there is no engine named '{engine}': choose local or ray")
    work = Shards(request)
    journal = out.with_name(out.name + ".labelling")
    _claim(journal, {**work.facts(), "shards": len(work.shards)})
    waiting = [number for number in range(len(work.shards)) if not _path(journal, number).exists()]
    carry_out = _on_ray if engine == "ray" else _here
    with Progress("labelling", len(work.shards), show=show) as progress:
        carry_out(work, journal, waiting, together, progress.update)
    episodes = np.concatenate(work.shards)
    action, confidence = _collected(journal, len(work.shards))
    done = with_labels(work.whole(), episodes, action, confidence, work.name, request.confidence)
    save_demos(done, out, to)
    for path in [*journal.glob("*.npz"), *journal.glob("*.partial"), journal / ABOUT]:
        path.unlink(missing_ok=True)
    journal.rmdir()
    return done


class Shards:
    """The data, the model, and how the episodes that lack actions are divided."""

    def __init__(self, request: LabelRequest) -> None:
        self.request = request
        agent = Agent.load(Path(request.model), str(device_named(request.device))).seeing_itself(request.model)
        model = inverse_of(agent, request.model)
        self.name = f"predicted by {agent.identity()}"
        pixels = request.pixels or _side(agent)
        cameras = tuple(agent.spec.images) if request.cameras is None else request.cameras
        options = ReadOptions(pixels=pixels, cameras=cameras, missing_video=request.missing_video)
        self.demos = open_demos(request.data, request.format, options)
        problem = mismatch(self.demos.spec, agent.spec)
        if problem:
            raise UserError(f"{request.data}: does not fit the model {request.model}: {problem}")
        precision = choose(request.precision, model, agent.device)
        self.labeller = Labeller(model, agent.scaler, agent.spec, precision, pick=request.pick, seed=request.seed)
        self.shards = divided(self.demos, SHARD)

    def facts(self) -> dict[str, Any]:
        """What decides the labels: equal facts, equal labels."""
        without = ("model", "data", "confidence")  # identity and fingerprint say it better than paths
        settings = {key: value for key, value in asdict(self.request).items() if key not in without}
        return json.loads(json.dumps({**settings, "who": self.name, "data fingerprint": self.demos.fingerprint()}))

    def whole(self) -> Demos:
        """The data set as it is written: all of its columns, pictures in the size that was asked for."""
        request = self.request
        options = ReadOptions(pixels=request.pixels, cameras=request.cameras, missing_video=request.missing_video)
        demos = open_demos(request.data, request.format, options)
        if not np.array_equal(demos.table.length, self.demos.table.length):
            raise UserError(
                f"{request.data}: cameras lack in different episodes: choose those of the model by --cameras"
            )
        return demos

    def labels(self, number: int) -> Labels:
        return self.labeller(self.demos, self.shards[number])


def inverse_of(agent: Agent, where: str) -> InverseModel:
    """The inverse model that an agent is, or that it holds.

    Raises:
        UserError: when it has none.
    """
    model = getattr(agent.learner, "inverse", agent.learner)
    if not isinstance(model, InverseModel):
        raise UserError(f"{where}: method '{agent.method.name()}' has no inverse model: train one that has")
    return model


def divided(demos: Demos, frames: int) -> list[Array]:
    """The episodes that lack actions, in stretches of about so many frames.

    Raises:
        UserError: when none does.
    """
    episodes = unlabelled(demos)
    if not len(episodes):
        raise UserError(f"{demos.provenance.path}: the actions of all steps are known: there is nothing to label")
    number = np.cumsum(demos.table.rows[episodes]) // frames
    return [part for part in np.split(episodes, np.flatnonzero(np.diff(number)) + 1) if len(part)]


def _side(agent: Agent) -> int | None:
    """The side of the square pictures that the model was trained on; None where it sees none, or of several sizes."""
    sides = {side for feature in agent.spec.images.values() for side in feature.shape[:2]}
    return sides.pop() if len(sides) == 1 else None


def _claim(journal: Path, facts: dict[str, Any]) -> None:
    """Makes the journal, or checks that the one that is there holds labels of the same kind."""
    about = journal / ABOUT
    if about.exists():
        try:
            found = json.loads(about.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{about}: is damaged ({error}): delete {journal}") from error
        if found != facts:
            changed = sorted(key for key in facts if found.get(key) != facts[key])
            raise UserError(
                f"{journal}: holds labels of another {', '.join(changed)}: repeat that, or delete the folder"
            )
        return
    replace_text(about, json.dumps(facts, indent=1))


def _path(journal: Path, number: int) -> Path:
    return journal / f"{number:06d}.npz"


def _keep(journal: Path, number: int, action: Array, confidence: Array) -> None:
    replace_arrays(_path(journal, number), {"action": action, "confidence": confidence})


def _collected(journal: Path, count: int) -> tuple[Array, Array]:
    parts: list[tuple[Array, Array]] = []
    for number in range(count):
        path = _path(journal, number)
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                parts.append((file["action"], file["confidence"]))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise UserError(f"{path}: is damaged ({error}): delete it and label again") from error
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _here(work: Shards, journal: Path, waiting: Sequence[int], together: int, tell: Callable[[int], None]) -> None:
    began = len(work.shards) - len(waiting)
    for done, number in enumerate(waiting):
        found = work.labels(number)
        _keep(journal, number, found.action, found.confidence)
        tell(began + done + 1)


def _on_ray(work: Shards, journal: Path, waiting: Sequence[int], together: int, tell: Callable[[int], None]) -> None:
    """One core a shard. Every worker opens data and model itself; only labels travel."""
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        raise missing_extra("ray", "ray") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
    remote: Any = ray.remote(num_cpus=1, max_retries=0)(_shard)
    places = {key: _absolute(getattr(work.request, key)) for key in ("model", "data")}
    words = json.dumps({**asdict(work.request), **places})
    check = hashlib.sha256(json.dumps(work.facts(), sort_keys=True).encode()).hexdigest()
    left, running, began = list(waiting), dict[Any, int](), len(work.shards) - len(waiting)
    try:
        while left or running:
            while left and len(running) < max(1, together):
                number = left.pop(0)
                running[remote.remote(words, check, number)] = number
            ready, _ = ray.wait(list(running), timeout=1.0)
            for reference in ready:
                number = running.pop(reference)
                try:
                    _keep(journal, number, *ray.get(reference))
                except RayError as error:
                    first = str(error).strip().split("\n")[-1]
                    raise UserError(f"{journal}: a Ray worker failed ({first}): run the same again") from error
                began += 1
                tell(began)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _absolute(place: str) -> str:
    return str(Path(place).resolve()) if Path(place).exists() else place


_OPEN: dict[str, Shards] = {}


def _shard(words: str, check: str, number: int) -> tuple[Array, Array]:
    """On a worker, which keeps data and model open for its next shard."""
    import torch

    torch.set_num_threads(1)
    if words not in _OPEN:
        fields = json.loads(words)
        fields["cameras"] = None if fields["cameras"] is None else tuple(fields["cameras"])
        _OPEN.clear()
        _OPEN[words] = Shards(LabelRequest(**fields))
    work = _OPEN[words]
    if hashlib.sha256(json.dumps(work.facts(), sort_keys=True).encode()).hexdigest() != check:
        raise UserError("this worker sees other data or another model than the process that asked")
    found = work.labels(number)
    return found.action, found.confidence
