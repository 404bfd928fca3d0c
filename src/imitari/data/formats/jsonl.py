"""jsonl: pairs of prompt and response, one JSON object a line, as for supervised fine-tuning of language models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imitari.core.demos import Demos, Provenance
from imitari.core.errors import UserError
from imitari.data.opening import ReadOptions
from imitari.data.texts import pairs, text_demos

PROMPTS, RESPONSES = ("prompt", "question", "input"), ("response", "answer", "output")


def detect(path: Path) -> bool:
    return path.suffix == ".jsonl" and path.is_file()


def read(path: Path, options: ReadOptions) -> Demos:
    """Fields prompt, question or input, and response, answer or output; others by `options.fields`. Empty lines are
    passed over.

    Raises:
        UserError: naming file, line and field.
    """
    found: list[tuple[str, str]] = []
    fields: tuple[str, str] | None = options.fields
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        entry = _parsed(path, number, line)
        if fields is None:
            fields = _named(path, number, entry, PROMPTS), _named(path, number, entry, RESPONSES)
        found.append((_text(path, number, entry, fields[0]), _text(path, number, entry, fields[1])))
    if not found:
        raise UserError(f"{path}: holds no line with a JSON object: give pairs of prompt and response")
    prompts, responses = ([pair[part] for pair in found] for part in (0, 1))
    return text_demos(prompts, responses, Provenance(str(path), "jsonl"))


def write(demos: Demos, path: Path) -> None:
    """Prompts and responses of all steps."""
    prompts, responses = pairs(demos)
    lines = [
        json.dumps({"prompt": prompt, "response": response}, ensure_ascii=False)
        for prompt, response in zip(prompts, responses, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is no UTF-8: convert the file to UTF-8") from error


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {number} is no JSON ({error.msg}): correct or delete it") from error
    if not isinstance(entry, dict):
        raise UserError(f"{path}: line {number} is no JSON object: each line needs fields for prompt and response")
    return entry


def _named(path: Path, number: int, entry: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if name in entry:
            return name
    raise UserError(
        f"{path}: line {number}: field '{names[0]}' is missing (or {', '.join(names[1:])}): it has "
        f"{', '.join(entry) or 'none'}; name others with --fields PROMPT RESPONSE"
    )


def _text(path: Path, number: int, entry: dict[str, Any], field: str) -> str:
    if field not in entry:
        raise UserError(f"{path}: line {number}: field '{field}' is missing: correct or delete the line")
    value = entry[field]
    if not isinstance(value, str):
        kind = type(value).__name__
        raise UserError(f"{path}: line {number}: field '{field}' is {kind} and no text: correct or delete the line")
    return value
