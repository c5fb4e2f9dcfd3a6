"""Which of some labels a text has, or which number: by a network with a head, or by a language model that reads left to
right.

A head reads a text, or two that belong together, as the vocabulary's post-processor puts them into a row.

A language model knows each label as a special token, ``<|label:positive|>``, and is trained in one of two ways. They
share the network and the vocabulary and differ in what is predicted (Ng and Jordan 2002, "On Discriminative vs.
Generative Classifiers"; for recurrent networks Yogatama et al. 2017, "Generative and Discriminative Text Classification
with Recurrent Neural Networks", sections 2.1 and 2.2):

    discriminative    begin x_1 ... x_T  ->  label                p(y | x), among the label tokens
    generative        label  ->  x_1 ... x_T end                  p(x | y), and by Bayes' rule p(y | x) ~ p(y) p(x | y)

A generative model writes a text of a class when it is given the label's token. Texts are cut where the training cut
them, and then have no end token.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.errors import CheckpointError, NonFiniteError, TokenizerError, Unsupported
from trivium.generation.reading import device_of, padded
from trivium.lm.protocol import Label
from trivium.lm.reading import (
    check_like_training,
    check_texts,
    head_rows,
    kind_of,
    read_hidden,
    trained_on_pairs,
)
from trivium.lm.together import TOKENS_AT_ONCE, together
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.joined import Joined, Text

OBJECTIVE = "classification"
"""What ``trivium.json`` calls the objective of a model that classifies."""
Method = Literal["head", "discriminative", "generative"]


@dataclass(frozen=True, kw_only=True)
class LabelFacts:
    """What must be known of a network to classify with it; ``trivium.json`` holds it."""

    method: Method
    """How it tells the labels."""
    labels: tuple[str, ...]
    """The labels, in the order of their classes."""
    prior: tuple[float, ...] | None = None
    """p(y): the share of each label in what it was trained on; a generative model needs it."""
    context_tokens: int | None = None
    """Tokens that it reads of a text; None: all."""
    pairs: bool | None = None
    """Whether it was trained on pairs of texts, or on single ones; None: not known."""

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> "LabelFacts":
        """From the content of ``trivium.json``. Raises ``CheckpointError`` where that does not tell them."""
        method, labels = described.get("method"), described.get("labels")
        prior, context = described.get("prior"), described.get("context_tokens")
        told = (
            described.get("objective") == OBJECTIVE
            and method in get_args(Method)
            and isinstance(labels, list | tuple)
            and len(labels) > 0
            and all(isinstance(label, str) for label in labels)
            and len(set(labels)) == len(labels)
            and (_is_distribution(prior, len(labels)) if prior is not None else method != "generative")
            and (context is None or (type(context) is int and context > 0))
        )
        if not told:
            named = ("objective", "method", "labels", "prior", "context_tokens")
            raise CheckpointError(
                "the model does not say how it tells which labels apart",
                received=", ".join(f"{name} {described.get(name)!r}" for name in named),
                expected="a folder whose trivium.json has objective, method, labels and prior",
                fix="copy trivium.json from where the model was trained",
            )
        shares = None if prior is None else tuple(map(float, prior))
        return cls(
            method=cast(Method, method),
            labels=tuple(labels or ()),
            prior=shares,
            context_tokens=context,
            pairs=trained_on_pairs(described),
        )

    def to_json(self) -> dict[str, Any]:
        """What `of` reads back."""
        return {
            "objective": OBJECTIVE,
            "method": self.method,
            "labels": list(self.labels),
            "prior": None if self.prior is None else list(self.prior),
            "context_tokens": self.context_tokens,
            "pairs": self.pairs,
        }


def _is_distribution(shares: Any, count: int) -> bool:
    return (
        isinstance(shares, list | tuple)
        and len(shares) == count
        and all(type(share) in (float, int) and 0 <= share <= 1 for share in shares)
        and abs(sum(shares) - 1) < 1e-6
    )


def head_facts(config: Any) -> Mapping[str, Any]:
    """What ``trivium.json`` would say of a network with a head, where it does not."""
    return LabelFacts(method="head", labels=config.labels).to_json()


def label_texts(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[Text], facts: Mapping[str, Any]
) -> list[Label]:
    """See ``LanguageModel.classify``; the arguments and errors are those of ``classify_texts``."""
    check_texts(texts, "classify")
    known = LabelFacts.of(facts)
    check_like_training(texts, known.pairs)
    labels = known.labels
    return [
        Label(
            label=labels[best],
            probability=probabilities[best],
            probabilities=dict(zip(labels, probabilities, strict=True)),
        )
        for best, probabilities in classify_texts(network, tokenizer, texts, facts)
    ]


@torch.inference_mode()
def classify_texts(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[Text], facts: Mapping[str, Any]
) -> list[tuple[int, list[float]]]:
    """For each text, or pair of texts, the class that is most probable, and the probability of every class; they sum
    to 1.

    ``network`` is in evaluation mode; ``facts`` is what its ``trivium.json`` says, of which `LabelFacts` are taken.
    Raises ``CheckpointError`` where it does not say them, ``TokenizerError`` for a vocabulary without the tokens that
    are needed, ``Unsupported`` for pairs where the model reads one text, ``NonFiniteError`` for weights that give no
    numbers.
    """
    known = LabelFacts.of(facts)
    if not texts:
        return []
    scores = _METHODS[known.method](network, tokenizer, texts, known)
    probabilities = torch.softmax(scores, dim=-1)
    if bool(probabilities.isnan().any()):
        raise NonFiniteError("the model's scores are not numbers (NaN or infinite): nothing can be classified")
    return list(zip(probabilities.argmax(-1).tolist(), probabilities.tolist(), strict=True))


@torch.inference_mode()
def regress_texts(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[Text], context_tokens: int | None = None
) -> list[float]:
    """The number that the head gives each text, or pair of texts.

    ``context_tokens`` are read of each at most, and no more than the network holds. Raises ``Unsupported`` for a head
    of several numbers, ``NonFiniteError`` for weights that give no numbers.
    """
    config: Any = network.config
    if len(config.labels) > 1:
        raise Unsupported(
            "the head gives several numbers a text", received=", ".join(config.labels), expected="a head of one"
        )
    found = torch.empty(len(texts), 1, dtype=torch.float64)
    for places, hidden, lengths in read_hidden(network, _rows(network, tokenizer, texts, context_tokens)):
        found[places] = network.classify(hidden, lengths).double().cpu()
    if not bool(found.isfinite().all()):
        raise NonFiniteError("the model's scores are not numbers (NaN or infinite): nothing can be estimated")
    return found[:, 0].tolist()


# What is read and what is written; training and use share it ---------------------------------------------------------


def label_token(label: str) -> str:
    """The special token of a label."""
    return f"<|label:{label}|>"


def label_ids(tokenizer: Tokenizer, labels: Sequence[str]) -> list[int]:
    """The ids of the labels' tokens. Raises ``TokenizerError`` where the vocabulary lacks one."""
    return [_required(tokenizer.id(label_token(label)), label_token(label)) for label in labels]


def reads_joined(network: nn.Module, tokenizer: Tokenizer) -> bool:
    """Whether a network with a head reads texts as the vocabulary's post-processor joins them: all do but those that
    were built to label single texts, and whose vocabulary has only a token that begins them."""
    return kind_of(network) != "classifier" or None not in (tokenizer.cls_id, tokenizer.sep_id)


def read_ids(tokenizer: Tokenizer, text_ids: Sequence[int], context_tokens: int | None) -> list[int]:
    """What a head, or a discriminative model, reads of a text: the token that begins texts, and as much as fits."""
    return [_required(tokenizer.bos_id, "bos_token"), *text_ids][:context_tokens]


def written_ids(tokenizer: Tokenizer, text_ids: Sequence[int], context_tokens: int | None) -> list[int]:
    """What a generative model writes after a label: the text and the token that ends it, or as much as fits."""
    return [*text_ids, _required(tokenizer.eos_id, "eos_token")][:context_tokens]


def _required(found: int | None, token: str) -> int:
    if found is None:
        raise TokenizerError(
            "the vocabulary lacks a token that classification needs",
            received=f"no {token}",
            fix="use the tokenizer that was saved with the model",
        )
    return found


# Scores of the classes, [N, L] fp64, up to a constant in each row -----------------------------------------------------


def _by_head(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[Text], facts: LabelFacts
) -> Float[Tensor, "N L"]:
    """The head's logits."""
    scores = torch.empty(len(texts), len(facts.labels), dtype=torch.float64, device=device_of(network))
    for places, hidden, lengths in read_hidden(network, _rows(network, tokenizer, texts, facts.context_tokens)):
        scores[places] = network.classify(hidden, lengths).double()
    return scores


def _rows(network: nn.Module, tokenizer: Tokenizer, texts: Sequence[Text], longest: int | None) -> list[Joined]:
    """What a head reads."""
    if reads_joined(network, tokenizer):
        return head_rows(network, tokenizer, texts, longest)
    rows = [read_ids(tokenizer, text, longest) for text in _encoded(tokenizer, texts)]
    return [Joined(ids=row, types=[0] * len(row), sides=[0] * len(row), offsets=[]) for row in rows]


def _encoded(tokenizer: Tokenizer, texts: Sequence[Text]) -> list[list[int]]:
    """The ids of texts that are read alone. Raises ``Unsupported`` for pairs."""
    alone = [text for text in texts if isinstance(text, str)]
    if len(alone) < len(texts):
        raise Unsupported(
            "this model reads one text, and not two that belong together",
            received="pairs of texts",
            fix="give texts, or use a pre-trained model with a head",
        )
    return tokenizer.encode_batch(alone)


def _discriminative(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[Text], facts: LabelFacts
) -> Float[Tensor, "N L"]:
    """The logits of the label tokens after the text."""
    rows = [read_ids(tokenizer, text, facts.context_tokens) for text in _encoded(tokenizer, texts)]
    labels = torch.tensor(label_ids(tokenizer, facts.labels), device=device_of(network))

    def score(tokens: Tensor, lengths: Tensor) -> Tensor:
        hidden = network(tokens, lengths=lengths).hidden
        last = hidden[torch.arange(len(lengths), device=hidden.device), lengths - 1]
        return network.head(last)[:, labels]

    return _scored(network, rows, score, len(facts.labels))


def _generative(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[Text], facts: LabelFacts
) -> Float[Tensor, "N L"]:
    """log p(y) + log p(x | y) for every label y."""
    rows = [written_ids(tokenizer, text, facts.context_tokens) for text in _encoded(tokenizer, texts)]
    ids = label_ids(tokenizer, facts.labels)

    def score(tokens: Tensor, lengths: Tensor) -> Tensor:
        valid = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        found = torch.zeros(len(ids), *valid.shape, dtype=torch.float64, device=tokens.device)
        for number, label in enumerate(ids):
            read = torch.cat([torch.full_like(tokens[:, :1], label), tokens[:, :-1]], dim=1)
            hidden = network(read, lengths=lengths).hidden
            # fp64, because they are summed: a long text would lose digits.
            found[number, valid] = network.head.log_prob(hidden[valid], tokens[valid]).double()
        return found.sum(-1).T

    assert facts.prior is not None, "LabelFacts.of requires it"
    prior = torch.tensor(facts.prior, dtype=torch.float64, device=device_of(network))
    return prior.log() + _scored(network, rows, score, len(ids))


_METHODS: dict[Method, Callable[[nn.Module, Tokenizer, Sequence[Text], LabelFacts], Tensor]] = {
    "head": _by_head,
    "discriminative": _discriminative,
    "generative": _generative,
}


def _scored(
    network: nn.Module, rows: Sequence[list[int]], score: Callable[[Tensor, Tensor], Tensor], labels: int
) -> Float[Tensor, "N L"]:
    """``score(tokens [B, T], lengths [B]) -> [B, L]`` of all rows, those of about one length together."""
    device = device_of(network)
    scores = torch.empty(len(rows), labels, dtype=torch.float64, device=device)
    for chosen in together([len(row) for row in rows], TOKENS_AT_ONCE):
        scores[chosen] = score(*padded([rows[row] for row in chosen], device)).double()
    return scores
