"""`trivium align label`: what is shown, what may be typed, and what comes of it."""

import io
import json
import sys

import pytest

from trivium.cli import align_label
from trivium.cli.verbs import Options, Verb
from trivium.data.preferences import read_judged
from trivium.errors import DataError

VERB = Verb(
    name="align label",
    summary="answers ranked by people",
    module="trivium.cli.align_label",
    settings=("trivium.recipes.align.label:LabelConfig",),
    example='trivium align label answers.jsonl --criteria "helpful: does it help" --rater Ann --output labels',
    leading="data",
)


@pytest.fixture
def words(tmp_path):
    lines = [{"prompt": f"prompt {n}", "answers": ["red", "green", "blue"]} for n in range(2)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = str(tmp_path / "labels")
    return [str(tmp_path / "answers.jsonl"), "--criteria", "helpful: does it help", "short", "--output", out]


@pytest.fixture
def typed(tmp_path):
    """``typed(text)``: the words that give it in the place of a person."""

    def given(text):
        (tmp_path / "typed.txt").write_text(text)
        return ["--answers", str(tmp_path / "typed.txt")]

    return given


def test_questions_are_shown_and_kept(words, typed, tmp_path, capsys):
    align_label.run(VERB, [*words, "--rater", "Ann", *typed("# the first\n1 2 3\n\n2 1=3\n")], Options())
    shown, beside = capsys.readouterr()
    assert "User: prompt 0" in shown and "(1 of 4) helpful: does it help" in shown and "(2 of 4) short" in shown
    # The answers stand there once for both criteria.
    assert shown.count("red") == 2 and shown.count("prompt 0") == 1
    assert "the same command goes on here" in beside
    align_label.run(VERB, [*words, "--rater", "Ann", *typed("b\ns\ns\n3 2 1\n")], Options())
    shown, beside = capsys.readouterr()
    assert "you said 2 1=3" in shown and "Ann: 2 answered, 2 skipped, 0 left" in shown
    assert "goes on" not in beside


def test_a_line_that_is_no_answer_is_told(words, typed, capsys):
    with pytest.raises(DataError, match=r"typed.txt, line 2: '1 2'"):
        align_label.run(VERB, [*words, "--rater", "Ann", *typed("1 2 3\n1 2\n")], Options())
    # What came before it is kept.
    capsys.readouterr()
    align_label.run(VERB, [*words, "--rater", "Ann", *typed("q\n1 2 3\n")], Options())
    assert "(2 of 4)" in capsys.readouterr().out


def test_two_raters_a_report_and_preference_data(words, typed, tmp_path, capsys, monkeypatch):
    align_label.run(VERB, [*words, "--rater", "Ann", *typed("1 2 3\n" * 4)], Options())
    monkeypatch.setattr(sys, "stdin", io.StringIO("1=2=3\n" * 4))
    align_label.run(VERB, [*words, "--rater", "Ben"], Options())
    capsys.readouterr()
    out = tmp_path / "preferences.jsonl"
    folder = words[words.index("--output") :]
    align_label.run(VERB, [*folder, "--report", "--export", str(out)], Options(json=True))
    told = json.loads(capsys.readouterr().out)
    assert told["exported"] == 2 and not told["finished"]
    assert told["report"]["raters"]["Ben"] == {"answered": 4, "skipped": 0, "left": 0}
    assert told["report"]["criteria"]["helpful"]["pairwise"] == 0
    judged = read_judged(out)
    assert [each.ranks.keys() for each in judged] == [{"helpful", "short"}] * 2
    # Ann's order alone decides between what Ben finds equal.
    assert all(sorted(each.ranks["short"]) == [1, 2, 3] for each in judged)
    align_label.run(VERB, [*folder, "--report"], Options())
    assert "pairwise agreement 0.000 (6 comparisons, 2 prompts)" in capsys.readouterr().out


def test_a_person_is_told_and_asked_again(words, capsys, monkeypatch):
    said = iter(["nonsense", "", "B", "1 2 3"])

    def read(prompt=""):
        try:
            return next(said)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", read)
    align_label.run(VERB, [*words, "--rater", "Ann"], Options())
    shown = capsys.readouterr().out
    assert "this is no ranking of the answers: the numbers 1 to 3" in shown
    assert shown.count("s skips the question") == 2 and "this is the first question" in shown
    assert "(2 of 4)" in shown


def test_with_json_the_questions_stand_on_standard_error(words, typed, capsys):
    align_label.run(VERB, [*words, "--rater", "Ann", *typed("1 2 3\n" * 4)], Options(json=True))
    out, beside = capsys.readouterr()
    assert "prompt 0" in beside
    assert json.loads(out)["finished"] and json.loads(out)["report"]["items"] == 2


def test_a_dry_run_asks_nothing(words, tmp_path, capsys):
    align_label.run(VERB, [*words, "--rater", "Ann"], Options(dry_run=True))
    assert "rater: Ann" in capsys.readouterr().out
    assert not (tmp_path / "labels").exists()
