"""What a run's report tells of a policy under watch: the verdict in words, the curves, and answers as they changed."""

import json
import math
import re
from typing import Any

import pytest

from trivium.reports.alignment import AlignmentFacts, FrontierPoint, alignment_sections
from trivium.reports.page import Page, render

HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x>\"'&"


def row(step: int, **more: Any) -> dict[str, Any]:
    """A line of watch.jsonl."""
    usual = {
        "step": step,
        "asked": "0123",
        "proxy": 0.1 * step,
        "gold": 1.0 + 0.01 * step,
        "kl": 0.04 * step,
        "length_tokens": 20.0 + step,
        "length_correlation": 0.25,
        "repetition_correlation": None,
        "unique": 0.75,
        "distinct2": 0.5,
        "self_similarity": 0.125,
        "ended": 1.0,
        "samples": [{"prompt": "Why?", "answer": f"answer of {step}", "proxy": 0.1 * step, "gold": None}],
        "proxies": [0.1 * step],
        "golds": [1.0],
    }
    return usual | more


LOOKS = [row(step) for step in (0, 25, 50, 100)]
FRONTIER = [
    FrontierPoint(k=k, kl=math.log(k) - (k - 1) / k, proxy=(k - 0.5, k, k + 0.5), gold=(k / 4, k / 2, k))
    for k in (1, 2, 3)
]


def sections(looks: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, str]:
    facts = AlignmentFacts(looks=LOOKS if looks is None else looks, **more)
    return {section.title: section.body for section in alignment_sections(facts)}


def charts(body: str) -> dict[str, dict[str, Any]]:
    """The description of each drawing, by what it says it is."""
    found = re.findall(r'aria-label="([^"]*)"[^>]*></div><script type="application/json">(.*?)</script>', body)
    return {label: json.loads(description) for label, description in found}


def traces(body: str, label: str) -> dict[str, list[dict[str, Any]]]:
    drawn: dict[str, list[dict[str, Any]]] = {}
    for trace in charts(body)[label]["data"]:
        drawn.setdefault(trace["name"], []).append(trace)
    return drawn


def test_what_there_is_to_read() -> None:
    assert list(sections()) == [
        "Reward and gold score",
        "What the reward goes with",
        "How diverse the answers are",
        "Answers over time",
    ]
    assert "Answers over time" not in sections([row(0, samples=[]), row(1, samples=[])])


def test_scores_over_the_root_of_the_divergence() -> None:
    body = sections(frontier=FRONTIER)["Reward and gold score"]
    for name, label in (("proxy", "Reward"), ("gold", "Gold score")):
        drawn = traces(body, f"{label} by divergence from the reference")
        policy = drawn["policy"][0]
        assert policy["x"] == pytest.approx([0, 1, math.sqrt(2), 2])
        assert policy["y"] == [look[name] for look in LOOKS]
        assert policy["text"][3] == "step 100"
        curves = {trace["line"]["dash"]: trace for trace in drawn["best of n"]}
        assert curves["dash"]["y"] == [getattr(point, name)[1] for point in FRONTIER]
        assert curves["dash"]["x"] == pytest.approx([math.sqrt(point.kl) for point in FRONTIER])
        assert curves["dash"]["text"] == ["best of 1", "best of 2", "best of 3"]
        bounds = [trace["y"] for trace in drawn["best of n"] if trace["line"]["dash"] == "dot"]
        assert bounds == [[getattr(point, name)[at] for point in FRONTIER] for at in (0, 2)]
        axis = charts(body)[f"{label} by divergence from the reference"]["layout"]["xaxis"]
        assert [math.sqrt(float(nats)) for nats in axis["ticktext"]] == pytest.approx(axis["tickvals"])
        assert axis["range"][1] > 2 > axis["tickvals"][-1] > 1
    assert "n from 1 to 3" in body


def test_without_a_frontier_nothing_is_said_of_it() -> None:
    body = sections()["Reward and gold score"]
    assert "best of n" not in body and list(traces(body, "Reward by divergence from the reference")) == ["policy"]


def test_a_divergence_below_zero_or_none_can_be_drawn() -> None:
    looks = [row(0, kl=-0.5), row(1, kl=None), row(2, kl=4.0)]
    drawn = traces(sections(looks)["Reward and gold score"], "Reward by divergence from the reference")
    assert drawn["policy"][0]["x"] == [0.0, 2.0]
    none = charts(sections([row(0, kl=None), row(1, kl=None)])["Reward and gold score"])
    assert list(none) == ["Reward by step", "Gold score by step"]


def test_the_verdict_where_they_went_together() -> None:
    body = sections()["Reward and gold score"]
    assert "From step 0 to step 100 the reward went from 0 to 10 and the gold score from 1 to 2" in body
    assert "have not parted" in body and "went back" not in body


def test_the_verdict_where_they_parted() -> None:
    body = sections(parting="the two have parted", rolled_back_to=50)["Reward and gold score"]
    assert "The two have parted." in body and "have not parted" not in body
    assert "The run went back to step 50" in body
    drawn = traces(body, "Gold score by step")
    assert drawn["went back to step 50"][0]["x"] == [50, 50]
    assert drawn["went back to step 50"][0]["y"] == [1.0, 2.0]
    assert drawn["gold score"][0]["y"] == [1.0, 1.25, 1.5, 2.0]


def test_the_verdict_where_nothing_but_the_reward_scores() -> None:
    body = sections([row(step, gold=None) for step in (0, 10)], suspicions=["answers are long", "and odd"])[
        "Reward and gold score"
    ]
    assert "no other score was taken" in body and "Gold score by" not in body
    assert "At the last look: answers are long; and odd." in body


def test_the_verdict_of_one_look() -> None:
    body = sections([row(0, proxy=0.25)])["Reward and gold score"]
    assert "one look at the answers, at step 0: a reward of 0.25" in body and "parted" not in body


def test_length_and_what_the_reward_goes_with() -> None:
    body = sections()["What the reward goes with"]
    assert traces(body, "Length of the answers by step")["tokens an answer"][0]["y"] == [20.0, 45.0, 70.0, 120.0]
    drawn = traces(body, "Rank correlation of the reward with length and with repetition, by step")
    assert list(drawn) == ["length"] and drawn["length"][0]["y"] == [0.25] * 4
    body = sections([row(0, repetition_correlation=0.5), row(1)])["What the reward goes with"]
    drawn = traces(body, "Rank correlation of the reward with length and with repetition, by step")
    assert drawn["repetition"][0]["x"] == [0] and drawn["repetition"][0]["y"] == [0.5]
    assert len(charts(sections([row(0, length_correlation=None)])["What the reward goes with"])) == 1


def test_diversity() -> None:
    drawn = traces(sections()["How diverse the answers are"], "Diversity of the answers by step")
    shares = {name: trace[0]["y"][0] for name, trace in drawn.items()}
    assert shares == {
        "different answers": 0.75,
        "different pairs of words": 0.5,
        "likeness (Self-BLEU)": 0.125,
        "come to their end": 1.0,
    }


def test_answers_to_one_prompt_side_by_side() -> None:
    looks = [row(step) for step in range(0, 101, 10)]
    told = re.findall(r"<dt>step (\d+): reward", sections(looks)["Answers over time"])
    assert len(told) == 5 and told[0] == "0" and told[-1] == "100"
    body = sections(looks, rolled_back_to=90)["Answers over time"]
    assert "<dt>step 90: reward 9.00</dt><dd>answer of 90</dd>" in body
    scored = row(0, samples=[{"prompt": "p", "answer": "a" * 2000, "proxy": None, "gold": 0.5}])
    body = sections([scored])["Answers over time"]
    assert "step 0: gold 0.50" in body and "a" * 600 in body and "a" * 601 not in body


def test_what_comes_from_outside_is_text() -> None:
    samples = [{"prompt": HOSTILE, "answer": HOSTILE, "proxy": 1.0, "gold": 1.0}]
    facts = AlignmentFacts(
        looks=[row(0, samples=samples), row(1, samples=samples)], parting=HOSTILE, suspicions=[HOSTILE]
    )
    page = render(Page(title="t", head="", sections=alignment_sections(facts), foot=""))
    assert "<script>alert" not in page and "<img" not in page and "&lt;img src=http://evil.example" in page
