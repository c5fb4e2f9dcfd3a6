"""Counts, shares and temperatures, against figures computed by hand."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.balance import NAMED, Balance, Size, shares, table, tempered
from trivium.errors import ConfigError, DataError

SIZES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 10**12), min_size=1, max_size=8)


def test_counts_are_of_documents_bytes_and_tokens() -> None:
    balance = Balance()
    balance.add({"source": "a", "group": "g"}, Size(documents=1, bytes=3, tokens=1))
    balance.add({"source": "b", "group": "g"}, Size(documents=1, bytes=6, tokens=2))
    balance.add({"source": "b", "group": "h", "label": None}, Size(documents=1, bytes=5, tokens=3))
    counted = balance.sizes("source")
    assert counted == {"b": Size(documents=2, bytes=11, tokens=5), "a": Size(documents=1, bytes=3, tokens=1)}
    assert list(counted) == ["b", "a"]
    assert balance.sizes("group") == {
        "g": Size(documents=2, bytes=9, tokens=3),
        "h": Size(documents=1, bytes=5, tokens=3),
    }
    assert balance.sizes("language") == {"unknown": Size(documents=3, bytes=14, tokens=6)}
    assert Balance().sizes("label") == {}


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean language"):
        Balance().sizes("langage")


def test_the_table_has_a_line_for_each_and_the_total() -> None:
    balance = Balance()
    balance.add({"language": "de"}, Size(documents=1, bytes=2500))
    balance.add({"language": "en"}, Size(documents=3, bytes=7500, tokens=1500))
    assert table(balance.to_json()["language"]) == [
        ("en", Size(documents=3, bytes=7500, tokens=1500), 0.75),
        ("de", Size(documents=1, bytes=2500), 0.25),
        ("all", Size(documents=4, bytes=10_000, tokens=1500), 1.0),
    ]


def test_of_many_names_the_largest_are_told_and_the_others_together() -> None:
    balance = Balance()
    for number in range(NAMED + 10):
        balance.add({"group": f"page{number}"}, Size(documents=1, bytes=100 + number))
    told = balance.to_json()["group"]
    assert told["names"] == NAMED + 10
    assert next(iter(told["largest"])) == f"page{NAMED + 9}" and "page9" not in told["largest"]
    assert told["others"] == {"documents": 10, "bytes": sum(range(100, 110)), "tokens": 0}
    *_, others, total = table(told, most=NAMED)
    assert others[0] == "10 others" and total[1].documents == NAMED + 10
    *few, others, again = table(told, most=3)
    assert len(few) == 3 and others[0] == f"{NAMED + 7} others" and again == total
    assert others[1].documents == NAMED + 7


def test_temperature_by_hand() -> None:
    sizes = {"en": 900, "sw": 100}
    # 0.9**0.5 : 0.1**0.5 is 3 : 1.
    assert tempered(sizes, 0.5) == pytest.approx({"en": 0.75, "sw": 0.25})
    assert tempered(sizes, 1) == pytest.approx({"en": 0.9, "sw": 0.1})
    assert tempered(sizes, 0) == pytest.approx({"en": 0.5, "sw": 0.5})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tempered({"en": 1}, -1), "exponent"),
        (lambda: tempered({"en": 10**9, "sw": 1}, 50), "leaves nothing to the smallest"),
        (lambda: tempered({"en": 1, "de": 0}, 0), "de: 0"),
        (lambda: tempered({}, 0), "no sizes"),
        (lambda: shares({}), "something to be shares of"),
        (lambda: shares({"a": -1, "b": 2}), "something to be shares of"),
    ],
)
def test_what_is_impossible_is_refused(call, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        call()


@given(SIZES, st.floats(0, 2))
def test_shares_of_a_temperature_sum_to_one(sizes: dict[str, int], exponent: float) -> None:
    assert sum(tempered(sizes, exponent).values()) == pytest.approx(1)


@given(SIZES)
def test_a_lower_exponent_never_takes_from_the_smallest(sizes: dict[str, int]) -> None:
    least = min(sizes, key=sizes.__getitem__)
    rising = [tempered(sizes, exponent)[least] for exponent in (1.0, 0.7, 0.3, 0.0)]
    assert all(one <= two + 1e-12 for one, two in itertools.pairwise(rising))
