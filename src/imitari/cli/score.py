"""What a language model says of given texts: likelihood, entropy, and the reward that its logits imply.

  imitari score RUN --data texts.jsonl [--each] [--json FILE]

The reward of a text is the sum over its tokens of Q(s, a) - gamma V(s'), where Q are the logits and V is their
log-sum-exp: what inverse soft Q-learning has learned. With --each, one line a text, the best rewarded first.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder that `imitari train --out` wrote")
    parser.add_argument("--data", action="append", required=True, help="pairs of prompt and response; repeat to join")
    parser.add_argument("--format", help="format of the data (recognised when not given)")
    parser.add_argument("--fields", nargs=2, metavar=("PROMPT", "RESPONSE"), help="fields of the lines of texts")
    parser.add_argument("--gamma", type=float, default=1.0, help="discount a token in rewards (default 1)")
    parser.add_argument("--batch", type=int, default=32, help="texts read together (default 32)")
    parser.add_argument("--each", action="store_true", help="also one line a text")
    parser.add_argument("--json", type=Path, help="also write all numbers here")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")


def run(args: argparse.Namespace) -> int:
    import json

    import numpy as np

    from imitari.core.demos import Demos
    from imitari.core.errors import UserError
    from imitari.core.files import replace_text
    from imitari.data.opening import ReadOptions, open_demos
    from imitari.data.texts import pairs
    from imitari.language.learner import writer_of
    from imitari.language.scores import score_texts

    if args.batch < 1 or not 0 <= args.gamma <= 1:
        raise UserError(f"--batch is {args.batch}, --gamma {args.gamma:g}: at least 1, and between 0 and 1")
    options = ReadOptions(fields=tuple(args.fields) if args.fields else None)
    prompts, texts = pairs(Demos.concat([open_demos(path, args.format, options) for path in args.data]))
    found = score_texts(writer_of(args.run, args.device), prompts, texts, args.gamma, args.batch)
    prompts, texts = ([side[which] for which in found.which.tolist()] for side in (prompts, texts))
    tokens, reward = found.tokens, found.reward
    print(
        f"{len(texts)} texts, {int(tokens.sum())} tokens: {-found.log_likelihood.sum() / tokens.sum():.4f} nats a "
        f"token, entropy {found.entropy.sum() / tokens.sum():.4f} nats a token, reward {reward.mean():.4f} a text"
    )
    if args.each:
        for row in np.argsort(-reward).tolist():
            print(f"{reward[row]:10.3f} {found.log_likelihood[row]:10.3f}  {prompts[row]!r} {texts[row]!r}")
    if args.json:
        columns = {"reward": reward, "log_likelihood": found.log_likelihood, "entropy": found.entropy, "tokens": tokens}
        rows = [
            {"prompt": prompt, "response": text, **{key: float(value[row]) for key, value in columns.items()}}
            for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True))
        ]
        replace_text(args.json, json.dumps(rows, indent=1, ensure_ascii=False), "choose another --json")
    return 0
