"""Plan a comparison: rollouts that two success rates need to be told apart.

imitari plan 0.7 0.85
imitari plan                      a table of rates and gaps
"""

from __future__ import annotations

import argparse

POWERS = (0.5, 0.8, 0.9, 0.95)
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
GAPS = (0.05, 0.1, 0.2, 0.3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rate_a", type=share, nargs="?", metavar="P_A", help="expected success of one policy, 0 to 1")
    parser.add_argument("rate_b", type=share, nargs="?", metavar="P_B", help="of the other")
    parser.add_argument(
        "--correlation", type=float, default=0.0, help="of their outcomes over starts (default 0: cautious)"
    )
    parser.add_argument("--alpha", type=float, default=0.05, help="error rate (default 0.05)")


def share(text: str) -> float:
    try:
        value = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a success rate such as 0.7 or 70%") from error
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not between 0 and 1")
    return value


def run(args: argparse.Namespace) -> int:
    from imitari.core.errors import UserError
    from imitari.evaluate.planning import rollouts_for_power, rollouts_unpaired

    if args.rate_a is None:
        return _table(args.alpha)
    if args.rate_b is None:
        raise UserError("P_B is missing: give both success rates, or none for a table")
    if args.rate_a == args.rate_b:
        raise UserError("P_A and P_B are equal: no number of rollouts tells equal policies apart")
    print(f"rollouts of each policy to tell {args.rate_a:.0%} from {args.rate_b:.0%} (error rate {args.alpha:.0%}):")
    print("chance of a verdict   same starts   independent starts")
    for power in POWERS:
        try:
            paired = rollouts_for_power(args.rate_a, args.rate_b, power, args.alpha, args.correlation)
            loose = rollouts_unpaired(args.rate_a, args.rate_b, power, args.alpha)
        except ValueError as error:
            raise UserError(str(error)) from error
        cells = ["over 1000000" if count is None else str(count) for count in (paired, loose)]
        print(f"{power:>18.0%}   {cells[0]:>11}   {cells[1]:>18}")
    print("`imitari compare A B --sequential` stops earlier when the difference is larger than planned for.")
    return 0


def _table(alpha: float) -> int:
    """Rollouts of each policy for 80 % power by the success of the worse one and the gap."""
    from imitari.evaluate.planning import rollouts_for_power

    print(f"rollouts of each policy, from the same starts, for an 80 % chance of a verdict (error rate {alpha:.0%}):")
    print("worse policy" + "".join(f"{f'+{gap:.0%}':>8}" for gap in GAPS))
    for rate in RATES:
        cells = [rollouts_for_power(rate, rate + gap, 0.8, alpha) if rate + gap <= 1 else None for gap in GAPS]
        print(f"{rate:>12.0%}" + "".join(f"{cell or '-':>8}" for cell in cells))
    return 0
