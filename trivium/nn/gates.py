"""The gates of a recurrent layer, made again from what it read and what it put out: fused kernels keep them inside.

    LSTM    i, f, o = sigmoid(W x_t + U h_{t-1} + b)
    GRU     r, z = sigmoid(W x_t + U h_{t-1} + b)
    memory  i, f = sigmoid(V x'_t + U tanh(M_{t-1}) + b), see ``nn/relational_memory.py``

A gate depends on the input and on the output before it and on nothing else, and once the kernel has run both are known
at every place. So two matrix products give all gates of a text, and nothing is gone through step by step.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from trivium.nn.recurrent import RecurrentLayer
from trivium.nn.relational_memory import RelationalMemoryLayer

_PLACES: dict[str, dict[str, int]] = {
    "LSTM": {"input": 0, "forget": 1, "output": 3},  # the third is the candidate g, which is no gate
    "GRU": {"reset": 0, "update": 1},
    "RNN_TANH": {},
}
"""Where the kernel's matrices have each gate."""


def gates(
    layer: RecurrentLayer | RelationalMemoryLayer, x: Float[Tensor, "B T W"], out: Float[Tensor, "B T D"]
) -> dict[str, Float[Tensor, "B T _"]]:
    """Each gate at each place, in (0, 1), by its name: input, forget and output of an LSTM, reset and update of a GRU
    (near 1 it keeps what it has), input and forget of a relational memory, none of an Elman network.

    ``x`` is what ``layer`` was given and ``out`` what it made of it, from texts read from their beginning, with all of
    its weights (not while weights are dropped).
    """
    if isinstance(layer, RelationalMemoryLayer):
        return layer.gates(x, out)
    assert layer.directions == 1, "a layer that reads both ways has two outputs before each token"
    places, parts = _PLACES[layer.rnn.mode], layer.rnn.weight_hh_l0.shape[0] // layer.rnn.hidden_size
    weights = (getattr(layer.rnn, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    w, u, b, d = (weight.chunk(parts) for weight in weights)
    before = F.pad(out[:, :-1], (0, 0, 1, 0))
    return {
        name: torch.sigmoid(F.linear(x, w[at], b[at]) + F.linear(before, u[at], d[at])) for name, at in places.items()
    }
