"""Rows in words: every choice follows from the seed and the row; no example shows its own answer or a held-out row."""

import pytest

from trivium.data.instructions import InstructionExample, InstructionStyle, hold_out_templates, phrased
from trivium.data.task_rows import TaskData, TaskRow
from trivium.errors import ConfigError, DataError
from trivium.templates.phrasing import Phrasing, task_phrasings

TEMPLATES = task_phrasings("sentiment").templates
ROWS = [
    TaskRow(
        fields={"text": f"text{n} said", "label": ("bad", "good")[n % 2]},
        group=f"g{n}",
        label=("bad", "good")[n % 2],
        where=f"r.csv, line {n + 2}",
    )
    for n in range(40)
]
DATA = TaskData(rows=ROWS, options=("bad", "good"))


def made(rows=ROWS, templates=TEMPLATES, data=DATA, shown=ROWS, seed=0, **style) -> list[InstructionExample]:
    return list(phrased(data, templates, InstructionStyle(**style), task="t", rows=rows, shown=shown, seed=seed))


def test_every_row_is_asked_about_in_several_ways() -> None:
    examples = made(phrasings_per_row=3)
    assert len(examples) == 120
    assert {example.template for example in examples} == {template.name for template in TEMPLATES}
    for row, three in zip(ROWS, [examples[n : n + 3] for n in range(0, 120, 3)], strict=True):
        assert {example.group for example in three} == {row.group} and {example.label for example in three} == {
            row.label
        }
        assert len({example.template for example in three}) == 3
        for example in three:
            asked, answered = str(row.fields["text"]), str(row.label)
            assert (asked in example.instruction) != (asked in example.output)
            assert answered in example.output or answered in example.instruction


def test_inverted_templates_may_be_left_out() -> None:
    inverted = {template.name for template in TEMPLATES if template.inverted}
    assert {example.template for example in made(phrasings_per_row=10)} >= inverted
    assert not {example.template for example in made(phrasings_per_row=10, inverted=False)} & inverted


@pytest.mark.parametrize(("options", "share"), [("always", (1, 1)), ("never", (0, 0)), ("sometimes", (0.3, 0.7))])
def test_options_are_listed_or_not(options: str, share: tuple[float, float]) -> None:
    listing = {template.name for template in TEMPLATES if template.lists_options}
    examples = [example for example in made(phrasings_per_row=8, options=options) if example.template in listing]
    told = sum("bad" in example.instruction and "good" in example.instruction for example in examples)
    assert share[0] <= told / len(examples) <= share[1]


def test_worked_examples_are_of_other_rows_that_may_be_shown() -> None:
    shown = [*ROWS[:10], *ROWS[:3]]
    examples = made(shots=3, few_shot_share=1.0, shown=shown)
    assert {example.shots for example in examples} == {1, 2, 3}
    allowed = {str(row.fields["text"]) for row in shown}
    for row, example in zip(ROWS, examples, strict=True):
        others = {str(other.fields["text"]) for other in ROWS} - {str(row.fields["text"])}
        seen = {text for text in others if text in example.instruction}
        assert len(seen) == example.shots and seen <= allowed
        own = str(row.fields["text"])
        assert (example.instruction + example.output).count(own) == 1
    assert {example.shots for example in made(shots=3, few_shot_share=0.0)} == {0}
    assert 0.3 < sum(example.shots > 0 for example in made(shots=2)) / len(ROWS) < 0.7
    assert {example.shots for example in made(rows=ROWS[:1], shown=ROWS[:1], shots=3, few_shot_share=1.0)} == {0}


def test_the_same_seed_gives_the_same_examples_and_rows_do_not_disturb_each_other() -> None:
    assert made(seed=1) == made(seed=1) != made(seed=2)
    assert made(rows=ROWS[:5]) == made()[:5]
    moved = [TaskRow(fields=row.fields, group=row.group, label=row.label, where="elsewhere") for row in ROWS]
    assert made(rows=moved) == made()


def test_templates_that_are_not_for_a_row() -> None:
    rows = [
        TaskRow(fields={"sentence1": f"a{n}", "sentence2": f"b{n}", "label": label}, group=f"g{n}", label=label)
        for n, label in enumerate(["yes", "no"])
    ]
    data = TaskData(rows=rows, options=("no", "yes"))
    templates = task_phrasings("paraphrase").templates
    rewriting = {template.name for template in templates if template.only}
    assert len(rewriting) == 2

    def used(**style) -> set[tuple[str, str | None]]:
        return {(e.template, e.label) for e in made(rows, templates, data, rows, phrasings_per_row=20, **style)}

    assert not {name for name, _ in used()} & rewriting
    assert {pair for pair in used(positive="yes") if pair[0] in rewriting} == {(name, "yes") for name in rewriting}
    with pytest.raises(ConfigError, match=r"(?s)none of the labels.*maybe.*no, yes"):
        used(positive="maybe")
    named = TaskRow(fields={"text": "Nobody left.", "entities": []}, group="g")
    asked = made([named], task_phrasings("entities").templates, TaskData(rows=[named]), [named], phrasings_per_row=20)
    assert {example.output for example in asked} == {"none", "0"}


def test_a_template_that_fails_names_the_row() -> None:
    fails = Phrasing(name="division", prompt="{{ text }}", completion="{{ 1 // (label | length - 4) }}")
    with pytest.raises(DataError, match=r"(?s)fails on a row.*r.csv, line 3: template division: ZeroDivisionError"):
        made(rows=ROWS[:3], templates=[fails])
    empty = Phrasing(name="nothing", prompt="{{ text }}", completion="{% if label == 'bad' %}{{ label }}{% endif %}")
    with pytest.raises(DataError, match=r"(?s)makes nothing of a row.*r.csv, line 3: template nothing"):
        made(rows=ROWS[:3], templates=[empty])
    with pytest.raises(DataError, match="no template is for any"):
        made(templates=[template for template in TEMPLATES if template.inverted], inverted=False)


def test_text_of_a_row_is_never_a_template() -> None:
    row = TaskRow(fields={"text": "{{ label }} {% raw %}", "label": "good"}, group="g", label="good")
    example = made([row], [t for t in TEMPLATES if not t.inverted], TaskData(rows=[row], options=("good",)), [row])[0]
    assert "{{ label }} {% raw %}" in example.instruction


def test_phrasings_that_training_never_sees() -> None:
    trained, unseen = hold_out_templates(TEMPLATES, 3, seed=1)
    assert len(unseen) == 3 and {t.name for t in trained} | {t.name for t in unseen} == {t.name for t in TEMPLATES}
    assert hold_out_templates(TEMPLATES, 3, seed=1)[1] == unseen != hold_out_templates(TEMPLATES, 3, seed=2)[1]
    assert hold_out_templates(TEMPLATES, 0)[0] == list(TEMPLATES)
    with pytest.raises(ConfigError, match="no phrasing would be left"):
        hold_out_templates(TEMPLATES, len(TEMPLATES))


def test_styles_that_cannot_be() -> None:
    for style in ({"phrasings_per_row": 0}, {"shots": -1}, {"few_shot_share": 1.5}):
        with pytest.raises(ConfigError):
            InstructionStyle(**style)
