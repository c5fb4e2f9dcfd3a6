"""Questions, solved examples, groups and figures, with a model whose scores are made up."""

import dataclasses
import types
from typing import Any

import pytest

from trivium.errors import ConfigError, DataError
from trivium.evaluation.tasks import TASKS, find_task, run_task
from trivium.evaluation.tasks.judge import Answered, chosen, intervals, judge
from trivium.evaluation.tasks.task import filled
from trivium.lm.local import LocalModel
from trivium.lm.protocol import Score
from trivium.models.lstm import LSTM, LSTMConfig


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> LocalModel:
    """Likes what is written in capitals, and remembers what it was asked."""
    made = LocalModel(LSTM(LSTMConfig(vocabulary_size=8, width=4, layers=1, dropout=0.0)))
    asked: list[tuple[str, str]] = []

    def score(pairs: Any, *, method: str = "causal") -> list[Score]:
        asked.extend(pairs)
        return [
            Score(logprob=float(sum(map(str.isupper, answer))) - len(answer), is_greedy=False, tokens=1)
            for _, answer in pairs
        ]

    monkeypatch.setattr(made, "score", score)
    made.asked = asked
    return made


def rows(count: int) -> list[dict[str, Any]]:
    return [{"sentence": f"text {number}", "label": number % 2} for number in range(count)]


def letters() -> Any:
    """A tokenizer of letters, with one token before every text."""
    return types.SimpleNamespace(
        prefix_ids=[0],
        encode=lambda text: list(range(len(text))),
        encode_batch=lambda texts: [list(range(len(text))) for text in texts],
    )


def test_questions_too_long_for_the_model_are_counted(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    records = rows(3)
    longest = len(find_task("cola").ask(records[0]) + " yes") + 1
    monkeypatch.setattr(model, "tokenizer", letters())
    for room, cut in ((longest, 0), (longest - 1, 0), (longest - 2, 3)):
        monkeypatch.setattr(model, "config", types.SimpleNamespace(context_tokens=room))
        assert run_task(model, find_task("cola"), records).cut == cut


def test_a_question_is_worded_as_the_harness_words_it() -> None:
    cola = find_task("cola")
    shown, asked = rows(2)
    assert cola.ask(asked, [shown]) == (
        "text 0\nQuestion: Does this sentence make sense?\nAnswer: no\n\n"
        "text 1\nQuestion: Does this sentence make sense?\nAnswer:"
    )
    gsm8k = find_task("gsm8k")
    solved = {"question": "1 + 1?", "answer": "Two.\n#### 2"}
    assert gsm8k.ask({"question": "2 + 2?"}, [solved]) == (
        "Question: 1 + 1?\nAnswer: Two.\n#### 2\n\nQuestion: 2 + 2?\nAnswer:"
    )


def test_braces_in_a_text_are_only_text() -> None:
    assert filled("{a} of {b}", {"a": "{b.__class__} {0}", "b": "{{"}) == "{b.__class__} {0} of {{"


def test_every_choice_is_scored_after_its_prompt(model: Any) -> None:
    found = run_task(model, find_task("cola"), rows(3))
    assert model.asked[0] == ("text 0\nQuestion: Does this sentence make sense?\nAnswer:", " no")
    assert [answer for _, answer in model.asked] == [" no", " yes"] * 3
    assert [chosen(one) for one in found.answered] == [0, 0, 0], "the shorter one loses less"
    assert found.metrics == {"acc": pytest.approx(2 / 3), "mcc": 0.0}
    assert (found.shots, len(found.answered)) == (0, 3)


def test_characters_and_bytes_normalise_without_the_space() -> None:
    # -6 / 2 characters against -8 / 4, -6 / 2 bytes against -8 / 2.
    one = Answered(prompt="", target=0, choices=("ab", "\u00e9\u00e9\u00e9\u00e9"), log_probs=(-6.0, -12.0))
    assert [chosen(one, by) for by in ("acc", "acc_norm", "acc_bytes")] == [0, 0, 1]
    # -2 / 1 against -7 / 4; with the space -2 / 2 against -7 / 5.
    short = Answered(prompt="", target=0, choices=("a", "bcde"), log_probs=(-2.0, -7.0))
    assert [chosen(short, by) for by in ("acc", "acc_norm", "acc_bytes")] == [0, 1, 1]
    tie = Answered(prompt="", target=0, choices=("ab", "cd"), log_probs=(-1.0, -1.0))
    assert chosen(tie) == 0


def test_groups_count_the_same_whatever_their_size(model: Any) -> None:
    pairs = [
        {"sentence_good": good, "sentence_bad": bad, "UID": kind}
        for kind, good, bad in [("a", "YES", "no"), ("a", "YES", "no"), ("a", "YES", "no"), ("b", "no", "YES")]
    ]
    found = run_task(model, find_task("blimp"), pairs)
    assert found.metrics == {"acc": pytest.approx(0.5)}
    assert found.intervals["acc"].estimate == pytest.approx(0.5)
    assert len(run_task(model, find_task("blimp"), pairs, limit=1).answered) == 2, "the first of each group"
    assert model.asked[0] == ("", " YES")


def test_groups_of_unequal_size_have_an_interval_of_shares() -> None:
    task = find_task("blimp")
    right = Answered(prompt="", target=0, choices=("a", "b"), log_probs=(-1.0, -2.0))
    wrong = dataclasses.replace(right, log_probs=(-2.0, -1.0))
    few, many = (dataclasses.replace(right, group=group) for group in ("few", "many"))
    every = intervals(task, [few] * 2 + [many] * 18)["acc"]
    assert (every.estimate, every.high) == (1, 1) and 0.6 < every.low < 0.9
    missed = dataclasses.replace(wrong, group="few")
    some = intervals(task, [few] * 50 + [missed] * 50 + [many] * 900)["acc"]
    # The few carry all the doubt: half of their share's standard error of 0.05.
    assert some.estimate == judge(task, [few] * 50 + [missed] * 50 + [many] * 900)["acc"] == 0.75
    assert (some.low, some.high) == pytest.approx((0.75 - 1.96 * 0.025, 0.75 + 1.96 * 0.025), abs=0.002)


def test_intervals_are_of_the_figures(model: Any) -> None:
    for name in ("cola", "mrpc"):
        task = find_task(name)
        answered = [
            Answered(prompt="", target=number % 3 > 0, choices=("a", "b"), log_probs=(-1.0, -float(number % 5)))
            for number in range(1, 60)
        ]
        answered = [dataclasses.replace(one, target=int(one.target)) for one in answered]
        figures = judge(task, answered)
        for metric, interval in intervals(task, answered).items():
            assert interval.estimate == pytest.approx(figures[metric], abs=1e-12)
            assert interval.low < figures[metric] < interval.high
        assert set(figures) == set(intervals(task, answered)) == set(task.metrics)
        assert intervals(task, answered[:1]) == {}


def test_solved_examples_never_hold_the_question(model: Any) -> None:
    task, records = find_task("cola"), rows(4)
    found = run_task(model, task, records, shots=3)
    for record, one in zip(records, found.answered, strict=True):
        question = task.ask(record)
        assert one.prompt.endswith(question)
        assert one.prompt.count(record["sentence"]) == 1
        assert one.prompt.count("\n\n") == 3
    assert found.shots == 3
    again = run_task(model, task, records, shots=3)
    assert [one.prompt for one in again.answered] == [one.prompt for one in found.answered]
    twice = [records[0], *records]
    for one in run_task(model, task, twice, shots=3).answered[:2]:
        assert one.prompt.count("text 0") == 1, "nor a copy of it"
    with pytest.raises(ConfigError, match=r"too few examples[\s\S]*--shots-data"):
        run_task(model, task, records, shots=4)


def test_answers_are_written_within_what_the_model_holds(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def generate(prompts: Any, *, max_new_tokens: int, **settings: Any) -> list[Any]:
        calls.append((list(prompts), max_new_tokens, settings))
        return [types.SimpleNamespace(text=f" {number}. #### 1,{number}00.") for number, _ in enumerate(prompts)]

    monkeypatch.setattr(model, "generate", generate)
    monkeypatch.setattr(model, "tokenizer", letters())
    monkeypatch.setattr(model, "config", types.SimpleNamespace(context_tokens=60))
    short, long = {"Body": "a", "Question": "b?", "Answer": 1000.0}, {"Body": "a" * 90, "Question": "?", "Answer": 3.5}
    found = run_task(model, find_task("svamp"), [long, short])
    (texts, room, settings), (ids, _, _) = calls
    assert texts == ["Question: a b?\nAnswer:"]
    assert len(ids[0]) == 60 - room
    assert ids[0][-1] == len(find_task("svamp").ask(long)) - 1, "the end of the prompt is what is kept"
    assert (room, settings["temperature"], settings["stop"][0]) == (32, 0.0, "Question:")
    assert [one.target for one in found.answered] == ["3.5", "1000"]
    assert found.cut == 1
    assert found.metrics == {"exact_match_flexible": 0.5}, "1,000. is 1000, and not 3.5"
    monkeypatch.setattr(model, "config", types.SimpleNamespace(context_tokens=20))
    run_task(model, find_task("svamp"), [short])
    assert calls[-1][1] == 10, "half of what it holds"


def test_all_answers_are_asked_for_at_once(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups would each wait for their longest answer."""
    calls = []

    def generate(prompts: Any, **settings: Any) -> list[Any]:
        calls.append(len(prompts))
        return [types.SimpleNamespace(text=str(number)) for number, _ in enumerate(prompts)]

    monkeypatch.setattr(model, "generate", generate)
    records = [{"Body": "a", "Question": "b?", "Answer": float(number)} for number in range(150)]
    assert run_task(model, find_task("svamp"), records).metrics == {"exact_match_flexible": 1.0}
    assert calls == [150]


def test_a_label_that_no_choice_has_is_refused(model: Any) -> None:
    with pytest.raises(DataError, match=r"no label that this task knows[\s\S]*label = '-1'[\s\S]*dev.tsv"):
        run_task(model, find_task("cola"), [*rows(200), {"sentence": "a", "label": -1}])
    assert not model.asked, "it is refused before any work"
    for given, choice in (("entailment", 0), ("not_entailment", 1), (1, 1), ("0", 0), (1.0, 1)):
        assert TASKS["rte"].target({"label": given}) == choice
    assert [TASKS["boolq"].target({"label": given}) for given in (True, False, "true", "False")] == [1, 0, 1, 0]


def test_an_unknown_task_is_told_its_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no such task[\s\S]*did you mean sst2\?"):
        find_task("SST-2")
    with pytest.raises(ConfigError, match="did you mean perplexity"):
        find_task("perplexty", ("perplexity",))
