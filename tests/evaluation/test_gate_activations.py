"""Gates of a whole network, and the shares of them that are open or closed."""

import numpy as np
import pytest
import torch

from trivium.evaluation.gate_activations import GateActivations, gate_activations
from trivium.models.awd_lstm import AWDLSTM, AWDLSTMConfig
from trivium.models.gru import GRU, GRUConfig
from trivium.models.rnn import RNN, RNNConfig


def test_every_gate_of_every_layer():
    model = AWDLSTM(AWDLSTMConfig(vocabulary_size=9, width=6, layers=2, embedding_width=4))
    found = gate_activations(model, torch.randint(0, 9, (3, 5)))
    assert [(gate.layer, gate.gate) for gate in found] == [
        (layer, gate) for layer in (1, 2) for gate in ("input", "forget", "output")
    ]
    assert [gate.values.shape for gate in found] == [(3, 5, 6)] * 3 + [(3, 5, 4)] * 3
    assert all(((gate.values > 0) & (gate.values < 1)).all() for gate in found)


def test_a_layer_is_read_with_what_the_one_below_put_out():
    """The update gate of the upper layer, by hand."""
    model = GRU(GRUConfig(vocabulary_size=9, width=4, layers=2)).double()
    tokens = torch.randint(0, 9, (1, 5))
    (found,) = (g for g in gate_activations(model, tokens) if (g.layer, g.gate) == (2, "update"))
    _, below, out = model(tokens, collect=("hidden",)).collected["hidden"]
    rnn = model.blocks[1].rnn
    w, u = rnn.weight_ih_l0.chunk(3)[1], rnn.weight_hh_l0.chunk(3)[1]
    before = torch.cat([torch.zeros_like(out[:, :1]), out[:, :-1]], 1)
    expected = torch.sigmoid(below @ w.T + before @ u.T)
    np.testing.assert_allclose(found.values, expected.detach().numpy(), atol=1e-6)


def test_a_network_without_gates_has_none():
    model = RNN(RNNConfig(vocabulary_size=9, width=6))
    assert gate_activations(model, torch.randint(0, 9, (1, 5))) == []


def test_shares():
    values = np.array([[[0.05, 0.5], [0.95, 0.92]]])
    found = GateActivations(layer=1, gate="forget", values=values)
    np.testing.assert_allclose(found.mean(), [[0.275, 0.935]])
    assert found.closed(-1).tolist() == [[0.5, 0.0]] and found.open(-1).tolist() == [[0.0, 1.0]]
    assert found.closed((0, 1)).tolist() == [0.5, 0.0] and found.open((0, 1)) == pytest.approx([0.5, 0.5])
