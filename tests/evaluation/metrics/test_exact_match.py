"""Exact match and the SQuAD normalisation."""

from hypothesis import given
from hypothesis import strategies as st

from trivium.evaluation.metrics import exact_match
from trivium.evaluation.metrics.squad import normalised


def test_to_the_letter_or_as_squad_reads_it():
    predictions, references = ["The Eiffel Tower!", "four", "no"], [["eiffel  tower", "tower"], "4", ["no", "nope"]]
    assert exact_match(predictions, references) == {"exact_match": 1 / 3}
    result = exact_match(predictions, references, normalisation="squad", per_example=True)
    assert result["per_example"] == {"exact_match": [1.0, 0.0, 1.0]}


def test_the_normalisation_takes_whole_articles_only():
    assert normalised("An  ant, THE theory's a-side") == "ant theorys aside"


def test_an_unanswerable_question_has_the_empty_answer():
    assert exact_match(["", "Paris"], ["", [""]], normalisation="squad")["exact_match"] == 0.5


@given(st.lists(st.text(), min_size=1))
def test_a_text_matches_itself(texts):
    assert (
        exact_match(texts, texts)["exact_match"] == exact_match(texts, texts, normalisation="squad")["exact_match"] == 1
    )
