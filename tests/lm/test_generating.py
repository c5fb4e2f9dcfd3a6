"""Adapters and continuous batching together: every request is answered by its own adapter, as if alone."""

import importlib.util
import pathlib
from typing import Any

import pytest
import torch

from trivium.adapters.attach import attach
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.routing import activate
from trivium.generation.request import requests
from trivium.generation.settings import GenerationSettings
from trivium.lm.local import LocalModel

_spec = importlib.util.spec_from_file_location("small", pathlib.Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


@pytest.fixture(scope="module")
def model() -> LocalModel:
    tokenizer = small.byte_tokenizer()
    network = small.network("llama", tokenizer.vocabulary_size)
    attach(network, "low", LoRAConfig(rank=2, targets="all-linear"))
    attach(network, "other", LoRAConfig(rank=3, targets=("up_proj", "q_proj")))
    attach(network, "before", PrefixConfig(tokens=3))
    torch.manual_seed(0)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data += 0.3 * torch.randn_like(parameter)
    activate(network, None)
    return LocalModel(network.double(), tokenizer)


PROMPTS = ["the cat", "a dog ran to the", "5 €", "mat", "the cat", "dogs and cats"]
ADAPTERS = ["low", None, "before", "other", "before", "low"]


@pytest.mark.parametrize("remembering", [False, True], ids=["fresh", "prefixes kept"])
@pytest.mark.parametrize("read_tokens", [None, 2])
def test_requests_of_different_adapters_share_a_batch(
    model: LocalModel, read_tokens: int | None, remembering: bool
) -> None:
    settings = {"max_new_tokens": 6, "temperature": 0.9, "seed": 3}
    expected = [
        model.generate(prompt, adapter=adapter, **settings)[0]
        for prompt, adapter in zip(PROMPTS, ADAPTERS, strict=True)
    ]
    assert expected[0].token_ids != expected[4].token_ids, "the adapters answer alike: nothing is tested"
    model.remember(1000 if remembering else 0)
    for _ in range(2):  # the second time what was read is known
        asked = [
            request
            for prompt, adapter in zip(PROMPTS, ADAPTERS, strict=True)
            for request in requests([model.tokenizer.encode(prompt)], GenerationSettings(**settings), adapter=adapter)
        ]
        engine = model.engine(slots=3, read_tokens=read_tokens)
        engine.submit(asked)
        while not engine.idle:
            engine.step()
        for request, answer in zip(asked, expected, strict=True):
            assert request.token_ids == answer.token_ids
            assert request.log_probs == pytest.approx(answer.logprobs, abs=1e-10)
    model.remember(0)


def test_the_active_adapter_answers_where_none_is_named(model: LocalModel) -> None:
    settings: dict[str, Any] = {"max_new_tokens": 6}
    bare, named = (model.generate("the cat", adapter=adapter, **settings)[0] for adapter in (None, "before"))
    activate(model.network, "before")
    active = model.generate("the cat", **settings)[0]
    mixed = model.engine(slots=2)
    asked = [
        request
        for adapter in (None, "low")
        for request in requests([model.tokenizer.encode("the cat")], GenerationSettings(**settings), adapter=adapter)
    ]
    mixed.submit(asked)
    while not mixed.idle:
        mixed.step()
    activate(model.network, None)
    assert named.token_ids == active.token_ids == asked[0].token_ids != bare.token_ids
    assert asked[1].token_ids == model.generate("the cat", adapter="low", **settings)[0].token_ids


def test_a_prefix_stands_before_logits_scores_and_vectors_too(model: LocalModel) -> None:
    ids = [model.tokenizer.encode("the cat"), model.tokenizer.encode("a dog ran")]
    padded = torch.tensor([row + [0] * (max(map(len, ids)) - len(row)) for row in ids])
    lengths = torch.tensor([len(row) for row in ids])
    bare_logits, bare_vectors = model.logits(padded, lengths=lengths), model.embed(["the cat"])
    activate(model.network, "before")
    answers = model.generate(ids, max_new_tokens=1)
    logits = model.logits(padded, lengths=lengths)
    vectors = model.embed(["the cat"])
    (score,) = model.score([("the", " cat")])
    activate(model.network, None)
    for row, answer in enumerate(answers):
        best = torch.log_softmax(logits[row, lengths[row] - 1], -1).max()
        assert float(best) == pytest.approx(answer.logprobs[0], abs=1e-10)
    scored = torch.log_softmax(logits[0], -1)
    cat = ids[0][len(model.tokenizer.encode("the")) :]
    places = range(len(ids[0]) - len(cat) - 1, len(ids[0]) - 1)
    expected = sum(float(scored[place, token]) for place, token in zip(places, cat, strict=True))
    assert score.logprob == pytest.approx(expected, abs=1e-10)
    assert not torch.allclose(bare_logits, logits) and not torch.allclose(bare_vectors, vectors)


def test_beams_are_grown_with_the_adapter_asked_for(model: LocalModel) -> None:
    bare, prefixed, low = (
        model.generate("the cat", max_new_tokens=5, beams=3, adapter=adapter)[0] for adapter in (None, "before", "low")
    )
    assert len({tuple(answer.token_ids) for answer in (bare, prefixed, low)}) == 3
    (again,) = model.generate("the cat", max_new_tokens=5, beams=3, adapter="before")
    assert again.token_ids == prefixed.token_ids


def test_a_draft_and_an_adapter_go_together(model: LocalModel) -> None:
    plain = model.generate("the cat and the cat", max_new_tokens=8, adapter="before")[0]
    drafted = model.generate("the cat and the cat", max_new_tokens=8, adapter="before", draft="lookup")[0]
    assert drafted.token_ids == plain.token_ids
    assert drafted.logprobs == pytest.approx(plain.logprobs, abs=1e-10)
