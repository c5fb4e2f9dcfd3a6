"""The table of what texts alone tell: every figure under its heading, and in words what it was measured with."""

import html
import re
from typing import Any

from trivium.reports.text_scores import ScoredTexts, TextScoreFacts, scores_section


def scored(name: str, by: float, *, sure: bool = False) -> ScoredTexts:
    width = 0.0 if sure else 0.25
    return ScoredTexts(
        name=name,
        forward=(by - width, by, by + width),
        reverse=(by + 1 - width, by + 1, by + 1 + width),
        frechet=(0.0125, 0.0125, 0.0125),
        unique={2: (0.25, 0.5, 0.75), 3: (0.5, 0.5, 0.5)},
    )


def facts(**changed: Any) -> TextScoreFacts:
    usual: dict[str, Any] = {
        "scored": [scored("real texts", 1.0, sure=True), scored("a <b> start", 2.0)],
        "judge": "an LSTM of width 7",
        "learnt_texts": 1234,
        "draw_texts": 500,
        "held_out_texts": 99,
    }
    return TextScoreFacts(**usual | changed)


def test_each_figure_stands_under_its_heading() -> None:
    body = scores_section(facts()).body
    headings = [html.unescape(each) for each in re.findall(r"<th(?: [^>]*)?>(.*?)</th>", body)]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(<td.*?)</tr>", body)]
    found = [dict(zip(headings, map(html.unescape, row), strict=True)) for row in rows]
    assert found == [
        {
            "": "real texts",
            "LM score": "1.000",
            "reverse LM score": "2.000",
            "Fréchet distance": "0.0125",
            "different 2-grams": "50.0% [25.0%, 75.0%]",
            "different 3-grams": "50.0%",
        },
        {
            "": "a <b> start",
            "LM score": "2.000 [1.750, 2.250]",
            "reverse LM score": "3.000 [2.750, 3.250]",
            "Fréchet distance": "0.0125",
            "different 2-grams": "50.0% [25.0%, 75.0%]",
            "different 3-grams": "50.0%",
        },
    ]


def test_the_sizes_are_told() -> None:
    said = scores_section(facts()).body
    assert "under an LSTM of width 7 that learnt from 1,234 real texts" in said
    assert "nats a token of 99 held-out real texts" in said and "learnt from 1,234 of the texts" in said
    assert "a draw of 500 texts" in said
