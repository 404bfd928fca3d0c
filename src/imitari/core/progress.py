"""Progress with time left: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any


class Progress:
    """Counts up to `total`. On a terminal a bar; elsewhere a line at most every `seconds`.

    Args:
        label: what is counted.
        total: the end.
        show: False: silent.
        seconds: between lines in a log.
    """

    def __init__(self, label: str, total: int, *, show: bool = True, seconds: float = 20.0) -> None:
        self.label, self.total, self.show, self.seconds = label, total, show, seconds
        self._began = self._said = time.monotonic()
        self._first: int | None = None
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self.show and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"), console=Console(stderr=True),
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=self.total, note="")
        return self

    def update(self, done: int, note: str = "") -> None:
        if not self.show:
            return
        if self._first is None:
            self._first = done
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if now - self._said >= self.seconds or done >= self.total:
            self._said = now
            share = (done - self._first) / max(1, self.total - self._first)
            left = (now - self._began) * (1 / share - 1) if share > 0 else float("nan")
            clock = f"{int(left // 60)}:{int(left % 60):02d} left" if left == left else "..."
            print(f"{self.label}: {done}/{self.total}, {clock} {note}".rstrip(), file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
