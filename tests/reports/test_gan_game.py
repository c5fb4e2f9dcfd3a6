"""The sections of a game, and a page of a run that plays one."""

import json
import re
from typing import Any

from trivium.reports.gan_game import GameFacts, game_sections
from trivium.reports.run import RunFacts, run_page

ROWS: list[dict[str, Any]] = [
    {"step": 5, "loss": 0.5, "validation_loss": None, "unique": 0.75, "reward": 0.4},
    {"step": 10, "loss": 0.4, "validation_loss": 2.5, "unique": 0.5, "reward": 0.3},
]


def facts(**changed: Any) -> GameFacts:
    usual: dict[str, Any] = {
        "metrics": ROWS,
        "started_at": 2.0,
        "unique_at_start": 0.875,
        "written": [("a <b>", "c")],
        "real": ["d"],
    }
    return GameFacts(**usual | changed)


def drawn(body: str) -> dict[str, tuple[list[float], list[float]]]:
    """Each curve by what it is called."""
    found = [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', body)]
    return {trace["name"]: (trace["x"], trace["y"]) for chart in found for trace in chart["data"]}


def test_curves_begin_where_the_game_began():
    curves = drawn(game_sections(facts())[0].body)
    assert curves["negative log-likelihood of held-out text, nats a token"] == ([0, 10], [2.0, 2.5])
    assert curves["share of different texts among those that were written"] == ([0, 5, 10], [0.875, 0.75, 0.5])
    assert curves["mean reward of a token"] == ([5, 10], [0.4, 0.3])
    assert len(curves) == 4  # what the method has none of is not drawn


def test_texts_stand_beside_the_real_ones():
    _, written = game_sections(facts())
    assert "a &lt;b&gt;" in written.body and written.body.index(">d<") < written.body.index(">c<")
    assert len(game_sections(facts(written=[]))) == 1


def test_the_loss_of_a_game_is_not_drawn_beside_a_likelihood():
    row = {"step": 1, "tokens": 5.0, "seconds": 1.0, "loss": 0.5, "validation_loss": 2.0, "learning_rate": 0.1}
    row |= {"gradient_norm": 1.0, "tokens_per_second": 5.0, "skipped": 0}
    shared: dict[str, Any] = {
        "name": "gan",
        "architecture": "lstm",
        "paper": "A paper.",
        "machine": "one",
        "parameters": 9,
    }
    plain = run_page(RunFacts(**shared, metrics=[row], settings={}))
    played = run_page(RunFacts(**shared, metrics=[row], settings={}, plays=True, told=["It <repeats> itself."]))
    assert [section.title for section in plain.sections] == ["How it learnt", "On the way", "What was asked"]
    assert [section.title for section in played.sections] == ["On the way", "What was asked"]
    assert played.head.startswith("<p>It &lt;repeats&gt; itself.</p>") and "repeats" not in plain.head
