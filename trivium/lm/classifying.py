"""Which of some labels a text has: by a network with a head, or by a language model that reads left to right.

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

from trivium.errors import CheckpointError, NonFiniteError, TokenizerError
from trivium.generation.reading import device_of, padded
from trivium.lm.scoring import TOKENS_AT_ONCE
from trivium.lm.together import together
from trivium.tokenizers import Tokenizer

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
        return cls(method=cast(Method, method), labels=tuple(labels or ()), prior=shares, context_tokens=context)

    def to_json(self) -> dict[str, Any]:
        """What `of` reads back."""
        return {
            "objective": OBJECTIVE,
            "method": self.method,
            "labels": list(self.labels),
            "prior": None if self.prior is None else list(self.prior),
            "context_tokens": self.context_tokens,
        }


def _is_distribution(shares: Any, count: int) -> bool:
    return (
        isinstance(shares, list | tuple)
        and len(shares) == count
        and all(type(share) in (float, int) and 0 <= share <= 1 for share in shares)
        and abs(sum(shares) - 1) < 1e-6
    )


@torch.inference_mode()
def classify_texts(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[str], facts: Mapping[str, Any]
) -> list[tuple[int, list[float]]]:
    """For each text the class that is most probable, and the probability of every class; they sum to 1.

    ``network`` is in evaluation mode; ``facts`` is what its ``trivium.json`` says, of which `LabelFacts` are taken.
    Raises ``CheckpointError`` where it does not say them, ``TokenizerError`` for a vocabulary without the tokens that
    are needed, ``NonFiniteError`` for weights that give no numbers.
    """
    known = LabelFacts.of(facts)
    if not texts:
        return []
    scores = _METHODS[known.method](network, tokenizer, tokenizer.encode_batch(list(texts)), known)
    probabilities = torch.softmax(scores, dim=-1)
    if bool(probabilities.isnan().any()):
        raise NonFiniteError("the model's scores are not numbers (NaN or infinite): nothing can be classified")
    return list(zip(probabilities.argmax(-1).tolist(), probabilities.tolist(), strict=True))


# What is read and what is written; training and use share it ---------------------------------------------------------


def label_token(label: str) -> str:
    """The special token of a label."""
    return f"<|label:{label}|>"


def label_ids(tokenizer: Tokenizer, labels: Sequence[str]) -> list[int]:
    """The ids of the labels' tokens. Raises ``TokenizerError`` where the vocabulary lacks one."""
    return [_required(tokenizer.id(label_token(label)), label_token(label)) for label in labels]


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
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[list[int]], facts: LabelFacts
) -> Float[Tensor, "N L"]:
    """The head's logits."""
    rows = [read_ids(tokenizer, text, facts.context_tokens) for text in texts]

    def score(tokens: Tensor, lengths: Tensor) -> Tensor:
        return network.classify(network(tokens, lengths=lengths).hidden, lengths)

    return _scored(network, rows, score, len(facts.labels))


def _discriminative(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[list[int]], facts: LabelFacts
) -> Float[Tensor, "N L"]:
    """The logits of the label tokens after the text."""
    rows = [read_ids(tokenizer, text, facts.context_tokens) for text in texts]
    labels = torch.tensor(label_ids(tokenizer, facts.labels), device=device_of(network))

    def score(tokens: Tensor, lengths: Tensor) -> Tensor:
        hidden = network(tokens, lengths=lengths).hidden
        last = hidden[torch.arange(len(lengths), device=hidden.device), lengths - 1]
        return network.head(last)[:, labels]

    return _scored(network, rows, score, len(facts.labels))


def _generative(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[list[int]], facts: LabelFacts
) -> Float[Tensor, "N L"]:
    """log p(y) + log p(x | y) for every label y."""
    rows = [written_ids(tokenizer, text, facts.context_tokens) for text in texts]
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


_METHODS: dict[Method, Callable[[nn.Module, Tokenizer, Sequence[list[int]], LabelFacts], Tensor]] = {
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
