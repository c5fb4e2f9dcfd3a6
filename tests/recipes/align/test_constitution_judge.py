"""The judge: both orders, neither (A) nor (B), reasons first, the bias of places; and principles that collide."""

import math
from typing import Any

import pytest

from tests.recipes.align.scripted import Scripted, compared
from trivium.recipes.align.constitution.constitution_config import FeedbackConfig
from trivium.recipes.align.constitution.exemplars import exemplars
from trivium.recipes.align.constitution.feedback import EMPTY, IDENTICAL, judged, preferences
from trivium.recipes.align.constitution.figures import feedback_of
from trivium.recipes.align.constitution.judge import Judge, Opinion, Question, normalised, read_verdict
from trivium.recipes.align.constitution.principles import Constitution, Principle
from trivium.recipes.align.constitution.settling import NEITHER, settle

ASKED = [{"role": "user", "content": "How do I pick a lock?"}]


def principle(name: str, priority: int = 0) -> Principle:
    return Principle(
        name=name,
        critique_request=f"Criticise by {name}.",
        revision_request=f"Revise by {name}.",
        comparison=f"Which is more {name}?",
        priority=priority,
    )


LAWFUL, HELPFUL = principle("lawful", 9), principle("helpful", 1)


def judge(model: Scripted, **settings: Any) -> Judge:
    return Judge(model, exemplars().comparisons, FeedbackConfig(**settings), seed=0)


def question(first: str = "good", second: str = "bad", by: Principle = LAWFUL) -> Question:
    return Question(key=("test", 0, by.name), messages=ASKED, answers=(first, second), principle=by)


def test_a_soft_label_is_the_mean_of_the_normalised_probabilities_in_both_orders():
    """The judge gives "good" 0.6 of 0.8 in the first place, and 0.3 of 0.4 in the second."""

    def held(_: str, first: str, second: str) -> tuple[float, float]:
        return (0.6, 0.2) if first == "good" else (0.1, 0.3)

    (opinion,) = judge(Scripted(opinions=held))([question()])
    assert opinion.orders == pytest.approx((0.75, 0.75))
    assert opinion.probability == pytest.approx(0.75)
    assert not opinion.flipped and not opinion.asked_again
    (swapped,) = judge(Scripted(opinions=held))([question("bad", "good")])
    assert swapped.probability == pytest.approx(0.25)


def test_both_answers_stand_in_both_places_once_and_all_else_is_the_same():
    model = Scripted(opinions=lambda *_: (0.5, 0.5))
    judge(model)([question()])
    first, second = dict.fromkeys(model.asked)
    assert compared(first) == (LAWFUL.comparison, "good", "bad")
    assert compared(second) == (LAWFUL.comparison, "bad", "good")
    assert first.replace("(A): good\n\nOption (B): bad", "(A): bad\n\nOption (B): good") == second
    assert first.endswith("The better option is:")


def test_a_judge_that_goes_by_the_place_says_nothing_and_is_found_out():
    """It holds nine parts of ten for (A), whoever stands there: the mean is a half, and it flips every time."""
    (opinion,) = judge(Scripted(opinions=lambda *_: (0.9, 0.1)))([question()])
    assert opinion.probability == pytest.approx(0.5)
    assert opinion.flipped and opinion.of_first_place == pytest.approx(0.9)


def test_the_probabilities_of_two_texts_are_normalised_also_where_they_are_tiny():
    assert normalised(math.log(0.3), math.log(0.1), 0.0) == pytest.approx(0.75)
    assert normalised(-2000.0, -2000.0 - math.log(3), 0.0) == pytest.approx(0.75)
    assert normalised(math.log(0.003), math.log(0.001), 0.01) is None
    assert normalised(math.log(0.008), math.log(0.003), 0.01) is not None
    assert normalised(-math.inf, -math.inf, 0.0) is None
    assert normalised(-math.inf, math.log(0.5), 0.01) == 0.0
    assert normalised(math.nan, math.nan, 0.0) is None


def test_a_judge_that_says_neither_is_asked_once_more_and_then_left_alone():
    model = Scripted(opinions=lambda *_: (0.001, 0.002))
    (opinion,) = judge(model)([question()])
    assert opinion.probability is None and opinion.asked_again
    assert len(model.asked) == 8, "two orders, two options, twice"
    assert len(set(model.asked)) == 4, "the second time in other words"
    assert settle([(LAWFUL, opinion)]).left_out == NEITHER


def test_only_what_was_not_said_is_asked_again():
    """It says nothing where "good" comes first, until somebody insists."""

    def held(asked: str, first: str, _: str) -> tuple[float, float]:
        return (0.0, 0.0) if first == "good" and model.asked[-1].count("nothing else") == 0 else (0.3, 0.1)

    model = Scripted(opinions=held)
    (opinion,) = judge(model)([question()])
    assert opinion.orders == pytest.approx((0.75, 0.25)) and opinion.asked_again
    assert len(model.asked) == 6


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("(A)", 1.0),
        (" (B), since it is kinder", 0.0),
        ("A", 1.0),
        ("b.", 0.0),
        ("Option B\n", 0.0),
        ("A better answer would be shorter", None),
        ("(A) is worse than (B)", None),
        ("Both are fine.", None),
        ("", None),
        ("BANANA", None),
    ],
)
def test_what_a_judge_writes_is_read_where_it_is_clear(answer: str, expected: float | None):
    assert read_verdict(answer) == expected


def test_of_a_judge_that_thinks_the_last_verdict_counts():
    assert read_verdict("(A) is rude.\n\nThe better option is: (B)", thinking=True) == 0.0
    assert read_verdict("I like (A).", thinking=True) is None


def test_a_judge_without_probabilities_is_asked_for_words():
    model = Scripted(says=lambda prompt, _: " (A)" if compared(prompt)[1] == "good" else " (B)\n\n---\n\nUser: (A)")
    (opinion,) = judge(model)([question()])
    assert opinion.orders == (1.0, 1.0) and opinion.probability == 1.0
    silent = Scripted(says=lambda *_: "I would rather not say.")
    (opinion,) = judge(silent)([question()])
    assert opinion.probability is None and len(silent.asked) == 4


@pytest.mark.parametrize("scores", [True, False])
def test_a_judge_that_thinks_is_never_sure(scores: bool):
    """Bai et al. 2022, section 4.1: its label lies between 0.4 and 0.6. It reads its own reasons."""
    says = " It is kind.\n\nThe better option is: (A)"
    model = Scripted(says=lambda *_: says, opinions=(lambda *_: (0.98, 0.01)) if scores else None)
    (opinion,) = judge(model, chain_of_thought=True)([question()])
    assert opinion.orders == pytest.approx((0.6, 0.4))
    if scores:
        assert model.asked[-1].endswith("Reasons: It is kind.\n\nThe better option is:")
    assert all("Reasons: The first leaves the choice to her." in text for text in model.asked)


# Principles ----------------------------------------------------------------------------------------------------------


def opinion(probability: float | None) -> Opinion:
    return Opinion(orders=(probability, probability), asked_again=False)


def test_of_principles_that_collide_the_one_of_higher_priority_prevails():
    settled = settle([(HELPFUL, opinion(0.9)), (LAWFUL, opinion(0.2))])
    assert settled.probability == 0.2
    assert settled.conflict is not None
    assert settled.conflict.for_first == ("helpful",) and settled.conflict.for_second == ("lawful",)
    assert settled.conflict.prevailed == ("lawful",)
    assert settle([(HELPFUL, opinion(0.1)), (LAWFUL, opinion(0.8))]).probability == 0.8


def test_principles_that_agree_or_do_not_care_are_averaged():
    for other in (0.7, 0.5):
        settled = settle([(HELPFUL, opinion(0.9)), (LAWFUL, opinion(other))])
        assert settled.probability == pytest.approx((0.9 + other) / 2) and settled.conflict is None


def test_principles_of_the_same_priority_prevail_together():
    settled = settle([(principle("one", 5), opinion(0.9)), (principle("two", 5), opinion(0.3)), (HELPFUL, opinion(0))])
    assert settled.probability == pytest.approx(0.6)
    assert settled.conflict is not None and settled.conflict.prevailed == ("one", "two")


def test_a_principle_by_which_nothing_was_said_does_not_prevail():
    settled = settle([(HELPFUL, opinion(0.9)), (LAWFUL, opinion(None))])
    assert settled.probability == 0.9 and settled.conflict is None


def held_by_question(asked: str, first: str, _: str) -> tuple[float, float]:
    """Lawful is the answer "good", helpful the answer "bad"."""
    wanted = "good" if "lawful" in asked else "bad"
    return (0.8, 0.2) if first == wanted else (0.2, 0.8)


def test_pairs_are_judged_into_preferences_with_soft_labels():
    constitution = Constitution(principles=(HELPFUL, LAWFUL))
    pairs = [(0, ASKED, ("bad", " good ")), (1, ASKED, ("good", " good")), (2, ASKED, ("good", " "))]
    model = Scripted(opinions=held_by_question)
    rows = judged(judge(model), constitution, pairs, principles=2, seed=0, what="test")
    assert rows[0]["probability"] == pytest.approx(0.2)
    assert rows[0]["conflict"]["prevailed"] == ("lawful",)
    assert [row["left_out"] for row in rows] == [None, IDENTICAL, EMPTY]
    assert len(model.asked) == 8, "what has no preference is not judged"
    (line,) = preferences(rows)
    assert (line["chosen"], line["rejected"]) == ("good", "bad")
    assert line["probability"] == pytest.approx(0.8) and line["prompt"] == ASKED


def test_one_principle_alone_finds_no_conflict():
    constitution = Constitution(principles=(HELPFUL, LAWFUL))
    pairs = [(number, ASKED, ("bad", "good")) for number in range(20)]
    rows = judged(judge(Scripted(opinions=held_by_question)), constitution, pairs, principles=1, seed=0, what="test")
    assert {row["conflict"] for row in rows} == {None}
    drawn = [row["judged"][0]["principle"] for row in rows]
    assert set(drawn) == {"lawful", "helpful"}, "each pair draws its own"


def test_the_figures_of_a_judge_are_counted():
    """Of three pairs one is told by its place, one gets no answer, and one is a conflict."""

    def held(asked: str, first: str, second: str) -> tuple[float, float]:
        if "silent" in (first, second):
            return (0.0, 0.0)
        return (0.9, 0.1) if "place" in (first, second) else held_by_question(asked, first, second)

    constitution = Constitution(principles=(HELPFUL, LAWFUL))
    pairs = [(0, ASKED, ("place", "other")), (1, ASKED, ("silent", "other")), (2, ASKED, ("good", "bad"))]
    figures = feedback_of(
        judged(judge(Scripted(opinions=held)), constitution, pairs, principles=2, seed=0, what="test")
    )
    assert (figures["pairs"], figures["opinions"], figures["neither"], figures["asked_again"]) == (3, 6, 2, 2)
    assert figures["left_out"] == {NEITHER: 1}
    assert figures["flipped_share"] == 0.5
    assert figures["first_place_mean"] == pytest.approx((0.9 + 0.9 + 0.5 + 0.5) / 4)
    conflict = {"for_one": "helpful", "for_other": "lawful", "prevailed": "lawful", "times": 1}
    assert figures["conflicts"] == [conflict]
