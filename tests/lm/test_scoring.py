"""How continuations are scored, against the definition."""

import importlib.util
import pathlib
from typing import Any

import pytest
import torch

from trivium.errors import DataError, Unsupported
from trivium.lm.local import LocalModel
from trivium.lm.scoring import encode_pair

_spec = importlib.util.spec_from_file_location("small", pathlib.Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return small.byte_tokenizer()


def model_of(name: str, tokenizer: Any) -> LocalModel:
    return LocalModel(small.network(name, tokenizer.vocabulary_size), tokenizer)


def by_hand(model: LocalModel, ids: list[int], scored: int) -> tuple[float, bool]:
    logits = model.logits(torch.tensor([ids[:-1]]))[0, -scored:]
    targets = torch.tensor(ids[-scored:])
    picked = torch.log_softmax(logits, -1).gather(-1, targets[:, None])
    return float(picked.sum()), bool((logits.argmax(-1) == targets).all())


def test_white_space_goes_to_the_continuation(tokenizer: Any) -> None:
    assert encode_pair(tokenizer, "the cat ", "sat") == encode_pair(tokenizer, "the cat", " sat")
    ids, scored = encode_pair(tokenizer, "the cat ", "sat")
    assert ids == tokenizer.encode("the cat sat")
    assert tokenizer.decode(ids[-scored:]) == " sat"


@pytest.mark.parametrize("name", ["gpt2", "llama", "lstm"])
def test_causal_scores_are_sums_of_log_probabilities(tokenizer: Any, name: str) -> None:
    model = model_of(name, tokenizer)
    pairs = [("the cat", " sat on the mat"), ("a ", "dog"), ("5 € or", " ¥600"), ("the", " cat")]
    for pair, score in zip(pairs, model.score(pairs), strict=True):
        ids, scored = encode_pair(tokenizer, *pair)
        logprob, greedy = by_hand(model, ids, scored)
        assert score.logprob == pytest.approx(logprob, abs=1e-10)
        assert (score.is_greedy, score.tokens) == (greedy, scored)
        assert model.score([pair])[0].logprob == pytest.approx(logprob, abs=1e-10), "company does not matter"


def test_the_greedy_continuation_is_seen_to_be_greedy(tokenizer: Any) -> None:
    model = model_of("llama", tokenizer)
    ids = tokenizer.encode("the cat") + model.generate("the cat", max_new_tokens=3)[0].token_ids
    text = tokenizer.decode(ids)
    if tokenizer.encode(text) == ids and text.startswith("the cat"):
        assert model.score([("the cat", text[len("the cat") :])])[0].is_greedy
    assert not model.score([("the cat", " sat on the mat and the dog ran")])[0].is_greedy


def test_an_empty_context_is_the_beginning_of_a_document(tokenizer: Any) -> None:
    model = model_of("gpt2", tokenizer)
    ids = [tokenizer.bos_id, *tokenizer.encode("the cat")]
    assert model.score([("", "the cat")])[0].logprob == pytest.approx(by_hand(model, ids, len(ids) - 1)[0], abs=1e-10)


def test_a_long_context_loses_its_beginning(tokenizer: Any) -> None:
    model = model_of("gpt2", tokenizer)
    context = " ".join(["the cat sat on a mat"] * 20)
    ids, scored = encode_pair(tokenizer, context, " and ran")
    assert len(ids) > 49
    expected = by_hand(model, ids[-49:], scored)[0]
    assert model.score([(context, " and ran")])[0].logprob == pytest.approx(expected, abs=1e-10)
    with pytest.raises(DataError, match="a continuation is longer than the model's context"):
        model.score([("the", context)])


def test_nothing_to_score_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="nothing to score"):
        model_of("llama", tokenizer).score([("the cat", "")])


def test_without_a_first_token_an_empty_context_is_refused() -> None:
    words = small.masked_tokenizer()
    words._backend.post_processor = None
    model = LocalModel(small.network("llama", words.vocabulary_size), words)
    with pytest.raises(DataError, match="the context is empty"):
        model.score([("", "the cat")])


def test_pseudo_scores_mask_each_token_in_turn() -> None:
    words = small.masked_tokenizer()
    model = LocalModel(small.network("bert", words.vocabulary_size), words)
    context, continuation = "the dog ran to", "the cat"
    ids = [words.id("[CLS]"), *words.encode(f"{context} {continuation}"), words.id("[SEP]")]
    total, greedy = 0.0, True
    for place in (5, 6):
        masked = torch.tensor([ids])
        masked[0, place] = words.id("[MASK]")
        logits = model.logits(masked)[0, place]
        total += float(torch.log_softmax(logits, -1)[ids[place]])
        greedy = greedy and int(logits.argmax()) == ids[place]
    (score,) = model.score([(context, f" {continuation}")], method="pseudo")
    assert (score.tokens, score.is_greedy) == (2, greedy)
    assert score.logprob == pytest.approx(total, abs=1e-10)


def test_a_method_that_does_not_fit_the_model_is_refused(tokenizer: Any) -> None:
    with pytest.raises(Unsupported, match=r"method='pseudo'[\s\S]*method='causal'"):
        model_of("gpt2", tokenizer).score([("a", "b")], method="pseudo")
    with pytest.raises(Unsupported, match="no mask token"):
        model_of("bert", tokenizer).score([("a", "b")], method="pseudo")
