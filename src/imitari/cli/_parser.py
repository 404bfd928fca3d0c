"""Arguments: the verbs' parsers, and flags made from the fields of a settings class."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import io
import tokenize
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn

import imitari
from imitari.core import registry
from imitari.core.errors import UserError, nearest, unknown

METAVARS = {"tuple": "N"}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, and takes flags only as they are written in full."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """As in the base class, but a flag that does not exist is an error here, where those that do are known."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            flag = left[0].partition("=")[0]
            known = [option for option in self._option_string_actions if option.startswith("--")]
            hint = nearest(flag, known, f"{self.prog} --help") if flag.startswith("-") else f"leave out '{flag}'"
            raise UserError(f"unknown argument {flag}: {hint}")
        return found, left

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}: `{self.prog} --help` shows what can be said")


def build_parser(given: Sequence[str]) -> Parser:
    """The parser of all verbs; only the module of the verb that was given is imported."""
    parser = Parser(
        prog="imitari",
        description="Turns demonstrations into policies and says how sure it is. Without arguments: examples.",
    )
    parser.add_argument("--version", action="version", version=f"imitari {imitari.__version__}")
    verbs = registry.entries("cli")
    named = next((word for word in given if not word.startswith("-")), None)
    if named is not None and named not in verbs:
        raise unknown("verb", named, verbs)
    below = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True, parser_class=Parser)
    for name, entry in verbs.items():
        verb = below.add_parser(name, help=entry.description, description=entry.description)
        verb.formatter_class = argparse.RawDescriptionHelpFormatter
        if name == named:
            module = entry.load()
            verb.description = inspect.cleandoc(module.__doc__ or entry.description)
            module.add_arguments(verb)
            if hasattr(module, "add_settings_for"):
                module.add_settings_for(verb, given[given.index(named) + 1 :])
            verb.set_defaults(carry_out=module.run)
    return parser


def add_settings(parser: argparse.ArgumentParser, settings: type[Any]) -> None:
    """One flag a field of a frozen dataclass; the comment behind the field is its help."""
    comments = field_comments(settings)
    hints = typing.get_type_hints(settings)
    group = parser.add_argument_group(f"settings of {settings.name()}", _presets(settings))
    for field in dataclasses.fields(settings):
        flag = "--" + field.name.replace("_", "-")
        choices, convert, shape = reader(hints[field.name], field.name)
        group.add_argument(
            flag,
            dest=f"setting_{field.name}",
            type=convert,
            choices=choices,
            nargs="+" if shape == "tuple" else None,
            default=argparse.SUPPRESS,
            metavar=None if choices else METAVARS.get(shape, shape.upper()),
            help=f"{comments.get(field.name, '')} (default {_shown(field.default)})".replace("%", "%%").strip(),
        )


def _presets(settings: type[Any]) -> str:
    each = (
        f"--preset {name}: " + ", ".join(f"{key} {_shown(value)}" for key, value in values.items())
        for name, values in settings.presets.items()
    )
    return "\n".join(each)


def chosen_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given on the command line."""
    prefix = "setting_"
    given = {key.removeprefix(prefix): value for key, value in vars(args).items() if key.startswith(prefix)}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}


def reader(hint: Any, name: str) -> tuple[list[Any] | None, Callable[[str], Any], str]:
    """(choices, conversion, word for help) of a field's type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        kind = type(inner[0])
        return list(inner), kind, name
    if origin in (types.UnionType, typing.Union):
        kinds = [kind for kind in inner if kind is not type(None)]
        choices, convert, word = reader(kinds[0], name)
        return choices, lambda text: None if text == "none" else convert(text), word
    if origin is tuple:
        return None, _converter(inner[0], name), "tuple"
    return None, _converter(hint, name), {int: "n", float: "x", str: "text", bool: "true|false"}.get(hint, "value")


def _converter(kind: Any, name: str) -> Callable[[str], Any]:
    if kind is bool:
        return _boolean

    def convert(text: str) -> Any:
        try:
            return kind(text)
        except ValueError as error:
            word = {int: "a whole number", float: "a number"}.get(kind, "another value")
            raise argparse.ArgumentTypeError(f"setting '{name}' needs {word}, not '{text}'") from error

    return convert


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "yes", "1", "on"):
        return True
    if text.lower() in ("false", "no", "0", "off"):
        return False
    raise argparse.ArgumentTypeError(f"needs true or false, not '{text}'")


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def field_comments(settings: type[Any]) -> dict[str, str]:
    """Field name -> the comment behind it, over the class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(settings.__mro__[:-1]):
        if not dataclasses.is_dataclass(base):
            continue
        source = inspect.cleandoc("\n" + inspect.getsource(base))
        lines: dict[int, str] = {}
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                lines[token.start[0]] = token.string.lstrip("# ")
        body = ast.parse(source).body[0]
        assert isinstance(body, ast.ClassDef)
        for node in body.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno in lines:
                found[node.target.id] = lines[node.end_lineno]
    return found
