"""Recurrent layers over rows of any length, without a loop over time in Python, and stacks of them.

The kernels compute, with W on the input and U on the state before, both with a bias:

    Elman   h_t = tanh(W x_t + U h_{t-1})
    GRU     r, z = sigmoid(W x_t + U h_{t-1}),  n = tanh(W_n x_t + r * (U_n h_{t-1})),  h_t = (1 - z) * n + z * h_{t-1}
    LSTM    i, f, o = sigmoid(W x_t + U h_{t-1}),  g = tanh(W_g x_t + U_g h_{t-1}),
            c_t = f * c_{t-1} + i * g,  h_t = o * tanh(c_t)

Full rows go through the fused kernel as they are. Ragged rows, packed documents and ragged steps are
the same thing to a recurrence: *runs* of tokens, each starting from some state (or from nothing) and
ending in one. They are gathered step by step, the longest run first, which is what a
``PackedSequence`` is; the kernel then never computes padding, and each run's final state is the state
after its own last token.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from trivium.errors import Unsupported
from trivium.nn.dropout import with_dropped_weights
from trivium.nn.linear import linear
from trivium.nn.state import RecurrentState, State

Cell = Literal["rnn", "gru", "lstm"]

KERNEL_NAMES = ("rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0")
"""The parameters of a `RecurrentLayer` of one direction."""

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

    def __init__(
        self, input_width: int, width: int, cell: Cell, *, bidirectional: bool = False, weight_dropout: float = 0.0
    ) -> None:
        """``weight_dropout`` is the share of the recurrent weights that a training pass does without."""
        super().__init__()
        self.rnn = _LAYERS[cell](input_width, width, batch_first=True, bidirectional=bidirectional)
        self.weight_dropout = weight_dropout
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
        if runs is None and self._takes_one_step(x):
            return self._step(x, self.empty(x.shape[0]) if state is None else state)
        if runs is None:
            out, final = self._run(x, None if state is None else self._to_kernel(state))
            return out, self._from_kernel(final)
        rows, length, width = x.shape
        initial = None if state is None or runs.rows is None else self._to_kernel(state.take(runs.rows))
        packed = PackedSequence(x.reshape(rows * length, width)[runs.order], runs.batch_sizes)
        out, final = self._run(packed, initial)
        hidden = out.data.new_zeros(rows * length, out.data.shape[-1]).index_copy(0, runs.order, out.data)
        hidden = hidden.view(rows, length, -1)
        if runs.rows is None:
            return hidden, None
        before = self.empty(rows) if state is None else state
        after = self._from_kernel(final).tensors
        index = runs.rows
        merged = (old.index_copy(0, index, new) for old, new in zip(before.tensors, after, strict=True))
        return hidden, RecurrentState(tuple(merged))

    def _takes_one_step(self, x: Float[Tensor, "B T W"]) -> bool:
        """Whether this is one token of each row of an LSTM that writes: on a CPU its kernel lays out all weights anew
        in every call, which takes several times as long as the step itself."""
        whole = not (self.training and self.weight_dropout)
        lstm = self.tensors == 2 and self.directions == 1
        plain = not (x.is_cuda or torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type))
        return lstm and whole and plain and x.shape[1] == 1

    def _step(self, x: Float[Tensor, "B 1 W"], state: RecurrentState) -> tuple[Float[Tensor, "B 1 D"], RecurrentState]:
        """The LSTM's equations above for one token."""
        (h, c), (w, u, *biases) = state.tensors, self.rnn.all_weights[0]
        gates = linear(x[:, 0], w, biases[0]) + linear(h, u, biases[1])
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h[:, None], RecurrentState((h, c))

    def _run(self, x: Tensor | PackedSequence, initial: Tensor | tuple[Tensor, ...] | None):
        if self.training and self.weight_dropout:
            return with_dropped_weights(self.rnn, "weight_hh", self.weight_dropout, x, initial)
        if x.is_cuda and torch.is_grad_enabled() and not self.training:
            # What learns from its own samples has its dropout off, and cuDNN gives gradients in training mode only.
            with torch.backends.cudnn.flags(enabled=False):
                return self.rnn(x, initial)
        return self.rnn(x, initial)

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


def unread(layers: nn.ModuleList, rows: int) -> State:
    """The state of ``rows`` texts before their first token; its size depends on no text's length."""
    device = next(layers[0].parameters()).device
    return State([layer.empty(rows) for layer in layers], torch.zeros(rows, dtype=torch.long, device=device))


def read(
    layers: nn.ModuleList,
    x: Float[Tensor, "B T W"],
    dropouts: Sequence[nn.Module],
    *,
    lengths: Int[Tensor, "B"] | None,
    segments: Int[Tensor, "B T"] | None,
    state: State | None,
    residual: bool = False,
) -> tuple[list[Tensor], State | None]:
    """One call of a model's ``forward`` through a stack: the output of every layer, and the state to go on with.

    ``dropouts[i]`` stands before layer i; the outputs are as the layers gave them. ``residual`` adds to the output of
    each layer but the first what it was given.
    """
    rows, length, _ = x.shape
    # Padding stands to the right: where no state is handed on, what is read after a row's end changes nothing,
    # and whole rows take the fused kernel (7 times as fast as ragged ones on a CPU, backward pass included).
    counted = None if state is None else lengths
    runs = runs_of(rows, length, x.device, lengths=counted, segments=segments, stateful=state is not None)
    outputs, after = [], []
    for i, (layer, dropout) in enumerate(zip(layers, dropouts, strict=True)):
        out, carried = layer(dropout(x), runs, None if state is None else state.layers[i])
        x = x + out if residual and i > 0 else out
        outputs.append(x)
        after.append(carried)
    if state is not None:
        state = State(after, state.lengths + _appended(state.rows, length, lengths, segments))
    return outputs, state


def _appended(rows: int, length: int, lengths: Tensor | None, segments: Tensor | None) -> Tensor | int:
    """How many tokens each row of the state is given."""
    if segments is not None:
        return torch.bincount(segments[segments >= 0], minlength=rows)
    return length if lengths is None else lengths


def collected(names: Collection[str], hidden: list[Tensor]) -> dict[str, list[Tensor]]:
    """What a recurrent model's ``collect`` asks for; ``Unsupported`` for attention."""
    if "attention" in names:
        raise Unsupported(
            "a recurrent network has no attention to collect", received="collect attention", expected="hidden"
        )
    return {"hidden": hidden} if "hidden" in names else {}


def backwards(
    rows: int, length: int, device: torch.device, *, lengths: Int[Tensor, "B"] | None, segments: Tensor | None
) -> Int[Tensor, "B T"]:
    """Where the token to be read at each place stands, if every text is read from its last token to its first.

    Texts stay where they are and padding stays behind them, so a stack that reads from left to right takes them as it
    takes any others. Applied a second time, the places give back the order of before.
    """
    place = torch.arange(length, device=device).expand(rows, length)
    if segments is None:
        ends = torch.full((rows, 1), length, device=device) if lengths is None else lengths[:, None]
        return torch.where(place < ends, ends - 1 - place, place)
    changes = segments[:, 1:] != segments[:, :-1]
    edge = torch.ones_like(segments[:, :1], dtype=torch.bool)
    first = torch.where(torch.cat([edge, changes], 1), place, 0).cummax(1).values
    last = torch.where(torch.cat([changes, edge], 1), place, length).flip(1).cummin(1).values.flip(1)
    return first + last - place
