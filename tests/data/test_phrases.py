"""Phrases learnt from a text, and names given as a list, as units of masking."""

import numpy as np
import pytest

from trivium.data.names import names_in
from trivium.data.phrases import Phrases, learn_phrases, phrases_of
from trivium.data.word_units import WordTable
from trivium.objectives.masked import mask_row
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.train import train

NOUNS = ["river", "house", "garden", "window", "letter", "horse", "morning", "doctor"]


def corpus() -> list[str]:
    """Words by chance; "steam engine" always together, "old steam engine" often, "hot" and "river" only by chance."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(300):
        words = [NOUNS[i] for i in rng.integers(len(NOUNS), size=7)]
        words.insert(int(rng.integers(7)), "hot")
        if number % 4 == 0:
            words.insert(int(rng.integers(7)), "old steam engine" if number % 8 == 0 else "steam engine")
        lines.append(" ".join(words) + ".")
    return lines


@pytest.fixture(scope="module", params=["wordpiece", "byte_bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train([*corpus(), "an old house of steam, a river"], request.param, vocabulary_size=300)


def grouped(tokenizer: Tokenizer, phrases: Phrases, text: str) -> list[str]:
    ids = np.array(tokenizer.encode(text))
    units = phrases.units(ids, WordTable.of(tokenizer))
    return [tokenizer.decode(ids[units == number].tolist()).strip() for number in range(units[-1] + 1)]


def test_what_always_stands_together_is_a_phrase_and_what_meets_by_chance_is_none(tokenizer: Tokenizer):
    words = WordTable.of(tokenizer)
    phrases = learn_phrases(map(tokenizer.encode, corpus()), words)
    assert grouped(tokenizer, phrases, " hot river steam engine garden.") == [
        "hot", "river", "steam engine", "garden", "."
    ]  # fmt: skip
    assert grouped(tokenizer, phrases, " an old steam engine")[-1] == "old steam engine"
    assert grouped(tokenizer, phrases, " steam, engine") == ["steam", ",", "engine"]
    again = learn_phrases(map(tokenizer.encode, corpus()), words)
    assert all(np.array_equal(again.hashes[size], known) for size, known in phrases.hashes.items())
    assert len(learn_phrases(map(tokenizer.encode, corpus()), words, least_count=1000)) == 0
    assert len(learn_phrases([], words)) == 0


def test_names_are_matched_whole_and_the_longer_one_first(tokenizer: Tokenizer):
    words = WordTable.of(tokenizer)
    names = phrases_of([tokenizer.encode(" " + name) for name in ("river house", "river house of steam", "hot")], words)
    assert len(names) == 2  # one word is a unit already
    assert grouped(tokenizer, names, " hot river house of steam") == ["hot", "river house of steam"]
    assert grouped(tokenizer, names, " hot river house river of steam") == [
        "hot",
        "river house",
        "river",
        "of",
        "steam",
    ]
    more = names | phrases_of([tokenizer.encode(" hot river")], words)
    assert len(more) == 3
    assert grouped(tokenizer, more, " hot river house") == ["hot river", "house"]  # what begins first


def test_phrases_are_masked_whole_at_the_rate_that_was_asked_for(tokenizer: Tokenizer):
    words = WordTable.of(tokenizer)
    phrases = learn_phrases(map(tokenizer.encode, corpus()), words)
    ids = np.array(tokenizer.encode(" ".join(corpus()[:4])))
    units = phrases.units(ids, words)
    shares = []
    for seed in range(3000):
        options = {"mask_id": 1, "vocabulary_size": 300, "units": units}
        mask = mask_row(ids, np.random.default_rng(seed), **options)[1]
        assert all(len(set(mask[units == unit])) == 1 for unit in set(units[mask]))
        shares.append(mask.mean())
    assert abs(np.mean(shares) - 0.15) < 4 * np.std(shares) / len(shares) ** 0.5


def test_names_are_found_by_their_capitals():
    text = (
        "It was then that Elizabeth Bennet met the King of Spain. Elizabeth Bennet smiled. But the King of Spain left "
        "for New York. Then Mary left. CHAPTER SEVENTEEN. I saw it, and then we saw New York."
    )
    assert names_in([text]) == ["Elizabeth Bennet", "King of Spain", "New York"]
    assert names_in([text], least_count=3) == []
    assert names_in(iter([text, text]))[0] == "Elizabeth Bennet"
