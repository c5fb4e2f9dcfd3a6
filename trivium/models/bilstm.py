"""The bidirectional LSTM that classifies a text or tags its words (Graves and Schmidhuber 2005; Huang, Xu and Yu 2015).

One LSTM reads a text from left to right, another from right to left, and [forward_t ; backward_t] is what is known of
token t: all that stands before it and all that comes after. A text's class is read from the maximum over its tokens
(Conneau et al. 2017, section 3.2.2); the tag of a word from its own token, and with a CRF from those of its neighbours
as well (Huang et al. 2015, section 2.5; Lample et al. 2016, section 2.2). Dropout stands on the embedding (there,
section 4.3), between layers and before the head.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.models.head_format import check_head
from trivium.models.own_format import read_config, same_names, write_config
from trivium.nn.classification_head import ClassificationHead
from trivium.nn.embedded import embedded
from trivium.nn.output import Output
from trivium.nn.recurrent import KERNEL_NAMES, RecurrentLayer, backwards, collected
from trivium.nn.span_head import SpanHead
from trivium.nn.state import State
from trivium.nn.tagging_head import TaggingHead
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class BiLSTMConfig:
    """Shape of a bidirectional LSTM; the defaults are those of Lample et al. 2016 without spelling."""

    vocabulary_size: int = 20000
    """Number of pieces V."""
    embedding_width: int = 100
    """Width of the embedding."""
    width: int = 200
    """Width D of every layer, both directions together."""
    layers: int = 1
    """Number of layers, each with both directions."""
    dropout: float = 0.5
    """Dropout on the embedding, between layers and before the head."""
    head: Literal["classification", "regression", "tagging", "span"] = "classification"
    """What the network says: the class of a text, or a number for it; the tag of each word; where an answer begins and
    ends."""
    labels: tuple[str, ...] = ("0", "1")
    """Names of the classes, numbers or tags, in the order of their ids; none of a span."""
    crf: bool = False
    """Judge the tags of a text together, by a conditional random field."""

    def __post_init__(self) -> None:
        check_head(self.head, self.labels)
        if self.width % 2:
            raise ConfigError("width is for both directions together", received=self.width, expected="an even number")
        if self.crf and self.head != "tagging":
            raise ConfigError(
                "a conditional random field joins tags",
                received=f"crf with head {self.head}",
                fix="set head to tagging, or crf to false",
            )

    @property
    def context_tokens(self) -> None:
        """No limit: a recurrence has no positions."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "BiLSTMConfig":
        """From a ``config.json`` of ``model_type`` trivium-bilstm; ``ConfigError`` for fields it does not have."""
        unnamed = {"labels": []} if config.get("head") == "span" else {}
        return read_config(cls, {**config, **unnamed})

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        named = write_config(self, "trivium-bilstm", "BiLSTM")
        return named if self.labels else {k: v for k, v in named.items() if k not in ("id2label", "label2id")}


class BothDirections(nn.Module):
    """One layer: an LSTM for each direction, side by side.

    The second reads every row mirrored, so that padding stays behind: both take the fused kernel of whole rows, which
    is twice as fast as the bidirectional one over ragged rows (32 rows of 18 to 24 tokens, 100 wide, on a CPU).
    """

    def __init__(self, input_width: int, width: int) -> None:
        super().__init__()
        self.rightwards = RecurrentLayer(input_width, width // 2, "lstm")
        self.leftwards = RecurrentLayer(input_width, width // 2, "lstm")

    def forward(self, x: Float[Tensor, "B T W"], mirror: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """``mirror`` are the places of each row in the order of reading backwards."""
        right, _ = self.rightwards(x)
        left, _ = self.leftwards(_placed(x, mirror))
        return torch.cat([right, _placed(left, mirror)], dim=-1)


class BiLSTM(nn.Module):
    """Encoder of whole texts; it has ``classify(output.hidden, lengths)``, the `TaggingHead` ``tag`` or the `SpanHead`
    ``span``, and only one of them."""

    def __init__(self, config: BiLSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_width)
        self.dropout = nn.Dropout(config.dropout)
        widths = [config.embedding_width, *[config.width] * (config.layers - 1)]
        self.blocks = nn.ModuleList(BothDirections(width, config.width) for width in widths)
        width, outputs, dropout = config.width, len(config.labels), config.dropout
        self.classify = self.tag = self.span = None
        if config.head == "tagging":
            self.tag = TaggingHead(width, outputs, crf=config.crf, dropout=dropout)
        elif config.head == "span":
            self.span = SpanHead(width)
        else:
            self.classify = ClassificationHead(width, outputs, pooling="max", dropout=dropout)
        bound = (3 / config.embedding_width) ** 0.5  # a variance of 1 / width (Ma and Hovy 2016, section 3.1)
        nn.init.uniform_(self.embedding.weight, -bound, bound)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Token vectors."""
        return self.embedding(tokens)

    def forward(
        self,
        tokens: Int[Tensor, "B T"] | None = None,
        *,
        embeddings: Float[Tensor, "B T E"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
        state: State | None = None,
        collect: Collection[str] = (),
    ) -> Output:
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md."""
        if segments is not None or state is not None:
            raise Unsupported(
                "a bidirectional LSTM reads whole texts, one a row",
                received="segments or a state",
                expected="tokens or embeddings, with lengths",
            )
        x = embedded(self, tokens, embeddings)
        rows, length, _ = x.shape
        mirror = backwards(rows, length, x.device, lengths=lengths, segments=None)
        outputs = [x]
        for block in self.blocks:
            outputs.append(block(self.dropout(outputs[-1]), mirror))
        return Output(outputs[-1], collected=collected(collect, outputs))


def _placed(x: Float[Tensor, "B T D"], order: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    """At each place the vector that ``order`` names."""
    return x.gather(1, order[..., None].expand_as(x))


_CONLL_2003 = ("O", *(f"{place}-{kind}" for kind in ("LOC", "MISC", "ORG", "PER") for place in "BI"))

SIZES = {
    "huang": BiLSTMConfig(embedding_width=50, width=600, dropout=0.0, head="tagging", labels=_CONLL_2003, crf=True),
    "lample": BiLSTMConfig(head="tagging", labels=_CONLL_2003, crf=True),
}
"""The layers of Huang et al. 2015 and of Lample et al. 2016, section 5.1, for the entities of CoNLL-2003; their
networks read the spelling of words beside."""


def weight_map(config: BiLSTMConfig) -> WeightMap:
    """Our names are the file's."""
    halves = ("rightwards", "leftwards")
    names = ["embedding.weight", *(f"blocks.{{i}}.{half}.{name}" for half in halves for name in KERNEL_NAMES)]
    head = {"tagging": "tag", "span": "span"}.get(config.head, "classify")
    names += [f"{head}.output.weight", f"{head}.output.bias"]
    names += [f"tag.crf.{name}" for name in ("transitions", "start", "end") if config.crf]
    return same_names(names, layers=config.layers)
