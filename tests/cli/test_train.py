"""`trivium train TASK`: which recipe is run, what is said of each, and a run of each that is used afterwards."""

import json
import pathlib
import subprocess
import sys

import pytest

import trivium
from tests.recipes.bases import write_bert
from trivium.cli import main as cli
from trivium.cli import recipe
from trivium.cli.verbs import VERBS
from trivium.lm.load import load
from trivium.recipes import train as by_type
from trivium.training.run import Run

TRAIN = next(verb for verb in VERBS if verb.name == "train")
TASKS = [task.name.split()[-1] for task in TRAIN.tasks]


def test_help_lists_the_tasks_and_each_tells_its_settings(capsys):
    assert cli.main(["train", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in TASKS) and f"Example: {TRAIN.example}" in said
    for task in TRAIN.tasks:
        assert cli.main([*task.name.split(), "--help"]) == 0
        said = capsys.readouterr().out
        assert f"Example: {task.example}" in " ".join(said.split()) and "--epochs" in said
    assert cli.main(["help", "train", "tagging"]) == 0
    assert "trivium train tagging [RECIPE.yaml]" in capsys.readouterr().out
    assert cli.main(["train", "--help", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == TASKS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "train what?"),
        (["--data", "x"], "expected: one of translation, classification, tagging"),
        (["taging"], "did you mean tagging?"),
        (["dance"], "see `trivium train --help`"),
        (["tagging", "--dta", "x"], "did you mean --data?"),
        (["tagging", "--source", "x"], "trivium train tagging has no such setting"),
        (["translation", "--data", "x"], "trivium train translation has no such setting"),
        (["classification"], "trivium train classification needs --data"),
        (["classification", "--data", "x", "--method", "heads"], "did you mean head?"),
        (["translation", "--source", "x", "--target", "y", "--epochs", "0"], "epochs must be"),
        (["classification", "--data", "x", "--regression", "True"], "write --regression or --no-regression"),
        (["text-to-text", "--data", "x", "--fresh"], "fresh draws the weights of a base anew"),
    ],
)
def test_each_slip_is_told_with_its_fix(capsys, words, said):
    assert cli.main(["train", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_slip_is_told_before_torch_is_loaded():
    code = (
        "import sys; from trivium.cli.main import main; codes = [main(['train', 'tagging', '--dta', 'x']),"
        "main(['train', '--help'])]; print(codes, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[2, 0] False\n")


def test_a_recipe_file_and_flags_reach_the_recipe(tmp_path, monkeypatch, capsys):
    import trivium.recipes.tagging as tagging

    asked = []
    monkeypatch.setattr(tagging, "tagging", lambda config: asked.append(config) or {"done": True})
    file = tmp_path / "tags.yaml"
    file.write_text("data: train.conll\nmodel: {crf: false}\nrows: 8\n")
    assert cli.main(["train", "tagging", str(file), "--rows", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"done": True}
    expected = tagging.TaggingConfig(data=pathlib.Path("train.conll"), model=tagging.TaggerConfig(crf=False), rows=4)
    assert asked == [expected]
    assert recipe.facts_of({"done": True}) == {"done": True}


def test_summarisation_is_a_name_of_a_text_for_a_text(monkeypatch, capsys):
    import trivium.recipes.text_to_text as recipes

    asked = []
    monkeypatch.setattr(recipes, "text_to_text", lambda config: asked.append(config) or {})
    assert cli.main(["train", "summarisation", "--data", "x.jsonl", "--json"]) == 0
    assert asked == [recipes.TextToTextConfig(data=pathlib.Path("x.jsonl"), task="summarisation")]
    assert cli.main(["train", "summarisation", "--dta", "x"]) == 2
    assert "did you mean --data?" in capsys.readouterr().err


def test_the_python_name_goes_by_the_configuration(monkeypatch, tmp_path):
    from trivium.recipes.classification import ClassificationConfig
    from trivium.recipes.embedding import EmbeddingConfig
    from trivium.recipes.question_answering import QuestionAnsweringConfig
    from trivium.recipes.tagging import TaggingConfig
    from trivium.recipes.text_to_text import TextToTextConfig
    from trivium.recipes.translation import TranslationConfig

    for name in TASKS:
        monkeypatch.setattr(by_type, name, lambda config, name=name: Run(tmp_path / name))
    path = tmp_path / "data"
    configs = {
        "translation": TranslationConfig(source=path),
        "classification": ClassificationConfig(data=path),
        "tagging": TaggingConfig(data=path),
        "question_answering": QuestionAnsweringConfig(data=path),
        "text_to_text": TextToTextConfig(data=path),
        "embedding": EmbeddingConfig(data=path, base=path),
    }
    assert list(configs) == TASKS
    for name, config in configs.items():
        assert by_type.train(config).folder == tmp_path / name
    assert trivium.train is by_type.train


# From data to answers ------------------------------------------------------------------------------------------------

SMALL = ["--steps", "4", "--json"]
_SMALL_VOCABULARY = ["--vocabulary.size", "300"]
WORDS = {
    **dict.fromkeys(("tagging", "translation", "question_answering"), _SMALL_VOCABULARY),
    "text_to_text": [*_SMALL_VOCABULARY, "--model.width", "8", "--model.layers", "1", "--target-tokens", "8"],
}


def write_data(folder: pathlib.Path, task: str) -> list[str]:
    """The flags that name the data of a task, in which there is something to learn."""
    numbers = range(60)
    if task == "classification":
        rows = [f"the film {n} was {'good' if n % 2 else 'bad'},{'up' if n % 2 else 'down'}\n" for n in numbers]
        (folder / "data.csv").write_text("text,label\n" + "".join(rows))
        return ["--data", str(folder / "data.csv"), "--model.width", "8"]
    if task == "tagging":
        rows = [f"Anna\tB-person\nsaw\tO\nRome\tB-city\n{n}\tO\n\n" for n in numbers]
        (folder / "data.conll").write_text("".join(rows))
        return ["--data", str(folder / "data.conll"), "--model.width", "8"]
    if task == "question_answering":
        asked = [(f"Anna went to Rome in {n}.", {"text": "Rome", "answer_start": 13}) for n in numbers]
        paragraphs = [
            {"context": context, "qas": [{"question": "Where to?", "answers": [answer]}]} for context, answer in asked
        ]
        (folder / "data.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
        return ["--data", str(folder / "data.json"), "--model.width", "8"]
    if task == "text_to_text":
        rows = [json.dumps({"source": f"the old dog {n}", "target": "a dog"}) for n in numbers]
        (folder / "data.jsonl").write_text("\n".join(rows))
        return ["--data", str(folder / "data.jsonl"), "--task", "summarisation"]
    if task == "embedding":
        (folder / "data.txt").write_text("\n".join(f"the old dog {n}" for n in numbers))
        base = write_bert(folder / "base", [f"the old dog {n}" for n in numbers], layers=1)
        return ["--data", str(folder / "data.txt"), "--base", str(base)]
    (folder / "data.de").write_text("".join(f"ein hund {n}\n" for n in numbers))
    (folder / "data.en").write_text("".join(f"a dog {n}\n" for n in numbers))
    return ["--source", str(folder / "data.de"), "--target", str(folder / "data.en"), "--model.width", "8"]


@pytest.mark.parametrize("task", TASKS)
def test_from_data_to_answers(task, tmp_path, capsys):
    words = [
        "train",
        task,
        *write_data(tmp_path, task),
        *WORDS.get(task, []),
        "--output",
        str(tmp_path / "runs"),
        *SMALL,
    ]
    assert cli.main([*words, "--dry-run"]) == 0
    foretold = json.loads(capsys.readouterr().out)["needs"]
    assert not (tmp_path / "runs").exists()
    assert cli.main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["step"] == foretold["steps"] == 4
    folder = tmp_path / "runs" / task
    assert foretold["parameters"] == sum(p.numel() for p in load(folder).network.parameters())
    assert foretold["passes_over_the_data"] > 0 and foretold["memory_mib"]["in_all_mib"] > 0
    assert cli.main([*words, "--dry-run"]) == 2  # as the run itself would be: there is one of this name
    assert isinstance(Run.open(folder).config["steps"], int)
    texts = tmp_path / "texts.txt"
    texts.write_text("the film 3 was good\na dog\n")
    if task == "question_answering":
        texts = tmp_path / "asked.jsonl"
        texts.write_text(2 * (json.dumps({"question": "Where to?", "context": "Anna went to Oslo."}) + "\n"))
    capsys.readouterr()
    assert cli.main(["predict", str(folder), "--input", str(texts), "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
