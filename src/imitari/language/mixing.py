"""Training on a mixture of the data's texts and texts that the model writes itself, to prompts of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imitari.core.batch import Batch
from imitari.core.demos import Demos
from imitari.core.episode import Array
from imitari.core.errors import UserError
from imitari.core.progress import Progress
from imitari.data.sampling import Batches, Order
from imitari.language.batches import Packed, TokenBatches
from imitari.language.fitting import Fitting, TextSettings
from imitari.language.sampler import Sampling
from imitari.learn.agent import Agent
from imitari.learn.run import Run

OWN = "own"  # of a batch: (B,) True where the model wrote the text itself


@dataclass(frozen=True)
class MixedSettings(TextSettings):
    """Settings of methods whose model writes while it learns."""

    refresh: int = 20  # steps between writings
    fresh: int = 128  # texts written each time

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refresh < 1 or self.fresh < 1:
            raise UserError(f"refresh {self.refresh}, fresh {self.fresh}: both must be at least 1")


def fit_mixed(method: MixedSettings, demos: Demos, run: Run, own: int, begin: int = 0) -> Agent:
    """Rounds of writing and updates, each a function of weights, seed and number; resumed after the last whole round.

    Args:
        own: texts of the model's own in a batch, beside `method.batch` of the data.
        begin: steps without own texts before the first writing.

    Raises:
        UserError: when several processes train together.
    """
    if run.processes.count > 1:
        raise UserError(f"method '{method.name()}' writes while it learns, in one process: leave out torchrun")
    fitting = Fitting(method, demos, run)
    updates = run.begin(fitting.learner, method.optim(), method.steps, fitting.scale)
    expert = Batches(fitting.sampler, method.batch, run.seed)
    done = updates.first
    with Progress("train", method.steps, show=run.show) as progress:
        while done < method.steps:
            mixed = MixedTexts(fitting, done, method) if done >= begin else None
            until = min(method.steps, done + method.refresh, *([begin] if mixed is None else []))
            while done < until:
                index = expert.indices(done)
                updates.step(done, mixed.batch(index, own, done) if mixed else fitting.sampler.gather(index))
                done += 1
                if done % run.report_every == 0 or done == method.steps:
                    further = fitting.check(done) if done % fitting.every == 0 or done == method.steps else {}
                    progress.update(done, f"loss {updates.report(done, further):.4g}")
            if updates.due(done):
                updates.save(done)
    updates.finish()
    return fitting.finished()


class MixedTexts:
    """The data's texts, and texts that the model writes now, in one packed array.

    Args:
        fitting: the data, and the model that writes.
        done: steps up to now; they choose the prompts.
        method: how many texts are written, and when.
    """

    def __init__(self, fitting: Fitting, done: int, method: MixedSettings) -> None:
        learner, data, end = fitting.learner, fitting.packed, fitting.learner.tokens.end
        order = Order(len(data), method.fresh, fitting.run.seed + 1)
        prompts = [fitting.prompts[one] for one in order(done // method.refresh).tolist()]
        learner.eval()
        responses = learner.written(prompts, Sampling(limit=method.response))
        learner.train()
        own = Packed.of(prompts, responses, end, fitting.longest)
        self.data, self.own, self.seed = len(data), len(own), fitting.run.seed
        self.sampler = TokenBatches(data.joined(own), learner.tokens.pad)

    def batch(self, expert: Array, count: int, number: int) -> Batch:
        """The data's texts `expert`, and then `count` of the model's own, drawn with the number of the batch."""
        drawn = np.random.default_rng([self.seed, number, 0x0117]).integers(self.own, size=count)
        index = np.concatenate([expert, self.data + drawn])
        batch = self.sampler.gather(index)
        batch.extra[OWN] = index >= self.data
        return batch
