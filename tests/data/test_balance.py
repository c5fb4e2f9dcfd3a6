"""Counts, shares and factors, against figures computed by hand."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.balance import (
    Size,
    by_temperature,
    count,
    factors,
    inverse_frequency,
    shares,
    table,
    tempered,
    value_of,
)
from trivium.data.documents import Document
from trivium.errors import ConfigError, DataError

SIZES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 10**12), min_size=1, max_size=8)


def document(text: str, origin: str, group: str = "g") -> Document:
    return Document(id=text, text=text, origin=origin, kind="text", group=group)


def test_counts_are_of_documents_bytes_and_tokens() -> None:
    documents = [document("one", "a"), document("zwölf", "b"), document("three", "b", "h")]
    counted = count(documents, "source", tokens=[1, 2, 3])
    assert counted == {"b": Size(documents=2, bytes=11, tokens=5), "a": Size(documents=1, bytes=3, tokens=1)}
    assert list(counted) == ["b", "a"]
    assert count(iter(documents), "group") == {"g": Size(documents=2, bytes=9), "h": Size(documents=1, bytes=5)}
    assert count(documents, "language") == {"unknown": Size(documents=3, bytes=14)}
    assert count([], "label") == {}


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean language"):
        value_of(document("x", "a"), "langage")


def test_the_table_has_a_line_for_each_and_the_total() -> None:
    lines = table({"en": Size(documents=3, bytes=7500, tokens=1500), "de": Size(documents=1, bytes=2500)}).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["en", "3", "7,500", "1,500", "75.00%"],
        ["de", "1", "2,500", "0", "25.00%"],
        ["total", "4", "10,000", "1,500", "100.00%"],
    ]


def test_temperature_by_hand() -> None:
    sizes = {"en": 900, "sw": 100}
    # 0.9**0.5 : 0.1**0.5 is 3 : 1.
    assert tempered(sizes, 0.5) == pytest.approx({"en": 0.75, "sw": 0.25})
    assert tempered(sizes, 1) == pytest.approx({"en": 0.9, "sw": 0.1})
    assert tempered(sizes, 0) == pytest.approx({"en": 0.5, "sw": 0.5})
    assert by_temperature(sizes, 0.5) == pytest.approx({"en": 0.75 / 0.9, "sw": 2.5})


def test_factors_by_hand() -> None:
    sizes = {"en": 900, "sw": 100}
    assert inverse_frequency(sizes) == pytest.approx({"en": 5 / 9, "sw": 5})
    assert inverse_frequency(sizes, most=4) == pytest.approx({"en": 5 / 9, "sw": 4})
    assert factors(sizes, {"sw": 1, "en": 3}) == pytest.approx({"en": 0.75 / 0.9, "sw": 2.5})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: factors({"english": 1}, {"englsh": 1}), "did you mean english"),
        (lambda: factors({"en": 1, "de": 2}, {"en": 1}), "de, which only the sizes has"),
        (lambda: inverse_frequency({"en": 1}, most=0), "greatest factor"),
        (lambda: tempered({"en": 1}, -1), "exponent"),
        (lambda: tempered({"en": 10**9, "sw": 1}, 50), "leaves nothing to the smallest"),
        (lambda: inverse_frequency({"en": 1, "de": 0}), "de: 0"),
        (lambda: inverse_frequency({}), "no groups"),
        (lambda: shares({}), "something to be shares of"),
        (lambda: shares({"a": -1, "b": 2}), "something to be shares of"),
    ],
)
def test_what_is_impossible_is_refused(call, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        call()


@given(SIZES, st.floats(0, 2))
def test_factors_of_a_temperature_keep_the_whole(sizes: dict[str, int], exponent: float) -> None:
    assert sum(tempered(sizes, exponent).values()) == pytest.approx(1)
    found = by_temperature(sizes, exponent)
    assert sum(found[name] * sizes[name] for name in sizes) == pytest.approx(sum(sizes.values()))
    capped = by_temperature(sizes, exponent, most=1.5)
    assert all(capped[name] == min(found[name], 1.5) for name in sizes)


@given(SIZES)
def test_a_lower_exponent_never_takes_from_the_smallest(sizes: dict[str, int]) -> None:
    least = min(sizes, key=sizes.__getitem__)
    rising = [tempered(sizes, exponent)[least] for exponent in (1.0, 0.7, 0.3, 0.0)]
    assert all(one <= two + 1e-12 for one, two in itertools.pairwise(rising))
