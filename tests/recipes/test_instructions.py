"""A task's file to folders of examples: nothing crosses the split, and what was made can be made again."""

import json
import pathlib
from typing import Any

import pytest

from trivium.cli import main as cli
from trivium.data.examples_file import read_records, told
from trivium.errors import ConfigError, DataError, StorageError
from trivium.recipes.instructions import InstructionsConfig, InstructionStyle, instructions


@pytest.fixture
def reviews(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "reviews.csv"
    rows = [f"text{n // 2} is {('bad', 'good')[n // 2 % 2]},{n // 2 % 2}" for n in range(120)]
    path.write_text("\n".join(["review,stars", *rows]) + "\n")
    return path


def config(reviews: pathlib.Path, **settings: Any) -> InstructionsConfig:
    return InstructionsConfig(
        **{
            "task": "sentiment",
            "sources": (reviews,),
            "columns": ("text=review,label=stars",),
            "labels": ("0=negative", "1=positive"),
            "output": reviews.parent / "examples",
            "held_out": 0.3,
            **settings,
        }
    )


def texts_of(folder: pathlib.Path, part: str) -> set[str]:
    said = " ".join(record.prompt + " " + record.completion for record in read_records(folder / part))
    return {word for word in said.replace("\n", " ").replace('"', " ").split() if word.startswith("text")} - {"text"}


def test_rows_and_phrasings_stay_on_their_side(reviews: pathlib.Path) -> None:
    style = InstructionStyle(phrasings_per_row=3, shots=2)
    made = instructions(config(reviews, style=style, held_out_templates=2, name="films"))
    parts = {part: read_records(made.folder / part) for part in ("train", "validation", "unseen_phrasings")}
    groups = {part: {record.group for record in records} for part, records in parts.items()}
    assert len(groups["train"]) + len(groups["validation"]) == 60
    assert not groups["train"] & groups["validation"] and groups["unseen_phrasings"] == groups["validation"]
    templates = {part: {record.template for record in records} for part, records in parts.items()}
    assert len(templates["train"]) == 8 and templates["validation"] <= templates["train"]
    assert templates["unseen_phrasings"] == set(made.facts["held_out_templates"])
    assert not templates["unseen_phrasings"] & templates["train"]
    # Worked examples are of the training part too: a held-out text is in no training example.
    held = {f"text{n}" for n in range(60)} - texts_of(made.folder, "train")
    assert len(held) == len(groups["validation"]) > 5
    assert all(record.asked == record.group for record in parts["train"])
    assert {record.task for record in parts["train"]} == {"films"}
    assert {record.label for record in parts["train"]} == {"negative", "positive"}
    assert told(parts["train"]).endswith("tasks: " + f"{len(parts['train'])} films")


def test_phrasings_are_held_out_of_those_that_are_used(reviews: pathlib.Path) -> None:
    made = instructions(config(reviews, style=InstructionStyle(inverted=False), held_out_templates=7))
    used = [set(counts["templates"]) for counts in made.facts["parts"].values()]
    unseen = set(made.facts["held_out_templates"])
    assert len(unseen) == 7 and len(used[0]) == 1 and not unseen & used[0] and used[2] <= unseen
    assert not {"write-for-label", "write-review"} & (used[0] | unseen)
    with pytest.raises(ConfigError, match="no phrasing would be left"):
        instructions(config(reviews, style=InstructionStyle(inverted=False), held_out_templates=8, name="b"))


def test_made_again_it_is_the_same_to_the_byte(reviews: pathlib.Path) -> None:
    style = InstructionStyle(shots=2)
    first = instructions(config(reviews, style=style, seed=4)).folder / "train" / "sentiment.jsonl"
    other = reviews.rename(reviews.with_name("moved.csv"))
    again = instructions(config(other, style=style, seed=4, output=reviews.parent / "again")).folder
    assert (again / "train" / "sentiment.jsonl").read_bytes() == first.read_bytes()
    third = instructions(config(other, style=style, seed=5, output=reviews.parent / "third")).folder
    assert (third / "train" / "sentiment.jsonl").read_bytes() != first.read_bytes()


def test_what_was_made_is_told_and_never_written_over(reviews: pathlib.Path) -> None:
    made = instructions(config(reviews))
    facts = json.loads((made.folder / "sentiment.json").read_text())
    assert facts == json.loads(json.dumps(made.facts))
    assert facts["parts"]["train"]["examples"] == sum(facts["parts"]["train"]["templates"].values())
    assert len(facts["sources"][str(reviews)]) == 64
    with pytest.raises(StorageError, match="there already"):
        instructions(config(reviews))
    instructions(config(reviews, name="other"))
    assert told(read_records(made.folder / "train")).count("other") == 1
    assert not [path for path in made.folder.rglob("*") if path.name.startswith(".")]


def test_templates_of_ones_own(reviews: pathlib.Path) -> None:
    own = reviews.with_name("own.yaml")
    own.write_text(
        "fields: [text]\ntemplates: [{name: shout, prompt: 'Shout: {{ text }}', completion: '{{ text | upper }}'}]"
    )
    made = instructions(config(reviews, templates=own, held_out=0.0))
    record = read_records(made.folder / "train")[0]
    assert (record.prompt, record.completion) == ("Shout: text0 is bad", "TEXT0 IS BAD")
    assert sorted(path.name for path in made.folder.iterdir()) == ["sentiment.json", "train"]
    own.write_text("fields: [summary]\ntemplates: [{name: a, prompt: '{{ summary }}', completion: b}]")
    with pytest.raises(ConfigError, match=r"(?s)for other rows.*summary"):
        instructions(config(reviews, templates=own, name="b"))
    own.write_text("fields: [text]\ntemplates: [{name: a, prompt: '{{ text.no.such }}', completion: b}]")
    with pytest.raises(DataError, match=r"(?s)fails on a row.*reviews.csv, line 2: template a"):
        instructions(config(reviews, templates=own, name="b"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"held_out": 1.0}, "between 0 and 1"),
        ({"sources": ()}, "one file"),
        ({"sources": (pathlib.Path("a"), pathlib.Path("b"))}, "one file"),
        ({"name": "../x"}, "cannot be called"),
        ({"source_language": "German"}, "one language"),
        ({"held_out": 0.0, "held_out_templates": 1}, "no rows to measure"),
    ],
)
def test_settings_that_do_not_go_together(reviews: pathlib.Path, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(reviews, **settings)


def test_on_the_command_line(reviews: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    words = ["prepare", str(reviews), "--task", "sentiment", "--columns", "text=review,label=stars"]
    words += ["--output", str(reviews.parent / "out"), "--style.shots", "1"]
    assert cli.main([*words, "--dry-run"]) == 0
    assert not (reviews.parent / "out").exists() and "shots: 1" in capsys.readouterr().out
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "out/train: " in said and " phrasings" in said
    assert cli.main([*words, "--name", "b", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == "b" and facts["folder"].endswith("out")
    assert cli.main([*words[:3], "sentimnt"]) == 2
