"""Pairs and judged answers as batches: what stands beside what, and what is resumed."""

import dataclasses

import pytest
import torch

from trivium.data.examples import Example
from trivium.data.preference_batches import (
    JudgedExample,
    PairExample,
    judged_batch,
    judged_source,
    preference_batch,
    preference_source,
    with_mismatched,
)
from trivium.errors import ConfigError, DataError


def text(prompt: list[int], answer: list[int]) -> Example:
    return Example(ids=[*prompt, *answer], trained=[False] * len(prompt) + [True] * len(answer))


def pairs(count: int = 9) -> list[PairExample]:
    return [
        PairExample(
            chosen=text([n] * (1 + n % 4), [100 + n, 1]),
            rejected=text([n] * (1 + n % 4), [200 + n, 201 + n, 1]),
            weight=1 / (1 + n),
            margin=float(n),
            reference=(-float(n), -2.0 * n),
        )
        for n in range(count)
    ]


def judged(count: int = 7) -> list[JudgedExample]:
    """Two answers to each prompt, next to each other, as a file has them."""
    return [
        JudgedExample(
            answer=text([n // 2] * (1 + n // 2), [100 + n] * (1 + n) + [1]), good=n % 2 == 0, prompt=str(n // 2)
        )
        for n in range(count)
    ]


def test_both_sides_of_a_pair_stand_in_one_row() -> None:
    batch = preference_batch(pairs(), [6, 1])
    assert batch.chosen.tokens[0].tolist() == [6, 6, 6, 106] and batch.chosen.tokens[1, :3].tolist() == [1, 1, 101]
    assert batch.chosen.targets[0].tolist() == [6, 6, 106, 1] and batch.chosen.targets[1, :3].tolist() == [1, 101, 1]
    assert batch.chosen.mask.tolist() == [[False, False, True, True], [False, True, True, False]]
    assert batch.chosen.lengths.tolist() == [4, 3]
    assert batch.rejected.targets[0].tolist() == [6, 6, 206, 207, 1]
    assert batch.rejected.mask[1].tolist() == [False, True, True, True, False]
    assert batch.weights.tolist() == pytest.approx([1 / 7, 1 / 2]) and batch.margins.tolist() == [6, 1]
    assert batch.reference is not None and batch.reference.tolist() == [[-6, -12], [-1, -2]]
    assert preference_batch([dataclasses.replace(pairs()[0], reference=None)], [0]).reference is None


def test_every_pair_once_an_epoch_and_again_after_a_resume() -> None:
    source = preference_source(pairs(), rows=4, seed=3)
    margins = [next(source).margins.tolist() for _ in range(3)]
    assert sorted(margin for batch in margins for margin in batch) == list(range(9)) and max(map(len, margins)) <= 4
    state = source.state_dict()
    following = next(source).margins.tolist()
    resumed = preference_source(pairs(), rows=4, seed=3)
    resumed.load_state_dict(state)
    assert next(resumed).margins.tolist() == following


@pytest.mark.parametrize("change", [{"weight": 0.1}, {"margin": 9.0}, {"chosen": text([5], [8, 1])}])
def test_other_pairs_are_not_resumed(change: dict) -> None:
    state = preference_source(pairs(), rows=4).state_dict()
    other = [dataclasses.replace(pairs()[0], **change), *pairs()[1:]]
    with pytest.raises(DataError, match="cannot be resumed"):
        preference_source(other, rows=4).load_state_dict(state)


def test_the_same_pairs_are_resumed_whatever_a_reference_says_of_them() -> None:
    state = preference_source(pairs(), rows=4).state_dict()
    bare = [dataclasses.replace(pair, reference=None) for pair in pairs()]
    preference_source(bare, rows=4).load_state_dict(state)


def test_processes_share_a_batch() -> None:
    whole = next(preference_source(pairs(), rows=4)).margins.tolist()
    shares = [next(preference_source(pairs(), rows=4, rank=rank, world=2)).margins.tolist() for rank in range(2)]
    assert [*shares[0], *shares[1]] == whole


def test_a_mismatched_answer_is_one_to_another_prompt() -> None:
    beside = with_mismatched(judged(), context_tokens=30, seed=1)
    for each in beside:
        assert each.mismatched is not None
        own = [i for i, trained in zip(each.mismatched.ids, each.mismatched.trained, strict=True) if not trained]
        written = [i for i, trained in zip(each.mismatched.ids, each.mismatched.trained, strict=True) if trained]
        prompt = int(each.prompt)
        assert own == [prompt] * (1 + prompt)
        assert (written[0] - 100) // 2 != prompt and written[-1] == 1
    assert beside == with_mismatched(judged(), context_tokens=30, seed=1)
    assert beside != with_mismatched(judged(), context_tokens=30, seed=2)


def test_a_mismatched_answer_is_cut_to_the_context() -> None:
    beside = with_mismatched(judged(), context_tokens=8)
    lengths = [len(each.mismatched.ids) - 1 for each in beside if each.mismatched is not None]
    assert max(lengths) == 8 and all(each.mismatched is not None and any(each.mismatched.trained) for each in beside)


def test_all_parts_of_a_judged_batch_hold_the_whole_one_s_mismatched_texts() -> None:
    batch = judged_batch(with_mismatched(judged(), context_tokens=30), [5, 0, 3])
    assert batch.good.tolist() == [False, True, False]
    first, second = batch.split(2)
    assert first.mismatched is batch.mismatched and second.mismatched is batch.mismatched
    assert (first.rows, second.rows, batch.mismatched.answers.rows) == (2, 1, 3)
    moved = batch.to("cpu")
    assert moved.mismatched is batch.mismatched
    known = [dataclasses.replace(each, reference=(-1.0, -2.0)) for each in with_mismatched(judged(), context_tokens=30)]
    stored = judged_batch(known, [5, 0])
    assert stored.reference is not None and stored.reference.tolist() == [-1, -1]
    assert stored.mismatched.reference is not None and stored.mismatched.reference.tolist() == [-2, -2]


def test_judged_answers_come_once_an_epoch() -> None:
    source = judged_source(with_mismatched(judged(), context_tokens=30), rows=3)
    seen = torch.cat([batch.answers.lengths for batch in (next(source) for _ in range(3))])
    assert sorted(seen.tolist()) == sorted(len(each.answer.ids) - 1 for each in judged())


def test_what_no_divergence_can_be_estimated_from_is_refused() -> None:
    with pytest.raises(DataError, match="other prompts"):
        with_mismatched(judged(2), context_tokens=30)
    with pytest.raises(ConfigError, match="divergence"):
        judged_source(with_mismatched(judged(), context_tokens=30), rows=1)
