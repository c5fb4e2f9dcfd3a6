"""F1 of an answer's words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.evaluation.metrics import exact_match, f1


def test_by_hand():
    # "big red dog" against "red dog": 2 of 3 and 2 of 2.
    assert f1(["the big red dog"], ["Red dog."])["f1"] == pytest.approx(0.8)
    assert f1(["dog dog"], ["dog"])["f1"] == pytest.approx(2 / 3)
    assert f1(["cat"], [["dog", "a cat"]])["f1"] == 1
    assert f1(["", "cat", ""], ["", "", "cat"], per_example=True)["per_example"]["f1"] == [1, 0, 0]


def test_answers_of_a_real_set_against_themselves_and_their_sentences(shared_data):
    data = json.loads((shared_data / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    questions = [(p["context"], q) for article in data for p in article["paragraphs"] for q in p["qas"]][:200]
    answers = [question["answers"][0]["text"] for _, question in questions]
    assert f1(answers, answers)["f1"] == exact_match(answers, answers)["exact_match"] == 1
    contexts = [context for context, _ in questions]
    assert 0 < f1(contexts, answers)["f1"] < 0.1  # all of the answer and very much else
    assert exact_match(contexts, answers, normalisation="squad")["exact_match"] == 0


@given(*[st.text("ab the.", max_size=12)] * 2)
def test_a_share_that_does_not_ask_which_is_which(prediction, reference):
    figure = f1([prediction], [reference])["f1"]
    assert 0 <= figure <= 1
    assert figure == f1([reference], [prediction])["f1"]
    assert figure >= exact_match([prediction], [reference], normalisation="squad")["exact_match"]
