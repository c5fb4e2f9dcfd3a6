"""Gradients by time lag: exact where theory gives them, and equal to differentiating at the state itself."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from trivium.data.shards import TokenStore
from trivium.errors import ConfigError, DataError
from trivium.evaluation.gradient_lag import GradientByLag, gradient_by_lag, spread_windows
from trivium.models.awd_lstm import AWDLSTM, AWDLSTMConfig
from trivium.models.gru import GRU, GRUConfig
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.models.rnn import RNN, RNNConfig

SHAPE = {"vocabulary_size": 11, "width": 6, "layers": 1}


def at_rest(model: nn.Module) -> nn.Module:
    """Embeddings of nothing: the state stays 0 (an LSTM's h at least), where every Jacobian is known."""
    model.double()
    model.embedding.weight.data.zero_()
    return model


def silent(model: nn.Module) -> nn.Module:
    """No weights from state to state either: what is carried is carried by gates alone, which their biases set."""
    for name, parameter in at_rest(model).blocks.named_parameters():
        if "weight_hh" in name or "bias" in name:
            parameter.data.zero_()
    return model


def windows(count: int, tokens: int) -> torch.Tensor:
    return torch.randint(0, 11, (count, tokens))


@pytest.mark.parametrize("eigenvalue", [0.5, 1.0, 1.5])
def test_elman_network_multiplies_by_its_eigenvalue(eigenvalue: float):
    """At rest tanh' = 1, and the Jacobian is U: here an orthogonal matrix times the eigenvalue."""
    model = at_rest(RNN(RNNConfig(**SHAPE)))
    recurrent = model.blocks[0].rnn.weight_hh_l0
    nn.init.orthogonal_(recurrent)
    recurrent.data *= eigenvalue
    found = gradient_by_lag(model, windows(4, 40), lags=30)
    assert found.norms.shape == (1, 31, 4)
    expected = found.norms[0, 0] * eigenvalue ** np.arange(31)[:, None]
    np.testing.assert_allclose(found.norms[0], expected, rtol=1e-10)
    np.testing.assert_allclose(found.factor, [eigenvalue], rtol=1e-10)


@pytest.mark.parametrize(("bias", "forget"), [(40.0, 1.0), (1.0, 1 / (1 + math.exp(-1)))])
def test_lstm_multiplies_by_its_forget_gate(bias: float, forget: float):
    """Without recurrent weights the gradient goes along c alone: level at a forget gate of 1."""
    model = silent(LSTM(LSTMConfig(**SHAPE, dropout=0.5)))
    model.blocks[0].rnn.bias_ih_l0.data.chunk(4)[1].fill_(bias)
    found = gradient_by_lag(model, windows(3, 60), lags=50).norms[0]
    assert (found[1] > 0).all()
    np.testing.assert_allclose(found[1:], found[1] * forget ** np.arange(50)[:, None], rtol=1e-10)


def test_gru_multiplies_by_its_update_gate():
    model = silent(GRU(GRUConfig(**SHAPE)))
    model.blocks[0].rnn.bias_ih_l0.data.chunk(3)[1].fill_(2.0)
    found = gradient_by_lag(model, windows(3, 30), lags=20).norms[0]
    np.testing.assert_allclose(found, found[0] * (1 / (1 + math.exp(-2))) ** np.arange(21)[:, None], rtol=1e-10)


@pytest.mark.parametrize(
    "model",
    [
        RNN(RNNConfig(**SHAPE | {"layers": 2})),
        GRU(GRUConfig(**SHAPE | {"layers": 2})),
        LSTM(LSTMConfig(**SHAPE | {"layers": 2}, tied=True, embedding_width=5)),
        AWDLSTM(AWDLSTMConfig(**SHAPE | {"layers": 2}, embedding_width=5)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_equals_the_gradient_at_the_state(model: nn.Module):
    """Of the last layer, whose state is used by what comes after only: differentiated at a state handed in."""
    model.double().eval().requires_grad_(False)
    texts = windows(40, 12)
    found = gradient_by_lag(model, texts, lags=7)
    for lag in (1, 3, 7):
        read = texts.shape[1] - 1 - lag
        state = model(texts[:, :read], state=model.new_state(len(texts), 0)).state.detach()
        at = [tensor.requires_grad_() for tensor in state.layers[-1].tensors]
        loss = model.head.nll_sum(model(texts[:, read:-1], state=state).hidden[:, -1], texts[:, -1])
        expected = torch.cat(torch.autograd.grad(loss, at), -1).norm(dim=-1)
        np.testing.assert_allclose(found.norms[-1, lag], expected.numpy(), rtol=1e-9)


def test_lower_layers_count_both_ways_that_h_goes():
    """Up to the next layer and on to the next token: differentiated at an h that is put in the place of both."""
    model = RNN(RNNConfig(**SHAPE | {"layers": 2})).double().eval()
    texts, lag = windows(2, 8), 3
    found = gradient_by_lag(model, texts, lags=4)
    read = texts.shape[1] - 1 - lag
    lower, upper = model.blocks
    hidden, _ = lower(model.embed(texts[:, :-1]), None, lower.empty(2))
    h = hidden[:, read - 1].detach().requires_grad_()
    first = hidden[:, : read - 1].detach()
    later = lower(model.embed(texts[:, read:-1]), None, type(lower.empty(2))((h,)))[0]
    out, _ = upper(torch.cat([first, h[:, None], later], 1), None, upper.empty(2))
    loss = model.head.nll_sum(out[:, -1], texts[:, -1])
    (expected,) = torch.autograd.grad(loss, h)
    np.testing.assert_allclose(found.norms[0, lag], expected.norm(dim=-1).numpy(), rtol=1e-9)


def test_positions_do_not_disturb_each_other():
    model, texts = LSTM(LSTMConfig(**SHAPE, dropout=0.5)).double(), windows(35, 9)
    together = gradient_by_lag(model, texts, lags=5).norms
    alone = gradient_by_lag(model, texts[33:34], lags=5).norms
    np.testing.assert_allclose(together[..., 33:34], alone, rtol=1e-9)


def test_summaries():
    norms = np.array([[[2.0, 4.0], [1.0, 3.0], [0.25, 0.75]]])
    found = GradientByLag(norms=norms)
    np.testing.assert_allclose(found.mean, [[3.0, 2.0, 0.5]])
    np.testing.assert_allclose(found.quantile(0.0), [[2.0, 1.0, 0.25]])
    np.testing.assert_allclose(found.factor, [0.25])
    assert GradientByLag(norms=np.zeros((1, 3, 2))).factor == [0.0]


def test_what_cannot_be_followed_is_refused():
    model = RNN(RNNConfig(**SHAPE))
    with pytest.raises(ConfigError, match="cannot be followed"):
        gradient_by_lag(model, windows(1, 6), lags=5)
    with pytest.raises(ConfigError, match="cannot be followed"):
        gradient_by_lag(model, windows(1, 6), lags=0)


def test_windows_lie_apart_over_the_whole_text():
    store = TokenStore.of([range(7), range(7, 20)], vocabulary_size=20)
    found = spread_windows(store, 3, 6)
    assert found.tolist() == [list(range(6)), list(range(7, 13)), list(range(14, 20))]
    assert len(spread_windows(store, 99, 6)) == 3
    with pytest.raises(DataError, match="too short"):
        spread_windows(store, 1, 21)
