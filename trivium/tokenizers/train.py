"""Make a vocabulary from text."""

from collections.abc import Iterable
from itertools import chain

from trivium.errors import TokenizerError, Unsupported
from trivium.tokenizers.byte_bpe import train_byte_bpe
from trivium.tokenizers.character import train_character
from trivium.tokenizers.load import CONFIG
from trivium.tokenizers.special import SpecialTokens
from trivium.tokenizers.tokenizer import Tokenizer

KINDS = ("byte_bpe", "character")
_LATER = ("bpe", "wordpiece", "unigram", "word")


def train(
    texts: Iterable[str],
    kind: str = "byte_bpe",
    *,
    vocabulary_size: int | None = None,
    special: SpecialTokens | None = None,
) -> Tokenizer:
    """A tokenizer learnt from ``texts``.

    Args:
        texts: the training documents; nothing else may be learnt from.
        kind: "byte_bpe" (any text, compact) or "character" (one token a character of the training text).
        vocabulary_size: tokens in all, special ones included. Required for "byte_bpe"; for "character" it limits the
            vocabulary to the most frequent characters.
        special: the special tokens; by default bos, eos and pad, and for "byte_bpe" the three chat roles as well.

    Raises:
        Unsupported: a kind that this release does not train.
        TokenizerError: no text, or a vocabulary that cannot hold what it must.
    """
    if kind not in KINDS:
        raise Unsupported(
            "this kind of vocabulary is not trained yet" if kind in _LATER else "there is no such kind of vocabulary",
            received=f"kind={kind!r}",
            expected=" or ".join(repr(known) for known in KINDS),
            fix='use kind="byte_bpe", which spells any text',
        )
    filled = _first_required(texts)
    if kind == "character":
        special = special or SpecialTokens(roles=())
        backend = train_character(filled, vocabulary_size=vocabulary_size, special=special)
    else:
        if vocabulary_size is None:
            raise TokenizerError(
                "byte-level BPE needs the size of its vocabulary",
                expected="vocabulary_size=, such as 4096 for a few megabytes of text",
                fix="give vocabulary_size",
            )
        special = special or SpecialTokens()
        backend = train_byte_bpe(filled, vocabulary_size=vocabulary_size, special=special)
    roles = {"bos_token": special.bos, "eos_token": special.eos, "pad_token": special.pad}
    return Tokenizer(backend, {**CONFIG, **roles})


def check_vocabulary(tokenizer: Tokenizer, vocabulary_size: int) -> None:
    """Refuse a model whose embedding has fewer rows than the tokenizer has ids.

    More rows are fine: models are padded to round sizes.

    Raises:
        TokenizerError: some ids of the tokenizer are outside the model.
    """
    if tokenizer.vocabulary_size > vocabulary_size:
        raise TokenizerError(
            "the tokenizer and the model have different vocabularies",
            received=f"a tokenizer with {tokenizer.vocabulary_size} ids, a model with {vocabulary_size}",
            expected="every id of the tokenizer inside the model",
            fix="use the tokenizer that was saved with the model, or train a model on this one",
        )


def _first_required(texts: Iterable[str]) -> Iterable[str]:
    """``texts``, refused when there is nothing in them."""
    remaining = (text for text in texts if text)
    first = next(remaining, None)
    if first is None:
        raise TokenizerError(
            "there is no text to learn a vocabulary from",
            received="no document, or only empty ones",
            fix="check the source and the cleaning rules",
        )
    return chain([first], remaining)
