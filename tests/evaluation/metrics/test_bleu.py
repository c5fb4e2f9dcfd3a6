"""BLEU is sacreBLEU's, and its counts make the same score again."""

import gzip
import sys

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import DataError, Unsupported
from trivium.evaluation.metrics import bleu, sentence_bleu
from trivium.evaluation.metrics.bleu import SMOOTHINGS, TOKENIZERS, bleu_counts, bleu_of

SENTENCE = st.lists(st.sampled_from("abc"), max_size=7).map(" ".join)


@pytest.fixture(scope="module")
def captions(shared_data):
    """Captions, each with its neighbours as if they were translations of one: real words, some of them shared."""
    with gzip.open(shared_data / "nc-multi30k" / "val.en.gz", "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()[:120]
    changed = [" ".join(line.split()[: 5 + i % 9]) + " and more." for i, line in enumerate(lines)]
    return changed, lines


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_equal_to_sacrebleu_with_its_signature(captions, tokenizer, smoothing):
    predictions, references = captions
    metric = sacrebleu.BLEU(tokenize=tokenizer, smooth_method=smoothing, force=True)
    theirs = metric.corpus_score(predictions, [references])
    ours = bleu(predictions, references, tokenizer=tokenizer, smoothing=smoothing)
    assert 0 < theirs.score < 100
    assert ours["bleu"] == theirs.score
    assert ours["signature"] == str(metric.get_signature())
    assert f"tok:{tokenizer}|" in ours["signature"] and f"smooth:{smoothing}" in ours["signature"]
    counts = bleu_counts(predictions, references, tokenizer=tokenizer).sum(0)
    assert bleu_of(smoothing)(counts) == pytest.approx(theirs.score, abs=1e-9)


def test_several_references_as_many_as_there_are(captions):
    predictions, references = captions
    several = [[line, predictions[i - 1]] if i % 3 else [line] for i, line in enumerate(references)]
    streams = [references, [pair[1] if len(pair) > 1 else None for pair in several]]
    metric = sacrebleu.BLEU()
    theirs = metric.corpus_score(predictions, streams)
    ours = bleu(predictions, several)
    assert ours["bleu"] == theirs.score
    assert ours["signature"] == str(metric.get_signature()) and "nrefs:var" in ours["signature"]


def test_sentences_are_judged_by_the_orders_they_have(captions):
    predictions, references = captions
    metric = sacrebleu.BLEU(effective_order=True)
    theirs = [metric.sentence_score(a, [b]).score for a, b in zip(predictions, references, strict=True)]
    ours = sentence_bleu(predictions, references, per_example=True)
    assert ours["per_example"]["sentence_bleu"] == theirs
    assert ours["sentence_bleu"] == pytest.approx(np.mean(theirs))
    assert ours["signature"] == str(metric.get_signature()) and "eff:yes" in ours["signature"]
    assert sentence_bleu(["a cat"], ["a cat"])["sentence_bleu"] == pytest.approx(100)


def test_chinese_needs_its_tokenizer():
    text = ["我爱北京天安门。"]
    assert bleu(text, text, tokenizer="zh")["bleu"] == pytest.approx(100)
    assert bleu(text, ["我们爱北京天安门。"], tokenizer="13a")["bleu"] == 0


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@given(pairs=st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1, max_size=4))
def test_counts_make_the_score_of_any_corpus(smoothing, pairs):
    predictions, references = (list(texts) for texts in zip(*pairs, strict=True))
    theirs = sacrebleu.BLEU(smooth_method=smoothing).corpus_score(predictions, [references]).score
    sums = bleu_counts(predictions, references).sum(0)
    assert bleu_of(smoothing)(sums) == pytest.approx(theirs, abs=1e-9)


def test_identical_texts_score_100_and_a_table_of_sums_scores_by_row():
    text = ["one two three four five", "six seven eight nine"]
    assert bleu(text, text)["bleu"] == pytest.approx(100)
    counts = bleu_counts(text, text)
    assert bleu_of()(np.stack([counts.sum(0), counts[0]])) == pytest.approx([100, 100])


def test_unknown_options_are_refused():
    with pytest.raises(DataError, match="13a, intl, zh"):
        bleu(["a"], ["a"], tokenizer="moses")
    with pytest.raises(DataError, match="exp, floor, add-k, none"):
        bleu(["a"], ["a"], smoothing="laplace")
    with pytest.raises(DataError, match="order"):
        bleu(["a"], ["a"], order=0)


def test_without_sacrebleu_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(Unsupported, match=r"trivium-lm\[eval\]"):
        bleu(["a"], ["a"])
