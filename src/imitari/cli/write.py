"""Let a language model write answers to prompts.

  imitari write RUN --prompt TEXT [--prompt TEXT ...] [--count 5] [--temperature 0.7] [--beams 4]

How it writes is how it was trained to, where no flag says otherwise.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder that `imitari train --out` wrote")
    parser.add_argument("--prompt", action="append", required=True, help="what to answer; repeat for several")
    parser.add_argument("--count", type=int, default=1, help="answers to each prompt (default 1)")
    parser.add_argument("--temperature", type=float, help="0: the likeliest token")
    parser.add_argument("--top-k", type=int, help="draw from the k likeliest tokens alone; 0: from all")
    parser.add_argument("--top-p", type=float, help="draw from the likeliest tokens whose shares reach p")
    parser.add_argument("--beams", type=int, help="of more than one: the likeliest text that a beam search finds")
    parser.add_argument("--limit", type=int, help="tokens of an answer, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")


def run(args: argparse.Namespace) -> int:
    import dataclasses

    import torch

    from imitari.core.errors import UserError
    from imitari.evaluate.texts import distinct_fraction, self_bleu
    from imitari.language.learner import writer_of

    if args.count < 1:
        raise UserError(f"--count is {args.count}: it must be at least 1")
    writer = writer_of(args.run, args.device)
    names = ("temperature", "top_k", "top_p", "beams", "limit")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    torch.manual_seed(args.seed)
    prompts = [prompt for prompt in args.prompt for _ in range(args.count)]
    texts = writer.answers(prompts, dataclasses.replace(writer.sampling, **given))
    for prompt, text in zip(prompts, texts, strict=True):
        print(f"{prompt} {text}")
    if args.count > 1:
        groups = [texts[first : first + args.count] for first in range(0, len(texts), args.count)]
        words, characters = self_bleu(groups).mean(), self_bleu(groups, words=False).mean()
        print(
            f"of {args.count} answers {distinct_fraction(groups).mean():.0%} are distinct; Self-BLEU {words:.3f} of "
            f"words, {characters:.3f} of characters (1: all the same)"
        )
    return 0
