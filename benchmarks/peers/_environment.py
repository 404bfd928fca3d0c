"""A virtual environment of a peer's own: pinned, built when it is first asked for, reported when it cannot be."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import ROOT


class NotInstalled(Exception):
    """The peer's environment could not be built; the message says why, in a line."""


@dataclass(frozen=True)
class Environment:
    """How to build it.

    Attributes:
        name: folder below .venvs/.
        version: shown beside the peer's name.
        requirements: lists of arguments for `pip install`, one call each, in this order. Torch comes first and exactly,
            so that no requirement brings another build of it.
        check: Python code that must run.
        prepare: called before the packages are installed (system libraries).
        finish: called with the site-packages folder after they were.
    """

    name: str
    version: str
    requirements: tuple[tuple[str, ...], ...]
    check: str
    prepare: Callable[[], None] | None = None
    finish: Callable[[Path], None] | None = None

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def python(self) -> Path:
        return ROOT / ".venvs" / self.name / "bin" / "python"

    def ensure(self) -> Path:
        """The interpreter of a working environment.

        Raises:
            NotInstalled: with the reason.
        """
        self.python.parent.parent.parent.mkdir(exist_ok=True)
        with open(self.python.parent.parent.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two runs that begin together build it once
            return self._ensure()

    def _ensure(self) -> Path:
        if self.python.exists() and self._works() is None:
            return self.python
        print(f"building .venvs/{self.name} (some minutes, once)", file=sys.stderr, flush=True)
        if self.prepare:
            self.prepare()
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(self.python.parent.parent)], check=True)
        for arguments in self.requirements:
            self._run("-m", "pip", "install", "--quiet", *arguments)
        if self.finish:
            self.finish(Path(self._run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()))
        problem = self._works()
        if problem:
            raise NotInstalled(problem)
        return self.python

    def _works(self) -> str | None:
        """None, or the last line of what went wrong."""
        done = subprocess.run([str(self.python), "-c", self.check], capture_output=True, text=True)
        return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it does not start"])[-1]

    def _run(self, *words: str) -> str:
        done = subprocess.run([str(self.python), *words], capture_output=True, text=True)
        if done.returncode:
            raise NotInstalled((done.stderr.strip().splitlines() or [f"{words[-1]} failed"])[-1])
        return done.stdout
