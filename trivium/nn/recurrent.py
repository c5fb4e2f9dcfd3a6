"""Recurrent layers over rows of any length, without a loop over time in Python.

Full rows go through the fused kernel as they are. Ragged rows, packed documents and ragged steps are
the same thing to a recurrence: *runs* of tokens, each starting from some state (or from nothing) and
ending in one. They are gathered step by step, the longest run first, which is what a
``PackedSequence`` is; the kernel then never computes padding, and each run's final state is the state
after its own last token.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from trivium.nn.state import RecurrentState

Cell = Literal["rnn", "gru", "lstm"]

_GATES: dict[str, int] = {"rnn": 1, "gru": 3, "lstm": 4}
_LAYERS: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@dataclass(frozen=True)
class Runs:
    """The runs of one forward pass, worked out once and shared by all layers."""

    order: Int[Tensor, "N"]
    """Index into the flattened tokens: the first token of every run, then the second of those that have one, ..."""
    batch_sizes: Int[Tensor, "L"]
    """How many runs have a token at each step; on the CPU, where the kernel wants it."""
    rows: Int[Tensor, "R"] | None
    """The state row of each run, the longest run first; None for packed documents, which have no state."""


def runs_of(
    rows: int,
    length: int,
    device: torch.device,
    *,
    lengths: Int[Tensor, "B"] | None,
    segments: Int[Tensor, "B T"] | None,
    stateful: bool,
) -> Runs | None:
    """The runs of a call, or None where every row is whole: ``lengths``, ``segments`` and a state as in the
    model contract. With a state ``segments`` name the row of each token, without one they number documents."""
    if segments is not None:
        first = torch.ones_like(segments, dtype=torch.bool)
        first[:, 1:] = segments[:, 1:] != segments[:, :-1]
        begins = first.flatten().nonzero()[:, 0]
        sizes = torch.diff(begins, append=begins.new_tensor([rows * length]))
        names = segments.flatten()[begins]
        return _runs(begins, sizes, names, names >= 0, keep_rows=stateful)
    if lengths is None or int(lengths.min()) == length:
        return None
    names = torch.arange(rows, device=device)
    return _runs(names * length, lengths, names, lengths > 0, keep_rows=True)


def _runs(begins: Tensor, sizes: Tensor, names: Tensor, real: Tensor, *, keep_rows: bool) -> Runs:
    begins, sizes, names = begins[real], sizes[real], names[real]
    longest_first = sizes.argsort(descending=True, stable=True)
    begins, sizes, names = begins[longest_first], sizes[longest_first], names[longest_first]
    count = sizes.shape[0]
    run = torch.repeat_interleave(torch.arange(count, device=sizes.device), sizes)
    step = torch.arange(run.shape[0], device=sizes.device) - (sizes.cumsum(0) - sizes)[run]
    order = (begins[run] + step)[(step * count + run).argsort()]
    return Runs(order, torch.bincount(step).cpu(), names if keep_rows else None)


class RecurrentLayer(nn.Module):
    """One layer of an Elman network, a GRU (Cho et al. 2014) or an LSTM (Hochreiter and Schmidhuber 1997)."""

    def __init__(self, input_width: int, width: int, cell: Cell, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.rnn = _LAYERS[cell](input_width, width, batch_first=True, bidirectional=bidirectional)
        self.directions = 2 if bidirectional else 1
        self.tensors = 2 if cell == "lstm" else 1
        initialise_recurrent(self.rnn, cell)

    def empty(self, rows: int) -> RecurrentState:
        """The state of ``rows`` texts of which nothing has been read."""
        like = next(self.rnn.parameters())
        shape = (rows, self.directions * self.rnn.hidden_size)
        # Not like.new_zeros: of a sharded parameter that would be sharded too.
        zeros = (torch.zeros(shape, dtype=like.dtype, device=like.device) for _ in range(self.tensors))
        return RecurrentState(tuple(zeros))

    def forward(
        self, x: Float[Tensor, "B T W"], runs: Runs | None = None, state: RecurrentState | None = None
    ) -> tuple[Float[Tensor, "B T D"], RecurrentState | None]:
        """Outputs (both directions side by side) and the state after each row's last token: None for packed
        documents. Outputs beyond a row's length are zero."""
        if runs is None:
            out, final = self.rnn(x, None if state is None else self._to_kernel(state))
            return out, self._from_kernel(final)
        rows, length, width = x.shape
        initial = None if state is None or runs.rows is None else self._to_kernel(state.take(runs.rows))
        packed = PackedSequence(x.reshape(rows * length, width)[runs.order], runs.batch_sizes)
        out, final = self.rnn(packed, initial)
        hidden = out.data.new_zeros(rows * length, out.data.shape[-1]).index_copy(0, runs.order, out.data)
        hidden = hidden.view(rows, length, -1)
        if runs.rows is None:
            return hidden, None
        before = self.empty(rows) if state is None else state
        after = self._from_kernel(final).tensors
        index = runs.rows
        merged = (old.index_copy(0, index, new) for old, new in zip(before.tensors, after, strict=True))
        return hidden, RecurrentState(tuple(merged))

    def _to_kernel(self, state: RecurrentState) -> Tensor | tuple[Tensor, ...]:
        """``[B, D]`` tensors as the kernel's ``[directions, B, D]``."""
        shaped = tuple(t.unflatten(1, (self.directions, -1)).transpose(0, 1).contiguous() for t in state.tensors)
        return shaped if self.tensors == 2 else shaped[0]

    def _from_kernel(self, final: Tensor | tuple[Tensor, ...]) -> RecurrentState:
        tensors = final if isinstance(final, tuple) else (final,)
        return RecurrentState(tuple(tensor.transpose(0, 1).flatten(1) for tensor in tensors))


def initialise_recurrent(module: nn.RNNBase | nn.RNNCellBase, cell: Cell) -> None:
    """Input weights after Glorot and Bengio (2010), recurrent ones orthogonal (Saxe et al. 2014), gate by gate;
    biases 0, but 1 for an LSTM's forget gate (Gers et al. 2000; Jozefowicz et al. 2015, section 3.2)."""
    for name, parameter in module.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            if cell == "lstm" and name.startswith("bias_ih"):  # the kernel adds bias_ih and bias_hh
                with torch.no_grad():
                    parameter.chunk(4)[1].fill_(1.0)  # gates stand in the order i, f, g, o
            continue
        for gate in parameter.detach().chunk(_GATES[cell]):
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(gate)
            else:
                nn.init.xavier_uniform_(gate)
