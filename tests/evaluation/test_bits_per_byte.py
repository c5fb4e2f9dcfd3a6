"""Bits per byte against the sum written out by hand."""

import math
from typing import Any

import pytest
import torch

from trivium import tokenizers
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError, DataError, TokenizerError
from trivium.evaluation.bits_per_byte import BitsPerByte, bits_per_byte, store_of_texts
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.llama import Llama, LlamaConfig

TEXTS = ["the cat sat on the mat, and then it sat some more: a café.", "", "¥5", "dogs " * 12]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tokenizers.train(TEXTS, kind="byte_bpe", vocabulary_size=280)


@pytest.fixture(scope="module")
def network(tokenizer: Any) -> Llama:
    torch.manual_seed(0)
    model = Llama(LlamaConfig(vocabulary_size=tokenizer.vocabulary_size, width=16, layers=2, heads=2, inner_width=24))
    for parameter in model.double().parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model.eval()


@torch.inference_mode()
def nats_by_hand(network: Llama, ids: list[int], window: int, stride: int) -> float:
    """-log p of every token but the first, each given what its window shows of the text before it."""
    total = 0.0
    for target in range(1, len(ids)):
        if target <= window:
            start = 0
        else:  # the first window that reaches the target, windows moving by the stride
            start = -(-(target - window) // stride) * stride
        hidden = network(torch.tensor([ids[start:target]])).hidden[0, -1]
        total -= float(torch.log_softmax(network.head(hidden), -1)[ids[target]])
    return total


@pytest.mark.parametrize(("window", "stride"), [(100, 100), (8, 8), (8, 3), (5, 1)])
def test_every_token_is_scored_once_in_its_window(network: Llama, tokenizer: Any, window: int, stride: int) -> None:
    found = bits_per_byte(
        network,
        store_of_texts(TEXTS, tokenizer, tokenizer.vocabulary_size),
        context_tokens=window,
        stride_tokens=stride,
    )
    documents = [[tokenizer.bos_id, *tokenizer.encode(text)] for text in TEXTS if text]
    expected = sum(nats_by_hand(network, ids, window, stride) for ids in documents)
    assert found.nats == pytest.approx(expected, rel=1e-12)
    assert found.tokens == sum(len(ids) - 1 for ids in documents)
    assert found.bytes == sum(len(text.encode()) for text in TEXTS)
    assert found.bits_per_byte == pytest.approx(expected / math.log(2) / found.bytes, rel=1e-12)
    assert found.loss == pytest.approx(expected / found.tokens, rel=1e-12)
    assert found.perplexity == pytest.approx(math.exp(found.loss), rel=1e-12)


def test_without_a_first_token_the_first_token_and_its_bytes_are_left_out(tokenizer: Any) -> None:
    characters = tokenizers.train(["aé€b"], kind="character")
    characters._config = {}
    store = store_of_texts(["é€ba", "b"], characters, characters.vocabulary_size)
    assert (store.num_documents, store.num_tokens, store.num_bytes) == (1, 4, 5)


def test_perplexity_beyond_fp64_is_infinite() -> None:
    assert BitsPerByte(nats=2000.0, tokens=2, bytes=1).perplexity == math.inf


def test_what_cannot_be_measured(network: Llama, tokenizer: Any) -> None:
    store = store_of_texts(TEXTS, tokenizer, tokenizer.vocabulary_size)
    small = GPT2(GPT2Config(vocabulary_size=tokenizer.vocabulary_size, width=8, layers=1, heads=1, context_tokens=16))
    with pytest.raises(ConfigError, match=r"windows of this size[\s\S]*1 to 16"):
        bits_per_byte(small, store, context_tokens=17)
    with pytest.raises(ConfigError, match="stride does not fit"):
        bits_per_byte(network, store, context_tokens=8, stride_tokens=9)
    with pytest.raises(DataError, match="no text to evaluate on"):
        store_of_texts(["", ""], tokenizer, tokenizer.vocabulary_size)
    with pytest.raises(TokenizerError, match="different vocabularies"):
        store_of_texts(TEXTS, tokenizer, 100)
    with pytest.raises(DataError, match="bytes of this text are not known"):
        bits_per_byte(network, TokenStore.of([[1, 2, 3]], vocabulary_size=9), context_tokens=8)


def test_text_that_the_vocabulary_cannot_spell_is_refused() -> None:
    tokenizer = tokenizers.train(["abc abc"], kind="character")
    with pytest.raises(DataError, match="does not know"):
        store_of_texts(["abcd"], tokenizer, tokenizer.vocabulary_size)
