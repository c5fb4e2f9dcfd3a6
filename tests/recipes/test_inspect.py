"""What is shown is what the batches hold: the same ids, masks, segments and targets, on the terminal and as a page."""

import html.parser
import io
import itertools
import json
import pathlib
import re

import pytest
from rich.console import Console

from tests.data.prepared_folder import write_prepared
from tests.lm.small import network
from trivium.checkpoints.model_folder import save_folder
from trivium.cli.main import main
from trivium.data.examples import Example, ExamplesSource
from trivium.data.sampler import PackedSource
from trivium.recipes.finetune import FinetuneConfig
from trivium.recipes.inspect import Inspected, _as_text, inspect_examples, inspect_prepared, inspect_source


def written(inspected: Inspected) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=200, color_system="standard")
    inspected.show(console)
    return console.file.getvalue()


def test_it_is_what_the_batches_hold(tmp_path: pathlib.Path) -> None:
    prepared = write_prepared(tmp_path / "data")
    inspected = inspect_prepared(prepared, documents=5, context_tokens=40, seed=3)
    source = PackedSource(prepared.train, context_tokens=40, rows=1, seed=3)
    assert len(inspected.documents) == 5
    batches = [next(source) for _ in range(5)]
    for document in inspected.documents:
        batch = batches[document[0].row]
        here = slice(0, int(batch.lengths[0])) if batch.segments is None else batch.segments[0] == document[0].segment
        assert [token.id for token in document[:-1]] == batch.tokens[0][here].tolist()
        assert [token.target for token in document[:-1]] == batch.targets[0][here].tolist()
        assert [token.trained for token in document[1:]] == batch.mask[0][here].tolist()
        assert [token.position for token in document] == list(range(len(document)))
        assert not document[0].trained and document[-1].target is None
        text = "".join(token.piece for token in document if not token.special)
        said = prepared.tokenizer.decode([token.id for token in document])
        assert text == said or not said.isascii()  # a byte of a character stands by itself
        assert document[0].piece == "<|begin|>" and document[-1].piece == "<|end|>"


def test_context_and_what_is_trained_on_are_told_apart(tmp_path: pathlib.Path) -> None:
    tokenizer = write_prepared(tmp_path / "data").tokenizer
    example = Example.of([tokenizer.bos_id, *tokenizer.encode("the cat")], tokenizer.encode(" sat"), end_id=1)
    source = ExamplesSource([example] * 2, vocabulary_size=290, context_tokens=40, rows=1)
    inspected = inspect_source(source, tokenizer, 2, title="examples")
    assert [document[0].segment for document in inspected.documents] == [0, 1]
    for document in inspected.documents:
        assert [token.trained for token in document] == list(example.trained)
        assert [token.target is not None for token in document] == [*example.trained[1:], False]
        assert "".join(token.piece for token in document if token.trained) == " sat<|end|>"


def test_fine_tuning_is_shown_without_its_model(tmp_path: pathlib.Path) -> None:
    tokenizer = write_prepared(tmp_path / "data").tokenizer
    save_folder(tmp_path / "model", network("llama", tokenizer.vocabulary_size), tokenizer=tokenizer)
    (tmp_path / "model" / "model.safetensors").unlink()
    data = tmp_path / "talk.jsonl"
    turns = [{"role": r, "content": c} for r, c in (("user", "cat"), ("assistant", "sat"))] * 2
    data.write_text(json.dumps({"messages": turns}))
    config = FinetuneConfig(model=tmp_path / "model", data=data, validation=data, answers="all", context_tokens=64)
    (document,) = inspect_examples(config, documents=1).documents
    assert "".join(token.piece for token in document if token.trained) == "sat<|end|>sat<|end|>"
    expected = "<|begin|><|user|>cat<|end|><|assistant|>sat<|end|>"
    assert "".join(token.piece for token in document) == expected + expected.removeprefix("<|begin|>")


def test_the_command_line_shows_what_tuning_would_train_on(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = write_prepared(tmp_path / "data").tokenizer
    save_folder(tmp_path / "model", network("llama", tokenizer.vocabulary_size), tokenizer=tokenizer)
    data = tmp_path / "talk.jsonl"
    turns = [{"role": r, "content": c} for r, c in (("user", "cat"), ("assistant", "sat"))] * 2
    data.write_text(json.dumps({"messages": turns}) + "\n")
    words = ["prepare", "--inspect", str(data), "--model", str(tmp_path / "model"), "--documents", "1", "--json"]
    trained = []
    for more in ([], ["--all-answers"]):
        assert main([*words, *more]) == 0
        (document,) = json.loads(capsys.readouterr().out)["documents"]
        trained.append(sum(token["trained"] for token in document))
    assert trained[0] > 0 and trained[1] == 2 * trained[0]


def test_the_terminal_marks_tokens_and_lets_no_control_character_through(tmp_path: pathlib.Path) -> None:
    tokenizer = write_prepared(tmp_path / "data").tokenizer
    ids = tokenizer.encode("é [red]a\x1b[2J\n\u202eb")
    example = Example.of([tokenizer.bos_id, *ids], tokenizer.encode("ok"), end_id=tokenizer.eos_id)
    source = ExamplesSource([example], vocabulary_size=290, context_tokens=60, rows=1)
    inspected = inspect_source(source, tokenizer, 1, title="[bold]examples")
    said = written(inspected)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert "[bold]examples" in plain and "[red]a␛[2J↵\n" in plain
    assert "\x1b[2J" not in said
    assert "\u202e" not in said
    (document,) = inspected.documents
    grounds = [span.style.bgcolor for span in _as_text(document).spans if not span.style.reverse]
    trained = [token.trained for token in document if not token.special]
    assert [ground is not None for ground in grounds] == trained, "only what is trained on has a ground"
    coloured = [ground for ground in grounds if ground is not None]
    assert all(one != other for one, other in itertools.pairwise(coloured)), "one sees where a token ends"
    assert "document 1: row 0, segment 0" in plain


def test_the_page_holds_the_same_and_runs_nothing(tmp_path: pathlib.Path) -> None:
    tokenizer = write_prepared(tmp_path / "data").tokenizer
    hostile = '<script>alert("x")</script>&amp;'
    example = Example.of([tokenizer.bos_id], tokenizer.encode(hostile), end_id=tokenizer.eos_id)
    source = ExamplesSource([example], vocabulary_size=290, context_tokens=60, rows=1)
    inspected = inspect_source(source, tokenizer, 1, title="<b>x")
    page = inspected.html()
    assert "<script" not in page and "<b>" not in page

    class Spans(html.parser.HTMLParser):
        pieces: list[str] = []  # noqa: RUF012
        titles: list[str] = []  # noqa: RUF012
        inside = False

        def handle_starttag(self, tag: str, attrs: list) -> None:
            self.inside = tag == "span" and "title" in dict(attrs)
            if self.inside:
                self.titles.append(dict(attrs)["title"])

        def handle_data(self, data: str) -> None:
            if self.inside:
                self.pieces.append(data)

        def handle_endtag(self, tag: str) -> None:
            self.inside = False

    parser = Spans()
    parser.feed(page)
    assert "".join(parser.pieces) == "<|begin|>" + hostile + "<|end|>"
    first, second = inspected.documents[0][:2]
    assert parser.titles[0] == f"id {first.id}, segment 0, position 0, predicts {second.id}"


@pytest.mark.parametrize("split", ["group", "tail"])
def test_little_text_is_shown_as_well(tmp_path: pathlib.Path, split: str) -> None:
    prepared = write_prepared(tmp_path / "data", train=[{"ids": ["a"], "text": "the cat"}])
    prepared.manifest["split"] = split
    inspected = inspect_prepared(prepared, documents=1)
    assert "".join(token.piece for token in inspected.documents[0] if not token.special) == "the cat"
    assert json.loads(json.dumps(inspected.facts()))["documents"][0][0]["piece"] == "<|begin|>"
