"""Inverse dynamics: which action was taken at each frame of a clip, judged from the frames before and after it.

What is done between two observations is nearly determined by them, while the next action of a person depends on what
the person wants: an inverse model needs far fewer actions than a policy (Baker et al. 2022, "Video PreTraining",
section 3.1; Torabi et al. 2018, "Behavioral Cloning from Observation").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import ACTION, Array
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec
from imitari.data.sampling import Batches, Windows
from imitari.data.scaling import Scaler
from imitari.learn.learner import Learner
from imitari.learn.method import Trained
from imitari.learn.optim import Optim
from imitari.learn.precision import autocast
from imitari.learn.run import Check, Run
from imitari.learn.scaled import DeviceScaler
from imitari.nets.clips import Network, StepEncoder
from imitari.nets.distortion import Distortion
from imitari.nets.heads.actions import Choice, ChoiceHead, PointHead, Prediction, masked_mean
from imitari.nets.heads.bins import Binned, BinnedHead, MuLaw
from imitari.nets.transformer import Transformer, positions

Head = Literal["bins", "joint", "mse"]
Pick = Literal["argmax", "sampled"]
SPAN = 4096  # steps that are compared together


@dataclass(frozen=True)
class InverseSettings(Trained):
    """Settings of methods that train an `InverseModel`."""

    window: int = 16  # frames that the inverse model sees together
    context: Literal["both", "past"] = "both"  # of the inverse model: past and future frames, or the past alone
    fusion: Literal["early", "late"] = "early"  # convolve over time before the network of a frame, or attend after it
    kernel: int = 5  # frames of that convolution
    filters: int = 128  # of that convolution
    network: Network = "residual"  # of a frame: residual stages, or one strided convolution each
    channels: tuple[int, ...] = (64, 128, 128)  # of the stages of that network, each halves the side
    dense: int = 0  # features of a layer between that network and those of a frame; 0: none
    width: int = 256  # features of a frame
    blocks: int = 4  # of attention in the inverse model; 0: none
    heads: int = 4  # of its attention
    head: Head = "bins"  # numbers as bins of each axis, as joint bins of all, or mse: squared error
    bins: int = 11  # of an axis
    mu: float = 10.0  # how much finer bins are near zero; 0: all equal
    shift: float = 0.0  # largest random shift of a clip in training, as a share of its side
    zoom: float = 0.0  # largest random change of its size, as a share
    colour: float = 0.0  # largest random change of brightness, contrast and saturation, as a share

    def __post_init__(self) -> None:
        if min(self.window, self.kernel, self.filters, self.width, self.heads) < 1 or not self.channels:
            raise UserError(
                f"window {self.window}, kernel {self.kernel}, filters {self.filters}, width {self.width}, heads "
                f"{self.heads}: all must be at least 1, and channels must not be empty"
            )
        if self.blocks < 0 or (self.blocks and self.width % self.heads):
            raise UserError(f"blocks {self.blocks}, width {self.width}: heads {self.heads} must divide the width")
        if self.fusion == "late" and self.blocks == 0:
            raise UserError("fusion late leaves frames to attention: blocks must be at least 1")


def labelling_head(settings: InverseSettings, features: int, action: Feature) -> nn.Module:
    """Features to a distribution over each component of an action; "mse" gives a point."""
    if action.kind == "choice":
        return ChoiceHead(features, action.choices)
    if settings.head == "mse":
        return PointHead(features, action.size)
    return BinnedHead(features, action.size, MuLaw(settings.bins, settings.mu), settings.head == "joint")


class InverseModel(Learner):
    """p(a_t | o_{t-k}, ..., o_{t+k}) for every frame t of a window: fused frames, attention over the window, heads.

    Pictures are convolved over time before the network that sees each frame, numbers are stacked with their neighbours
    and go through a perceptron; blocks of attention follow.
    """

    def __init__(self, settings: InverseSettings, spec: Spec) -> None:
        super().__init__()
        self.window, self.causal = settings.window, settings.context == "past"
        width = settings.width
        self.encoder = StepEncoder(
            spec,
            width,
            settings.channels,
            settings.network,
            settings.kernel if settings.fusion == "early" else 1,
            settings.filters,
            settings.dense,
            causal=self.causal,
            distortion=Distortion(settings.shift, settings.zoom, settings.colour),
        )
        self.register_buffer("place", positions(settings.window, width), persistent=False)
        inner = 4 * width
        self.body = Transformer(width, settings.heads, settings.blocks, inner) if settings.blocks else None
        self.norm = nn.LayerNorm(width)
        self.head = labelling_head(settings, width, spec.action)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        prediction = self.predict(batch.obs)
        terms = {"inverse_loss": masked_mean(prediction.loss(batch.action), batch.valid)}
        if isinstance(prediction, Choice):
            with torch.no_grad():
                right = (prediction.mode == batch.action).all(-1).float()
                terms["_accuracy"] = masked_mean(right, batch.valid)
        return terms

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """The action at the newest frame, for which there is no future: what it then is, is a policy."""
        prediction = self.predict(obs)
        return prediction.mode[:, -1:]

    def predict(self, obs: dict[str, Tensor]) -> Prediction:
        """Scaled observations (B, T, ...), T at most the window, to predictions of (B, T, A)."""
        x = self.encoder(obs)
        if self.body is not None:
            x = self.body(x + self.get_buffer("place")[: x.shape[1]], causal=self.causal)
        return self.head(self.norm(x.relu()))


# ---------------------------------------------------------------- training

Inverse = TypeVar("Inverse", bound=InverseModel)


def train_inverse(
    model: Inverse,
    demos: Demos,
    run: Run,
    scale: DeviceScaler,
    optim: Optim,
    *,
    steps: int,
    batch: int,
    stage: str,
    check: Check | None = None,
) -> Inverse:
    """Minimises the model's loss at every frame of windows of `demos`, where actions are known.

    Args:
        model: trained in place.
        demos: windows without any known action are left out.
        run: where and how.
        scale: of observations and actions.
        optim: of the optimiser.
        steps, batch: updates, and windows in each.
        stage: name in the metrics.
        check: looks at held-out demonstrations in between.
    """
    windows = Windows(demos, range(model.window), range(model.window), inside=True)
    batches, every = Batches(windows, batch, run.seed), max(1, steps // 20)
    run.train(model, batches, optim, steps, scale, stage=stage, check=check, check_every=every)
    return model


# ---------------------------------------------------------------- labelling


@dataclass(frozen=True)
class Labels:
    """Inferred actions of the steps of some episodes, one episode after the other.

    Attributes:
        action: (N, *A) in recorded units.
        confidence: (N,) probability that the model gave the action; NaN where it predicts a point.
    """

    action: Array
    confidence: Array


class Labeller:
    """A trained inverse model with all that it needs to read recorded data.

    Args:
        model: trained.
        scaler: that it was trained with.
        spec: that it was trained on.
        precision: "fp32" or "bf16".
        pick: the likeliest action, or one drawn from the distribution.
        seed: of what is drawn.
        together: windows passed through the network together.
    """

    def __init__(
        self,
        model: InverseModel,
        scaler: Scaler,
        spec: Spec,
        precision: str = "fp32",
        *,
        pick: Pick = "argmax",
        seed: int = 0,
        together: int = 32,
    ) -> None:
        self.model, self.spec, self.precision = model.eval(), spec, precision
        self.pick, self.seed, self.together = pick, seed, together
        self.device = next(model.parameters()).device
        self.scale = DeviceScaler(scaler, spec, self.device)

    def __call__(self, demos: Demos, episodes: Array) -> Labels:
        """Labels of the chosen episodes (numbers). Reads a few windows at a time, so that memory does not grow."""
        plan = WindowPlan.of(demos, episodes, self.model.window)
        action = np.empty((len(plan.window), *self.spec.action.shape), np.dtype(self.spec.action.dtype))
        confidence = np.empty(len(plan.window), np.float32)
        order = np.argsort(plan.window, kind="stable")
        bounds = np.searchsorted(plan.window[order], np.arange(0, len(plan.rows) + self.together, self.together))
        outside = torch.get_rng_state()
        torch.manual_seed(int(np.random.SeedSequence([self.seed, *episodes[:1].tolist()]).generate_state(1)[0]))
        try:
            for number, (actions, chances) in enumerate(self._predicted(demos, plan)):
                mine = order[bounds[number] : bounds[number + 1]]
                at = plan.window[mine] - number * self.together, plan.place[mine]
                action[mine], confidence[mine] = actions[at], chances[at]
        finally:
            torch.set_rng_state(outside)
        return Labels(action, confidence)

    def _predicted(self, demos: Demos, plan: WindowPlan) -> Iterator[tuple[Array, Array]]:
        """Actions (B, T, *A) and confidences (B, T) of every `together` windows."""
        for begin in range(0, len(plan.rows), self.together):
            rows = plan.rows[begin : begin + self.together]
            obs = self.scale.obs({key: demos.columns[key].take(rows) for key in self.spec.obs})
            with torch.inference_mode(), autocast(self.precision, self.device):
                prediction = self.model.predict(obs)
                chosen = prediction.mode if self.pick == "argmax" else prediction.sample()
                chance = torch.full(chosen.shape[:2], torch.nan)
                if isinstance(prediction, Choice | Binned):
                    chance = torch.exp(-prediction.loss(chosen))
            action = self.scale.unscale_action(chosen)
            feature = self.spec.action
            if feature.kind == "number" and feature.low is not None and feature.high is not None:
                action = np.clip(action, np.asarray(feature.low), np.asarray(feature.high))
            yield action.astype(np.dtype(feature.dtype)), chance.float().cpu().numpy()


@dataclass(frozen=True)
class WindowPlan:
    """Which windows to look at, and from which of them each step takes its label.

    Attributes:
        rows: (W, T) storage rows of each window; where an episode is shorter, its last row again.
        window, place: (N,) of every step: number of the window in which it lies nearest to the middle, and where.
    """

    rows: Array
    window: Array
    place: Array

    @staticmethod
    def of(demos: Demos, episodes: Array, width: int) -> WindowPlan:
        """Half-overlapping windows of `width` frames over each episode, the last one moved inside it."""
        rows: list[Array] = []
        window: list[Array] = []
        place: list[Array] = []
        count, hop = 0, max(1, width // 2)
        for number in episodes.tolist():
            start, length, seen = (
                int(part[number]) for part in (demos.table.start, demos.table.length, demos.table.rows)
            )
            last = max(0, seen - width)
            begins = np.unique(np.append(np.arange(0, last + 1, hop), last))
            rows.append(start + np.minimum(begins[:, None] + np.arange(width), seen - 1))
            steps = np.arange(length)
            distance = np.abs(steps[:, None] - (begins + (width - 1) / 2))
            # A step beyond a window must not be read from it, however near its middle is.
            distance[(steps[:, None] < begins) | (steps[:, None] >= begins + width)] = np.inf
            nearest = distance.argmin(1)
            window.append(count + nearest)
            place.append(steps - begins[nearest])
            count += len(begins)
        return WindowPlan(np.concatenate(rows), np.concatenate(window), np.concatenate(place))


def comparable(held: Demos | None, spec: Spec) -> Demos | None:
    """Held-out demonstrations in which an action is known; None where there are none."""
    if held is None:
        return None
    known = held.known(held.rows())
    return held.with_spec(spec) if known is None or known.any() else None


def agreement(labels: Labels, demos: Demos, episodes: Array) -> dict[str, float]:
    """How well labels agree with recorded actions, over the steps whose action is known.

    Returns:
        `accuracy` of choices, and `effective`: that of steps after which something else was observed. For numbers `r2`,
        the mean over axes of the share of variance that the labels explain, and each axis' share as `r2 of NAME`.
    """
    part = demos.keep(episodes)
    rows = part.rows()
    known = part.known(rows)
    kept = np.ones(len(rows), bool) if known is None else known
    if not kept.any():
        raise UserError(f"{demos.provenance.path}: no action is known that labels could be compared with")
    true = part.columns[ACTION].take(rows).reshape(len(rows), -1)
    mine = labels.action.reshape(len(rows), -1)
    if demos.spec.action.kind == "choice":
        right = (true == mine).all(1)
        moved = _moved(part, rows) & kept
        return {
            "accuracy": float(right[kept].mean()),
            "effective": float(right[moved].mean()) if moved.any() else float("nan"),
        }
    spread = ((true[kept] - true[kept].mean(0)) ** 2).mean(0)
    error = ((true[kept] - mine[kept]) ** 2).mean(0)
    varies = spread > 0
    share = 1 - error[varies] / spread[varies]
    names = demos.spec.action.names or tuple(map(str, range(len(spread))))
    parts = {f"r2 of {names[axis]}": float(one) for axis, one in zip(np.flatnonzero(varies), share, strict=True)}
    return {"r2": float(share.mean()) if varies.any() else float("nan"), **parts}


def _moved(demos: Demos, rows: Array) -> Array:
    """(N,) whether another observation followed; False where none is known."""
    table = demos.table
    has_next = np.ones(len(rows), bool)
    has_next[np.cumsum(table.length) - 1] = table.rows > table.length
    changed = np.zeros(len(rows), bool)
    for begin in range(0, len(rows), SPAN):
        here = rows[begin : begin + SPAN]
        there = np.where(has_next[begin : begin + SPAN], here + 1, here)
        for key, feature in demos.spec.obs.items():
            if feature.kind != "text":
                one, other = (demos.columns[key].take(at).reshape(len(here), -1) for at in (here, there))
                changed[begin : begin + SPAN] |= (one != other).any(1)
    return changed
