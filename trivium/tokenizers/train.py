"""Make a vocabulary from text."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain

import tokenizers

from trivium.errors import TokenizerError, Unsupported
from trivium.tokenizers.around import put_around
from trivium.tokenizers.bpe import train_bpe
from trivium.tokenizers.byte_bpe import train_byte_bpe
from trivium.tokenizers.character import train_character
from trivium.tokenizers.files import CONFIG
from trivium.tokenizers.protocol import Tokenizer
from trivium.tokenizers.special import BERT, NEEDS_UNKNOWN, WITH_UNKNOWN, SpecialTokens
from trivium.tokenizers.tokenizer import JsonTokenizer
from trivium.tokenizers.unigram import train_unigram
from trivium.tokenizers.word import train_word
from trivium.tokenizers.wordpiece import train_wordpiece

_DEFAULT_SPECIAL = {
    "byte_bpe": SpecialTokens(),
    "bpe": WITH_UNKNOWN,
    "wordpiece": BERT,
    "unigram": WITH_UNKNOWN,
    "word": WITH_UNKNOWN,
    "character": SpecialTokens(roles=()),
}
KINDS = tuple(_DEFAULT_SPECIAL)
_LONG_RUN = re.compile(r"\S{10000}|\s{10000}")
_KINDS_WITH = {
    "minimum_count": ("word",),
    "lowercase": ("wordpiece", "word"),
    "alphabet_size": ("bpe", "wordpiece", "unigram"),
}


def train(
    texts: Iterable[str],
    kind: str = "byte_bpe",
    *,
    vocabulary_size: int | None = None,
    special: SpecialTokens | None = None,
    minimum_count: int | None = None,
    lowercase: bool | None = None,
    alphabet_size: int | None = None,
) -> Tokenizer:
    """A tokenizer learnt from ``texts``.

    Args:
        texts: the training documents; nothing else may be learnt from.
        kind: "byte_bpe" (any text, compact), "bpe" (merged characters), "wordpiece" (BERT), "unigram" (SentencePiece,
            T5), "word" (a token a word) or "character" (a token a character).
        vocabulary_size: tokens in all, special ones included. Required but for "word" and "character", where it limits
            the vocabulary to the most frequent words or characters.
        special: the special tokens; by default bos, eos, pad and the three chat roles, with ``<unk>`` where the kind
            needs it; for "wordpiece" BERT's five, for "character" no roles.
        minimum_count: "word" only: words seen more rarely are unknown (default 2).
        lowercase: "wordpiece" and "word" only: capitals (and in WordPiece accents) are dropped (default False).
        alphabet_size: "bpe", "wordpiece" and "unigram" only: rarer characters than this many are unknown (default: all
            characters of ``texts`` are kept).

    Raises:
        Unsupported: there is no such kind.
        TokenizerError: no text, a vocabulary that cannot hold what it must, or an option of another kind.
    """
    if kind not in KINDS:
        raise Unsupported(
            "there is no such kind of vocabulary",
            received=f"kind={kind!r}",
            expected=" or ".join(repr(known) for known in KINDS),
            fix='use kind="byte_bpe", which spells any text',
        )
    given = {"minimum_count": minimum_count, "lowercase": lowercase, "alphabet_size": alphabet_size}
    _check_options(kind, given)
    special = special or _DEFAULT_SPECIAL[kind]
    _check_special(kind, special)
    trainers: dict[str, Callable[..., tokenizers.Tokenizer]] = {
        "byte_bpe": train_byte_bpe,
        "bpe": partial(train_bpe, alphabet_size=alphabet_size),
        "wordpiece": partial(train_wordpiece, lowercase=bool(lowercase), alphabet_size=alphabet_size),
        "unigram": partial(train_unigram, alphabet_size=alphabet_size),
        "word": partial(train_word, minimum_count=minimum_count or 2, lowercase=bool(lowercase)),
        "character": train_character,
    }
    backend = trainers[kind](_first_required(_cut(texts)), vocabulary_size=vocabulary_size, special=special)
    put_around(backend, special)
    extra = {"extra_special_tokens": [*special.roles, *special.others]} if special.others else {}
    return JsonTokenizer(backend, {**CONFIG, **special.named(), **extra})


def _cut(texts: Iterable[str]) -> Iterator[str]:
    """The texts, runs of ten thousand characters without a space (or of spaces alone) cut.

    Merging takes time with the square of a word's length: a picture in base64 would take hours, and teach nothing.
    """
    for text in texts:
        begin = 0
        for run in _LONG_RUN.finditer(text):
            yield text[begin : run.end()]
            begin = run.end()
        yield text[begin:]


def _check_options(kind: str, given: dict[str, object]) -> None:
    for option, value in given.items():
        if value is not None and kind not in _KINDS_WITH[option]:
            raise TokenizerError(
                f"{option} does not apply to this kind of vocabulary",
                received=f"{option}={value!r} with kind={kind!r}",
                expected=f"kind {' or '.join(map(repr, _KINDS_WITH[option]))}",
                fix=f"leave {option} out",
            )
        if type(value) is int and value < 1:
            raise TokenizerError(f"{option} must be positive", received=f"{option}={value}", expected="1 or more")


def _check_special(kind: str, special: SpecialTokens) -> None:
    tokens = list(special)
    if len(set(tokens)) < len(tokens) or not all(tokens):
        raise TokenizerError(
            "the special tokens are not all different, or one is empty",
            received=", ".join(map(repr, tokens)),
            fix="give each role a token of its own, or None",
        )
    if (special.unk is not None) != (kind in NEEDS_UNKNOWN):
        needs = kind in NEEDS_UNKNOWN
        raise TokenizerError(
            "this kind needs a token for what it cannot spell" if needs else "this kind has no unknown token",
            received=f"special.unk={special.unk!r} with kind={kind!r}",
            fix='give SpecialTokens(unk="<unk>")' if needs else "leave unk out",
        )


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
