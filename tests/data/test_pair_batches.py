"""Pairs as batches: both sides keep together, a batch knows how large it was made, a source goes on where it was."""

import pytest

from trivium.data.pair_batches import pairs_batch, pairs_source
from trivium.errors import ConfigError, DataError

FIRST = [[n + 1] * (1 + n % 5) for n in range(30)]
SECOND = [[n + 101] * (1 + n % 3) for n in range(30)]
OTHERS = [[n + 201] for n in range(30)]


def test_every_pair_comes_once_an_epoch_with_its_partner_and_its_negative():
    source = pairs_source(FIRST, SECOND, OTHERS, rows=8, seed=1)
    seen = []
    for _ in range(round(source.batches_per_epoch)):
        batch = next(source)
        assert batch.whole.tolist() == [batch.rows] * batch.rows and batch.num_tokens == batch.rows
        assert batch.negatives is not None
        for row in range(batch.rows):
            first, second, other = (
                side.tokens[row, : side.lengths[row]].tolist() for side in (batch.first, batch.second, batch.negatives)
            )
            number = first[0] - 1
            assert (first, second, other) == (FIRST[number], SECOND[number], OTHERS[number])
            seen.append(number)
    assert sorted(seen) == list(range(30))


def test_a_part_still_knows_the_whole():
    batch = pairs_batch(FIRST, SECOND, None, [0, 1, 2, 3, 4])
    parts = batch.split(2)
    assert [part.rows for part in parts] == [3, 2] and parts[1].whole.tolist() == [5, 5]
    assert parts[1].second.lengths.tolist() == [1, 2] and parts[0].negatives is None


def test_a_source_goes_on_where_it_was_and_refuses_other_pairs():
    whole, stopped = (pairs_source(FIRST, SECOND, rows=8, seed=3) for _ in range(2))
    next(whole), next(stopped)
    resumed = pairs_source(FIRST, SECOND, rows=8, seed=3)
    resumed.load_state_dict(stopped.state_dict())
    for _ in range(5):
        assert next(whole).first.tokens.equal(next(resumed).first.tokens)
    with pytest.raises(DataError):
        pairs_source(FIRST, OTHERS, rows=8, seed=3).load_state_dict(stopped.state_dict())


def test_one_pair_has_nothing_to_be_told_from():
    for first, rows in ((FIRST, 1), (FIRST[:1], 8)):
        with pytest.raises(ConfigError, match="told from the others"):
            pairs_source(first, first, rows=rows)
    with pytest.raises(DataError, match="no examples"):
        pairs_source([], [], rows=8)
