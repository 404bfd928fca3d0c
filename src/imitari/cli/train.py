"""Train a method on demonstrations.

  imitari train METHOD --data PATH --task TASK --seed N --out DIR [--preset small] [settings of the method]

The same command again resumes a training that was cut off, bit for bit.

Several processes train one policy, each with its own batch (so that batches grow with their number):
  torchrun --nproc-per-node 2 -m imitari train METHOD --data PATH ...
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from imitari.cli._parser import add_settings, chosen_settings
from imitari.core import registry
from imitari.core.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", help="see `imitari methods`; its settings become flags")
    parser.add_argument(
        "--data",
        action="append",
        help="path or Hub id of demonstrations; repeat to join several. NAME=PATH or NAME=PATH*WEIGHT keeps several "
        "apart: each has a scaling of its own, is drawn as often as its weight says, and may lack observations that "
        "others have",
    )
    parser.add_argument(
        "--play",
        action="append",
        help="path or Hub id of episodes of unknown quality, for methods that learn from both: those of --data are "
        "marked as an expert's (column 'expert'); repeat to join several",
    )
    parser.add_argument("--format", help="format of the data (recognised when not given)")
    parser.add_argument(
        "--fields",
        nargs=2,
        metavar=("PROMPT", "RESPONSE"),
        help="fields of the lines of texts (default: prompt, question or input; response, answer or output)",
    )
    parser.add_argument(
        "--task", help="see `imitari tasks`: tells names, bounds and angles, and is where some methods act"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and noise (default 0)")
    parser.add_argument("--preset", help="a named group of settings (small, paper)")
    parser.add_argument("--obs", nargs="+", help="observations to use (default: all that the task has too)")
    parser.add_argument("--pixels", type=int, help="side of camera images; without it images are left out")
    parser.add_argument("--episodes", type=int, help="use only so many demonstrations, drawn with the seed")
    parser.add_argument(
        "--holdout", type=float, default=0.0, help="share of episodes kept for a held-out loss (default 0)"
    )
    parser.add_argument(
        "--encoder", help="folder of a pretrained encoder: pictures are embedded by it, once, and it stays as it is"
    )
    parser.add_argument(
        "--tune-encoder", action="store_true", help="instead begin with the weights of --encoder and train them further"
    )
    parser.add_argument(
        "--instruction",
        help="also observe the text of each episode's task, as vectors: words (hashed word counts) or random (each "
        "text by itself), both with :WIDTH if not 64, or the folder of a sentence encoder",
    )
    parser.add_argument("--symmetry", action="store_true", help="also train on the task's mirror images of the data")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--precision", default="auto", choices=["auto", "fp32", "bf32", "bf16"], help="arithmetic (default auto)"
    )
    parser.add_argument(
        "--compile", default="auto", choices=["auto", "on", "off"], help="compile the update (default auto)"
    )
    parser.add_argument("--track", nargs="+", default=[], help="also send metrics to: tensorboard, wandb, trackio")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def add_settings_for(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Adds the settings of the method that the command line names, as flags."""
    name = _method_in(words)
    if name is None:
        known = registry.entries("methods")
        width = max(map(len, known))
        listed = "\n".join(f"  {entry.name:<{width}}  {entry.description}" for entry in known.values())
        parser.epilog = f"methods (`imitari train METHOD --help` shows the settings of one):\n{listed}"
        return
    from imitari.learn.method import method_class

    add_settings(parser, method_class(name))


def _method_in(words: Sequence[str]) -> str | None:
    """The first word, or the first method's name that is no flag's value."""
    if words and not words[0].startswith("-"):
        return words[0]
    known = registry.entries("methods")
    for before, word in pairwise(words):
        if word in known and (before == "--quiet" or not before.startswith("-")):
            return word
    return None


def run(args: argparse.Namespace) -> int:
    from imitari.jobs.training import TrainRequest, train
    from imitari.learn.processes import Processes

    if args.out.is_file():
        raise UserError(f"{args.out}: is a file: give a folder as --out")
    request = TrainRequest(
        method=args.method,
        settings=chosen_settings(args),
        preset=args.preset,
        data=tuple(args.data or ()),
        play=tuple(args.play or ()),
        format=args.format,
        fields=tuple(args.fields) if args.fields else None,
        task=args.task,
        seed=args.seed,
        obs=tuple(args.obs) if args.obs else None,
        pixels=args.pixels,
        episodes=args.episodes,
        holdout=args.holdout,
        symmetry=args.symmetry,
        encoder=args.encoder,
        tune_encoder=args.tune_encoder,
        instruction=args.instruction,
        device=args.device,
        precision=args.precision,
        compile=args.compile,
        trackers=tuple(args.track),
        show=not args.quiet,
    )
    agent = train(request, args.out)
    if not Processes.here().first:
        return 0
    print(f"trained {args.method}: {args.out} (agent {agent.identity()})")
    if not agent.method.acts:
        print(f"next: imitari probe {args.out} --data PATH --target observation.state")
        print(f"  or: imitari train METHOD --encoder {args.out} --data PATH")
    elif args.task:
        print(f"next: imitari evaluate {args.out} --task {args.task} --episodes 100")
    return 0
