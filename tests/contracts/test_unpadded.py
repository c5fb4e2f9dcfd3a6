"""Encoders compute no padding: rows of unequal length are packed, and nothing else changes. All in fp64."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from tests.contracts.tracers import LENGTHS, NAMED, TRACERS, Tracer, texts

every_encoder = pytest.mark.parametrize(argvalues=[t for t in TRACERS if t.row.kind == "encoder"], **NAMED)


def types_of(tracer: Tracer) -> dict[str, Tensor]:
    """What says which of two texts a token belongs to, where the network asks."""
    fields = {field.name for field in dataclasses.fields(tracer.row.config_class())}
    several = "token_types" in fields and tracer.config().token_types > 1
    return {"token_types": (texts(8) > 11).long()} if several else {}


def gradients_of(model: nn.Module, hidden: Tensor) -> dict[str, Tensor]:
    """Those of a sum that weighs every valid number otherwise."""
    weights = torch.randn(hidden.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    valid = torch.arange(hidden.shape[1]) < torch.tensor(LENGTHS)[:, None]
    model.zero_grad()
    (hidden * weights)[valid].sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@every_encoder
def test_unpadded_is_padded_with_its_gradients(tracer: Tracer) -> None:
    """Collecting attention keeps the padding: that computation is what the other is held against."""
    model, lengths, types = tracer.build(), torch.tensor(LENGTHS), types_of(tracer)
    padded = model(texts(), lengths=lengths, collect=("attention",), **types).hidden
    wanted = gradients_of(model, padded)
    hidden = model(texts(), lengths=lengths, **types).hidden
    found = gradients_of(model, hidden)
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(hidden[row, :length], padded[row, :length], rtol=0, atol=1e-10)
        assert not hidden[row, length:].any()
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=0, atol=1e-10, msg=name)


@every_encoder
def test_blocks_see_no_padding(tracer: Tracer) -> None:
    model = tracer.build()
    shapes: list[tuple[int, ...]] = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape[:2])))
    collected = model(texts(), lengths=torch.tensor(LENGTHS), collect=("hidden",)).collected["hidden"]
    assert shapes == [(1, sum(LENGTHS))] * len(model.blocks)
    assert all(hidden.shape[:2] == (3, max(LENGTHS)) for hidden in collected)


@every_encoder
def test_vectors_in_the_place_of_tokens(tracer: Tracer) -> None:
    model, lengths = tracer.build(), torch.tensor(LENGTHS)
    by_tokens = model(texts(), lengths=lengths).hidden
    assert torch.equal(model(embeddings=model.embed(texts()), lengths=lengths).hidden, by_tokens)
