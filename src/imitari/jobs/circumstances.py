"""Under which circumstances numbers were made: machine, versions, commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import imitari

PACKAGES = ("torch", "numpy", "scipy", "gymnasium", "mujoco", "metaworld")


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, memory in GiB, operating system."""
    model = platform.processor() or platform.machine()
    memory = float("nan")
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return {"cpu": model, "cores": cores, "memory_gib": round(memory, 1), "system": platform.system()}


@cache
def versions() -> dict[str, str]:
    """Of Python, this package and what it computes with."""
    found = {"python": platform.python_version(), "imitari": imitari.__version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str:
    """The commit of the checkout, with "+" when its source was changed since; the version for an installed copy.

    As it was at the first call, near the moment when this process read the source."""
    source = Path(imitari.__file__).parent
    if not (source.parent.parent / ".git").exists():
        return f"version {imitari.__version__}"
    head = _git(source, "rev-parse", "--short=12", "HEAD")
    if head is None:
        return f"version {imitari.__version__}"
    return head + ("+" if _git(source, "status", "--porcelain", "--untracked-files=no", ".") else "")


def checkout() -> Path | None:
    """The root of the checkout that this code runs from, or None for an installed copy."""
    root = Path(imitari.__file__).parents[2]
    return root if (root / "pyproject.toml").exists() else None


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
