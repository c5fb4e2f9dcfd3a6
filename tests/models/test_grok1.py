"""What only Grok-1 has, against the equations of its released program."""

import pytest
import torch

from trivium.errors import ConfigError
from trivium.models.grok1 import Grok1, Grok1Config

SMALL = {"vocabulary_size": 50, "width": 24, "layers": 2, "heads": 6, "key_value_heads": 1, "inner_width": 10}


def test_an_expert_weighs_its_share_of_all_experts() -> None:
    """Softmax over all, then the best two: their weights do not add up to 1 (`model.py`, MoELayer)."""
    torch.manual_seed(0)
    model = Grok1(Grok1Config(**SMALL)).double().eval()
    layer = model.blocks[0].feedforward
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(1, 5, 24, dtype=torch.float64)
    shares = torch.softmax(x[0] @ layer.router.logits.weight.T, dim=-1)
    expected = torch.zeros(5, 24, dtype=torch.float64)
    for n in range(5):
        for e in shares[n].topk(2).indices.tolist():
            gate, up = (layer.gate_up.weight[e] @ x[0, n]).chunk(2)
            inner = torch.nn.functional.gelu(gate, approximate="tanh") * up
            expected[n] += shares[n, e] * (layer.down.weight[e] @ inner)
    torch.testing.assert_close(layer(x)[0], expected, rtol=0, atol=1e-10)


def test_embeddings_and_logits_are_multiplied() -> None:
    model = Grok1(Grok1Config(**SMALL)).double().eval()
    tokens = torch.arange(5)[None]
    torch.testing.assert_close(model.embed(tokens), model.embedding.weight[:5][None] * 24**0.5)
    hidden = model(tokens).hidden
    torch.testing.assert_close(model.head.logits(hidden), hidden @ model.embedding.weight.T * 0.5773502691896257)


def test_the_balance_of_experts_is_a_loss_of_training() -> None:
    model, tokens = Grok1(Grok1Config(**SMALL)), torch.arange(6)[None]
    assert set(model.train()(tokens).auxiliary) == {"load_balance"}
    assert model.eval()(tokens).auxiliary == {}
    assert len(model(tokens, collect=("routing",)).collected["routing"]) == 2


def test_more_experts_than_there_are_cannot_be_chosen() -> None:
    with pytest.raises(ConfigError, match="so many experts"):
        Grok1Config(**SMALL, experts=2, chosen_experts=3)
