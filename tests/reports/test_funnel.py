"""The page about a prepared folder: what it counts and what it names."""

from dataclasses import asdict
from typing import Any

from trivium.data.balance import Balance, Size
from trivium.data.mixtures import Mixture, plan
from trivium.reports.funnel import funnel_page, funnel_text, left_after
from trivium.reports.page import render

ROWS: list[dict[str, Any]] = [
    {"stage": "file passed over", "rule": "file passed over", "bytes": 0, "documents_removed": 3, "examples": []},
    {"stage": "cleaning", "rule": "cleaned", "bytes": 5, "documents_changed": 4, "examples": []},
    {"stage": "duplicate", "rule": "duplicate", "bytes": 50, "documents_removed": 2, "examples": [{"id": "<a>"}]},
]


def manifest(**more: Any) -> dict[str, Any]:
    side = {"documents": 4, "tokens": 100, "text_bytes": 400}
    source = {"source": "notes", "documents": 10, "bytes": 1000, "licences": {"MIT": 10}, "sha256": "ab" * 32}
    facts = {"documents_in": 10, "documents_out": 8, "bytes_in": 1000, "bytes_out": 800, "split": "group"}
    return {**facts, "sides": {"train": side, "validation": side}, "sources": [source], **more}


def test_what_is_left_after_each_rule_that_removes() -> None:
    assert left_after(manifest(), ROWS) == [("read", 10, 0), ("duplicate", 8, 2)]
    page = render(funnel_page(manifest(), ROWS))
    assert "were kept, 80.0%" in page
    assert "&lt;a&gt;" in page and "<a>" not in page
    # A single book is two documents of the shards, its beginning and its end; it is one that was kept.
    book = render(funnel_page(manifest(documents_in=1, documents_out=2), []))
    assert "were kept, 100.0%" in book


def test_the_balance_is_shown_where_it_says_something() -> None:
    balance = Balance()
    for language, size in (("en", 900), ("sw", 100)):
        balance.add({"language": language, "source": "notes"}, Size(documents=1, bytes=size, tokens=size // 4))
    page = render(funnel_page(manifest(balance=balance.to_json()), ROWS))
    assert "By language" in page and "10.0%" in page
    assert "By source" not in page and "By label" not in page


def test_the_terminal_is_told_without_examples() -> None:
    balance = Balance()
    for language, size in (("en", 900), ("sw", 100)):
        balance.add({"language": language}, Size(documents=1, bytes=size, tokens=size // 4))
    assert funnel_text(manifest(balance=balance.to_json()), ROWS).splitlines() == [
        "read               10 documents  1,000 bytes",
        "duplicate                    −2       8 left",
        "to train on          100 tokens    400 bytes",
        "held out by group    100 tokens    400 bytes",
        "changed: cleaned 4",
        "passed over: 3 files or records; passed_over.jsonl says which, and why",
        "",
        "by language",
        "en   1 documents  225 tokens   90.0%",
        "sw   1 documents   25 tokens   10.0%",
        "all  2 documents  250 tokens  100.0%",
    ]


def test_a_mixture_says_what_was_wanted_and_what_there_is() -> None:
    parts = plan({"web": 1000, "code": 10}, Mixture(weights={"web": 1, "code": 1}, total_tokens=500)).parts
    page = render(funnel_page(manifest(mixture={name: asdict(part) for name, part in parts.items()}), ROWS))
    assert "4.000" in page and page.count("50.00%") == 2
    assert "to learn from 500 tokens in all" in page
    assert "More of these was wanted than so many passes give: code." in page
    assert "The mixture" not in render(funnel_page(manifest(mixture=None), ROWS))
