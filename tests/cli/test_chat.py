"""A conversation: what is remembered, taken back, saved and changed by each command."""

import io
import json
import sys

import pytest

from tests.cli.tiny import write_model
from trivium.cli import chat_commands, terminal
from trivium.cli import main as cli
from trivium.cli.chat import Chat
from trivium.cli.conversation import Conversation
from trivium.cli.sampling import Sampling
from trivium.errors import ConfigError
from trivium.lm.load import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "tiny", context_tokens=512)


@pytest.fixture(scope="module")
def model(folder):
    return load(folder)


@pytest.fixture
def talk(model):
    return Conversation(model, Sampling(max_new_tokens=4))


def said(conversation, line):
    return chat_commands.obey(conversation, line).text


def ask(conversation, question):
    return conversation.ask(question, lambda piece: None)


def test_a_conversation_remembers_undoes_and_forgets(model):
    conversation = Conversation(model, Sampling(max_new_tokens=4), system="the dog")
    shown = []
    answer = conversation.ask("How are you?", shown.append)
    assert "".join(shown).strip() == answer
    ask(conversation, "the fox")
    assert [message["role"] for message in conversation.messages] == ["system"] + ["user", "assistant"] * 2
    assert "are forgotten" in said(conversation, "/undo")
    assert [message["content"] for message in conversation.messages[:2]] == ["the dog", "How are you?"]
    said(conversation, "/reset")
    assert conversation.messages == [{"role": "system", "content": "the dog"}]
    assert "nothing was said" in said(conversation, "/undo")
    assert len(conversation.messages) == 1


def test_retry_and_edit_take_the_last_question_back(talk):
    ask(talk, "the fox")
    assert chat_commands.obey(talk, "/retry").ask == "the fox"
    assert talk.messages == []
    ask(talk, "the fox")
    assert chat_commands.obey(talk, "/edit the dog").ask == "the dog"
    ask(talk, "the fox")
    assert chat_commands.obey(talk, "/edit").edit == "the fox"
    assert "nothing was said" in said(talk, "/retry") == said(talk, "/edit")


def test_the_system_message_changes_without_what_was_said(talk):
    ask(talk, "the fox")
    said(talk, "/system be brief")
    assert [message["role"] for message in talk.messages] == ["system", "user", "assistant"]
    assert "be brief" in said(talk, "/system")
    said(talk, "/system -")
    assert talk.system is None and talk.turns == 1


def test_what_is_saved_is_loaded_and_reads_as_an_example(talk, model, tmp_path):
    from trivium.data.examples_file import read_records

    talk.set_system("be brief")
    ask(talk, "the fox")
    ask(talk, "the dog")
    file = tmp_path / "talk.jsonl"
    assert "answers in it: 2" in said(talk, f"/save {file}")
    other = Conversation(model, Sampling())
    said(other, f"/load {file}")
    assert other.messages == talk.messages and other.turns == 2
    assert [record.form for record in read_records(file)]
    assert other.tokens()[0] == talk.tokens()[0] > talk.tokens()[1] > 0


def test_saving_deletes_nothing_else_and_loading_takes_nothing_else(talk, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("dear diary")
    assert "saving would delete it" in said(talk, f"/save {file}")
    assert file.read_text() == "dear diary"
    assert "holds no conversation" in said(talk, f"/load {file}")
    file.write_text('{"messages": [{"role": "user", "content": "the last word"}]}\n')
    assert "holds no conversation" in said(talk, f"/load {file}")
    assert "No such file" in said(talk, f"/load {tmp_path / 'absent'}")
    assert "which file?" in said(talk, "/save")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/sampler greedy", "the most probable token"),
        ("/sampler precise", "temperature 0.3, then top_p 0.9, then a token by chance"),
        ("/sampler creative", "min_p 0.05, then a token by chance"),
        ("/sampler temperature=0.5,top_k=3", "temperature 0.5, then top_k 3, then a token by chance"),
        ("/sampler temperature=0.5 repetition-penalty=1.1", "repetition_penalty 1.1, then temperature 0.5"),
        ("/temperature 0.5", "temperature 0.5"),
    ],
)
def test_the_sampler_changes(talk, line, expected):
    assert f"tokens are chosen so: {expected}" in said(talk, line)
    assert said(talk, line) == said(talk, "/sampler")
    ask(talk, "the fox")


def test_a_sampler_by_name_replaces_the_one_before(talk):
    said(talk, "/sampler temperature=0.5,top_k=3")
    said(talk, "/sampler creative")
    assert (talk.sampling.top_k, talk.sampling.min_p, talk.sampling.temperature) == (None, 0.05, 1.0)
    said(talk, "/sampler greedy")
    said(talk, "/temperature 0.7")
    assert (talk.sampling.greedy, talk.sampling.temperature) == (False, 0.7)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/sampler greedyy", "did you mean greedy?"),
        ("/sampler tempreture=1", "did you mean temperature?"),
        ("/sampler top_k=many", "a whole number"),
        ("/sampler top_k=0", "leaves no token"),
        ("/sampler greedy=perhaps", "true or false"),
        ("/temperature", "tokens are chosen so: the most probable token"),
        ("/temperature hot", "a number"),
        ("/temperature -1", "0 (greedy) or a positive number"),
        ("/temperature nan", "0 (greedy) or a positive number"),
        ("/undoo", "there is no /undoo: did you mean /undo?"),
        ("/xyzzy", "see /help"),
        ("/probabilities maybe", "on or /probabilities off"),
    ],
)
def test_slips_are_told_and_change_nothing(talk, line, expected):
    before = talk.sampling
    assert expected in said(talk, line)
    assert talk.sampling == before


def test_probabilities_are_those_of_the_last_answer(talk):
    assert talk.seen() == []
    answer = ask(talk, "the fox")
    seen = talk.seen()
    assert "".join(token.text for token in seen).strip() == answer
    assert all(0 < token.probability < 1 and token.alternatives for token in seen)
    assert chat_commands.obey(talk, "/probabilities").look
    assert chat_commands.obey(talk, "/probabilities on").probabilities is True
    talk.undo()
    assert talk.seen() == []


def test_help_names_every_command(talk):
    text = said(talk, "/help")
    assert all(f"{command.name} " in text for command in chat_commands.COMMANDS)


def test_an_answer_that_fails_was_never_asked(model):
    conversation = Conversation(model, Sampling(max_new_tokens=4, temperature=-1.0))
    with pytest.raises(ConfigError):
        ask(conversation, "the fox")
    assert conversation.messages == []


def test_a_model_that_asks_for_beams_still_talks(folder):
    from trivium.lm.local import LocalModel

    plain = load(folder)
    conversation = Conversation(
        LocalModel(plain.network, plain.tokenizer, generation={"num_beams": 4}), Sampling(max_new_tokens=4)
    )
    assert ask(conversation, "the fox") == ask(Conversation(plain, Sampling(max_new_tokens=4)), "the fox")


def test_ctrl_c_ends_an_answer_and_keeps_it(model):
    conversation = Conversation(model, Sampling(max_new_tokens=20))

    def interrupt(piece: str) -> None:
        if piece != " ...":
            raise KeyboardInterrupt

    conversation.ask("the fox", interrupt)
    assert [message["role"] for message in conversation.messages] == ["user", "assistant"]


def test_chat_from_a_pipe_answers_each_line(folder, capsys, monkeypatch, tmp_path):
    lines = "the fox\n/help\n\n/nonsense\nthe \\\ndog\n```\na\nb\n```\n//x\n/edit the cat\n/quit\nnever\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    file = tmp_path / "talk.jsonl"
    assert cli.main(["chat", folder, "--max-new-tokens", "4", "--output", str(file)]) == 0
    captured = capsys.readouterr()
    assert "/temperature 0.7" in captured.out and "there is no /nonsense" in captured.out
    assert "\x1b" not in captured.out and "Ctrl-D" in captured.err
    asked = [each["content"] for each in json.loads(file.read_text())["messages"] if each["role"] == "user"]
    assert asked == ["the fox", "the \ndog", "a\nb", "the cat"]


def test_what_cannot_be_answered_is_told_and_the_chat_goes_on(model, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("the fox\n/tokens\n"))
    Chat(Conversation(model, Sampling(max_new_tokens=4, temperature=-1.0))).run()
    captured = capsys.readouterr()
    assert "/undo, /reset or another /sampler may help" in captured.err
    assert "the conversation is 0 tokens" in captured.out


def test_a_question_may_be_changed_in_an_editor(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setenv("EDITOR", "sed -i s/fox/cat/")
    assert terminal.edited("the fox") is None  # nobody is there to edit
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert terminal.edited("the fox\nran") == "the cat\nran"
    monkeypatch.setenv("EDITOR", "false")
    assert terminal.edited("the fox") == "the fox"
    monkeypatch.setenv("EDITOR", "")
    assert terminal.edited("the fox") is None


def test_chat_is_not_for_programs(folder, capsys):
    assert cli.main(["chat", folder, "--json"]) == 2
    assert "trivium generate MODEL" in capsys.readouterr().err
    assert cli.main(["chat", folder, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["needs"]["choosing"] == ["the most probable token", "at most 100 tokens"]


def test_what_a_terminal_would_obey_is_spelt_out():
    assert terminal.visible("a\tb\n\x1b[31m\x07\x9b") == "a\tb\n\\x1b[31m\\x07\\x9b"
