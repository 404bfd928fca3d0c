"""A look into a trained encoder: what of a data set's known quantities its vectors tell."""

from __future__ import annotations

import numpy as np

from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.evaluate.probe import Probed, probe
from imitari.learn.agent import Agent
from imitari.learn.eyes import Eyes, named

HELD = 0.25  # share of episodes that judge


def eyes_of(agent: Agent, demos: Demos, where: str, tuned: bool = False) -> Eyes:
    """The encoder of an agent, for the cameras of `demos`.

    Raises:
        UserError: when the agent is a policy or its pictures are others; `where` names it.
    """
    if agent.method.acts:
        raise UserError(f"{where}: holds a policy: give a folder that a pretraining method wrote")
    try:
        return Eyes.of(agent.learner.get_submodule("encoder"), demos.spec, agent.identity(), tuned)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def probed(eyes: Eyes, seen: Demos, held: Demos, target: str) -> Probed:
    """Ridge regression of the column `target` on the vectors of all cameras side by side.

    Args:
        eyes: to look with.
        seen, held: episodes to fit on, and to judge on.
        target: an observation of numbers.
    """
    feature = seen.spec.obs.get(target)
    if feature is None:
        raise UserError(f"observation '{target}' is not there: choose --target from {', '.join(seen.spec.numbers)}")
    return probe(_pairs(eyes, seen, target), _pairs(eyes, held, target), feature, target)


def split(demos: Demos, seed: int, share: float = HELD) -> tuple[Demos, Demos]:
    """Episodes to fit on and episodes to judge on."""
    seen, held = demos.split(share, seed)
    if held is None:
        raise UserError(f"{demos.provenance.path}: has too few episodes to hold some out: use more")
    return seen, held


def _pairs(eyes: Eyes, demos: Demos, target: str) -> tuple[Array, Array]:
    embedded, rows = eyes.embedded(demos), demos.rows()
    vectors = [embedded.columns[named(key)].take(rows) for key in eyes.cameras]
    return np.concatenate(vectors, 1), demos.columns[target].take(rows)
