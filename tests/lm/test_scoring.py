"""How continuations are scored, against the definition."""

import importlib.util
import pathlib
from typing import Any

import pytest
import torch

from trivium.adapters.attach import attach
from trivium.adapters.beginning import begin
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.routing import activate
from trivium.errors import DataError, Unsupported
from trivium.lm import scoring
from trivium.lm.local import LocalModel
from trivium.lm.scoring import encode_pair, windows

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


@pytest.mark.parametrize(("name", "context"), [("gpt2", "the cat"), ("llama", "cats run"), ("lstm", "the cat sat on")])
def test_the_greedy_continuation_is_seen_to_be_greedy(tokenizer: Any, name: str, context: str) -> None:
    model = model_of(name, tokenizer)
    (answer,) = model.generate(context, max_new_tokens=3)
    assert tokenizer.encode(context + answer.text) == tokenizer.encode(context) + answer.token_ids
    (score,) = model.score([(context, answer.text)])
    assert (score.is_greedy, score.tokens) == (True, 3)
    assert score.logprob == pytest.approx(sum(answer.logprobs), abs=1e-10)
    # One token that is not the most probable one is enough, wherever it stands.
    assert not model.score([(context, answer.text + " cat")])[0].is_greedy
    assert not model.score([(context, " cat" + answer.text)])[0].is_greedy


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
    # Where the model is read beyond its learned positions there are none; LLaMA is cut at its context as well.
    llama = model_of("llama", tokenizer)
    assert llama.score([(context, " and ran")])[0].logprob == pytest.approx(
        by_hand(llama, ids[-65:], scored)[0], abs=1e-10
    )


@pytest.mark.parametrize("context", ["", "the dog", "the cat sat on a mat " * 20])
def test_a_long_continuation_is_read_in_windows(tokenizer: Any, context: str) -> None:
    model = model_of("gpt2", tokenizer)
    ids, scored = encode_pair(tokenizer, context, " and the cat ran" * 25)
    ids = ids if context else [tokenizer.bos_id, *ids]
    total, last = 0.0, len(ids) - scored
    while last < len(ids):  # each window predicts what no earlier one did; the model holds 48 tokens
        end = min(len(ids), max(last - 48, 0) + 49 if last == len(ids) - scored else last + 48)
        start = max(0, end - 49)
        total += by_hand(model, ids[start:end], end - last)[0]
        last = end
    (score,) = model.score([(context, " and the cat ran" * 25)])
    assert (score.tokens, score.logprob) == (scored, pytest.approx(total, abs=1e-9))


@pytest.mark.parametrize(("room", "least"), [(1, 0), (2, 1), (5, 0), (5, 1), (5, 4), (30, 1), (None, 1)])
def test_windows_score_every_token_once_and_hold_no_more_than_there_is_room(room: int | None, least: int) -> None:
    for length in range(1, 20):
        for scored in range(1, length - least + 1):
            seen = []
            for start, end, new in windows(length, scored, room, context=least):
                assert 0 <= start <= end - new - least
                assert end <= length
                assert room is None or end - start <= room
                assert room is None or end - start in (room, length), "as much is seen as fits"
                seen += range(end - new, end)
            assert seen == list(range(length - scored, length))


@pytest.mark.parametrize("name", ["gpt2", "llama", "lstm"])
@pytest.mark.parametrize("answers", [("!", "?", " cat"), (" the cat ran", " the dog sat", " the dog", " and dogs run")])
def test_answers_to_one_question_share_one_reading(tokenizer: Any, name: str, answers: tuple[str, ...]) -> None:
    """The same figures as alone, from fewer tokens read."""
    model = model_of(name, tokenizer)
    read: list[int] = []
    model.network.register_forward_pre_hook(lambda module, arguments: read.append(arguments[0].numel()))
    contexts = ["the cat sat on a mat and the dog ran to the cat", "the cat sat", "the dog", " ".join(["the cat"] * 40)]
    pairs = [(context, answer) for answer in answers for context in contexts]
    together = model.score(pairs)
    shared = sum(read)
    read.clear()
    alone = [model.score([pair])[0] for pair in pairs]
    assert shared < 0.6 * sum(read)
    for one, other in zip(together, alone, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-10)
        assert (one.is_greedy, one.tokens) == (other.is_greedy, other.tokens)


@pytest.mark.parametrize("at_once", [8, 100, 400])
def test_sharing_has_its_limits(tokenizer: Any, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """A beginning common to all questions holds no more states at once than there is room for."""
    model = model_of("llama", tokenizer)
    head = "the cat sat on a mat and the dog ran to the cat, "
    pairs = [(head + question, answer) for question in ("dogs", "cats run", "a mat") for answer in (" ran", " and sat")]
    pairs += [(head[:9], " sat on the mat"), (head, "the dog")]
    expected = model.score(pairs)
    monkeypatch.setattr(scoring, "TOKENS_AT_ONCE", at_once)
    rows: list[int] = []
    model.network.register_forward_pre_hook(
        lambda module, arguments, keywords: rows.append(len(set(keywords["segments"][0].tolist()))), with_kwargs=True
    )
    for one, other in zip(model.score(pairs), expected, strict=True):
        assert (one.logprob, one.tokens) == (pytest.approx(other.logprob, abs=1e-10), other.tokens)
    longest = max(len(tokenizer.encode(context)) for context, _ in pairs)
    assert max(rows) <= max(1, 2 * at_once // (longest // 2)), rows


def test_a_prefix_stands_before_what_is_scored(tokenizer: Any) -> None:
    model = model_of("gpt2", tokenizer)
    pairs = [("the cat", " sat on the mat"), ("the cat", " ran"), ("the dog ran to the cat " * 9, "the cat")]
    bare = model.score(pairs)
    attach(model.network, "short", PrefixConfig(tokens=5))
    model.network.double()
    activate(model.network, None)
    assert model.score(pairs) == bare, "it is attached and not active"
    activate(model.network, "short")
    for pair, score in zip(pairs, model.score(pairs), strict=True):
        ids, scored = encode_pair(tokenizer, *pair)
        ids = ids[-(48 - 5 + 1) :]
        with torch.inference_mode():
            state = begin(model.network, ["short"], len(ids))
            hidden = model.network(torch.tensor([ids[:-1]]), state=state).hidden[0, -scored:]
            found = torch.log_softmax(model.network.head(hidden), -1)
        expected = float(found.gather(-1, torch.tensor(ids[-scored:])[:, None]).sum())
        assert score.logprob == pytest.approx(expected, abs=1e-10)


def test_a_continuation_that_melts_into_the_context_is_encoded_by_itself(tokenizer: Any) -> None:
    """Where the joint text has no more tokens than the context alone, nothing would be left to score."""
    melting = next(
        (text[:cut], text[cut:])
        for text in ("the", "cat", " cat", " the", "and", " and")
        for cut in range(1, len(text))
        if len(tokenizer.encode(text)) <= len(tokenizer.encode(text[:cut]))
    )
    ids, scored = encode_pair(tokenizer, *melting)
    assert ids == tokenizer.encode(melting[0]) + tokenizer.encode(melting[1])
    assert scored == len(tokenizer.encode(melting[1]))
    assert model_of("gpt2", tokenizer).score([melting])[0].tokens == scored


def test_a_context_of_white_space_is_empty(tokenizer: Any) -> None:
    model = model_of("gpt2", tokenizer)
    assert model.score([("  ", "the cat")]) == model.score([("", "  the cat")])


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


def test_a_long_text_is_masked_in_windows() -> None:
    words = small.masked_tokenizer()
    model = LocalModel(small.network("bert", words.vocabulary_size), words)
    text = " ".join(["the cat sat on the mat and the dog ran to the cat"] * 6)  # 78 words; the model holds 30
    ids = words.encode(text)
    total = 0.0
    for start, new in ((0, 30), (30, 30), (48, 18)):  # the last window reaches back as far as fits
        window = [words.id("[CLS]"), *ids[start : start + 30], words.id("[SEP]")]
        for place in range(31 - new, 31):
            masked = torch.tensor([window])
            masked[0, place] = words.id("[MASK]")
            total += float(torch.log_softmax(model.logits(masked)[0, place], -1)[window[place]])
    (score,) = model.score([("", text)], method="pseudo")
    assert (score.tokens, score.logprob) == (78, pytest.approx(total, abs=1e-9))


def test_a_method_that_does_not_fit_the_model_is_refused(tokenizer: Any) -> None:
    with pytest.raises(Unsupported, match=r"method='pseudo'[\s\S]*method='causal'"):
        model_of("gpt2", tokenizer).score([("a", "b")], method="pseudo")
    with pytest.raises(Unsupported, match="no mask token"):
        model_of("bert", tokenizer).score([("a", "b")], method="pseudo")
