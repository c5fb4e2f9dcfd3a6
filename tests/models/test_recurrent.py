"""Elman, GRU and LSTM language models from token to logit: the equations of their files, tied weights, reading on."""

import pytest
import torch
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.models import architecture
from trivium.nn.weight_map import export
from trivium.objectives.causal import causal

NAMES = ["rnn", "gru", "lstm"]
V, D = 17, 6
every_cell = pytest.mark.parametrize("name", NAMES)


def build(name: str, **fields) -> nn.Module:
    torch.manual_seed(1)
    row = architecture(name)
    config = row.config_class()(**({"vocabulary_size": V, "width": D, "layers": 2, "dropout": 0.0} | fields))
    model = row.model_class()(config).eval()
    for parameter in model.parameters():  # nothing may be hidden by a bias of 0
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def rnn_step(x: Tensor, h: Tensor, c: Tensor, w: Tensor, u: Tensor, b: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """h_t = tanh(W x_t + U h_{t-1} + b)."""
    return torch.tanh(w @ x + u @ h + b + d), c


def gru_step(x: Tensor, h: Tensor, c: Tensor, w: Tensor, u: Tensor, b: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """The reset gate stands after the recurrent product."""
    (wr, wz, wn), (ur, uz, un), (br, bz, bn), (dr, dz, dn) = w.chunk(3), u.chunk(3), b.chunk(3), d.chunk(3)
    r = torch.sigmoid(wr @ x + ur @ h + br + dr)
    z = torch.sigmoid(wz @ x + uz @ h + bz + dz)
    n = torch.tanh(wn @ x + bn + r * (un @ h + dn))
    return (1 - z) * n + z * h, c


def lstm_step(x: Tensor, h: Tensor, c: Tensor, w: Tensor, u: Tensor, b: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Gates in the kernel's order: i, f, g, o."""
    i, f, g, o = (w @ x + u @ h + b + d).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


STEPS = {"rnn": rnn_step, "gru": gru_step, "lstm": lstm_step}


@every_cell
@pytest.mark.parametrize("fields", [{}, {"embedding_width": 4}, {"tied": True}, {"tied": True, "embedding_width": 4}])
def test_the_equations_from_token_to_logit(name: str, fields: dict) -> None:
    model, step = build(name, **fields), STEPS[name]
    tokens = torch.randint(V, (2, 9))
    weights = model.state_dict()
    for b in range(2):
        x = weights["embedding.weight"][tokens[b]]
        for layer in range(2):
            kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            parameters = [weights[f"blocks.{layer}.rnn.{kind}_l0"] for kind in kinds]
            h, c, outputs = torch.zeros(D), torch.zeros(D), []
            for token in x:
                h, c = step(token, h, c, *parameters)
                outputs.append(h)
            x = torch.stack(outputs)
        if fields == {"tied": True, "embedding_width": 4}:
            x = x @ weights["projection.weight"].T
        output = weights["embedding.weight"] if "tied" in fields else weights["head.weight"]
        logits = model.head.logits(model(tokens).hidden)[b]
        torch.testing.assert_close(logits, x @ output.T + weights["head.bias"], rtol=0, atol=1e-6)


@every_cell
def test_equal_to_the_stacked_kernel(name: str) -> None:
    """One layer after the other is what `nn.RNN`, `nn.GRU` and `nn.LSTM` of two layers do."""
    model, tokens = build(name), torch.randint(V, (2, 9))
    kernel = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[name](D, D, 2, batch_first=True)
    for layer, block in enumerate(model.blocks):
        for kind, parameter in block.rnn.named_parameters():
            getattr(kernel, kind.replace("_l0", f"_l{layer}")).data.copy_(parameter)
    torch.testing.assert_close(model(tokens).hidden, kernel(model.embed(tokens))[0], rtol=0, atol=1e-6)


@every_cell
def test_truncated_back_propagation_sums_to_one_long_pass(name: str) -> None:
    model, tokens = build(name, tied=True, embedding_width=4).double(), torch.randint(V, (2, 13))

    def piece(start: int, stop: int) -> CausalBatch:
        mask = torch.ones(2, stop - start, dtype=torch.bool)
        lengths = torch.full((2,), stop - start)
        continues = torch.full((2,), start > 0)
        return CausalBatch(tokens[:, start:stop], tokens[:, start + 1 : stop + 1], mask, lengths, continues=continues)

    whole = causal(model, piece(0, 12))
    state, total = model.new_state(2, 0), 0.0
    for start in (0, 5, 7):
        loss = causal(model, piece(start, {0: 5, 5: 7, 7: 12}[start]), state=state)
        total, state = total + loss.total, loss.state.detach()
    torch.testing.assert_close(total, whole.total, rtol=0, atol=1e-10)
    # Cut from one another, the pieces' gradients are not the whole text's; joined, they are.
    state, joined = model.new_state(2, 0), 0.0
    for start, stop in ((0, 5), (5, 12)):
        loss = causal(model, piece(start, stop), state=state)
        joined, state = joined + loss.total, loss.state
    parameters = list(model.parameters())
    pairs = (torch.autograd.grad(total, parameters), torch.autograd.grad(joined, parameters))
    wanted = torch.autograd.grad(whole.total, parameters)
    for cut, uncut, one in zip(*pairs, wanted, strict=True):
        torch.testing.assert_close(uncut, one, rtol=0, atol=1e-10)
        assert cut.shape == one.shape
    assert not all(torch.allclose(cut, one) for cut, one in zip(pairs[0], wanted, strict=True))


@every_cell
def test_learns_what_was_said_five_tokens_ago(name: str) -> None:
    """The first token alone decides the last, and only the last is trained on."""
    model = build(name, width=24, layers=1).train()
    texts = torch.tensor([[0] + [1] * 4 + [3], [2] + [1] * 4 + [4]])
    mask = torch.arange(5).expand(2, 5) == 4
    batch = CausalBatch(texts[:, :-1], texts[:, 1:], mask, torch.full((2,), 5))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.03, weight_decay=0.0)
    for _ in range(200):
        loss = causal(model, batch)
        optimiser.zero_grad()
        (loss.total / loss.count).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if loss.total < 0.05:
            break
    assert loss.total < 0.05


@every_cell
def test_a_tied_head_is_projected_to_the_embedding(name: str) -> None:
    model = build(name, tied=True, embedding_width=4)
    assert model.head.weight is model.embedding.weight
    assert model(torch.zeros(1, 3, dtype=torch.long)).hidden.shape == (1, 3, 4)
    stored = [key for key, _ in export(model.state_dict(), architecture(name).weight_map(model.config))]
    assert "projection.weight" in stored
    assert "head.weight" not in stored


@every_cell
def test_unknown_field(name: str) -> None:
    with pytest.raises(ConfigError, match="did you mean layers"):
        architecture(name).config_class().from_hf({"model_type": f"trivium-{name}", "layer": 2})
