"""What may not come next and what must, against transformers and at the edges."""

import itertools
import math
from typing import Any

import pytest
import torch

from trivium.errors import ConfigError
from trivium.generation.constraints import Constraints, apply
from trivium.generation.history import History

INFINITE = -math.inf


def applied(
    constraints: Constraints,
    prompt: list[int],
    new: list[int],
    *,
    logits: torch.Tensor | None = None,
    max_new_tokens: int = 9,
    eos_ids: tuple[int, ...] = (0,),
) -> torch.Tensor:
    logits = torch.zeros(1, 6) if logits is None else logits
    return apply(logits, constraints, [History(prompt, new)], max_new_tokens=max_new_tokens, eos_ids=eos_ids)


def banned(constraints: Constraints, prompt: list[int], new: list[int], **others: Any) -> list[int]:
    return applied(constraints, prompt, new, **others)[0].isinf().nonzero()[:, 0].tolist()


def kept(logits: torch.Tensor) -> list[list[int]]:
    return [row.isfinite().nonzero()[:, 0].tolist() for row in logits]


@pytest.fixture(scope="module")
def theirs() -> Any:
    pytest.importorskip("transformers")
    from transformers.generation import logits_process

    return logits_process


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("vocabulary_size", [4, 30])
@pytest.mark.parametrize("length", [1, 2, 3, 40])
def test_each_rule_is_that_of_transformers(theirs: Any, length: int, vocabulary_size: int, dtype: torch.dtype) -> None:
    rows, prompt, eos_ids = 6, 1, [0, 2]
    ids = torch.randint(3, (rows, length))
    histories = [History(row[:prompt], row[prompt:]) for row in ids.tolist()]
    logits = torch.randn(rows, vocabulary_size, dtype=dtype)
    sequences = [[1], [2], [0, 1], [1, 1], [2, 2, 3], [1, 0, 1]]
    cases = [
        (Constraints(no_repeat_ngram=size), theirs.NoRepeatNGramLogitsProcessor(size)) for size in (1, 2, 3, 5)
    ] + [
        (Constraints(min_new_tokens=2), theirs.MinNewTokensLengthLogitsProcessor(prompt, 2, eos_ids)),
        (Constraints(banned=tuple(map(tuple, sequences))), theirs.NoBadWordsLogitsProcessor(sequences)),
        (Constraints(banned=((1,), (3,))), theirs.SuppressTokensLogitsProcessor([1, 3])),
        (Constraints(banned_first=(1, 3)), theirs.SuppressTokensAtBeginLogitsProcessor([1, 3], prompt)),
        (Constraints(forced=(3,)), theirs.ForcedBOSTokenLogitsProcessor(3)),
        (Constraints(forced_last=(1, 2)), theirs.ForcedEOSTokenLogitsProcessor(prompt + 3, [1, 2])),
    ]
    before = logits.clone()
    for constraints, twin in cases:
        found = apply(logits, constraints, histories, max_new_tokens=3, eos_ids=eos_ids)
        assert torch.equal(found, twin(ids, logits.clone())), constraints
    assert torch.equal(logits, before), "what was given has been written into"


def test_no_constraints_cost_nothing() -> None:
    logits = torch.zeros(1, 3)
    assert applied(Constraints(), [1], [], logits=logits) is logits


def test_an_end_token_waits_for_the_least_length() -> None:
    rule = Constraints(min_new_tokens=2)
    assert banned(rule, [1, 2, 3], []) == banned(rule, [1], [4]) == [0]
    assert banned(rule, [1], [4, 4]) == []
    assert banned(rule, [1], [4], eos_ids=(0, 5, 77)) == [0, 5]


def test_a_banned_sequence_is_not_completed_across_the_border_of_the_prompt() -> None:
    rule = Constraints(banned=((1, 2, 3), (1, 2, 4), (5,), (2, 0)))
    assert banned(rule, [1, 2], []) == banned(rule, [1], [2]) == banned(rule, [], [4, 1, 2]) == [0, 3, 4, 5]
    assert banned(rule, [2], [1]) == banned(rule, [], []) == [5]


def test_what_is_banned_first_may_come_later_and_waits_for_what_is_forced() -> None:
    assert banned(Constraints(banned_first=(1, 99)), [3], []) == [1]
    assert banned(Constraints(banned_first=(1,)), [3], [2]) == []
    rule = Constraints(banned_first=(1,), forced=(1,))
    assert banned(rule, [3], []) == [0, 2, 3, 4, 5]
    assert banned(rule, [3], [1]) == [1]


def test_no_run_of_tokens_occurs_twice_in_an_answer_that_obeys() -> None:
    logits, new = torch.randn(400, 6), []
    for step in logits:
        try:
            found = applied(Constraints(no_repeat_ngram=2), [], new, logits=step[None], max_new_tokens=400)
        except ConfigError:
            break
        new.append(int(found.argmax()))
    pairs = list(itertools.pairwise(new))
    assert len(pairs) == len(set(pairs)) >= 12


def test_forced_tokens_come_in_order_and_win_over_every_ban() -> None:
    rule = Constraints(forced=(0, 3), min_new_tokens=3, no_repeat_ngram=1)
    assert applied(rule, [0, 3], []).tolist() == [[0, INFINITE, INFINITE, INFINITE, INFINITE, INFINITE]]
    assert applied(rule, [0, 3], [0]).tolist() == [[INFINITE, INFINITE, INFINITE, 0, INFINITE, INFINITE]]
    assert banned(rule, [], [0, 3]) == [0, 3]
    assert banned(Constraints(forced_last=(0, 2)), [1], [1] * 8) == [1, 3, 4, 5]


def test_ids_beyond_the_vocabulary_cannot_be_chosen_anyway_but_not_be_forced() -> None:
    assert banned(Constraints(banned=((99,), (2, 99)), no_repeat_ngram=2), [2, 99, 2], []) == []
    with pytest.raises(ConfigError, match=r"forced token is not in the model's vocabulary[\s\S]*token 99[\s\S]*0 to 5"):
        applied(Constraints(forced=(99,)), [1], [])


def test_where_every_token_is_banned_the_rules_are_named() -> None:
    rule = Constraints(banned=((0,), (1,), (4, 2)), no_repeat_ngram=1, min_new_tokens=1)
    with pytest.raises(ConfigError) as told:
        applied(rule, [2, 3, 4], [5])
    assert "leave no token to choose from" in str(told.value)
    assert "no_repeat_ngram=1" in str(told.value) and "after 1 new tokens" in str(told.value)
    assert "min_new_tokens" not in str(told.value), "it took nothing here"
    assert "loosen banned or no_repeat_ngram" in str(told.value)
    assert banned(rule, [2, 3], [5]) == [0, 1, 2, 3, 5], "one token left"


def test_a_dead_end_is_permitted_where_others_go_on() -> None:
    rule = Constraints(no_repeat_ngram=1)
    histories = [History([0, 1, 2], [3, 4, 5]), History([0, 1, 2], [3, 4, 4])]
    found = apply(torch.zeros(2, 6), rule, histories, max_new_tokens=9, eos_ids=(), dead_ends=True)
    assert kept(found) == [[], [5]]
    with pytest.raises(ConfigError, match="leave no token"):
        apply(torch.zeros(2, 6), rule, histories, max_new_tokens=9, eos_ids=())


def test_a_row_that_the_model_itself_leaves_without_a_token_is_no_fault_of_the_constraints() -> None:
    logits = torch.full((1, 6), INFINITE)
    assert applied(Constraints(no_repeat_ngram=1), [1], [], logits=logits).isinf().all()
    assert applied(Constraints(no_repeat_ngram=1), [1], [], logits=logits * math.nan).isnan().any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_new_tokens": -1}, "min_new_tokens is negative"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is negative"),
        ({"banned": ((1,), ())}, "an empty banned sequence"),
        ({"banned": ((1, -2),)}, "banned holds an id that no vocabulary has"),
        ({"banned_first": (-1,)}, "banned_first holds an id"),
        ({"forced": (-1,)}, "forced holds an id"),
        ({"forced_last": (3, -1)}, "forced_last holds an id"),
        ({"forced": (1, 2), "banned": ((2,),)}, "a token is forced and banned at once"),
        ({"forced_last": (2,), "banned": ((2,),)}, "a token is forced_last and banned at once"),
    ],
)
def test_constraints_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        Constraints(**fields)
    assert told.value.received and told.value.expected and told.value.fix
