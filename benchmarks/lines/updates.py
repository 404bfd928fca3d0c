"""Updates a second of each method beside the same method elsewhere: same batch, shape and size.

All sides of a case run in turns, each in a process and a thread of its own, on random data of the same shape. Rates are
of processor time, which for one thread is what the clock shows on a machine with nothing else to do. Ours is the whole
of a method's `fit`: drawing the batch, scaling, losses, checks, optimiser, trailing copies, metrics.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmarks.harness import Line, Settings, Worker, WorkerFailed, count_for, failed, in_turns, with_numbers
from benchmarks.peers._environment import Environment, NotInstalled
from benchmarks.peers.d3rlpy import D3RLPY
from benchmarks.peers.imitation import IMITATION
from benchmarks.peers.jax import JAX
from benchmarks.peers.lerobot import LEROBOT
from benchmarks.peers.robomimic import ROBOMIMIC

Column = Literal["fp32", "as shipped"]
TARGETS: dict[Column, float] = {"fp32": 1.3, "as shipped": 2.0}
COLUMNS: tuple[Column, ...] = ("fp32", "as shipped")
TOLERANCE = 0.02  # between the numbers of parameters
SHARE = 2 / 3  # of the usual time of a measurement: there are many sides
STEPS = {"state": 17, "action": 6, "episodes": 100, "length": 200}
PARTED = {"state": 10, "more": 10, "action": 6, "episodes": 100, "length": 200}


@dataclass(frozen=True)
class Side:
    """One program.

    Attributes:
        title: of the peer.
        worker: script in `benchmarks/workers`.
        settings: what it is set up with; the case adds the data.
        environment: that it runs in; None: ours.
        columns: which comparisons it takes part in.
        note: what its updates are.
    """

    title: str
    worker: str
    settings: dict[str, Any]
    environment: Environment | None = None
    columns: tuple[Column, ...] = COLUMNS
    note: str = ""


@dataclass(frozen=True)
class Case:
    """A method with its peers.

    Attributes:
        name: of the lines.
        data: shape, see `workers/_data.py`.
        method, ours: ours, with the settings of the comparison in fp32.
        shipped: settings in which ours as shipped differs from that.
        peers: the other sides; none: only our rate is reported.
        note: what is equal and what is not.
    """

    name: str
    data: dict[str, int]
    method: str
    ours: dict[str, Any]
    shipped: dict[str, Any]
    peers: tuple[Side, ...]
    note: str = ""

    def own(self, column: Column) -> Side:
        settings = self.ours if column == "fp32" else {**self.ours, **self.shipped}
        precision = "fp32" if column == "fp32" else "auto"
        given = {"method": self.method, "settings": settings, "precision": precision}
        return Side(f"imitari {column}", "updates_imitari.py", given)


def d3rlpy(method: str, hidden: Sequence[int], batch: int) -> Side:
    note = "Its `algo.update` on batches that its replay buffer draws."
    return Side(
        D3RLPY.title, "updates_d3rlpy.py", {"method": method, "hidden": hidden, "batch": batch}, D3RLPY, note=note
    )


def imitation(method: str, hidden: Sequence[int], batch: int) -> Side:
    title = IMITATION.title if method == "bc" else "Stable-Baselines3 2.2.1"
    given = {"method": method, "hidden": hidden, "batch": batch}
    return Side(title, "updates_imitation.py", given, IMITATION, note="Its own `train`.")


def robomimic(method: str, batch: int, **settings: Any) -> Side:
    given = {"method": method, "batch": batch, "hidden": [], "gmm": False, **settings}
    note = "Its `run_epoch` on its data set, cached whole in memory."
    return Side(ROBOMIMIC.title, "updates_robomimic.py", given, ROBOMIMIC, note=note)


def plain(method: str, hidden: Sequence[int], batch: int, **further: Any) -> tuple[Side, Side]:
    def side(fused: bool) -> Side:
        given = {"method": method, "hidden": hidden, "batch": batch, "fused": fused, **further}
        title = f"plain PyTorch, {'fused Adam' if fused else 'Adam as it comes'}"
        return Side(title, "updates_plain.py", given, note="A single-file loop of our own writing, CORL-style.")

    return side(False), side(True)


def jax(method: str, hidden: Sequence[int], batch: int, **further: Any) -> Side:
    note = "A loop of our own writing, one compiled program an update."
    given = {"method": method, "hidden": hidden, "batch": batch, **further}
    return Side(JAX.title, "updates_jax.py", given, JAX, note=note)


def lerobot(policy: str, batch: int, history: int, chunk: int, config: dict[str, Any], *columns: Column) -> Side:
    given = {"policy": policy, "batch": batch, "history": history, "chunk": chunk, "config": config}
    note = "Its `update_policy` with its presets' optimiser on windows drawn from memory, not by its data set."
    return Side(LEROBOT.title, "updates_lerobot.py", given, LEROBOT, columns or COLUMNS, note)


def cloning(hidden: list[int], batch: int) -> Case:
    return Case(
        f"behaviour cloning, {len(hidden)} x {hidden[0]}, batch {batch}",
        STEPS,
        "bc",
        {"hidden": hidden, "batch": batch},
        {},
        (
            d3rlpy("bc", hidden, batch),
            imitation("bc", hidden, batch),
            robomimic("bc", batch, hidden=hidden),
            *plain("bc", hidden, batch),
        ),
    )


ACT = {
    "chunk_size": 20, "n_action_steps": 10, "dim_model": 128, "n_heads": 4, "dim_feedforward": 256,
    "n_encoder_layers": 2, "n_vae_encoder_layers": 2,
}  # fmt: skip
SAC = {
    "utd": 1, "critics": 2, "norm": False, "actor_value": "min", "entropy_share": 1.0, "offline_ratio": 0.0,
    "batch": 256, "hidden": [256, 256],
}  # fmt: skip
UNET = {"horizon": 16, "down_dims": [64, 128, 256], "kernel_size": 5, "n_groups": 8}
CASES = (
    cloning([256, 256], 256),
    cloning([1024, 1024], 100),
    Case(
        "behaviour cloning with memory, LSTM 2 x 400, 10 steps, batch 100",
        STEPS,
        "bc_rnn",
        {"width": 400, "length": 10, "batch": 100},
        {},
        (robomimic("bc_rnn", 100, width=400, length=10, gmm=True),),
        "Both with a mixture of 5 Gaussians.",
    ),
    Case(
        "action chunking (ACT), width 128, chunk 20, batch 64",
        PARTED,
        "act",
        {"batch": 64, "clip": 10.0},
        {"clip": 0.0},
        (
            lerobot("act", 64, 1, 20, {**ACT, "dropout": 0.0, "pre_norm": True}, "fp32"),
            lerobot("act", 64, 1, 20, ACT, "as shipped"),
        ),
        "Numbers only; our encoder sees them as one token, LeRobot's as two.",
    ),
    Case(
        "diffusion policy, U-Net 64-128-256, batch 64",
        PARTED,
        "diffusion_policy",
        {"kernel": 5, "batch": 64, "ema": 0.0, "clip": 10.0},
        {"ema": 0.999, "clip": 0.0},
        (lerobot("diffusion", 64, 2, 16, UNET),),
        "Numbers only. Ours as shipped keeps an average of the weights besides.",
    ),
    Case(
        "diffusion policy, transformer 4 x 128, batch 64",
        PARTED,
        "diffusion_policy",
        {"net": "transformer", "batch": 64},
        {},
        (),
        "No peer that can be installed has this form (LeRobot 0.4.4 and robomimic 0.3.0 do not).",
    ),
    Case("flow policy, 4 x 256, batch 256", PARTED, "flow_policy", {}, {}, (), "No peer has this method."),
    Case(
        "implicit Q-learning, 2 x 256, batch 256",
        STEPS,
        "iql",
        {},
        {},
        (d3rlpy("iql", [256, 256], 256), *plain("iql", [256, 256], 256), jax("iql", [256, 256], 256)),
    ),
    Case(
        "soft actor-critic, 2 x 256, batch 256",
        STEPS,
        "rlpd",
        SAC,
        {},
        (
            d3rlpy("sac", [256, 256], 256),
            imitation("sac", [256, 256], 256),
            *plain("sac", [256, 256], 256),
            jax("sac", [256, 256], 256),
        ),
        "Updates on transitions that are there already; nobody acts.",
    ),
    Case(
        "RLPD, 10 critics of 2 x 256 with LayerNorm, batch 256",
        STEPS,
        "rlpd",
        {"utd": 1, "offline_ratio": 0.0, "batch": 256},
        {},
        (
            *plain("sac", [256, 256], 256, critics=10, norm=True),
            jax("sac", [256, 256], 256, critics=10, norm=True),
        ),
        "Updates on transitions that are there already; nobody acts. One update of critics and policy.",
    ),
    Case(
        "proximal policy optimisation, 2 x 64, batch 64",
        STEPS,
        "ppo",
        {"hidden": [64, 64], "batch": 64},
        {},
        (imitation("ppo", [64, 64], 64),),
        "Updates on a round that is there already; nobody acts.",
    ),
)


@dataclass
class Started:
    """A side with its worker, or the reason why there is none, and its rates in turns."""

    side: Side
    worker: Worker | None
    problem: str = ""
    rates: tuple[float, ...] = ()

    def fact(self, name: str) -> Any:
        return self.worker.ready[name] if self.worker else None


def lines(settings: Settings) -> Iterator[Line]:
    for case in CASES:
        yield from measured(case, settings)


def measured(case: Case, settings: Settings) -> Iterator[Line]:
    """The lines of a case, from one series of turns."""
    data = {**case.data, "episodes": 10} if settings.quick else case.data
    sides = [*(case.own(column) for column in COLUMNS), *case.peers]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda side: started(side, data), sides))
    try:
        rotate(found, settings)
    finally:
        for one in found:
            if one.worker:
                one.worker.close()
    for column, own in zip(COLUMNS, found, strict=False):
        for peer in found[len(COLUMNS) :]:
            if column in peer.side.columns:
                yield line_of(case, column, own, peer)
        if not case.peers:
            yield line_of(case, column, own, None)


def started(side: Side, data: dict[str, int]) -> Started:
    try:
        python = side.environment.ensure() if side.environment else None
        return Started(side, Worker(side.worker, python, **side.settings, data=data))
    except (NotInstalled, WorkerFailed) as problem:
        return Started(side, None, str(problem))


def rotate(found: Sequence[Started], settings: Settings) -> None:
    """Measures all sides that run, in turns."""
    running = [(one, one.worker) for one in found if one.worker]
    counts = [count_for(worker.rate, SHARE * settings.seconds) for _, worker in running]

    def measurement(worker: Worker, count: int) -> Callable[[], float]:
        return lambda: worker.rate(count, by="processor")

    sides = [measurement(worker, count) for (_, worker), count in zip(running, counts, strict=True)]
    for (one, _), rates in zip(running, in_turns(sides, settings.repeats), strict=True):
        one.rates = tuple(rates)


def line_of(case: Case, column: Column, own: Started, peer: Started | None) -> Line:
    """One comparison. Rates of sides that do unequal work are not compared."""
    line = Line(
        "updates",
        case.name,
        peer.side.title if peer else "-",
        "updates/s",
        target=TARGETS[column] if peer else None,
        precision=column,
        note=" ".join(part for part in (case.note, peer.side.note if peer else "") if part),
    )
    if not own.rates:
        return failed(line, own.problem)
    line = replace(line, ours=statistics.median(own.rates), facts=facts_of(own, peer))
    if peer is None:
        return line
    if not peer.rates:
        return failed(line, peer.problem)
    if own.fact("batch") != peer.fact("batch"):
        return failed(line, "the batches differ")
    if abs(own.fact("parameters") / peer.fact("parameters") - 1) > TOLERANCE:
        return failed(line, "the numbers of parameters differ")
    return with_numbers(line, own.rates, peer.rates)


def facts_of(own: Started, peer: Started | None) -> dict[str, Any]:
    rate, precision = statistics.median(own.rates), own.fact("precision")
    facts: dict[str, Any] = {"parameters": f"{own.fact('parameters'):,}"}
    if peer and peer.rates:
        facts["theirs"] = f"{peer.fact('parameters'):,}"
    facts["our arithmetic"] = precision
    facts["billions of operations an update"] = own.fact("operations") / 1e9
    facts["our share of the matrix-product limit"] = f"{own.fact('operations') * rate / own.fact('limit'):.0%}"
    facts["that limit, billions of operations a second"] = own.fact("limit") / 1e9
    return facts
