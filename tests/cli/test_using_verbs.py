"""`generate` and `chat` on a model that is really there, saved and opened again."""

import io
import json
import sys

import pytest

from trivium import tokenizers
from trivium.cli import main as cli
from trivium.cli.chat import Conversation
from trivium.cli.sampling import Sampling
from trivium.errors import ConfigError
from trivium.lm.load import load, save
from trivium.lm.local import LocalModel
from trivium.models.llama import Llama, LlamaConfig

TEXT = "the quick brown fox jumps over the lazy dog. User: Assistant:\nHow are you, 0123456789?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny untrained LLaMA with a character vocabulary."""
    tokenizer = tokenizers.train([TEXT], kind="character", vocabulary_size=128)
    shape = LlamaConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        width=16,
        layers=1,
        heads=2,
        key_value_heads=2,
        inner_width=32,
        context_tokens=128,
    )
    path = tmp_path_factory.mktemp("model") / "tiny"
    save(LocalModel(Llama(shape), tokenizer), path)
    return str(path)


def test_generate_speaks_json(folder, capsys):
    words = ["generate", folder, "--prompt", "the ", "--max-new-tokens", "5", "--temperature", "0", "--json"]
    assert cli.main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"text", "token_ids", "logprobs", "finish_reason", "settings"}
    assert len(answer["token_ids"]) == len(answer["logprobs"]) <= 5
    assert answer["settings"]["max_new_tokens"] == 5
    assert answer["settings"]["temperature"] == 0


def test_generate_prints_text_and_reads_standard_input(folder, capsys, monkeypatch):
    assert cli.main(["generate", folder, "--prompt", "the ", "--max-new-tokens", "5"]) == 0
    said = capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", Lines("the ", terminal=False))
    assert cli.main(["generate", folder, "--max-new-tokens", "5"]) == 0
    assert capsys.readouterr().out == said
    assert len(said) > 1


def test_standard_input_that_is_no_text_exits_with_2(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a \xff\xfe"), encoding="utf-8"))
    assert cli.main(["generate", folder]) == 2
    assert "standard input is not text" in capsys.readouterr().err


def test_generate_on_a_terminal_streams_the_same_text(folder, capsys, monkeypatch):
    words = ["generate", folder, "--prompt", "the ", "--max-new-tokens", "5", "--temperature", "1", "--seed", "3"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert cli.main(words) == 0
    assert capsys.readouterr().out == said


def test_generate_several_is_one_json_a_line(folder, capsys):
    words = [
        "generate",
        folder,
        "--prompt",
        "the ",
        "--max-new-tokens",
        "4",
        "--n",
        "3",
        "--temperature",
        "1",
        "--json",
    ]
    assert cli.main(words) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 3


def test_generate_dry_run_only_says_the_settings(capsys):
    assert cli.main(["generate", "nowhere", "--prompt", "a", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "nowhere"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "--prompt", "a"], "there is no such folder"),
        (["FOLDER", "--prompt", "a", "--temperature", "-1"], "the temperature cannot be used"),
        (["FOLDER", "--prompt", "a", "--max-new-tokens", "0"], "nothing is to be generated"),
        (["FOLDER", "--prompt", "a", "--max-new-tokens", "100000000000"], "the answers do not fit into memory"),
        (["FOLDER", "--prompt", "a", "--device", "tpu"], "there is no such device"),
        (["FOLDER", "--prompt", "a", "--dtype", "float16", "--device", "cpu"], "about 100 times slower"),
    ],
)
def test_what_is_asked_wrongly_exits_with_2(folder, capsys, words, said):
    assert cli.main(["generate", *(folder if word == "FOLDER" else word for word in words)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


class Lines:
    """A standard input that holds this text."""

    def __init__(self, text: str, *, terminal: bool):
        self._lines = text.splitlines(keepends=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def read(self) -> str:
        return "".join(self._lines)

    def readline(self) -> str:
        return self._lines.pop(0) if self._lines else ""


def test_a_conversation_remembers_undoes_and_forgets(folder):
    conversation = Conversation(load(folder), Sampling(max_new_tokens=4), system="the dog")
    shown = []
    answer = conversation.ask("How are you?", shown.append)
    assert "".join(shown).strip() == answer
    conversation.ask("the fox", shown.append)
    assert [message["role"] for message in conversation.messages] == ["system"] + ["user", "assistant"] * 2
    conversation.obey("/undo")
    assert [message["content"] for message in conversation.messages[:2]] == ["the dog", "How are you?"]
    assert len(conversation.messages) == 3
    conversation.obey("/reset")
    assert len(conversation.messages) == 1
    assert "nothing was said" in conversation.obey("/undo")
    assert len(conversation.messages) == 1


def test_the_temperature_changes_only_to_what_makes_sense(folder):
    conversation = Conversation(load(folder), Sampling())
    assert "0.5" in conversation.obey("/temperature 0.5")
    for wrong in ("/temperature", "/temperature hot", "/temperature -1", "/temperature nan", "/temperature inf"):
        assert "0 or more" in conversation.obey(wrong)
    assert conversation.sampling.temperature == 0.5


def test_an_unknown_command_shows_the_known(folder):
    said = Conversation(load(folder), Sampling()).obey("/undoo")
    assert "there is no /undoo" in said
    assert "/reset" in said


def test_an_answer_that_fails_was_never_asked(folder):
    conversation = Conversation(load(folder), Sampling(max_new_tokens=4, temperature=-1.0))
    with pytest.raises(ConfigError):
        conversation.ask("the fox", lambda piece: None)
    assert conversation.messages == []


def test_ctrl_c_ends_an_answer_and_keeps_it(folder):
    conversation = Conversation(load(folder), Sampling(max_new_tokens=20))

    def interrupt(piece: str) -> None:
        if piece != " ...":
            raise KeyboardInterrupt

    conversation.ask("the fox", interrupt)
    assert [message["role"] for message in conversation.messages] == ["user", "assistant"]


def test_chat_from_a_pipe_answers_each_line(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Lines("the fox\n/help\n\n/nonsense\nthe dog\n", terminal=False))
    assert cli.main(["chat", folder, "--max-new-tokens", "4"]) == 0
    captured = capsys.readouterr()
    assert "/temperature 0.7" in captured.out
    assert "there is no /nonsense" in captured.out
    assert "Ctrl-D" in captured.err


def test_chat_is_not_for_programs(folder, capsys):
    assert cli.main(["chat", folder, "--json"]) == 2
    assert "trivium generate MODEL" in capsys.readouterr().err
