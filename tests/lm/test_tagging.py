"""The tags of words: the same alone and together, in order, and of sentences of any length."""

import pytest
import torch

from trivium import tokenizers
from trivium.errors import NonFiniteError
from trivium.lm import tagging
from trivium.lm.tagging import tag_words
from trivium.models.bilstm import BiLSTM, BiLSTMConfig

SENTENCES = [["a", "b"], [], ["abc"], ["b", "c", "a", "b", "c"], ["c"] * 9]
LABELS = ("O", "B-x", "I-x")


def build(crf: bool) -> tuple[BiLSTM, tokenizers.Tokenizer]:
    tokenizer = tokenizers.train([" a b c abc"], kind="character")
    config = BiLSTMConfig(
        vocabulary_size=tokenizer.vocabulary_size, embedding_width=8, width=8, head="tagging", labels=LABELS, crf=crf
    )
    model = BiLSTM(config).double().eval()
    for name, parameter in model.named_parameters():
        if not name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model, tokenizer


@pytest.mark.parametrize("crf", [False, True])
def test_each_sentence_as_if_alone(crf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = build(crf)
    together = tag_words(model, tokenizer, SENTENCES)
    assert [len(tags) for tags in together] == [len(words) for words in SENTENCES]
    assert {tag for tags in together for tag in tags} <= set(LABELS)
    assert len({tag for tags in together for tag in tags}) > 1
    assert together == [tag_words(model, tokenizer, [words])[0] for words in SENTENCES]
    monkeypatch.setattr(tagging, "TOKENS_AT_ONCE", 18)  # the longest sentence by itself
    assert tag_words(model, tokenizer, SENTENCES) == together


def test_a_sentence_too_long_to_be_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = build(crf=True)
    expected = [tag for part in (["c"] * 4, ["c"] * 4, ["c"]) for tag in tag_words(model, tokenizer, [part])[0]]
    monkeypatch.setattr(tagging, "TOKENS_AT_ONCE", 8)
    assert tag_words(model, tokenizer, [["c"] * 9]) == [expected]


def test_a_word_that_was_never_seen() -> None:
    model, tokenizer = build(crf=False)
    assert len(tag_words(model, tokenizer, [["zürich", "a"]])[0]) == 2


def test_nothing_to_tag() -> None:
    assert tag_words(*build(crf=False), []) == []
    assert tag_words(*build(crf=False), [[]]) == [[]]


@pytest.mark.parametrize("crf", [False, True])
def test_weights_that_are_no_numbers(crf: bool) -> None:
    model, tokenizer = build(crf)
    with torch.no_grad():
        (model.tag.crf.transitions if crf else model.tag.output.weight).fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="nothing can be tagged"):
        tag_words(model, tokenizer, SENTENCES)
