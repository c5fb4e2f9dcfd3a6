"""Recurrent layers equal the published equations, whatever the shape the rows come in."""

import pytest
import torch
from torch import Tensor, nn

from trivium.nn.recurrent import RecurrentLayer, initialise_recurrent, runs_of
from trivium.nn.state import RecurrentState

CELLS = ["rnn", "gru", "lstm"]


def layer_of(cell: str, *, bidirectional: bool = False) -> RecurrentLayer:
    layer = RecurrentLayer(5, 4, cell, bidirectional=bidirectional).double()
    for parameter in layer.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return layer


def step_by_step(layer: RecurrentLayer, x: Tensor, state: tuple[Tensor, ...], side: str = "") -> tuple[Tensor, tuple]:
    """The equations themselves for one text ``[T, W]``; gates in the kernel's order."""
    w, u, b, d = (getattr(layer.rnn, f"{name}_l0{side}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    outputs = []
    for token in x:
        given, kept = w @ token + b, u @ state[0] + d
        if layer.tensors == 2:  # Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000
            i, f, g, o = (given + kept).chunk(4)
            c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
            state = (torch.sigmoid(o) * torch.tanh(c), c)
        elif w.shape[0] == 3 * 4:  # Cho et al. 2014
            (r1, z1, n1), (r2, z2, n2) = given.chunk(3), kept.chunk(3)
            r, z = torch.sigmoid(r1 + r2), torch.sigmoid(z1 + z2)
            state = ((1 - z) * torch.tanh(n1 + r * n2) + z * state[0],)
        else:
            state = (torch.tanh(given + kept),)
        outputs.append(state[0])
    return torch.stack(outputs), state


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_equations(cell: str) -> None:
    layer, x = layer_of(cell), torch.randn(2, 6, 5, dtype=torch.float64)
    state = RecurrentState(tuple(torch.randn(2, 4, dtype=torch.float64) for _ in range(layer.tensors)))
    out, after = layer(x, None, state)
    for b in range(2):
        wanted, final = step_by_step(layer, x[b], tuple(t[b] for t in state.tensors))
        same(out[b], wanted)
        for tensor, last in zip(after.tensors, final, strict=True):
            same(tensor[b], last)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("rows", [1, 3])
def test_one_token_without_a_gradient_is_what_the_kernel_makes_of_it(
    rows: int, dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = RecurrentLayer(6, 8, "lstm").to(dtype)
    state = RecurrentState((torch.randn(rows, 8, dtype=dtype), torch.randn(rows, 8, dtype=dtype)))
    x = torch.randn(rows, 1, 6, dtype=dtype)
    for before in (None, state):
        expected, after = layer(x, None, before)  # with a gradient it is the kernel
        with torch.no_grad(), monkeypatch.context() as patch:
            patch.setattr(layer, "_run", None)  # it is not asked
            found, stepped = layer(x, None, before)
        assert (found - expected).abs().max() < tolerance
        assert all((a - b).abs().max() < tolerance for a, b in zip(stepped.tensors, after.tensors, strict=True))


@pytest.mark.parametrize("cell", CELLS)
def test_ragged_rows(cell: str) -> None:
    """The final state is the one after each row's last token; a row without tokens keeps its own."""
    layer, x, lengths = layer_of(cell), torch.randn(4, 6, 5, dtype=torch.float64), [2, 0, 6, 3]
    state = RecurrentState(tuple(torch.randn(4, 4, dtype=torch.float64) for _ in range(layer.tensors)))
    runs = runs_of(4, 6, x.device, lengths=torch.tensor(lengths), segments=None, stateful=True)
    out, after = layer(x, runs, state)
    for b, n in enumerate(lengths):
        if n:
            wanted, final = step_by_step(layer, x[b, :n], tuple(t[b] for t in state.tensors))
            same(out[b, :n], wanted)
        else:
            final = tuple(t[b] for t in state.tensors)
        assert not out[b, n:].any()
        for tensor, last in zip(after.tensors, final, strict=True):
            same(tensor[b], last)


@pytest.mark.parametrize("cell", CELLS)
def test_documents_restart(cell: str) -> None:
    layer, x = layer_of(cell), torch.randn(2, 6, 5, dtype=torch.float64)
    segments = torch.tensor([[0, 0, 0, 1, 2, 2], [0, 1, 1, -1, -1, -1]])
    out, after = layer(x, runs_of(2, 6, x.device, lengths=None, segments=segments, stateful=False))
    assert after is None
    nothing = tuple(torch.zeros(4, dtype=torch.float64) for _ in range(layer.tensors))
    for row, start, stop in ((0, 0, 3), (0, 3, 4), (0, 4, 6), (1, 0, 1), (1, 1, 3)):
        same(out[row, start:stop], step_by_step(layer, x[row, start:stop], nothing)[0])


@pytest.mark.parametrize("cell", CELLS)
def test_ragged_step(cell: str) -> None:
    """Packed tokens of rows 2 and 0 of a state of three."""
    layer, x = layer_of(cell), torch.randn(1, 5, 5, dtype=torch.float64)
    state = RecurrentState(tuple(torch.randn(3, 4, dtype=torch.float64) for _ in range(layer.tensors)))
    segments = torch.tensor([[2, 2, 0, 0, 0]])
    out, after = layer(x, runs_of(1, 5, x.device, lengths=None, segments=segments, stateful=True), state)
    for row, start, stop in ((2, 0, 2), (0, 2, 5)):
        wanted, final = step_by_step(layer, x[0, start:stop], tuple(t[row] for t in state.tensors))
        same(out[0, start:stop], wanted)
        for tensor, last in zip(after.tensors, final, strict=True):
            same(tensor[row], last)
    assert all(torch.equal(old[1], new[1]) for old, new in zip(state.tensors, after.tensors, strict=True))


@pytest.mark.parametrize("cell", CELLS)
def test_both_directions(cell: str) -> None:
    """The backward direction begins at each row's last token, not in its padding."""
    layer, x, lengths = layer_of(cell, bidirectional=True), torch.randn(2, 5, 5, dtype=torch.float64), [3, 5]
    runs = runs_of(2, 5, x.device, lengths=torch.tensor(lengths), segments=None, stateful=False)
    out, after = layer(x, runs)
    nothing = tuple(torch.zeros(4, dtype=torch.float64) for _ in range(layer.tensors))
    for b, n in enumerate(lengths):
        forward, first = step_by_step(layer, x[b, :n], nothing)
        backward, second = step_by_step(layer, x[b, :n].flip(0), nothing, "_reverse")
        same(out[b, :n], torch.cat([forward, backward.flip(0)], dim=-1))
        for tensor, left, right in zip(after.tensors, first, second, strict=True):
            same(tensor[b], torch.cat([left, right]))


def test_whole_rows_take_the_fused_path() -> None:
    lengths = torch.tensor([4, 4])
    assert runs_of(2, 4, lengths.device, lengths=lengths, segments=None, stateful=True) is None


def test_gradients_of_ragged_rows() -> None:
    layer, lengths = layer_of("lstm"), torch.tensor([2, 4])
    x = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    runs = runs_of(2, 4, x.device, lengths=lengths, segments=None, stateful=True)
    h, c = (torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def outputs(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        out, after = layer(x, runs, RecurrentState((h, c)))
        return out, *after.tensors

    assert torch.autograd.gradcheck(outputs, (x, h, c))


@pytest.mark.parametrize("module", [nn.LSTM(5, 4), nn.LSTMCell(5, 4)])
def test_initialisation(module: nn.Module) -> None:
    initialise_recurrent(module, "lstm")
    named = {name.removesuffix("_l0"): parameter for name, parameter in module.named_parameters()}
    bias = (named["bias_ih"] + named["bias_hh"]).view(4, 4)
    assert bias[1].eq(1).all()  # the forget gate's
    assert not bias[[0, 2, 3]].any()
    for gate in named["weight_hh"].chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(4), rtol=0, atol=1e-5)
    assert named["weight_ih"].abs().max() <= (6 / 9) ** 0.5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_evaluation_mode_has_gradients_on_a_gpu(cell: str) -> None:
    """A policy and a generator learn with their dropout off."""
    layer = RecurrentLayer(4, 6, cell).cuda().eval()
    x = torch.randn(2, 5, 4, device="cuda", requires_grad=True)
    layer(x)[0].sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
