"""Compared answers as batches: a row an answer, prompts kept whole, what was said of them in its place."""

import dataclasses

import pytest
import torch

from trivium.data.comparison_batches import Compared, Said, comparison_batch, comparison_source
from trivium.errors import ConfigError, DataError

COMPARED = [
    Compared(rows=((5, 6), (5, 9, 7)), said=(Said(better=1, worse=0, margin=0.5),)),
    Compared(
        rows=((1,), (2, 2), (3, 3, 3)),
        said=(
            Said(better=0, worse=1, weight=1 / 3),
            Said(better=0, worse=2, weight=1 / 3),
            Said(better=2, worse=1, weight=1 / 3, criterion=1),
        ),
    ),
    Compared(rows=((4, 4, 4, 4), (8,)), said=(Said(better=0, worse=1),)),
]


def test_every_answer_is_a_row_and_every_comparison_in_its_place() -> None:
    batch = comparison_batch(COMPARED, [0, 1], criteria=2)
    assert batch.tokens.tolist() == [
        [[5, 6, 0], [5, 9, 7], [0, 0, 0]],
        [[1, 0, 0], [2, 2, 0], [3, 3, 3]],
    ]
    assert batch.lengths.tolist() == [[2, 3, 0], [1, 2, 3]]
    said = {tuple(place): batch.weights[tuple(place)].item() for place in batch.weights.nonzero().tolist()}
    third = pytest.approx(1 / 3)
    assert said == {(0, 0, 1, 0): 1.0, (1, 0, 0, 1): third, (1, 0, 0, 2): third, (1, 1, 2, 1): third}
    assert batch.margins.nonzero().tolist() == [[0, 0, 1, 0]]
    assert batch.margins[0, 0, 1, 0] == 0.5
    assert (batch.rows, batch.num_tokens, batch.token_types) == (2, 2, None)


def test_micro_batches_keep_prompts_whole() -> None:
    batch = comparison_batch(COMPARED, [0, 1, 2], criteria=2)
    parts = batch.split(2)
    assert [part.rows for part in parts] == [2, 1]
    assert parts[1].tokens[0, 0].tolist() == [4, 4, 4, 4]
    assert sum(float(part.weights.sum()) for part in parts) == pytest.approx(float(batch.weights.sum()))


def test_a_source_reads_every_prompt_once_an_epoch_and_resumes() -> None:
    many = [Compared(rows=((n, n), (n,) * (1 + n % 5)), said=(Said(better=0, worse=1),)) for n in range(1, 40)]
    source = comparison_source(many, rows=8, seed=3)
    batches = [next(source) for _ in range(round(source.batches_per_epoch))]
    seen = [int(row[0, 0]) for batch in batches for row in batch.tokens]
    assert sorted(seen) == list(range(1, 40))
    again = comparison_source(many, rows=8, seed=3)
    next(again)
    state = again.state_dict()
    resumed = comparison_source(many, rows=8, seed=3)
    resumed.load_state_dict(state)
    assert torch.equal(next(resumed).tokens, next(again).tokens)
    parts = [next(comparison_source(many, rows=8, seed=3, rank=rank, world=2)) for rank in range(2)]
    assert torch.equal(torch.cat([part.lengths for part in parts]), batches[0].lengths)


def test_other_judgements_of_the_same_answers_are_other_data() -> None:
    state = comparison_source(COMPARED, criteria=2, rows=2).state_dict()
    turned = [dataclasses.replace(COMPARED[0], said=(Said(better=0, worse=1),)), *COMPARED[1:]]
    with pytest.raises(DataError, match="cannot be resumed"):
        comparison_source(turned, criteria=2, rows=2).load_state_dict(state)


def test_types_go_with_their_rows() -> None:
    typed = [Compared(rows=((5, 6), (5, 9, 7)), types=((0, 1), (0, 1, 1)), said=(Said(better=0, worse=1),))]
    batch = comparison_batch(typed, [0])
    assert batch.token_types is not None
    assert batch.token_types.tolist() == [[[0, 1, 0], [0, 1, 1]]]


def test_no_prompts_and_too_few_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no examples"):
        comparison_source([], rows=2)
    with pytest.raises(ConfigError, match="more processes than rows"):
        comparison_source(COMPARED, rows=1, world=2)
