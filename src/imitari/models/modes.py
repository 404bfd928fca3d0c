"""Modes of a task, found from what succeeded and what failed: a failure must have a forbidden step, a success none.

Source: Wang, Wang, Mao, Hagenow & Shah 2024, "Grounding Language Plans in Demonstrations Through Counterfactual
Perturbations", and its released code for two dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from imitari.core.batch import Batch
from imitari.core.errors import UserError
from imitari.learn.learner import Learner

SHARPNESS = 8.0  # half the range of states in the units of the network: the first guesses then have sharp borders
PLACES = 512  # over the whole range of states, at which the plainest plan is asked for
SUCCEEDED, BEGUN = "succeeded", "begun"


@dataclass(frozen=True)
class Weights:
    """Of the terms of the loss."""

    success: float = 1000.0
    failure: float = 1.0
    first: float = 10.0
    last: float = 10.0
    elsewhere: float = 0.0  # of all modes but the first, at places all over the range of states


class ModeClassifier(Learner):
    """Several guesses at once of which mode a state belongs to, with one hidden layer between them.

    Args:
        width: of a state.
        feasible: (K, K), 0 where a step from mode i to mode j is possible, negative where it is not.
        guesses: G.
        hidden: width of the layer.
        weights: of the terms.
        best_share: weight of the best guess's loss; the mean of all has the rest.
    """

    feasible: Tensor
    best: Tensor
    kept: Tensor
    places: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        width: int,
        feasible: Sequence[Sequence[float]],
        guesses: int = 10,
        hidden: int = 128,
        weights: Weights | None = None,
        best_share: float = 0.9,
    ) -> None:
        super().__init__()
        self.modes, self.guesses = len(feasible), guesses
        self.weights, self.best_share = weights or Weights(), best_share
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, self.modes * guesses))
        self._spread_kinks()
        self.register_buffer("feasible", torch.tensor(feasible, dtype=torch.float32))
        self.register_buffer("best", torch.tensor(0))
        self.register_buffer("kept", torch.arange(guesses) >= 0)
        # In the units of the network.
        evenly = 2 * torch.quasirandom.SobolEngine(width).draw(PLACES) - 1
        self.register_buffer("places", SHARPNESS * evenly, persistent=False)
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    @torch.no_grad()
    def _spread_kinks(self) -> None:
        """Lets every hidden unit begin to rise at a random place of the range: with the usual small biases all do so
        near its middle, and the modes can only be sectors around that."""
        unit = self.net[0]
        assert isinstance(unit, nn.Linear)
        places = SHARPNESS * (2 * torch.rand_like(unit.weight) - 1)
        unit.bias.copy_(-(unit.weight * places).sum(1))

    def fit_range(self, states: Tensor) -> None:
        """Takes the middle and half the range of states (N, D) as the origin and the unit."""
        low, high = states.amin(0), states.amax(0)
        self.centre.copy_((low + high) / 2)
        self.spread.copy_(((high - low) / 2).clamp(min=1e-6))

    def log_chances(self, states: Tensor) -> Tensor:
        """States (..., D) to log p (..., G, K)."""
        each = self._by_guess(self._inside(states.reshape(-1, states.shape[-1])), torch.ones_like(self.kept))
        return each.permute(2, 0, 1).unflatten(0, states.shape[:-1])

    def _inside(self, states: Tensor) -> Tensor:
        return SHARPNESS * (states - self.centre) / self.spread

    def _by_guess(self, inside: Tensor, which: Tensor) -> Tensor:
        """States (N, D) in the units of the network to log p (G', K, N) of the guesses that `which` (G,) marks: in
        this order the few modes cost no more than their arithmetic."""
        first, between, last = self.net
        assert isinstance(last, nn.Linear)
        weight, bias = (part.unflatten(0, (self.guesses, self.modes))[which] for part in (last.weight, last.bias))
        scores = torch.addmm(bias.flatten().unsqueeze(1), weight.flatten(0, 1), between(first(inside)).T)
        return functional.log_softmax(scores.float().unflatten(0, (-1, self.modes)), 1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """0.1 of the mean and 0.9 of the least over the kept guesses of the explanation loss.

        The batch holds paths (B, T, D) as the only observation and whether each succeeded as `extra["succeeded"]`.
        """
        (paths,) = batch.obs.values()
        each = self.explanation(paths, batch.extra[SUCCEEDED].bool())
        return {
            "best_guess_loss": self.best_share * each.min(),
            "mean_guess_loss": (1 - self.best_share) * each.mean(),
        }

    def everywhere(self) -> Tensor:
        """States (N, D) all over the range."""
        return self.places / SHARPNESS * self.spread + self.centre

    def explanation(self, paths: Tensor, succeeded: Tensor) -> Tensor:
        """Loss (G',) of each kept guess: how badly it explains which paths (B, T, D) succeeded (B,)."""
        log_chance = self._by_guess(self._inside(paths.flatten(0, 1)), self.kept).unflatten(-1, paths.shape[:2])
        step = step_feasibility(log_chance.exp(), self.feasible)
        first, last = -log_chance[:, 0, :, 0], -log_chance[:, -1, :, -1]  # guess, mode, path, point
        good, bad = succeeded, ~succeeded
        weights = self.weights
        explained = (
            -weights.success * step[:, good].mean((1, 2))
            + weights.failure * step[:, bad].sum(2).clamp(min=-1.0).mean(1)
            + weights.first * (first[:, good].mean(1) + first[:, bad].mean(1))
            + weights.last * (last[:, good].mean(1) + last[:, bad].mean(1))
        )
        return explained + weights.elsewhere * self.elsewhere() if weights.elsewhere else explained

    def elsewhere(self) -> Tensor:
        """Share (G',) of the range of states that each kept guess gives to other modes than the first."""
        return 1 - self._by_guess(self.places, self.kept)[:, 0].exp().mean(1)

    @torch.no_grad()
    def predicted(self, paths: Tensor) -> Tensor:
        """Whether each guess expects each path (B, T, D) to succeed: no forbidden step between the likeliest modes, and
        the end in the last one. (B, G) bool."""
        mode = self.log_chances(paths).argmax(-1)
        allowed = (self.feasible[mode[:, :-1], mode[:, 1:]] >= 0).all(1)
        return allowed & (mode[:, -1] == self.modes - 1)

    @torch.no_grad()
    def sift(self, paths: Tensor, succeeded: Tensor, count: int) -> None:
        """Keeps only the `count` guesses that explain held-out paths (B, T, D) best, of those kept so far."""
        order = self.explanation(paths, succeeded).argsort()
        chosen = self.kept.nonzero()[order[:count], 0]
        self.kept.zero_()
        self.kept[chosen] = True

    @torch.no_grad()
    def choose(self, paths: Tensor, succeeded: Tensor) -> Tensor:
        """Takes the kept guess that predicts best which of the held-out paths succeeded; the accuracies (G',) of the
        kept ones."""
        accuracy = (self.predicted(paths) == succeeded[:, None]).float().mean(0)[self.kept]
        loss = self.explanation(paths, succeeded)
        # Of guesses with equal accuracy the one of least loss.
        self.best.copy_(self.kept.nonzero()[(accuracy - 1e-6 * loss.argsort().argsort()).argmax(), 0])
        return accuracy

    @torch.no_grad()
    def modes_of(self, states: Tensor) -> Tensor:
        """States (..., D) to the numbers (...) of their modes, by the chosen guess."""
        chosen = torch.arange(self.guesses, device=states.device) == self.best
        each = self._by_guess(self._inside(states.reshape(-1, states.shape[-1])), chosen)
        return each[0].argmax(0).view(states.shape[:-1])


class Beginning(Learner):
    """Lets guesses begin as regions that are given: `extra["begun"]` (B, G) are the modes of states (B, D)."""

    def __init__(self, classifier: ModeClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        (states,) = batch.obs.values()
        chance = self.classifier.log_chances(states)
        return {"region_loss": functional.nll_loss(chance.flatten(0, 1), batch.extra[BEGUN].flatten().long())}


def step_feasibility(chance: Tensor, feasible: Tensor) -> Tensor:
    """p_t^T F p_{t+1} of consecutive states: chances (G, K, B, T) to (G, B, T - 1), 0 where surely feasible."""
    reached = (feasible.T @ chance.flatten(2)).view_as(chance)
    return (reached[..., :-1] * chance[..., 1:]).sum(1)


def successors(feasible: Sequence[Sequence[float]]) -> list[int]:
    """The mode to go to from each of K modes: along a way of fewest steps that are possible to the last one.

    From the last it is K, which stands for the end.

    Raises:
        UserError: when the last mode cannot be reached from one.
    """
    count = len(feasible)
    steps = [0 if mode == count - 1 else count for mode in range(count)]
    following = [count] * count
    for _ in range(count):
        for here, row in enumerate(feasible[:-1]):
            best = min(
                (there for there in range(count) if row[there] == 0), key=lambda there: steps[there], default=here
            )
            if steps[best] + 1 < steps[here]:
                steps[here], following[here] = steps[best] + 1, best
    for mode in range(count - 1):
        if following[mode] == count:
            raise UserError(
                f"the plan leads nowhere: from mode {mode + 1} no possible steps lead to the last one, see 'feasible'"
            )
    return following
