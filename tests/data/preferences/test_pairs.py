"""Pairs of rankings, and judgements that contradict each other."""

import json
from collections import defaultdict
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.preferences import Judged, contradictions, pairs_of, ranks_by_score, read_judged, split
from trivium.errors import ConfigError, DataError


def judged(answers, ranks=None, *, prompt="Hi", criterion="helpful", **more):
    return Judged(
        messages=({"role": "user", "content": prompt},),
        answers=tuple(answers),
        ranks={} if ranks is None else {criterion: tuple(ranks)},
        **more,
    )


def better(pairs):
    return [(pair.chosen, pair.rejected) for pair in pairs.pairs]


def test_every_pair_of_a_ranking_once_and_together():
    pairs = pairs_of([judged("xy", (2, 1), prompt="Ho"), judged("abcd", (3, 1, 4, 2))])
    assert better(pairs)[0] == ("y", "x")
    assert set(better(pairs)[1:]) == {("b", "a"), ("a", "c"), ("d", "a"), ("b", "c"), ("b", "d"), ("d", "c")}
    assert len(pairs.pairs) == 7
    assert [pair.group for pair in pairs.pairs] == [0] + [1] * 6
    # Each ranking weighs 1, however many answers it has (Ouyang et al. 2022, eq. 1).
    assert [Fraction(pair.weight).limit_denominator(99) for pair in pairs.pairs] == [1] + [Fraction(1, 6)] * 6
    assert {pair.criterion for pair in pairs.pairs} == {"helpful"}
    assert pairs.told == "7 pairs"


def test_ties_and_identical_answers_are_left_out_and_counted():
    pairs = pairs_of([judged("abb", (1, 1, 3)), judged("xx", (1, 2)), judged("pq", (1, 1))])
    # Of a, b, b: a ties with the first b and beats the second; of b and b nothing is said.
    assert better(pairs) == [("a", "b")]
    assert (pairs.identical, pairs.ties, pairs.contradictory) == (2, 2, 0)
    assert pairs.pairs[0].weight == pytest.approx(1 / 3)
    assert pairs.told == "1 pair; left out: 2 of identical answers, 2 ties"


def test_what_most_say_counts_and_a_draw_says_nothing():
    most = [judged("ab", (1, 2)), judged("ab", (1, 2)), judged("ba", (1, 2))]
    pairs = pairs_of(most)
    assert better(pairs) == [("a", "b"), ("a", "b")]
    assert pairs.contradictory == 1
    draw = pairs_of(most[1:])
    assert better(draw) == []
    assert draw.contradictory == 2
    # Another prompt, or another criterion, is another question.
    assert pairs_of([judged("ab", (1, 2)), judged("ba", (1, 2), prompt="Ho")]).contradictory == 0
    assert pairs_of([judged("ab", (1, 2)), judged("ba", (1, 2), criterion="short")]).contradictory == 0


def test_a_line_that_contradicts_itself():
    # The same text best and worst: over b, and under it.
    pairs = pairs_of([judged("aba", (1, 2, 3))])
    assert better(pairs) == []
    assert (pairs.identical, pairs.contradictory) == (1, 2)


def test_criteria_by_themselves_and_together():
    both = Judged(
        messages=({"role": "user", "content": "Hi"},), answers=("a", "b"), ranks={"helpful": (1, 2), "harmless": (2, 1)}
    )
    assert better(pairs_of([both], "helpful")) == [("a", "b")]
    assert better(pairs_of([both], "harmless")) == [("b", "a")]
    assert [(pair.criterion, pair.chosen) for pair in pairs_of([both]).pairs] == [("helpful", "a"), ("harmless", "b")]
    with pytest.raises(ConfigError, match="did you mean helpful") as error:
        pairs_of([both], "helpfull")
    assert "harmless, helpful" in str(error.value)


def test_scores_make_pairs_only_where_asked():
    scored = judged("abc", scores={"quality": (1.0, 4.0, 1.0)})
    assert pairs_of([scored]).pairs == []
    pairs = pairs_of([scored], from_scores=True)
    assert set(better(pairs)) == {("b", "a"), ("b", "c")}
    assert pairs.ties == 1
    assert [pair.margin for pair in pairs.pairs] == [3.0, 3.0]


def test_a_margin_is_of_the_better_answer():
    assert pairs_of([judged("ab", (1, 2), margin=2.0)]).pairs[0].margin == 2.0
    assert pairs_of([judged("ab", (2, 1), margin=2.0)]).pairs[0].margin is None


def test_a_circle_is_reported_with_its_answers():
    lines = [
        judged(pair, (1, 2), where=f"f, line {n}") for n, pair in enumerate(("ab", "bc", "ca", "cd", "ab", "ba"), 1)
    ]
    direct, circle = contradictions(lines)
    assert (direct.answers, direct.votes, direct.where) == (
        ("a", "b"),
        (2, 1),
        ("f, line 1", "f, line 5", "f, line 6"),
    )
    assert direct.told == "'a' > 'b' > 'a' (2 to 1) by helpful: f, line 1; f, line 5; f, line 6"
    steps = set(zip(circle.answers, circle.answers[1:] + circle.answers[:1], strict=True))
    assert steps == {("a", "b"), ("b", "c"), ("c", "a")}
    assert circle.where == ("f, line 1", "f, line 2", "f, line 3", "f, line 5")
    assert circle.told.count(">") == 3
    pairs = pairs_of(lines)
    assert (pairs.circles, pairs.contradictory, len(pairs.pairs)) == (1, 1, 5)
    assert pairs.told == "5 pairs; left out: 1 that others contradict; in a circle: 1"


def test_a_draw_is_told_once():
    (found,) = contradictions([judged("ab", (1, 2)), judged("ba", (1, 2))])
    assert (set(found.answers), found.votes) == ({"a", "b"}, (1, 1))


def test_a_knot_with_two_circles_tells_each_answer_once():
    pairs = ("ab", "bc", "ca", "xy", "yz", "zx", "ax")
    found = contradictions([judged(pair, (1, 2)) for pair in pairs])
    assert sorted("".join(sorted(each.answers)) for each in found) == ["abc", "xyz"]
    # b over d over a closes another circle, of which a and b are told already.
    (found,) = contradictions([judged(pair, (1, 2)) for pair in ("ab", "bc", "ca", "bd", "da")])
    assert len(found.answers) == 3


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), max_size=12))
def test_a_circle_is_found_exactly_where_there_is_one(said):
    lines = [judged(pair, (1, 2)) for pair in said if pair[0] != pair[1]]
    votes = defaultdict(int)
    for line in lines:
        votes[line.answers] += 1
    over = {pair for pair in permutations("abcd", 2) if votes[pair] > votes[pair[::-1]]}
    there = any(
        all(step in over for step in zip(ring, ring[1:] + ring[:1], strict=True))
        for size in (3, 4)
        for ring in permutations("abcd", size)
    )
    rings = [found.answers for found in contradictions(lines) if len(found.answers) > 2]
    assert bool(rings) == there
    for ring in rings:
        assert set(zip(ring, ring[1:] + ring[:1], strict=True)) <= over


@given(st.lists(st.lists(st.integers(1, 4), min_size=2, max_size=6), min_size=1, max_size=4))
def test_a_pair_for_every_two_answers_that_differ_in_rank(scores):
    lines = [
        judged([f"{n}.{i}" for i in range(len(each))], ranks_by_score(each), prompt=str(n))
        for n, each in enumerate(scores)
    ]
    pairs = pairs_of(lines)
    assert len(pairs.pairs) + pairs.ties == sum(len(each) * (len(each) - 1) // 2 for each in scores)
    for pair in pairs.pairs:
        number, i = map(int, pair.chosen.split("."))
        j = int(pair.rejected.split(".")[1])
        assert number == pair.group and scores[number][i] > scores[number][j]


def test_no_prompt_stands_on_both_sides(shared_data):
    lines = read_judged(shared_data / "instructions" / "oasst_en_100_tree.jsonl")
    training, held_out = split(lines, 0.3)
    assert len(training) + len(held_out) == len(lines)
    assert not {each.asked for each in training} & {each.asked for each in held_out}
    assert not {json.dumps(each.messages) for each in training} & {json.dumps(each.messages) for each in held_out}
    assert 0.15 < len(held_out) / len(lines) < 0.45
    # A prompt falls where it does whatever else there is.
    assert split(lines[::2], 0.3)[1] == [each for each in lines[::2] if each in held_out]


def test_too_few_prompts_to_hold_any_out():
    with pytest.raises(DataError, match="too few prompts") as error:
        split([judged("ab", (1, 2))] * 3, 0.5)
    assert "1 prompts" in str(error.value)
