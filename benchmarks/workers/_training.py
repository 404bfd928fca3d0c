"""A training that is cut into pieces, whose policy acts through the pipe between them.

Requests: {"train": until} trains until that many processor seconds of the process went into starting and training (and
not into acting), or to the end; {"begin": count, "seed": number} freezes the policy for `count` fresh episodes;
{"act": [[...], ...]} gives the actions of one step for them all. Runs in the environments of peers too, so it needs
nothing but Python.
"""

import time

from _serve import serve


def serve_training(advance, begin, act, steps, **facts):
    """Serves a training.

    Args:
        advance: (left) -> updates done: trains for a while, with at most `left` updates.
        begin: (count, seed) -> None: puts the networks in evaluation mode and forgets the past.
        act: (observations (B, D) as lists) -> actions (B, A) as lists.
        steps: updates in all.
        facts: told when set-up is done.
    """
    spent = {"clock": 0.0, "processor": time.process_time(), "steps": 0}

    def answer(**request):
        if "train" in request:
            return trained(request["train"])
        if "begin" in request:
            begin(request["begin"], request["seed"])
            return {}
        return {"action": act(request["act"])}

    def trained(until):
        clock, processor = time.perf_counter(), time.process_time()
        before = spent["processor"]
        while spent["steps"] < steps and before + time.process_time() - processor < until:
            spent["steps"] += advance(steps - spent["steps"])
        spent["clock"] += time.perf_counter() - clock
        spent["processor"] = before + time.process_time() - processor
        return {**spent, "done": spent["steps"] >= steps}

    serve(answer, processor=spent["processor"], **facts)
