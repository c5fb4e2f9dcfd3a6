"""Speculative decoding says what ordinary decoding says: the same tokens where greedy, the same distribution else."""

import itertools
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.generation.small import PROMPTS, V, build
from trivium.errors import ConfigError, NonFiniteError, Unsupported
from trivium.generation.decode import decode
from trivium.generation.request import Request, requests
from trivium.generation.sampling import probabilities, source_of_chance
from trivium.generation.settings import Constraints, GenerationSettings
from trivium.generation.speculation import Draft, ModelDraft, PromptLookup, check_draft, speculate
from trivium.nn.output import Output
from trivium.nn.state import State


class Fixed:
    """Guesses always the same tokens, certain of them: wrong nearly always."""

    least_ahead = 1

    def __init__(self, *tokens: int) -> None:
        self.tokens = list(tokens)

    def propose(self, ids: Sequence[int], count: int) -> tuple[list[int], Tensor | None]:
        return self.tokens[:count], None


class Oracle:
    """Guesses the right answer."""

    least_ahead = 1

    def __init__(self, prompt: list[int], answer: list[int]) -> None:
        self.text = [*prompt, *answer]

    def propose(self, ids: Sequence[int], count: int) -> tuple[list[int], Tensor | None]:
        return self.text[len(ids) : len(ids) + count], None


def run(model: nn.Module, request: Request, draft: Draft, **options: Any) -> int:
    """How many passes of the model it took."""
    return sum(1 for _ in speculate(model, request, draft, model.new_state, **options))


def plain(model: nn.Module, prompt: list[int], **fields: Any) -> Request:
    (request,) = requests([prompt], GenerationSettings(**fields))
    for _ in decode(model, [request]):
        pass
    return request


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("fields", [{}, {"repetition_penalty": 1.3, "eos_ids": (4, 9)}], ids=["greedy", "penalised"])
def test_greedy_answers_are_those_of_plain_decoding(name: str, fields: dict[str, Any]) -> None:
    model, other = build(name), build("llama")
    for prompt in PROMPTS:
        expected = plain(model, prompt, max_new_tokens=12, **fields)
        settings = expected.settings
        for make in (
            lambda _: PromptLookup(),
            lambda request: ModelDraft(other, request),
            lambda request: ModelDraft(model, request),
            lambda _: Fixed(1, 2, 3),
        ):
            (request,) = requests([prompt], settings)
            run(model, request, make(request))
            assert request.token_ids == expected.token_ids
            assert request.finish_reason == expected.finish_reason
            assert request.log_probs == pytest.approx(expected.log_probs, abs=1e-10)


def test_right_guesses_save_passes_and_wrong_ones_cost_none() -> None:
    model, prompt = build("llama"), PROMPTS[0]
    expected = plain(model, prompt, max_new_tokens=20)
    (request,) = requests([prompt], expected.settings)
    # One pass reads the prompt and gives a token; then 4 guesses and one, 6 and one, 6 (the room left) and one.
    assert run(model, request, Oracle(prompt, expected.token_ids)) == 1 + 3
    assert request.token_ids == expected.token_ids
    (request,) = requests([prompt], expected.settings)
    never = next(token for token in range(V) if token not in expected.token_ids)
    assert run(model, request, Fixed(*[never] * 9)) == 20
    assert request.token_ids == expected.token_ids


def test_the_answer_ends_within_a_block_of_guesses() -> None:
    model, prompt = build("llama"), PROMPTS[0]
    free = plain(model, prompt, max_new_tokens=12).token_ids
    end = free[3]
    first = free.index(end)
    (request,) = requests([prompt], GenerationSettings(max_new_tokens=12, eos_ids=(end,)))
    run(model, request, Oracle(prompt, free))
    assert request.token_ids == free[: first + 1]
    assert request.finish_reason == "stop"


def test_learned_positions_suffice_to_the_last() -> None:
    model = build("gpt2")
    prompt = [1] * 30
    expected = plain(model, prompt, max_new_tokens=3)
    (request,) = requests([prompt], expected.settings)
    run(model, request, Oracle(prompt, [*expected.token_ids, 1, 1, 1, 1]))
    assert request.token_ids == expected.token_ids


class Markov(nn.Module):
    """A model whose next token depends on the last alone: exact probabilities, and thousands of answers a second."""

    def __init__(self, seed: int, vocabulary: int = 3) -> None:
        super().__init__()
        chance = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(1.5 * torch.randn(vocabulary, vocabulary, generator=chance, dtype=torch.float64))
        self.head = nn.Identity()

    def new_state(self, rows: int, capacity: int) -> State:
        return State([], torch.zeros(rows, dtype=torch.long))

    def forward(self, tokens: Tensor, state: State) -> Output:
        return Output(self.table[tokens], State([], state.lengths + tokens.shape[1]))


def critical(degrees: int) -> float:
    """The 99.9 % point of the chi-square distribution, by Wilson and Hilferty's approximation."""
    return degrees * (1 - 2 / (9 * degrees) + 3.0902 * (2 / (9 * degrees)) ** 0.5) ** 3


@pytest.mark.parametrize(
    ("draft", "fields"),
    [
        pytest.param("model", {}, marks=pytest.mark.slow),
        ("model", {"top_k": 2}),
        ("lookup", {"top_k": 2}),
        ("wrong", {}),
        pytest.param("itself", {}, marks=pytest.mark.slow),
    ],
)
def test_sampled_answers_have_the_distribution_of_the_model(draft: str, fields: dict[str, Any]) -> None:
    model, other = Markov(1), Markov(2)
    prompt, length, draws = [0, 1, 0, 1], 4, 1500
    settings = GenerationSettings(max_new_tokens=length, temperature=0.8, seed=0, **fields)
    counts: Counter[tuple[int, ...]] = Counter()
    for sample in range(draws):
        request = Request(prompt=prompt, settings=settings, chance=source_of_chance(1, sample))
        guesses: Draft = {
            "model": lambda request: ModelDraft(other, request),
            "lookup": lambda _: PromptLookup(),
            "wrong": lambda _: Fixed(2, 2),
            "itself": lambda request: ModelDraft(model, request),
        }[draft](request)
        run(model, request, guesses)
        counts[tuple(request.token_ids)] += 1
    step = probabilities(model.table.detach(), settings)
    answers = list(itertools.product(range(3), repeat=length))
    expected = [draws * float(step[1, a] * step[a, b] * step[b, c] * step[c, d]) for a, b, c, d in answers]
    assert all(counts[answer] == 0 for answer, wanted in zip(answers, expected, strict=True) if wanted == 0)
    cells = [(counts[answer], wanted) for answer, wanted in zip(answers, expected, strict=True) if wanted >= 5]
    rare = [(counts[answer], wanted) for answer, wanted in zip(answers, expected, strict=True) if 0 < wanted < 5]
    if rare:
        cells.append((sum(count for count, _ in rare), sum(wanted for _, wanted in rare)))
    assert sum((count - wanted) ** 2 / wanted for count, wanted in cells) < critical(len(cells) - 1)


def test_the_index_finds_the_longest_last_occurrence() -> None:
    lookup = PromptLookup(longest=2)
    assert lookup.propose([1, 2, 3, 9, 2, 7, 1, 2], 3) == ([3, 9, 2], None)  # "1 2" before the nearer "2"
    assert lookup.propose([1, 2, 3, 9, 2, 7, 1, 2, 8, 2], 2) == ([8, 2], None)
    assert PromptLookup().propose([1, 2, 3], 4) == ([], None)
    assert PromptLookup().propose([5, 5, 5], 4) == ([5], None)


def test_what_cannot_be_drafted_is_refused() -> None:
    lstm = build("lstm")
    (request,) = requests([[1, 2]], GenerationSettings(max_new_tokens=4))
    with pytest.raises(Unsupported, match="cannot be rolled back"):
        run(lstm, request, PromptLookup())
    small = nn.Module()
    small.config = SimpleNamespace(vocabulary_size=V - 1)
    with pytest.raises(ConfigError, match="the draft model has another vocabulary"):
        check_draft(build("llama"), small, request)
    with pytest.raises(ConfigError, match="the draft model's learned positions"):
        check_draft(build("llama"), build("gpt2"), requests([[1] * 30], GenerationSettings(max_new_tokens=4))[0])
    with pytest.raises(Unsupported, match="cannot be rolled back"):
        check_draft(build("llama"), lstm, request)
    broken = build("llama")
    broken.norm.weight.data[0] = float("nan")
    with pytest.raises(NonFiniteError):
        run(broken, request, PromptLookup())


def test_nan_after_a_guess_is_no_token() -> None:
    model, prompt = build("llama"), PROMPTS[0]
    answer = plain(model, prompt, max_new_tokens=6).token_ids
    place = next(i for i in range(1, 6) if answer[i] not in (*prompt, *answer[:i]))
    model.embedding.weight.data[answer[place]] = float("nan")
    for fields in ({}, {"temperature": 1e-3, "seed": 0}):
        (request,) = requests([prompt], GenerationSettings(max_new_tokens=6, **fields))
        with pytest.raises(NonFiniteError):
            run(model, request, Oracle(prompt, answer))
        assert all(log_prob == log_prob for log_prob in request.log_probs)


def test_constraints_after_a_wrong_guess_are_nobodys_business() -> None:
    model, prompt = build("llama"), PROMPTS[0]
    wrong = next(t for t in range(V) if t not in plain(model, prompt, max_new_tokens=8).token_ids)
    dead_end = Constraints(banned=tuple((wrong, token) for token in range(V)))
    expected = plain(model, prompt, max_new_tokens=8, constraints=dead_end)
    (request,) = requests([prompt], expected.settings)
    run(model, request, Fixed(wrong, wrong))
    assert request.token_ids == expected.token_ids
