"""What BERT, RoBERTa, ERNIE and ELECTRA are built of alike: blocks, and the head that their configuration names."""

from typing import Any

from torch import nn

from trivium.nn.classification_head import ClassificationHead, HiddenLayer
from trivium.nn.feedforward import Activation
from trivium.nn.masked_head import MaskedHead
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.post_norm_block import PostNormBlock
from trivium.nn.span_head import SpanHead
from trivium.nn.tagging_head import TaggingHead

_SINES = 0.1  # beside word vectors that begin at 0.02: what a new network sees first is where things stand


def positions(config: Any, width: int, offset: int = 0) -> LearnedPositions:
    """A vector of each position, beginning as a sinusoid."""
    return LearnedPositions(config.context_tokens, width, offset, sines=_SINES)


def blocks(config: Any) -> nn.ModuleList:
    """``config.layers`` blocks."""
    return nn.ModuleList(
        PostNormBlock(
            config.width,
            config.heads,
            config.inner_width,
            activation=config.activation,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            norm_epsilon=config.norm_epsilon,
        )
        for _ in range(config.layers)
    )


def head_dropout(config: Any) -> float:
    """Dropout before the labels."""
    return config.dropout if config.head_dropout is None else config.head_dropout


def masked_head(config: Any, embedding: nn.Embedding, activation: Activation) -> MaskedHead | None:
    """The head that predicts tokens, with its own ``activation``."""
    if config.head not in ("language", "pretraining"):
        return None
    tied_to = embedding if config.tied else None
    return MaskedHead(
        config.width,
        config.vocabulary_size,
        activation=activation,
        norm_epsilon=config.norm_epsilon,
        tied_to=tied_to,
    )


def classifier(config: Any, pooler: nn.Module | None) -> ClassificationHead | None:
    """The head of classes or numbers: a linear layer on the pooler, which stands on the first position; without one
    (RoBERTa) on a hidden layer of its own."""
    if config.head not in ("classification", "regression"):
        return None
    classes, dropout = len(config.labels), head_dropout(config)
    transform = HiddenLayer(config.width, dropout=dropout) if pooler is None else pooler
    return ClassificationHead(config.width, classes, pooling="first", transform=transform, dropout=dropout)


def tagger(config: Any) -> TaggingHead | None:
    """The head of tags."""
    if config.head != "tagging":
        return None
    return TaggingHead(config.width, len(config.labels), dropout=head_dropout(config))


def span_head(config: Any) -> SpanHead | None:
    """The head of answers."""
    return SpanHead(config.width) if config.head == "span" else None
