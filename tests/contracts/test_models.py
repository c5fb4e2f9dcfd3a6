"""The model contract of docs/architecture.md, held against every architecture there is.

All in fp64, where batched, padded, packed, cached and single computation agree to 1e-10 or something is wrong.
"""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.contracts.tracers import (
    LENGTHS,
    NAMED,
    PREDICTING,
    SOURCE_LENGTHS,
    TRACERS,
    Tracer,
    V,
    every_model,
    every_model_that_goes_on,
    every_model_that_predicts,
    sources,
    texts,
)
from trivium.data.batches import CausalBatch, LabelledBatch, MaskedBatch, PermutationBatch, Seq2SeqBatch, TaggedBatch
from trivium.errors import Unsupported, UserError
from trivium.models import ARCHITECTURES
from trivium.nn.output import Output
from trivium.nn.weight_map import export, load_into
from trivium.objectives.bilm import bilm
from trivium.objectives.causal import causal
from trivium.objectives.classification import classification
from trivium.objectives.loss import Loss
from trivium.objectives.masked import masked
from trivium.objectives.permutation import permutation, permute
from trivium.objectives.seq2seq import seq2seq
from trivium.objectives.tagging import tagging


def alone(tracer: Tracer, model: nn.Module) -> list[Tensor]:
    """``[length, D]`` of each row by itself: what everything else is held against."""
    return [model(texts()[[b], :n], **tracer.given(model, [b])).hidden[0] for b, n in enumerate(LENGTHS)]


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_every_architecture_of_the_table_is_here() -> None:
    assert {tracer.row.name for tracer in TRACERS} == {row.name for row in ARCHITECTURES}


@every_model
def test_batched_and_padded_is_single(tracer: Tracer) -> None:
    model = tracer.build()
    expected = alone(tracer, model)
    for seed in (3, 5):
        tokens = texts()
        for b, n in enumerate(LENGTHS):
            tokens[b, n:] = texts(seed)[b, n:]  # other garbage must not be seen
        hidden = model(tokens, lengths=torch.tensor(LENGTHS), **tracer.given(model, [0, 1, 2])).hidden
        for b, n in enumerate(LENGTHS):
            same(hidden[b, :n], expected[b])


@every_model
def test_packed_is_single(tracer: Tracer) -> None:
    model = tracer.build()
    expected = alone(tracer, model)
    tokens = torch.cat([texts()[b, :n] for b, n in enumerate(LENGTHS)])[None]
    segments = torch.repeat_interleave(torch.tensor(LENGTHS))[None]
    if tracer.row.kind == "classifier":
        with pytest.raises(Unsupported):
            model(tokens, segments=segments)
        return
    hidden = model(tokens, segments=segments, **tracer.given(model, [0, 1, 2])).hidden
    same(hidden[0], torch.cat(expected))


@pytest.mark.parametrize(argvalues=[t for t in PREDICTING if not t.reads_a_source], **NAMED)
def test_packed_rows_with_padding(tracer: Tracer) -> None:
    model = tracer.build()
    expected = alone(tracer, model)
    tokens, segments = torch.zeros(2, 10, dtype=torch.long), torch.full((2, 10), -1)
    for row, start, number, b in ((0, 0, 0, 0), (0, 7, 1, 1), (1, 0, 0, 2)):
        tokens[row, start : start + LENGTHS[b]] = texts()[b, : LENGTHS[b]]
        segments[row, start : start + LENGTHS[b]] = number
    hidden = model(tokens, segments=segments, lengths=torch.tensor([10, 5])).hidden
    same(hidden[0, :7], expected[0])
    same(hidden[0, 7:], expected[1])
    same(hidden[1, :5], expected[2])


@every_model_that_goes_on
def test_the_future_is_not_seen(tracer: Tracer) -> None:
    model = tracer.build()
    tokens = texts()[:1]
    changed = tokens.clone()
    changed[0, 4] = (changed[0, 4] + 1) % V
    before, after = (model(x, **tracer.given(model, [0])).hidden[0] for x in (tokens, changed))
    if tracer.has_experts:
        same(before[:4], after[:4])
    else:
        assert torch.equal(before[:4], after[:4])
    assert not torch.allclose(before[4], after[4])


@every_model_that_goes_on
def test_cached_is_uncached(tracer: Tracer) -> None:
    """A ragged prefill, a ragged step of packed tokens, then one token at a time until every row is whole."""
    model = tracer.build()
    expected = alone(tracer, model)
    state = tracer.state(model, [0, 1, 2])
    seen = [2, 1, 3]
    output = model(texts()[:, :3], lengths=torch.tensor(seen), state=state)
    for b, n in enumerate(seen):
        same(output.hidden[b, :n], expected[b][:n])
    assert output.state.lengths.tolist() == seen
    # rows 2 and 0 get two tokens more, row 1 none
    packed = torch.cat([texts()[2, 3:5], texts()[0, 2:4]])[None]
    output = model(packed, segments=torch.tensor([[2, 2, 0, 0]]), state=output.state)
    same(output.hidden[0, :2], expected[2][3:5])
    same(output.hidden[0, 2:], expected[0][2:4])
    assert output.state.lengths.tolist() == [4, 1, 5]
    output = model(texts()[:, [1]], lengths=torch.tensor([0, 1, 0]), state=output.state)
    same(output.hidden[1, :1], expected[1][1:2])
    state = output.state.take(torch.tensor([0]))
    for t in range(4, 7):
        output = model(texts()[:1, [t]], state=state)
        same(output.hidden[0, 0], expected[0][t])
        state = output.state
    assert state.lengths.tolist() == [7]


@every_model_that_goes_on
def test_long_text_in_pieces(tracer: Tracer) -> None:
    """Equally long rows (the paths without a mask): a state carried from piece to piece is one long pass."""
    model = tracer.build()
    whole = model(texts(), **tracer.given(model, [0, 1, 2])).hidden
    state, pieces = tracer.state(model, [0, 1, 2]), []
    for piece in texts().split(3, dim=1):
        output = model(piece, state=state)
        pieces.append(output.hidden)
        state = output.state
    same(torch.cat(pieces, dim=1), whole)


@every_model_that_goes_on
def test_rows_of_a_state(tracer: Tracer) -> None:
    """take, join and detach: rows go on as if nothing had happened to them."""
    model = tracer.build()
    expected = alone(tracer, model)
    states = [model(texts()[[b], :3], state=tracer.state(model, [b])).state for b in (0, 2)]
    joined = states[0].join(states[1]).take(torch.tensor([1, 0, 1])).detach()
    assert joined.rows == 3
    leaves = [t for t in torch.utils._pytree.tree_leaves(joined) if t.is_floating_point()]
    assert leaves
    assert not any(leaf.requires_grad for leaf in leaves)
    following = torch.stack([texts()[b, 3:5] for b in (2, 0, 2)])
    output = model(following, state=joined)
    for row, b in enumerate((2, 0, 2)):
        same(output.hidden[row], expected[b][3:5])


@every_model_that_goes_on
def test_rows_that_start_again(tracer: Tracer) -> None:
    model = tracer.build()
    expected = alone(tracer, model)
    state = model(texts()[[0, 2], :3], state=tracer.state(model, [0, 2])).state
    state = state.keep(torch.tensor([False, True]))
    assert state.lengths.tolist() == [0, 3]
    following = torch.stack([texts()[0, :2], texts()[2, 3:5]])
    output = model(following, state=state)
    same(output.hidden[0], expected[0][:2])
    same(output.hidden[1], expected[2][3:5])


@every_model_that_goes_on
def test_rollback(tracer: Tracer) -> None:
    model = tracer.build()
    expected = alone(tracer, model)
    state = model(texts()[[0, 2], :5], state=tracer.state(model, [0, 2])).state
    if tracer.recurrent:
        with pytest.raises(Unsupported, match="cannot be rolled back"):
            state.rollback(torch.tensor([2, 4]))
        return
    output = model(torch.stack([texts()[0, 2:3], texts()[2, 4:5]]), state=state.rollback(torch.tensor([2, 4])))
    same(output.hidden[0, 0], expected[0][2])
    same(output.hidden[1, 0], expected[2][4])


@pytest.mark.parametrize(argvalues=[t for t in TRACERS if t.recurrent], **NAMED)
def test_gradient_through_a_carried_state(tracer: Tracer) -> None:
    """Not detached, recurrence is differentiated through; detached, the first piece gets nothing from the second."""
    model = tracer.build()
    for cut, flows in ((False, True), (True, False)):
        first = model.embed(texts()[:1, :3]).detach().requires_grad_()
        state = model(embeddings=first, state=tracer.state(model, [0])).state
        state = state.detach() if cut else state
        model(texts()[:1, 3:5], state=state).hidden.sum().backward()
        assert (first.grad is not None and bool(first.grad.abs().sum() > 0)) == flows


@every_model
def test_dtypes(tracer: Tracer) -> None:
    for dtype in (torch.float32, torch.float64):
        model = tracer.build().to(dtype)
        output = model(texts(), **tracer.given(model, [0, 1, 2]))
        assert output.hidden.dtype == dtype
        if tracer in PREDICTING:
            assert model.head.logits(output.hidden).dtype == dtype


@every_model
def test_embeddings_in_the_place_of_tokens(tracer: Tracer) -> None:
    model = tracer.build()
    by_tokens, by_vectors = (
        model(**inputs, **tracer.given(model, [0, 1, 2])).hidden
        for inputs in ({"tokens": texts()}, {"embeddings": model.embed(texts())})
    )
    assert torch.equal(by_tokens, by_vectors)


@every_model_that_predicts
def test_collect(tracer: Tracer) -> None:
    model = tracer.build()

    def collected(*names: str) -> Output:
        lengths = torch.tensor(LENGTHS)
        return model(texts(), lengths=lengths, collect=names, **tracer.given(model, [0, 1, 2]))

    plain, output = collected(), collected("hidden")
    assert torch.equal(plain.hidden, output.hidden)
    assert plain.collected == {}
    depth = len(output.collected["hidden"]) - 1
    assert 1 <= depth <= len(model.blocks)
    assert all(hidden.shape[:2] == (3, 7) for hidden in output.collected["hidden"])
    if not tracer.attends:
        with pytest.raises(Unsupported, match="no attention"):
            collected("attention")
        return
    output = collected("attention")
    for b, n in enumerate(LENGTHS):  # an encoder computes its padding for this, and otherwise does not
        same(output.hidden[b, :n], plain.hidden[b, :n])
    assert len(output.collected["attention"]) == depth
    for weights in output.collected["attention"]:
        assert weights.shape[0] == 3
        assert weights.shape[2] == 7
        for b, n in enumerate(LENGTHS):
            check_shares(tracer, weights[b, :, :n])


def check_shares(tracer: Tracer, weights: Tensor) -> None:
    """Attention probabilities ``[H, T, S]`` of real tokens add up to 1, or to less where the rest is for a sink."""
    sums = weights.sum(-1)
    if tracer.attends_to_nothing:
        assert (sums > 0).all() and (sums < 1).all()
    else:
        same(sums, torch.ones_like(sums))


SEPARATE = [t for t in PREDICTING if not t.recurrent and not t.attends_to_its_source_with_itself]


@pytest.mark.parametrize(argvalues=SEPARATE, **NAMED)
def test_attention_of_packed_documents(tracer: Tracer) -> None:
    """The probabilities of each document are its own, and none are for the others."""
    model = tracer.build()
    tokens = torch.cat([texts()[b, :n] for b, n in enumerate(LENGTHS)])[None]
    segments = torch.repeat_interleave(torch.tensor(LENGTHS))[None]
    packed = model(tokens, segments=segments, collect=("attention",), **tracer.given(model, [0, 1, 2]))
    start = 0
    for b, n in enumerate(LENGTHS):
        single = model(texts()[[b], :n], collect=("attention",), **tracer.given(model, [b]))
        for all_weights, weights in zip(packed.collected["attention"], single.collected["attention"], strict=True):
            same(all_weights[0, :, start : start + n, start : start + n], weights[0])
            check_shares(tracer, all_weights[0, :, start : start + n])
        start += n


@every_model_that_predicts
def test_head(tracer: Tracer) -> None:
    model = tracer.build()
    hidden = model(texts(), **tracer.given(model, [0, 1, 2])).hidden.detach().requires_grad_()
    targets, weights = texts(9), torch.rand(3, 7, dtype=torch.float64)
    wanted = torch.log_softmax(model.head.logits(hidden), dim=-1).gather(-1, targets[..., None])[..., 0]
    assert model.head.logits(hidden).shape == (3, 7, V)
    same(model.head.log_prob(hidden, targets), wanted)
    same(model.head.nll_sum(hidden, targets), -wanted.sum())
    total = model.head.nll_sum(hidden, targets, weights)
    same(total, -(wanted * weights).sum())
    parameters = [hidden, *model.head.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(total, parameters), torch.autograd.grad(-(wanted * weights).sum(), parameters), strict=True
    ):
        same(ours, theirs)


@every_model
def test_weights_and_config_round_trip(tracer: Tracer) -> None:
    model = tracer.build()
    config = tracer.row.config_class().from_hf(model.config.to_hf())
    assert config == model.config
    assert model.config.to_hf()["model_type"] in tracer.row.model_types
    stored = {name: tensor.clone() for name, tensor in export(model.state_dict(), tracer.row.weight_map(config))}
    other = tracer.row.model_class()(config).double().eval()
    load_into(other, tracer.row.weight_map(config), stored, stored.__getitem__)
    for (name, ours), (_, theirs) in zip(model.state_dict().items(), other.state_dict().items(), strict=True):
        assert torch.equal(ours, theirs), name


@every_model
def test_copies_are_independent(tracer: Tracer) -> None:
    model = tracer.build()
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert all(bool(p.any()) for p in model.parameters())
    assert len(list(other.parameters())) == len(list(model.parameters()))  # what was tied still is


@every_model
def test_dropout_is_for_training(tracer: Tracer) -> None:
    model = tracer.build(dropout=0.5)

    def result() -> Tensor:
        output = model(texts(), **tracer.given(model, [0, 1, 2]))
        if tracer.tags:
            return model.tag.scores(output.hidden, torch.arange(7).expand(3, 7))
        return model.classify(output.hidden) if tracer.row.kind == "classifier" else output.hidden

    assert torch.equal(result(), result())
    model.train()
    assert not torch.allclose(result(), result())


@every_model
def test_adapter_seats(tracer: Tracer) -> None:
    """What sits in a Transformer block's seats is called; other kinds of block have none."""
    model = tracer.build()
    seated = [block for block in model.blocks if isinstance(getattr(block, "after_attention", None), nn.Identity)]
    assert len(seated) == (len(model.blocks) if tracer.row.kind in ("encoder", "decoder", "encoder-decoder") else 0)
    for block in seated:
        for seat in ("after_attention", "after_feedforward"):
            with torch.no_grad():
                before = model(texts(), **tracer.given(model, [0, 1, 2])).hidden
                setattr(block, seat, nn.Linear(16, 16).double())
                assert not torch.allclose(before, model(texts(), **tracer.given(model, [0, 1, 2])).hidden)


@every_model
def test_learns_a_toy_task(tracer: Tracer) -> None:
    """Three texts by heart; every parameter takes part."""
    torch.manual_seed(2)
    fields = {name: 32 for name in ("width", "embedding_width", "attention_width") if name in tracer.fields}
    model = tracer.row.model_class()(tracer.config(**fields, **tracer.without_dropout)).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    unused = ("pooler.linear.", "next_sentence.output.")
    if tracer.row.name == "xlnet":  # what tells joined texts apart
        unused += ("blocks.0.attention.segment", "blocks.1.attention.segment")
    for step in range(150):
        loss = toy_loss(tracer, model)
        mean = loss.total / loss.count
        optimiser.zero_grad()
        mean.backward()
        if step == 0:
            untouched = {name for name, p in model.named_parameters() if p.grad is None}
            assert all(name.startswith(unused) for name in untouched), untouched
        optimiser.step()
        if mean.item() < 0.1:
            return
    pytest.fail(f"a loss of {mean.item():.3f} after 150 steps")


def toy_loss(tracer: Tracer, model: nn.Module) -> Loss:
    lengths = torch.tensor(LENGTHS)
    valid = torch.arange(max(LENGTHS)) < lengths[:, None]
    if tracer.tags:
        words, tags = torch.tensor([[0, 2, 3], [1, 0, 0], [0, 4, 0]]), torch.tensor([[0, 1, 2], [1, 0, 0], [2, 0, 0]])
        return tagging(model, TaggedBatch(texts(), lengths, words, torch.tensor([3, 1, 2]), tags))
    if tracer.row.kind == "classifier":
        return classification(model, LabelledBatch(texts(), lengths, torch.tensor([0, 2, 1])))
    if tracer.row.name == "xlnet":
        order = [permute(row, np.random.default_rng(b), longest_span=1) for b, row in enumerate(texts().numpy())]
        ranks, chosen = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*order, strict=True))
        return permutation(model, PermutationBatch(texts(), ranks, chosen & valid, lengths))
    if tracer.row.kind == "encoder":
        hidden = valid & (torch.arange(max(LENGTHS)) % 3 == 1)
        return masked(model, MaskedBatch(texts().masked_fill(hidden, 0), texts(), hidden, lengths))
    if tracer.reads_a_source:
        begun = torch.cat([torch.zeros(3, 1, dtype=torch.long), texts()[:, :-1]], dim=1)
        batch = Seq2SeqBatch(sources(), torch.tensor(SOURCE_LENGTHS), begun, texts(), valid, lengths)
        return seq2seq(model, batch)
    objective = bilm if tracer.row.kind == "bidirectional recurrent" else causal
    return objective(model, CausalBatch(texts()[:, :-1], texts()[:, 1:], valid[:, 1:], lengths - 1))


@pytest.mark.parametrize(argvalues=[t for t in TRACERS if t.reads_a_source], **NAMED)
def test_a_decoder_without_its_source(tracer: Tracer) -> None:
    with pytest.raises(UserError, match=r"model\.encode"):
        tracer.build()(texts())
