"""XLNet's two streams and its memory: who sees what, in fp64, where a leak of any size shows."""

import pytest
import torch
from torch import Tensor

from trivium.errors import Unsupported
from trivium.models.xlnet import XLNet, XLNetConfig
from trivium.nn.state import State

V = 23
RANKS = torch.tensor([[0, 3, 0, 1, 0, 0, 4, 2, 0]])
PREDICTED = torch.tensor([[1, 3, 6, 7]])


def built(**changes: object) -> XLNet:
    torch.manual_seed(1)
    fields = {"vocabulary_size": V, "width": 16, "layers": 3, "heads": 2, "inner_width": 24, **changes}
    model = XLNet(XLNetConfig(**fields)).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def texts(*shape: int, seed: int = 3) -> Tensor:
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def reached(model: XLNet, remembered: int, **options: Tensor) -> Tensor:
    """``[Q, T]``: whether the output of each query changes with the vector of each token, through all layers."""
    state = model(texts(1, 4), state=model.new_state(1, remembered)).state if remembered else None
    vectors = model.embed(texts(1, 9)).detach().requires_grad_()
    hidden = model(embeddings=vectors, state=state, token_types=texts(1, 9) % 3, **options).hidden[0]
    gradients = [torch.autograd.grad(row.square().sum(), vectors, retain_graph=True)[0] for row in hidden]
    return torch.stack(gradients)[:, 0].abs().amax(-1) > 0


@pytest.mark.parametrize("remembered", [0, 4])
def test_a_prediction_never_sees_its_target_nor_what_comes_later(remembered: int) -> None:
    """The gradient is exactly 0 at the target and after it in the order, and is not 0 before it."""
    ranks = RANKS[0]
    seen = reached(built(), remembered, ranks=RANKS, predicted=PREDICTED)
    assert torch.equal(seen, ranks[None] < ranks[PREDICTED[0], None])


@pytest.mark.parametrize("remembered", [0, 4])
def test_contents_see_themselves_and_what_comes_before(remembered: int) -> None:
    ranks = RANKS[0]
    assert torch.equal(reached(built(), remembered, ranks=RANKS), ranks[None] <= ranks[:, None])


def test_another_target_changes_no_prediction_before_it() -> None:
    """What the gradient says of a point, for a whole token; bit for bit."""
    model, tokens = built(), texts(1, 9)
    before = model(tokens, ranks=RANKS, predicted=PREDICTED).hidden[0]
    for place, at in enumerate(PREDICTED[0].tolist()):
        changed = tokens.clone()
        changed[0, at] = (changed[0, at] + 1) % V
        after = model(changed, ranks=RANKS, predicted=PREDICTED).hidden[0]
        earlier = RANKS[0, PREDICTED[0]] <= RANKS[0, at]
        assert bool(earlier[place])
        assert torch.equal(before[earlier], after[earlier])
        assert (before[~earlier] != after[~earlier]).any(-1).all()


def test_the_first_of_a_text_that_is_all_predicted_sees_nothing() -> None:
    model, ranks = built(), torch.tensor([[3, 1, 4, 2]])
    vectors = model.embed(texts(1, 4)).detach().requires_grad_()
    hidden = model(embeddings=vectors, ranks=ranks, predicted=torch.tensor([[1, 3]])).hidden[0]
    assert not torch.autograd.grad(hidden[0].square().sum(), vectors, retain_graph=True)[0].any()
    hidden.square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_rows_of_unequal_length_and_order_are_single_rows() -> None:
    model, lengths = built(), [9, 4, 6]
    ranks = torch.tensor([[0, 3, 0, 1, 0, 0, 4, 2, 0], [0, 1, 0, 0, 7, 7, 7, 7, 7], [2, 0, 0, 0, 1, 0, 0, 0, 0]])
    predicted, counts = torch.tensor([[1, 3, 6, 7], [1, 0, 8, 5], [0, 4, 4, 4]]), [4, 1, 2]
    types = texts(3, 9, seed=7) % 3
    for seed in (3, 5):
        tokens = texts(3, 9)
        for b, n in enumerate(lengths):
            tokens[b, n:] = texts(3, 9, seed=seed)[b, n:]  # other garbage must not be seen
        options = {"lengths": torch.tensor(lengths), "token_types": types}
        output = model(tokens, ranks=ranks, predicted=predicted, **options)
        assert bool(output.hidden.isfinite().all())
        for b, (n, count) in enumerate(zip(lengths, counts, strict=True)):
            alone = {"ranks": ranks[[b], :n], "predicted": predicted[[b], :count], "token_types": types[[b], :n]}
            same(output.hidden[b, :count], model(tokens[[b], :n], **alone).hidden[0])


def test_collecting_changes_nothing() -> None:
    """The contents of the last block are computed only where they are looked at."""
    model, tokens = built(), texts(1, 9)
    plain = model(tokens, ranks=RANKS, predicted=PREDICTED)
    output = model(tokens, ranks=RANKS, predicted=PREDICTED, collect=("hidden", "attention"))
    same(output.hidden, plain.hidden)
    same(output.collected["hidden"][-1], model(tokens, ranks=RANKS).hidden)
    assert [weights.shape for weights in output.collected["attention"]] == [(1, 2, 13, 9)] * 3


@pytest.mark.parametrize("typed", [True, False])
def test_memory_is_one_long_text_of_which_the_first_part_does_not_look_ahead(typed: bool) -> None:
    """Segment after segment is the order in which every token of a segment has the segment's number."""
    model, tokens = built(), texts(2, 15)
    numbers = torch.tensor([0] * 6 + [1] * 4 + [2] * 5).expand(2, 15)
    types = (tokens % 3) * (numbers == 2) if typed else None  # a memory counts as of type 0
    whole = model(tokens, ranks=numbers, token_types=types).hidden
    state, pieces = model.new_state(2, 15), []
    for number in range(3):
        here = numbers[0] == number
        output = model(tokens[:, here], state=state, token_types=types[:, here] if typed else None)
        pieces.append(output.hidden)
        state = output.state
    same(torch.cat(pieces, dim=1), whole)
    assert state.lengths.tolist() == [15, 15]


def test_predictions_after_a_memory() -> None:
    model, tokens = built(), texts(1, 15)
    ranks = torch.cat([torch.zeros(1, 6, dtype=torch.long), RANKS + 1], dim=1)
    whole = model(tokens, ranks=ranks, predicted=PREDICTED + 6)
    state = model(tokens[:, :6], state=model.new_state(1, 6)).state
    same(model(tokens[:, 6:], state=state, ranks=RANKS, predicted=PREDICTED).hidden, whole.hidden)


def read_in_two(model: XLNet, row: int, first: int, second: int) -> tuple[Tensor, State]:
    tokens = texts(3, 10)[[row]]
    state = model(tokens[:, :first], state=model.new_state(1, 4)).state if first else model.new_state(1, 4)
    output = model(tokens[:, first : first + second], state=state)
    return output.hidden[0], output.state


def test_memories_of_unequal_rows() -> None:
    """More than fits, less, and nothing at all: each row goes on as if it were alone; so do rows taken and joined."""
    model, tokens = built(), texts(3, 10)
    firsts, seconds = [6, 2, 0], [3, 4, 2]
    following = torch.stack([tokens[b, n : n + 4] for b, n in enumerate(firsts)])
    state = model(tokens[:, :6], lengths=torch.tensor(firsts), state=model.new_state(3, 4)).state
    lengths = torch.tensor(seconds)
    output = model(following, lengths=lengths, state=state)
    assert output.state.lengths.tolist() == [9, 6, 2]
    for b in range(3):
        hidden, alone = read_in_two(model, b, firsts[b], seconds[b])
        same(output.hidden[b, : seconds[b]], hidden)
        for ours, theirs in zip(output.state.layers, alone.layers, strict=True):
            held = min(4, firsts[b] + seconds[b])
            same(ours.take(torch.tensor([b])).last(held), theirs.last(held))
    order = torch.tensor([2, 0])
    turned = model(following[order], lengths=lengths[order], state=state.take(torch.tensor([2])).join(state.first(1)))
    same(turned.hidden[1, :3], output.hidden[0, :3])
    same(turned.hidden[0, :2], output.hidden[2, :2])


def test_rows_that_start_again_remember_nothing() -> None:
    model, tokens = built(), texts(2, 9)
    state = model(tokens[:, :5], state=model.new_state(2, 4)).state.keep(torch.tensor([False, True]))
    output = model(tokens[:, 5:], state=state)
    same(output.hidden[0], model(tokens[:1, 5:]).hidden[0])
    assert not torch.allclose(output.hidden[1], model(tokens[1:, 5:]).hidden[0])


def test_no_gradient_flows_into_a_memory() -> None:
    model = built()
    vectors = model.embed(texts(1, 5)).detach().requires_grad_()
    state = model(embeddings=vectors, state=model.new_state(1, 9)).state
    assert not any(layer.hidden.requires_grad for layer in state.layers)
    with pytest.raises(Unsupported, match="rolled back"):
        state.rollback(torch.tensor([2]))


def test_memory_is_bounded_by_the_configuration() -> None:
    assert built(memory_tokens=3).new_state(2, 100).layers[0].hidden.shape == (2, 3, 16)
    assert built().new_state(2, 5).layers[0].hidden.shape == (2, 5, 16)


def test_far_distances_are_one_where_they_are_clamped() -> None:
    """Of a text without order in its far part: with one layer, what is beyond the clamp may change places."""
    tokens = texts(1, 8)
    turned = tokens[:, [0, 1, 2, 3, 6, 5, 4, 7]]
    for furthest, alike in ((2, True), (None, False)):
        model = built(layers=1, furthest_tokens=furthest)
        before, after = (model(x).hidden[0, :3] for x in (tokens, turned))
        assert torch.allclose(before, after, rtol=0, atol=1e-10) == alike


def test_packed_documents_are_read_alone() -> None:
    model, segments = built(), torch.zeros(1, 9, dtype=torch.long)
    for options in ({"ranks": RANKS}, {"state": model.new_state(1, 4)}):
        with pytest.raises(Unsupported, match="packed documents"):
            model(texts(1, 9), segments=segments, **options)
