"""An encoder-decoder over its sources is a decoder of its texts; and what a discriminator reads of both."""

import pytest
import torch
from torch import Tensor, nn

from tests.training.adversarial.games import ENCODER_DECODERS, SEPARATOR, V, generator, pairs
from trivium.errors import ConfigError
from trivium.generation.ancestral import sample
from trivium.nn.inverse_cdf import draw
from trivium.training.adversarial.conditioned import Conditioned, joined, likelihood, writer
from trivium.training.adversarial.texts import Texts

every_kind = pytest.mark.parametrize("kind", ENCODER_DECODERS)


def built(kind: str) -> nn.Module:
    """In float64, with chances that differ from token to token."""
    model = generator(kind).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model


def logits_alone(model: nn.Module, source: Tensor, tokens: Tensor) -> Tensor:
    """Of one row, [T, V]: all of its text at once, without any cache and without anything beside it."""
    return model.head.logits(model(tokens[None], state=model.encode(source[None])).hidden)[0]


@every_kind
def test_texts_are_those_that_each_source_gives_alone(kind: str):
    model, batch = built(kind), pairs(8)
    own = Conditioned(model, Texts(batch.source, batch.source_lengths))
    found = sample(own, batch.tokens[:, :1], 5, temperature=0.8, chance=torch.Generator().manual_seed(1))
    chances = torch.Generator().manual_seed(1)
    uniforms = torch.stack([torch.rand(8, dtype=torch.float64, generator=chances) for _ in range(5)], 1)
    for row, count in enumerate(batch.source_lengths.tolist()):
        tokens = batch.tokens[row, :1]
        for column in range(5):
            logits = logits_alone(model, batch.source[row, :count], tokens)[-1:] / 0.8
            tokens = torch.cat([tokens, draw(logits, uniforms[row, column : column + 1])])
        assert found[row].tolist() == tokens[1:].tolist()
    assert len({tuple(row) for row in found.tolist()}) > 4


@every_kind
def test_whole_texts_are_read_over_their_sources_and_teach_the_encoder(kind: str):
    model, batch = built(kind), pairs()
    own = Conditioned(model, Texts(batch.source, batch.source_lengths))
    logits = own.head.logits(own(batch.tokens, lengths=batch.lengths).hidden)
    for row, (count, length) in enumerate(zip(batch.source_lengths.tolist(), batch.lengths.tolist(), strict=True)):
        alone = logits_alone(model, batch.source[row, :count], batch.tokens[row, :length])
        torch.testing.assert_close(logits[row, :length], alone, rtol=0, atol=1e-10)
    logits[batch.mask].square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_without_sources_it_is_the_generator():
    model, batch = generator("lstm"), pairs()
    assert writer(model, None) is model
    assert isinstance(writer(model, Texts.of(batch).sources), Conditioned)


def test_a_source_its_separator_and_its_text_are_one_row():
    """Without a gap; what stands beyond a length is in no row, and other rows do not move it."""
    sources = Texts(torch.tensor([[1, 2, 3], [4, 9, 9]]), torch.tensor([3, 1]))
    texts = Texts(torch.tensor([[5, 6], [6, 9]]), torch.tensor([2, 1]), sources=sources)
    found = joined(texts, SEPARATOR)
    assert found.sources is None and found.lengths.tolist() == [6, 3]
    rows = [row[:length] for row, length in zip(found.tokens.tolist(), found.lengths.tolist(), strict=True)]
    assert rows == [[1, 2, 3, SEPARATOR, 5, 6], [4, SEPARATOR, 6]]
    plain = Texts(texts.tokens, texts.lengths)
    assert joined(plain, SEPARATOR) is plain and joined(plain, None) is plain
    with pytest.raises(ConfigError, match="with a token between them"):
        joined(texts, None)


def test_parts_keep_their_sources():
    batch = pairs(6)
    part = Texts.of(batch).part(2, 5)
    assert part.sources is not None
    assert torch.equal(part.sources.tokens, batch.source[2:5]) and part.sources.lengths.tolist() == [3, 4, 1]


@torch.no_grad()
def test_likelihood_is_that_of_each_text_for_its_source():
    model, batch = built("t5"), pairs()
    loss, expected = likelihood(model, batch), 0.0
    for row, (count, length) in enumerate(zip(batch.source_lengths.tolist(), batch.lengths.tolist(), strict=True)):
        logits = logits_alone(model, batch.source[row, :count], batch.tokens[row, :length])
        chosen = torch.log_softmax(logits, -1).gather(-1, batch.targets[row, :length, None])
        expected -= float(chosen.sum())
    assert float(loss.total) == pytest.approx(expected, abs=1e-10)
    assert float(loss.count) == batch.num_tokens and V == 7
