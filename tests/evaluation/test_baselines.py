"""n-gram probabilities worked out by hand, and xz where the answer is plain."""

import math

import numpy as np
import pytest

from trivium.data.shards import TokenStore
from trivium.evaluation.baselines import bits_per_byte, ngram_bits, xz_bits_per_byte


def store(*documents: list[int], size: int = 4) -> TokenStore:
    return TokenStore.of(documents, vocabulary_size=size, document_bytes=[2 * len(d) for d in documents])


# Token 0 begins a document and is never a target. Targets: 1 2 1 3 | 1 2; c(1) = 3, c(2) = 2, c(3) = 1, N = 6, T = 3.
TRAIN = store([0, 1, 2, 1, 3], [0, 1, 2])


def unigram(token: int) -> float:
    return ({1: 3, 2: 2, 3: 1}.get(token, 0) + 3 * 1 / 4) / (6 + 3)


def bigram(before: int, token: int) -> float:
    # After 0: 1 twice. After 1: 2 twice, 3 once. After 2: 1 once.
    counts = {0: {1: 2}, 1: {2: 2, 3: 1}, 2: {1: 1}}.get(before, {})
    if not counts:
        return unigram(token)
    return (counts.get(token, 0) + len(counts) * unigram(token)) / (sum(counts.values()) + len(counts))


def trigram(history: tuple[int, int], token: int) -> float:
    counts = {(0, 1): {2: 2}, (1, 2): {1: 1}, (2, 1): {3: 1}}.get(history, {})
    if not counts:
        return bigram(history[1], token)
    return (counts.get(token, 0) + len(counts) * bigram(history[1], token)) / (sum(counts.values()) + len(counts))


def test_unigram_by_hand():
    expected = [-math.log2(unigram(t)) for t in (1, 3, 2)]
    np.testing.assert_allclose(ngram_bits(TRAIN, store([0, 1, 3], [0, 2]), 1), expected)


def test_bigram_by_hand():
    # 3 was never a history, so what follows it is left to the unigram.
    expected = [-math.log2(p) for p in (bigram(0, 1), bigram(1, 3), bigram(3, 2), bigram(0, 2))]
    np.testing.assert_allclose(ngram_bits(TRAIN, store([0, 1, 3, 2], [0, 2]), 2), expected)


def test_trigram_by_hand():
    # The first target of a document has only one token before it.
    probabilities = (bigram(0, 1), trigram((0, 1), 2), trigram((1, 2), 1), trigram((2, 1), 2), trigram((1, 2), 2))
    held_out = store([0, 1, 2, 1, 2, 2])
    np.testing.assert_allclose(ngram_bits(TRAIN, held_out, 3), [-math.log2(p) for p in probabilities])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_of_all_tokens_sum_to_one(order: int):
    for history in ([0], [0, 1], [0, 1, 2], [0, 2, 1], [0, 3, 3]):
        last = [ngram_bits(TRAIN, store([*history, token]), order)[-1] for token in range(4)]
        assert sum(2 ** -np.array(last)) == pytest.approx(1.0)


def test_bits_per_byte_divides_by_the_bytes_of_the_text():
    held_out = store([0, 1, 2])
    bits = ngram_bits(TRAIN, held_out, 1)
    assert bits_per_byte(bits, held_out) == pytest.approx(bits.sum() / 6)


def test_xz_gains_from_having_read_the_training_text():
    random = np.random.default_rng(0)
    text = "".join(map(chr, random.integers(97, 123, 4000)))
    other = "".join(map(chr, random.integers(97, 123, 4000)))
    assert xz_bits_per_byte([text], [text]) < 0.2
    # Uniform letters cannot be coded in less than log2(26) bits.
    assert math.log2(26) * 0.99 < xz_bits_per_byte([other], [text]) < 6
