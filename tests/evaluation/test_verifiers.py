"""What a verifier gives for answers that are right, nearly right, wrong, and right by a trick."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from trivium.errors import ConfigError, DataError
from trivium.evaluation.verifiers import VERIFIERS, Trial, code_in, last_number, verifier, wanted_of
from trivium.training.rewards import Reward

PARTLY = Trial(partial=True)


def grade(name: str, wanted: Any, answer: str, trial: Trial | None = None) -> float:
    return verifier(name, wanted, trial=trial)(["prompt"], [answer])[0]


def test_a_verifier_is_a_reward() -> None:
    assert isinstance(verifier("contains", "x"), Reward)


def test_each_prompt_wants_its_own() -> None:
    sums = verifier("number", {"1 + 1?": 2, "2 + 2?": 4})
    assert sums(["2 + 2?", "1 + 1?", "1 + 1?"], ["It is 4.", "4", "2"]) == [1.0, 0.0, 1.0]
    with pytest.raises(DataError, match="nothing says what is wanted") as caught:
        sums(["3 + 3?"], ["6"])
    assert "3 + 3?" in str(caught.value)


NUMBERS = {
    "It is 42.": 42,
    "It is 42...": 42,
    "first 7, then 8": 8,
    "$1,234.50": Decimal("1234.50"),
    "1,234,567!": 1234567,
    "1,2,3": 3,
    "1,2345": 2345,
    "1, 2": 2,
    "10-3": 3,
    "10 - 3 = 7": 7,
    "x = -3": -3,
    "x = \u22123": -3,
    "-$5": -5,
    "f(2)-3": 3,
    "about .5": Decimal("0.5"),
    "see no.5": 5,
    "dots ...5": 5,
    "1e3": 1000,
    "1.5E-2 m": Decimal("0.015"),
    "1e": 1,
    "H2O": 2,
    "\\boxed{12}": 12,
    "#### 1,000": 1000,
    "1e99999999": 99999999,
}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items())
def test_the_last_number(text: str, number: Any) -> None:
    assert last_number(text) == number


@pytest.mark.parametrize("text", ["", "none at all", "...", "- $ ,"])
def test_no_number(text: str) -> None:
    assert last_number(text) is None
    assert grade("number", 0, text) == grade("number", 0, text, PARTLY) == 0.0


def test_numbers_are_equal_as_numbers() -> None:
    assert grade("number", "so she has\n#### 1,200", "It is $1200.00.") == 1.0
    assert grade("number", 0.1, "0.10") == 1.0
    assert grade("number", 12, "the 12 of them, or 13") == 0.0


def test_partial_credit_for_a_number_that_is_near() -> None:
    assert grade("number", 100, "90", PARTLY) == pytest.approx(0.9)
    assert grade("number", -100, "-125", PARTLY) == pytest.approx(0.75)
    assert grade("number", 0, "0.25", PARTLY) == pytest.approx(0.75)
    assert grade("number", 100, "1e999", PARTLY) == grade("number", 100, "-5", PARTLY) == 0.0


def test_exact_match() -> None:
    assert grade("exact_match", "Paris", " Paris\n") == 1.0
    assert grade("exact_match", "Paris", "paris") == 0.0
    assert grade("exact_match", ["Paris", "Lutetia"], "Lutetia") == 1.0
    assert grade("exact_match", "the big city", "a big town", PARTLY) == pytest.approx(0.5)


def test_contains() -> None:
    assert grade("contains", "Straße", "in der STRASSE") == 1.0
    assert grade("contains", ["red", "blue"], "Blue and green") == 0.0
    assert grade("contains", ["red", "blue"], "Blue and green", PARTLY) == 0.5


def test_format_is_of_the_whole_answer() -> None:
    wanted = r"<think>.*</think>\s*<answer>[^<]*</answer>"
    assert grade("format", wanted, "<think>\nwell\n</think>\n<answer>4</answer>\n") == 1.0
    assert grade("format", wanted, "<think></think><answer>4</answer> and more") == 0.0
    assert grade("format", wanted, "first <think></think><answer>4</answer>") == 0.0


def test_each_answer_has_its_own_format() -> None:
    formats = verifier("format", {"a": "a.b", "c": "[c]*"})
    asked = {"a\nb": "a", "ccc": "c", "": "c", "ab": "a", "\ud800": "c"}
    assert formats(list(asked.values()), list(asked)) == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert formats([], []) == []


def test_a_pattern_that_takes_too_long_is_named() -> None:
    """Without a limit this would end after years."""
    slow = verifier("format", {"fast": "x", "slow": "(a+)+b"}, trial=Trial(timeout_s=0.2))
    with pytest.raises(DataError, match=r"'\(a\+\)\+b': more than 0.2 s on 64 characters"):
        slow(["fast", "slow"], ["x", "a" * 64])


def test_length_in_words() -> None:
    assert [grade("length", [2, 3], "x " * n) for n in range(6)] == [0, 0, 1, 1, 0, 0]
    near = [grade("length", [2, 4], "x " * n, PARTLY) for n in (0, 1, 2, 4, 5, 6, 8, 9)]
    assert near == [0, 0.5, 1, 1, 0.75, 0.5, 0, 0]
    assert grade("length", "2-3", "x x") == grade("length", "3", "x x x") == 1.0 > grade("length", "3", "x x")
    assert grade("length", 3, "我们好") == 1.0  # one word a letter where no spaces part them


def test_the_program_in_an_answer() -> None:
    assert code_in("x = 1") == "x = 1"
    assert code_in("First\n```\nx = 1\n```\nbetter:\n```python\nx = 2\n```\ndone") == "x = 2\n"
    assert code_in("```py\nx = 3\n") == "x = 3\n"


SUM = "def add(a, b):\n    return a + b\n"
TESTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0\nassert add('a', 'b') == 'ab'"]


def test_a_program_is_run_with_its_tests() -> None:
    assert grade("program", TESTS, f"Here it is:\n```python\n{SUM}```\n") == 1.0
    assert grade("program", TESTS, SUM.replace("+", "-")) == 0.0
    assert grade("program", TESTS, SUM.replace("a + b", "abs(a) + b")) == 0.0
    assert grade("program", TESTS, "") == 0.0


def test_each_program_has_its_own_tests() -> None:
    both = verifier("program", {"add": TESTS, "twice": "assert twice(2) == 4"}, trial=PARTLY)
    twice = "def twice(a):\n    return 2 * a"
    assert both(["add", "twice", "twice", "add"], [SUM, twice, SUM, twice]) == [1.0, 1.0, 0.0, 0.0]


def test_partial_credit_for_the_tests_that_pass() -> None:
    assert grade("program", [*TESTS, "assert add(0, 0) == 0"], SUM.replace("a + b", "max(a, 0) + b"), PARTLY) == (
        pytest.approx(2 / 3)
    )


TRICKS = {
    "leaves": "raise SystemExit(0)",
    "leaves at once": "import os\nos._exit(0)",
    "says so": "print('passed')",
    "never ends": "while True: pass",
    "opens a text": 'x = """',
    "opens a bracket": "x = (",
    "begins a block that is skipped": "if False:",
    "goes on in a comment": "x = 1 # \\",
}


@pytest.mark.parametrize("code", TRICKS.values(), ids=TRICKS)
def test_a_program_that_does_not_reach_its_tests_has_not_passed(code: str) -> None:
    assert grade("program", "assert False", code, Trial(timeout_s=1.0)) == 0.0


WRONG = {
    "exact_match": [3, "", [], [""], None],
    "number": ["none", True, None, ""],
    "contains": [["x", ""], 1, b"x"],
    "format": ["(", 4, None],
    "length": [0, -1, [3, 2], [1], "long", "3-2", True, 2.0, None],
    "program": ["", [], 1],
}


@pytest.mark.parametrize(("name", "wanted"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_cannot_be_wanted_is_refused_with_its_prompt(name: str, wanted: Any) -> None:
    with pytest.raises(DataError) as caught:
        verifier(name, {"the prompt": wanted})
    assert f"{name} cannot want this after 'the prompt'" in str(caught.value)
    with pytest.raises(DataError, match="of every answer"):
        verifier(name, wanted)


def test_an_unknown_verifier_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean number"):
        verifier("numbr", 3)
    with pytest.raises(DataError, match="nothing to compare with"):
        verifier("number", {})


def test_every_verifier_is_tested_here() -> None:
    assert set(WRONG) == set(VERIFIERS)


def test_wanted_of_pairs() -> None:
    found: Mapping[str, Any] = wanted_of([("a", 1), ("b", [2, 3]), ("a", 1)])
    assert found == {"a": 1, "b": [2, 3]}
    with pytest.raises(DataError, match="two different answers"):
        wanted_of([("a", 1), ("a", 2)])
