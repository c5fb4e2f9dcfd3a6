"""The likelihood of whole texts: against sums by hand, ragged, at a temperature, on any causal model of the house."""

import numpy as np
import pytest
import torch

from trivium.errors import DataError
from trivium.evaluation.text_nats import nats_per_token, text_nats
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.lstm import LSTM, LSTMConfig

TEXTS = [[3, 1, 4], [1], [5, 2, 6, 5, 3], [5, 6]]


def model(kind: str) -> torch.nn.Module:
    torch.manual_seed(1)
    if kind == "gpt2":
        return GPT2(GPT2Config(vocabulary_size=7, width=8, layers=1, heads=2, context_tokens=8)).double()
    return LSTM(LSTMConfig(vocabulary_size=7, width=8, layers=2, dropout=0.5)).double()


@pytest.mark.parametrize("kind", ["lstm", "gpt2"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_each_text_by_itself(kind, temperature):
    network = model(kind)
    network.train()
    found = text_nats(network, TEXTS, start=0, temperature=temperature, rows=3)
    assert network.training  # dropout was off while it read, and is on again
    network.eval().requires_grad_(False)
    for text, nats in zip(TEXTS, found, strict=True):
        logits = network.head.logits(network(torch.tensor([[0, *text[:-1]]])).hidden[0])
        logs = torch.log_softmax(logits / temperature, dim=-1)
        assert nats == pytest.approx(-float(sum(logs[t, token] for t, token in enumerate(text))), abs=1e-10)


def test_a_token_counts_as_one_however_long_its_text():
    network = model("lstm")
    nats = text_nats(network, TEXTS, start=0)
    found = nats_per_token(network, TEXTS, start=0)
    assert found.estimate == pytest.approx(nats.sum() / 11, abs=1e-12)
    assert found.low < found.estimate < found.high
    assert nats_per_token(network, TEXTS, start=0, seed=0) == found
    assert nats_per_token(network, TEXTS, start=2).estimate != found.estimate


def test_arrays_are_texts_too():
    network = model("lstm")
    same = [np.array(text) for text in TEXTS]
    assert text_nats(network, same, start=0) == pytest.approx(text_nats(network, TEXTS, start=0), abs=1e-12)
    assert text_nats(network, [], start=0).shape == (0,)


def test_what_is_refused():
    with pytest.raises(DataError, match="without tokens"):
        text_nats(model("lstm"), [[1], []], start=0)
    with pytest.raises(DataError, match="cannot be resampled"):
        nats_per_token(model("lstm"), [[1, 2]], start=0)
