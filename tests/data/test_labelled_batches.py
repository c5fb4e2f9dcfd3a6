"""Labelled texts as batches: rows are whole, their classes or marks go with them, a source goes on where it was."""

from trivium.data.examples import Example
from trivium.data.labelled_batches import examples_source, labelled_source

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
