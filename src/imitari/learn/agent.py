"""Agent: a trained learner with all that acting needs. History, chunk execution and unscaling happen here, once."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import imitari
from imitari.core.episode import ACTION, Array, Obs
from imitari.core.errors import UserError
from imitari.core.files import replace_text
from imitari.core.spec import SOURCE, Feature, Spec, mismatch
from imitari.data.scaling import Scaler, Scaling
from imitari.learn.checkpoint import read_tensors, write_tensors
from imitari.learn.device import device_named
from imitari.learn.eyes import Eyes
from imitari.learn.framing import Framing
from imitari.learn.learner import Learner
from imitari.learn.method import Method, method_named
from imitari.learn.precision import autocast, native_bf16
from imitari.learn.processes import Processes
from imitari.learn.scaled import DeviceScaler
from imitari.nets.acting import fix

FORMAT = 1


@dataclass
class Memory:
    """What an agent remembers between steps, for B episodes at once.

    Attributes:
        history: name -> (B, H, ...) the latest observations, the newest last; None before the first step.
        queue: (B, C, A) the latest prediction, unscaled; with an ensemble, its mean with earlier ones.
        votes: (B, C) how many predictions each entry of the queue is made of; only with an ensemble.
        cursor: (B,) how many of its actions were executed.
        clock: (B,) steps since the start.
        state: of a recurrent learner.
        random: state of the random generator that the learner's noise comes from.
    """

    history: Obs | None
    queue: Array
    votes: Array
    cursor: Array
    clock: Array
    state: tuple[Tensor, ...]
    random: Tensor


class Agent:
    """A policy that can act in a task, and be saved and loaded.

    Args:
        method: the method with its settings.
        learner: trained.
        scaler: fitted on the training part.
        spec: what it was trained on.
        facts: further things to remember (data provenance and fingerprint, task, seed, ...): JSON values.
        eyes: what turns pictures into what the learner was trained on, where it was trained on their embeddings.

    Attributes:
        spec: what it must be given to act; with eyes, pictures where the learner sees their embeddings (`inside`).
    """

    def __init__(
        self,
        method: Method,
        learner: Learner,
        scaler: Scaler,
        spec: Spec,
        facts: dict[str, Any],
        eyes: Eyes | None = None,
    ) -> None:
        self.method, self.learner, self.scaler, self.facts = method, learner.eval(), scaler, facts
        self.eyes, self.inside = eyes, spec
        self.spec = eyes.outside(spec) if eyes else spec
        self.framing: Framing = method.framing()
        self.device = next(chain(learner.parameters(), learner.buffers())).device
        self.precision = str(facts.get("precision", "fp32"))
        # On a processor the casts of bfloat16 cost more than its products save at the batch sizes of acting, except in
        # layers so large that reading their weights is what takes the time.
        self._acting = self.precision if self.device.type == "cuda" else "fp32"
        self._half = self.precision == "bf16" and self.device.type == "cpu" and native_bf16("cpu")
        self._scale = DeviceScaler(scaler, spec, self.device)
        self._saved: dict[str, Any] | None = None
        self._box = _box(spec.action)

    def seeing_through(self, eyes: Eyes) -> Agent:
        """The same agent with eyes of its own; it was trained on what they give."""
        return Agent(self.method, self.learner, self.scaler, self.inside, self.facts, eyes)

    def reset(self, count: int, seed: int = 0) -> Memory:
        """Memory for `count` fresh episodes; `seed` fixes the noise of the policy.

        From here on, weights of a learner in evaluation mode are taken to stay, until it is put in training mode."""
        shape = (count, self.framing.chunk, *self.spec.action.shape)
        state = self.learner.start(count) if self.learner.recurrent else ()
        fix(self.learner, count, self._half)
        return Memory(
            history=None,
            queue=np.zeros(shape, np.dtype(self.spec.action.dtype)),
            votes=np.zeros(shape[:2], np.int64),
            cursor=np.full(count, self.framing.execute),
            clock=np.zeros(count, np.int64),
            state=state,
            random=torch.Generator().manual_seed(seed).get_state(),
        )

    def act(self, obs: Obs, memory: Memory) -> tuple[Array, Memory]:
        """Observations name -> (B, ...) in recorded units to actions (B, A) in recorded units. Changes `memory`."""
        self._remember(self.eyes(obs) if self.eyes else obs, memory)
        due = np.flatnonzero(memory.cursor >= self.framing.execute)
        if len(due):
            memory.queue[due] = self._blended(due, self._decide(due, memory), memory)
            memory.cursor[due] = 0
        action = memory.queue[np.arange(len(memory.cursor)), memory.cursor]
        memory.cursor += 1
        memory.clock += 1
        return action, memory

    def interrupt(self, which: Array, memory: Memory) -> None:
        """Drops the rest of the predicted actions where `which` (B,) is True: somebody else acted there."""
        memory.cursor[which] = self.framing.execute
        memory.votes[which] = 0

    def _blended(self, due: Array, predicted: Array, memory: Memory) -> Array:
        """What is predicted now, averaged with what was predicted before for the same steps."""
        if self.framing.ensemble is None:
            return predicted
        begin, kept = self.framing.execute, self.framing.chunk - self.framing.execute
        earlier, votes = np.zeros_like(predicted), np.zeros(predicted.shape[:2], np.int64)
        earlier[:, :kept], votes[:, :kept] = memory.queue[due, begin:], memory.votes[due, begin:]
        weight = np.exp(-self.framing.ensemble * np.arange(self.framing.chunk))
        share = (weight / np.cumsum(weight))[votes]  # of the newest prediction in a mean over votes + 1
        memory.votes[due] = votes + 1
        return earlier + share[..., None] * (predicted - earlier)

    def _remember(self, obs: Obs, memory: Memory) -> None:
        width = self.framing.history
        now = {key: np.array(obs[key])[:, None] for key in self.inside.obs}  # a copy: worlds may write in place
        if width == 1:
            memory.history = now
        elif memory.history is None:
            memory.history = {key: np.repeat(value, width, axis=1) for key, value in now.items()}
        else:
            kept = memory.history
            memory.history = {key: np.concatenate([kept[key][:, 1:], value], axis=1) for key, value in now.items()}

    def _decide(self, due: Array, memory: Memory) -> Array:
        assert memory.history is not None
        everyone = len(due) == len(memory.cursor)
        obs = self._scale.obs(
            memory.history if everyone else {key: value[due] for key, value in memory.history.items()}
        )
        outside = torch.get_rng_state()
        torch.set_rng_state(memory.random)
        try:
            with torch.inference_mode(), autocast(self._acting, self.device):
                action = self._recur(obs, memory) if self.learner.recurrent else self.learner.act(obs)
            memory.random = torch.get_rng_state()
        finally:
            torch.set_rng_state(outside)
        return self._bounded(self._scale.unscale_action(action, obs))

    def _recur(self, obs: dict[str, Tensor], memory: Memory) -> Tensor:
        # A recurrent policy decides every step, so all episodes are due and in step with each other.
        if self.framing.renew and memory.clock[0] and memory.clock[0] % self.framing.renew == 0:
            memory.state = self.learner.start(len(memory.clock))
        action, memory.state = self.learner.act_recurrent(obs, memory.state)
        return action

    def _bounded(self, action: Array) -> Array:
        if self._box:
            action = np.minimum(np.maximum(action, self._box[0]), self._box[1])
        return action.astype(self.spec.action.dtype, copy=False)

    def check(self, spec: Spec, where: str) -> None:
        """Raises UserError when the agent cannot act on observations and actions of `spec`."""
        if not self.method.acts:
            raise UserError(
                f"this agent is an encoder of pictures and does not act in {where}: use it with "
                "`imitari train METHOD --encoder FOLDER`"
            )
        problem = mismatch(spec, self.spec, any_size=self.learner.any_size)
        if problem:
            raise UserError(f"this agent does not fit {where}: {problem}: choose the task that it was trained for")

    def seeing_itself(self, where: str) -> Agent:
        """The agent, where its learner itself sees what is observed; raises UserError where an encoder stands before
        it, for uses that go on with the learner alone."""
        if self.eyes and not self.eyes.tuned:
            raise UserError(f"{where}: sees through a frozen encoder, which this does not support: train one without")
        return self

    def identity(self) -> str:
        """Hash over weights, scaling, framing, settings, spec and code version: all that makes the policy act so."""
        digest = hashlib.sha256(json.dumps(self._description(), sort_keys=True).encode())
        for name, value in sorted(self._tensors().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).numpy().tobytes())
        return digest.hexdigest()[:16]

    def _tensors(self) -> dict[str, Tensor]:
        return {**self.learner.state_dict(), **(self.eyes.tensors() if self.eyes else {})}

    def _description(self) -> dict[str, Any]:
        # A loaded agent keeps the words it was saved with: settings that came later must not change who it is.
        parts = self.learner.parts()
        return self._saved or {
            "format": FORMAT,
            "method": self.method.name(),
            "settings": self.method.to_json(),
            "spec": self.inside.to_json(),
            "scaler": self.scaler.to_json(),
            "framing": self.framing.to_json(),
            "precision": self.precision,
            "version": self.facts.get("version", imitari.__version__),
            **({"eyes": self.eyes.to_json()} if self.eyes else {}),
            **({"parts": parts} if parts else {}),
        }

    def save(self, folder: Path) -> None:
        """Writes weights.safetensors and agent.json (last, so that a half-written folder is not an agent).

        Of processes that train together only the first writes."""
        if not Processes.here().first:
            return
        write_tensors(folder / "weights.safetensors", self._tensors(), {})
        self.facts.setdefault("version", imitari.__version__)
        text = json.dumps({**self._description(), "identity": self.identity(), "facts": self.facts}, indent=1)
        replace_text(folder / "agent.json", text)

    @staticmethod
    def load(folder: Path, device: str = "cpu") -> Agent:
        """Reads a saved agent.

        Raises:
            UserError: when there is none, when it was changed after saving, or was saved in another format.
        """
        place, path = device_named(device), folder / "agent.json"
        if not path.exists():
            raise UserError(
                f"{folder}: holds no trained agent (agent.json): give the folder that `imitari train --out` wrote"
            )
        try:
            data, method, scaler, spec, eyes = _parsed(path)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        torch.manual_seed(0)
        with eyes.beginning() if eyes else nullcontext():
            learner = method.rebuilt(spec, data.get("parts", {})).to(place)
        tensors, _ = read_tensors(folder / "weights.safetensors")
        try:
            seen = {key.removeprefix("eyes."): tensors.pop(key) for key in list(tensors) if key.startswith("eyes.")}
            if eyes and not eyes.tuned:
                eyes.encoder.to(place).load_state_dict(seen)
            learner.load_state_dict(tensors)
        except RuntimeError as error:
            raise UserError(
                f"{folder}/weights.safetensors: does not fit the settings in agent.json: restore both files"
            ) from error
        facts = {**data["facts"], "precision": data["precision"], "version": data["version"]}
        agent = Agent(method, learner, scaler, spec, facts, eyes)
        agent._saved = {key: data[key] for key in agent._description()}
        if agent.identity() != data["identity"]:
            raise UserError(
                f"{folder}: field 'identity' in agent.json does not match the weights, scaling, framing and settings "
                "beside it: something was changed after training; restore the folder or train again"
            )
        return agent


def _box(action: Feature) -> tuple[Array, Array] | None:
    """Bounds of numeric actions, in their own type where that is a float: another would copy what it bounds."""
    if action.kind != "number" or action.low is None or action.high is None:
        return None
    kind = np.dtype(action.dtype)
    low, high = (np.asarray(bound, kind if kind.kind == "f" else np.float64) for bound in (action.low, action.high))
    return low, high


def _parsed(path: Path) -> tuple[dict[str, Any], Method, Scaler, Spec, Eyes | None]:
    """agent.json and what it describes; errors without the name of the file."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise UserError(f"field 'format' is {data['format']}, not {FORMAT}: use the imitari version it names")
        spec, scaler = Spec.from_json(data["spec"]), Scaler.from_json(data["scaler"])
        method = method_named(data["method"], data["settings"])
        eyes = Eyes.from_json(data["eyes"]) if "eyes" in data else None
        for key in ("facts", "precision", "version", "identity"):
            data[key]  # all are needed later
    except KeyError as error:
        raise UserError(f"field {error} is missing: restore the file or train again") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"is damaged ({error}): restore it or train again") from error
    for key, feature in {**spec.numbers, ACTION: spec.action}.items():
        found = scaler.scalings.get(key)
        if feature.kind != "number" or not feature.size:
            continue
        if found is None or not found.offset.shape == found.width.shape == _shape(found, feature, spec):
            raise UserError(
                f"field 'scaler' holds no scaling of shape {feature.shape} for '{key}': restore the file or train again"
            )
    return data, method, scaler, spec, eyes


def _shape(scaling: Scaling, feature: Feature, spec: Spec) -> tuple[int, ...]:
    """Of the offset and width that the feature needs: an entry for each of mixed data sets, each step of a chunk."""
    grouped, steps = spec.obs[SOURCE].shape if scaling.grouped else (), (scaling.steps,) if scaling.steps else ()
    return (*grouped, *steps, *feature.shape)
