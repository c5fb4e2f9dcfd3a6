"""The relational memory core: a memory of several slots that attend to each other (Santoro et al. 2018).

Slots M ``[S, D]``, a step with input x, and x' = W x + b as one more row of the same width:

    A  = norm(M + softmax(Q K^T / sqrt(K)) V)       by head; Q of the slots, K and V of the slots and x' (section 3.2)
    C  = norm(A + W_2 relu(W_1 A))                  the same for every slot (section 3.3)
    i, f = sigmoid(U tanh(M) + V x' + b)            b is 0 of the input gate i and 1 of the forget gate f at first
    M' = f * M + i * tanh(C)                        the output is M', one slot after the other

This is the authors' program, which differs from the paper's equations in that there is no output gate, that the gates
read tanh(M), and that queries, keys and values are normalised, all three together. One round of attention a step. The
memory begins as the identity matrix, so that no two slots are alike.

What does not depend on the memory is made of all tokens at once: only the slots go step by step.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.feedforward import FeedForward
from trivium.nn.initialise import truncated_normal_
from trivium.nn.linear import Linear
from trivium.nn.recurrent import Runs
from trivium.nn.state import RecurrentState

Gating = Literal["unit", "slot"]
"""A gate for every number in a slot, or one for the whole slot; the authors call the latter "memory"."""


class RelationalMemoryLayer(nn.Module):
    """Reads as a `RecurrentLayer` does; what it carries is its memory, ``[B, S * D]``."""

    def __init__(self, input_width: int, width: int, *, slots: int, heads: int, gating: Gating = "unit") -> None:
        """``slots`` of ``width``, which ``heads`` divide between them."""
        super().__init__()
        assert width % heads == 0, (width, heads)
        self.slots, self.heads, self.width = slots, heads, width
        self.input = Linear(input_width, width)
        self.qkv = Linear(width, 3 * width, bias=False)
        self.qkv_norm = nn.LayerNorm(3 * width)
        self.attention_norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, width, "relu")
        self.feedforward_norm = nn.LayerNorm(width)
        gates = width if gating == "unit" else 1
        self.gates_of_input = Linear(width, 2 * gates)
        self.gates_of_memory = Linear(width, 2 * gates, bias=False)
        self._initialise(gates)

    def _initialise(self, gates: int) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                truncated_normal_(module.weight, module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.ones_(self.gates_of_input.bias.detach()[gates:])  # gates stand in the order i, f

    def empty(self, rows: int) -> RecurrentState:
        """The state of ``rows`` texts of which nothing has been read: the identity matrix, cut off or filled up with
        zeros to the width."""
        like = next(self.parameters())
        first = torch.eye(self.slots, self.width, dtype=like.dtype, device=like.device)
        return RecurrentState((first.flatten().repeat(rows, 1),))

    def forward(
        self, x: Float[Tensor, "B T W"], runs: Runs | None = None, state: RecurrentState | None = None
    ) -> tuple[Float[Tensor, "B T M"], RecurrentState | None]:
        """Memories after every token, M = S * D wide, and the state after each row's last token: None for packed
        documents. Outputs beyond a row's length are zero."""
        rows, length, _ = x.shape
        before = self.empty(rows) if state is None else state
        if runs is None:
            out, memory = self._run(x.transpose(0, 1).flatten(0, 1), [rows] * length, before)
            return out.unflatten(0, (length, rows)).transpose(0, 1), RecurrentState((memory,))
        sizes = runs.batch_sizes.tolist()
        first = self.empty(sizes[0]) if runs.rows is None else before.take(runs.rows)
        out, memory = self._run(x.flatten(0, 1)[runs.order], sizes, first)
        hidden = out.new_zeros(rows * length, out.shape[1]).index_copy(0, runs.order, out).unflatten(0, (rows, length))
        if runs.rows is None:
            return hidden, None
        return hidden, RecurrentState((before.tensors[0].index_copy(0, runs.rows, memory),))

    def _run(
        self, x: Float[Tensor, "N W"], sizes: list[int], first: RecurrentState
    ) -> tuple[Float[Tensor, "N M"], Float[Tensor, "R M"]]:
        """The memory after each token and after each run's last; ``x`` as in a ``PackedSequence``, the longest run
        first and ``sizes[t]`` of them with a token at step t."""
        x = self.input(x)
        _, keys, values = self._qkv(x[:, None])
        steps = (tensor.split(sizes) for tensor in (keys, values, self.gates_of_input(x)))
        memory = first.tensors[0].unflatten(1, (self.slots, self.width))
        outputs, ended = [], []
        for size, key, value, from_input in zip(sizes, *steps, strict=True):
            if size < memory.shape[0]:
                ended.append(memory[size:])
                memory = memory[:size]
            memory = self._step(memory, key, value, from_input)
            outputs.append(memory)
        return torch.cat(outputs).flatten(1), torch.cat([memory, *reversed(ended)]).flatten(1)

    def _step(
        self,
        memory: Float[Tensor, "B S D"],
        key: Float[Tensor, "B H 1 K"],
        value: Float[Tensor, "B H 1 K"],
        from_input: Float[Tensor, "B G"],
    ) -> Float[Tensor, "B S D"]:
        """The equations above, given what the input is as key, as value and to the gates."""
        q, k, v = self._qkv(memory)
        mixed = F.scaled_dot_product_attention(q, torch.cat([k, key], 2), torch.cat([v, value], 2))
        attended = self.attention_norm(memory + mixed.transpose(1, 2).flatten(2))
        candidate = self.feedforward_norm(attended + self.feedforward(attended))
        i, f = self._opened(memory, from_input)
        return f * memory + i * torch.tanh(candidate)

    def _qkv(self, rows: Float[Tensor, "B N D"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of rows, each ``[B, H, N, K]``."""
        q, k, v = self.qkv_norm(self.qkv(rows)).unflatten(2, (self.heads, -1)).transpose(1, 2).chunk(3, dim=-1)
        return q, k, v

    def _opened(self, memory: Float[Tensor, "... S D"], from_input: Float[Tensor, "... G"]) -> tuple[Tensor, Tensor]:
        """The gates i and f of every slot, ``[..., S, D]`` or ``[..., S, 1]``."""
        i, f = (self.gates_of_memory(torch.tanh(memory)) + from_input[..., None, :]).sigmoid().chunk(2, dim=-1)
        return i, f

    def gates(self, x: Float[Tensor, "B T W"], out: Float[Tensor, "B T M"]) -> dict[str, Float[Tensor, "B T G"]]:
        """The input and the forget gates at each place of texts read from their beginning, one slot's after the
        other's: ``x`` is what was given and ``out`` what was made of it."""
        first = self.empty(x.shape[0]).tensors[0][:, None]
        before = torch.cat([first, out[:, :-1]], dim=1).unflatten(2, (self.slots, self.width))
        i, f = self._opened(before, self.gates_of_input(self.input(x)))
        return {"input": i.flatten(2), "forget": f.flatten(2)}
