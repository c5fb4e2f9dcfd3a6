"""How well a model labels, as a page tells it."""

from trivium.reports.labels import Labelled, Mistake, label_sections

FOUND = Labelled(
    count=40,
    figures={"accuracy": 0.825, "macro_f1": 0.81},
    intervals={"accuracy": (0.68, 0.913)},
    per_label={"<b>good": {"precision": 0.9, "recall": 0.75, "f1": 0.818, "support": 24}},
    mistakes=[Mistake(text="not <i>bad " + "x" * 500, wanted="good", given="bad (51%)")],
)


def test_figures_intervals_and_rows_stand_on_the_page() -> None:
    well, wrong = label_sections(FOUND)
    assert well.title == "How well it does" and wrong.title == "Where it is wrong"
    for told in ("82.5 %", "accuracy, 68.0 to 91.3 at 95 %", "macro f1", "90.00", "75.00", "24", "40 that"):
        assert told in well.body, told
    assert "51%" in wrong.body and "x" * 300 not in wrong.body


def test_what_comes_from_outside_is_text() -> None:
    page = "".join(section.body for section in label_sections(FOUND))
    assert "<b>" not in page.replace("<b>82.5 %</b>", "").replace("<b>81.0 %</b>", "") and "<i>" not in page


def test_without_a_mistake_there_is_nothing_to_show_of_them() -> None:
    faultless = Labelled(count=1, figures={"f1": 1.0}, intervals={}, per_label={}, mistakes=[])
    assert [section.title for section in label_sections(faultless)] == ["How well it does"]
