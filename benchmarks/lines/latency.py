"""Latency of one action chunk at batch 1: our agents beside LeRobot's policies, and our small presets beside a bound.

What is timed is one decision: ours `Agent.act` with scaling, history and clipping, from numpy to numpy; LeRobot's
`select_action` on a batch that is laid out and scaled already. Both with random weights, in blocks that alternate.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.harness import Line, Settings, Worker, WorkerFailed, compared, failed
from benchmarks.peers._environment import NotInstalled
from benchmarks.peers.lerobot import LEROBOT
from imitari.core import registry
from imitari.learn.method import method_class

CALLS, TARGET, BOUND = 100, 1.5, 20.0  # of a line; of a ratio; in ms, of a small preset
SIZES = {"state": 5, "environment_state": 16}
NOTE = "Ours with scaling and clipping, LeRobot's without its processors; random weights, one thread."

SHIPPED_UNET = {"channels": [64, 128, 256], "kernel": 5, "sampling": 10}
THEIR_UNET = {"down_dims": [64, 128, 256], "num_inference_steps": 10, "noise_scheduler_type": "DDIM"}
PAPER_UNET = {"channels": [256, 512, 1024], "kernel": 5, "sampling": 10}
THEIR_PAPER_UNET = {**THEIR_UNET, "down_dims": [256, 512, 1024]}
EXPERTS = {"width": 192, "layers": 4, "heads": 4, "inner": 392, "sampling": 10}
SMALL_ACT = {"chunk": 20, "execute": 20, "width": 128, "heads": 4, "inner": 256, "style_layers": 2, "encoder_layers": 2}
THEIR_SMALL_ACT = {
    "chunk_size": 20, "n_action_steps": 20, "dim_model": 128, "n_heads": 4, "dim_feedforward": 256,
    "n_encoder_layers": 2, "n_vae_encoder_layers": 2,
}  # fmt: skip
PAPER_ACT = {"chunk": 100, "execute": 100, "width": 512, "heads": 8, "inner": 3200, "style_layers": 4}
PAPER_ACT |= {"encoder_layers": 4, "prenorm": False}


@dataclass(frozen=True)
class Case:
    """Our method and LeRobot's policy, each with its settings.

    Attributes:
        share: of the calls of other lines, for policies that take seconds.
        equal: parameters must agree within 2 %.
        precision: that ours was trained in, and acts in where that pays; "auto": as `imitari train` chooses. Theirs
            acts in float32.
    """

    name: str
    method: str
    ours: dict[str, Any]
    policy: str
    theirs: dict[str, Any] = field(default_factory=dict[str, Any])
    pixels: int = 0
    share: float = 1.0
    equal: bool = True
    precision: str = "fp32"
    note: str = ""


CASES = (
    Case("diffusion policy, 10 denoising steps", "diffusion_policy", SHIPPED_UNET, "diffusion", THEIR_UNET),
    Case(
        "diffusion policy of 64 million parameters, 10 denoising steps", "diffusion_policy", PAPER_UNET, "diffusion",
        THEIR_PAPER_UNET, share=0.25,
    ),
    Case(
        "the same, ours in bfloat16 as it was trained", "diffusion_policy", PAPER_UNET, "diffusion", THEIR_PAPER_UNET,
        share=0.25, precision="bf16",
    ),
    Case(
        "flow policy beside a diffusion policy of as many parameters and steps", "flow_policy",
        {"width": 392, "depth": 4, "euler": 10}, "diffusion", THEIR_UNET, note="A perceptron beside a U-Net.",
    ),
    Case(
        "mixture of denoising experts beside a diffusion policy of as many parameters and steps", "mode", EXPERTS,
        "diffusion", THEIR_UNET, note="A transformer with fused experts beside a U-Net; all experts are counted.",
    ),
    Case("ACT, chunk 20", "act", SMALL_ACT, "act", THEIR_SMALL_ACT),
    Case("ACT of the paper's size, chunk 100", "act", PAPER_ACT, "act", {}, share=0.5),
    Case(
        "ACT of the paper's size, ours in bfloat16 as it was trained", "act", PAPER_ACT, "act", {}, share=0.5,
        precision="bf16",
    ),
    Case(
        "diffusion policy, 10 steps, with a 96 px camera", "diffusion_policy", SHIPPED_UNET, "diffusion", THEIR_UNET,
        pixels=96, share=0.25, equal=False, precision="auto",
        note="Same U-Net; each side's own image encoder (theirs a ResNet-18).",
    ),
    Case(
        "ACT, chunk 20, with a 96 px camera", "act", SMALL_ACT, "act",
        {**THEIR_SMALL_ACT, "pretrained_backbone_weights": None}, pixels=96, share=0.5, equal=False,
        precision="auto", note="Same transformer sizes; each side's own image encoder (theirs a ResNet-18).",
    ),
    Case(
        "diffusion policy as each side ships it", "diffusion_policy", {}, "diffusion", {}, share=0.01, equal=False,
        precision="auto",
        note="Ours: small preset, 10 steps; LeRobot's default: 100 steps of a network 50 times the size.",
    ),
    Case(
        "ACT as each side ships it", "act", {}, "act", {}, share=0.5, equal=False, precision="auto",
        note="Ours: small preset, chunk 20; LeRobot's default: the paper's network, chunk 100.",
    ),
)  # fmt: skip


def lines(settings: Settings) -> Iterator[Line]:
    for case in CASES:
        precision = case.precision if case.equal else "as shipped"
        line = Line("", case.name, LEROBOT.title, "ms", target=TARGET, precision=precision, note=f"{NOTE} {case.note}")
        try:
            LEROBOT.ensure()
            yield beside(case, replace(line, note=line.note.strip()), settings)
        except (NotInstalled, WorkerFailed) as error:
            yield failed(line, str(error))
    for name, entry in registry.entries("methods").items():
        method = method_class(name)
        # What an exact method costs depends on what it was fitted to.
        if entry.shelf == "cloning" and "small" in method.presets and not method.exact:
            yield bounded(name, settings)


def beside(case: Case, line: Line, settings: Settings) -> Line:
    words: dict[str, Any] = {"sizes": SIZES, "action": 2, "pixels": case.pixels, "warm": 3 if case.share > 0.1 else 1}
    with (
        Worker(
            "latency_imitari.py", **words, method=case.method, settings=preset(case), precision=case.precision
        ) as ours,
        Worker("latency_lerobot.py", LEROBOT.python, **words, policy=case.policy, settings=case.theirs) as theirs,
    ):
        sizes = {"parameters": ours.ready["parameters"], "its parameters": theirs.ready["parameters"]}
        apart = sizes["its parameters"] / sizes["parameters"] - 1
        assert not case.equal or abs(apart) <= 0.02, f"{case.name}: parameters differ by {apart:.1%}"
        calls = Blocks(case.share, settings)
        found = compared(
            line,
            lambda: calls.middle("ours", ours),
            lambda: calls.middle("theirs", theirs),
            settings.repeats if case.share > 0.1 else 2,
            larger=False,
        )
        facts = {**sizes, "calls": calls.count(), "p99": calls.late("ours"), "its p99": calls.late("theirs")}
        facts["ms to read our parameters once"] = ours.ready["reading"]
        if case.share > 0.1:  # elsewhere a call takes many seconds
            whole = theirs.ask(count=calls.each, whole=True)["times"]
            facts["its p50 with its processors"] = 1000 * statistics.median(whole)
    return replace(found, facts=facts)


def preset(case: Case) -> dict[str, Any]:
    return case.ours or method_class(case.method).presets["small"]


def bounded(name: str, settings: Settings) -> Line:
    """The small preset of a method beside the bound."""
    note = "State observations, the preset as it comes; a ratio above 1 keeps the bound."
    line = Line("", f"{name}, small preset", "bound", "ms", target=1.0, precision="as shipped", note=note)
    given = method_class(name).presets["small"]
    try:
        words: dict[str, Any] = {"sizes": SIZES, "action": 2, "precision": "auto"}
        with Worker("latency_imitari.py", **words, method=name, settings=given) as ours:
            calls = Blocks(1.0, settings)
            found = compared(line, lambda: calls.middle("", ours), lambda: BOUND, settings.repeats, larger=False)
            return replace(found, facts={"parameters": ours.ready["parameters"], "p99": calls.late("")})
    except WorkerFailed as error:
        return failed(line, str(error))


class Blocks:
    """Keeps every time that was measured, for the percentiles."""

    def __init__(self, share: float, settings: Settings) -> None:
        self.each = max(1, round((CALLS if not settings.quick else 20) * share / settings.repeats))
        self.times: dict[str, list[float]] = {}

    def middle(self, side: str, worker: Worker) -> float:
        """Median of a block in ms."""
        block = [1000 * value for value in worker.ask(count=self.each)["times"]]
        self.times.setdefault(side, []).extend(block)
        return statistics.median(block)

    def late(self, side: str) -> float:
        """99th percentile in ms."""
        values = sorted(self.times[side])
        return values[min(len(values) - 1, int(0.99 * len(values)))]

    def count(self) -> int:
        return max(len(values) for values in self.times.values())
