"""The quickstart from end to end on little text: every stage, broken off and resumed, the report, a second run."""

import dataclasses
import json
import pathlib

import pytest

import trivium
from tests.recipes.texts import write_notes
from trivium.data.embedded import Entry
from trivium.errors import DataError
from trivium.recipes import quickstart as recipe
from trivium.recipes.quickstart import QuickstartConfig, quickstart
from trivium.training.run import Run

_SECTIONS = (
    "What was chosen, and why",
    "The text",
    "How it learnt",
    "Against simpler things",
    "What became cheap",
    "What it expects next",
    "Where it looks",
    "What became alike",
    "What it writes",
    "Taught to summarise",
    "What it cost",
    "Your turn",
)


def entries() -> list[Entry]:
    """Documentation of a library that does not exist, alike from module to module as real ones are."""
    verbs, things = ("read", "write", "close"), ("file", "queue", "table", "socket", "image", "tree")
    return [
        Entry(
            name=f"library{module}.{verb}_{thing}",
            kind="function",
            signature=f"(self, {thing}, limit={module})",
            documentation=f"{verb.capitalize()} the {thing} of library{module} and return it.\n\nRaises OSError.",
            group=f"library{module}",
            licence="MIT",
        )
        for module in range(40)
        for thing in things
        for verb in verbs
    ]


def weights_of_the_base(config: QuickstartConfig) -> pathlib.Path:
    return config.output / "quickstart" / "base" / "checkpoints" / "last" / "model.safetensors"


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> tuple[QuickstartConfig, int]:
    """A run that ended between training and its report, and when its base was written."""
    config = QuickstartConfig(steps=12, minutes=0.5, output=tmp_path_factory.mktemp("runs"))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "embedded_entries", entries)
        patch.setattr(recipe, "gather", interrupted)
        with pytest.raises(KeyboardInterrupt):
            quickstart(config)
    return config, weights_of_the_base(config).stat().st_mtime_ns


@pytest.fixture(scope="module")
def embedded(broken_off: tuple[QuickstartConfig, int]) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "embedded_entries", entries)
        return quickstart(dataclasses.replace(broken_off[0], resume=True))


def test_resuming_does_only_what_is_left(broken_off: tuple[QuickstartConfig, int], embedded: Run):
    config, written = broken_off
    assert embedded.folder.name == "quickstart" and embedded.report.is_file()
    assert weights_of_the_base(config).stat().st_mtime_ns == written


def test_the_report_has_every_section(embedded: Run):
    page = embedded.report.read_text(encoding="utf-8")
    assert [title for title in _SECTIONS if f"<h2>{title}</h2>" not in page] == []
    assert "unigram" in page and "xz" in page


def test_the_finished_model_is_the_tuned_one_and_chats(embedded: Run):
    model = trivium.load(embedded.folder)
    tuned = trivium.load(embedded.folder / "tuned")
    assert all(a.equal(b) for a, b in zip(model.network.parameters(), tuned.network.parameters(), strict=True))
    assert model.chat([{"role": "user", "content": "library3.read_file(self)"}], max_new_tokens=4).token_ids


def test_pairs_are_split_by_module(embedded: Run):
    def modules(side: str) -> set[str]:
        lines = (embedded.folder / "pairs" / f"{side}.jsonl").read_text().splitlines()
        return {json.loads(line)["prompt"].partition(".")[0] for line in lines}

    assert modules("train") and modules("validation") and not modules("train") & modules("validation")


def test_stages_and_metrics_are_kept(embedded: Run):
    stages = json.loads((embedded.folder / "stages.json").read_text())
    assert {"prepare the text", "pre-train", "tune"} <= stages.keys()
    assert all(seconds > 0 and peak > 0 for seconds, peak in stages.values())
    assert embedded.metrics()[-1]["step"] == 12


@pytest.mark.slow
def test_own_text_and_a_second_run_beside_the_first(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
    config = QuickstartConfig(data=write_notes(tmp_path / "notes"), steps=8, minutes=0.3, output=tmp_path / "runs")
    first, second = quickstart(config), quickstart(config)
    assert (first.folder.name, second.folder.name) == ("quickstart", "quickstart-2")
    assert "Taught to summarise" not in first.report.read_text(encoding="utf-8")
    said = capsys.readouterr()
    assert "trivium chat" in said.err and "make quickstart DATA=folder" in said.err and not said.out


def test_too_little_text_is_refused_before_anything_is_measured(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    def measured(*_: object) -> None:
        raise AssertionError("it was measured")

    monkeypatch.setattr(recipe, "_planned", measured)
    data = write_notes(tmp_path / "notes", files=2)
    with pytest.raises(DataError, match="too little text"):
        quickstart(QuickstartConfig(data=data, output=tmp_path / "runs"))
