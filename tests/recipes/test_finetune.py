"""Fine-tuning through its recipe: it learns the completions, in the form in which the model is then asked."""

import json
import pathlib

import pytest

import trivium
from tests.recipes.texts import write_notes, write_pairs
from trivium.data.prepared import open_prepared
from trivium.errors import DataError
from trivium.lm.chat import chat_prompt
from trivium.lm.trace import trace
from trivium.recipes.finetune import FinetuneConfig, finetune
from trivium.recipes.forgetting import ForgettingConfig
from trivium.recipes.pretrain import BatchConfig, ModelConfig, PretrainConfig, VocabularyConfig, pretrain
from trivium.recipes.tuning_data import encode_example, read_pairs
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

UNMEASURED = ForgettingConfig(measure=False)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("base")
    return pretrain(
        PretrainConfig(
            data=write_notes(folder / "notes"),
            output=folder,
            vocabulary=VocabularyConfig(size=300),
            model=ModelConfig(width=32, layers=1, heads=2),
            batch=BatchConfig(rows=4, context_tokens=64),
            schedule=ScheduleConfig(kind="wsd", warmup_steps=1),
            steps=10,
        )
    )


def test_completions_are_learnt(base: Run, tmp_path: pathlib.Path):
    data = write_pairs(tmp_path / "pairs.jsonl")
    run = finetune(
        FinetuneConfig(
            model=base.folder,
            data=data,
            output=tmp_path,
            forgetting=UNMEASURED,
            context_tokens=64,
            steps=30,
            optimiser=OptimiserConfig(learning_rate=0.01),
        )
    )
    rows = run.metrics()
    assert rows[-1]["validation_loss"] < 0.7 * rows[0]["loss"]
    said = json.loads((run.checkpoints / "last" / "trivium.json").read_text())
    assert said["parent"] == str(base.folder)
    assert 50 <= said["examples"] < 60 and said["examples_too_long"] == 0
    assert trace(run.folder).state == "verified"
    assert trivium.load(run.folder).chat([{"role": "user", "content": "word 3"}], max_new_tokens=8).text


def test_without_a_number_of_steps_there_are_three_passes(base: Run, tmp_path: pathlib.Path):
    data = write_pairs(tmp_path / "pairs.jsonl", 40)
    run = finetune(
        FinetuneConfig(
            model=base.folder,
            data=data,
            output=tmp_path,
            context_tokens=64,
            rows=2,
            forgetting=UNMEASURED,
        )
    )
    assert run.config["steps"] == run.metrics()[-1]["step"] > 2


def test_prompts_are_encoded_as_the_model_is_asked(base: Run):
    model = trivium.load(base.folder)
    prompt, completion = encode_example(model.tokenizer, "what <|end|>", "This.", prompt_format="chat")
    assert prompt == chat_prompt(model.tokenizer, [{"role": "user", "content": "what <|end|>"}])[0]
    assert completion == model.tokenizer.encode("This.")
    plain, _ = encode_example(model.tokenizer, "what", "This.", prompt_format="plain")
    assert plain == model.tokenizer.prefix_ids + model.tokenizer.encode("what")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[" * 100_000,
        '{"prompt": ' + "1" * 5000 + "}",
        '{"prompt": "a"}',
        '{"prompt": "a", "completion": 3}',
        '{"prompt": "a", "completion": ""}',
    ],
)
def test_a_bad_line_is_named(tmp_path: pathlib.Path, line: str):
    """Also one without an answer."""
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n' + line + "\n")
    with pytest.raises(DataError, match=r"pairs\.jsonl(:|, line )2: "):
        read_pairs(path)


def test_examples_that_are_too_long_are_told_and_not_counted(
    base: Run, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    data = write_pairs(tmp_path / "pairs.jsonl", 30)
    with data.open("a") as file:
        for number in range(3):
            file.write(json.dumps({"prompt": f"long {number}", "completion": "word " * 90}) + "\n")
    held = write_pairs(tmp_path / "held.jsonl", 4)
    options = {"output": tmp_path, "context_tokens": 64, "steps": 1, "forgetting": UNMEASURED}
    run = finetune(FinetuneConfig(model=base.folder, data=data, validation=held, **options))
    assert "3 of 33 examples are longer than 64 tokens and are left out; context_tokens " in capsys.readouterr().err
    said = json.loads((run.checkpoints / "last" / "trivium.json").read_text())
    assert (said["examples"], said["examples_too_long"]) == (30, 3)


def test_every_form_is_learnt_and_a_new_end_token_ends_answers(base: Run, tmp_path: pathlib.Path):
    model = trivium.load(base.folder)
    ending = "{{ bos_token }}{% for m in messages %}{{ '<|' ~ m.role ~ '|>' ~ m.content ~ '<|pad|>' }}{% endfor %}"
    ending += "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    model.tokenizer = model.tokenizer.with_chat_template(ending)
    trivium.save(model, tmp_path / "chatty")
    assert trace(tmp_path / "chatty").state == "verified"
    lines = [
        {"messages": [{"role": r, "content": c} for r, c in (("user", "a"), ("assistant", "b"))] * 2},
        {"prompt": "model", "completion": "reads"},
        {"instruction": "Write", "input": "word", "output": "text"},
        {"text": "The model reads a text."},
    ]
    data = tmp_path / "mixed.jsonl"
    data.write_text("\n".join(json.dumps(line) for line in lines))
    options = {"validation": data, "output": tmp_path, "context_tokens": 64, "steps": 1, "rows": 1}
    options |= {"forgetting": UNMEASURED}
    run = finetune(FinetuneConfig(model=tmp_path / "chatty", data=data, answers="all", **options))
    tuned = trivium.load(run.folder)
    ends = tuned.generate("a", max_new_tokens=1)[0].settings.eos_ids
    assert ends == (tuned.tokenizer.eos_id, tuned.tokenizer.pad_id)


def test_a_run_tells_the_data_it_saw(base: Run):
    prepared = open_prepared(base.folder / "data")
    said = json.loads((base.checkpoints / "last" / "trivium.json").read_text())
    assert said["data"] == str(prepared.folder)
    assert said["data_fingerprint"] == prepared.fingerprint
    assert trace(base.folder).state == "verified"


def test_a_conversation_that_no_template_takes_is_named(base: Run, tmp_path: pathlib.Path):
    talk = [{"role": "robot", "content": "a"}, {"role": "assistant", "content": "b"}]
    data = tmp_path / "talk.jsonl"
    data.write_text('{"text": "a"}\n' + json.dumps({"messages": talk}))
    with pytest.raises(DataError, match=r"the roles are [\s\S]*talk.jsonl, line 2: 'robot'"):
        finetune(FinetuneConfig(model=base.folder, data=data, validation=data, output=tmp_path, context_tokens=64))


def test_rows_longer_than_the_model_reads_are_refused(tmp_path: pathlib.Path):
    base = pretrain(
        PretrainConfig(
            data=write_notes(tmp_path / "notes"),
            output=tmp_path,
            vocabulary=VocabularyConfig(size=300),
            model=ModelConfig(architecture="gpt2", width=32, layers=1, heads=2),
            batch=BatchConfig(rows=2, context_tokens=32),
            schedule=ScheduleConfig(kind="constant"),
            steps=1,
        )
    )
    data = write_pairs(tmp_path / "pairs.jsonl")
    with pytest.raises(DataError, match="cannot read rows of this length"):
        finetune(FinetuneConfig(model=base.folder, data=data, output=tmp_path, context_tokens=64))
