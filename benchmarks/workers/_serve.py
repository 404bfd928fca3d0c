"""The measuring side's loop: settings in the first argument, then one JSON answer to each JSON request.

Runs in the environments of peers too, so it needs nothing but Python.
"""

import json
import sys
import time


def settings():
    """What the harness set this worker up with."""
    return json.loads(sys.argv[1])


def serve(answer, **facts):
    """Says that set-up is done (with facts such as the number of parameters), then answers until the input ends."""
    print(json.dumps({"ready": True, **facts}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)


def timed(step):
    """An `answer` for `serve` that calls `step(count)` and gives seconds by the clock and of the processor."""

    def answer(count):
        clock, processor = time.perf_counter(), time.process_time()
        step(count)
        return {"seconds": time.perf_counter() - clock, "processor": time.process_time() - processor}

    return answer


def peak():
    """Largest resident memory of this process so far in MB, mapped pages included."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
