"""Gates that are made again are those of the kernel: its outputs follow from them."""

import pytest
import torch

from trivium.nn.gates import gates
from trivium.nn.recurrent import RecurrentLayer


def layer_and_text(cell: str) -> tuple[RecurrentLayer, torch.Tensor]:
    layer = RecurrentLayer(5, 4, cell).double()
    for parameter in layer.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter)
    return layer, torch.randn(3, 7, 5, dtype=torch.float64)


def candidate(layer: RecurrentLayer, x: torch.Tensor, out: torch.Tensor, at: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What the input and the output before add to the candidate, which stands at ``at`` of the kernel's matrices."""
    before = torch.cat([torch.zeros_like(out[:, :1]), out[:, :-1]], 1)
    rows = slice(4 * at, 4 * at + 4)
    given = x @ layer.rnn.weight_ih_l0[rows].T + layer.rnn.bias_ih_l0[rows]
    return given, before @ layer.rnn.weight_hh_l0[rows].T + layer.rnn.bias_hh_l0[rows]


@torch.no_grad()
def test_lstm_follows_from_its_gates():
    layer, x = layer_and_text("lstm")
    out, after = layer(x)
    found = gates(layer, x, out)
    assert list(found) == ["input", "forget", "output"]
    g = torch.tanh(sum(candidate(layer, x, out, 2)))
    c, h = torch.zeros(3, 4, dtype=torch.float64), []
    for t in range(7):
        c = found["forget"][:, t] * c + found["input"][:, t] * g[:, t]
        h.append(found["output"][:, t] * torch.tanh(c))
    torch.testing.assert_close(torch.stack(h, 1), out, rtol=0, atol=1e-12)
    torch.testing.assert_close(c, after.tensors[1], rtol=0, atol=1e-12)


@torch.no_grad()
def test_gru_follows_from_its_gates():
    layer, x = layer_and_text("gru")
    out, _ = layer(x)
    found = gates(layer, x, out)
    assert list(found) == ["reset", "update"]
    given, kept = candidate(layer, x, out, 2)
    n = torch.tanh(given + found["reset"] * kept)
    before = torch.cat([torch.zeros_like(out[:, :1]), out[:, :-1]], 1)
    h = (1 - found["update"]) * n + found["update"] * before
    torch.testing.assert_close(h, out, rtol=0, atol=1e-12)


@torch.no_grad()
def test_an_elman_network_has_none():
    layer, x = layer_and_text("rnn")
    assert gates(layer, x, layer(x)[0]) == {}


def test_both_directions_are_refused():
    layer = RecurrentLayer(5, 4, "lstm", bidirectional=True)
    x = torch.randn(1, 3, 5)
    with pytest.raises(AssertionError, match="both ways"):
        gates(layer, x, layer(x)[0])
