"""Every processor against its twin in transformers, the whole chain, and the edges."""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trivium.generation.processors import (
    History,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    process,
    with_frequency_penalty,
    with_presence_penalty,
    with_repetition_penalty,
    with_temperature,
)
from trivium.generation.settings import PROCESSORS, Constraints, GenerationSettings

DTYPES = [torch.float32, torch.float64]
SHAPES = [(1, 1), (1, 2), (3, 17), (2, 900)]


def kept(logits: torch.Tensor) -> list[list[int]]:
    return [row.isfinite().nonzero()[:, 0].tolist() for row in logits]


def random_logits(shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype) * 3


def random_histories(rows: int, vocabulary_size: int, prompt: int = 7, new: int = 5) -> list[History]:
    ids = torch.randint(vocabulary_size, (rows, prompt + new)).tolist()
    return [History(row[:prompt], row[prompt:]) for row in ids]


def whole(histories: Sequence[History]) -> torch.Tensor:
    return torch.tensor([[*history.prompt, *history.new] for history in histories])


@pytest.fixture(scope="module")
def theirs() -> Any:
    pytest.importorskip("transformers")
    from transformers.generation import logits_process

    return logits_process


# Equality with transformers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("ours", "name", "values"),
    [
        (with_temperature, "TemperatureLogitsWarper", [0.01, 0.7, 1.0, 3.0]),
        (keep_top_k, "TopKLogitsWarper", [1, 2, 5, 900, 1000]),
        (keep_top_p, "TopPLogitsWarper", [0.0, 0.1, 0.5, 0.9, 0.999, 1.0]),
        (keep_min_p, "MinPLogitsWarper", [0.0, 0.01, 0.3, 1.0]),
        (keep_typical, "TypicalLogitsWarper", [0.05, 0.5, 0.95, 0.999]),
    ],
)
def test_temperature_and_cut_offs_are_those_of_transformers(
    theirs: Any, ours: Callable[..., torch.Tensor], name: str, values: list, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    logits = random_logits(shape, dtype)
    before = logits.clone()
    for value in values:
        expected = getattr(theirs, name)(value)(None, logits)
        assert torch.equal(ours(logits, value), expected), (name, value)
    assert torch.equal(logits, before), "what was given has been written into"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", [0.5, 1.3])
def test_the_repetition_penalty_is_that_of_transformers(
    theirs: Any, penalty: float, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    logits, histories = random_logits(shape, dtype), random_histories(*shape)
    before = logits.clone()
    expected = theirs.RepetitionPenaltyLogitsProcessor(penalty)(whole(histories), logits)
    assert torch.equal(with_repetition_penalty(logits, penalty, histories), expected)
    assert torch.equal(logits, before)


CHAIN: dict[str, Any] = {
    "repetition_penalty": 1.3,
    "no_repeat_ngram_size": 2,
    "bad_words_ids": [[5], [3, 4], [1, 2, 3]],
    "min_new_tokens": 6,
    "suppress_tokens": [7, 9],
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.02,
    "typical_p": 0.9,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("new", [0, 5, 6, 11])
@pytest.mark.parametrize("left_out", [None, *CHAIN])
def test_the_whole_chain_is_that_of_transformers(
    theirs: Any, left_out: str | None, new: int, rows: int, dtype: torch.dtype
) -> None:
    from trivium.generation.resolve import resolve

    file = {name: value for name, value in CHAIN.items() if name != left_out}
    file |= {"do_sample": True, "forced_eos_token_id": 1, "begin_suppress_tokens": [11, 12]}
    settings = resolve(file, max_new_tokens=12, eos_ids=(0, 1))
    for _ in range(3):
        logits, histories = random_logits((rows, 60), dtype), random_histories(rows, 13, 5, new)
        expected = their_chain(file, prompt=5, eos_ids=[0, 1], max_new_tokens=12)(whole(histories), logits.clone())
        assert torch.equal(process(logits, settings, histories), expected)


def their_chain(file: dict[str, Any], *, prompt: int, eos_ids: list[int], max_new_tokens: int) -> Any:
    from transformers.generation import GenerationConfig, GenerationMixin

    config: Any = GenerationConfig(**file, max_length=prompt + max_new_tokens)
    config._eos_token_tensor = torch.tensor(eos_ids)
    mixin: Any = GenerationMixin()
    mixin.config = SimpleNamespace(is_encoder_decoder=False)
    return mixin._get_logits_processor(config, input_ids_seq_length=prompt, device="cpu")


# Ties: here transformers does otherwise ------------------------------------------------------------------------------


def test_of_equal_logits_top_k_keeps_the_lower_ids_where_transformers_keeps_all(theirs: Any) -> None:
    logits = torch.tensor([[5.0, 1.0, 5.0, 5.0, 0.0], [0.0, 1.0, 2.0, 3.0, 4.0]])
    assert kept(keep_top_k(logits, 2)) == [[0, 2], [3, 4]]
    assert kept(keep_top_k(logits, 1)) == [[0], [4]]
    assert kept(theirs.TopKLogitsWarper(2)(None, logits)) == [[0, 2, 3], [3, 4]]


def test_of_equal_logits_top_p_keeps_no_more_than_it_needs_and_the_lower_ids() -> None:
    assert kept(keep_top_p(torch.zeros(1, 4), 0.5)) == [[0, 1]]
    assert kept(keep_top_p(torch.zeros(1, 2000), 0.24999)) == [list(range(500))]


def test_of_equally_typical_tokens_the_lower_ids_stay_where_transformers_keeps_all(theirs: Any) -> None:
    assert kept(keep_typical(torch.zeros(1, 4), 0.5)) == [[0, 1]]
    assert kept(theirs.TypicalLogitsWarper(0.5)(None, torch.zeros(1, 4))) == [[0, 1, 2, 3]]


def test_of_equal_logits_min_p_keeps_all() -> None:
    assert kept(keep_min_p(torch.tensor([[2.0, 2.0, 1.0]]), 1.0)) == [[0, 1]]


# Edges ---------------------------------------------------------------------------------------------------------------


def test_top_p_keeps_the_fewest_tokens_whose_mass_reaches_p() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.15, 0.1], [0.1, 0.15, 0.25, 0.5]], dtype=torch.float64).log()
    assert kept(keep_top_p(logits, 0.4)) == [[0], [3]]
    assert kept(keep_top_p(logits, 0.7)) == [[0, 1], [2, 3]]
    assert kept(keep_top_p(logits, 0.8)) == [[0, 1, 2], [1, 2, 3]]
    assert kept(keep_top_p(logits, 1.0)) == [[0, 1, 2, 3]] * 2
    assert kept(keep_top_p(logits, 1e-9)) == kept(keep_top_p(logits, 0.0)) == [[0], [3]]


@pytest.mark.parametrize("size", [300, 6000])
@pytest.mark.parametrize("spreads", [(0.01, 0.01, 0.01), (5.0, 5.0, 5.0), (5.0, 0.01, 1.5)])
def test_top_p_over_a_large_vocabulary_equals_the_full_sort(spreads: tuple[float, ...], size: int) -> None:
    """Flat rows need more than the first looks at the best tokens, peaked ones fewer, and they stand side by side."""
    logits = torch.randn(3, size, dtype=torch.float64) * torch.tensor(spreads, dtype=torch.float64)[:, None]
    ordered, order = torch.softmax(logits, -1).sort(-1, descending=True)
    expected = [sorted(order[row, : int((ordered[row].cumsum(0) < 0.9).sum()) + 1].tolist()) for row in range(3)]
    assert kept(keep_top_p(logits, 0.9)) == expected


def test_typical_keeps_what_is_as_surprising_as_expected_and_may_drop_the_best() -> None:
    # entropy 1.09 nats; surprises 0.69, 1.61, 1.90, 1.90
    logits = torch.tensor([[0.5, 0.2, 0.15, 0.15]], dtype=torch.float64).log()
    entropy = float(torch.special.entr(logits.exp()).sum())
    nearest = [abs(-float(x) - entropy) for x in logits[0]]
    assert sorted(range(4), key=nearest.__getitem__)[0] == 1
    assert kept(keep_typical(logits, 0.0)) == kept(keep_typical(logits, 0.2)) == [[1]]
    assert kept(keep_typical(logits, 0.21)) == [[0, 1]]
    assert keep_typical(logits, 1.0) is logits


@pytest.mark.parametrize("cut", [keep_top_p, keep_min_p, keep_typical])
def test_a_single_token_with_all_the_mass_stays(cut: Callable[..., torch.Tensor]) -> None:
    logits = torch.full((1, 6), -math.inf)
    logits[0, 3] = 0
    for share in (0.0, 0.5, 0.999, 1.0):
        assert kept(cut(logits, share)) == [[3]]
        assert kept(cut(torch.zeros(1, 1), share)) == [[0]]
    assert kept(keep_top_k(logits, 4)) == [[3]]


def test_a_tiny_temperature_does_not_overflow() -> None:
    probabilities = torch.softmax(with_temperature(torch.tensor([[-1e4, 3e4, 2e4]]), 1e-6), -1)
    assert probabilities.tolist() == [[0, 1, 0]]
    assert with_temperature(torch.tensor([[6e4, 5e4]], dtype=torch.float16), 1e-3).isfinite().all()


def test_cut_offs_of_16_bit_logits_are_those_of_32() -> None:
    logits = torch.randn(2, 500).bfloat16()
    assert kept(keep_top_p(logits, 0.9)) == kept(keep_top_p(logits.float(), 0.9))
    assert kept(keep_typical(logits, 0.9)) == kept(keep_typical(logits.float(), 0.9))


def test_frequency_counts_and_presence_does_not_and_neither_looks_at_the_prompt() -> None:
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]])
    histories = [History([3, 3], [0, 1, 0]), History([0], [])]
    assert with_frequency_penalty(logits, 0.5, histories).tolist() == [[3.0, 2.5, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]]
    assert with_presence_penalty(logits, 0.5, histories).tolist() == [[3.5, 2.5, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]]
    assert logits.tolist() == [[4.0, 3.0, 2.0, 1.0]] * 2


def test_the_repetition_penalty_counts_a_token_once_divides_and_multiplies_and_passes_ids_over_it_has_not() -> None:
    logits = torch.tensor([[4.0, -3.0, 2.0, 0.0, -math.inf]])
    histories = [History([0, 0, 99], [1, 1, 3, 4])]
    assert with_repetition_penalty(logits, 2.0, histories).tolist() == [[2.0, -6.0, 2.0, 0.0, -math.inf]]


def test_penalties_work_on_logits_that_share_memory() -> None:
    logits = torch.tensor([[4.0, 3.0, 2.0]]).expand(2, 3)
    histories = [History([0]), History([1], [2])]
    assert with_repetition_penalty(logits, 2.0, histories).tolist() == [[2.0, 3.0, 2.0], [4.0, 1.5, 1.0]]
    assert with_presence_penalty(logits, 2.0, histories).tolist() == [[4.0, 3.0, 2.0], [4.0, 3.0, 0.0]]


# The chain -----------------------------------------------------------------------------------------------------------


def settings_of(**fields: Any) -> GenerationSettings:
    return GenerationSettings(**{"max_new_tokens": 9, **fields})


def test_the_default_order_is_temperature_then_top_k_then_top_p() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64).log()
    settings = settings_of(temperature=0.5, top_k=3, top_p=0.85)
    # squared and cut to three: 16, 9, 4 of 29; 25 / 29 = 0.86 reaches 0.85 with two. Without the temperature or without
    # the cut it would take three.
    assert kept(process(logits, settings)) == [[0, 1]]
    assert kept(keep_top_p(logits, 0.85)) == [[0, 1, 2]]


def test_the_order_is_obeyed() -> None:
    """llama.cpp has the temperature last: the cut-off then sees the model's own distribution."""
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64).log()
    last = (*(name for name in PROCESSORS if name != "temperature"), "temperature")
    assert kept(process(logits, settings_of(temperature=0.5, top_p=0.85))) == [[0, 1, 2]]
    assert kept(process(logits, settings_of(temperature=3.0, top_p=0.85))) == [[0, 1, 2, 3]]
    for temperature in (0.5, 3.0):
        assert kept(process(logits, settings_of(temperature=temperature, top_p=0.85, order=last))) == [[0, 1, 2]]
    histories = [History([0])]
    first = ("temperature", *(name for name in PROCESSORS if name != "temperature"))
    penalised = process(logits + 3, settings_of(temperature=0.5, repetition_penalty=2.0, order=first), histories)
    torch.testing.assert_close(penalised[0, 0], (logits[0, 0] + 3) / 0.5 / 2.0)


@pytest.mark.parametrize("temperature", [0.0, 1e-9])
def test_greedy_settings_pass_over_what_is_for_sampling_and_keep_the_rest(temperature: float) -> None:
    logits = torch.tensor([[4.0, 3.0, 2.0]])
    assert process(logits, settings_of(temperature=temperature, top_k=1, top_p=0.1, min_p=0.5, typical_p=0.1)) is logits
    settings = settings_of(temperature=temperature, presence_penalty=1.5, constraints=Constraints(banned=((1,),)))
    assert process(logits, settings, [History([], [0])]).tolist() == [[2.5, -math.inf, 2.0]]


def test_settings_that_do_nothing_give_the_same_distribution() -> None:
    logits = torch.randn(2, 30)
    assert torch.equal(process(logits, settings_of(temperature=1.0, top_p=1.0, min_p=0.0, typical_p=1.0)), logits)


def test_rows_do_not_look_at_each_other() -> None:
    constraints = Constraints(no_repeat_ngram=2, banned=((1, 2), (4,)), min_new_tokens=3)
    settings = settings_of(
        temperature=0.7,
        top_p=0.9,
        repetition_penalty=1.2,
        frequency_penalty=0.3,
        presence_penalty=0.2,
        constraints=constraints,
        eos_ids=(0,),
    )
    logits = torch.randn(5, 12, dtype=torch.float64)
    histories = [History(list(range(row + 1)), [1, 2, 1][:row]) for row in range(5)]
    alone = [process(logits[row : row + 1], settings, histories[row : row + 1]) for row in range(5)]
    assert torch.equal(process(logits, settings, histories), torch.cat(alone))
