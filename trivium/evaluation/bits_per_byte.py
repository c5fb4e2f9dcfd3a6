"""Bits per byte: how many bits of the text's own bytes a model needs, whatever its vocabulary.

    bits per byte = -sum_t log2 p(x_t | x_<t) / (bytes of text)

Perplexity depends on the vocabulary; this does not, and compares with ``xz``. Every token is scored once.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from trivium.data.evaluation import evaluation_batches
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError, DataError
from trivium.generation.reading import context_limit
from trivium.objectives.causal import causal
from trivium.tokenizers import Tokenizer, check_vocabulary

TOKENS_AT_ONCE = 4096  # of one forward pass


@dataclass(frozen=True, kw_only=True)
class BitsPerByte:
    """What one pass over a text found."""

    nats: float
    """Sum of -log p over all scored tokens."""
    tokens: int
    """Scored tokens, each once."""
    bytes: int
    """UTF-8 bytes of the text they stand for."""

    @property
    def bits_per_byte(self) -> float:
        """Bits for each byte of text."""
        return self.nats / math.log(2) / self.bytes

    @property
    def loss(self) -> float:
        """Nats for each token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(loss): as uncertain as among so many equally likely tokens; infinite beyond fp64."""
        return math.exp(self.loss) if self.loss < 700 else math.inf


@torch.inference_mode()
def bits_per_byte(
    network: nn.Module, store: TokenStore, *, context_tokens: int, stride_tokens: int | None = None
) -> BitsPerByte:
    """Scores every token of ``store`` but the first of each document, in windows of ``context_tokens``.

    With ``stride_tokens`` windows overlap: each scores so many new tokens and sees the rest as context,
    which costs context / stride times as much and gives a lower, fairer figure. ``network`` is a causal
    model in evaluation mode. Raises ``ConfigError`` for a window the model cannot hold, ``DataError``
    where there is nothing to score.
    """
    limit = context_limit(network)
    if context_tokens < 1 or (limit is not None and context_tokens > limit):
        raise ConfigError(
            "the model cannot read windows of this size",
            received=f"context_tokens={context_tokens}",
            expected="at least 1" if limit is None else f"1 to {limit}",
        )
    if stride_tokens is not None and not 1 <= stride_tokens <= context_tokens:
        raise ConfigError(
            "the stride does not fit the window",
            received=f"stride_tokens={stride_tokens}",
            expected=f"1 to context_tokens ({context_tokens})",
        )
    if not store.num_bytes:
        raise DataError("the bytes of this text are not known", fix="prepare the text again, or give the text itself")
    device = next(network.parameters()).device
    rows = max(1, TOKENS_AT_ONCE // context_tokens)
    nats, tokens = 0.0, 0
    for batch in evaluation_batches(store, context_tokens=context_tokens, rows=rows, stride=stride_tokens):
        loss = causal(network, batch.to(device))
        nats += float(loss.total)
        tokens += int(loss.count)
    return BitsPerByte(nats=nats, tokens=tokens, bytes=store.num_bytes)


def store_of_texts(texts: Iterable[str], tokenizer: Tokenizer, vocabulary_size: int) -> TokenStore:
    """Texts as documents to be scored: after the token that begins one, without the one that ends it.

    A text may be cut anywhere, so its end is not held against the model. Where the vocabulary has no
    token to begin with, a text's first token cannot be scored, and its bytes are not counted.
    """
    check_vocabulary(tokenizer, vocabulary_size)
    begin = tokenizer.prefix_ids or [i for i in (tokenizer.bos_id, tokenizer.eos_id) if i is not None][:1]
    documents, sizes = [], []
    for text, ids in _encoded(texts, tokenizer):
        _refuse_unknown(ids, tokenizer)
        if begin:
            documents.append(begin[-1:] + ids)
            sizes.append(len(text.encode("utf-8", "replace")))
        elif len(ids) > 1:
            documents.append(ids)
            sizes.append(sum(len(tokenizer.token_bytes(token)) for token in ids[1:]))
    if not documents:
        raise DataError("there is no text to evaluate on", received="no text, or only empty ones", fix="check the path")
    return TokenStore.of(documents, vocabulary_size=vocabulary_size, document_bytes=sizes)


def _refuse_unknown(ids: list[int], tokenizer: Tokenizer) -> None:
    """An unknown character would count its bytes as told, for the price of one token that tells none of them."""
    unknown = ids.count(tokenizer.unk_id) if tokenizer.unk_id is not None else 0
    if unknown:
        raise DataError(
            "the text holds characters that the model's vocabulary does not know",
            received=f"{unknown:,} unknown of {len(ids):,} tokens",
            fix="evaluate on text in the characters it was trained on, or train with a byte-level vocabulary",
        )


def _encoded(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[tuple[str, list[int]]]:
    for text in texts:
        ids = tokenizer.encode(text)
        if ids:
            yield text, ids
