"""Scores from echoed probabilities, and vectors."""

from typing import Any

import pytest
import torch

from trivium.errors import DataError, Unsupported
from trivium.lm.hosted.failure import MalformedReply
from trivium.lm.hosted.openai_completions import read_score


def test_scores_of_continuations(make: Any, server: Any) -> None:
    # A token's log-probability is minus its length; the most probable one has -1.
    found = make("vllm").score([("the cat", " sat on"), ("the cat ", "sat"), ("x", " a b")])
    assert [(score.logprob, score.tokens, score.is_greedy) for score in found] == [
        (-7.0, 2, False),
        (-4.0, 1, False),
        (-4.0, 2, False),
    ]
    assert server.asked[0] == {
        "model": "m",
        "prompt": "the cat sat on",
        "max_tokens": 1,
        "temperature": 0.0,
        "echo": True,
        "logprobs": 1,
    }


def test_what_a_server_puts_before_a_text_is_not_counted(serving: Any) -> None:
    for before in ("", "<|begin_of_text|>"):
        score = read_score(serving.echoed("the cat sat on", before=before), "the cat", " sat on")
        assert (score.logprob, score.tokens) == (-7.0, 2)
    with_begin = read_score(serving.echoed("the cat", before="<s>"), "", "the cat")
    assert (with_begin.logprob, with_begin.tokens) == (-7.0, 2)


def told(tokens: list[str], values: list[Any], places: list[int]) -> dict[str, Any]:
    best = [None if value is None else {"best": -0.5} for value in values]
    logprobs = {"tokens": tokens, "token_logprobs": values, "text_offset": places, "top_logprobs": best}
    return {"choices": [{"text": "", "logprobs": logprobs, "finish_reason": "length"}]}


def test_a_token_that_reaches_over_the_edge_is_scored() -> None:
    score = read_score(told(["a", "b c", "d", "!"], [None, -1.0, -0.5, -9.0], [0, 1, 4, 5]), "ab", " cd")
    assert (score.logprob, score.tokens, score.is_greedy) == (-1.5, 2, False)
    assert read_score(told(["a", "b", "!"], [None, -0.5, -9.0], [0, 1, 2]), "a", "b").is_greedy


def test_parts_of_characters_go_by_the_servers_places() -> None:
    tokens = ["a", "bytes:\\xe2", "bytes:\\x82\\xac", "!"]
    score = read_score(told(tokens, [None, -1.0, -2.0, -9.0], [0, 1, 1, 2]), "a", "€")
    assert (score.logprob, score.tokens) == (-3.0, 2)


@pytest.mark.parametrize(
    ("reply", "say"),
    [
        ({"choices": []}, "no choices.0.logprobs"),
        ({"choices": [{"text": "ab", "finish_reason": "stop"}]}, "no choices.0.logprobs"),
        (told(["ab"], [None], [0]), "first token"),
        (told(["a", "b"], [None], [0, 1]), "different numbers"),
        (told(["a", "b"], [None, "x"], [0, 1]), "is no"),
    ],
)
def test_scores_that_are_none(reply: Any, say: str) -> None:
    with pytest.raises(MalformedReply, match=say):
        read_score(reply, "a", "b")


def test_what_is_not_scored(make: Any) -> None:
    with pytest.raises(DataError, match="nothing to score"):
        make("vllm").score([("a", "")])
    with pytest.raises(Unsupported, match="cannot be scored this way"):
        make("vllm").score([("a", "b")], method="pseudo")
    with pytest.raises(Unsupported, match=r"cannot score[\s\S]*behind openai, vllm"):
        make("anthropic").score([("a", "b")])


def test_vectors_have_length_1_and_the_order_of_the_texts(make: Any, server: Any) -> None:
    model = make("vllm", concurrency=2)
    texts = ["x" * length for length in range(130)]
    found = model.embeddings(texts)
    assert found.vectors.shape == (130, 3)
    torch.testing.assert_close(found.vectors.norm(dim=-1), torch.ones(130))
    torch.testing.assert_close(found.vectors[:, 0] / found.vectors[:, 1], torch.arange(130.0))
    assert found.cut_tokens == [0] * 130
    assert sorted(len(asked["input"]) for asked in server.asked) == [2, 64, 64]
    assert model.embed([]).shape == (0, 0)
    with pytest.raises(DataError, match=r"embed\(\[text\]\)"):
        model.embed("text")


@pytest.mark.parametrize(
    ("data", "say"),
    [
        ([], "one vector for each"),
        ([{"index": 1, "embedding": [1.0]}], "one vector for each"),
        ([{"index": 0, "embedding": []}], "rows of numbers"),
        ([{"index": 0, "embedding": ["a"]}], "rows of numbers"),
        ([{"index": 0, "embedding": [10**400]}], "rows of numbers"),
        ([{"index": 0, "embedding": [None]}, {"index": 0, "embedding": [1.0]}], "one vector for each"),
        ([{"index": 0, "embedding": "AAAA"}], "data|embedding"),
    ],
)
def test_vectors_that_are_none(data: Any, say: str, make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.reply({"data": data})]
    with pytest.raises(MalformedReply, match=say):
        make("vllm").embed(["a"])
