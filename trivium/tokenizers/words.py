"""Counted words: what the trainers of sub-word vocabularies learn from.

The Rust trainers keep words in a hash table that is seeded anew in every process, and for some kinds the order in it
decides ties and ids. Counting here and handing over the words in a fixed order makes the same text give the same
vocabulary.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from trivium.errors import TokenizerError

Unit = TypeVar("Unit", str, int)

_APART = "\0"
_AT_ONCE_CHARACTERS = 1 << 20
_PRE_TOKENIZED_CHARACTERS = 1 << 16


def count_words(texts: Iterable[str], backend: Tokenizer) -> Counter[str]:
    """How often each word occurs in ``texts``, cut and normalised as ``backend`` does it."""
    counts: Counter[str] = Counter()
    normalizer, cutter = backend.normalizer, backend.pre_tokenizer
    for text in texts:
        for line in stretches(text):
            plain = line if normalizer is None else normalizer.normalize_str(line)
            counts.update(word for word, _ in cutter.pre_tokenize_str(plain))
    return counts


def within_alphabet(counts: Counter[str], alphabet_size: int | None) -> tuple[list[str], list[tuple[str, int]]]:
    """The characters to keep, most of ``counts`` first served, and the words spelt in them; both in sorted order."""
    characters: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            characters[character] += count
    del characters[_APART]
    by_count = sorted(characters, key=lambda character: (-characters[character], character))
    kept = sorted(by_count[:alphabet_size])
    allowed = set(kept)
    return kept, sorted((word, count) for word, count in counts.items() if allowed.issuperset(word))


def train_on_words(model: models.Model, trainer: trainers.Trainer, words: Iterable[tuple[str, int]]) -> models.Model:
    """``model`` as the Rust ``trainer`` makes it of counted words."""
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Split(_APART, "removed")
    backend.train_from_iterator(_repeated(words), trainer)
    return backend.model


def refuse_small(vocabulary_size: int | None, needed: int, kind: str) -> int:
    """``vocabulary_size``, or the error that tells how large it must be."""
    if vocabulary_size is None:
        raise TokenizerError(
            f"{kind} needs the size of its vocabulary",
            expected="vocabulary_size=, such as 4096 for a few megabytes of text",
            fix="give vocabulary_size",
        )
    if vocabulary_size < needed:
        raise TokenizerError(
            f"the vocabulary is too small for {kind}",
            received=f"vocabulary_size={vocabulary_size}",
            expected=f"at least {needed}: the special tokens and every character of the text",
            fix=f"set vocabulary_size to {needed} or more, or keep fewer characters with alphabet_size",
        )
    return vocabulary_size


def most_frequent(
    counts: Mapping[Unit, int], vocabulary_size: int | None, reserved: int, *, unit: str, otherwise: str
) -> list[Unit]:
    """The words or characters of ``counts``, the most frequent first, those of equal count in order of code points.

    Args:
        counts: how often each occurs.
        vocabulary_size: as many as fit in it are returned; None: all.
        reserved: entries of the vocabulary that are taken.
        unit: what is counted, for the error.
        otherwise: what leaving the size out would do, for the error.

    Raises:
        TokenizerError: no room is left.
    """
    ordered = sorted(counts, key=lambda one: (-counts[one], one))
    if vocabulary_size is None:
        return ordered
    if vocabulary_size <= reserved:
        raise TokenizerError(
            f"the vocabulary is too small for any {unit}",
            received=f"vocabulary_size={vocabulary_size}",
            expected=f"more than {reserved}: the special tokens and the unknown come first",
            fix=f"leave vocabulary_size out to {otherwise}",
        )
    return ordered[: vocabulary_size - reserved]


def stretches(text: str) -> Iterator[str]:
    """``text`` in parts that end at line ends where it has any: what is made of it is held for one part at a time."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + _PRE_TOKENIZED_CHARACTERS) + 1 or len(text)
        yield text[start:end]
        start = end


def _repeated(words: Iterable[tuple[str, int]]) -> Iterator[str]:
    for word, count in words:
        at_once = max(1, _AT_ONCE_CHARACTERS // (len(word) + 1))
        for start in range(0, count, at_once):
            yield _APART.join([word] * min(at_once, count - start))
