"""A language model that scores texts: the body of any decoder or recurrent model, and numbers at the last token.

    network = with_scores(load_model(folder), ("helpful", "harmless"))        # the model itself, its output head gone
    estimates = network.classify(network(tokens, lengths=lengths).hidden, lengths)

A reward model is "the SFT model with the final unembedding layer removed" (Ouyang et al. 2022, section 3.5), one linear
map in its place; of several criteria each has a row of it. The end token that a text is trained with has read all of
it. The files are those of `transformers`' ``LlamaForSequenceClassification`` and its sisters: ``score.weight`` without
a bias, and no ``lm_head``. Families that only Trivium knows are spelt alike.

The network keeps its class, as an encoder does under its heads: ``classify`` is there and ``head`` is None. So every
name of a module stays what it was, and whatever is done to a language model (adapters, packing, checkpointing) is done
to it in the same way.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from torch import nn

from trivium.errors import ConfigError, Unsupported
from trivium.models import Architecture, architecture
from trivium.models.head_format import check_head, read_head, write_head
from trivium.nn.classification_head import ClassificationHead
from trivium.nn.weight_map import Rename, WeightMap

SCORE = "score"
"""What published files call the head, and the label of a single number."""
_ENDING = "ForSequenceClassification"
_LANGUAGE = ("ForCausalLM", "LMHeadModel")
# Where the network with a head is not called as the language model is.
_FAMILIES = {"gemma3_text": "Gemma3Text"}
_OF_HEAD = ("id2label", "label2id", "num_labels", "problem_type")
_KINDS = ("decoder", "recurrent")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoredConfig:
    """A language model's body and the numbers that it gives a text; has every field of ``body`` as well."""

    body: Any
    """Shape of the language model: its own configuration."""
    head: Literal["regression"] = "regression"
    """What it says of a text: numbers."""
    labels: tuple[str, ...] = (SCORE,)
    """Names of the numbers, in the order of the head's outputs."""
    pad_id: int | None = None
    """The id that others fill rows up with, by which `transformers` finds the last token of a text; never the one that
    texts end with. Nothing here reads it."""

    def __post_init__(self) -> None:
        check_head(self.head, self.labels)

    def __getattr__(self, name: str) -> Any:
        if name == "body" or name.startswith("__"):  # while it is copied there is no body yet
            raise AttributeError(name)
        return getattr(self.body, name)

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> "ScoredConfig":
        """From a ``config.json`` that ``is_scored``; ``Unsupported`` where the head tells classes apart."""
        (network,) = config["architectures"]
        told = read_head(config, network.removesuffix(_ENDING), language=_LANGUAGE)
        if told["head"] != "regression":
            raise Unsupported(
                "a language model has a head of numbers, and this one tells labels apart",
                received=f"problem_type {config.get('problem_type')}, {len(told['labels'])} labels",
                expected='one output, or problem_type "regression"',
                fix="where its outputs are numbers, say so in its config.json",
            )
        body = architecture(config["model_type"]).config_class()
        fields = {name: value for name, value in config.items() if name not in _OF_HEAD}
        return cls(body=body.from_hf(fields), labels=told["labels"], pad_id=config.get("pad_token_id"))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        written: dict[str, Any] = self.body.to_hf()
        (network,) = map(str, written["architectures"])
        for ending in _LANGUAGE:
            network = network.removesuffix(ending)
        family = _FAMILIES.get(str(written["model_type"]), network)
        return {**written, **write_head(self, family, language=_LANGUAGE[0]), "pad_token_id": self.pad_id}


def is_scored(row: Architecture, config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` of this architecture describes a language model's body under another head."""
    named: Any = config.get("architectures")
    single = isinstance(named, list) and len(named) == 1
    return row.kind in _KINDS and single and str(named[0]).endswith(_ENDING)


def scored(config: ScoredConfig) -> nn.Module:
    """A new network with random weights."""
    row = architecture(config.body.to_hf()["model_type"])
    return with_scores(row.model_class()(config.body), config.labels, pad_id=config.pad_id)


def with_scores(network: nn.Module, labels: tuple[str, ...] = (SCORE,), *, pad_id: int | None = None) -> nn.Module:
    """The language model ``network`` itself, with a new head of one number for each of ``labels`` in place of its own.

    The head is drawn from N(0, 1 / (D + 1)), so that scores begin with a spread of about 1 (Stiennon et al. 2020,
    appendix B.1). One that has such a head gets another. Raises ``Unsupported`` for a network that is no language model
    which reads left to right, ``ConfigError`` for an id that is not in the vocabulary.
    """
    config: Any = network.config
    body = config.body if isinstance(config, ScoredConfig) else config
    row = architecture(body.to_hf()["model_type"])
    if row.kind not in _KINDS:
        raise Unsupported(
            "a head of scores stands on a language model that reads left to right",
            received=f"{row.name}, of kind {row.kind!r}",
            expected="a decoder or a recurrent language model; encoders have heads of their own",
        )
    if pad_id is not None and not 0 <= pad_id < body.vocabulary_size:
        raise ConfigError("pad_id is not in the vocabulary", received=pad_id, expected=f"below {body.vocabulary_size}")
    if isinstance(config, ScoredConfig):
        like = network.get_submodule("classify.output").get_parameter("weight")
    else:
        like = network.get_submodule("head").get_parameter("weight")
    head = ClassificationHead(like.shape[1], len(labels), pooling="last", bias=False)
    nn.init.normal_(head.output.weight, std=1 / math.sqrt(like.shape[1] + 1))
    changed: Any = network
    changed.head = None
    changed.classify = head.to(device=like.device, dtype=like.dtype)
    changed.config = ScoredConfig(body=body, labels=labels, pad_id=pad_id)
    return network


def weight_map(body: WeightMap) -> WeightMap:
    """The map of a body under scores, from that of its language model."""
    kept = tuple(entry for entry in body.entries if not any(name.startswith("head.") for name in entry.names()[0]))
    tied = tuple(name for name in body.tied if not name.startswith("head."))
    score = Rename("classify.output.weight", f"{SCORE}.weight")
    return dataclasses.replace(body, entries=(*kept, score), tied=tied)
