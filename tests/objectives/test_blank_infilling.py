"""Blanks: nothing is lost, the published shares, and the figure of the paper."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import ConfigError, DataError
from trivium.models.glm import GLM, GLMConfig
from trivium.objectives.blank_infilling import (
    Blanks,
    Marks,
    blank_infilling,
    blank_out,
    collate_blanks,
    filled,
    hide_rest,
    hide_sentences,
    hide_spans,
    with_contents,
)

MARKS = Marks(mask=90, sentence_mask=91, document_mask=92, start=93, end=94)
BEGUN = Marks(mask=90, sentence_mask=91, document_mask=92, start=93, end=94, begin=95)
STOP = 7


def test_figure_2_of_the_paper() -> None:
    text = np.array([1, 2, 3, 4, 5, 6])
    chances = (np.random.default_rng(seed) for seed in range(20))
    tries = (blank_out(text, np.isin(text, [3, 5, 6]), rng, MARKS, MARKS.mask) for rng in chances)
    blanks = next(blanks for blanks in tries if blanks.tokens[1] == 5)  # the figure writes the second blank first
    assert blanks.source.tolist() == [1, 2, 90, 4, 90]
    assert blanks.tokens.tolist() == [93, 5, 6, 93, 3]
    assert blanks.targets.tolist() == [5, 6, 94, 3, 94]
    # The figure counts from 1: 5 5 5 3 3.
    assert blanks.positions.tolist() == [4, 4, 4, 2, 2]
    assert blanks.block_positions.tolist() == [1, 2, 3, 1, 2]


def check(blanks: Blanks, text: np.ndarray, marks: Marks, mask_id: int) -> None:
    assert filled(blanks, marks).tolist() == text.tolist()
    starts = np.flatnonzero(blanks.tokens == marks.start)
    assert np.flatnonzero(blanks.targets == marks.end).tolist() == [*(starts[1:] - 1), len(blanks.targets) - 1]
    assert (blanks.source[blanks.positions] == mask_id).all()
    assert (blanks.block_positions[starts] == 1).all()
    assert int((blanks.source == mask_id).sum()) == len(starts)
    assert marks.begin is None or blanks.source[0] == marks.begin


@settings(max_examples=150)
@given(
    text=st.lists(st.integers(0, 20), min_size=2, max_size=120),
    rate=st.floats(0.01, 0.9),
    mean=st.floats(0.3, 9.0),
    seed=st.integers(0, 2**32 - 1),
    begun=st.booleans(),
)
def test_filling_the_blanks_gives_the_text_back(
    text: list[int], rate: float, mean: float, seed: int, begun: bool
) -> None:
    rng, ids, marks = np.random.default_rng(seed), np.array(text), BEGUN if begun else MARKS
    check(hide_spans(ids, rng, marks, rate=rate, mean_span=mean), ids, marks, 90)
    check(hide_sentences(ids, rng, marks, sentence_ends=[STOP], rate=rate), ids, marks, 91)
    check(hide_rest(ids, rng, marks), ids, marks, 92)
    if set(text) != {STOP}:
        blanks = hide_spans(ids, rng, marks, special_ids=[STOP], rate=rate, mean_span=mean)
        check(blanks, ids, marks, 90)
        assert STOP not in blanks.targets


def test_published_shares() -> None:
    rng = np.random.default_rng(0)
    text = rng.integers(8, 80, 400)
    spans = [hide_spans(text, rng, MARKS) for _ in range(300)]
    hidden = [len(b.targets) - int((b.tokens == 93).sum()) for b in spans]
    assert min(hidden) >= 60, "15 %"
    assert np.mean(hidden) < 62
    lengths = np.concatenate([np.diff(np.append(np.flatnonzero(b.tokens == 93), len(b.tokens))) - 1 for b in spans])
    assert lengths.mean() == pytest.approx(3 / (1 - np.exp(-3)), abs=0.05), "Poisson, without its zeros"
    places = np.concatenate([b.positions[b.block_positions == 1] for b in spans])
    first = np.concatenate([b.positions[:1] for b in spans])
    assert first.mean() == pytest.approx(places.mean(), rel=0.06), "in an order of chance"
    rest = [len(hide_rest(text, rng, MARKS).targets) - 1 for _ in range(800)]
    assert 200 <= min(rest) < 210
    assert 395 < max(rest) <= 400
    assert np.mean(rest) == pytest.approx(300, abs=8)


def test_whole_sentences() -> None:
    text = np.array([1, 2, 7, 3, 7, 4, 5, 6, 7, 8, 9])
    for seed in range(30):
        blanks = hide_sentences(text, np.random.default_rng(seed), MARKS, sentence_ends=[7], rate=0.5)
        pieces = "".join(map(chr, blanks.targets)).split(chr(94))[:-1]
        whole = ["".join(map(chr, s)) for s in ([1, 2, 7], [3, 7], [4, 5, 6, 7], [8, 9])]
        assert set(pieces) <= set(whole)
        assert sum(map(len, pieces)) >= 0.5 * len(text)
        assert sum(map(len, pieces[:-1])) < len(text), "and not all of it"


def test_chance_is_all_that_differs() -> None:
    text = np.arange(50)
    first, again, other = (hide_spans(text, np.random.default_rng(seed), MARKS) for seed in (1, 1, 2))
    assert all(np.array_equal(getattr(first, f), getattr(again, f)) for f in vars(first))
    assert first.source.tolist() != other.source.tolist()


def test_the_loss_is_that_of_each_blank_by_itself_and_after_the_others() -> None:
    """Padded or single; and each blank sees those before it, by the chain rule of equation 1."""
    torch.manual_seed(0)
    model = GLM(GLMConfig(vocabulary_size=96, width=16, layers=2, heads=2, context_tokens=64)).double().eval()
    rng = np.random.default_rng(3)
    rows = [hide_spans(rng.integers(0, 80, n), rng, BEGUN, rate=0.3) for n in (40, 9, 23)]
    batch = collate_blanks(rows)
    loss = blank_infilling(model, batch)
    alone = [blank_infilling(model, collate_blanks([row])) for row in rows]
    torch.testing.assert_close(loss.total, torch.stack([each.total for each in alone]).sum(), rtol=1e-10, atol=0)
    assert loss.count.item() == batch.num_tokens == sum(len(row.targets) for row in rows)
    halves = [blank_infilling(model, part).total for part in batch.split(2)]
    torch.testing.assert_close(sum(halves), loss.total, rtol=1e-10, atol=0)


def test_blank_after_blank() -> None:
    """Written one by one over a cache, the blanks of a text have the probability that they have when given at once."""
    torch.manual_seed(0)
    model = GLM(GLMConfig(vocabulary_size=96, width=16, layers=2, heads=2, context_tokens=64)).double().eval()
    source, contents = [1, 90, 2, 91, 3, 92], [[5, 6], [7], [8, 9, 10]]
    whole = with_contents(source, contents, MARKS)
    assert filled(whole, MARKS).tolist() == [1, 5, 6, 2, 7, 3, 8, 9, 10]
    assert with_contents(source, [[5, 6], []], MARKS).tokens.tolist() == [93, 5, 6, 93]
    together = blank_infilling(model, collate_blanks([whole])).total
    state, apart = model.encode(torch.tensor([source]), capacity=9), 0.0
    for number, content in enumerate(contents):
        blanks = with_contents(source, contents[: number + 1], MARKS)
        new = slice(-len(content) - 1, None)
        tokens, targets, positions, within = (
            torch.from_numpy(getattr(blanks, name))[None, new]
            for name in ("tokens", "targets", "positions", "block_positions")
        )
        output = model(tokens, state=state, positions=positions, block_positions=within)
        apart, state = apart + model.head.nll_sum(output.hidden, targets), output.state
    torch.testing.assert_close(apart, together, rtol=1e-10, atol=0)
    with pytest.raises(DataError, match="2 for 1 blanks"):
        with_contents([90], [[1], [2]], MARKS)


def test_impossible() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="at least two tokens"):
        hide_spans([1], rng, MARKS)
    with pytest.raises(DataError, match="all of them special"):
        hide_spans([1, 1], rng, MARKS, special_ids=[1])
    with pytest.raises(ConfigError, match="least share"):
        hide_rest([1, 2], rng, MARKS, least=0.0)
    for changes in ({"rate": 0.0}, {"rate": 1.0}, {"mean_span": 0.0}):
        with pytest.raises(ConfigError, match="cannot be drawn"):
            hide_spans([1, 2], rng, MARKS, **changes)


def test_at_least_the_rate_is_hidden() -> None:
    for length in range(2, 40):
        blanks = hide_spans(np.arange(length), np.random.default_rng(length), MARKS, mean_span=1.0)
        assert len(blanks.targets) - int((blanks.tokens == 93).sum()) >= 0.15 * length
