"""Seconds until `imitari` answers: each command in fresh processes, the median of ten.

The floor is Python itself with what an installed script imports; the target for help and lists is 0.4 s.

    python benchmarks/startup.py [--repeats 10]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

TARGET = 0.4
COMMANDS: dict[str, list[str]] = {
    "python alone": ["-c", "pass"],
    "import imitari": ["-c", "import imitari"],
    "imitari": ["-m", "imitari"],
    "imitari --help": ["-m", "imitari", "--help"],
    "imitari methods": ["-m", "imitari", "methods"],
    "imitari tasks": ["-m", "imitari", "tasks"],
    "imitari claim": ["-m", "imitari", "claim"],
    "imitari train --help": ["-m", "imitari", "train", "--help"],
    "imitari data formats": ["-m", "imitari", "data", "formats"],
    "an unknown verb": ["-m", "imitari", "trian"],
    "imitari train bc --help (loads torch)": ["-m", "imitari", "train", "bc", "--help"],
}
HEAVY = {"imitari train bc --help (loads torch)"}


def seconds(words: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, *words], capture_output=True, check=False)
    return time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    repeats = parser.parse_args().repeats
    late: list[str] = []
    for name, words in COMMANDS.items():
        seconds(words)  # the first one fills the system's file cache
        times = sorted(seconds(words) for _ in range(repeats))
        middle = statistics.median(times)
        print(f"{name:<40} {middle:6.3f} s   ({times[0]:.3f} to {times[-1]:.3f})", flush=True)
        if middle > TARGET and name not in HEAVY:
            late.append(name)
    print(f"over {TARGET} s: {', '.join(late) or 'none'}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
