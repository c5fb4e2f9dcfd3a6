"""The discriminator of RelGAN against its equations in loops; what it reads, and what it gives a generator."""

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from trivium.config import from_dict, to_dict
from trivium.errors import ConfigError
from trivium.models.relgan_discriminator import RelGANDiscriminator, RelGANDiscriminatorConfig

V = 9
SHAPES = [{"width": 4, "representations": 4}, {"width": 6, "representations": 3}, {"width": 4, "representations": 1}]
every_shape = pytest.mark.parametrize("fields", SHAPES, ids=["one number each", "two numbers each", "one"])


def build(**fields) -> RelGANDiscriminator:
    torch.manual_seed(1)
    small = {"vocabulary_size": V, "windows": (2, 3), "filters": 5, "inner_width": 4, "width": 4, "representations": 4}
    model = RelGANDiscriminator(RelGANDiscriminatorConfig(**(small | fields))).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def judged(model: RelGANDiscriminator, text: list[int]) -> Tensor:
    """The logits of one text, representation by representation, filter by filter and window by window."""
    config, weights = model.config, model.state_dict()
    single, logits = config.width // config.representations, []
    for s in range(config.representations):
        x = weights["embedding.weight"][text][:, s * single : (s + 1) * single]
        features = []
        for block, window in enumerate(config.windows):
            kernel = weights[f"blocks.{block}.convolution.weight"]  # [filters, single, window]
            bias = weights[f"blocks.{block}.convolution.bias"]
            padded = torch.cat([x, x.new_zeros(max(0, window - len(text)), single)])
            for c in range(config.filters):
                answers = [
                    (kernel[c] * padded[t : t + window].T).sum() + bias[c] for t in range(len(padded) - window + 1)
                ]
                features.append(torch.relu(torch.stack(answers)).max())
        h = torch.stack(features)
        gate = torch.sigmoid(weights["highway.gate.weight"] @ h + weights["highway.gate.bias"])
        new = torch.relu(weights["highway.transform.weight"] @ h + weights["highway.transform.bias"])
        h = gate * new + (1 - gate) * h
        inner = weights["inner.weight"] @ h + weights["inner.bias"]
        logits.append((weights["output.weight"] @ inner + weights["output.bias"])[0])
    return torch.stack(logits)


@every_shape
def test_equations_of_texts_of_unequal_lengths(fields: dict) -> None:
    model, tokens, lengths = build(**fields), torch.randint(V, (4, 6)), [6, 1, 4, 2]
    found = model(tokens, lengths=torch.tensor(lengths))
    assert found.shape == (4, fields["representations"])
    for b, n in enumerate(lengths):
        same(found[b], judged(model, tokens[b, :n].tolist()))
    same(model(tokens)[1], judged(model, tokens[1].tolist()))


def test_padding_is_not_read() -> None:
    model, lengths = build(), torch.tensor([5, 2, 3])
    soft = torch.randn(3, 5, V, dtype=torch.float64).softmax(-1)
    expected = model(embeddings=model.embed(soft), lengths=lengths)
    beyond = torch.arange(5)[:, None] >= lengths[:, None, None]
    same(model(embeddings=model.embed(soft).masked_fill(beyond, torch.nan), lengths=lengths), expected)
    soft.requires_grad_()
    (found,) = torch.autograd.grad(model(embeddings=model.embed(soft), lengths=lengths).sum(), soft)
    assert not found.masked_select(beyond).any()


def test_a_representation_sees_its_own_embedding_only() -> None:
    model, tokens = build(width=6, representations=3), torch.randint(V, (2, 5))
    before = model(tokens)
    model.embedding.weight.data[:, 2:4] += 1.0
    changed = (model(tokens) - before).abs() > 1e-9
    assert changed.tolist() == [[False, True, False]] * 2


def test_soft_tokens() -> None:
    """One-hot mixtures are tokens, and the gradient that a generator receives is the finite difference."""
    model, tokens = build(), torch.randint(V, (2, 5))
    lengths = torch.tensor([5, 3])
    soft = torch.randn(2, 5, V, dtype=torch.float64).softmax(-1).requires_grad_()
    weighting = torch.randn(2, 4, dtype=torch.float64)

    def said(mixture: Tensor) -> Tensor:
        return (model(embeddings=model.embed(mixture), lengths=lengths) * weighting).sum()

    same(said(F.one_hot(tokens, V).double()), (model(tokens, lengths=lengths) * weighting).sum())

    (found,) = torch.autograd.grad(said(soft), soft)
    assert found[1, 2].abs().sum() > 0
    for b, t, v in ((0, 0, 3), (0, 4, 8), (1, 2, 0)):
        step = torch.zeros_like(soft)
        step[b, t, v] = 1e-6
        with torch.no_grad():
            wanted = (said(soft + step) - said(soft - step)) / 2e-6
        torch.testing.assert_close(found[b, t, v], wanted, rtol=1e-6, atol=1e-8)


def test_dropout_is_for_training() -> None:
    model, tokens = build(dropout=0.5), torch.randint(V, (2, 5))
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.allclose(model(tokens), model(tokens))


def test_weights_and_config_round_trip() -> None:
    model, tokens = build(dropout=0.1), torch.randint(V, (2, 5))
    stored = safetensors.torch.load(safetensors.torch.save(model.state_dict()))
    config = from_dict(RelGANDiscriminatorConfig, to_dict(model.config))
    assert config == model.config
    other = RelGANDiscriminator(config).double().eval()
    other.load_state_dict(stored)
    assert torch.equal(other(tokens), model(tokens))


def test_the_discriminator_of_the_paper() -> None:
    """64 embeddings of one number, four kinds of 300 filters that all of them share, the highway layer half open."""
    model = RelGANDiscriminator(RelGANDiscriminatorConfig())
    assert [tuple(block.convolution.weight.shape) for block in model.blocks] == [(300, 1, n) for n in (2, 3, 4, 5)]
    assert model.highway.gate.bias.abs().sum() == 0
    assert model.dropout.p == 0.25
    counted = 5000 * 64 + 300 * (2 + 3 + 4 + 5 + 4) + 2 * (1200 * 1200 + 1200) + 1200 * 100 + 100 + 100 + 1
    assert sum(p.numel() for p in model.parameters()) == counted
    assert model(torch.randint(5000, (2, 20))).shape == (2, 64)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 64, "representations": 5}, "(?s)do not divide the width.*multiple of 5"),
        ({"representations": 0}, "do not divide the width"),
        ({"windows": ()}, "reads through windows"),
        ({"windows": (3, 0)}, "reads through windows"),
    ],
)
def test_impossible_shapes(fields: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RelGANDiscriminatorConfig(**fields)
