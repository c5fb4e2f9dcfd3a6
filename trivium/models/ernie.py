"""ERNIE (Sun et al. 2019, "Enhanced Representation through Knowledge Integration"; ERNIE 2.0, Sun et al. 2020).

BERT's encoder. What is its own is what it learns from: whole phrases and entities are masked (section 3.2), and from
ERNIE 2.0 on several tasks are learnt, each with a task embedding that is added to every token (2.0, "Task Embedding").
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import Unsupported
from trivium.models import bert_format, bert_parts
from trivium.models.head_format import Head, read_head, write_head
from trivium.nn.classification_head import ClassificationHead, HiddenLayer
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import Activation
from trivium.nn.initialise import normal_
from trivium.nn.output import Output
from trivium.nn.state import State
from trivium.nn.unpad import unpadded
from trivium.nn.weight_map import Rename, WeightMap

_OWN_HEADS = {"ForPreTraining": "pretraining"}


@dataclass(frozen=True, kw_only=True)
class ErnieConfig:
    """Shape of an ERNIE; the defaults are those of ERNIE 2.0 base for English."""

    vocabulary_size: int = 30522
    """Number of pieces V."""
    width: int = 768
    """Width D of the residual stream."""
    layers: int = 12
    """Number of blocks."""
    heads: int = 12
    """Attention heads H; ``width`` is a multiple of it."""
    inner_width: int = 3072
    """Width F of the feed-forward layer."""
    context_tokens: int = 512
    """Longest text, the size of the position table."""
    token_types: int = 4
    """Number of texts that a row may join."""
    task_types: int = 0
    """Number of task embeddings; 0: none."""
    activation: Activation = "gelu"
    """Non-linearity of the feed-forward layer and of the masked head."""
    dropout: float = 0.1
    """Dropout on embeddings and residual branches."""
    attention_dropout: float = 0.1
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights are the input embedding."""
    head: Head | Literal["pretraining"] = "language"
    """What the network says; "pretraining" is "language" with the next-sentence classifier beside it."""
    labels: tuple[str, ...] = ()
    """Names of the classes, numbers or tags of a head that has them, in the order of its outputs."""
    head_dropout: float | None = None
    """Dropout before the labels; null for ``dropout``."""
    pooler: bool = True
    """Whether a bare body (head "none") has the pooler; heads that stand on it always do."""

    def __post_init__(self) -> None:
        bert_format.check(self)

    @property
    def pools(self) -> bool:
        """Whether there is a pooler."""
        return self.head in ("pretraining", "classification", "regression") or (self.head == "none" and self.pooler)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "ErnieConfig":
        """From a ``config.json`` of ``model_type`` ernie; ``Unsupported`` for what this file does not compute."""
        head = read_head(config, "Ernie", language=("ForMaskedLM",), own=_OWN_HEADS)
        tasks = config.get("task_type_vocab_size", 3) if config.get("use_task_id") else 0
        return cls(task_types=tasks, **bert_format.read(config), **head)

    def as_stored(self, names: Collection[str]) -> "ErnieConfig":
        """This configuration, as the names of the stored tensors tell it: with a pooler or without."""
        return bert_format.with_stored_pooler(self, names)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        head = write_head(self, "Ernie", language="ForMaskedLM", own=_OWN_HEADS)
        tasks = {"use_task_id": self.task_types > 0, "task_type_vocab_size": self.task_types or 3}
        return {"model_type": "ernie", **head, **bert_format.write(self), **tasks}


class Ernie(nn.Module):
    """Encoder-only Transformer under one head, whose attributes are those of ``Bert``."""

    def __init__(self, config: ErnieConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = bert_parts.positions(config, config.width)
        self.token_types = nn.Embedding(config.token_types, config.width)
        self.task_types = nn.Embedding(config.task_types, config.width) if config.task_types else None
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = bert_parts.blocks(config)
        self.pooler = HiddenLayer(config.width) if config.pools else None
        self.head = bert_parts.masked_head(config, self.embedding, config.activation)
        self.next_sentence = (
            ClassificationHead(config.width, 2, pooling="first", transform=self.pooler)
            if config.head == "pretraining"
            else None
        )
        self.classify = bert_parts.classifier(config, self.pooler)
        self.tag = bert_parts.tagger(config)
        self.span = bert_parts.span_head(config)
        self.apply(normal_)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, before positions, token types and task are added."""
        return self.embedding(tokens)

    def forward(
        self,
        tokens: Int[Tensor, "B T"] | None = None,
        *,
        embeddings: Float[Tensor, "B T D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
        state: State | None = None,
        collect: Collection[str] = (),
        token_types: Int[Tensor, "B T"] | None = None,
        task_types: Int[Tensor, "_ _"] | None = None,
    ) -> Output:
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md.

        ``token_types`` says which of the joined texts a token belongs to, ``task_types`` (``[B, T]``, or ``[1, 1]`` for
        all) which task it is read for; 0 where not given. Rows of unequal ``lengths`` are computed without their
        padding; ``hidden`` is zero there.
        """
        if state is not None:
            raise Unsupported("an encoder reads a whole text at once", received="a state", expected="state=None")
        if task_types is not None and self.task_types is None:
            raise Unsupported("this ERNIE has no task embeddings", received="task_types", expected="task_types=None")
        given = tokens if embeddings is None else embeddings
        rows = unpadded(given, lengths=lengths, segments=segments, collect=collect)
        x = embedded(self, rows.pack(tokens), rows.pack(embeddings))
        first = torch.zeros(1, 1, dtype=torch.long, device=x.device)
        x = x + self.token_types(first if token_types is None else rows.pack(token_types))
        x = x + self.positions(rows.layout.positions)
        if self.task_types is not None:
            x = x + self.task_types(first if task_types is None else rows.pack(task_types))
        x = self.dropout(self.norm(x))
        return rows.through(self.blocks, x, collect)


_V3 = ErnieConfig(vocabulary_size=40000, context_tokens=2048, task_types=16)
SIZES = {
    "ernie-1.0-base": ErnieConfig(vocabulary_size=18000, context_tokens=513, token_types=2, activation="relu"),
    "ernie-2.0-base": ErnieConfig(),
    "ernie-2.0-large": ErnieConfig(width=1024, layers=24, heads=16, inner_width=4096),
    "ernie-3.0-xbase": replace(_V3, width=1024, layers=20, heads=16, inner_width=4096),
    "ernie-3.0-base": replace(_V3, task_types=3),
    "ernie-3.0-medium": replace(_V3, layers=6),
    "ernie-3.0-mini": replace(_V3, layers=6, width=384, inner_width=1536),
    "ernie-3.0-micro": replace(_V3, layers=4, width=384, inner_width=1536),
    "ernie-3.0-nano": replace(_V3, layers=4, width=312, inner_width=1248),
}
"""The models that Baidu published: 1.0 and 3.0 for Chinese, 2.0 for English. Those of 3.0 are its distilled students,
built like 2.0 (Sun et al. 2021, "ERNIE 3.0", is the teacher)."""


def weight_map(config: ErnieConfig) -> WeightMap:
    """Between our names and those of ``ErnieForMaskedLM`` and its sisters with other heads."""
    theirs = bert_format.prefix(config, "ernie.") + "embeddings.task_type_embeddings.weight"
    tasks = [Rename("task_types.weight", theirs)] if config.task_types else []
    return bert_format.pretrained_map(config, "ernie.", tasks)
