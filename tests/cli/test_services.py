"""The verbs that use a model, with one that is reached as a service."""

import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lm.hosted import serving
from trivium.cli import chat_commands
from trivium.cli import main as cli
from trivium.cli.conversation import Conversation
from trivium.cli.sampling import Sampling
from trivium.errors import Unsupported
from trivium.lm.load import load


@pytest.fixture
def server() -> Iterator[Any]:
    with serving.serving() as running:
        yield running


@pytest.fixture
def service(server: Any, tmp_path: Any) -> Any:
    """``service(**settings)``: the name of a file of settings. It is not waited for as long as is usual."""

    def named(**settings: Any) -> str:
        given = {"provider": "vllm", "model": "m", "base_url": server.url, "patience": serving.QUICK}
        file = tmp_path / f"service{len(list(tmp_path.glob('*.yaml')))}.yaml"
        file.write_text(json.dumps(given | settings))
        return str(file)

    return named


@pytest.fixture
def name(service: Any) -> str:
    return service()


def test_generate(name: str, server: Any, capsys: Any, tmp_path: Any) -> None:
    words = ["generate", name, "--max-new-tokens", "3"]
    assert cli.main([*words, "--prompt", "once upon a time"]) == 0
    assert capsys.readouterr().out == "ONCE UPON A\n"
    (tmp_path / "prompts.txt").write_text("one\ntwo\nthree\n")
    assert cli.main([*words, "--input", str(tmp_path / "prompts.txt"), "--json", "--n", "2"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["text"] for answer in answers] == ["ONE", "ONE", "TWO", "TWO", "THREE", "THREE"]
    assert (answers[0]["token_ids"], answers[0]["finish_reason"]) == ([], "stop")


def test_generate_as_it_comes(name: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert cli.main(["generate", name, "--prompt", "once upon"]) == 0
    said = capsys.readouterr().out
    assert said.index("once upon") < said.index("ONCE") < said.index(" UPON")  # each piece in its colour


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--show-probabilities"], "does not tell what else"),
        (["--beams", "4"], "does not take the setting beams"),
        (["--draft", "lookup"], "does not take the setting draft"),
        (["--adapter", "folder"], "its weights are not here"),
        (["--dtype", "bfloat16"], "its weights are not here"),
    ],
)
def test_what_a_service_is_not_asked(words: list[str], told: str, name: str, server: Any, capsys: Any) -> None:
    assert cli.main(["generate", name, "--prompt", "a", *words]) == 2
    assert told in capsys.readouterr().err
    assert server.asked == []


def test_a_service_that_fails_exits_with_1(name: str, server: Any, capsys: Any) -> None:
    server.script = [serving.error(400, "too much")]
    assert cli.main(["generate", name, "--prompt", "a"]) == 1
    assert "400: too much" in capsys.readouterr().err
    assert cli.main(["generate", "opnai:m", "--prompt", "a"]) == 2
    assert "did you mean openai:m?" in capsys.readouterr().err


def test_chat(name: str, server: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("how are you\n/tokens\n/probabilities\nwell\n/quit\n"))
    assert cli.main(["chat", name, "--system", "be brief"]) == 0
    said = capsys.readouterr().out
    assert "HOW ARE YOU" in said
    assert "the service read 10 tokens and wrote 3" in said
    assert "does not tell what else" in said
    assert [turn["role"] for turn in server.asked[1]["messages"]] == ["system", "user", "assistant", "user"]
    assert cli.main(["chat", name, "--show-probabilities"]) == 2


def test_a_model_is_asked_by_its_address(server: Any, capsys: Any) -> None:
    assert cli.main(["generate", f"vllm:m@{server.url}", "--prompt", "a"]) == 0
    assert capsys.readouterr().out == "A\n"


def test_an_empty_answer_is_no_turn(name: str, server: Any, capsys: Any, monkeypatch: Any) -> None:
    empty = {"choices": [{"delta": {"content": ""}, "finish_reason": "length"}]}
    server.script = [serving.events(empty)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo\n/quit\n"))
    assert cli.main(["chat", name]) == 0
    captured = capsys.readouterr()
    assert "the service answered nothing" in captured.err
    assert "an empty answer, ended by length" in captured.err
    assert "TWO" in captured.out
    assert len(server.asked[1]["messages"]) == 1


def test_a_conversation_goes_on_after_a_failure(name: str, server: Any, capsys: Any, monkeypatch: Any) -> None:
    server.script = [serving.error(400, "not that")]
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo\n/quit\n"))
    assert cli.main(["chat", name]) == 0
    captured = capsys.readouterr()
    assert "400: not that" in captured.err
    assert "TWO" in captured.out
    assert len(server.asked[1]["messages"]) == 1  # what failed was never said


def test_what_breaks_off_is_told_in_a_line_of_its_own(name: str, server: Any, capsys: Any, monkeypatch: Any) -> None:
    begun = {"choices": [{"delta": {"content": "well"}, "text": "well", "finish_reason": None}]}
    server.script = [serving.events(begun), serving.events(begun)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("how are you\n/quit\n"))
    assert cli.main(["chat", name]) == 0
    assert "well\n" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert cli.main(["generate", name, "--prompt", "a"]) == 1
    captured = capsys.readouterr()
    assert captured.out.endswith("\n")
    assert captured.err.startswith("error: the service broke its answer off")


def test_settings_of_a_conversation(name: str) -> None:
    talk = Conversation(load(name), Sampling())
    assert "top_p 0.5" in chat_commands.obey(talk, "/sampler temperature=0.7,top_p=0.5").text
    assert "error: " in chat_commands.obey(talk, "/sampler typical_p=0.5").text
    assert talk.sampling.typical_p is None
    assert "top_p" in chat_commands.obey(talk, "/settings").text
    assert talk.seen() == []


def test_evaluate(name: str, server: Any, capsys: Any, tmp_path: Any) -> None:
    record = {"Body": "Two and two", "Question": "how many?", "Answer": "4.0"}
    (tmp_path / "svamp.jsonl").write_text(json.dumps(record) + "\n")
    words = ["evaluate", name, "--data", str(tmp_path / "svamp.jsonl"), "--json"]
    server.script = [serving.reply({"choices": [{"text": "It is 4", "finish_reason": "stop"}]})]
    assert cli.main([*words, "--task", "svamp"]) == 0
    assert 1.0 in json.loads(capsys.readouterr().out)["metrics"].values()
    question = {"passage": "It rains.", "question": "does it rain", "label": 1}
    (tmp_path / "svamp.jsonl").write_text(json.dumps(question) + "\n")
    assert cli.main([*words, "--task", "boolq"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["scoring"] == "causal"
    for wrong in ([], ["--task", "perplexity"]):
        assert cli.main([*words, *wrong]) == 2
        assert "can only be put questions" in capsys.readouterr().err


def test_predict(service: Any, server: Any, capsys: Any, tmp_path: Any) -> None:
    settings = service(can=["embed"])
    (tmp_path / "texts.txt").write_text("abc\nd\n")
    assert cli.main(["predict", settings, "--input", str(tmp_path / "texts.txt"), "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["text"] for one in found] == ["abc", "d"]
    assert sum(value**2 for value in found[0]["vector"]) == pytest.approx(1)
    assert cli.main(["predict", f"vllm:m@{server.url}", "--input", str(tmp_path / "texts.txt")]) == 2
    assert "trivium generate vllm:m@" in capsys.readouterr().err


def test_a_dry_run_asks_nobody(name: str, server: Any, capsys: Any, tmp_path: Any) -> None:
    (tmp_path / "texts.jsonl").write_text(json.dumps({"Body": "a", "Question": "b", "Answer": 1}) + "\n")
    data = str(tmp_path / "texts.jsonl")
    for words in (
        ["generate", name, "--prompt", "a"],
        ["chat", name],
        ["evaluate", name, "--data", data, "--task", "svamp"],
    ):
        assert cli.main([*words, "--dry-run", "--json"]) == 0
        assert server.url in capsys.readouterr().out
    assert cli.main(["generate", name, "--prompt", "a", "--beams", "3", "--dry-run"]) == 2
    assert "does not take the setting beams" in capsys.readouterr().err
    assert server.asked == []


def test_a_dry_run_refuses_what_the_service_cannot_do(service: Any, server: Any, capsys: Any, tmp_path: Any) -> None:
    (tmp_path / "texts.jsonl").write_text(json.dumps({"passage": "a", "question": "b", "label": 1}) + "\n")
    evaluate = ["--data", str(tmp_path / "texts.jsonl"), "--task"]
    for words, can, told in (
        (["generate", "--prompt", "a"], ["embed", "chat"], "cannot generate"),
        (["generate", "--prompt", "a", "--suffix", "b"], ["generate"], "cannot complete"),
        (["generate", "--prompt", "a", "--draft", "lookup"], ["generate"], "does not take the setting draft"),
        (["chat"], ["generate"], "cannot chat"),
        (["evaluate", *evaluate, "boolq"], ["generate"], "cannot score"),
        (["evaluate", *evaluate, "svamp"], ["score"], "cannot generate"),
    ):
        verb, *more = words
        assert cli.main([verb, service(can=can), *more, "--dry-run"]) == 2
        assert told in capsys.readouterr().err
    assert server.asked == []


def test_a_model_that_is_a_folder_still_is_one(tmp_path: Any, capsys: Any) -> None:
    assert cli.main(["generate", str(tmp_path / "none"), "--prompt", "a"]) == 2
    assert "no such folder" in capsys.readouterr().err
    with pytest.raises(Unsupported, match="does not download"):
        load("org/model")
