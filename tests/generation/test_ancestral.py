"""Batches of texts from a model's own distribution: what they are drawn from, and from which chance."""

import pytest
import torch

from trivium.generation.ancestral import continued, sample
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.lstm import LSTM, LSTMConfig

V = 4


def model(kind: str) -> torch.nn.Module:
    torch.manual_seed(2)
    if kind == "gpt2":
        network = GPT2(GPT2Config(vocabulary_size=V, width=8, layers=1, heads=2, context_tokens=6))
    else:
        network = LSTM(LSTMConfig(vocabulary_size=V, width=8, layers=1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(6)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("kind", ["lstm", "gpt2"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_texts_have_the_chances_that_the_model_gives_them(kind, temperature):
    network = model(kind)
    start = torch.tensor([[1, 3]]).expand(6000, 2)
    drawn = sample(network, start, 2, temperature=temperature)
    rows = torch.cat([torch.tensor([[1, 3]]).expand(V, 2), torch.arange(V)[:, None]], 1)
    logs = torch.log_softmax(network.head.logits(network(rows).hidden) / temperature, -1)
    expected = 6000 * (logs[0, 1][:, None] + logs[:, 2]).exp()
    counts = torch.bincount(drawn[:, 0] * V + drawn[:, 1], minlength=V * V).view(V, V)
    assert ((counts - expected).abs() < 5 * expected.sqrt() + 1).all()
    assert expected.max() > 5 * expected.min()  # the model does prefer some


def test_chance_is_the_default_generator_or_the_one_given():
    network, start = model("lstm"), torch.zeros(5, 1, dtype=torch.long)
    torch.manual_seed(0)
    first = sample(network, start, 9)
    torch.manual_seed(0)
    assert torch.equal(sample(network, start, 9), first)
    given = [torch.Generator().manual_seed(seed) for seed in (7, 7, 8)]
    before = torch.get_rng_state()
    drawn = [sample(network, start, 9, chance=each) for each in given]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_a_text_is_continued_where_it_stands():
    network, start = model("lstm"), torch.tensor([[2], [0]])
    output = network(torch.tensor([[2, 1], [0, 3]]), state=network.new_state(2, 2))
    torch.manual_seed(0)
    after = continued(network, output.hidden[:, -1], output.state, 4)
    torch.manual_seed(0)
    assert torch.equal(sample(network, torch.tensor([[2, 1], [0, 3]]), 4), after)
    assert after.shape == (2, 4) and not sample(network, start, 1).is_inference()


def test_no_gradient_is_kept():
    network = model("lstm").requires_grad_(True)
    assert not sample(network, torch.zeros(2, 1, dtype=torch.long), 3).requires_grad
