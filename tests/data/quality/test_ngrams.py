"""The model of trusted text: by hand, against a second implementation, and on real text."""

import collections
import json
import math
import random

import numpy as np
import pytest

from trivium.data.quality.ngrams import NgramConfig, NgramModel, ngram_hashes
from trivium.errors import ConfigError, DataError


def test_two_letters_by_hand():
    # Bigrams ab ab ba; as they are too few to estimate discounts, these are 0.5, 1 and 1.5.
    # Each letter follows one other: p(a) = (1 - 0.5)/2 + 0.5 * 1/3, the vocabulary being a, b and the unknown.
    # p(b|a) = (2 - 1)/2 + 1/2 p(b), p(a|b) = (1 - 0.5)/1 + 0.5/1 p(a).
    model = NgramModel.train(["abab"], NgramConfig(order=2))
    one = 0.25 + 0.5 / 3
    two = 0.5 + 0.5 * one
    assert np.exp(model.log_probabilities("abab")) == pytest.approx([one, two, two, two])
    assert model.perplexity("ab") == pytest.approx(math.exp(-(math.log(one) + math.log(two)) / 2))
    # A letter it never saw: what is left after a, times a third of what is left altogether.
    assert np.exp(model.log_probabilities("ax"))[1] == pytest.approx(0.5 * 0.5 / 3)


def second_implementation(texts: list[str], order: int):
    """Chen and Goodman's recursion with dictionaries and strings."""
    raw = [collections.Counter() for _ in range(order + 1)]
    for text in texts:
        for length in range(1, order + 1):
            raw[length].update(text[end - length : end] for end in range(length, len(text) + 1))
    counts = {}
    for length in range(1, order + 1):
        if length == order:
            counts[length] = raw[length]
        else:
            left = collections.Counter(longer[1:] for longer in raw[length + 1])
            counts[length] = {gram: max(left[gram], 1) for gram in raw[length]}
    discounts = {}
    for length in counts:
        n = [0] + [sum(value == number for value in counts[length].values()) for number in (1, 2, 3, 4)]
        y = n[1] / (n[1] + 2 * n[2]) if all(n[1:]) else None
        found = [0, 1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]] if y else None
        discounts[length] = found if found and min(found[1:]) > 0 else [0, 0.5, 1, 1.5]

    def probability(context: str, character: str) -> float:
        length = len(context) + 1
        follow = {gram: count for gram, count in counts[length].items() if gram[:-1] == context}
        if context:
            below = probability(context[1:], character)
            if not follow:
                return below
        else:
            below = 1 / (len(follow) + 1)
        total = sum(follow.values())
        discount = discounts[length]
        left = sum(discount[min(count, 3)] for count in follow.values()) / total
        own = follow.get(context + character, 0)
        return (own - discount[min(own, 3)]) / total + left * below

    return probability


def test_equals_a_second_implementation(articles):
    texts = [" ".join(article[:900].casefold().split()) for article in articles[:3]]
    texts = ["".join(c for c in text if not c.isdigit() and c.isascii()).strip() for text in texts]
    model = NgramModel.train(texts, NgramConfig(order=4))
    probability = second_implementation([" ".join(text.split()) for text in texts], 4)
    for text in ("the history of the town", "zzz a b quite other words", "é the"):
        expected = [probability(text[max(0, at - 3) : at], text[at]) for at in range(len(text))]
        assert np.exp(model.log_probabilities(text)) == pytest.approx(expected, rel=1e-5)


def test_probabilities_add_up_to_one_in_any_context(model, articles):
    rng = random.Random(0)
    vocabulary = {character for article in articles for character in article[:400_000].casefold()}
    text = " ".join("".join(articles).casefold().split())
    contexts = [text[at : at + rng.randrange(1, 9)] for at in (rng.randrange(100_000) for _ in range(8))]
    contexts = [context for context in contexts if context == context.strip()] + ["zqzqzq", "\u4e00", "th\u4e00t"]
    known = [c for c in sorted(vocabulary) if c in " \n" or not c.isspace()]
    known = [c for c in known if c != "\n" and not c.isdigit()] + ["0"]
    known = [c for c in known if math.exp(model.log_probabilities(f"\u4e01{c}x")[1]) > model.floor * 1.0001 or c == " "]
    for context in contexts:
        at = len(context)
        total = sum(math.exp(model.log_probabilities(f"{context}{c}x")[at]) for c in known)
        unknown = math.exp(model.log_probabilities(f"{context}\ue000x")[at])
        assert total + unknown == pytest.approx(1, abs=2e-5)


def test_real_text_is_told_from_shuffled_words_and_noise(model, articles, shared_data):
    rng = random.Random(0)
    test = (shared_data / "wikitext2" / "test.txt").read_text(encoding="utf-8").split("\n = ")
    real = [article[:3000] for article in test if len(article) > 1000][:30]
    shuffled, scrambled = [], []
    for text in real:
        words = text.split()
        scrambled.append(" ".join("".join(rng.sample(word, len(word))) for word in words))
        rng.shuffle(words)
        shuffled.append(" ".join(words))
    good, mixed, noise = ([model.perplexity(text) for text in texts] for texts in (real, shuffled, scrambled))
    assert np.mean([one < other for one in good for other in mixed]) > 0.95  # the area under the curve
    assert max(good) < min(noise)
    german = (shared_data / "ntrex" / "newstest2019-ref.deu.txt").read_text(encoding="utf-8")[:3000]
    chinese = (shared_data / "ntrex" / "newstest2019-ref.zho-CN.txt").read_text(encoding="utf-8")[:3000]
    assert max(good) < model.perplexity(german) < model.perplexity(chinese)


def test_saved_and_loaded_it_is_the_same(model, tmp_path, articles):
    model.save(tmp_path / "a")
    again = NgramModel.load(tmp_path / "a")
    again.save(tmp_path / "b")
    for name in ("model.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    for text in articles[:3]:
        assert again.perplexity(text) == model.perplexity(text)


@pytest.mark.parametrize("harm", ["missing", "cut", "json", "format", "order"])
def test_a_damaged_model_is_a_clear_error(tmp_path, harm):
    NgramModel.train(["some text"], NgramConfig(order=2)).save(tmp_path)
    weights, about = tmp_path / "model.safetensors", tmp_path / "model.json"
    if harm == "missing":
        weights.unlink()
    elif harm == "cut":
        weights.write_bytes(weights.read_bytes()[:-5])
    elif harm == "json":
        about.write_text("[" * 100_000)
    else:
        changed = {"format": {"format": "other"}, "order": {"order": 3}}[harm]
        about.write_text(json.dumps(json.loads(about.read_text()) | changed))
    with pytest.raises(DataError, match="does not hold a model"):
        NgramModel.load(tmp_path)


def test_training_reads_no_further_than_it_is_told(articles):
    def endless():
        yield articles[0][:600]
        yield articles[1][:600]
        raise AssertionError("read on")

    model = NgramModel.train(endless(), NgramConfig(order=3, training_characters=800))
    assert len(model.tables) == 3


def test_rare_long_ngrams_are_left_out(articles):
    texts = [article[:5000] for article in articles[:4]]
    whole, pruned = (NgramModel.train(texts, NgramConfig(order=6, minimum_count=count)) for count in (1, 2))
    sizes = [[len(table.keys) for table in model.tables] for model in (whole, pruned)]
    assert sizes[0][:4] == sizes[1][:4]
    assert sizes[0][4] > 1.5 * sizes[1][4] and sizes[0][5] > 1.5 * sizes[1][5]


def test_where_nothing_long_is_left_the_short_ones_do():
    model = NgramModel.train(["abcdefghij"])
    assert len(model.tables) == 4
    assert math.isfinite(model.perplexity("abcdefghij zz"))


def test_neither_case_nor_digits_nor_white_space_count(model):
    assert model.perplexity("In  1912 the\nShip sailed") == model.perplexity("in 4077 the ship sailed")


def test_a_long_text_is_sampled(model, articles):
    text = "".join(articles)[400_000:600_000]
    whole = math.exp(-model.log_probabilities(text).mean())
    assert model.perplexity(text) == pytest.approx(whole, rel=0.06)


def test_texts_of_nothing():
    with pytest.raises(DataError, match="no trusted text"):
        NgramModel.train(["", " \n"])
    model = NgramModel.train(["ab"])  # shorter than the order
    assert len(model.tables) == 2
    assert model.perplexity("") == math.inf and model.perplexity(" ") == math.inf
    assert math.isfinite(model.perplexity("\ud800")) and math.isfinite(model.perplexity("a"))


@pytest.mark.parametrize("wrong", [{"order": 0}, {"training_characters": 0}, {"minimum_count": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        NgramConfig(**wrong)


def test_a_hostile_line(model):
    assert math.isfinite(model.perplexity("a" * 10_000_000))


def test_hashes_are_as_defined():
    # Part of the format: a model saved by one release is read by the next.
    def scramble(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        return x ^ x >> 31

    expected = context = 0
    for character in "dab":
        expected = scramble((context * 0x9E3779B97F4A7C15 + ord(character) + 1) % 2**64)
        context = expected
    codes = np.frombuffer("xdab".encode("utf-32-le"), dtype="<u4")
    assert [int(hashes[3]) for hashes in ngram_hashes(codes, 3)][2] == expected
