"""Constitutions: ours, one's own, and every mistake in one told; draws that can be repeated; worked examples."""

import pathlib
from collections import Counter

import pytest

from trivium.errors import ConfigError, StorageError
from trivium.recipes.align.constitution.chance import seed_of
from trivium.recipes.align.constitution.exemplars import exemplars
from trivium.recipes.align.constitution.principles import SHIPPED, read_constitution

_ONE = """
  - name: kind
    critique_request: Is it unkind?
    revision_request: Make it kind.
    comparison: Which is kinder?
"""


def written(folder: pathlib.Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_ours_are_there_and_put_the_law_over_helpfulness():
    assert SHIPPED == ("company", "harmless")
    for name in SHIPPED:
        ranks = {each.name: each.priority for each in read_constitution(name).principles}
        assert len(ranks) >= 11 and len(set(ranks.values())) == len(ranks)
        assert ranks["lawful"] > ranks["privacy"] > ranks["not-evasive"]
    harmless = {each.name: each for each in read_constitution("harmless").principles}
    assert {"not-evasive", "helpful", "honest", "no-discrimination", "privacy"} <= set(harmless)
    assert {"no-legal-promises", "escalate-complaints", "tone"} <= {
        each.name for each in read_constitution("company").principles
    }


def test_a_part_of_a_constitution_is_chosen_by_tags():
    whole = read_constitution("harmless")
    assert whole.tagged(()) == whole
    chosen = [each.name for each in whole.tagged(("helpful", "privacy")).principles]
    assert chosen == ["privacy", "not-evasive", "helpful", "no-sermon"]
    with pytest.raises(ConfigError, match="no principle has this tag") as refused:
        whole.tagged(("helpfull",))
    assert refused.value.fix == "did you mean helpful?"


def test_ones_own_is_read_with_what_is_left_out_as_usual(tmp_path: pathlib.Path):
    (principle,) = read_constitution(written(tmp_path, f"principles:{_ONE}")).principles
    assert principle.name == "kind" and principle.priority == 0 and principle.tags == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("principles: []", "there are no principles"),
        ("about: nothing", "principles: this setting is missing"),
        (f"principles:{_ONE}{_ONE}", "principles must have names of their own"),
        (f"principles:{_ONE}    priorty: 3\n", "did you mean priority?"),
        (f"principles:{_ONE}    priority: high\n", "a whole number"),
        (f"principles:{_ONE}".replace("Is it unkind?", "' '"), "a principle has an empty critique_request"),
        (f"principles:{_ONE}".replace("    comparison: Which is kinder?\n", ""), "comparison: this setting is missing"),
        ("principles: [", "is not valid YAML"),
        (f"principles:{_ONE}    name: other\n", "name is set more than once"),
    ],
)
def test_every_mistake_is_told(text: str, expected: str, tmp_path: pathlib.Path):
    with pytest.raises(ConfigError) as refused:
        read_constitution(written(tmp_path, text))
    assert expected in str(refused.value)


def test_a_name_that_is_none_is_told_what_there_is(tmp_path: pathlib.Path):
    with pytest.raises(ConfigError, match="no such constitution") as refused:
        read_constitution("harmles")
    assert refused.value.fix == "did you mean harmless?"
    with pytest.raises(StorageError):
        read_constitution(str(tmp_path / "absent.yaml"))


def test_a_draw_depends_on_what_it_is_for_and_on_nothing_else():
    constitution = read_constitution("harmless")
    drawn = [constitution.drawn(2, 7, "revise", number) for number in range(400)]
    assert drawn == [constitution.drawn(2, 7, "revise", number) for number in range(400)]
    assert all(one != other for one, other in drawn)
    assert drawn != [constitution.drawn(2, 8, "revise", number) for number in range(400)]
    counts = Counter(one.name for one, _ in drawn)
    assert len(counts) == len(constitution.principles) and max(counts.values()) < 3 * min(counts.values())
    assert len(constitution.drawn(99, 7, "all")) == len(constitution.principles)
    # Written down, so that a later release goes on with the runs of this one.
    assert [each.name for each in constitution.drawn(2, 7, "revise", 17)] == ["no-discrimination", "care-in-distress"]
    assert seed_of(7, "answers", 17) == 464599729


def test_worked_comparisons_are_won_by_both_places_alike(tmp_path: pathlib.Path):
    ours = exemplars()
    assert [each.better for each in ours.comparisons] == ["A", "B", "A", "B"]
    better = [each.first if each.better == "A" else each.second for each in ours.comparisons]
    longer = [max(each.first, each.second, key=len) for each in ours.comparisons]
    assert sum(one == other for one, other in zip(better, longer, strict=True)) == 2
    path = tmp_path / "exemplars.yaml"
    one = "{asked: a, question: b, first: c, second: d, thoughts: e, better: A}"
    path.write_text(f"revisions: []\ncomparisons: [{one}, {one}]")
    with pytest.raises(ConfigError, match="mostly won by one place"):
        exemplars(path)
