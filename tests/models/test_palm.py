"""What only PaLM has: the z-loss, one head of keys, and how its weights begin."""

import pytest
import torch

from trivium.models.palm import PaLM, PaLMConfig


def model(**fields) -> PaLM:
    torch.manual_seed(0)
    config = PaLMConfig(vocabulary_size=600, width=32, layers=2, heads=4, head_width=8, inner_width=40, **fields)
    return PaLM(config).double()


@pytest.mark.parametrize("tied", [True, False])
def test_z_loss_is_that_of_the_logits_of_real_tokens(tied: bool) -> None:
    network = model(tied=tied).train()
    tokens, lengths = torch.randint(600, (2, 5)), torch.tensor([5, 2])
    output = network(tokens, lengths=lengths)
    real = torch.cat([output.hidden[0], output.hidden[1, :2]])
    expected = 1e-4 * network.head.logits(real).logsumexp(-1).square().sum()
    torch.testing.assert_close(output.auxiliary["z"], expected, rtol=1e-12, atol=0)
    parameters = list(network.parameters())
    ours, plain = (
        torch.autograd.grad(loss, parameters, retain_graph=True) for loss in (output.auxiliary["z"], expected)
    )
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_z_loss_is_for_training_and_can_be_left_out() -> None:
    tokens = torch.randint(600, (1, 4))
    assert model().eval()(tokens).auxiliary == {}
    assert model(z_loss_weight=0.0).train()(tokens).auxiliary == {}


def test_one_head_of_keys_is_all_that_is_cached() -> None:
    cache = model().new_state(3, 7).layers[0]
    assert cache.keys.shape == (3, 1, 7, 8)


def test_logits_begin_near_unit_variance() -> None:
    """Embeddings of N(0, 1) and logits divided by sqrt(D) (section 5)."""
    network = model()
    assert network.embedding.weight.std().item() == pytest.approx(1.0, abs=0.05)
    assert network.head.logits(network(torch.arange(64)[None]).hidden).std().item() == pytest.approx(1.0, abs=0.3)
