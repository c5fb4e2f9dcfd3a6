"""Rows of ids that a network reads whole, and the hidden states that it makes of them."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import DataError
from trivium.generation.reading import device_of, padded
from trivium.lm.together import TOKENS_AT_ONCE, together
from trivium.models import architecture
from trivium.nn.output import Output
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.joined import Joined, Text

_SHOWN = 80
Read = Callable[..., Output]
"""``read(tokens, lengths=...)``: what reads rows, where that is not the whole network."""


def read_hidden(
    network: nn.Module, rows: Sequence[Joined], *, at_once: int = TOKENS_AT_ONCE, read: Read | None = None
) -> Iterator[tuple[list[int], Float[Tensor, "B T D"], Int[Tensor, "B"]]]:
    """(places of some rows, their hidden states, their lengths) until every row was read; those of about one length
    are read together, ``at_once`` tokens at a time."""
    device = device_of(network)
    typed = reads_types(network)
    for chosen in together([len(row.ids) for row in rows], at_once):
        tokens, lengths = padded([rows[place].ids for place in chosen], device)
        told = {"token_types": padded([rows[place].types for place in chosen], device)[0]} if typed else {}
        yield chosen, (read or network)(tokens, lengths=lengths, **told).hidden, lengths


def head_rows(network: nn.Module, tokenizer: Tokenizer, texts: Sequence[Text], longest: int | None) -> list[Joined]:
    """What a network with a head reads of each text or pair of texts: as the vocabulary's post-processor joins them, at
    most ``longest`` tokens, and no more than the network holds.

    Raises ``DataError`` where not even one token of a text would fit, and for a text of which nothing is to be read.
    """
    rows = tokenizer.encode_joined(texts, at_most(longest, longest_row(network)))
    empty = next((number for number, row in enumerate(rows) if not row.ids), None)
    if empty is not None:
        raise DataError(f"text {empty} is empty: there is nothing to read", fix="leave empty texts out")
    return rows


def longest_row(network: nn.Module) -> int | None:
    """Tokens of the longest row that the network was made for; None: any."""
    config: Any = network.config
    return config.context_tokens


def at_most(*limits: int | None) -> int | None:
    """The smallest of the limits that there are."""
    return min((limit for limit in limits if limit is not None), default=None)


def reads_types(network: nn.Module) -> bool:
    """Whether the network is told which of two texts a token belongs to."""
    config: Any = network.config
    return takes(network, "token_types") and vars(config).get("token_types", 2) > 1


def takes(network: nn.Module, keyword: str) -> bool:
    """Whether the network's ``forward`` has what only some architectures have: token types, an order of reading."""
    return keyword in inspect.signature(network.forward).parameters


def masked_hidden(network: nn.Module, tokens: Int[Tensor, "B T"], places: Int[Tensor, "B P"]) -> Float[Tensor, "B P D"]:
    """The hidden states from which the masked tokens at ``places`` are predicted, none of which sees another.

    A network that was trained in orders of chance (XLNet) predicts them by queries that come after all other tokens.
    """
    if takes(network, "ranks"):
        return network(tokens, ranks=torch.zeros_like(tokens).scatter(1, places, 1), predicted=places).hidden
    rows = torch.arange(len(tokens), device=tokens.device)[:, None]
    return network(tokens).hidden[rows, places]


def kind_of(network: nn.Module) -> str:
    """What the network is built as; see ``trivium.models.Kind``."""
    config: Any = network.config
    return architecture(config.to_hf()["model_type"]).kind


def check_texts(texts: Sequence[object], method: str) -> None:
    """Raises ``DataError`` unless these are texts, or pairs of texts."""
    if isinstance(texts, str) or not all(_is_text(text) for text in texts):
        given = "one text" if isinstance(texts, str) else "what is no text"
        raise DataError(f"{method} takes several texts, or pairs of texts", received=given, fix=f"{method}([text])")


def _is_text(text: object) -> bool:
    pair = isinstance(text, tuple) and len(text) == 2 and all(isinstance(side, str) for side in text)
    return isinstance(text, str) or pair


def trained_on_pairs(described: Mapping[str, Any]) -> bool | None:
    """What ``trivium.json`` says of it, for labels and for numbers."""
    found = described.get("pairs")
    return found if isinstance(found, bool) else None


def check_like_training(texts: Sequence[Text], pairs: bool | None) -> None:
    """Raises ``DataError`` for a text alone where the model was trained on ``pairs``, and for the reverse: it would
    answer, and mean nothing by it."""
    wrong = next((text for text in texts if isinstance(text, tuple) is not pairs), None) if pairs is not None else None
    if wrong is not None:
        raise DataError(
            "the model was trained on " + ("pairs of texts, and here is one alone" if pairs else "texts, not on pairs"),
            received=repr(wrong)[:_SHOWN],
            expected="two texts: sentence1 and sentence2 of a line, a second_field" if pairs else "one text at a time",
        )
