"""Ranking answers: what is asked, in which order, what is kept, how well raters agree, and what is written."""

import json
import os
from pathlib import Path

import pytest

from trivium.data.preferences import pairs_of, read_judged, told
from trivium.errors import ConfigError, DataError, StorageError
from trivium.recipes.align.label import LabelConfig, items_of, open_sheet
from trivium.recipes.align.label_report import export, mean_ranks, report
from trivium.recipes.align.label_sheet import ranking, spelt

CRITERIA = ("helpful: does it help the user", "harmless")
ANSWERS = [("red", "green", "blue"), ("one", "two"), ("up", "down", "left", "right")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [{"prompt": f"prompt {n}", "answers": answers} for n, answers in enumerate(ANSWERS)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "answers.jsonl"


@pytest.fixture
def config(data, tmp_path):
    def made(rater="Ann", **settings):
        given = {"data": data, "criteria": CRITERIA, "output": tmp_path / "labels", **settings}
        return LabelConfig(rater=rater, **given)

    return made


def rank(sheet, *best):
    """Answers the question with the answers themselves, the best first."""
    numbers = [str(sheet.question.answers.index(answer) + 1) for answer in best]
    sheet.answer(" ".join(numbers))


def rank_all(sheet, order):
    """Ranks everything that is asked, by where ``order`` has the answers."""
    while (question := sheet.question) is not None:
        rank(sheet, *sorted(question.answers, key=order.index))


def test_every_prompt_by_every_criterion_in_the_order_of_the_data(config):
    sheet = open_sheet(config())
    asked = []
    while (question := sheet.question) is not None:
        asked.append((question.messages[-1]["content"], question.criterion, question.number, question.count))
        assert set(question.answers) == set(ANSWERS[(question.number - 1) // 2])
        sheet.skip()
    assert asked == [(f"prompt {n // 2}", ("helpful", "harmless")[n % 2], n + 1, 6) for n in range(6)]
    assert open_sheet(config()).question is None


def test_the_order_is_a_raters_own_and_stays(config):
    def shown(rater, **settings):
        sheet, orders = open_sheet(config(rater, **settings)), []
        while sheet.question is not None:
            orders.append(sheet.question.answers)
            sheet.skip()
        return orders

    ann = shown("Ann")
    # Both criteria show the answers in one order; a description is told where there is one.
    assert ann[0] == ann[1] and ann[4] == ann[5]
    others = [shown(f"rater{n}") for n in range(8)]
    assert len({tuple(orders) for orders in [ann, *others]}) > 4
    # Of the four answers of the last prompt none is always first: nothing tells which is whose.
    assert len({orders[4][0] for orders in [ann, *others]}) > 1
    assert not all(orders[0] == ANSWERS[0] for orders in [ann, *others])


def test_every_prompt_has_an_order_of_its_own(config, tmp_path):
    lines = [{"prompt": f"prompt {n}", "answers": ["a", "b", "c"]} for n in range(12)]
    (tmp_path / "many.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sheet, orders = open_sheet(config(data=tmp_path / "many.jsonl")), set()
    while sheet.question is not None:
        orders.add(sheet.question.answers)
        sheet.skip()
    assert len(orders) > 2


def test_ranks_are_kept_by_answer_and_not_by_place(config, tmp_path):
    sheet = open_sheet(config())
    assert sheet.question.description == "does it help the user"
    rank(sheet, "blue", "red", "green")
    line = json.loads((tmp_path / "labels" / "raters" / "Ann.jsonl").read_text())
    assert line == {"item": 0, "criterion": "helpful", "ranks": [2, 3, 1]}


def test_a_rater_goes_on_where_they_stopped(config, tmp_path):
    sheet = open_sheet(config())
    rank(sheet, "blue", "red", "green")
    sheet.skip()
    # Another command, which need not know what the folder already has.
    again = open_sheet(LabelConfig(rater="Ann", output=tmp_path / "labels"))
    assert again.question.number == 3
    assert again.question == sheet.question
    # Others begin at the beginning.
    assert open_sheet(config("Ben")).question.number == 1


def test_going_back_replaces_what_was_said(config, tmp_path):
    sheet = open_sheet(config())
    assert not sheet.back()
    rank(sheet, "blue", "red", "green")
    assert sheet.back()
    best = sheet.question.answers[sheet.question.said.index(1)]
    assert best == "blue"
    rank(sheet, "green", "red", "blue")
    assert sheet.question.number == 2
    # The sheet of another process counts the later line as well, and goes back before where it began.
    again = open_sheet(config())
    assert again.back()
    assert again.question.answers[again.question.said.index(1)] == "green"
    again.skip()
    assert open_sheet(config()).back()
    assert report(tmp_path / "labels").raters == {"Ann": {"answered": 0, "skipped": 1, "left": 5}}


def test_what_is_read_is_not_written_over(config, data, tmp_path):
    """By whichever name it is called; a folder of data would have it among its files the next time."""
    rank_all(open_sheet(config()), ["blue", "two", "up", "red", "one", "down", "green", "left", "right"])
    said = (file := tmp_path / "labels" / "raters" / "Ann.jsonl").read_bytes()
    typed = tmp_path / "typed.jsonl"
    (tmp_path / "link.jsonl").symlink_to(data)
    (tmp_path / "hard.jsonl").hardlink_to(data)
    (tmp_path / "folder").mkdir()
    inside = tmp_path / "folder" / "judged.jsonl"
    for settings in (
        {"export": data},
        {"export": tmp_path / "labels" / ".." / data.name},
        {"export": tmp_path / "link.jsonl"},
        {"export": tmp_path / "hard.jsonl"},
        {"export": inside, "data": inside.parent},
        {"export": typed, "answers": typed},
        {"export": file},
        {"export": file.with_name("Ben.jsonl"), "rater": None},
    ):
        with pytest.raises(ConfigError, match="written over"):
            config(**settings)
    with pytest.raises(ConfigError, match="written over"):
        export(tmp_path / "labels", file)
    assert file.read_bytes() == said
    assert config(export=tmp_path / "labels" / "judged.jsonl").export == tmp_path / "labels" / "judged.jsonl"
    assert config(export=tmp_path / "answers.jsonl.jsonl", data=None).export is not None


def test_a_line_torn_by_a_kill_is_asked_again(config, tmp_path):
    sheet = open_sheet(config())
    rank(sheet, "blue", "red", "green")
    rank(sheet, "blue", "red", "green")
    file = tmp_path / "labels" / "raters" / "Ann.jsonl"
    os.truncate(file, file.stat().st_size - 9)
    # A report meanwhile passes over it.
    assert report(tmp_path / "labels").raters["Ann"]["answered"] == 1
    again = open_sheet(config())
    assert again.question.number == 2
    rank(again, "red", "blue", "green")
    assert [json.loads(line)["ranks"] for line in file.read_text().splitlines()] == [[2, 3, 1], [1, 3, 2]]


def test_a_line_torn_within_a_letter_is_passed_over(config, tmp_path):
    rank(open_sheet(config(criteria=("für", "harmless"))), "blue", "red", "green")
    file = tmp_path / "labels" / "raters" / "Ann.jsonl"
    line = file.read_bytes()
    file.write_bytes(line + line[: line.index("ü".encode()) + 1])
    assert report(tmp_path / "labels").raters["Ann"]["answered"] == 1
    file.write_bytes(line + b"\xff\n")
    with pytest.raises(DataError, match="cannot be used"):
        report(tmp_path / "labels")


@pytest.mark.parametrize(
    "line",
    [
        "x",
        '{"item": 9, "criterion": "helpful", "ranks": null}',
        '{"item": 0, "criterion": "kind", "ranks": null}',
        '{"item": 0, "criterion": "helpful", "ranks": [1, 2]}',
        '{"item": 0, "criterion": "helpful", "ranks": [1, 2, 5]}',
        '{"item": 0, "criterion": "helpful", "ranks": ["1", 2, 3]}',
    ],
)
def test_a_line_that_nobody_said_is_refused(config, tmp_path, line):
    open_sheet(config()).skip()
    file = tmp_path / "labels" / "raters" / "Ann.jsonl"
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(DataError, match="line 2"):
        open_sheet(config())


@pytest.mark.parametrize(
    ("words", "ranks"),
    [
        ("2 1=3", (2, 1, 2)),
        ("2 > 1 = 3", (2, 1, 2)),
        ("2, 1 ,3", (2, 1, 3)),
        ("1=2=3", (1, 1, 1)),
        ("1=3 2", (1, 3, 1)),
        ("3 2 1", (3, 2, 1)),
    ],
)
def test_what_is_typed_is_a_ranking(words, ranks):
    assert ranking(words, 3) == ranks
    assert ranking(spelt(ranks), 3) == ranks


@pytest.mark.parametrize("words", ["1 2", "1 2 2", "1 2 3 4", "0 1 2", "1 2 x", "1==2 3", "best", "1 2 3.0", "123"])
def test_what_is_typed_is_none(words):
    with pytest.raises(DataError, match="no ranking"):
        ranking(words, 3)


@pytest.mark.parametrize(("words", "ranks"), [("1", (1, 2)), (" 2 ", (2, 1)), ("2 1", (2, 1)), ("1=2", (1, 1))])
def test_of_two_answers_the_better_is_enough(words, ranks):
    assert ranking(words, 2) == ranks


@pytest.mark.parametrize("words", ["3", "0", "1 1", "12", ""])
def test_what_names_no_better_one(words):
    with pytest.raises(DataError, match="1=2 where they are equal"):
        ranking(words, 2)


def test_a_full_disk_keeps_the_question(config, tmp_path):
    sheet = open_sheet(config())
    file = tmp_path / "labels" / "raters" / "Ann.jsonl"
    file.mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        sheet.skip()
    assert sheet.question.number == 1


def test_answers_of_one_prompt_belong_together(tmp_path):
    lines = [
        {"prompt": "Hi", "text": "a", "finish_reason": "stop"},
        {"prompt": "Ho", "text": "x", "finish_reason": "stop"},
        {"prompt": "Hi", "text": "b", "finish_reason": "stop"},
        {"prompt": "Hi", "text": "a", "finish_reason": "length"},
        {"prompt": "Hi", "chosen": "c", "rejected": "b"},
    ]
    (tmp_path / "g.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    items, alone = items_of(tmp_path / "g.jsonl")
    assert [item.answers for item in items] == [("a", "b", "c")]
    assert alone == 1
    (tmp_path / "g.jsonl").write_text(json.dumps(lines[0]))
    with pytest.raises(DataError, match="nothing to compare"):
        items_of(tmp_path / "g.jsonl")


def test_agreement_of_raters(config, tmp_path):
    ann = ["red", "green", "blue", "one", "two", "up", "down", "left", "right"]
    rank_all(open_sheet(config("Ann")), ann)
    alone = report(tmp_path / "labels")
    assert alone.criteria["helpful"].alpha is None and alone.criteria["helpful"].pairwise is None
    assert "no two raters ranked the same" in alone.told
    rank_all(open_sheet(config("Ben")), ann)
    same = report(tmp_path / "labels")
    assert same.criteria["helpful"].alpha == pytest.approx(1)
    # Two raters, and 3 + 1 + 6 pairs of answers.
    assert (same.criteria["helpful"].pairwise, same.criteria["helpful"].comparisons) == (1.0, 10)
    assert (same.opposed, same.circles) == (0, [])
    rank_all(open_sheet(config("Cid")), ann[::-1])
    opposed = report(tmp_path / "labels")
    assert opposed.criteria["helpful"].alpha < 0.4
    # Of three pairs of raters one agrees.
    assert opposed.criteria["harmless"].pairwise == pytest.approx(1 / 3)
    assert opposed.opposed == 20
    assert "raters say the opposite of 20 pairs" in opposed.told
    assert opposed.raters["Cid"] == {"answered": 6, "skipped": 0, "left": 0}


def test_alpha_is_that_of_the_ranks(config, tmp_path):
    from trivium.evaluation.metrics import krippendorff_alpha

    for rater, first in (("Ann", ("red", "green", "blue")), ("Ben", ("green", "red", "blue"))):
        sheet = open_sheet(config(rater, criteria=("helpful",)))
        rank(sheet, *first)
        if rater == "Ann":  # what one rater left out is no disagreement
            rank(sheet, "one", "two")
    found = report(tmp_path / "labels").criteria["helpful"]
    assert found.alpha == pytest.approx(krippendorff_alpha([[1, 2, 3], [2, 1, 3]], level="ordinal")["alpha"])
    assert found.pairwise == pytest.approx(2 / 3)
    assert (found.comparisons, found.ranked) == (3, 2)


def test_all_tied_is_no_agreement_beyond_chance(config, tmp_path):
    for rater in ("Ann", "Ben"):
        open_sheet(config(rater)).answer("1=2=3")
    found = report(tmp_path / "labels").criteria["helpful"]
    assert (found.alpha, found.pairwise) == (None, 1.0)


def test_a_circle_of_what_most_say_is_told(config, tmp_path):
    for rater, order in (
        ("A", ("red", "green", "blue")),
        ("B", ("green", "blue", "red")),
        ("C", ("blue", "red", "green")),
    ):
        rank(open_sheet(config(rater)), *order)
    found = report(tmp_path / "labels")
    (circle,) = found.circles
    assert circle.count(">") == 3 and "by helpful" in circle and "A, prompt 1" in circle
    assert found.opposed == 3  # of each two answers one rater says the opposite of the others
    assert f"in a circle: {circle}" in found.told


@pytest.mark.parametrize(
    ("rankings", "ranks"),
    [
        ([(1, 2, 3)], (1, 2, 3)),
        ([(1, 2, 3), (1, 2, 3), (3, 1, 2)], (1, 1, 3)),
        ([(1, 2, 3), (3, 2, 1)], (1, 1, 1)),
        # A tie of two at the top is 1.5 each: 1.5 + 2, 1.5 + 3, 3 + 1 make 3.5, 4.5, 4. With 1 each the last two tied.
        ([(1, 1, 3), (2, 3, 1)], (1, 3, 2)),
        ([(1, 1, 1), (3, 2, 1)], (3, 2, 1)),
    ],
)
def test_the_mean_rank(rankings, ranks):
    assert mean_ranks(rankings) == ranks


def test_what_is_exported_is_read_as_preference_data(config, tmp_path):
    for rater, order in (
        ("Ann", ("red", "green", "blue")),
        ("Ben", ("green", "red", "blue")),
        ("Cid", ("red", "blue", "green")),
    ):
        sheet = open_sheet(config(rater))
        rank(sheet, *order)
        if rater == "Ann":
            rank(sheet, "blue", "green", "red")
    out = tmp_path / "preferences.jsonl"
    assert export(tmp_path / "labels", out) == 1
    (judged,) = read_judged(out)
    assert judged.answers == ANSWERS[0]
    # Sums of ranks 4, 6, 8 of red, green, blue by helpful; by harmless there is what Ann says.
    assert judged.ranks == {"helpful": (1, 2, 3), "harmless": (3, 2, 1)}
    assert judged.rater == "Ann, Ben, Cid"
    line = json.loads(out.read_text())
    assert line["by_rater"]["Ben"] == {"helpful": [2, 1, 3]}
    assert told([judged]) == "1 judgement of 1 prompt: 1 rankings; criteria: 1 helpful, 1 harmless; 1 rater"
    assert len(pairs_of([judged], "helpful").pairs) == 3


def test_nothing_is_exported_where_nobody_ranked(config, tmp_path):
    open_sheet(config()).skip()
    with pytest.raises(DataError, match="nobody has ranked"):
        export(tmp_path / "labels", tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="nobody was asked"):
        report(tmp_path / "elsewhere")


def test_a_lone_surrogate_is_kept(config, tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"prompt": "Hi", "answers": ["\\ud800", "b"]}')
    sheet = open_sheet(config(data=tmp_path / "odd.jsonl"))
    sheet.answer("1 2")
    assert open_sheet(config(data=tmp_path / "odd.jsonl")).question.number == 2
    export(tmp_path / "labels", tmp_path / "out.jsonl")
    assert read_judged(tmp_path / "out.jsonl")[0].answers == ("\ud800", "b")


def test_a_folder_is_for_one_task(config, tmp_path, data):
    open_sheet(config())
    with pytest.raises(ConfigError, match="other criteria"):
        open_sheet(config(criteria=("short",)))
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"prompt": "a", "answers": ["b", "c"]}))
    with pytest.raises(ConfigError, match="other prompts"):
        open_sheet(config(data=other))
    (tmp_path / "labels" / "task.json").write_text("{}")
    with pytest.raises(DataError, match="the task is damaged"):
        open_sheet(config())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rater": None}, "nobody is asked"),
        ({"rater": "../Ann"}, "the name of a file"),
        ({"rater": ".Ann"}, "the name of a file"),
        ({"criteria": (": why",)}, "a name, a colon"),
        ({"criteria": ("a: x", "a: y")}, "stands there twice"),
        ({"export": Path("out.csv")}, "lines of JSON"),
    ],
)
def test_what_is_asked_wrongly(config, settings, said):
    with pytest.raises(ConfigError, match=said):
        config(**settings)


def test_a_new_task_needs_data_and_criteria(config):
    with pytest.raises(ConfigError, match="a new task needs"):
        open_sheet(config(criteria=()))
    with pytest.raises(ConfigError, match="a new task needs"):
        open_sheet(config(data=None))
