"""`python -m imitari.jobs FOLDER`: carries out one job on one thread. With --leash it ends when its parent does."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from pathlib import Path

from imitari.core.errors import Missing, UserError
from imitari.jobs.folder import ERROR, write_json


def main(words: list[str]) -> int:
    """Exit status 0 done, 2 bad input, 3 something is missing, 1 a defect; the sentence goes to error.json."""
    folder = Path(words[0])
    if "--leash" in words:
        threading.Thread(target=_follow_parent, daemon=True).start()
    (folder / ERROR).unlink(missing_ok=True)
    try:
        import torch

        torch.set_num_threads(1)
        from imitari.jobs.carrying import carry_out

        carry_out(folder)
    except UserError as error:
        facts = {"status": error.status, "sentence": str(error)}
        if isinstance(error, Missing):
            facts["component"] = error.component
        write_json(folder / ERROR, facts)
        print(f"imitari: {error}", file=sys.stderr)
        return error.status
    except Exception as error:
        traceback.print_exc()
        write_json(folder / ERROR, {"status": 1, "sentence": f"{type(error).__name__}: {error}"})
        return 1
    return 0


def _follow_parent() -> None:
    """Standard input is a pipe that the parent holds: it closes when the parent ends, however it ends."""
    while os.read(0, 1):  # not sys.stdin: its lock would still be held when the interpreter ends
        pass
    os._exit(75)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
