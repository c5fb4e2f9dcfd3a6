"""The two-direction language model: neither direction sees what it predicts, each has its own perplexity."""

import pytest
import torch

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.models.bilm import BiLM, BiLMConfig
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.nn.recurrent import backwards
from trivium.objectives.bilm import bilm
from trivium.objectives.causal import causal

V = 19
TOKENS = torch.randint(V, (3, 9), generator=torch.Generator().manual_seed(0))


def build(**fields) -> BiLM:
    torch.manual_seed(1)
    model = BiLM(BiLMConfig(**({"vocabulary_size": V, "width": 8, "layers": 2, "dropout": 0.0} | fields))).double()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def batch(tokens: torch.Tensor, lengths: list[int], segments: torch.Tensor | None = None) -> CausalBatch:
    mask = torch.arange(tokens.shape[1]) < torch.tensor(lengths)[:, None]
    return CausalBatch(tokens, tokens.roll(-1, 1), mask, torch.tensor(lengths), segments=segments)


def predictions(model: BiLM, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of token 1 .. T-1 by the forward half and of token 0 .. T-2 by the backward half."""
    output = model(tokens, collect=("backward",))
    return model.head(output.hidden)[:, :-1], model.head(output.collected["backward"][0])[:, 1:]


@pytest.mark.parametrize("t", range(9))
def test_no_direction_sees_what_it_predicts(t: int) -> None:
    """A change of token t changes no forward prediction of tokens up to t, and no backward one of tokens from t on."""
    model, changed = build(), TOKENS.clone()
    changed[:, t] = (changed[:, t] + 1) % V
    (forward, backward), (other_forward, other_backward) = predictions(model, TOKENS), predictions(model, changed)
    assert torch.equal(forward[:, :t], other_forward[:, :t])  # of tokens 1 .. t
    assert torch.equal(backward[:, t:], other_backward[:, t:])  # of tokens t .. T-2
    assert not torch.isclose(forward[:, t:], other_forward[:, t:]).all(-1).any()
    assert not torch.isclose(backward[:, :t], other_backward[:, :t]).all(-1).any()


def test_the_backward_half_is_a_language_model_of_mirrored_text() -> None:
    """With its layers in the place of the forward ones it does to the text what the other does to its mirror image."""
    model, mirrored = build(), build()
    for left, right in zip(model.blocks[:2], mirrored.blocks[2:], strict=True):
        right.load_state_dict(left.state_dict())
    backward = mirrored(TOKENS, collect=("backward",)).collected["backward"][0]
    torch.testing.assert_close(model(TOKENS.flip(1)).hidden.flip(1), backward, rtol=0, atol=1e-12)


def test_one_layer_is_an_lstm_language_model() -> None:
    model = build(layers=1)
    plain = LSTM(LSTMConfig(vocabulary_size=V, width=8, layers=1, dropout=0.0)).double()
    plain.load_state_dict({name: t for name, t in model.state_dict().items() if not name.startswith("blocks.1")})
    torch.testing.assert_close(model(TOKENS).hidden, plain(TOKENS).hidden, rtol=0, atol=1e-12)


def test_the_second_layer_adds_its_input() -> None:
    model = build()
    x = model.embed(TOKENS)
    first, _ = model.blocks[0](x)
    second, _ = model.blocks[1](first)
    torch.testing.assert_close(model(TOKENS).hidden, first + second, rtol=0, atol=1e-12)


def test_each_direction_has_its_own_perplexity() -> None:
    """Over padded rows, and over the same texts packed, from each text by itself and from the equations."""
    model, lengths = build(), [9, 1, 4]
    sums = torch.zeros(2, dtype=torch.float64)
    for b, n in enumerate(lengths):
        if n > 1:
            forward, backward = (torch.log_softmax(part, -1) for part in predictions(model, TOKENS[[b], :n]))
            text = TOKENS[[b], :n, None]
            sums += torch.stack([-forward.gather(-1, text[:, 1:]).sum(), -backward.gather(-1, text[:, :-1]).sum()])
    packed = torch.cat([*(TOKENS[b, :n] for b, n in enumerate(lengths)), TOKENS[0, :2]])[None]
    segments = torch.cat([torch.repeat_interleave(torch.tensor(lengths)), torch.tensor([-1, -1])])[None]
    for loss in (bilm(model, batch(TOKENS, lengths)), bilm(model, batch(packed, [14], segments))):
        assert loss.count == 8 + 3
        found = torch.stack([loss.metrics["forward"], loss.metrics["backward"]])
        torch.testing.assert_close(found, sums, rtol=0, atol=1e-10)
        torch.testing.assert_close(loss.total, sums.mean(), rtol=0, atol=1e-10)


def test_both_halves_and_what_they_share_are_trained() -> None:
    model = build().train()
    loss = bilm(model, batch(TOKENS, [9, 9, 9]))
    loss.total.backward()
    assert all(parameter.grad.any() for parameter in model.parameters())
    model.zero_grad()
    causal(model, batch(TOKENS, [9, 9, 9])).total.backward()  # alone, it is its forward half
    assert all(p.grad is None for p in model.blocks[2:].parameters())


def test_the_forward_half_is_carried_on() -> None:
    model = build()
    state, total = model.new_state(3, 0), 0.0
    for piece in TOKENS.split(3, dim=1):
        loss = bilm(model, batch(piece, [3, 3, 3]), state=state)
        state, total = loss.state.detach(), total + loss.metrics["forward"]
    forward = torch.log_softmax(predictions(model, TOKENS)[0], -1)
    within = -forward.gather(-1, TOKENS[:, 1:, None])[:, [0, 1, 3, 4, 6, 7]].sum()
    torch.testing.assert_close(total, within, rtol=0, atol=1e-10)


def test_layers_for_a_tagger() -> None:
    """Layer 0 is a token's vector twice, and each layer has the forward half on the left, the backward on the right."""
    model = build()
    output = model(TOKENS, lengths=torch.tensor([9, 4, 7]), collect=("hidden", "backward"))
    layers = output.collected["hidden"]
    assert [tuple(layer.shape) for layer in layers] == [(3, 9, 16)] * 3
    assert torch.equal(layers[0], model.embed(TOKENS).repeat(1, 1, 2))
    left, right = layers[2].chunk(2, dim=-1)
    assert torch.equal(left, output.hidden)
    assert torch.equal(right, output.collected["backward"][0])
    alone = model(TOKENS[[1], :4], collect=("hidden",)).collected["hidden"]
    for layer, single in zip(layers, alone, strict=True):
        torch.testing.assert_close(layer[1, :4], single[0], rtol=0, atol=1e-12)


def test_the_order_of_reading_backwards() -> None:
    order = backwards(2, 6, torch.device("cpu"), lengths=torch.tensor([4, 6]), segments=None)
    assert order.tolist() == [[3, 2, 1, 0, 4, 5], [5, 4, 3, 2, 1, 0]]
    segments = torch.tensor([[0, 0, 0, 1, 2, 2], [0, 1, 1, -1, -1, -1]])
    order = backwards(2, 6, torch.device("cpu"), lengths=None, segments=segments)
    assert order.tolist() == [[2, 1, 0, 3, 5, 4], [0, 2, 1, 5, 4, 3]]


def test_unknown_field() -> None:
    with pytest.raises(ConfigError, match="did you mean layers"):
        BiLMConfig.from_hf({"model_type": "trivium-bilm", "layer": 2})
