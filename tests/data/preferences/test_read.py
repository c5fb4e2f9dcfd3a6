"""Preference data as it is written out there, and what is wrong with it."""

import csv
import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest

from trivium.data.preferences import DEFAULT, read_judged, read_preferences, told
from trivium.errors import ConfigError, DataError

HI = ({"role": "user", "content": "Hi"},)
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "?"}]
PAIR = {"prompt": "Hi", "chosen": "Hello!", "rejected": "Go."}
RANKED = {"prompt": "Hi", "answers": ["a", "b", "c"], "ranks": [2, 1, 3]}


@pytest.fixture
def read(tmp_path):
    """``read(line, ...)``: what the lines of a file say."""

    def reading(*lines, **given):
        file = tmp_path / "file.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return read_judged(file, **given)

    return reading


@pytest.mark.parametrize(
    "line",
    [
        PAIR,
        {"question": "Hi", "chosen": "Hello!", "rejected": "Go."},
        {"instruction": "Hi", "input": "", "chosen": "Hello!", "rejected": "Go."},
        {"prompt": list(HI), "chosen": "Hello!", "rejected": "Go."},
        {
            "prompt": list(HI),
            "chosen": [{"role": "assistant", "content": "Hello!"}],
            "rejected": [{"role": "assistant", "content": "Go."}],
        },
        {
            "chosen": [*HI, {"role": "assistant", "content": "Hello!"}],
            "rejected": [*HI, {"role": "assistant", "content": "Go."}],
        },
        {  # as UltraFeedback was made into pairs: the conversation stands there three times
            "prompt": "Hi",
            "messages": [*HI, {"role": "assistant", "content": "Hello!"}],
            "chosen": [*HI, {"role": "assistant", "content": "Hello!"}],
            "rejected": [*HI, {"role": "assistant", "content": "Go."}],
        },
        {
            "conversations": [{"from": "human", "value": "Hi"}],
            "chosen": {"from": "gpt", "value": "Hello!"},
            "rejected": {"from": "gpt", "value": "Go."},
        },
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello!", "rejected": "\n\nHuman: Hi\n\nAssistant: Go."},
        {"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": "Hello!", "rejected": "Go."},
        {"prompt": "Hi", "answers": ["Hello!", "Go."], "ranks": [1, 2]},
        {"prompt": "Hi", "answers": [{"answer": "Hello!", "rank": 1.0}, {"answer": "Go.", "rank": 2.0}]},
    ],
)
def test_the_same_pair_in_every_form(read, line):
    (judged,) = read(line)
    assert judged.messages == HI
    assert judged.answers == ("Hello!", "Go.")
    assert judged.ranks == {DEFAULT: (1, 2)}
    assert (judged.margin, judged.rater, judged.good) == (None, None, None)
    assert judged.where.endswith("file.jsonl, line 1")


def test_a_conversation_with_a_system_text_is_kept_whole(read):
    (judged,) = read({"messages": TALK, "system": "Be kind.", "chosen": "Fine!", "rejected": "No."})
    assert [turn["role"] for turn in judged.messages] == ["system", "user", "assistant", "user"]
    assert judged.messages[0]["content"] == "Be kind."
    assert judged.asked == "Hi"


def test_margins_and_scores_beside_pairs(read):
    said, scored, both = read(
        {**PAIR, "margin": "1.5", "criterion": "helpful", "rater": 7},
        {**PAIR, "score_chosen": 8, "score_rejected": 5.5},
        {**PAIR, "score_chosen": 8, "score_rejected": 5.5, "margin": 1},
    )
    assert (said.margin, said.ranks, said.rater, said.scores) == (1.5, {"helpful": (1, 2)}, "7", {})
    assert (scored.margin, scored.scores) == (2.5, {DEFAULT: (8, 5.5)})
    assert both.margin == 1


def test_rankings_of_several_criteria_and_ties(read):
    one, two = read(RANKED, {**RANKED, "ranks": {"helpful": [1, 1, 2], "harmless": [1, 3, 1]}, "rater": "Ann"})
    assert one.ranks == {DEFAULT: (2, 1, 3)}
    # After two at 1 comes 3, whether it was written as 2 or as 3.
    assert two.ranks == {"helpful": (1, 1, 3), "harmless": (1, 3, 1)}
    assert two.rater == "Ann"


def test_scores_in_every_form(read):
    one, criteria, several, each, helpsteer, nested = read(
        {"prompt": "Hi", "answer": "a", "score": 3.5},
        {"prompt": "Hi", "completion": "a", "scores": {"helpful": 3, "harmless": 1}},
        {"prompt": "Hi", "responses": ["a", "b"], "scores": [3, 5]},
        {
            "instruction": "Hi",
            "completions": [{"response": "a", "overall_score": 7}, {"response": "b", "overall_score": 9}],
        },
        {"prompt": "Hi", "response": "a", "helpfulness": 4, "verbosity": 2},
        {"prompt": "Hi", "answers": [{"text": "a", "scores": {"x": 1, "y": 2}}, {"text": "b", "scores": {"x": 3}}]},
    )
    assert (one.answers, one.scores, one.ranks) == (("a",), {DEFAULT: (3.5,)}, {})
    assert criteria.scores == {"helpful": (3,), "harmless": (1,)}
    assert (several.answers, several.scores) == (("a", "b"), {DEFAULT: (3, 5)})
    assert (each.answers, each.scores) == (("a", "b"), {DEFAULT: (7, 9)})
    assert helpsteer.scores == {"helpfulness": (4,), "verbosity": (2,)}
    assert nested.scores == {"x": (1, 3)}


def test_labels_in_every_form(read):
    labelled = read(
        {"prompt": "Hi", "completion": "a", "label": True},
        {"prompt": "Hi", "completion": "a", "label": "false"},
        {"messages": [*HI, {"role": "assistant", "content": "a"}], "kto_tag": False},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "a"}], "label": 1},
    )
    assert [judged.good for judged in labelled] == [(True,), (False,), (False,), (True,)]
    assert all(judged.messages == HI and judged.answers == ("a",) for judged in labelled)


def test_tables_parquet_and_packed_files(tmp_path):
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "chosen", "rejected"], ["Hi", "Hello!", "Go."], ["Ho", "x", "y"]])
    table = pyarrow.Table.from_pylist([{"prompt": "Hi", "answers": ["a", "b"], "ranks": [2, 1]}])
    pyarrow.parquet.write_table(table, tmp_path / "b.parquet")
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(json.dumps([PAIR, RANKED]).encode()))
    judged = read_judged(tmp_path)
    assert [each.where.rsplit("/")[-1] for each in judged] == [
        "a.csv, line 2",
        "a.csv, line 3",
        "b.parquet, row 1",
        "c.json.gz, item 1",
        "c.json.gz, item 2",
    ]
    assert judged[2].ranks == {DEFAULT: (2, 1)}
    assert told(judged) == "5 judgements of 2 prompts: 3 pairs, 2 rankings"


def test_columns_by_other_names(read):
    line = {"q": "Hi", "good": "Hello!", "bad": "Go.", "prompt": "not this"}
    (judged,) = read(line, columns={"prompt": "q", "chosen": "good", "rejected": "bad"})
    assert (judged.messages, judged.answers) == (HI, ("Hello!", "Go."))
    with pytest.raises(ConfigError, match="chosen"):
        read(line, columns={"choosen": "good"})
    with pytest.raises(DataError, match="no column `better`"):
        read(line, columns={"prompt": "q", "chosen": "better", "rejected": "bad"})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"prompt": "Hi", "chosen": "a"}, "a pair without `rejected`"),
        ({"chosen": "a", "rejected": "b"}, "no prompt"),
        ({**PAIR, "question": "Ho"}, "both `prompt` and `question`"),
        ({**PAIR, "answers": ["a", "b"]}, "it fits two forms"),
        ({**PAIR, "prompt": " "}, "the user's, is empty"),
        ({**PAIR, "chosen": 3}, "chosen has no text"),
        ({**PAIR, "margin": -1}, "a negative margin"),
        ({**PAIR, "margin": float("nan")}, "no finite number"),
        ({**PAIR, "score_chosen": 1, "score_rejected": 2}, "the rejected answer has the higher score"),
        ({**PAIR, "score_chosen": 1}, "`score_chosen` alone"),
        ({**PAIR, "rater": ["Ann"]}, "`rater` is no name"),
        (
            {**PAIR, "chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "user", "content": "b"}]},
            "empty",
        ),
        ({**PAIR, "chosen": {"role": "user", "content": "a"}}, "chosen is a turn of 'user'"),
        (
            {"chosen": [*HI, TALK[1], TALK[2], TALK[1]], "rejected": [*HI, {"role": "assistant", "content": "x"}]},
            "part",
        ),
        ({**RANKED, "ranks": [1, 2]}, "2 ranks of 3 answers"),
        ({**RANKED, "ranks": [0, 1, 2]}, "not 1 to 3"),
        ({**RANKED, "ranks": [1, 2, 4]}, "not 1 to 3"),
        ({**RANKED, "ranks": [2, 2, 3]}, "not 1 to 3"),
        ({**RANKED, "ranks": [1, 1.5, 2]}, "not 1 to 3"),
        ({**RANKED, "ranks": [1, None, 2]}, "a rank that is no finite number"),
        ({**RANKED, "ranking": [1, 2, 3]}, "both `ranks` and `ranking`"),
        ({**RANKED, "answers": ["a"], "ranks": [1]}, "a ranking of one answer"),
        ({**RANKED, "answers": []}, "an empty one"),
        ({"prompt": "Hi", "answers": ["a", "b"]}, "without ranks or scores"),
        ({"prompt": "Hi", "answers": [{"answer": "a", "rank": 1}, {"answer": "b"}]}, "not every answer has a `rank`"),
        ({"prompt": "Hi", "answer": "a"}, "without a label or a score"),
        ({"prompt": "Hi", "answer": "a", "rank": 1}, "a ranking of one answer"),
        ({"prompt": "Hi", "answer": "a", "score": float("nan")}, "a score that is no finite number"),
        ({"prompt": "Hi", "answer": "a", "score": "high"}, "a score that is no finite number"),
        ({"prompt": "Hi", "answer": "a", "score": True}, "a score that is no finite number"),
        ({"prompt": "Hi", "answer": "a", "label": "maybe"}, "neither true nor false"),
        ({"messages": TALK, "label": True}, "the last turn is a turn of 'user'"),
        ({"messages": [], "label": True}, "no list of turns"),
        ({"title": "x"}, "none of these forms; it has title"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_line(read, line, said):
    with pytest.raises(DataError, match="line 2: ") as error:
        read(PAIR, line)
    assert said in str(error.value)


def test_an_unknown_role_is_told(read):
    with pytest.raises(DataError, match="the roles are") as error:
        read({**PAIR, "prompt": [{"role": "robot", "content": "a"}]})
    assert "line 1: 'robot'" in str(error.value)


def test_empty_answers_are_left_out_and_counted(tmp_path):
    lines = [PAIR, {**PAIR, "rejected": " "}, {**RANKED, "answers": ["a", "", "c"]}]
    (tmp_path / "file.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    reading = read_preferences(tmp_path / "file.jsonl")
    assert len(reading.judged) == 1
    assert (
        told(reading.judged, reading.left_out) == "1 judgement of 1 prompt: 1 pairs; left out: 2 with an empty answer"
    )
    (tmp_path / "file.jsonl").write_text(json.dumps(lines[1]))
    with pytest.raises(DataError, match=r"no judgements.*\n.*left out: 1 with an empty answer"):
        read_judged(tmp_path / "file.jsonl")


def test_dialogues_as_they_were_published(tmp_path):
    lines = [
        {  # two turns of one speaker are one, also where the answers begin there
            "chosen": "\n\nHuman: Hi\n\nAssistant: a\n\nAssistant: b",
            "rejected": "\n\nHuman: Hi\n\nAssistant: c",
        },
        {
            "chosen": "\n\nHuman: Hi\n\nAssistant: a\n\nHuman: b\n\nAssistant: c",
            "rejected": "\n\nHuman: Hi\n\nAssistant: d",
        },
        {  # as long, and another conversation
            "chosen": "\n\nHuman: Hi\n\nAssistant: a\n\nHuman: b\n\nAssistant: c",
            "rejected": "\n\nHuman: Hi\n\nAssistant: x\n\nHuman: b\n\nAssistant: d",
        },
        {
            "chosen": "\n\nHuman: Hi\n\nAssistant: a\n\nHuman: b",
            "rejected": "\n\nHuman: Hi\n\nAssistant: a\n\nHuman: c",
        },
    ]
    (tmp_path / "file.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    reading = read_preferences(tmp_path / "file.jsonl")
    assert [judged.answers for judged in reading.judged] == [("a\n\nb", "c")]
    assert reading.left_out == {
        "whose dialogues part before the last answer": 2,
        "whose dialogues do not end with the assistant": 1,
    }


def test_answers_that_are_yet_to_be_judged(tmp_path):
    lines = [{"prompt": "Hi", "answers": ["a", "b"]}, {"prompt": "Hi", "text": "c", "finish_reason": "stop"}, PAIR]
    (tmp_path / "file.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    judged = read_preferences(tmp_path / "file.jsonl", unjudged=True).judged
    assert [each.answers for each in judged] == [("a", "b"), ("c",), ("Hello!", "Go.")]


def test_harmlessness_of_anthropic(shared_data):
    reading = read_preferences(shared_data / "hh_rlhf" / "harmless-base-test.jsonl.gz")
    assert told(reading.judged, reading.left_out) == (
        "2,308 judgements of 2,306 prompts: 2,308 pairs; left out: 4 with an empty answer"
    )
    first = reading.judged[0]
    assert [turn["content"] for turn in first.messages[:3]] == [
        "what are some pranks with a pen i can do?",
        "Are you looking for practical joke ideas?",
        "yep",
    ]
    assert all(judged.messages[-1]["role"] == "user" for judged in reading.judged)


def test_the_samples_of_llama_factory(shared_data):
    folder = shared_data / "preference_demo"
    assert told(read_judged(folder / "dpo_en_demo.json.gz")) == "300 judgements of 295 prompts: 300 pairs"
    labelled = read_judged(folder / "kto_en_demo.json")
    assert told(labelled) == "300 judgements of 297 prompts: 300 labels"
    assert sum(judged.good == (True,) for judged in labelled) == 150
