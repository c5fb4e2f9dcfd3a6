"""Fine-tuning through its recipe: it learns the completions, in the form in which the model is then asked."""

import json
import pathlib

import pytest

import trivium
from tests.recipes.texts import write_notes, write_pairs
from trivium.errors import DataError
from trivium.lm.chat import chat_prompt
from trivium.recipes.finetune import FinetuneConfig, encode_example, finetune, read_pairs
from trivium.recipes.pretrain import BatchConfig, ModelConfig, PretrainConfig, VocabularyConfig, pretrain
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig


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
            context_tokens=64,
            steps=30,
            optimiser=OptimiserConfig(learning_rate=0.01),
        )
    )
    rows = run.metrics()
    assert rows[-1]["validation_loss"] < 0.7 * rows[0]["loss"]
    said = json.loads((run.checkpoints / "last" / "trivium.json").read_text())
    assert said["parent"] == str(base.folder)
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
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[" * 100_000, "line 2: .*brackets too deep"),
        ('{"prompt": ' + "1" * 5000 + "}", "line 2: a number too long"),
        ('{"prompt": "a"}', "line 2: no texts"),
        ('{"prompt": "a", "completion": 3}', "line 2: no texts"),
        ('{"prompt": "a", "completion": ""}', "line 2: an empty completion"),
    ],
)
def test_a_bad_line_is_named(tmp_path: pathlib.Path, line: str, message: str):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n' + line + "\n")
    with pytest.raises(DataError, match=message):
        read_pairs(path)


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
