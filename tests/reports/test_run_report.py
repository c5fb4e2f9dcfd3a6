"""The page of a run: the figures it was given, drawn from inside the file alone, and text that stays text."""

import dataclasses
import html.parser
import json
import math
import re

import pytest

from trivium.reports import parts
from trivium.reports.page import render
from trivium.reports.recurrent import GateFacts, LagCurve, gate_section, lag_section
from trivium.reports.run import SCORE, RunFacts, run_page
from trivium.reports.translation import Looks, Translated, translation_sections

HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x>\"'&"


def row(step: int, **more: float | None) -> dict[str, float | int | None]:
    """A line of metrics.jsonl."""
    usual = {
        "step": step,
        "tokens": 1000.0 * step,
        "seconds": 2.0 * step,
        "loss": 5.0 / step,
        "validation_loss": None,
        "learning_rate": 0.25 / step,
        "gradient_norm": 0.75,
        "tokens_per_second": 512.0,
        "skipped": 0,
    }
    return usual | more


FACTS = RunFacts(
    name="first-try",
    architecture="lstm",
    paper=f"somebody 1997 {HOSTILE}",
    machine="a machine",
    parameters=1_234_567,
    metrics=[row(1), row(2, validation_loss=2.0), row(4, validation_loss=1.5), row(5, validation_loss=1.75)],
    settings={"steps": 5, "model": {"width": 64, "name": HOSTILE, "size": None}},
    samples=[(HOSTILE, HOSTILE)],
)
CURVES = [
    LagCurve(name="layer 1", norms=[(0.5, 1.0, 2.0), (0.25, 0.5, 1.0), (0.0, 0.25, 0.5)], factor=0.5),
    LagCurve(name="layer 2", norms=[(1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)], factor=1.0),
]
GATES = [
    GateFacts(
        layer=1,
        gate=gate,
        sentence=[(0.123, 0.5, 0.25), (0.875, 0.0, 0.75)],
        units=[(0.125, 0.375), (0.625, 0.25)],
        mean=0.4321,
    )
    for gate in ("reset", "update")
]
TRANSLATED = [
    Translated(
        source="ein Hund",
        reference="a dog",
        translation=HOSTILE,
        looks=Looks(source=["ein", " Hund"], target=["a", HOSTILE], weights=[[0.9, 0.1], [0.2, 0.8]]),
    ),
    Translated(source="zwei", reference="two", translation="three", looks=None),
]


class Elements(html.parser.HTMLParser):
    """Every element with its attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def drawings(page: str) -> list[dict]:
    """What is drawn, as the library gets it."""
    return [json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', page)]


@pytest.fixture(scope="module")
def page() -> str:
    sections = [
        lag_section(CURVES, 64),
        gate_section(GATES, ["the", "<unk>"]),
        *translation_sections(TRANSLATED),
    ]
    return render(run_page(FACTS, sections))


def test_what_every_run_has(page: str):
    for words in ("first-try", "1.23 M", "5,000", "10 s", "1.500", "perplexity of 4.5", "model.width", "none"):
        assert words in page
    loss = drawings(page)[0]
    assert [trace["y"] for trace in loss["data"]] == [[5.0, 2.5, 1.25, 1.0], [2.0, 1.5, 1.75]]
    assert loss["data"][1]["x"] == [2, 4, 5]
    assert loss["layout"]["xaxis"]["ticktext"][-1] == "5<br>5,000"
    small = [drawing["data"][0] for drawing in drawings(page)[1:4]]
    assert [trace["name"] for trace in small] == ["learning rate", "norm of the gradient", "tokens a second"]
    assert small[0]["y"] == [0.25, 0.125, 0.0625, 0.05]


def test_skipped_steps_are_told_where_there_are_some(page: str):
    assert "skipped" not in page.split("<script>")[0]
    some = dataclasses.replace(FACTS, metrics=[row(1), row(2, skipped=3)])
    assert "steps skipped" in render(run_page(some)).split("<script>")[0]


def test_the_curves_are_those_given(page: str):
    (drawing,) = [d for d in drawings(page) if d["layout"]["yaxis"].get("type") == "log"]
    assert [trace["y"] for trace in drawing["data"][:3]] == [[0.5, 0.25, None], [1.0, 0.5, 0.25], [2.0, 1.0, 0.5]]
    assert [trace["showlegend"] for trace in drawing["data"]] == [False, True, False] * 2
    assert drawing["layout"]["yaxis"]["dtick"] == "D2"
    assert "0.500" in page and "1.0 tokens" in page and "never" in page and "64 places" in page


def test_the_gates_are_those_given(page: str):
    maps = [d for d in drawings(page) if d["data"][0]["type"] == "heatmap"]
    gates = maps[0]
    assert gates["data"][0]["z"] == [[0.123, 0.875]] * 2
    assert gates["data"][0]["text"][0][1] == "0% of units below 0.1, 75% above 0.9"
    assert gates["layout"]["yaxis"]["ticktext"] == ["reset", "update"]
    assert gates["layout"]["xaxis"]["ticktext"] == ["the", "&lt;unk&gt;"]  # else the library would leave it out
    clouds = [d for d in drawings(page) if d["data"][0].get("mode") == "markers"]
    assert clouds[0]["data"][0]["x"] == [0.125, 0.625] and clouds[0]["data"][0]["y"] == [0.375, 0.25]
    assert "0.43" in page


def test_translations_stand_side_by_side_with_their_maps(page: str):
    text = page.split("<script>")[0]
    assert text.index("ein Hund") < text.index("a dog") < text.index("three")
    maps = [d["data"][0]["z"] for d in drawings(page) if d["data"][0]["type"] == "heatmap"]
    assert maps[1:] == [[[0.9, 0.1], [0.2, 0.8]]]


def test_nothing_is_loaded_from_outside(page: str):
    for tag, attributes in Elements(page).found:
        assert tag not in ("img", "link", "iframe", "object", "embed", "video", "audio")
        assert not any(name in attributes for name in ("src", "srcset", "data", "action"))
        assert (attributes.get("href") or "#").startswith("#")
    assert "default-src 'none'" in page


def test_hostile_text_stays_text(page: str):
    scripts = [attributes for tag, attributes in Elements(page).found if tag == "script"]
    assert len(scripts) == len(drawings(page)) + 2  # the library and the drawing of charts
    assert "<script>alert" not in page


def test_a_run_of_which_nothing_was_logged_yet():
    page = render(run_page(dataclasses.replace(FACTS, metrics=[], samples=())))
    assert "What was asked" in page and "How it learnt" not in page


def test_a_run_of_one_logged_step_and_of_very_many():
    assert "How it learnt" in render(run_page(dataclasses.replace(FACTS, metrics=[row(1)])))
    many = run_page(dataclasses.replace(FACTS, metrics=[row(step) for step in range(1, 5001)]))
    xs = drawings(render(many))[0]["data"][0]["x"]
    assert len(xs) <= 1500 and xs[-1] == 5000


def test_other_losses_have_no_perplexity():
    page = render(run_page(dataclasses.replace(FACTS, loss_of="a label")))
    assert "nats a label" in page and "perplexity" not in page.split("<script>")[0]


def test_a_gradient_too_small_to_tell_is_not_told():
    curve = LagCurve(name="layer 1", norms=[(1.0, 1.0, 1.0), (0.0, 0.0, 0.0)], factor=0.0)
    assert "less than can be told" in lag_section([curve], 1).body


def test_many_decades_are_told_by_few_numbers_and_what_is_infinite_by_none():
    norms = [(10.0**-k, 10.0**-k, 10.0**-k) for k in range(30)]
    curve = LagCurve(name="layer 1", norms=[*norms, (math.inf, math.nan, math.inf)], factor=0.1)
    (drawing,) = drawings(lag_section([curve], 1).body)
    assert drawing["layout"]["yaxis"]["dtick"] == 4
    assert [trace["y"][-1] for trace in drawing["data"]] == [None] * 3


def test_a_grid_may_be_longer_than_wide():
    drawing = parts.grid([[0.5], [1.0]], ["a b", "c"], ["d"], label="l", caption="c")
    (drawn,) = drawings(drawing)
    assert drawn["data"][0]["z"] == [[0.5], [1.0]]
    assert drawn["layout"]["yaxis"]["ticktext"] == ["a␣b", "c"] and "scaleanchor" not in drawn["layout"]["yaxis"]


def test_a_score_is_no_loss():
    """What a policy's answers are worth stands in the head with its own sign, and is drawn elsewhere."""
    scored = dataclasses.replace(FACTS, loss_of=SCORE, metrics=[row(1, validation_loss=-3.5)])
    page = render(run_page(scored)).split("<script>")[0]
    assert "3.500" in page and "score of an answer" in page and "How it learnt" not in page and "-3.5" not in page
