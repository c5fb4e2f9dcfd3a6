"""Answers in texts that are longer than a model reads, and answers that are written."""

import pathlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trivium import tokenizers
from trivium.errors import DataError, NonFiniteError
from trivium.lm.answering import answer_spans, question_text, written_answer
from trivium.lm.local import LocalModel
from trivium.models.t5 import T5, T5Config
from trivium.nn.output import Output
from trivium.nn.span_head import SpanHead
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.special import BERT

CONTEXT = " ".join(f"w{number}" for number in range(60))
QUESTION = "where is w7"


class Table(nn.Module):
    """Scores depend on the token alone, so that it does not matter in which window it is read."""

    def __init__(self, vocabulary_size: int, context_tokens: int | None) -> None:
        super().__init__()
        self.config: Any = SimpleNamespace(context_tokens=context_tokens)
        torch.manual_seed(4)
        self.embedding = nn.Embedding(vocabulary_size, 8)
        self.span = SpanHead(8)
        self.longest = 0

    def forward(self, tokens: Tensor, *, lengths: Tensor) -> Output:
        self.longest = max(self.longest, tokens.shape[1])
        return Output(self.embedding(tokens))


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    special = BERT
    return tokenizers.train([CONTEXT, QUESTION], kind="word", vocabulary_size=None, minimum_count=1, special=special)


@pytest.mark.parametrize("no_answer", [False, True])
@pytest.mark.parametrize("room", [20, 33, 47])
def test_windows_lose_nothing(words: Tokenizer, room: int, no_answer: bool) -> None:
    size = words.vocabulary_size
    asked = [(QUESTION, CONTEXT), ("where", "w9 w8"), (QUESTION, CONTEXT[::-1])]
    settings = {"longest_answer": 4, "no_answer": no_answer}
    whole = answer_spans(Table(size, None), words, asked, **settings)
    small = Table(size, room)
    cut = answer_spans(small, words, asked, **settings)
    assert small.longest <= room
    for one, other in zip(whole, cut, strict=True):
        assert (one.text, one.start, one.end) == (other.text, other.start, other.end)
        assert one.probability == pytest.approx(other.probability, rel=1e-6)
    for (_, context), one in zip(asked, cut, strict=True):
        assert one.text == ("" if one.start is None else context[one.start : one.end])
        assert len(one.text.split()) <= 4


def test_what_cannot_be_answered(words: Tokenizer) -> None:
    table = Table(words.vocabulary_size, 20)
    settings = {"longest_answer": 4, "no_answer": False}
    with pytest.raises(DataError, match="a context has no text in it"):
        answer_spans(table, words, [(QUESTION, " ")], **settings)
    with pytest.raises(DataError, match=r"a question leaves too little room[\s\S]*question 0[\s\S]*fewer words"):
        answer_spans(table, words, [(QUESTION * 5, CONTEXT)], **settings)
    table.embedding.weight.data.fill_(float("nan"))
    with pytest.raises(NonFiniteError):
        answer_spans(table, words, [(QUESTION, CONTEXT)], **settings)


def test_where_a_written_answer_stands() -> None:
    found = written_answer("the cat sat", "cat", 0.5)
    assert (found.text, found.start, found.end, found.probability) == ("cat", 4, 7, 0.5)
    assert (written_answer("the cat", "dog", 0.1).start, written_answer("a", "", 1.0).end) == (None, None)


def test_a_model_that_writes_is_asked_in_words(tmp_path: pathlib.Path) -> None:
    vocabulary = tokenizers.train([CONTEXT, "question: context:"], kind="byte_bpe", vocabulary_size=280)
    torch.manual_seed(0)
    config = T5Config(
        vocabulary_size=vocabulary.vocabulary_size, width=16, layers=1, heads=2, head_width=8, inner_width=16
    )
    model = LocalModel(T5(config), vocabulary)
    assert model.purpose == "text_to_text" and "answer" in model.capabilities
    written = model.generate([question_text(QUESTION, CONTEXT)], max_new_tokens=5)[0]
    assert model.answer(QUESTION, CONTEXT, longest_answer=5).text == written.text.strip()
    assert model.answers([]) == []
