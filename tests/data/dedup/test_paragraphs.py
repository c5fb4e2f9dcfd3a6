"""Paragraphs, lines and spans of sentences that come again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.dedup.paragraphs import ParagraphConfig, digests, repeated, without
from trivium.errors import ConfigError

LINES = ParagraphConfig(unit="line", minimum_characters=3)


def cleaned(texts: list[str], config: ParagraphConfig) -> list[str]:
    found = [digests(text, config) for text in texts]
    counts = [len(part) for part in found]
    gone = repeated(np.concatenate(found), np.repeat(np.arange(len(texts)), counts), config)
    return [
        without(text, part, config) for text, part in zip(texts, np.split(gone, np.cumsum(counts)[:-1]), strict=True)
    ]


def test_the_first_is_kept_and_later_ones_go() -> None:
    config = ParagraphConfig(minimum_characters=5)
    texts = ["First one.\n\nshared  text\nhere\n\nLast one.", "SHARED text here\n \nOther.", "* *\n\n* *\n\nOther."]
    assert cleaned(texts, config) == [texts[0], "Other.", "* *\n\n* *"]


def test_boilerplate_goes_everywhere_but_not_when_one_document_repeats_it() -> None:
    config = ParagraphConfig(unit="line", minimum_characters=3, boilerplate_documents=3)
    pages = [f"page {n}\naccept all cookies\nend {n}" for n in range(3)]
    assert cleaned(pages, config) == [f"page {n}\nend {n}" for n in range(3)]
    assert cleaned(["ho ho\n" * 5 + "end"], config) == ["ho ho\nend"]
    assert cleaned(pages[:2], config) == [pages[0], "page 1\nend 1"]


def test_three_sentences_go_together_as_in_c4() -> None:
    config = ParagraphConfig(unit="sentences", minimum_characters=0)
    first = "One is here. Two is here. Three is here. Four is here."
    assert cleaned([first, "New! Two is here. Three is here. Four is here. End."], config) == [first, "New! End."]
    # Two in a row are no span of three.
    assert cleaned([first, "New! Two is here. Three is here. End. More."], config)[1].startswith("New! Two is")
    assert len(digests("一。二。三。四。", config)) == 2


def test_short_lines_may_come_again() -> None:
    config = ParagraphConfig(unit="line", minimum_characters=10)
    assert cleaned(["Chapter I\nlong enough line"] * 2, config) == ["Chapter I\nlong enough line", "Chapter I"]


@given(st.lists(st.lists(st.sampled_from(["aaa", "bbb", "ccc", "d", " ", ""])).map("\n".join), min_size=1))
def test_lines_against_the_plain_way(texts: list[str]) -> None:
    seen: set[str] = set()
    expected = []
    for text in texts:
        kept = []
        for line in text.split("\n"):
            if len(line) >= 3 and line in seen:
                continue
            kept.extend([line] if line.strip() else [])
            seen.add(line)
        expected.append(kept)
    config = ParagraphConfig(unit="line", minimum_characters=3, boilerplate_documents=10**6)
    assert [[line for line in text.split("\n") if line.strip()] for text in cleaned(texts, config)] == expected


@pytest.mark.parametrize("unit", ["paragraph", "line", "sentences"])
@pytest.mark.parametrize("piece", ["\n", " ", "a", ". ", '"."', "a.\n\n", "\n \n"])
def test_hostile_lines_take_linear_time(unit: str, piece: str) -> None:
    config = ParagraphConfig(unit=unit)  # pyright: ignore[reportArgumentType]
    text = piece * (100_000 // len(piece))
    found = digests(text, config)
    assert len(without(text, np.ones(len(found), dtype=bool), config)) <= len(text)


@pytest.mark.parametrize("setting", [{"span_sentences": 0}, {"boilerplate_documents": 1}])
def test_settings_that_mean_nothing_are_refused(setting: dict) -> None:
    with pytest.raises(ConfigError):
        ParagraphConfig(**setting)
