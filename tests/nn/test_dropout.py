"""The three dropouts of recurrent networks: what is dropped, what holds over time, and what evaluation sees of it."""

import torch
from torch import nn

from trivium.nn.dropout import LockedDropout, WordDropout, with_dropped_weights


def test_locked_dropout_keeps_one_mask_over_time() -> None:
    torch.manual_seed(0)
    dropout, x = LockedDropout(0.4), torch.randn(50, 7, 40)
    kept = dropout(x) / x
    assert torch.equal(kept != 0, (kept[:, :1] != 0).expand_as(kept))
    assert abs((kept[:, 0] == 0).float().mean() - 0.4) < 0.05
    torch.testing.assert_close(kept[kept != 0], torch.full_like(kept[kept != 0], 1 / 0.6))
    assert not torch.equal(kept[0], kept[1])  # each row has its own
    assert dropout.eval()(x) is x


def test_a_dropped_word_is_dropped_everywhere() -> None:
    torch.manual_seed(0)
    dropout, tokens = WordDropout(200, 0.1), torch.randint(200, (30, 40))
    vectors = torch.randn(30, 40, 3)
    factors = dropout(vectors, tokens) / vectors
    for word in range(200):
        of_word = factors[tokens == word]
        assert of_word.eq(0).all() or torch.allclose(of_word, torch.tensor(1 / 0.9))
    dropped = sum(bool(factors[tokens == word].eq(0).all()) for word in range(200))
    assert 8 < dropped < 35
    assert dropout.eval()(vectors, tokens) is vectors


def test_dropped_weights_leave_the_module_as_it_was() -> None:
    """Two passes differ, the whole weight gets a gradient, and what was dropped in a pass gets none from it."""
    torch.manual_seed(0)
    rnn, x = nn.LSTM(4, 6, batch_first=True), torch.randn(2, 5, 4)
    before = {name: parameter.detach().clone() for name, parameter in rnn.named_parameters()}
    identities = [id(parameter) for parameter in rnn.parameters()]
    outputs = [with_dropped_weights(rnn, "weight_hh", 0.5, x)[0] for _ in range(2)]
    assert not torch.equal(*outputs)
    outputs[0].sum().backward()
    gradient = rnn.weight_hh_l0.grad
    assert 0.35 < gradient.eq(0).float().mean() < 0.65
    for _ in range(20):
        with_dropped_weights(rnn, "weight_hh", 0.5, x)[0].sum().backward()
    assert rnn.weight_hh_l0.grad.ne(0).all()
    assert rnn.weight_ih_l0.grad.ne(0).all()
    assert [id(parameter) for parameter in rnn.parameters()] == identities
    assert all(torch.equal(parameter, before[name]) for name, parameter in rnn.named_parameters())
    assert torch.equal(rnn(x)[0], rnn(x)[0])


def test_dropped_weights_are_those_of_the_equation() -> None:
    """The kernel with a mask of ours is the kernel with that weight."""
    rnn, x = nn.GRU(4, 6, batch_first=True).double(), torch.randn(2, 5, 4, dtype=torch.float64)
    torch.manual_seed(3)
    found, _ = with_dropped_weights(rnn, "weight_hh", 0.25, x)
    torch.manual_seed(3)
    mask = nn.functional.dropout(torch.ones_like(rnn.weight_hh_l0), 0.25)
    with torch.no_grad():
        rnn.weight_hh_l0.mul_(mask)
    torch.testing.assert_close(found, rnn(x)[0], rtol=0, atol=1e-12)
