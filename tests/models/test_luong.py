"""Global attention beyond the contract: the equations for every score, and what input feeding changes."""

import pytest
import torch
from torch import Tensor

from tests.models.equations import lstm, read_lstm
from trivium.errors import ConfigError
from trivium.models.luong import Luong, LuongConfig

SCORES, DIRECTIONS = ("dot", "general", "concat"), ("forward", "backward", "both")


def build(**changes: object) -> Luong:
    torch.manual_seed(1)
    fields = {"vocabulary_size": 11, "embedding_width": 5, "width": 6, "layers": 2, **changes}
    return Luong(LuongConfig(**fields)).double().eval()


def encoded(model: Luong, source: list[int]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """The top layer's output at every source word, and each layer's last state."""
    xs, last = model.embedding.weight[source], []
    direction = model.config.direction
    for layer in model.blocks[: model.config.layers]:
        if direction == "both":
            left, right = read_lstm(layer.rnn, xs), read_lstm(layer.rnn, xs.flip(0), "_reverse")
            xs = torch.cat([left[0], right[0].flip(0)], dim=-1)
            last.append((torch.cat([left[1], right[1]]), torch.cat([left[2], right[2]])))
        elif direction == "backward":
            outputs, *state = read_lstm(layer.rnn, xs.flip(0))
            xs, last = outputs.flip(0), [*last, tuple(state)]
        else:
            xs, *state = read_lstm(layer.rnn, xs)
            last.append(tuple(state))
    return xs, last


def score(model: Luong, h: Tensor, annotation: Tensor) -> Tensor:
    """Section 3.1; W_a [h; s] of "concat" is kept as two matrices."""
    attention = model.blocks[-1].looking.attention
    if model.config.score == "dot":
        return h @ annotation
    if model.config.score == "general":
        return h @ attention.key.weight @ annotation
    matrix = torch.cat([attention.query.weight, attention.key.weight], dim=1)
    return attention.score.weight[0] @ torch.tanh(matrix @ torch.cat([h, annotation]))


@pytest.mark.parametrize("feeding", [True, False], ids=["feeding", "plain"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("scored", SCORES)
@torch.no_grad()
def test_equations(scored: str, direction: str, feeding: bool) -> None:
    model = build(score=scored, direction=direction, input_feeding=feeding)
    source, target = [3, 7, 1, 4], [0, 5, 2]
    annotations, states = encoded(model, source)
    decoder, attentional = model.blocks[-1], torch.zeros(6, dtype=torch.float64)
    wanted, looked = [], []
    for word in target:
        x = model.embedding.weight[word]
        x = torch.cat([x, attentional]) if feeding else x
        for i, layer in enumerate(decoder.layers):
            states[i] = lstm(layer if feeding else layer.rnn, x, *states[i])
            x = states[i][0]
        scores = torch.stack([score(model, x, annotation) for annotation in annotations])
        weights = scores.exp() / scores.exp().sum()  # equation 7
        context = sum(weight * annotation for weight, annotation in zip(weights, annotations, strict=True))
        attentional = torch.tanh(decoder.looking.combine.weight @ torch.cat([context, x]))  # equation 5
        wanted.append(attentional)
        looked.append(weights)
    state = model.encode(torch.tensor([source]))
    output = model(torch.tensor([target]), state=state, collect=("cross_attention",))
    torch.testing.assert_close(output.hidden[0], torch.stack(wanted), rtol=0, atol=1e-12)
    (alignment,) = output.collected["cross_attention"]
    assert alignment.shape == (1, 1, 3, 4)
    torch.testing.assert_close(alignment[0, 0], torch.stack(looked), rtol=0, atol=1e-12)


@pytest.mark.parametrize("feeding", [True, False], ids=["feeding", "plain"])
def test_the_alignment_stands_where_the_words_do(feeding: bool) -> None:
    """Read from its end or not, weight j is that of source word j, and none falls on padding."""
    model = build(direction="backward", input_feeding=feeding)
    source, lengths = torch.tensor([[3, 7, 1, 9, 9], [3, 7, 1, 4, 8]]), torch.tensor([3, 5])
    output = model(torch.tensor([[0, 5], [0, 5]]), state=model.encode(source, lengths), collect=("cross_attention",))
    together = output.collected["cross_attention"][0]
    assert not together[0, :, :, 3:].any()
    for row, length in enumerate(lengths.tolist()):
        state = model.encode(source[row : row + 1, :length])
        alone = model(torch.tensor([[0, 5]]), state=state, collect=("cross_attention",)).collected["cross_attention"][0]
        torch.testing.assert_close(together[row, :, :, :length], alone[0], rtol=0, atol=1e-12)


def test_only_input_feeding_knows_where_it_looked() -> None:
    """What the decoder goes on with depends on what it saw of the source, or on where it began alone."""
    for feeding in (True, False):
        model, after = build(input_feeding=feeding), []
        for seen in (1.0, -1.0):
            state = model.encode(torch.tensor([[3, 7, 1]]), capacity=2)
            (annotations, keys), *first = state.memory.tensors
            state.memory.tensors = ((seen * annotations, keys), *first)
            after.append(model(torch.tensor([[0, 5]]), state=state).state.layers[0].tensors[0])
        assert torch.equal(*after) != feeding


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="as wide as the layers"):
        LuongConfig(embedding_width=6, width=5, tied=True)
    with pytest.raises(ConfigError, match="an even number"):
        LuongConfig(width=5, direction="both")
