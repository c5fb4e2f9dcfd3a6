"""chrF and chrF++ are sacreBLEU's."""

import random

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import DataError
from trivium.evaluation.metrics import chrf
from trivium.evaluation.metrics.chrf import chrf_counts, chrf_of


@pytest.mark.parametrize("word_order", [0, 1, 2])
@pytest.mark.parametrize("language", ["deu", "rus", "zho-CN"])
def test_equal_to_sacrebleu_with_its_signature(shared_data, language, word_order):
    lines = (shared_data / "ntrex" / f"newstest2019-ref.{language}.txt").read_text(encoding="utf-8").splitlines()[:40]
    predictions = [line[: 2 * len(line) // 3] for line in lines]
    several = [[line, lines[i - 1]] for i, line in enumerate(lines)]
    metric = sacrebleu.CHRF(word_order=word_order)
    theirs = metric.corpus_score(predictions, [lines, lines[-1:] + lines[:-1]])
    ours = chrf(predictions, several, word_order=word_order, per_example=True)
    name = "chrf" + "+" * word_order
    assert ours[name] == theirs.score
    assert ours["signature"] == str(metric.get_signature())
    one = metric.sentence_score(predictions[3], several[3]).score
    assert ours["per_example"][name][3] == one


@given(st.lists(st.text("abc ñ中", min_size=1).filter(str.strip), min_size=1, max_size=4))
def test_identical_texts_score_100(texts):
    assert chrf(texts, texts)["chrf"] == pytest.approx(100)


def test_impossible_orders_are_refused():
    with pytest.raises(DataError, match="word_order"):
        chrf(["a"], ["a"], word_order=-1)
    with pytest.raises(DataError, match="character_order"):
        chrf(["a"], ["a"], character_order=0)


@pytest.mark.parametrize("number", [1, 2])
def test_sums_of_its_counts_give_the_figure_of_the_corpus(number):
    draw = random.Random(number)

    def text() -> str:
        return "".join(draw.choice("ab c") for _ in range(draw.randrange(12)))

    given = [text() for _ in range(40)]
    wanted = [[text() for _ in range(number)] for _ in given]
    counts = chrf_counts(given, wanted)
    assert counts.shape == (40, 18)
    assert float(chrf_of()(counts.sum(0))) == pytest.approx(chrf(given, wanted)["chrf"])
    each = chrf(given, wanted, per_example=True)["per_example"]["chrf"]
    assert list(chrf_of()(counts)) == pytest.approx(each)


def test_counts_of_nothing_are_no_figure():
    counts = chrf_counts([""], ["abc"], character_order=2)
    assert counts.tolist() == [[0, 3, 0, 0, 2, 0]]
    assert float(chrf_of()(counts.sum(0))) == 0.0
