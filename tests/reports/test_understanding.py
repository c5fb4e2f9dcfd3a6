"""What a page tells of the inside of a model: probes, distances, attention."""

import dataclasses
import html
import json
import re
from typing import Any

from trivium.reports.understanding import AttentionFacts, DistanceFacts, ProbeFacts, understanding_sections

PROBES = ProbeFacts(
    name="<b>entities",
    unit="words",
    layers=["embeddings", "layer 1", "layer 2"],
    accuracy=[(0.5, 0.6, 0.7), (0.82, 0.875, 0.9), (0.7, 0.8, 0.85)],
    f1=[(0.1, 0.2, 0.3), (0.5, 0.55, 0.6), (0.4, 0.5, 0.6)],
    majority=0.58,
    control=[0.55, 0.5, 0.4],
    control_f1=[0.6, 0.45, 0.25],
    learnt=12_345,
    held_out=678,
    classes=[("O", 12_000, 600), ("<i>place", 345, 78)],
    outside="O",
)
DISTANCES = DistanceFacts(
    word="bank",
    layers=["embeddings", "layer 1"],
    same=[0.0, 0.12],
    different=[0.0, 0.55],
    anywhere=[0.9, 0.7],
    uses=[("the <b>bank", "river")],
)
ATTENTION = AttentionFacts(
    word="it",
    sentence="The tiger <it",
    words=["<s>", "The", "tiger", "it"],
    names=["encoder 1", "encoder 2"],
    layers=[[0.25] * 4, [0.1, 0.1, 0.7, 0.1]],
    about=[("tiger", [[0.2, 0.3], [0.5, 0.9]]), ("The", [[0.1, 0.1], [0.2, 0.0]])],
    heads=[("encoder 2, head 2", [0.0, 0.0, 0.9, 0.1])],
)


def drawings(body: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in re.findall(r'<script type="application/json">(.*?)</script>', body, re.DOTALL)]


def test_only_what_was_measured_has_a_section() -> None:
    assert [s.title for s in understanding_sections([PROBES], [DISTANCES], [ATTENTION])] == [
        "What its layers know",
        "One word, two senses",
        "Where it looks",
    ]
    assert [section.title for section in understanding_sections(attention=[ATTENTION])] == ["Where it looks"]
    assert understanding_sections() == []


def test_probes_are_drawn_with_their_intervals_and_what_they_are_seen_against() -> None:
    (section,) = understanding_sections([PROBES])
    accuracy, f1 = drawings(section.body)
    of_probe, control, majority = accuracy["data"]
    assert of_probe["y"] == [0.6, 0.875, 0.8] and control["y"] == [0.55, 0.5, 0.4] and majority["y"] == [0.58] * 3
    assert [round(each, 3) for each in of_probe["error_y"]["arrayminus"]] == [0.1, 0.055, 0.1]
    assert [trace["y"] for trace in f1["data"]] == [[0.2, 0.55, 0.5], [0.6, 0.45, 0.25]]
    for told in ("87.5% (82.0 to 90.0)", "+37.5", "-40.0", "+25.0", "12,345", "678", "highest at layer 1: 88%"):
        assert told in section.body, told
    assert all(layout["layout"]["yaxis"]["title"]["text"].endswith("on held-out words") for layout in (accuracy, f1))
    assert "<b>entities" not in section.body and "&lt;b&gt;entities" in section.body


def test_how_many_examples_of_each_label_there_were_is_told() -> None:
    (section,) = understanding_sections([dataclasses.replace(PROBES, left_out=17)])
    for told in ("12,000", "345", "600", "78", "&lt;i&gt;place", "17 more were left out", "all labels but O"):
        assert told in section.body, told
    (section,) = understanding_sections([PROBES])
    assert "left out:" not in section.body


def test_without_a_control_task_there_is_no_selectivity() -> None:
    (section,) = understanding_sections([dataclasses.replace(PROBES, control=None, control_f1=None)])
    (accuracy,) = drawings(section.body)
    assert [trace["name"] for trace in accuracy["data"]] == ["probe", "always the most frequent label"]
    assert "selectivity" not in section.body and "control" not in section.body


def test_no_line_leads_from_an_encoder_into_its_decoder() -> None:
    layers = ["encoder embeddings", "encoder 1", "decoder embeddings"]
    (section,) = understanding_sections([dataclasses.replace(PROBES, layers=layers)])
    for drawing in drawings(section.body):
        assert drawing["layout"]["xaxis"] == {"tickvals": [0, 1, 3], "ticktext": layers}
        for trace in drawing["data"]:
            assert trace["x"] == [0, 1, 2, 3] and trace["y"][2] is None and None not in trace["y"][:2] + trace["y"][3:]
        assert drawing["data"][0]["error_y"]["array"][2] is None


def test_distances_are_drawn_as_they_were_measured() -> None:
    (section,) = understanding_sections(distances=[DISTANCES])
    (drawing,) = drawings(section.body)
    assert {trace["name"]: trace["y"][-1] for trace in drawing["data"]} == {
        "different senses": 0.55,
        "the same sense": 0.12,
        "any two words": 0.7,
    }
    assert drawing["layout"]["xaxis"]["ticktext"] == ["embeddings", "layer 1"]
    assert "the &lt;b&gt;bank" in section.body and "river" in section.body


def test_attention_is_drawn_over_words_by_head_and_in_single_heads() -> None:
    (section,) = understanding_sections(attention=[ATTENTION])
    by_layer, tiger, the, heads = drawings(section.body)
    assert by_layer["data"][0]["z"][1] == [0.1, 0.1, 0.7, 0.1] and by_layer["data"][0]["zmax"] == 0.7
    assert by_layer["layout"]["xaxis"]["ticktext"] == ["&lt;s&gt;", "The", "tiger", "it"]
    assert by_layer["layout"]["yaxis"]["ticktext"] == ["encoder 1", "encoder 2"]
    assert tiger["data"][0]["z"] == [[0.2, 0.3], [0.5, 0.9]]
    # Words that are to be compared are of one scale.
    assert tiger["data"][0]["zmax"] == the["data"][0]["zmax"] == 0.9
    assert tiger["layout"]["xaxis"]["ticktext"] == ["head 1", "head 2"]
    assert heads["layout"]["yaxis"]["ticktext"] == ["encoder 2, head 2"]
    told = html.unescape(section.body)
    assert "looks most at “tiger”, chosen after the fact" in told and "evenly spread it were 25%" in told
