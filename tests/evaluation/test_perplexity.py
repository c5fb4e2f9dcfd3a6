"""Perplexity by every count, against the definition and the harness's windows."""

import importlib.util
import math
import pathlib
import re
from typing import Any

import pytest
import torch

from trivium import tokenizers
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.evaluation.perplexity import Perplexity, perplexity, pseudo_perplexity
from trivium.lm.local import LocalModel

_spec = importlib.util.spec_from_file_location("small", pathlib.Path(__file__).parents[1] / "lm" / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

TEXTS = ["the cat sat on the mat,\nand it sat some  more: a caf\u00e9. ", "", "\u00a55", "dogs " * 30]


@pytest.fixture(scope="module")
def model() -> LocalModel:
    tokenizer = small.byte_tokenizer()
    return LocalModel(small.network("gpt2", tokenizer.vocabulary_size), tokenizer)


def surprise(model: LocalModel, ids: list[int], target: int, start: int) -> float:
    logits = model.logits(torch.tensor([ids[start:target]]))[0, -1]
    return -float(torch.log_softmax(logits, -1)[ids[target]])


@pytest.mark.parametrize(("window", "stride"), [(48, 48), (48, 24), (12, 5), (8, 1)])
def test_each_token_is_scored_once_by_the_first_window_that_reaches_it(
    model: LocalModel, window: int, stride: int
) -> None:
    nats, tokens = 0.0, 0
    for text in TEXTS:
        ids = [model.tokenizer.bos_id, *model.tokenizer.encode(text)]
        start, last = 0, 1  # the loop that is quoted everywhere, from the first target to the last
        while last < len(ids):
            end = min(start + window, len(ids) - 1)
            nats += sum(surprise(model, ids, target, start) for target in range(last, end + 1))
            tokens += end + 1 - last
            start, last = start + stride, end + 1
    found = perplexity(model.network, model.tokenizer, TEXTS, context_tokens=window, stride_tokens=stride)
    assert (found.tokens, found.nats) == (tokens, pytest.approx(nats, rel=1e-12))


def test_every_count_is_of_the_text(model: LocalModel) -> None:
    found = perplexity(model.network, model.tokenizer, TEXTS, context_tokens=48)
    assert found.tokens == sum(len(model.tokenizer.encode(text)) for text in TEXTS)
    assert found.bytes == sum(len(text.encode()) for text in TEXTS)
    assert found.characters == sum(len(text) for text in TEXTS)
    assert found.words == sum(len(re.split(r"\s+", text)) for text in TEXTS if text)
    assert math.log(found.per_word) * found.words == pytest.approx(found.nats)
    assert math.log(found.per_character) * found.characters == pytest.approx(found.nats)
    assert found.per_byte == pytest.approx(2**found.bits_per_byte)
    assert found.per_token == pytest.approx(math.exp(found.loss))
    assert Perplexity(nats=1e6, tokens=1, words=1, bytes=1, characters=1).per_token == math.inf


def test_a_short_text_is_scored_as_the_harness_rolls_over_it(model: LocalModel) -> None:
    text = "the cat sat on the mat"
    found = perplexity(model.network, model.tokenizer, [text], context_tokens=48)
    (score,) = model.score([("", text)])
    assert (found.tokens, found.nats) == (score.tokens, pytest.approx(-score.logprob, rel=1e-12))


def test_without_a_first_token_nothing_is_counted_for_it() -> None:
    words = small.masked_tokenizer()
    words._backend.post_processor = None
    network = small.network("llama", words.vocabulary_size)
    found = perplexity(network, words, ["the cat sat", "dogs"], context_tokens=16)
    assert (found.tokens, found.words, found.characters) == (2, 2, len("cat sat"))


def test_pseudo_perplexity_is_of_each_word_among_all_others() -> None:
    words = small.masked_tokenizer()
    model = LocalModel(small.network("bert", words.vocabulary_size), words)
    texts = ["the cat sat on the mat", "  ", "dogs and cats run"]
    found = pseudo_perplexity(model, texts)
    nats = 0.0
    for text in texts:
        ids = [words.id("[CLS]"), *words.encode(text), words.id("[SEP]")]
        for place in range(1, len(ids) - 1):
            masked = torch.tensor([ids])
            masked[0, place] = words.id("[MASK]")
            nats -= float(torch.log_softmax(model.logits(masked)[0, place], -1)[ids[place]])
    assert (found.tokens, found.words) == (10, 10)
    assert found.per_token == pytest.approx(math.exp(nats / 10), rel=1e-10)


def test_what_cannot_be_measured(model: LocalModel) -> None:
    with pytest.raises(ConfigError, match="windows of this size"):
        perplexity(model.network, model.tokenizer, TEXTS, context_tokens=49)
    with pytest.raises(DataError, match="no text to evaluate on"):
        perplexity(model.network, model.tokenizer, [""], context_tokens=8)
    with pytest.raises(DataError, match="no text to evaluate on"):
        pseudo_perplexity(model, [" "])
    with pytest.raises(Unsupported, match="cannot be scored this way"):
        pseudo_perplexity(model, ["the cat"])
    letters = tokenizers.train(["abc"], kind="character")
    network: Any = small.network("llama", letters.vocabulary_size)
    with pytest.raises(DataError, match="does not know"):
        perplexity(network, letters, ["xyz"], context_tokens=8)
