"""The plane of quality and diversity: the verdict on top, every point where it belongs, and all of it in the table."""

import json
import re
from typing import Any

import pytest

from trivium.reports.page import Page, render
from trivium.reports.text_gan import Curve, CurvePoint, GeneratorFacts, generator_section

HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x>\"'&"


def curve(name: str, *costs: tuple[float, float], **measures: float) -> Curve:
    return Curve(
        name=name,
        points=[
            CurvePoint(
                temperature=1 - 0.2 * place,
                quality=(quality - 0.25, quality, quality + 0.5),
                diversity=(diversity, diversity, diversity),
                measures=measures,
            )
            for place, (quality, diversity) in enumerate(costs)
        ],
    )


CURVES = [curve("maximum likelihood", (8, 5), (7, 6), BLEU=0.25), curve("SeqGAN", (6, 9))]


def facts(**more: Any) -> GeneratorFacts:
    usual: dict[str, Any] = {
        "curves": CURVES,
        "verdicts": ["SeqGAN stays behind.", "So do others."],
        "quality": "NLL_oracle",
        "diversity": "NLL_test",
        "seeds": 3,
    }
    return GeneratorFacts(**usual | more)


def drawn(body: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json">(.*?)</script>', body)
    assert found is not None
    return json.loads(found.group(1))


def test_the_verdict_stands_first() -> None:
    section = generator_section(facts())
    assert section.title == "Quality and diversity"
    assert section.body.startswith('<p class="lead">SeqGAN stays behind.</p><p>So do others.</p>')
    assert "the mean of 3 runs" in section.body and "All is of one run" in generator_section(facts(seeds=1)).body


def test_points_and_their_intervals() -> None:
    description = drawn(generator_section(facts()).body)
    first, second = description["data"]
    assert (first["name"], first["x"], first["y"]) == ("maximum likelihood", [8, 7], [5, 6])
    assert first["text"] == ["temperature 1", "temperature 0.8"]
    assert first["error_x"]["array"] == [0.5, 0.5] and first["error_x"]["arrayminus"] == [0.25, 0.25]
    assert first["error_y"]["array"] == [0, 0] and first["error_x"]["symmetric"] is False
    assert (second["x"], second["y"]) == ([6], [9])
    assert description["layout"]["xaxis"]["title"]["text"] == "NLL_oracle"
    assert description["layout"]["yaxis"]["title"]["text"] == "NLL_test"


def test_every_curve_looks_like_no_other() -> None:
    many = [curve(f"model {i}", (i, i)) for i in range(16)]
    data = drawn(generator_section(facts(curves=many)).body)["data"]
    assert len({(trace["line"]["color"], trace["line"]["dash"]) for trace in data}) == 16


def test_real_text_is_a_star() -> None:
    star = drawn(generator_section(facts(ideal=(5.0, 5.5))).body)["data"][-1]
    assert (star["name"], star["x"], star["y"], star["mode"]) == ("real text", [5.0], [5.5], "markers")


def test_the_table_has_every_point() -> None:
    rows = re.findall(r"<tr>(<td.*?)</tr>", generator_section(facts()).body)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
    assert cells == [
        ["maximum likelihood", "1", "8.000 [7.750, 8.500]", "5.000", "0.250"],
        ["maximum likelihood", "0.8", "7.000 [6.750, 7.500]", "6.000", "0.250"],
        ["SeqGAN", "1", "6.000 [5.750, 6.500]", "9.000", ""],
    ]
    assert re.findall(r"<th(?: [^>]*)?>(.*?)</th>", generator_section(facts()).body) == [
        "",
        "temperature",
        "NLL_oracle",
        "NLL_test",
        "BLEU",
    ]


@pytest.mark.parametrize("field", ["name", "verdict", "axis"])
def test_what_comes_from_outside_is_text(field: str) -> None:
    more: dict[str, Any] = {
        "name": {"curves": [curve(HOSTILE, (1, 2), **{HOSTILE: 1.0})]},
        "verdict": {"verdicts": [HOSTILE]},
        "axis": {"quality": HOSTILE, "diversity": HOSTILE},
    }[field]
    page = render(Page(title="t", head="", sections=[generator_section(facts(**more))], foot=""))
    assert "<script>alert" not in page and "<img src=http" not in page
    described = drawn(generator_section(facts(**more)).body)
    assert "<img" not in json.dumps(described)  # Plotly would read it as a tag
