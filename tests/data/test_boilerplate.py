"""Lines that are no text are removed, each counted for the rule that it broke."""

import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bounded import computing_at_most
from trivium.data.boilerplate import BoilerplateConfig, strip_boilerplate, strip_running_heads
from trivium.data.cleaning import clean

C4 = BoilerplateConfig()
NOTHING = BoilerplateConfig(
    finished=False, words_min=0, word_characters_max=0, javascript=False, policies=False, citations=False
)
NAVIGATION = BoilerplateConfig(finished=False, words_min=0, navigation=True)
GOOD = "This line has five words."


@pytest.mark.parametrize(
    ("line", "neighbour", "rule"),
    [
        ("This line has no end", "This line has an end!", "no end of a sentence"),
        ("This line trails off ...", 'This line ends in "quotes"', "no end of a sentence"),
        ("Only four words here.", "Here are five whole words.", "too few words"),
        ("Please enable JavaScript to see this.", "Please enable Java to see this.", "javascript"),
        ("We may use cookies to do so.", "We may bake cookies to do so.", "policy"),
        ("Our Privacy Policy is long and dull.", "Our privacy is long and dull.", "policy"),
        (f"One two three {'a' * 1001} four.", f"One two three {'a' * 999}. four.", "word too long"),
    ],
)
def test_rules_of_c4(line: str, neighbour: str, rule: str) -> None:
    result = strip_boilerplate(f"{GOOD}\n{line}\n{neighbour}", C4)
    assert result.text == f"{GOOD}\n{neighbour}"
    assert result.removed == {rule: 1}
    untouched = strip_boilerplate(line, NOTHING)
    assert (untouched.text, untouched.removed) == (line, {})


@pytest.mark.parametrize(
    ("line", "neighbour"),
    [
        ("Home | News | About us", "Either this | or that of the two"),
        ("Sign in", "Sign here and there"),
        ("Read more...", "Read more of it, she said"),
        ("12 likes", "12 likes were not enough"),
        ("3 hours ago", "3 hours ago it rained"),
        ("© 2024 Example Ltd", "The sign © means that somebody asks for copyright"),
        ("SALE ON NOW", "NATO met on Monday evening"),
        ("1 234 567", "1 234 567 people"),
        ("Next", "Next came"),
        ("0 items in cart", "Few items in it"),
    ],
)
def test_navigation(line: str, neighbour: str) -> None:
    result = strip_boilerplate(f"{line}\n{neighbour}", NAVIGATION)
    assert result.text == neighbour
    assert result.removed == {"navigation": 1}


def test_citations_go_and_their_lines_stay() -> None:
    text = "It rains here a lot.[12] So they say.[citation needed]\n[1]\nHistory of the rain in town [edit]"
    result = strip_boilerplate(text, C4)
    assert result.text == "It rains here a lot. So they say."
    assert result.removed == {"citation": 1, "no end of a sentence": 1}
    kept = "An array a[3] is not cited here at all."
    assert strip_boilerplate(kept, BoilerplateConfig(citations=False)).text == kept


def test_blank_lines_stay_where_text_stands_on_both_sides() -> None:
    text = f"Menu\n\n{GOOD}\n\nMenu\n\n\nMenu\n\n{GOOD} Two.\n\n\n{GOOD} Three.\n\nMenu"
    result = strip_boilerplate(text, C4)
    assert result.text == f"{GOOD}\n\n{GOOD} Two.\n\n\n{GOOD} Three."
    assert result.removed == {"no end of a sentence": 4}


def test_repeated_lines() -> None:
    config = BoilerplateConfig(finished=False, words_min=0, repeats_max=2)
    pages = "\n".join(f"Page {n} of 40\nText number {'x' * n} is here" for n in range(1, 6))
    result = strip_boilerplate(pages, config)
    assert result.removed == {"repeated": 3}
    assert result.text.startswith("Page 1 of 40\n") and "Page 3" not in result.text and result.text.count("Text") == 5
    assert strip_boilerplate(result.text, config).removed == {}


def test_running_heads() -> None:
    pages = [f"The Whale - {n}\n\nText {'of a page ' * n}\nThe Whale, 1851\n" for n in range(1, 6)]
    pages[2] = "A plate\nwithout a head\n"
    stripped, removed = strip_running_heads(pages)
    assert removed == 8
    assert stripped[0] == "Text of a page "
    assert stripped[2] == "A plate\nwithout a head"
    assert strip_running_heads(pages[:2]) == (pages[:2], 0)
    assert strip_running_heads(["", "", ""]) == (["", "", ""], 0)
    different = [f"Chapter {name}\ntext {name}" for name in ("one", "two", "three")]
    assert strip_running_heads(different) == (different, 0)


LINES = st.lists(
    st.sampled_from(["", " ", GOOD, "Menu", "Home | A | B", "use cookies for it all.", "A b c d e.[3]", "[4]"])
)


@given(LINES, st.sampled_from([C4, NAVIGATION, NOTHING, BoilerplateConfig(finished=False, repeats_max=1)]))
def test_doing_it_twice_changes_nothing_more(lines: list[str], config: BoilerplateConfig) -> None:
    once = strip_boilerplate("\n".join(lines), config)
    twice = strip_boilerplate(once.text, config)
    assert (twice.text, twice.removed) == (once.text, {})
    left = len(once.text.split("\n")) if once.text else 0
    assert left + sum(once.removed.values()) <= len(lines)


def test_documents_of_c4_lose_nothing(shared_data: pathlib.Path) -> None:
    records = (shared_data / "web_text" / "c4_demo.jsonl").read_text(encoding="utf-8").splitlines()
    for record in records:
        text = clean(json.loads(record)["text"])
        assert strip_boilerplate(text, C4).removed == {}


@pytest.mark.parametrize("unit", ["[", "[1", " ", "| ", "A", "1", "a b. ", ".", "read more ", "\n", "a b c d e.\n"])
def test_hostile_lines(unit: str) -> None:
    text = (unit * 300_000)[:300_000]
    unlike = BoilerplateConfig(finished=False, word_characters_max=0, navigation=True, repeats_max=3)
    with computing_at_most(30):  # 1.5 s at most here, and less than 0.1 s on one line
        strip_boilerplate(text, BoilerplateConfig(navigation=True, repeats_max=3))
        strip_boilerplate(text, unlike)
