"""The report holds every section, loads nothing from outside, and shows hostile text as text."""

import dataclasses
import html.parser
import re

import pytest

from trivium.errors import StorageError
from trivium.reports import parts
from trivium.reports.page import render, write
from trivium.reports.quickstart import (
    AFTER,
    ASKED_ALIKE,
    BEFORE,
    COPIED,
    InsideFacts,
    LearningFacts,
    QuickstartFacts,
    TextFacts,
    TuningFacts,
    quickstart_page,
)

HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x>\"'&"

FACTS = QuickstartFacts(
    machine="a machine",
    decisions=[("model", "2 layers", HOSTILE)],
    text=TextFacts(
        source="text",
        documents_in=10,
        documents_out=8,
        bytes_in=1000,
        bytes_out=900,
        removed={"duplicate": 2},
        splits={"train": (7, 300), "validation": (1, 40)},
        pieces=["function", HOSTILE],
        vocabulary_size=512,
    ),
    learning=LearningFacts(
        parameters=123_456,
        tokens=2048,
        steps=2,
        tokens_per_second=100.0,
        train=[(1, 3.0), (2, 2.5)],
        validation=[(2, 2.6)],
        bits_per_byte={"unigram": 3.0, "bigram": 2.2, "xz": 1.9, "this model": 2.0},
    ),
    inside=InsideFacts(
        kinds=[("space", 1.0, 0.5), ("digit", 4.0, 3.0)],
        shaded=[("ab", 1.0), (HOSTILE, 9.0)],
        guesses=[(HOSTILE, "x", [("x", 0.5), (" y", 0.25)])],
        maps=[("layer 1, head 1", ["a", HOSTILE], [[1.0, 0.0], [0.25, 0.75]])],
        neighbours=[("ab", [(HOSTILE, 0.5)])],
        samples=[(0.0, HOSTILE, HOSTILE)],
    ),
    tuning=TuningFacts(
        tries=24,
        pairs=100,
        held_out=10,
        scores={ASKED_ALIKE: 5.0, BEFORE: 10.0, COPIED: 20.0, AFTER: 30.0},
        bits=(2.0, 1.5),
        examples=[(HOSTILE, "truth", "before", "after", "copied")],
    ),
    stages=[("prepare", 1.0, 100.0), ("train", 2.0, 200.0)],
    commands=[("Talk", "trivium chat model")],
)


class Elements(html.parser.HTMLParser):
    """Every element with its attributes, and the text of scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page() -> str:
    return render(quickstart_page(FACTS))


def test_every_section_is_there_and_linked(page: str):
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert len(titles) == 12
    anchors = [attributes["id"] for tag, attributes in Elements(page).found if tag == "section"]
    links = [a["href"] for tag, a in Elements(page).found if tag == "a"]
    assert links == [f"#{anchor}" for anchor in anchors]
    for word in ("bits per byte", "unigram", "xz", "after tuning", "MiB", "trivium chat model"):
        assert word in page


def test_nothing_is_loaded_from_outside(page: str):
    for tag, attributes in Elements(page).found:
        assert tag not in ("img", "link", "iframe", "object", "embed", "video", "audio")
        assert not any(name in attributes for name in ("src", "srcset", "data", "action"))
        assert (attributes.get("href") or "#").startswith("#")
    assert "default-src 'none'" in page
    assert "@import" not in page and not re.search(r"url\(\s*['\"]?https?:", page.split("<script>")[0])


def test_hostile_text_stays_text(page: str):
    scripts = [attributes for tag, attributes in Elements(page).found if tag == "script"]
    drawings = sum(attributes.get("type") == "application/json" for attributes in scripts)
    assert len(scripts) == drawings + 2  # the library and the drawing of charts
    assert "<script>alert" not in page and "<img" not in page.split("<script>")[0]


def test_it_is_one_file_of_a_size_to_mail(page: str):
    assert len(page.encode()) < 6_000_000


def test_without_tuning_there_is_no_section_of_it():
    page = render(quickstart_page(dataclasses.replace(FACTS, tuning=None)))
    assert "Taught to summarise" not in page


def test_only_what_was_beaten_is_claimed(page: str):
    assert "better than unigram and bigram" in page


def test_heatmap_hides_the_future():
    drawing = parts.heatmap([[1.0, 0.5], [0.25, 0.75]], ["a", "b"], label="l", caption="c")
    assert '"z": [[1.0, null], [0.25, 0.75]]' in drawing


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="report cannot be written"):
        write(quickstart_page(FACTS), tmp_path / "file" / "report.html")


@pytest.mark.parametrize(("values", "expected"), [([0.001, 0.001], "[0.0, 0.002]"), ([-2.0], "[-4.0, 0.0]")])
def test_what_stays_the_same_is_seen_for_what_it_is(values: list[float], expected: str) -> None:
    """A rate of 0.001 drawn between -1 and 1 would be 0."""
    shown = {"x": "step", "y": "", "label": "rate", "caption": "rate"}
    flat = parts.lines([("rate", "first", [1.0, 2.0][: len(values)], values)], **shown)
    assert f'"range": {expected}' in flat
    moving = parts.lines([("rate", "first", [1.0, 2.0], [0.001, 0.002])], **shown)
    assert '"range"' not in moving
