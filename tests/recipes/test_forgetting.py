"""What is measured before and after, against counting by hand; what is kept, and what the report shows."""

import json
import math
import pathlib

import pytest
import torch

from tests.recipes.texts import write_notes, write_pairs
from trivium import tokenizers
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.soft_prompt import SoftPromptConfig
from trivium.checkpoints.provenance import Origin
from trivium.data.embedded import Entry
from trivium.data.examples import Example
from trivium.data.examples_file import read_records
from trivium.errors import ConfigError, DataError, UserError
from trivium.lm.load import save
from trivium.lm.local import LocalModel
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.recipes import general_text
from trivium.recipes.examples import encode_record
from trivium.recipes.finetune import finetune
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.forgetting import (
    FORGETTING,
    OWN,
    ForgettingConfig,
    HeldOut,
    Standing,
    Task,
    compared,
    forgetting_sections,
    hold_out,
    standing,
)
from trivium.recipes.method_config import MethodName
from trivium.reports.forgetting import Compared, forgetting_section
from trivium.training.run import Run

CONTEXT = 64


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> tokenizers.Tokenizer:
    notes = write_notes(tmp_path_factory.mktemp("notes"), 4)
    return tokenizers.train([path.read_text() for path in notes.iterdir()], kind="byte_bpe", vocabulary_size=300)


@pytest.fixture
def model(tokenizer: tokenizers.Tokenizer) -> LocalModel:
    torch.manual_seed(0)
    config = GPT2Config(
        vocabulary_size=tokenizer.vocabulary_size, width=16, layers=1, heads=2, context_tokens=CONTEXT, dropout=0.0
    )
    return LocalModel(GPT2(config), tokenizer)


def encoded(model: LocalModel, path: pathlib.Path) -> list[Example]:
    return [
        encode_record(model.tokenizer, record, prompt_format="plain", answers="last") for record in read_records(path)
    ]


def held_of(model: LocalModel, tmp_path: pathlib.Path, **settings) -> HeldOut:
    notes = write_notes(tmp_path / "notes", 3)
    found = hold_out(
        ForgettingConfig(text=notes, text_bytes=2000, examples=4, **settings),
        model,
        own=encoded(model, write_pairs(tmp_path / "pairs.jsonl", 9)),
        prompt_format="plain",
        context_tokens=CONTEXT,
    )
    assert found is not None
    return found


def test_figures_are_those_of_counting_by_hand(model: LocalModel, tmp_path: pathlib.Path) -> None:
    held = held_of(model, tmp_path)
    found = standing(model, held)
    nats = 0.0
    for index in range(held.text.num_documents):
        ids = held.text.document(index)
        for start in range(0, len(ids) - 1, CONTEXT):
            window = torch.from_numpy(ids[None, start : start + CONTEXT + 1])
            log_probs = model.logits(window[:, :-1]).log_softmax(-1)
            nats -= float(log_probs.gather(-1, window[:, 1:, None]).sum())
    assert found.bits_per_byte == pytest.approx(nats / math.log(2) / held.text.num_bytes, rel=1e-5)
    assert 1500 < held.text.num_bytes <= 2000
    total = count = 0.0
    (task,) = held.tasks
    assert task.name == OWN and len(task.examples) == 4
    for example in task.examples:
        log_probs = model.logits(torch.tensor([example.ids])).log_softmax(-1)[0]
        for place in range(1, len(example.ids)):
            if example.trained[place]:
                total, count = total - float(log_probs[place - 1, example.ids[place]]), count + 1
    assert found.tasks[OWN]["loss"] == pytest.approx(total / count, rel=1e-5)


def test_answers_are_written_and_compared(model: LocalModel) -> None:
    """Right is what the model writes greedily, in as many tokens as the answer has."""
    examples = [Example(ids=[5 + n, 9, 7, 7, 7], trained=[False, False, True, True, True]) for n in range(4)]
    said = model.generate([list(e.ids[:2]) for e in examples], max_new_tokens=3, temperature=0.0)
    answers = [said[0].text.strip(), said[1].text.strip() + " more", "nothing of it", said[3].text.strip()]
    asked = HeldOut(
        text=None, text_source="", tasks=[Task(name=OWN, examples=examples, answers=answers)], context_tokens=CONTEXT
    )
    figures = standing(model, asked)
    assert figures.bits_per_byte is None
    assert figures.tasks[OWN]["exact_match"] == 0.5
    assert 0.0 <= figures.tasks[OWN]["rougeL"] < 1.0


def test_before_and_after_are_kept_and_shown(model: LocalModel, tmp_path: pathlib.Path) -> None:
    other = write_pairs(tmp_path / "older_task.jsonl", 5)
    held = held_of(model, tmp_path, tasks=(other,))
    assert [task.name for task in held.tasks] == [OWN, "older_task"]
    before = standing(model, held)
    with torch.no_grad():
        model.network.head.weight.mul_(1.5)
    run = Run.start(tmp_path / "run", {}, resume=False)
    (section,) = forgetting_sections(run, held, before)(model)
    told = json.loads((run.folder / FORGETTING).read_text())
    after = standing(model, held)
    assert told["text"]["bits_per_byte"] == {"before": before.bits_per_byte, "after": after.bits_per_byte}
    assert told["tasks"]["older_task"]["loss"]["after"] == after.tasks["older_task"]["loss"]
    assert told["tasks"][OWN]["examples"] == 4
    assert before.bits_per_byte != after.bits_per_byte
    for words in ("older_task", "bits per byte", "ROUGE-L", f"{after.bits_per_byte:.3f}", "notes"):
        assert words in section.body
    assert not forgetting_sections(run, None, None)(model)


def test_gain_and_loss_have_their_signs() -> None:
    held = HeldOut(text=None, text_source="", tasks=[Task(name=OWN, examples=[], answers=[])], context_tokens=8)
    measures = [{"loss": loss, "exact_match": right, "rougeL": right} for loss, right in ((2.0, 0.5), (1.0, 0.75))]
    before, after = (
        Standing(bits_per_byte=bits, tasks={OWN: m}) for bits, m in zip((1.0, 1.25), measures, strict=True)
    )
    gains = {(one.what, one.measure): one.gain_percent for one in compared(held, before, after)}
    assert gains[OWN, "nats a token"] == 50.0
    assert gains[OWN, "answers exactly right"] == 50.0
    assert gains["text in general", "bits per byte"] == -25.0
    body = forgetting_section(compared(held, before, after), text_source="").body
    assert "text in general -25.0 per cent" in body and "+0.250, worse" in body and "+0.250, better" in body


def test_names_from_outside_are_escaped() -> None:
    one = Compared(what="<b>", measure="x", before=1.0, after=2.0, lower_is_better=True, drawn=True)
    assert "<b>" not in forgetting_section([one], text_source="<i>").body.replace("\\u003cb", "")


def test_nothing_is_measured_where_it_is_not_wanted(model: LocalModel) -> None:
    config = ForgettingConfig(measure=False)
    assert hold_out(config, model, own=[], prompt_format="plain", context_tokens=CONTEXT) is None


def test_bad_files_are_refused_before_any_work(model: LocalModel, tmp_path: pathlib.Path) -> None:
    notes, pairs = write_notes(tmp_path / "notes", 1), write_pairs(tmp_path / "pairs.jsonl", 3)

    def ask(*, context_tokens: int = CONTEXT, **settings) -> None:
        config = ForgettingConfig(**{"text": notes, **settings})
        hold_out(config, model, own=[], prompt_format="plain", context_tokens=context_tokens)

    with pytest.raises(UserError, match="absent"):
        ask(text=tmp_path / "absent.txt")
    with pytest.raises(DataError, match="no example of this task can be measured"):
        ask(tasks=(pairs,), context_tokens=4)
    with pytest.raises(DataError, match="told apart by the names"):
        ask(tasks=(pairs, tmp_path / "more" / "pairs.jsonl"))


def test_text_in_general(
    model: LocalModel, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python's documentation in two parts that share nothing; what was trained on where that is here."""
    entries = [entry(number) for number in range(200)]
    monkeypatch.setattr(general_text, "embedded_entries", lambda packages: entries)
    measured, source = general_text.general_texts(model, measured=True, most_bytes=10**6)
    others, _ = general_text.general_texts(model, measured=False, most_bytes=10**6)
    assert source == "the documentation of Python on this machine"
    assert 1 <= len(measured) < 40 and len(measured) + len(others) == 200 and not set(measured) & set(others)
    model.origin = Origin(folder=tmp_path, described={"data": str(tmp_path / "gone")})
    assert general_text.general_texts(model, measured=True, most_bytes=10**6) == (measured, source)
    # Without any documentation nothing is measured, which is told; where somebody asked for it, it is an error.
    monkeypatch.setattr(general_text, "embedded_entries", lambda packages: [])
    held = hold_out(ForgettingConfig(), model, own=[], prompt_format="plain", context_tokens=CONTEXT)
    assert held is not None and held.text is None
    assert "text in general is not measured" in capsys.readouterr().err


def entry(number: int) -> Entry:
    return Entry(
        name=f"module{number}.name",
        kind="function",
        signature="()",
        documentation=f"Number {number} does something.",
        group=f"module{number}",
        licence="PSF-2.0",
    )


@pytest.mark.parametrize(("most", "expected"), [(10_000, 100), (500, 500), (50, 50)])
def test_texts_are_taken_evenly(most: int, expected: int) -> None:
    texts = [f"{number:03}" + "x" * 97 for number in range(100)] if expected != 100 else ["x" * 100]
    chosen = general_text.evenly(texts, most)
    assert sum(map(len, chosen)) == expected
    if expected == 500:
        assert [text[:3] for text in chosen] == ["000", "020", "040", "060", "080"]
    assert general_text.evenly([], most) == []


@pytest.mark.parametrize("method", ["full", "soft-prompt", "pissa", "houlsby"])
def test_before_is_the_base_whatever_the_method_begins_with(
    model: LocalModel, tmp_path: pathlib.Path, method: MethodName
) -> None:
    """Some methods change what the model says from the start: a soft prompt stands before every text."""
    save(model, tmp_path / "base")
    notes = write_notes(tmp_path / "notes", 3)
    measured = ForgettingConfig(text=notes, text_bytes=2000, examples=2)
    run = finetune(
        FinetuneConfig(
            model=tmp_path / "base",
            data=write_pairs(tmp_path / "pairs.jsonl", 30),
            method=method,
            soft_prompt=SoftPromptConfig(tokens=4) if method == "soft-prompt" else SoftPromptConfig(),
            bottleneck=BottleneckConfig(width=4) if method == "houlsby" else BottleneckConfig(),
            context_tokens=CONTEXT - 4,
            steps=1,
            forgetting=measured,
            output=tmp_path,
        )
    )
    told = json.loads((run.folder / FORGETTING).read_text())["text"]["bits_per_byte"]["before"]
    held = hold_out(measured, model, own=(), prompt_format="chat", context_tokens=CONTEXT - 4)
    assert held is not None
    assert told == pytest.approx(standing(model, held).bits_per_byte, rel=1e-6)


def test_what_a_method_cannot_be_is_refused_before_anything_is_measured(
    model: LocalModel, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(model, tmp_path / "base")
    monkeypatch.setattr("trivium.recipes.finetune.standing", lambda *_: pytest.fail("measured"))
    with pytest.raises(ConfigError, match="nothing_of_that_name"):
        finetune(
            FinetuneConfig(
                model=tmp_path / "base",
                data=write_pairs(tmp_path / "pairs.jsonl", 30),
                method="lora",
                lora=LoRAConfig(targets=("nothing_of_that_name",)),
                context_tokens=CONTEXT,
                steps=1,
                output=tmp_path,
            )
        )
