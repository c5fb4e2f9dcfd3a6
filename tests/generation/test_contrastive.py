"""Contrastive search equals equation 5 of Su et al. 2022, computed anew for every token without a cache."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tests.generation.small import PROMPTS, SHAPES, V, build, start_of
from trivium.errors import ConfigError
from trivium.generation.search.contrastive import contrastive_search
from trivium.generation.search.hypothesis import Hypothesis, completed
from trivium.generation.settings import Constraints, GenerationSettings, Search


@pytest.fixture(scope="module", params=SHAPES)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return build(request.param)


def settings_of(alpha: float = 0.6, **fields: Any) -> GenerationSettings:
    made = {"max_new_tokens": 7, "top_k": 4, "search": Search(contrastive_alpha=alpha)}
    return GenerationSettings(**{**made, **fields})


def search(model: nn.Module, prompts: list[list[int]], settings: GenerationSettings) -> list[Hypothesis]:
    found = completed(contrastive_search(model, prompts, settings, start_id=start_of(model)))
    assert all(len(answers) == 1 for answers in found)
    return [answers[0] for answers in found]


@torch.inference_mode()
def hidden_of(model: nn.Module, prompt: list[int], new: list[int]) -> torch.Tensor:
    """The last hidden states of all that the decoder reads, read anew."""
    start = start_of(model)
    if start is None:
        return model(torch.tensor([prompt + new])).hidden[0]
    return model(torch.tensor([[start, *new]]), state=model.encode(torch.tensor([prompt]))).hidden[0]


@torch.inference_mode()
def naive(model: nn.Module, prompt: list[int], settings: GenerationSettings) -> Hypothesis:
    alpha, banned = settings.search.contrastive_alpha, settings.constraints.banned
    new: list[int] = []
    log_probs, scores = [], []
    while len(new) < settings.max_new_tokens and not (new and new[-1] in settings.eos_ids):
        logits = model.head(hidden_of(model, prompt, new)[-1])
        open_logits = logits.clone()
        for (token,) in banned:
            open_logits[token] = float("-inf")
        probabilities = torch.softmax(open_logits, -1)
        candidates = []
        for token in probabilities.argsort(descending=True)[: settings.top_k].tolist():
            *before, own = hidden_of(model, prompt, [*new, token])
            likeness = max(float(torch.cosine_similarity(own, h, dim=0)) for h in before)
            candidates.append(((1 - alpha) * float(probabilities[token]) - alpha * likeness, token))
        score, token = max(candidates)
        new.append(token)
        scores.append(score)
        log_probs.append(float(torch.log_softmax(logits, -1)[token]))
    reason = "stop" if new[-1] in settings.eos_ids else "length"
    return Hypothesis(token_ids=new, log_probs=log_probs, score=sum(scores) / len(scores), finish_reason=reason)


def same(ours: Hypothesis, theirs: Hypothesis) -> None:
    assert ours.token_ids == theirs.token_ids
    assert ours.log_probs == pytest.approx(theirs.log_probs, abs=1e-10)
    assert ours.score == pytest.approx(theirs.score, abs=1e-10)
    assert ours.finish_reason == theirs.finish_reason


@torch.inference_mode()
def greedy(model: nn.Module, prompt: list[int], steps: int) -> list[int]:
    new: list[int] = []
    for _ in range(steps):
        new.append(int(model.head(hidden_of(model, prompt, new)[-1]).argmax()))
    return new


@pytest.mark.parametrize("alpha", [0.6, 1.0])
def test_equal_to_the_equation(model: nn.Module, alpha: float) -> None:
    settings = settings_of(alpha)
    for prompt, answer in zip(PROMPTS, search(model, PROMPTS, settings), strict=True):
        same(answer, naive(model, prompt, settings))


def test_answers_that_end_leave_the_others_as_they_are(model: nn.Module) -> None:
    settings = settings_of()
    plain = search(model, PROMPTS, settings)
    ends = (plain[0].token_ids[3], plain[2].token_ids[5])
    stopping = replace(settings, eos_ids=ends)
    found = search(model, PROMPTS, stopping)
    assert len({len(answer.token_ids) for answer in found}) > 1
    for prompt, answer in zip(PROMPTS, found, strict=True):
        same(answer, naive(model, prompt, stopping))
        same(answer, search(model, [prompt], stopping)[0])
    steps = contrastive_search(
        model, PROMPTS, settings, start_id=start_of(model), stopped=lambda _, ids: ids[-1] in ends
    )
    for (answer,), wanted in zip(completed(steps), found, strict=True):
        same(answer, wanted)


def test_without_a_penalty_it_is_greedy(model: nn.Module) -> None:
    wanted = [greedy(model, prompt, 7) for prompt in PROMPTS]
    for settings in (settings_of(0.0), settings_of(0.0, top_k=1), settings_of(0.0, top_k=1000)):
        assert [answer.token_ids for answer in search(model, PROMPTS, settings)] == wanted
    assert [answer.token_ids for answer in search(model, PROMPTS, settings_of())] != wanted


def test_forbidden_tokens_are_no_candidates(model: nn.Module) -> None:
    said = {token for answer in search(model, PROMPTS, settings_of(1.0)) for token in answer.token_ids}
    rules = Constraints(banned=tuple((token,) for token in sorted(said)[:4]))
    settings = settings_of(1.0, constraints=rules)
    for prompt, answer in zip(PROMPTS, search(model, PROMPTS, settings), strict=True):
        same(answer, naive(model, prompt, settings))
    nearly_all = Constraints(banned=tuple((token,) for token in range(V) if token not in (6, 7)))
    for answer in search(model, PROMPTS, settings_of(1.0, constraints=nearly_all)):
        assert set(answer.token_ids) <= {6, 7}


def test_the_last_candidates_need_a_position() -> None:
    model = build("gpt2")
    with pytest.raises(ConfigError, match=r"one token ahead[\s\S]*lower max_new_tokens by 1"):
        search(model, PROMPTS, settings_of(max_new_tokens=26))
    assert len(search(model, PROMPTS, settings_of(max_new_tokens=25))[3].token_ids) == 25


def test_no_prompts_have_no_answers_and_several_answers_are_the_same() -> None:
    model = build("lstm")
    assert search(model, [], settings_of()) == []
    first, second = completed(contrastive_search(model, PROMPTS[:1], settings_of(n=2)))[0]
    assert first == second == search(model, PROMPTS[:1], settings_of())[0]
