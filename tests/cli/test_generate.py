"""`generate` on a model that is really there, saved and opened again."""

import io
import json
import math
import sys

import pytest
import torch

import trivium
from tests.cli.tiny import write_model
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.lora import LoRAConfig
from trivium.checkpoints.adapter_folder import save_adapter
from trivium.checkpoints.model_folder import load_model
from trivium.cli import generate
from trivium.cli import main as cli
from trivium.generation.engine import Engine
from trivium.tokenizers import SpecialTokens
from trivium.tokenizers.special import FILL_IN_THE_MIDDLE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "tiny")


def test_generate_speaks_json(folder, capsys):
    words = ["generate", folder, "--prompt", "the ", "--max-new-tokens", "5", "--temperature", "0", "--json"]
    assert cli.main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"text", "token_ids", "logprobs", "finish_reason", "settings"}
    assert len(answer["token_ids"]) == len(answer["logprobs"]) <= 5
    assert answer["settings"]["max_new_tokens"] == 5
    assert answer["settings"]["temperature"] == 0


def test_several_adapters_answer_in_one_batch(folder, tmp_path, capsys):
    """Each prompt with each of them, as each alone does; also where a search is asked for."""
    for number in range(2):
        network = load_model(folder)
        attach(network, "mine", LoRAConfig(rank=2, targets="all-linear"))
        with torch.no_grad():
            for parameter in adapter_parameters(network, "mine").values():
                parameter.normal_(std=0.5)
        save_adapter(tmp_path / str(number), network, "mine", base=folder)
    adapters = [str(tmp_path / "0"), str(tmp_path / "1")]
    (tmp_path / "prompts.txt").write_text("the \nquick \n")
    words = ["generate", folder, "--input", str(tmp_path / "prompts.txt"), "--max-new-tokens", "4", "--json"]
    for more in ([], ["--beams", "2"]):
        found = {}
        for asked in (adapters, *([one] for one in adapters)):
            assert cli.main([*words, *more, "--adapter", *asked]) == 0
            for line in map(json.loads, capsys.readouterr().out.splitlines()):
                key = (line["prompt"], line.get("adapter", asked[0]))
                found.setdefault(key, []).append(line["token_ids"])
        assert list(found) == [(prompt, one) for prompt in ("the ", "quick ") for one in adapters]
        assert all(together == alone for together, alone in found.values())
        assert len({str(answers) for answers in found.values()}) > 1
    assert cli.main(["generate", folder, "--prompt", "a", "--max-new-tokens", "1", "--adapter", *adapters]) == 0
    assert [line.split(": ")[0] for line in capsys.readouterr().out.splitlines() if ": " in line] == adapters


def test_an_adapter_on_other_weights_is_refused_unless_they_are_said_to_do(folder, tmp_path, capsys):
    network = load_model(folder)
    attach(network, "mine", LoRAConfig(rank=2))
    save_adapter(tmp_path / "adapter", network, "mine", base=folder)
    other = write_model(tmp_path / "other")
    changed = trivium.load(other)
    with torch.no_grad():
        changed.network.embedding.weight += 1
    trivium.save(changed, other)
    words = ["generate", other, "--prompt", "a", "--max-new-tokens", "1", "--adapter", str(tmp_path / "adapter")]
    assert cli.main(words) == 2
    assert "--any-base" in capsys.readouterr().err
    assert cli.main([*words, "--any-base"]) == 0


def test_generate_prints_text_and_reads_standard_input(folder, capsys, monkeypatch):
    assert cli.main(["generate", folder, "--prompt", "the ", "--max-new-tokens", "5"]) == 0
    said = capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO("the "))
    assert cli.main(["generate", folder, "--max-new-tokens", "5"]) == 0
    assert capsys.readouterr().out == said
    assert len(said) > 1


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # as in the locale C
def test_what_is_no_text_exits_with_2_wherever_it_comes_from(folder, capsys, monkeypatch, tmp_path, errors):
    (tmp_path / "prompts.txt").write_bytes(b"a\xffb")
    assert cli.main(["generate", folder, "--input", str(tmp_path / "prompts.txt")]) == 2
    assert "are not text" in capsys.readouterr().err
    for words in (["generate", folder], ["tokenize", folder]):
        stdin = io.TextIOWrapper(io.BytesIO(b"a\xffb"), encoding="utf-8", errors=errors)
        monkeypatch.setattr(sys, "stdin", stdin)
        assert cli.main(words) == 2
        assert "standard input is not text" in capsys.readouterr().err
    assert cli.main(["generate", folder, "--prompt", "a\udcffb"]) == 2
    assert "the prompt is not text" in capsys.readouterr().err


def _answer(folder, capsys, *words):
    assert cli.main(["generate", folder, "--prompt", "the fox the ", "--max-new-tokens", "8", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_draft_changes_no_answer(folder, capsys, monkeypatch):
    from trivium.lm.local import LocalModel

    plain, drafts, generate = _answer(folder, capsys), [], LocalModel.generate

    def noted(self, prompts, draft=None, **settings):
        drafts.append(draft)
        return generate(self, prompts, draft=draft, **settings)

    monkeypatch.setattr(LocalModel, "generate", noted)
    assert _answer(folder, capsys, "--draft", "lookup")["token_ids"] == plain["token_ids"]
    assert _answer(folder, capsys, "--draft", folder)["token_ids"] == plain["token_ids"]
    assert drafts[0] == "lookup" and isinstance(drafts[1], LocalModel)


def test_what_is_banned_begun_with_and_reordered(folder, capsys):
    from trivium.lm.load import load

    plain = _answer(folder, capsys)
    tokenizer = load(folder).tokenizer
    assert tokenizer is not None
    first = plain["text"][0]
    other = _answer(folder, capsys, "--ban", first, "fox")
    assert first not in other["text"]
    banned = [tokenizer.encode(text) for text in (first, f" {first}", "fox", " fox")]
    assert other["settings"]["constraints"]["banned"] == banned
    assert _answer(folder, capsys, "--begin-with", "fox")["text"].startswith("fox")
    order = _answer(folder, capsys, "--order", "top-p", "temperature")["settings"]["order"]
    assert order.index("top_p") < order.index("temperature")
    assert [name for name in order if name not in ("top_p", "temperature")] == [
        name for name in plain["settings"]["order"] if name not in ("top_p", "temperature")
    ]
    assert cli.main(["generate", folder, "--prompt", "a", "--ban", "fox", "--draft", "lookup", "--dry-run"]) == 0
    assert "banned" in (said := capsys.readouterr().out) and "guesses from the text itself" in said


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


def test_every_setting_reaches_the_model(folder, capsys):
    words = "--min-p 0.01 --typical-p 0.9 --repetition-penalty 1.2 --frequency-penalty 0.1 --presence-penalty 0.2"
    words += " --top-k 9 --no-repeat-ngram 2 --min-new-tokens 3 --max-new-tokens 4 --seed 5 --stop zz --json"
    assert cli.main(["generate", folder, "--prompt", "the ", *words.split()]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["constraints"]["no_repeat_ngram"] == 2 and settings["constraints"]["min_new_tokens"] == 3
    expected = {"min_p": 0.01, "typical_p": 0.9, "repetition_penalty": 1.2, "frequency_penalty": 0.1, "seed": 5}
    expected |= {"presence_penalty": 0.2, "top_k": 9, "stop": ["zz"], "temperature": 1.0}
    assert {name: settings[name] for name in expected} == expected


def test_a_search_gives_the_best_whole(folder, capsys):
    words = ["generate", folder, "--prompt", "the ", "--beams", "3", "--n", "2", "--length-penalty", "0.5", "--json"]
    assert cli.main([*words, "--max-new-tokens", "4", "--groups", "3", "--diversity-penalty", "0.5"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 2 and answers[0]["settings"]["beams"] == 3
    assert answers[0]["settings"]["search"]["groups"] == 3 and answers[0]["settings"]["length_penalty"] == 0.5


def test_what_stands_between_two_texts(folder, tmp_path, capsys):
    able = write_model(tmp_path / "able", special=SpecialTokens(others=FILL_IN_THE_MIDDLE))
    words = ["--prompt", "the", "--suffix", " dog", "--max-new-tokens", "6", "--n", "2", "--temperature", "1", "--json"]
    assert cli.main(["generate", able, *words, "--seed", "3"]) == 0
    printed = [json.loads(line)["token_ids"] for line in capsys.readouterr().out.splitlines()]
    asked = {"max_new_tokens": 6, "n": 2, "temperature": 1.0, "seed": 3}
    expected = trivium.load(able).completions([("the", " dog")], **asked)
    assert printed == [answer.token_ids for answer in expected]
    assert cli.main(["generate", folder, *words]) == 2
    assert "cannot complete" in capsys.readouterr().err


def test_prompts_of_a_file(folder, tmp_path, capsys):
    plain, lines, out = tmp_path / "p.txt", tmp_path / "p.jsonl", tmp_path / "out.jsonl"
    plain.write_text("the fox\n\nthe dog\n")
    lines.write_text('"the fox"\n{"prompt": "the dog"}\n')
    words = ["generate", folder, "--max-new-tokens", "4", "--json"]
    assert cli.main([*words, "--input", str(plain)]) == 0
    said = capsys.readouterr().out
    assert [json.loads(line)["prompt"] for line in said.splitlines()] == ["the fox", "the dog"]
    assert cli.main([*words, "--input", str(lines), "--output", str(out)]) == 0
    captured = capsys.readouterr()
    assert out.read_text() == said and captured.out == "" and f"written to {out}" in captured.err


def test_prompts_of_a_file_are_asked_at_once_and_answered_along_the_way(folder, tmp_path, capsys, monkeypatch):
    """In groups each would wait for its longest answer; at the very end nobody would see how far it is."""
    prompts = [f"the {'fox' if number % 2 else 'dog'} {number}" for number in range(40)]
    (tmp_path / "p.txt").write_text("\n".join(prompts))
    asked, unfinished = [], []
    submit, say = Engine.submit, generate.print_json
    monkeypatch.setattr(Engine, "submit", lambda engine, requests: (asked.append(requests), submit(engine, requests)))
    monkeypatch.setattr(generate, "ROWS_AT_ONCE", 4)

    def count(*words):
        unfinished.append(sum(request.finish_reason is None for request in asked[0]))
        say(*words)

    monkeypatch.setattr(generate, "print_json", count)
    words = ["generate", folder, "--max-new-tokens", "5", "--n", "2", "--temperature", "1", "--seed", "1", "--json"]
    assert cli.main([*words, "--input", str(tmp_path / "p.txt")]) == 0
    assert [len(requests) for requests in asked] == [80]
    assert unfinished[0] > 60 and unfinished[-1] == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["prompt"] for answer in said] == [prompt for prompt in prompts for _ in range(2)]
    expected = trivium.load(folder).generate(prompts, max_new_tokens=5, n=2, temperature=1, seed=1)
    assert [answer["token_ids"] for answer in said] == [answer.token_ids for answer in expected]
    assert [answer["text"] for answer in said] == [answer.text for answer in expected]
    assert cli.main([*words, "--input", str(tmp_path / "p.txt"), "--output", str(tmp_path / "out.jsonl")]) == 0
    assert "generate: 80/80 answers" in capsys.readouterr().err


def test_probabilities_as_data_and_as_text(folder, capsys):
    words = ["generate", folder, "--prompt", "the ", "--max-new-tokens", "4", "--show-probabilities"]
    assert cli.main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["alternatives"]) == len(answer["token_ids"]) == 4
    for logprob, alternatives in zip(answer["logprobs"], answer["alternatives"], strict=True):
        assert all(chance <= math.exp(logprob) + 1e-6 for _, chance in alternatives)  # greedy: nothing is likelier
    assert cli.main(words) == 0
    first, *table = capsys.readouterr().out.splitlines()
    assert first == answer["text"] and len(table) == 5
    assert table[0].startswith(f"  {100 * math.exp(answer['logprobs'][0]):5.1f}%") and "instead:" in table[0]
    assert "4 tokens, each chosen among" in table[-1]


def test_a_dry_run_tells_size_memory_and_how_tokens_are_chosen(folder, capsys):
    words = ["generate", folder, "--prompt", "the ", "--dry-run", "--max-new-tokens", "28"]
    words += ["--temperature", "0.7", "--top-p", "0.9", "--repetition-penalty", "1.1", "--n", "2"]
    assert cli.main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == folder and said["sampling"]["temperature"] == 0.7
    needs = said["needs"]
    assert needs["model"] == "llama, 4,176 parameters" and needs["dtype"] == "float32"
    assert needs["cache_bytes_a_token"] == 2 * 16 * 4  # keys and values of one layer
    assert needs["longest_prompt_tokens"] == 4
    assert needs["cache_mib"] == pytest.approx(2 * (4 + 28) * 128 / 2**20, abs=1e-3)
    assert needs["choosing"] == [
        "repetition_penalty 1.1",
        "temperature 0.7",
        "top_p 0.9",
        "a token by chance",
        "at most 28 tokens",
    ]
    assert cli.main(words) == 0
    captured = capsys.readouterr()
    assert "what it will need" in captured.out and "nothing was done" in captured.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "--prompt", "a"], "there is no such folder"),
        (["FOLDER", "--prompt", "a", "--temperature", "-1"], "the temperature cannot be used"),
        (["FOLDER", "--prompt", "a", "--max-new-tokens", "0"], "nothing is to be generated"),
        (["FOLDER", "--prompt", "a", "--max-new-tokens", "100000000000"], "the answers do not fit into memory"),
        (["nowhere", "--dry-run"], "there is no such folder"),
        (["FOLDER", "--prompt", "a", "--input", "x"], "two places to read prompts from"),
        (["FOLDER", "--input", "nowhere.txt"], "check the path"),
        (["FOLDER", "--prompt", "a", "--greedy", "--temperature", "1"], "greedy takes no temperature"),
        (["FOLDER", "--prompt", "a", "--adapter", "nowhere"], "nowhere"),
        (["FOLDER", "--prompt", "a", "--adapter", "one", "two", "--suffix", "b"], "give one adapter at a time"),
        (["FOLDER", "--prompt", "a", "--draft", "nowhere"], "there is no such folder"),
        (["FOLDER", "--prompt", "a", "--draft", "nowhere", "--dry-run"], "there is no such folder"),
        (["FOLDER", "--prompt", "a", "--draft", "lookup", "--beams", "2"], "cannot be drafted for"),
        (["FOLDER", "--prompt", "a", "--suffix", "b", "--draft", "lookup"], "neither drafted nor shown"),
        (["FOLDER", "--prompt", "a", "--ban", ""], "an empty text is no rule"),
        (["FOLDER", "--prompt", "a", "--order", "top_q"], "did you mean top_p?"),
        (["FOLDER", "--prompt", "a", "--order", "top_p", "top_p"], "name top_p once"),
        (["FOLDER", "the fox"], "trivium generate FOLDER --prompt 'the fox'"),
        (["FOLDER", "--prompt", "a", "--steps", "3"], "counted in tokens: --max-new-tokens"),
        (["FOLDER", "--prompt", "a", "--device", "tpu"], "there is no such device"),
        (["FOLDER", "--prompt", "a", "--dtype", "float16", "--device", "cpu"], "about 100 times slower"),
    ],
)
def test_what_is_asked_wrongly_exits_with_2(folder, capsys, words, said):
    assert cli.main(["generate", *(folder if word == "FOLDER" else word for word in words)]) == 2
    captured = capsys.readouterr()
    assert said.replace("FOLDER", folder) in captured.err
    assert captured.out == ""
