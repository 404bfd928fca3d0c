"""Language models of others, through the transformers library, whole or with adapters (LoRA, Hu et al. 2021)."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from imitari.core.episode import Array
from imitari.core.errors import UserError, missing_extra


class PretrainedCache:
    """Keys and values as the library holds them, and where padding was read."""

    def __init__(self, past: Any) -> None:
        self.past, self.length = past, 0
        self.valid: Tensor | None = None

    def pick(self, rows: Tensor) -> None:
        self.past.batch_select_indices(rows)
        self.valid = None if self.valid is None else self.valid[rows]


class PretrainedModel(nn.Module):
    """A causal model of the library behind the interface of our own (`sampler.CausalModel`).

    Args:
        net: gives logits; with frozen weights (under adapters), these are neither saved nor loaded.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        base: Any = net.get_base_model() if hasattr(net, "get_base_model") else net  # pyright: ignore[reportCallIssue]
        self.configuration: Any = base.config
        self.longest = int(getattr(self.configuration, "max_position_embeddings", None) or 1 << 20)
        self._places = "position_ids" in inspect.signature(base.forward).parameters
        self.register_state_dict_post_hook(_without_frozen)
        self.register_load_state_dict_pre_hook(_with_frozen)

    def cache(self, capacity: int) -> PretrainedCache:
        from transformers import DynamicCache

        return PretrainedCache(DynamicCache(config=self.configuration))

    def forward(self, tokens: Tensor, valid: Tensor | None = None, cache: PretrainedCache | None = None) -> Tensor:
        """Tokens (B, T) to logits (B, T, vocabulary); see `sampler.CausalModel`."""
        mask = self._mask(tokens, valid, cache)
        given: dict[str, Any] = {"input_ids": tokens, "use_cache": cache is not None}
        if mask is not None:
            given["attention_mask"] = mask.long()
            if self._places:
                given["position_ids"] = (mask.long().cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        if cache is not None:
            given["past_key_values"] = cache.past
            cache.length += tokens.shape[1]
        return self.net(**given).logits

    @staticmethod
    def _mask(tokens: Tensor, valid: Tensor | None, cache: PretrainedCache | None) -> Tensor | None:
        """(B, all tokens up to now) False at padding; None where there is none."""
        seen = cache.valid if cache else None
        if valid is None and seen is None:
            return None
        before = cache.length if cache else 0
        now = torch.ones_like(tokens, dtype=torch.bool) if valid is None else valid
        past = now.new_ones(len(now), before) if seen is None else seen
        mask = torch.cat([past, now], 1)
        if cache is not None:
            cache.valid = mask
        return mask

    def frozen(self) -> dict[str, Tensor]:
        """The weights that are not trained, by name."""
        every = self.named_parameters(remove_duplicate=False)  # weights that are tied are saved under both names
        return {name: value for name, value in every if not value.requires_grad}


def _without_frozen(module: Any, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in module.frozen():
        state.pop(prefix + name, None)


def _with_frozen(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, value in module.frozen().items():
        state.setdefault(prefix + name, value.detach())


class PretrainedTokens:
    """The tokenizer that belongs to such a model.

    Args:
        backend: of the tokenizers library.
        end, pad: numbers of these tokens.
        between: text that stands between prompt and response.
    """

    def __init__(self, backend: Any, end: int, pad: int, between: str) -> None:
        self.backend, self.end, self.pad, self.between = backend, end, pad, between

    @property
    def size(self) -> int:
        return int(self.backend.get_vocab_size())

    def prompt(self, text: str) -> Array:
        return np.array(self.backend.encode(text + self.between).ids, np.int32)

    def response(self, text: str) -> Array:
        return np.array([*self.backend.encode(text, add_special_tokens=False).ids, self.end], np.int32)

    def text(self, tokens: Iterable[int]) -> str:
        kept: list[int] = []
        for token in tokens:
            if token == self.end:
                break
            kept.append(int(token))
        return self.backend.decode(kept)

    def to_json(self) -> dict[str, Any]:
        return {"backend": self.backend.to_str(), "end": self.end, "pad": self.pad, "between": self.between}

    @staticmethod
    def from_json(data: dict[str, Any]) -> PretrainedTokens:
        _library()
        from tokenizers import Tokenizer

        return PretrainedTokens(Tokenizer.from_str(data["backend"]), data["end"], data["pad"], data["between"])


def open_pretrained(name: str, adapter: int, between: str) -> tuple[PretrainedTokens, PretrainedModel]:
    """Tokenizer and model of a folder or a hub name, with adapters of rank `adapter` (0: none, all weights learn).

    Raises:
        Missing: when the library is not installed.
        UserError: when there is no such model, or it cannot be had from the hub.
    """
    library = _library()
    try:
        found = library.AutoTokenizer.from_pretrained(name)
        net = library.AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        where = (
            "the folder holds no model that can be read"
            if Path(name).is_dir()
            else ("it is no folder here, and could not be had from the hub")
        )
        raise UserError(
            f"model '{name}': {where} ({type(error).__name__}): check the name, the network, or give a local folder"
        ) from error
    if found.eos_token_id is None or not hasattr(found, "backend_tokenizer"):
        raise UserError(
            f"model '{name}': its tokenizer has no end-of-text token, or no fast form: choose another model"
        )
    pad = found.eos_token_id if found.pad_token_id is None else found.pad_token_id
    tokens = PretrainedTokens(found.backend_tokenizer, int(found.eos_token_id), int(pad), between)
    return tokens, PretrainedModel(adapted(net, adapter))


def rebuilt_pretrained(parts: dict[str, Any], name: str, adapter: int) -> tuple[PretrainedTokens, PretrainedModel]:
    """Tokenizer and model of a saved agent: from what was saved with it, and, under adapters, from the model `name`.

    Raises:
        UserError: when the model under the adapters is no longer what it was.
    """
    tokens = PretrainedTokens.from_json(parts["tokens"])
    if adapter:
        _, model = open_pretrained(name, adapter, tokens.between)
        if fingerprint(model) != parts["base"]:
            raise UserError(f"model '{name}': is not the one that these adapters were trained for: restore it")
        return tokens, model
    library = _library()
    configuration = library.AutoConfig.for_model(**json.loads(parts["configuration"]))
    return tokens, PretrainedModel(library.AutoModelForCausalLM.from_config(configuration))


def pretrained_parts(model: PretrainedModel, tokens: PretrainedTokens) -> dict[str, Any]:
    """What `rebuilt_pretrained` needs."""
    configuration = json.dumps(model.configuration.to_dict(), default=str)
    base = {"base": fingerprint(model)} if model.frozen() else {}
    return {"tokens": tokens.to_json(), "configuration": configuration, **base}


def adapted(net: nn.Module, rank: int) -> nn.Module:
    """The model with low-rank adapters on the linear layers of its blocks, everything else frozen; itself at rank 0."""
    if not rank:
        return net
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise missing_extra("peft", "lm") from error
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(net, settings)  # pyright: ignore[reportArgumentType]


def fingerprint(model: PretrainedModel) -> str:
    """Hash of the names, shapes and first numbers of the weights that are not trained."""
    digest = hashlib.sha256()
    for name, value in sorted(model.frozen().items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().reshape(-1)[:4096].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _library() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise missing_extra("transformers", "lm") from error
    transformers.logging.disable_progress_bar()
    return transformers
