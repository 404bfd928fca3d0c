"""Ask what a pretrained encoder knows: linear regression of known quantities from its vectors.

  imitari probe RUN --data PATH --target observation.state [--json FILE]

R2 is the share of a quantity's variance, over episodes that were held out, that the regression explains.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder that a pretraining method was trained into")
    parser.add_argument("--data", required=True, action="append", help="demonstrations; repeat to join several")
    parser.add_argument("--target", required=True, help="observation whose numbers are asked for")
    parser.add_argument("--format", help="format of the data (recognised when not given)")
    parser.add_argument("--task", help="see `imitari tasks`: tells names and angles that the data does not say")
    parser.add_argument("--holdout", type=float, default=0.25, help="share of episodes that judge (default 0.25)")
    parser.add_argument("--seed", type=int, default=0, help="of their choice (default 0)")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")


def run(args: argparse.Namespace) -> int:
    import json

    from imitari.core.demos import Demos
    from imitari.core.errors import UserError
    from imitari.core.files import replace_text
    from imitari.data.opening import ReadOptions, open_demos
    from imitari.envs import task_named
    from imitari.jobs.probing import eyes_of, probed, split
    from imitari.learn.agent import Agent

    if not 0 < args.holdout < 1:
        raise UserError(f"--holdout is {args.holdout:g}: it must be above 0 and below 1")
    agent = Agent.load(args.run, args.device)
    cameras = agent.spec.images
    side = next(iter(cameras.values())).shape[0] if cameras else None
    options = ReadOptions(pixels=side, cameras=tuple(cameras))
    demos = Demos.concat([open_demos(path, args.format, options) for path in args.data])
    demos = demos.with_spec(demos.spec.annotated(task_named(args.task).spec)) if args.task else demos
    if args.target not in demos.spec.obs:
        raise UserError(
            f"observation '{args.target}' is not there: choose --target from {', '.join(demos.spec.numbers)}"
        )
    demos = demos.select([*(key for key in demos.spec.images if key in cameras), args.target])
    eyes = eyes_of(agent, demos, str(args.run))
    found = probed(eyes, *split(demos, args.seed, args.holdout), args.target)
    for key, value in found.r2.items():
        print(f"{key:<24} R2 {value:.3f}")
    width = eyes.encoder.width
    print(f"mean R2 {found.mean:.3f}; spread {found.spread:.3f} (0: one point), rank {found.rank:.1f} of {width}")
    if args.json:
        facts = {"run": str(args.run), "r2": found.r2, "mean": found.mean, "spread": found.spread, "rank": found.rank}
        replace_text(args.json, json.dumps(facts, indent=1), "choose another --json")
    return 0
