"""Labelled texts as batches: rows are whole, their classes or marks go with them, a source goes on where it was."""

import pytest
import torch

from trivium.data.examples import Example
from trivium.data.labelled_batches import examples_source, labelled_batch, labelled_source, span_source
from trivium.errors import DataError

TEXTS = [[number + 1] * (1 + number % 7) for number in range(40)]
CLASSES = [number % 3 for number in range(40)]


def test_every_text_comes_once_an_epoch_with_its_class():
    source = labelled_source(TEXTS, CLASSES, rows=8, seed=1)
    seen = []
    for _ in range(round(source.batches_per_epoch)):
        batch = next(source)
        assert batch.num_tokens == batch.rows <= 8
        for row, length, label in zip(
            batch.tokens.tolist(), batch.lengths.tolist(), batch.labels.tolist(), strict=True
        ):
            assert label == CLASSES[row[0] - 1]
            seen.append(row[:length])
    assert sorted(seen) == sorted(TEXTS)


def test_marks_say_what_is_trained():
    read = Example(ids=[5, 6, 7, 9], trained=[False, False, False, True])
    written = Example(ids=[9, 6, 7], trained=[False, True, True])
    batch = next(examples_source([read, written], rows=2))
    order = batch.lengths.argsort().tolist()
    assert batch.lengths[order].tolist() == [2, 3] and batch.num_tokens == 3
    assert [batch.tokens[row, : batch.lengths[row]].tolist() for row in order] == [[9, 6], [5, 6, 7]]
    assert [batch.targets[row][batch.mask[row]].tolist() for row in order] == [[6, 7], [9]]


def test_a_source_goes_on_where_it_was_and_refuses_other_marks():
    whole, stopped = (labelled_source(TEXTS, CLASSES, rows=8, seed=3) for _ in range(2))
    for _ in range(3):
        next(whole), next(stopped)
    resumed = labelled_source(TEXTS, CLASSES, rows=8, seed=3)
    resumed.load_state_dict(stopped.state_dict())
    for _ in range(6):
        expected, found = next(whole), next(resumed)
        assert expected.tokens.equal(found.tokens) and expected.labels.equal(found.labels)
    others = labelled_source(TEXTS, CLASSES[::-1], rows=8, seed=3)
    assert others.state_dict()["data"] != whole.state_dict()["data"]


def test_numbers_and_token_types_go_with_their_texts():
    numbers = [n / 4 for n in range(40)]
    types = [[n % 2] * len(text) for n, text in enumerate(TEXTS)]
    batch = next(labelled_source(TEXTS, numbers, types=types, rows=8, seed=1))
    assert batch.labels.dtype == torch.float32 and batch.token_types is not None
    for row, length in enumerate(batch.lengths.tolist()):
        number = int(batch.tokens[row, 0]) - 1
        assert batch.labels[row] == numbers[number]
        assert batch.token_types[row, :length].tolist() == types[number]
    vectors = labelled_batch(TEXTS, [[n, 0.5] for n in numbers], [3, 5])
    assert vectors.labels.tolist() == [[0.75, 0.5], [1.25, 0.5]] and vectors.token_types is None
    prints = {
        labelled_source(TEXTS, labels, types=kinds, rows=8).state_dict()["data"]
        for labels, kinds in ((numbers, None), (numbers, types), (numbers[::-1], None), (CLASSES, None))
    }
    assert len(prints) == 4
    with pytest.raises(DataError, match=r"text 1$|text 1\n"):
        labelled_source(TEXTS[:2], [0.0, float("nan")], rows=2)


def test_answers_go_with_their_texts_and_lie_within_them():
    spans = [(len(text) // 2, len(text) - 1) for text in TEXTS]
    source = span_source(TEXTS, spans, types=TEXTS, rows=8, seed=1)
    batch = next(source)
    assert batch.num_tokens == batch.rows
    for row, first in enumerate(batch.tokens[:, 0].tolist()):
        assert (int(batch.starts[row]), int(batch.ends[row])) == spans[first - 1]
    assert batch.token_types is not None and batch.token_types.equal(batch.tokens)
    for wrong in ((0, 1), (-1, 0), (1, 0)):
        with pytest.raises(DataError, match="outside its text"):
            span_source([[5], [6]], [(0, 0), wrong], rows=2)
