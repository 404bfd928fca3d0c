"""Rules of the structure: imports go down, methods stand alone, nobody knows their names, nothing is pickled."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "imitari"
FILES = sorted(SOURCE.rglob("*.py"))
# A layer may import the layers named here, and itself.
BELOW = {
    "core": set(),
    "data": {"core"},
    "nets": {"core"},
    "envs": {"core", "data", "plan"},
    "learn": {"core", "data", "nets"},
    "models": {"core", "data", "nets", "learn", "plan"},
    "language": {"core", "data", "nets", "learn"},
    "plan": {"core", "data"},
    "evaluate": {"core", "data", "envs"},
    "methods": {"core", "data", "nets", "learn", "models", "language", "plan"},
    "jobs": {"core", "data", "nets", "learn", "models", "language", "plan", "envs", "evaluate"},
    "claims": {"core", "data", "nets", "learn", "models", "language", "plan", "envs", "evaluate", "jobs"},
    "cli": {"core", "data", "nets", "learn", "models", "language", "plan", "envs", "evaluate", "jobs"},
}


def layer(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0]


def imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
        elif isinstance(node, ast.Import):
            found += [name.name for name in node.names]
    return found


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent != SOURCE], ids=lambda path: str(path.relative_to(SOURCE))
)
def test_imports_only_go_down(path: Path) -> None:
    own = layer(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "imitari" and len(parts) > 1 and (SOURCE / parts[1]).is_dir():
            assert parts[1] == own or parts[1] in BELOW[own], f"{path.name} ({own}) imports {name}"


def test_no_method_imports_a_method() -> None:
    for path in (SOURCE / "methods").rglob("*.py"):
        folder = path.parent.relative_to(SOURCE / "methods").parts
        mine = ".".join(("imitari", "methods", *folder)) if len(folder) > 1 else None
        for name in imports(path):
            inside = name.startswith("imitari.methods.")
            assert not inside or (mine is not None and name.startswith(mine)), f"{path} imports {name}"


def test_nobody_else_knows_a_methods_name() -> None:
    from imitari.core.registry import entries

    names = set(entries("methods"))
    for path in FILES:
        # The examples of the welcome text and the demonstration are documentation for people; the stored experts of
        # others are called after the algorithms that made them.
        if layer(path) in ("methods", "claims") or path.relative_to(SOURCE).as_posix() in (
            "cli/__init__.py",
            "cli/demo.py",
            "envs/_experts.py",
        ):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in names, f"{path}:{node.lineno} names the method '{node.value}'"


def test_nothing_is_pickled() -> None:
    forbidden = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for path in [*FILES, *Path(__file__).parent.rglob("*.py"), *(SOURCE.parent.parent / "benchmarks").rglob("*.py")]:
        tree = ast.parse(path.read_text())
        for name in imports(path):
            assert name.split(".")[0] not in forbidden, f"{path} imports {name}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("torch.load", "torch.save"), f"{path}:{node.lineno} calls {called}"
                for keyword in node.keywords:
                    assert not (
                        keyword.arg == "allow_pickle"
                        and isinstance(keyword.value, ast.Constant)
                        and keyword.value.value
                    ), f"{path}:{node.lineno} allows pickle"


def test_functions_and_files_stay_short() -> None:
    for path in FILES:
        text = path.read_text()
        assert text.count("\n") <= 450, f"{path} has {text.count(chr(10))} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 80, f"{path}:{node.lineno}: {node.name} is too long"


@pytest.mark.parametrize("words", [[], ["--help"], ["methods"], ["tasks"], ["train", "--help"], ["data", "--help"]])
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from imitari.cli import main\n"
        f"try: main({words!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'scipy', 'pyarrow', 'mujoco', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
