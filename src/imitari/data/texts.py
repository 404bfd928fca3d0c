"""Texts as demonstrations: an episode is one step, its observation a prompt and its action the response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imitari.core.columns import Column, TextColumn
from imitari.core.demos import Demos, EpisodeTable, Provenance
from imitari.core.episode import ACTION
from imitari.core.errors import UserError
from imitari.core.spec import Feature, Spec

PROMPT = "prompt"
TEXT = Feature((), "object", "text")
TEXTS = Spec({PROMPT: TEXT}, TEXT)


def text_demos(
    prompts: Sequence[str],
    responses: Sequence[str],
    provenance: Provenance | None = None,
    source: Sequence[dict[str, Any]] | None = None,
) -> Demos:
    """One episode a pair."""
    if len(prompts) != len(responses):
        raise ValueError(f"{len(prompts)} prompts and {len(responses)} responses are no pairs")
    columns: dict[str, Column] = {PROMPT: TextColumn.of(prompts), ACTION: TextColumn.of(responses)}
    return Demos(TEXTS, columns, EpisodeTable.of(np.ones(len(prompts)), source=source), provenance)


def pairs(demos: Demos) -> tuple[list[str], list[str]]:
    """Prompts and responses of all steps.

    Raises:
        UserError: when the demonstrations are no texts.
    """
    if demos.spec.action.kind != "text" or demos.spec.obs.get(PROMPT, demos.spec.action).kind != "text":
        raise UserError(f"{demos.provenance.path}: its actions are no texts: give pairs of prompt and response (JSONL)")
    if PROMPT not in demos.spec.obs:
        raise UserError(f"{demos.provenance.path}: column '{PROMPT}' is missing: there are {', '.join(demos.spec.obs)}")
    rows = demos.rows()
    prompts, responses = demos.columns[PROMPT].take(rows), demos.columns[ACTION].take(rows)
    return prompts.tolist(), responses.tolist()
