"""The templates of the tasks: enough of them, all different, and nothing in them that a row does not have."""

import pathlib

import pytest

from trivium.errors import ConfigError, DataError
from trivium.templates.phrasing import TASKS, layouts, own_phrasings, render, task_phrasings

ROW = {
    "text": "THE TEXT",
    "label": "THE LABEL",
    "summary": "THE SUMMARY",
    "source": "THE SOURCE",
    "target": "THE TARGET",
    "source_language": "German",
    "target_language": "English",
    "entities": [{"name": "Ann", "type": "person"}, {"name": "Rome", "type": "place"}],
    "context": "THE CONTEXT",
    "question": "THE QUESTION?",
    "answer": "THE ANSWER",
    "sentence1": "THE FIRST",
    "sentence2": "THE SECOND",
    "premise": "THE PREMISE",
    "hypothesis": "THE HYPOTHESIS",
    "beginning": "THE BEGINNING",
    "ending": "THE ENDING",
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_about_ten_of_which_a_few_are_inverted(task) -> None:
    phrasings = task_phrasings(task)
    assert 9 <= len(phrasings.templates) <= 12
    assert 1 <= sum(template.inverted for template in phrasings.templates) <= 3
    row = {name: ROW[name] for name in phrasings.fields}
    asked = set()
    for template in phrasings.templates:
        prompt = render(template.prompt, {**row, "options_listed": ""}, where="here")
        completion = render(template.completion, row, where="here")
        assert prompt == prompt.strip() and completion == completion.strip() and "  " not in prompt, template.name
        assert "\n\n\n" not in prompt, template.name
        asked.add(prompt)
        if template.lists_options:
            assert "OPTIONS" in render(template.prompt, {**row, "options_listed": "OPTIONS"}, where="here")
    assert len(asked) == len(phrasings.templates)


def test_layouts() -> None:
    for layout in layouts().options:
        text = render(layout.text, {"options": ["yes", "no"]}, where="here")
        assert text[0] in " \n" and "yes" in text and "no" in text, layout.name
    shots = [{"prompt": "P1", "completion": "C1"}, {"prompt": "P2", "completion": "C2"}]
    for layout in layouts().shots:
        text = render(layout.text, {"shots": shots, "prompt": "ASKED"}, where="here")
        places = [text.index(part) for part in ("P1", "C1", "P2", "C2", "ASKED")]
        assert places == sorted(places), layout.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fields: [text]\ntemplates: []", "no templates"),
        (
            "fields: [text]\ntemplates: [{name: a, prompt: '{{ txet }}', completion: x}]",
            "(?s)a: txet.*did you mean text",
        ),
        ("fields: [text]\ntemplates: [{name: a, prompt: '{{ text', completion: x}]", "cannot be read"),
        (
            "fields: [text]\ntemplates: [{name: a, prompt: '{{ text }}', completion: '{{ options_listed }}'}]",
            "no row has",
        ),
        (
            "fields: [text]\ntemplates: [{name: a, prompt: x, completion: x}, {name: a, prompt: y, completion: y}]",
            "names",
        ),
        ("fields: [text]\ntemplates: [{name: a, prompt: x, completion: x, needs: [txt]}]", "needs what no row has"),
        ("fields: [text]\ntemplates: [{name: a, prompt: x, compeltion: x}]", "(?s)no such setting|missing"),
    ],
)
def test_own_templates_are_checked_before_any_row_is_read(tmp_path: pathlib.Path, text: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        own_phrasings(path)


def test_they_run_in_the_sandbox() -> None:
    for hostile in ("{{ ''.__class__.__mro__ }}", "{% for i in range(10 ** 9) %}{{ i }}{% endfor %}"):
        with pytest.raises(DataError, match=r"(?s)fails on a row.*row 7"):
            render(hostile, {}, where="row 7")
