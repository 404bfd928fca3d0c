"""What `imitari demo` runs: two methods on one task, small enough for a few minutes on two cores."""

from __future__ import annotations

TASK = "metaworld/pick-place-v3"
DEMONSTRATIONS = 50
STEPS = 3_000
METHODS: dict[str, tuple[str, ...]] = {
    "bc": ("--head", "mse", "--batch", "128"),
    "flow_policy": ("--width", "128", "--depth", "3", "--batch", "128", "--ema", "0.99"),
}
