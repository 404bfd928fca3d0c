"""Models of others: the same loss as the library's own, writing with its cache, adapters, saving and loading."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitari.core.demos import Demos
from imitari.core.errors import Missing, UserError
from imitari.language.batches import RESPONSE, TokenBatches, packed_texts
from imitari.language.learner import TextLearner
from imitari.language.pretrained import open_pretrained
from imitari.language.sampler import Sampling
from imitari.learn.agent import Agent
from imitari.learn.method import method_named
from imitari.learn.run import Run

pytestmark = pytest.mark.filterwarnings("ignore")
SMALL = {"steps": 4, "batch": 4, "response": 5, "between": ""}


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, and a tokenizer of single characters."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models

    place = tmp_path_factory.mktemp(request.param)
    letters = {letter: number for number, letter in enumerate("0123456789+-*= ")}
    backend = Tokenizer(models.BPE(vocab={**letters, "</s>": len(letters)}, merges=[]))
    backend.decoder = decoders.Fuse()
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>").save_pretrained(place)
    torch.manual_seed(0)
    common: dict[str, Any] = {"vocab_size": 16, "bos_token_id": 15, "eos_token_id": 15}
    if request.param == "gpt2":
        net = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=32, **common)
        )
    else:
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        net = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(max_position_embeddings=32, num_key_value_heads=1, **sizes, **common)
        )
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(3)
    net.save_pretrained(place)
    return place


def fit(name: str, folder: Path, demos: Demos, **settings: Any) -> Agent:
    method = method_named(name, {**SMALL, "model": str(folder), **settings})
    return method.fit(demos.keep(range(8)), Run(show=False, device="cpu"))


def test_our_loss_is_the_librarys(folder: Path, text_demos: Demos) -> None:
    method = method_named("mle", {"model": str(folder)})
    tokens, model = open_pretrained(str(folder), 0, "")
    learner = method.over(tokens, model)  # type: ignore[attr-defined]
    packed = packed_texts(tokens, ["7=", "12=", "99="], ["3+4", "1*12", "100-1"], 32)
    batch = TokenBatches(packed, tokens.pad).gather(np.arange(3)).map(lambda _, value: torch.as_tensor(value))
    labels = batch.action.masked_fill(~batch.extra[RESPONSE], -100)
    learner.eval()
    with torch.no_grad():
        ours = learner.losses(batch)["likelihood"]
        theirs = model.net(input_ids=batch.action, attention_mask=batch.valid.long(), labels=labels).loss
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


@torch.inference_mode()
def test_its_cache_gives_what_reading_everything_gives(folder: Path) -> None:
    _, model = open_pretrained(str(folder), 0, "")
    model.eval()
    tokens = torch.randint(15, (3, 9), generator=torch.Generator().manual_seed(0))
    valid = torch.arange(9) >= torch.tensor([[0], [2], [3]])
    rows, cache = torch.tensor([2, 0]), model.cache(9)
    first = model(tokens[:, :5], valid[:, :5], cache)
    cache.pick(rows)
    rest = [model(tokens[rows, at, None], None, cache) for at in range(5, 9)]
    for row in range(3):
        begin = int((~valid[row]).sum())
        alone = model(tokens[row : row + 1, begin:])[0]
        assert torch.allclose(first[row, begin:], alone[: 5 - begin], atol=1e-4)
        if row in rows.tolist():
            later = torch.cat(rest, 1)[rows.tolist().index(row)]
            assert torch.allclose(later, alone[5 - begin :], atol=1e-4)


@pytest.mark.parametrize("adapter", [0, 2])
@pytest.mark.parametrize("name", ["mle", "irl_lm"])
def test_a_saved_agent_writes_the_same(
    folder: Path, text_demos: Demos, tmp_path: Path, adapter: int, name: str
) -> None:
    agent = fit(name, folder, text_demos, adapter=adapter)
    agent.save(tmp_path)
    loaded = Agent.load(tmp_path)
    obs = {"prompt": np.array(["7=", "12="], object)}
    first, again = (one.act(obs, one.reset(2, seed=1))[0].tolist() for one in (agent, loaded))
    assert first == again
    assert loaded.identity() == agent.identity()
    names = [name for name, _ in agent.learner.named_parameters()]
    saved = agent.learner.state_dict()
    if adapter:  # the weights underneath are those of the folder, and are not written again
        assert all("lora" in name for name in saved if name.startswith("model."))
        assert any("lora" in name for name in names)
    # A model that is on disk already tells where its values lie.
    assert float(agent.learner.get_buffer("level")) != 0
    if name == "irl_lm" and adapter:
        other = method_named(name, {**SMALL, "model": str(folder), "adapter": adapter})
        with pytest.raises(UserError, match="is not the one"):
            other.rebuilt(agent.spec, {**agent.learner.parts(), "base": "0" * 16})


def test_it_is_trained_and_beams_write(folder: Path, text_demos: Demos) -> None:
    agent = fit("mle", folder, text_demos, steps=40, lr=1e-2)
    before, after = open_pretrained(str(folder), 0, "")[1], agent.learner
    assert isinstance(after, TextLearner)
    changed = [
        name for name, value in before.state_dict().items() if not torch.equal(value, after.model.state_dict()[name])
    ]
    assert len(changed) > 5
    (text,) = after.answers(["7="], Sampling(beams=3, limit=4))
    assert isinstance(text, str)


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    with pytest.raises(UserError, match="the folder holds no model"):
        open_pretrained(str(tmp_path), 0, "")

    def offline(*_: Any, **__: Any) -> None:
        raise OSError("no connection")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", offline)
    with pytest.raises(UserError, match="could not be had from the hub"):
        open_pretrained("somebody/something", 0, "")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(Missing, match=r"imitari\[lm\]"):
        open_pretrained("somebody/something", 0, "")
