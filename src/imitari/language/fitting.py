"""Fitting language models to pairs of prompt and response: settings, the data, and held-out likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from imitari.core.demos import Demos
from imitari.core.errors import UserError
from imitari.core.spec import Spec
from imitari.core.task import Task
from imitari.data.sampling import Batches
from imitari.data.scaling import Scaler
from imitari.data.texts import pairs
from imitari.language.batches import Packed, TokenBatches, packed_texts
from imitari.language.learner import TextLearner, writer_of
from imitari.language.pretrained import open_pretrained, rebuilt_pretrained
from imitari.language.sampler import Sampling
from imitari.language.scores import text_scores
from imitari.language.tokenizer import Kind, Tokenizer, Tokens
from imitari.learn.agent import Agent
from imitari.learn.cloning import finished, fit_facts
from imitari.learn.learner import Learner
from imitari.learn.method import Need, Trained
from imitari.learn.precision import autocast, choose
from imitari.learn.run import Run
from imitari.learn.scaled import DeviceScaler
from imitari.nets.causal import CausalTransformer

CHECK_TEXTS = 1024  # held-out likelihood is measured on this many texts, the same at every check


@dataclass(frozen=True)
class TextSettings(Trained):
    """Settings that all methods for language models share."""

    steps: int = 3_000  # optimiser steps
    batch: int = 64  # texts a batch
    lr: float = 1e-3  # peak learning rate
    clip: float = 1.0  # bound on the norm of the gradient; 0: none
    tokens: Kind = "characters"  # characters of the corpus, bytes, or subwords (byte pair encoding)
    vocabulary: int = 1024  # of subwords, at most
    width: int = 64  # of the model's tokens
    heads: int = 4  # of its attention
    layers: int = 2  # blocks
    dropout: float = 0.0  # of embeddings, attention and blocks
    positions: Literal["learned", "rotary"] = "learned"  # vectors that are added, or turned into queries and keys
    tied: bool = False  # logits are products with the embeddings
    longest: int = 256  # tokens of a text, prompt and response together; what is beyond is cut off
    model: str = ""  # start from this: folder of a text agent, or folder or hub name of a transformers model
    adapter: int = 0  # rank of adapters on a transformers model, which then stays as it is; 0: all weights learn
    between: str = "\n"  # text between prompt and response, for transformers models
    temperature: float = 1.0  # of writing; 0: the likeliest token
    top_k: int = 0  # write with the k likeliest tokens alone; 0: with all
    top_p: float = 1.0  # write with the likeliest tokens whose shares reach p
    beams: int = 1  # of more than one: write the likeliest text that a beam search finds
    response: int = 64  # tokens of a written text, at most
    copies: int = 0  # agents kept on the way, evenly spaced, in the run's folder copies/STEP

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    smoke: ClassVar[dict[str, Any]] = {"steps": 30, "batch": 8, "width": 16, "heads": 2, "longest": 24, "response": 8}

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.positions == "rotary" and self.width // self.heads % 2):
            raise UserError(f"heads is {self.heads}: it must divide the width, {self.width}, to an even part")
        if self.adapter and not self.model:
            raise UserError("adapter is for models of others: name one with --model")
        self.sampling()

    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_k, self.top_p, self.beams, self.response)

    def over(self, tokens: Tokens, model: nn.Module) -> TextLearner:
        """The method's learner over a model."""
        raise NotImplementedError

    def learner(self, spec: Spec) -> Learner:
        raise UserError(f"method '{self.name()}' learns its tokens from texts: it has no networks without them")

    def rebuilt(self, spec: Spec, parts: dict[str, Any]) -> Learner:
        if "configuration" in parts:
            return self.over(*rebuilt_pretrained(parts, self.model, self.adapter))
        return self.over(Tokenizer.from_json(parts["tokens"]), CausalTransformer(**parts["network"]))

    def network(self, vocabulary: int) -> CausalTransformer:
        rotary, sizes = self.positions == "rotary", (self.width, self.heads, self.layers, self.longest)
        return CausalTransformer(vocabulary, *sizes, self.dropout, rotary, self.tied)

    def begun(self, texts: list[str]) -> TextLearner:
        """An untrained learner for a corpus, or one over the model that was asked for."""
        if not self.model:
            tokens = Tokenizer.learn(self.tokens, texts, self.vocabulary)
            return self.over(tokens, self.network(tokens.size))
        if not (Path(self.model) / "agent.json").exists():
            return self.over(*open_pretrained(self.model, self.adapter, self.between))
        start = writer_of(Path(self.model))
        return self.over(start.tokens, start.model)


def fit_texts(method: TextSettings, demos: Demos, run: Run, task: Task | None = None) -> Agent:
    """Fits the method's learner to the pairs of the demonstrations."""
    fitting = Fitting(method, demos, run)
    batches = Batches(fitting.sampler, method.batch, run.seed)
    optim, scale = method.optim(), fitting.scale
    run.train(fitting.learner, batches, optim, method.steps, scale, check=fitting.check, check_every=fitting.every)
    return fitting.finished()


class Fitting:
    """What every fit to texts begins with and ends with.

    Attributes:
        learner: to be trained.
        longest: tokens of a text.
        packed: the training part in tokens; prompts: its prompts alone.
        sampler: of the training part.
        scale: takes batches to the device.
        every: steps between checks.
    """

    def __init__(self, method: TextSettings, demos: Demos, run: Run) -> None:
        prompts, responses = pairs(demos)
        self.method, self.demos, self.run = method, demos, run
        self.scaler = Scaler({})
        learner = run.build(lambda: method.begun([*prompts, *responses]))
        assert isinstance(learner, TextLearner)
        self.learner = learner
        self.longest = min(method.longest, int(learner.model.longest))  # pyright: ignore[reportArgumentType]
        self.packed = packed_texts(learner.tokens, prompts, responses, self.longest)
        self.prompts = [learner.tokens.prompt(prompts[which]) for which in self.packed.which.tolist()]
        self.sampler = TokenBatches(self.packed, learner.tokens.pad)
        self.scale = DeviceScaler(self.scaler, demos.spec, run.place)
        held = pairs(run.held[:CHECK_TEXTS]) if run.held else None
        self.held = packed_texts(learner.tokens, *held, self.longest) if held else None
        self.every = run.report_every * max(1, method.steps // (20 * run.report_every))
        run.identity = {**run.identity, **fit_facts(method, demos, run)}
        if method.model:
            self._take_level(self.sampler)

    def _take_level(self, sampler: TokenBatches) -> None:
        """The mean V of a batch of training texts: of a model of others it lies anywhere."""
        index = np.linspace(0, len(sampler) - 1, min(self.method.batch, len(sampler))).astype(np.int64)
        batch = self.scale.batch(sampler.gather(index))
        with torch.inference_mode():
            _, values = self.learner.eval().read(batch)
            self.learner.level.copy_(self.learner.level + values.mean(values.value))

    def check(self, step: int) -> dict[str, float]:
        """Keeps a copy where one is due; the likelihood of the held-out part, where there is one."""
        before, now = (done * self.method.copies // self.method.steps for done in (max(0, step - self.every), step))
        if now > before and self.run.folder:
            self.finished().save(self.run.folder / "copies" / str(step))
            self.learner.train()
        return {"held_likelihood": self.likelihood(self.held)} if self.held else {}

    def likelihood(self, held: Packed) -> float:
        """Mean negative log-likelihood of the tokens of held-out responses, in nats."""
        run, learner = self.run, self.learner
        with autocast(choose(run.precision, learner, run.place), run.place):
            found = text_scores(learner.eval(), held, self.method.batch)
        learner.train()
        return float(-found.log_likelihood.sum() / found.tokens.sum())

    def finished(self) -> Agent:
        return finished(self.method, self.learner, self.scaler, self.demos, self.run)
