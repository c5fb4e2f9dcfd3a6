"""A conversation: what is remembered, taken back, saved and changed by each command."""

import dataclasses
import io
import json
import signal
import sys

import pytest

from tests.cli.tiny import write_model
from trivium.cli import chat_commands, terminal
from trivium.cli import main as cli
from trivium.cli.chat import Chat
from trivium.cli.conversation import Conversation
from trivium.cli.interrupts import Interrupts
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
    assert chat_commands.obey(talk, "/edit the dog").ask == "the dog"
    assert chat_commands.obey(talk, "/edit").edit == "the fox"
    assert talk.turns == 1  # until the other answer is there
    talk.ask("the dog", lambda piece: None, instead=True)
    assert [message["content"] for message in talk.messages][::2] == ["the dog"]
    talk.undo()
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
        ("/histroy", "did you mean /history?"),
        ("/setting", "did you mean /settings?"),
        ("/seed many", "a whole number"),
        ("/seed -1", "the seed is negative"),
        ("/sampler ban=fox", "there is no such sampler"),
        ("/sampler order=top_p", "there is no such sampler"),
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


@pytest.mark.parametrize("instead", [False, True])
@pytest.mark.parametrize("where", ["chat_prompt", "follow", "step"])
def test_ctrl_c_before_the_first_word_loses_nothing(model, monkeypatch, capsys, where, instead):
    conversation = Conversation(model, Sampling(max_new_tokens=4))
    ask(conversation, "the fox")
    messages, seen = conversation.messages, conversation.seen()

    def interrupted(*given, **named):
        raise KeyboardInterrupt

    def steps():
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        if where == "chat_prompt":
            patch.setattr("trivium.cli.conversation.chat_prompt", interrupted)
        elif where == "follow":
            patch.setattr(model, "follow", interrupted, raising=False)
        else:
            request, _ = model.follow("the dog", max_new_tokens=4)
            patch.setattr(model, "follow", lambda *given, **named: (request, steps()), raising=False)
        with pytest.raises(KeyboardInterrupt):
            conversation.ask("the dog", lambda piece: None, instead=instead)
    assert conversation.messages == messages and conversation.seen() == seen
    ask(conversation, "the dog")
    assert conversation.turns == 2


@pytest.mark.parametrize("line", ["the dog", "/retry", "/edit the dog", "/probabilities"])
def test_ctrl_c_wherever_it_falls_comes_back_to_the_prompt(model, monkeypatch, capsys, tmp_path, line):
    conversation = Conversation(model, Sampling(max_new_tokens=4))
    ask(conversation, "the fox")
    messages = conversation.messages
    stdin = io.StringIO(f"{line}\n/tokens\n")
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr("trivium.cli.terminal._readline", lambda commands: None)

    def interrupted(*given):
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the interrupt was not heard")

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr("trivium.cli.conversation.chat_prompt", interrupted)
        patch.setattr("trivium.cli.probabilities.look", interrupted)
        patch.setattr(conversation, "tokens", lambda: (0, 0))
        Chat(conversation, output=tmp_path / "talk.jsonl").run()
    captured = capsys.readouterr()
    assert "(Ctrl-D or /quit leaves)" in captured.err and "the conversation is 0 tokens" in captured.out
    assert conversation.messages == messages
    assert json.loads((tmp_path / "talk.jsonl").read_text())["messages"] == messages
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_fall_into_the_first():
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        interrupts.listen()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        interrupts.listen()
        interrupts.ignore()
        signal.raise_signal(signal.SIGINT)
    with Interrupts(wanted=False), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_template_worker_that_was_interrupted_answers_again(folder, monkeypatch):
    from trivium.templates import DEFAULT_CHAT_TEMPLATE, ChatTemplate
    from trivium.templates.process import TemplateProcess

    template, messages = ChatTemplate(DEFAULT_CHAT_TEMPLATE), [{"role": "user", "content": "the fox"}]
    rendered = template.render(messages, add_generation_prompt=True)
    worker = TemplateProcess.shared()

    class Waiting:
        def get(self, timeout):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(worker, "_answers", Waiting())
        with pytest.raises(KeyboardInterrupt):
            template.render(messages, add_generation_prompt=True)
    assert template.render([{"role": "user", "content": "the dog"}]) != rendered
    assert template.render(messages, add_generation_prompt=True) == rendered


def test_a_turn_reads_only_what_is_new(model):
    conversation = Conversation(model, Sampling(max_new_tokens=4, min_new_tokens=4))
    ask(conversation, "the quick brown fox")
    read = []
    hook = model.network.register_forward_pre_hook(lambda module, given: read.append(given[0].shape[1]))
    ask(conversation, "dog")
    hook.remove()
    whole, _ = conversation.tokens()
    assert max(read) < whole / 2
    alone = Conversation(model, Sampling(max_new_tokens=4, min_new_tokens=4))
    alone.messages = conversation.messages[:-2]
    assert ask(alone, "dog") == conversation.messages[-1]["content"]


def test_history_settings_and_seed_are_told(model):
    conversation = Conversation(model, Sampling(max_new_tokens=4, temperature=0.7, ban=("fox",)), system="be brief")
    assert said(conversation, "/history") == "told before: be brief"
    answer = ask(conversation, "the fox")
    assert said(conversation, "/history") == f"told before: be brief\nyou: the fox\nmodel: {answer}"
    assert said(conversation, "/seed") == "there is no seed: each answer is drawn anew"
    assert "the seed is 7" in said(conversation, "/seed 7")
    rows = dict(line.split("  ", 1) for line in said(conversation, "/settings").splitlines() if "  " in line)
    rows = {name: value.strip() for name, value in rows.items()}
    expected = {"max_new_tokens": "4", "temperature": "0.7", "seed": "7", "ban": "fox", "greedy": "no", "top_p": "none"}
    assert {name: rows[name] for name in expected} == expected
    assert set(rows) == {field.name for field in dataclasses.fields(Sampling)}
    assert "there is no seed" in said(conversation, "/seed none")
    assert "nothing was said" in said(Conversation(model, Sampling()), "/history")


def test_where_a_chat_is_saved_is_checked_before_the_first_answer(folder, capsys, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("dear diary")
    assert cli.main(["chat", folder, "--output", str(notes)]) == 2
    assert "saving would delete it" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_ends_no_chat(model, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.StringIO("the fox\n/tokens\n"))
    Chat(Conversation(model, Sampling(max_new_tokens=4)), output=tmp_path / "absent" / "talk.jsonl").run()
    captured = capsys.readouterr()
    assert "/save FILE saves elsewhere" in captured.err and "the conversation is" in captured.out


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
