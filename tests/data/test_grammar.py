"""A context-free language: its sentences are those of another parser, each once, drawn as evenly as is said."""

import collections
import itertools
import math

import pytest

from trivium.data.grammar import ARITHMETIC, Grammar
from trivium.errors import ConfigError, DataError

DYCK = Grammar({"s": ("pair", "pair s"), "pair": ("( )", "( s )")}, start="s")


def parsed(words: list[str]) -> bool:
    """Recursive descent over arithmetic, from the left: the end of the longest sum has to be the end of all."""

    def total(place: int) -> int:
        place = factor(place)
        while place < len(words) and words[place] in "+-*/":
            place = factor(place + 1)
        return place

    def factor(place: int) -> int:
        if place >= len(words):
            raise ValueError
        if words[place] in "xyz12":
            return place + 1
        if words[place] not in "([":
            raise ValueError
        end = total(place + 1)
        if end >= len(words) or words[end] != {"(": ")", "[": "]"}[words[place]]:
            raise ValueError
        return end + 1

    try:
        return total(0) == len(words)
    except ValueError:
        return False


def test_every_text_of_up_to_five_words_is_judged_as_a_parser_does():
    words = ["x", "+", "/", "(", ")", "[", "]"]
    sentences = collections.Counter()
    for length in range(1, 6):
        for text in itertools.product(words, repeat=length):
            assert (list(text) in ARITHMETIC) == parsed(list(text)), text
            sentences[length] += parsed(list(text))
    assert sentences == {1: 1, 2: 0, 3: 2 + 2, 4: 0, 5: 4 + 3 * 4 + 4}


def test_sentences_and_their_near_misses():
    for sentence in ARITHMETIC.sentences(12, longest=19, seed=1):
        words = sentence.split()
        assert words in ARITHMETIC and parsed(words)
        for place in range(len(words)):
            for word in ARITHMETIC.terminals:
                changed = [*words[:place], word, *words[place + 1 :]]
                assert (changed in ARITHMETIC) == parsed(changed)
            assert (words[:place] in ARITHMETIC) == parsed(words[:place])


def test_what_is_no_word_is_no_sentence():
    assert [] not in ARITHMETIC and ["q"] not in ARITHMETIC and ["x", "", "y"] not in ARITHMETIC
    assert ["sum"] not in ARITHMETIC and ["(", "factor", ")"] not in ARITHMETIC  # names of rules are no words


def test_each_sentence_has_one_number():
    for grammar, longest in ((ARITHMETIC, 4), (DYCK, 12)):
        for length in range(1, longest + 1):
            numbered = [tuple(grammar.sentence(length, number)) for number in range(grammar.count(length))]
            assert len(set(numbered)) == len(numbered)
            assert all(len(words) == length and list(words) in grammar for words in numbered)


def test_counts():
    assert [DYCK.count(2 * n) for n in range(1, 11)] == [math.comb(2 * n, n) // (n + 1) for n in range(1, 11)]
    assert DYCK.count(7) == DYCK.count(0) == 0
    assert [ARITHMETIC.count(n) for n in (1, 2, 3)] == [5, 0, 4 * 25 + 2 * 5]
    assert len(ARITHMETIC.terminals) == 13
    assert ARITHMETIC.lengths(15) == [1, 3, 5, 7, 9, 11, 13, 15]
    assert ARITHMETIC.count(15) > 10**9


def test_draws_are_even_over_lengths_and_within_them():
    drawn = ARITHMETIC.sentences(4000, longest=3, seed=0)
    counts = collections.Counter(drawn)
    lengths = collections.Counter(len(sentence.split()) for sentence in drawn)
    assert lengths[1] == pytest.approx(2000, abs=5 * math.sqrt(1000))
    assert len(counts) == 5 + 110
    for sentence, count in counts.items():
        expected = 2000 / ARITHMETIC.count(len(sentence.split()))
        assert count == pytest.approx(expected, abs=5 * math.sqrt(expected)), sentence
    nats = -math.fsum(count / 4000 * math.log(count / 4000) for count in counts.values())
    assert ARITHMETIC.nats(3) == pytest.approx(nats, abs=0.03)
    assert ARITHMETIC.nats(3) == pytest.approx(math.log(2) + (math.log(5) + math.log(110)) / 2)


def test_a_seed_is_a_stream():
    first = ARITHMETIC.sentences(50, longest=15, seed=3)
    assert ARITHMETIC.sentences(80, longest=15, seed=3)[:50] == first
    assert ARITHMETIC.sentences(50, longest=15, seed=4) != first
    assert len(set(ARITHMETIC.sentences(1000, longest=15, seed=0))) > 700


def test_what_is_refused():
    with pytest.raises(ConfigError, match="start symbol"):
        Grammar({"a": ("b",)}, start="b")
    with pytest.raises(ConfigError, match="nothing at all"):
        Grammar({"a": ("b", "")}, start="a")
    with pytest.raises(ConfigError, match="becomes itself"):
        Grammar({"a": ("b", "c"), "b": ("a",)}, start="a")
    with pytest.raises(ConfigError, match="becomes itself"):
        Grammar({"a": ("a",)}, start="a")
    with pytest.raises(DataError, match="no such sentence of 3 words"):
        ARITHMETIC.sentence(3, 110)
    with pytest.raises(DataError, match="no sentence so short"):
        DYCK.sentences(1, longest=1, seed=0)
