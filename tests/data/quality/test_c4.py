"""C4's rules for pages."""

import pytest

from trivium.data.quality import C4Config
from trivium.data.quality.c4 import judge
from trivium.data.quality.statistics import measure

PAGE = "One thing is said here. Then comes another! Is it enough?"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (PAGE, None),
        ("One thing is said here. Then comes another!", "c4: too few sentences"),
        (PAGE + " lorem, ipsum.", None),
        (PAGE + " Lorem Ipsum dolor.", "c4: lorem ipsum"),
        (PAGE + " (f(x) = [1])", None),
        (PAGE + " function() {", "c4: curly bracket"),
        ("", "c4: too few sentences"),
    ],
)
def test_pages(text: str, rule: str | None) -> None:
    assert judge(measure(text), C4Config()).rule == rule


def test_thresholds_are_the_reference_code() -> None:
    assert C4Config().sentences_min == 3
    lax = C4Config(sentences_min=0, curly_brackets_max=1, lorem_ipsum=True)
    assert judge(measure("lorem ipsum {"), lax).rule is None
    assert judge(measure("lorem ipsum {{"), lax).rule == "c4: curly bracket"
