"""Perplexity: as uncertain as among so many equally likely tokens, words, bytes or characters.

    perplexity = exp(-1 / N  sum_t log p(x_t | x_<t))

N may be tokens, which depends on the vocabulary, or words, bytes or characters of the text, which does not. A masked
model has no p(x_t | x_<t): its pseudo-perplexity (Salazar et al. 2020, "Masked Language Model Scoring", section 2.3)
takes p(x_t | all the others), and compares with nothing but other pseudo-perplexities.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from trivium.errors import DataError
from trivium.evaluation.bits_per_byte import bits_per_byte, store_of_texts
from trivium.lm.protocol import LanguageModel
from trivium.tokenizers import Tokenizer

_WHITE_SPACE = re.compile(r"\s+")
_LARGEST_EXPONENT = 700.0  # exp of more is beyond fp64


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """What one pass over some texts found."""

    nats: float
    """Sum of -log p over all scored tokens."""
    tokens: int
    """Scored tokens, each once."""
    words: int
    """Pieces of the texts between white space, counted as lm-evaluation-harness counts them: white space at an end
    leaves an empty piece, which counts."""
    bytes: int
    """UTF-8 bytes of the texts."""
    characters: int
    """Characters of the texts, white space included."""

    @property
    def loss(self) -> float:
        """Nats for each token."""
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        """Bits for each byte of text."""
        return self.nats / math.log(2) / self.bytes

    @property
    def per_token(self) -> float:
        """Perplexity, as it is quoted of one vocabulary."""
        return _exp(self.loss)

    @property
    def per_word(self) -> float:
        """Perplexity of words, as it is quoted of WikiText."""
        return _exp(self.nats / self.words)

    @property
    def per_byte(self) -> float:
        """Perplexity of bytes: 2 to the bits per byte."""
        return _exp(self.nats / self.bytes)

    @property
    def per_character(self) -> float:
        """Perplexity of characters."""
        return _exp(self.nats / self.characters)


def perplexity(
    network: nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    context_tokens: int,
    stride_tokens: int | None = None,
) -> Perplexity:
    """Of a causal model, read in windows of ``context_tokens`` that move by ``stride_tokens``, or by a whole window.

    Each text is a document of its own, and each of its tokens is scored once, by the first window that reaches it: the
    first window scores all it holds, every other one ``stride_tokens``, the rest being context. Where the vocabulary
    has no token to begin with, a text's first token is not scored, and nothing is counted for it.

    Raises ``ConfigError`` for a window or stride that does not fit, ``DataError`` where there is nothing to score or a
    text holds characters that the vocabulary does not know.
    """
    config: Any = network.config
    store = store_of_texts(texts, tokenizer, config.vocabulary_size)
    found = bits_per_byte(network, store, context_tokens=context_tokens, stride_tokens=stride_tokens)
    scored = list(texts)
    if not (tokenizer.prefix_ids or tokenizer.bos_id is not None or tokenizer.eos_id is not None):
        scored = [tokenizer.decode(tokenizer.encode(text)[1:]) for text in scored]
    return _of(found.nats, found.tokens, [text for text in scored if text])


def pseudo_perplexity(model: LanguageModel, texts: Sequence[str]) -> Perplexity:
    """Of a masked model: each token is masked in turn, the rest of its text (of a window, if it is long) being seen.

    Salazar et al. score sentences: give one a text to compare with them. Costs a reading of the text for each of its
    tokens. Raises ``DataError`` where there is nothing to score, ``Unsupported`` for a model that is not masked.
    """
    scored = [text for text in texts if text.strip()]
    if not scored:
        raise DataError("there is no text to evaluate on", received="no text, or only empty ones", fix="check the path")
    scores = model.score([("", text) for text in scored], method="pseudo")
    return _of(-math.fsum(score.logprob for score in scores), sum(score.tokens for score in scores), scored)


def _of(nats: float, tokens: int, texts: Sequence[str]) -> Perplexity:
    return Perplexity(
        nats=nats,
        tokens=tokens,
        words=sum(len(_WHITE_SPACE.split(text)) for text in texts),
        bytes=sum(len(text.encode("utf-8", "replace")) for text in texts),
        characters=sum(map(len, texts)),
    )


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < _LARGEST_EXPONENT else math.inf
