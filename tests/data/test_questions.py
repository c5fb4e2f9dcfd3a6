"""Questions as SQuAD has them, and the windows they are learnt from."""

import json
import pathlib
from typing import Any

import pytest

from trivium import tokenizers
from trivium.data.questions import Question, read_questions, windows
from trivium.errors import DataError
from trivium.tokenizers import SpecialTokens, Tokenizer

CONTEXT = "Ada was born in London in 1815 and died in 1852 ."


def squad(*asked: dict[str, Any], context: Any = CONTEXT) -> str:
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": list(asked)}]}]})


def written(tmp_path: pathlib.Path, content: str) -> pathlib.Path:
    (tmp_path / "q.json").write_text(content)
    return tmp_path / "q.json"


def test_questions_are_read_with_their_answers(tmp_path: pathlib.Path):
    answer = {"text": "London", "answer_start": 16}
    path = written(
        tmp_path,
        squad(
            {"id": "x1", "question": "Where?", "answers": [answer, answer]},
            {"question": "Who?", "answers": [answer], "is_impossible": True},
        ),
    )
    first, second = read_questions(path)
    assert first == Question(question="Where?", context=CONTEXT, answers=("London",) * 2, starts=(16, 16), id="x1")
    assert first.where.endswith("q.json, question x1")
    assert second.answers == () and second.where.endswith("question 2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no list `data`"),
        ('{"data": []}', "no questions"),
        ('{"data": [{"paragraphs": [{"context": "x", "qas": ["y"]}]}]}', "question is no JSON object"),
        (squad({"question": "Who?"}), "no list `answers`"),
        (squad({"question": "", "answers": []}), "no text `question`"),
        (squad({"question": "Who?", "answers": []}, context=None), "no text `context`"),
        (squad({"question": "?", "answers": [{"text": "London", "answer_start": 3}]}), "does not stand where"),
        (squad({"question": "?", "answers": [{"text": "Ada", "answer_start": None}]}), "at character None"),
    ],
)
def test_what_is_no_question_is_refused(content: str, message: str, tmp_path: pathlib.Path):
    with pytest.raises(DataError, match=message):
        read_questions(written(tmp_path, content))


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    special = SpecialTokens(bos=None, eos=None, pad="[PAD]", unk="<unk>", cls="[CLS]", sep="[SEP]", roles=())
    texts = [CONTEXT, "where was she born when did die ?"]
    return tokenizers.train(texts, kind="word", vocabulary_size=None, minimum_count=1, special=special)


def asked(question: str = "where was she born ?", answer: str | None = "London") -> Question:
    answers = () if answer is None else (answer,)
    return Question(
        question=question, context=CONTEXT, answers=answers, starts=tuple(CONTEXT.index(one) for one in answers)
    )


def test_a_window_points_at_the_answer(words: Tokenizer):
    (window,) = windows(words, [asked(answer="born in London")], longest=64, stride=8)
    assert words.decode(window.ids[window.first : window.last + 1]) == "born in London"
    assert window.ids[0] == words.cls_id and window.types == [0] * 7 + [1] * (len(window.ids) - 7)
    (without,) = windows(words, [asked(answer=None)], longest=64, stride=8)
    assert (without.first, without.last) == (0, 0)


def test_a_long_text_is_read_in_windows_that_overlap(words: Tokenizer):
    found = windows(words, [asked(answer="1852")], longest=16, stride=3)
    assert all(len(window.ids) <= 16 for window in found) and len(found) >= 2
    texts = [words.decode(window.ids[7:-1]) for window in found]
    assert texts[0] == " ".join(CONTEXT.split()[:8]) and texts[1].split()[0] == CONTEXT.split()[3]
    assert texts[-1].endswith("1852 .")
    for window, text in zip(found, texts, strict=True):
        answer = words.decode(window.ids[window.first : window.last + 1])
        assert answer == "1852" if "1852" in text else (window.first, window.last) == (0, 0)
    assert any("1852" not in text for text in texts)


def test_a_long_question_is_cut(words: Tokenizer):
    (first, *_) = windows(words, [asked(question="where " * 30)], longest=16, stride=4)
    assert len(first.ids) == 16 and first.types.count(1) == 9  # the last [SEP] too
    with pytest.raises(DataError, match="no text fits"):
        windows(words, [asked()], longest=7, stride=4)


def test_a_part_of_the_answer_is_no_answer(words: Tokenizer):
    question = asked(answer="London in 1815 and died")
    found = windows(words, [question], longest=13, stride=2)
    told = [words.decode(window.ids[window.first : window.last + 1]) for window in found if window.first]
    assert told and set(told) == {"London in 1815 and died"} and len(told) < len(found)


def test_published_questions_can_be_learnt_from(shared_data: pathlib.Path, words: Tokenizer):
    questions = read_questions(shared_data / "xquad" / "xquad.en.json")
    assert len(questions) == 1190 and len({one.context for one in questions}) == 240
    tokenizer = tokenizers.train(
        {one.context for one in questions} | {one.question for one in questions},
        kind="byte_bpe",
        vocabulary_size=1000,
        special=SpecialTokens(cls="[CLS]", sep="[SEP]", roles=()),
    )
    for question in questions[:40]:
        for window in windows(tokenizer, [question], longest=2000, stride=128):
            said = tokenizer.decode(window.ids[window.first : window.last + 1]).strip()
            assert question.answers[0] in said
