"""What can be asked of a model: it follows from how it is built, its head, its purpose and its vocabulary."""

from typing import Any

from trivium.errors import Unsupported
from trivium.lm.completing import marks_of
from trivium.lm.filling import mask_id, sentinel_id
from trivium.lm.purpose import Purpose
from trivium.models import Architecture
from trivium.tokenizers import Tokenizer

_OF_KIND = {
    "decoder": {"logits", "generate", "stream", "chat", "score", "embed", "complete"},
    "recurrent": {"logits", "generate", "stream", "chat", "score", "embed", "complete"},
    "bidirectional recurrent": {"logits", "generate", "stream", "chat", "score", "embed"},  # by its forward half
    "encoder": {"logits", "score", "embed", "fill"},
    "encoder-decoder": {"logits", "generate", "stream", "embed", "fill"},
    "recurrent encoder-decoder": {"logits", "generate", "stream"},
}
_OF_HEAD = {
    "classification": {"classify"},
    "regression": {"regress"},
    "tagging": {"tag"},
    "span": {"answer"},
    "none": {"embed"},
    "replaced": {"embed"},  # whether a token is the text's own is no question of a reader
}
_OF_TEXT = {"stream", "chat", "score", "embed", "fill", "classify", "regress", "tag", "answer", "complete"}


def able(row: Architecture, config: Any, purpose: Purpose | None) -> frozenset[str]:
    """What a model can do that is given a fitting tokenizer."""
    head = head_of(config) if row.kind != "classifier" else vars(config).get("head", "classification")
    if head in _OF_HEAD:
        return frozenset(_OF_HEAD[head])
    can = set(_OF_KIND[row.kind])
    if purpose == "classification":
        can.add("classify")
    if purpose in ("answering", "text_to_text"):
        can.add("answer")
    return frozenset(can)


def with_tokenizer(can: frozenset[str], tokenizer: Tokenizer | None) -> frozenset[str]:
    """What is left of it with this tokenizer: nothing about texts without one, and no blanks and no middle without
    tokens for them."""
    if tokenizer is None:
        return can - _OF_TEXT
    if mask_id(tokenizer) is None and sentinel_id(tokenizer) is None:
        can = can - {"fill"}
    return can if marks_of(tokenizer) is not None else can - {"complete"}


def head_of(config: Any) -> str:
    """The head of a network with this configuration; "language" for architectures that can have no other."""
    return vars(config).get("head", "language")


def refusal(capability: str, row: Architecture, able: frozenset[str], tokenizer: Tokenizer | None) -> Unsupported:
    """What to raise where a model cannot do something; it is ``able`` to so much with a fitting tokenizer."""
    if tokenizer is None and capability in able:
        return Unsupported(
            f"{capability} needs a tokenizer, and this model has none",
            expected="a folder with tokenizer.json",
            fix="copy the tokenizer's files into the model's folder, or work with ids: generate([[1, 2, 3]], ...)",
        )
    return Unsupported(
        f"this {row.name} model cannot {capability}",
        received=capability,
        expected=", ".join(sorted(with_tokenizer(able, tokenizer))) or "nothing but training",
    )
