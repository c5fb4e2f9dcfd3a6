"""What is masked together: pieces, words, or phrases and names that are found in the training text."""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from trivium.data.names import names_in
from trivium.data.phrases import learn_phrases, phrases_of
from trivium.data.shards import TokenStore
from trivium.data.word_units import WordTable
from trivium.tokenizers import Tokenizer

Units = Literal["pieces", "words", "phrases"]

_LEARNT_FROM = 10_000_000
"""Tokens of the training text that phrases are learnt from: more tell no more."""


def units_of(units: Units, tokenizer: Tokenizer, train: TokenStore) -> Callable[[np.ndarray], np.ndarray] | None:
    """``(ids [T])`` gives the number [T] of the unit that each belongs to; None where each is its own.

    Phrases and names are those of ``train``, of its first ten million tokens: the same in every process.
    """
    if units == "pieces":
        return None
    words = WordTable.of(tokenizer)
    if units == "words":
        return words.units
    phrases = learn_phrases(_documents(train), words)
    names = names_in(tokenizer.decode(document.tolist()) for document in _documents(train))
    known = phrases | phrases_of(tokenizer.encode_batch([f" {name}" for name in names]), words)
    return lambda ids: known.units(ids, words)


def _documents(store: TokenStore) -> Iterator[np.ndarray]:
    """The documents within the first tokens; of a longer one its beginning."""
    for first, last in zip(store.boundaries[:-1], store.boundaries[1:], strict=True):
        if first >= _LEARNT_FROM:
            return
        yield store.gather(np.arange(first, min(last, _LEARNT_FROM)))
