"""How well a model foretells text that it has not seen: bits per byte, perplexity."""

import math
from pathlib import Path
from typing import Any, cast

import torch

from trivium.data.documents import read_documents
from trivium.data.evaluation import evaluation_batches
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError, DataError, TokenizerError, Unsupported
from trivium.evaluation.bits_per_byte import TOKENS_AT_ONCE, bits_per_byte, store_of_texts
from trivium.evaluation.perplexity import perplexity, pseudo_perplexity
from trivium.lm.local import LocalModel
from trivium.lm.protocol import LanguageModel
from trivium.objectives.bilm import bilm
from trivium.tokenizers import Tokenizer

MASKED = "encoder"
"""The kind of architecture that fills masks."""
BOTH_WAYS = "bidirectional recurrent"
"""The kind of architecture that has a language model for each direction."""
_LEFT_TO_RIGHT = ("decoder", "recurrent")
_UNLIMITED_WINDOW = 1024  # for models without a longest context


def evaluate_bits_per_byte(
    model: LocalModel,
    data: Path,
    *,
    context_tokens: int | None,
    stride_tokens: int | None,
    limit: int | None,
    encoding: str,
) -> dict[str, Any]:
    """`{"task", "metrics", "count", "settings"}` of a text, a folder of text, or prepared data; see `EvaluateConfig`.

    A model of two directions has a figure for each, as `_both_ways` says, and none of both together. Raises
    `Unsupported` for any other model that does not read from left to right, `UserError` for data that cannot be used.
    """
    _require(model, "bits per byte needs a model that reads from left to right", *_LEFT_TO_RIGHT, BOTH_WAYS)
    if model.architecture.kind == BOTH_WAYS:
        return _both_ways(model, _store(model, data, limit, encoding), context_tokens, stride_tokens)
    window, stride = _windows(model, context_tokens, stride_tokens)
    store = _store(model, data, limit, encoding)
    found = bits_per_byte(model.network, store, context_tokens=window, stride_tokens=stride)
    return {
        "task": "bits_per_byte",
        "metrics": {"bits_per_byte": found.bits_per_byte, "loss": found.loss, "perplexity": found.perplexity},
        "count": found.tokens,
        "settings": {
            "documents": store.num_documents,
            "bytes": found.bytes,
            "context_tokens": window,
            "stride_tokens": stride,
        },
    }


def evaluate_perplexity(
    model: LocalModel,
    data: Path,
    *,
    context_tokens: int | None,
    stride_tokens: int | None,
    limit: int | None,
    encoding: str,
) -> dict[str, Any]:
    """As `evaluate_bits_per_byte`, of text only; of a masked model its pseudo-perplexity."""
    kinds = (*_LEFT_TO_RIGHT, BOTH_WAYS, MASKED)
    _require(model, "perplexity needs a model that reads from left to right, or a masked one", *kinds)
    texts = _texts(data, limit, encoding)
    if model.architecture.kind == BOTH_WAYS:
        store = store_of_texts(texts, text_tokenizer(model, data), model.config.vocabulary_size)
        return _both_ways(model, store, context_tokens, stride_tokens)
    if model.architecture.kind == MASKED:
        if context_tokens is not None or stride_tokens is not None:
            raise ConfigError(
                "a masked model reads windows of its own size, one after another",
                fix="leave context_tokens and stride_tokens out",
            )
        name, windows = "pseudo_perplexity", {}
        found = pseudo_perplexity(cast(LanguageModel, model), texts)
    else:
        window, stride = _windows(model, context_tokens, stride_tokens)
        name, windows = "perplexity", {"context_tokens": window, "stride_tokens": stride}
        found = perplexity(model.network, text_tokenizer(model, data), texts, **windows)
    figures = {
        name: found.per_token,
        f"word_{name}": found.per_word,
        f"byte_{name}": found.per_byte,
        f"character_{name}": found.per_character,
        "loss": found.loss,
        "bits_per_byte": found.bits_per_byte,
    }
    return {
        "task": "perplexity",
        # A text without white space is one word, whose perplexity may be beyond any number: JSON has none for it.
        "metrics": {figure: value if math.isfinite(value) else None for figure, value in figures.items()},
        "count": found.tokens,
        "settings": {
            "documents": len(texts),
            "words": found.words,
            "bytes": found.bytes,
            "characters": found.characters,
            **windows,
        },
    }


@torch.inference_mode()
def _both_ways(
    model: LocalModel, store: TokenStore, context_tokens: int | None, stride_tokens: int | None
) -> dict[str, Any]:
    """The perplexity of each direction of a two-direction model, and its loss in nats a token.

    They are never made one figure: a token that is foretold from its left and from its right is in the other one's
    context, so that no probability of the text comes of both (Peters et al. 2018, section 3.1). Scored are the pairs of
    neighbours in a window, in both directions; between two windows there is none.
    """
    if stride_tokens is not None:
        raise ConfigError(
            "a model of two directions reads windows one after another",
            received=f"stride_tokens={stride_tokens}",
            fix="leave stride_tokens out",
        )
    window = _windows(model, context_tokens, None)[0]
    device = next(model.network.parameters()).device
    sums, count = dict.fromkeys(("forward", "backward"), 0.0), 0
    for batch in evaluation_batches(store, context_tokens=window, rows=max(1, TOKENS_AT_ONCE // window)):
        loss = bilm(model.network, batch.to(device))
        sums = {way: nats + float(loss.metrics[way]) for way, nats in sums.items()}
        count += int(loss.count)
    if not count:
        raise DataError("there are no two tokens side by side in a window", received=f"context_tokens={window}")
    losses = {way: nats / count for way, nats in sums.items()}
    return {
        "task": "perplexity",
        "metrics": {
            **{f"{way}_perplexity": perplexity_of(nats) for way, nats in losses.items()},
            **{f"{way}_loss": nats for way, nats in losses.items()},
        },
        "count": count,
        "settings": {"documents": store.num_documents, "bytes": store.num_bytes, "context_tokens": window},
    }


def perplexity_of(nats: float) -> float | None:
    """Of a loss a token; None, as JSON has no infinity, where it is beyond any number."""
    try:
        return math.exp(nats)
    except OverflowError:
        return None


def _require(model: LocalModel, what: str, *kinds: str) -> None:
    if model.architecture.kind not in kinds:
        raise Unsupported(
            what,
            received=f"{model.architecture.name}, an architecture of kind {model.architecture.kind!r}",
            expected=f"an architecture of kind {' or '.join(kinds)}",
        )


def _windows(model: LocalModel, context_tokens: int | None, stride_tokens: int | None) -> tuple[int, int]:
    """The window and its stride."""
    window = context_tokens or model.config.context_tokens or _UNLIMITED_WINDOW
    return window, stride_tokens or max(1, window // 2)


def _store(model: LocalModel, data: Path, limit: int | None, encoding: str) -> TokenStore:
    vocabulary_size = model.config.vocabulary_size
    shards = _shards(data)
    if shards is None:
        return store_of_texts(_texts(data, limit, encoding), text_tokenizer(model, data), vocabulary_size)
    if limit is not None:
        raise ConfigError("prepared data is measured whole", received=f"limit={limit}", fix="leave limit out")
    store = TokenStore.open(shards)
    if store.vocabulary_size > vocabulary_size:
        raise TokenizerError(
            "this text was prepared with another vocabulary than the model's",
            received=f"{store.vocabulary_size} ids in {shards}",
            expected=f"at most {vocabulary_size}",
            fix="give the text itself, or prepare it with the model's tokenizer",
        )
    return store


def _shards(data: Path) -> Path | None:
    """The folder of tokens that the data is, if it is one."""
    folders = (data, data / "validation")
    return next((folder for folder in folders if (folder / "shards.json").is_file()), None)


def _texts(data: Path, limit: int | None, encoding: str) -> list[str]:
    if _shards(data) is not None:
        raise DataError(
            "prepared data holds tokens, whose words and characters are not known",
            received=data,
            fix="give the text itself, or measure bits_per_byte, which tells perplexity too",
        )
    documents, _ = read_documents([data], encoding=encoding)
    return [document.text for document in documents][:limit]


def text_tokenizer(model: LocalModel, data: Path | None) -> Tokenizer:
    """The model's tokenizer. Raises `Unsupported` where there is none to read ``data`` with."""
    if model.tokenizer is None:
        raise Unsupported(
            "the model has no tokenizer, so text cannot be read",
            received=data,
            fix="copy tokenizer.json into the model's folder, or give prepared shards",
        )
    return model.tokenizer
