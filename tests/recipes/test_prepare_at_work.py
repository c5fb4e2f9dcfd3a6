"""`prepare` as a pipeline: killed and begun again, by one process or several, over files that mean harm."""

import io
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.hostile.files import write_all
from tests.forked import in_child
from trivium.data import pool, work_folder
from trivium.data.dedup.paragraphs import ParagraphConfig
from trivium.data.forget import forget
from trivium.data.mixtures import Mixture
from trivium.data.prepared import Prepared, documents_sha256, open_prepared
from trivium.data.provenance import stored_documents
from trivium.data.quality import QualityConfig
from trivium.data.readers import ReadOptions
from trivium.data.refine import TextConfig
from trivium.data.tasks import DuplicatesConfig
from trivium.errors import ConfigError, DataError, Interrupted, StorageError
from trivium.recipes import prepare as recipe
from trivium.recipes.prepare import PrepareConfig, WorkConfig, prepare
from trivium.runtime import atomic


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Forty files with copies, near-copies, repeated paragraphs and an address; two that cannot be read."""
    folder = tmp_path / "source"
    folder.mkdir()
    draw = np.random.default_rng(0)
    words = np.array([f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"])
    for number in range(40):
        paragraphs = [" ".join(draw.choice(words, 30)) + "." for _ in range(4)]
        if number % 5 == 0:
            paragraphs.append("This notice stands under every fifth of these texts and says nothing about it at all.")
        (folder / f"{number:02}.txt").write_text("\n\n".join(paragraphs))
    text = (folder / "03.txt").read_text()
    (folder / "copy.txt").write_text(text.upper())
    (folder / "near.txt").write_text(text.replace(text.split()[7], "another"))
    (folder / "mail.txt").write_text("Write to ann@example.org about it. " + " ".join(draw.choice(words, 60)))
    (folder / "bad.txt").write_bytes(b"caf\xe9 " * 20)
    (folder / "bad.jsonl").write_text('{"text": "' + " ".join(draw.choice(words, 40)) + '"}\n{"no": 1}\n')
    return folder


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many units of little text."""
    monkeypatch.setattr(work_folder, "UNIT_BYTES", 4000)
    monkeypatch.setattr(recipe, "UNIT_BYTES", 1 << 30)


def run(source: Path, output: Path, **options: Any) -> Prepared:
    settings: dict[str, Any] = {
        "vocabulary_size": 300,
        "validation_fraction": 0.2,
        "text": TextConfig(redact=True),
        "duplicates": DuplicatesConfig(repeated_paragraphs=True, paragraphs=ParagraphConfig(boilerplate_documents=5)),
        **options,
    }
    return prepare(PrepareConfig(sources=(str(source),), output=output, **settings), silent=True)


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_stage_is_told(source: Path, tmp_path: Path, small_units: None) -> None:
    prepared = run(source, tmp_path / "out")
    removed = prepared.manifest["removed"]
    assert removed["file passed over"] == 2
    assert removed["duplicate"] == 1
    assert removed["near-duplicate"] == 1
    rows = {row["rule"]: row for row in prepared.funnel}
    assert [e["reason"] for e in rows["near-duplicate"]["examples"]] == ["nearly repeats 03.txt"]
    assert rows["privacy"]["details"] == {"email": 1}
    assert rows["repeated paragraph"]["documents_changed"] == 8
    texts = "\n".join([*prepared.texts("train"), *prepared.texts("validation")])
    assert "<email>" in texts
    assert "example.org" not in texts
    assert "This notice stands" not in texts
    stages = [row["stage"] for row in prepared.funnel]
    assert stages == sorted(stages, key=lambda stage: list(dict.fromkeys(stages)).index(stage))
    page = (prepared.folder / "funnel.html").read_text()
    assert "nearly repeats 03.txt" in page
    assert "plotly" not in page.lower()


def test_the_manifest_names_every_source_and_document(source: Path, tmp_path: Path) -> None:
    prepared = run(source, tmp_path / "out", reading=ReadOptions(licence="CC0-1.0"), licences=("CC0-1.0",))
    (row,) = prepared.manifest["sources"]
    assert row["source"] == str(source)
    assert row["licence"] == "CC0-1.0"
    assert len(row["sha256"]) == 64
    lines = list(stored_documents(prepared.folder))
    for line in lines:
        store = {"train": prepared.train, "validation": prepared.validation}[line.side]
        assert prepared.tokenizer.decode(store.document(line.index).tolist())
    assert len(lines) == prepared.train.num_documents + prepared.validation.num_documents
    with pytest.raises(DataError, match=r"licence that is not allowed(.|\n)*unknown: "):
        run(source, tmp_path / "other", licences=("MIT",))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_any_number_of_processes_gives_the_same_bytes(
    source: Path, tmp_path: Path, small_units: None, processes: int
) -> None:
    here = run(source, tmp_path / "here")
    there = run(source, tmp_path / "there", work=WorkConfig(processes=processes))
    assert content(here.folder) == content(there.folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "source", "there"]


@pytest.mark.slow
def test_ray_gives_the_same_bytes(source: Path, tmp_path: Path, small_units: None) -> None:
    pytest.importorskip("ray")
    here = run(source, tmp_path / "here")
    there = run(source, tmp_path / "there", work=WorkConfig(engine="ray"))
    assert content(here.folder) == content(there.folder)


PARAGRAPHS = ParagraphConfig(boilerplate_documents=5)


@pytest.mark.parametrize(
    ("duplicates", "kills"),
    [
        (DuplicatesConfig(repeated_paragraphs=True, paragraphs=PARAGRAPHS), 8),
        (DuplicatesConfig(passage_characters=60), 6),
        (DuplicatesConfig(repeated_paragraphs=True, paragraphs=PARAGRAPHS, passage_characters=60), 6),
        pytest.param(DuplicatesConfig(repeated_paragraphs=True, paragraphs=PARAGRAPHS), 20, marks=pytest.mark.slow),
    ],
    ids=["paragraphs", "passages", "both", "many kills"],
)
def test_a_killed_preparation_goes_on_where_it_stopped(
    source: Path, tmp_path: Path, small_units: None, duplicates: DuplicatesConfig, kills: int
) -> None:
    """SIGKILL at points all over the work: in the middle of writes, before and after each rename."""
    # Half of its second paragraph stands in another file; nothing is left of one that only repeats.
    texts = [(source / f"{number:02}.txt").read_text().split("\n\n") for number in (1, 2, 4)]
    (source / "quotes.txt").write_text(f"{texts[0][0]}\n\nSomeone wrote: {texts[1][1][:120]} and went on.")
    (source / "repeats.txt").write_text("\n\n".join((texts[1][2], texts[2][3])))
    counted = tmp_path / "points"
    whole = content(run(source, tmp_path / "whole", duplicates=duplicates).folder)
    interrupted = partial(_interrupted, source, duplicates=duplicates, counted=counted)
    assert in_child(lambda: interrupted(tmp_path / "counted", None), tmp_path) == 0
    points = int(counted.read_text())
    assert points >= 100
    goes_on = 0
    for index in range(kills):
        output = tmp_path / f"killed-{index}"
        point = 1 + index * points // kills
        assert in_child(lambda: interrupted(output, point), tmp_path) == -signal.SIGKILL  # noqa: B023
        assert not output.exists() or content(output) == whole, f"half-written at point {point}"
        done = len(list((tmp_path / f".killed-{index}.work" / "units").glob("*.read.json")))
        goes_on += done > 0
        # The second attempt does only what is left.
        assert in_child(lambda: interrupted(output, None), tmp_path) == 0  # noqa: B023
        assert int(counted.read_text()) <= points - done, f"point {point}: begun anew"
        assert content(output) == whole, f"point {point}"
        assert not list(tmp_path.glob(f".killed-{index}*")), f"point {point}: leftovers"
    assert goes_on >= kills // 2


def test_a_changed_source_or_setting_begins_anew(source: Path, tmp_path: Path, small_units: None) -> None:
    counted = tmp_path / "points"
    assert in_child(lambda: _interrupted(source, tmp_path / "out", 40, counted=counted), tmp_path) == -signal.SIGKILL
    (source / "00.txt").write_text("Something else altogether stands here now. " * 5)
    prepared = run(source, tmp_path / "out", vocabulary_size=310)
    assert content(prepared.folder) == content(run(source, tmp_path / "other", vocabulary_size=310).folder)
    assert any("Something else" in text for side in ("train", "validation") for text in prepared.texts(side))


def test_what_hangs_or_kills_a_worker_is_passed_over(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose reader never ends on one file, and dies of another; what is not reading may take its time."""
    package = tmp_path / "package"
    (package).mkdir()
    (package / "sitecustomize.py").write_text(
        "import sys, os, time, pathlib\n"
        "if any('trivium.data.worker' in word for word in sys.orig_argv):\n"
        "    opened = pathlib.Path.open\n"
        "    def open_(self, *a, **k):\n"
        f"        waited = pathlib.Path({str(tmp_path / 'waited')!r})\n"
        "        if self.name == 'settings.json' and not waited.exists(): waited.touch(); time.sleep(2.5)\n"
        "        if self.name == '05.txt' and a[:1] == ('rb',): time.sleep(60)\n"
        "        if self.name == '07.txt' and a[:1] == ('rb',): os._exit(1)\n"
        "        return opened(self, *a, **k)\n"
        "    pathlib.Path.open = open_\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(package))
    prepared = run(source, tmp_path / "out", work=WorkConfig(processes=1, seconds_a_file=2.0))
    (row,) = [row for row in prepared.funnel if row["stage"] == "file passed over"]
    stuck = {e["id"] for e in row["examples"] if "too long or too much memory" in e["reason"]}
    assert stuck == {"05.txt", "07.txt"}
    assert prepared.manifest["removed"]["file passed over"] == 4


def test_a_worker_tells_errors_and_imports_no_torch() -> None:
    request = {"task": "read", "work": "/nowhere", "key": "", "unit": 0, "parts": [], "stuck": []}
    with (
        pool.Processes(1, memory_gib=4, seconds_a_file=10) as workers,
        pytest.raises(StorageError, match=r"No such file or directory: '/nowhere/settings\.json'"),
    ):
        list(workers.map([request]))
    code = "import sys, trivium.data.worker; sys.exit('torch' in sys.modules)"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0


def test_sources_are_mixed_by_weight(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    for name, count in (("large", 60), ("small", 20)):
        (tmp_path / name).mkdir()
        for number in range(count):
            text = " ".join(f"{name[0]}{n}" for n in draw.integers(0, 5000, 80))
            (tmp_path / name / f"{number}.txt").write_text(text)
    large, small = str(tmp_path / "large"), str(tmp_path / "small")
    config = PrepareConfig(
        sources=(large, small),
        output=tmp_path / "out",
        vocabulary_size=300,
        validation_fraction=0.2,
        mix=True,
        mixture=Mixture(weights={large: 1.0, small: 1.0}, most_passes=3.0),
    )
    prepared = prepare(config, silent=True)
    everything = prepare(replace(config, mix=False, output=tmp_path / "everything"), silent=True)
    planned = sum(part["size"] * part["passes"] for part in prepared.manifest["mixture"].values())
    assert planned == pytest.approx(everything.train.num_tokens), "a mixture has the size of what it is made of"
    assert prepared.train.num_tokens == pytest.approx(planned, rel=0.1)  # in whole documents
    assert prepared.manifest["settings"]["mixture"]["total_passes"] == 1, "what was not said is told"
    lines = [line for line in stored_documents(prepared.folder) if line.side == "train"]
    tokens = {large: 0, small: 0}
    for line in lines:
        tokens[str(line.source)] += len(prepared.train.document(line.index))
    assert tokens[small] == pytest.approx(tokens[large], rel=0.15)
    assert prepared.manifest["mixture"][small]["passes"] == pytest.approx(2.0, rel=0.1)
    assert prepared.manifest["mixture"][large]["passes"] == pytest.approx(2 / 3, rel=0.1)
    counts = [sum(line.ids == other.ids and line.source == other.source for other in lines) for line in lines]
    assert max(counts) in (2, 3)
    alone = PrepareConfig(sources=(small,), output=tmp_path / "alone", vocabulary_size=300, mix=True)
    once = prepare(alone, silent=True)
    assert once.manifest["mixture"][small]["passes"] == 1
    stored = [(line.side, line.ids) for line in stored_documents(once.folder)]
    assert len(set(stored)) == len(stored)


def test_languages_and_labels_are_counted_and_weighed(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    lines = []
    for number in range(150):
        text = " ".join(f"w{n}" for n in draw.integers(0, 5000, 60))
        facts: dict[str, Any] = {"text": text, "id": f"d{number}"}
        if number % 5:
            facts |= {"language": "en" if number % 5 > 1 else "sw", "label": "xy"[number % 2]}
        lines.append(json.dumps(facts))
    (tmp_path / "texts.jsonl").write_text("\n".join(lines))
    config = PrepareConfig(
        sources=(str(tmp_path / "texts.jsonl"),),
        output=tmp_path / "out",
        vocabulary_size=300,
        validation_fraction=0.2,
        mix=True,
        mixture=Mixture(by="language", exponent=0, total_passes=1),
    )
    prepared = prepare(config, silent=True)
    manifest, train = prepared.manifest, prepared.train
    told = manifest["balance"]
    assert told["language"]["names"] == 3 and told["label"]["names"] == 3 and told["source"]["names"] == 1
    assert told["group"]["names"] > 50 == len(told["group"]["largest"])
    shares = {name: size["tokens"] / train.num_tokens for name, size in told["language"]["largest"].items()}
    assert shares == pytest.approx({"en": 1 / 3, "sw": 1 / 3, "unknown": 1 / 3}, abs=0.05)
    assert sum(size["bytes"] for size in told["label"]["largest"].values()) == train.num_bytes
    assert manifest["mixture"]["en"]["passes"] < 1 < manifest["mixture"]["sw"]["passes"]
    # What the mixture does not draw is in the funnel, like all that does not arrive.
    left = manifest["documents_in"] - sum(manifest["removed"].values())
    assert manifest["removed"]["mixture"] > 10
    assert left == manifest["documents_out"] == len({line.ids for line in stored_documents(prepared.folder)})
    (row,) = [row for row in prepared.funnel if row["stage"] == "mixture"]
    assert row["examples"][0]["reason"] == "not drawn" and row["examples"][0]["text"].startswith("w")
    page = (prepared.folder / "funnel.html").read_text()
    assert "By language" in page and "By label" in page and "The mixture" in page
    # Weights of what is not there, or of what nobody states, are refused.
    weights = Mixture(by="language", weights={"en": 1.0, "sw": 1.0})
    with pytest.raises(ConfigError, match=r"a language has no weight\n(.|\n)*one for unknown too"):
        prepare(replace(config, mixture=weights, output=tmp_path / "other"), silent=True)
    (tmp_path / "plain.txt").write_text("nothing is said of this text. " * 40)
    plain = replace(config, sources=(str(tmp_path / "plain.txt"),), output=tmp_path / "other")
    with pytest.raises(DataError, match=r"no document states its language(.|\n)*identify_language"):
        prepare(plain, silent=True)


def test_rules_reach_the_workers(source: Path, tmp_path: Path) -> None:
    """Only the notice, which every fifth text has, holds two of Gopher's stop words."""
    text = TextConfig(quality=QualityConfig(rules=("gopher",)))
    prepared = run(source, tmp_path / "out", text=text, duplicates=DuplicatesConfig(), work=WorkConfig(processes=1))
    assert prepared.manifest["documents_out"] == 16  # eight, each on both sides: so few are split by tail
    assert prepared.manifest["removed"]["gopher: too few stop words"] == 35
    with pytest.raises(DataError, match=r"nothing is left of the sources(.|\n)*language: not de"):
        run(source, tmp_path / "none", text=TextConfig(languages=("de",), language_probability=0.999))


def test_nothing_of_another_preparation_is_taken_in_the_same_process(source: Path, tmp_path: Path) -> None:
    """Settings, vocabulary and lists are kept between tasks, and not between two preparations of one folder."""
    words = tmp_path / "words.txt"
    words.write_text("nowhere\n")
    text = TextConfig(quality=QualityConfig(rules=(), blocklists=(str(words),)))
    first = run(source, tmp_path / "out", text=text)
    assert first.manifest["removed"].get("blocklist", 0) == 0
    words.write_text("notice\n")
    second = run(source, tmp_path / "out", text=text)
    assert second.manifest["removed"]["blocklist"] == 8
    assert second.manifest["files"][str(words)] != first.manifest["files"][str(words)]
    third = run(source, tmp_path / "out", vocabulary_size=290)
    assert third.tokenizer.vocabulary_size == third.train.vocabulary_size == 290
    assert "<email>" in "".join(third.texts("train")) + "".join(third.texts("validation"))


def test_a_changed_list_begins_anew(source: Path, tmp_path: Path, small_units: None) -> None:
    words, counted = tmp_path / "words.txt", tmp_path / "points"
    words.write_text("nowhere\n")
    text = TextConfig(quality=QualityConfig(rules=(), blocklists=(str(words),)))
    interrupted = partial(_interrupted, source, tmp_path / "out", counted=counted, text=text)
    assert in_child(lambda: interrupted(80), tmp_path) == -signal.SIGKILL
    assert list((tmp_path / ".out.work" / "units").glob("*.read.json"))
    words.write_text("notice\n")
    assert run(source, tmp_path / "out", text=text).manifest["removed"]["blocklist"] == 8


def test_standard_input_that_comes_again_goes_on(
    tmp_path: Path, small_units: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(6)
    lines = [json.dumps({"text": " ".join(f"w{n}" for n in draw.integers(0, 5000, 60))}) for _ in range(60)]
    content_of = "\n".join(lines).encode()

    def given(output: str, stream: bytes) -> Prepared:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream)))
        config = PrepareConfig(sources=("-",), output=tmp_path / output, vocabulary_size=300, validation_fraction=0.2)
        return prepare(config, silent=True)

    whole = content(given("whole", content_of).folder)
    read = tmp_path / ".out.work" / "units" / "00000.read.json"
    for stream, kept in ((content_of, True), (content_of + b" ", False)):
        with monkeypatch.context() as patch:
            patch.setattr(recipe, "_gathered", lambda *arguments: os.kill(os.getpid(), signal.SIGINT))
            with pytest.raises(Interrupted):
                given("out", content_of)
        before = read.stat().st_mtime_ns
        with monkeypatch.context() as patch:
            patch.setattr(recipe, "_gathered", lambda *arguments: os.kill(os.getpid(), signal.SIGINT))
            with pytest.raises(Interrupted):
                given("out", stream)
        assert (read.stat().st_mtime_ns == before) is kept
    assert content(given("out", content_of).folder) == whole


def test_what_was_forgotten_stays_out(source: Path, tmp_path: Path) -> None:
    first = run(source, tmp_path / "out")
    assert "11.txt" in first.manifest["balance"]["group"]["largest"]
    forget(first.folder, "11.txt", ())
    assert b'"11.txt"' not in (first.folder / "manifest.json").read_bytes()
    (source / "another-name.txt").write_text((source / "11.txt").read_text())
    again = run(source, tmp_path / "out")
    assert again.manifest["removed"]["forgotten"] == 2  # by its id, and by its text under another name
    assert again.manifest["forgotten"] == open_prepared(tmp_path / "out").manifest["forgotten"] != []
    kept = {i for line in stored_documents(again.folder) for i in line.ids}
    assert not kept & {"11.txt", "another-name.txt"} and "12.txt" in kept
    beginning = (source / "11.txt").read_text()[:40].encode()
    named = ("documents.jsonl", "funnel.json", "funnel.html", "manifest.json")
    for name in named:
        assert b'"11.txt"' not in (again.folder / name).read_bytes(), name
        assert beginning not in (again.folder / name).read_bytes(), name
    (tmp_path / "out").rename(tmp_path / ".out.replaced")  # killed between the two renames of a replacement
    assert run(source, tmp_path / "out").fingerprint == again.fingerprint
    asked = run(source, tmp_path / "out", leave_out_forgotten=False)
    assert "11.txt" in {i for line in stored_documents(asked.folder) for i in line.ids}
    assert "forgotten" not in asked.manifest


def test_where_documents_come_from_is_in_the_fingerprint(source: Path, tmp_path: Path) -> None:
    prepared = run(source, tmp_path / "out")
    path = prepared.folder / "documents.jsonl"
    path.write_text(path.read_text().replace('"12.txt"', '"21.txt"'))
    with pytest.raises(DataError, match=r"documents\.jsonl: its SHA-256 is not that of the manifest"):
        open_prepared(prepared.folder)
    manifest = json.loads((prepared.folder / "manifest.json").read_text())
    manifest["documents_sha256"] = documents_sha256(prepared.folder)
    (prepared.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="not those of the manifest"):
        open_prepared(prepared.folder)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_says_how_to_go_on(
    source: Path, tmp_path: Path, small_units: None, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    whole = content(run(source, tmp_path / "whole").folder)
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "_vocabulary", lambda *arguments: os.kill(os.getpid(), number))
        with pytest.raises(Interrupted, match="the same command goes on where this one was") as stopped:
            run(source, tmp_path / "out")
    assert stopped.value.exit_code == code
    assert signal.getsignal(signal.SIGTERM) == before
    assert list((tmp_path / ".out.work" / "units").glob("*.read.json"))
    assert content(run(source, tmp_path / "out").folder) == whole


def test_what_is_left_of_nothing_is_held_out_of_nothing(tmp_path: Path) -> None:
    """Documents that cutting leaves empty end there: they are on no side, and the counts add up."""
    draw = np.random.default_rng(5)
    texts = [" ".join(f"w{n}" for n in draw.integers(0, 5000, 60)) for _ in range(200)]
    repeats = [f"{texts[n]}\n\n{texts[n + 1]}" for n in range(0, 120, 2)]
    lines = [json.dumps({"text": text, "id": f"d{n}"}) for n, text in enumerate([*texts, *repeats])]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines))
    for name, duplicates in (
        ("paragraph", DuplicatesConfig(near=False, repeated_paragraphs=True)),
        ("passage", DuplicatesConfig(near=False, passage_characters=100)),
    ):
        prepared = run(tmp_path / "texts.jsonl", tmp_path / name, duplicates=duplicates)
        removed = prepared.manifest["removed"]
        assert removed[f"nothing but repeated {name}s"] == 60
        assert prepared.manifest["split"] == "group"
        assert prepared.manifest["documents_in"] - sum(removed.values()) == prepared.manifest["documents_out"]


def _interrupted(source: Path, output: Path, point: int | None, *, counted: Path, **options: Any) -> None:
    """Prepares, and kills itself at a point; without one it counts them."""
    passed = 0

    def reach() -> None:
        nonlocal passed
        passed += 1
        if passed == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(function: Callable) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            reach()
            result = function(*arguments, **options)
            reach()
            return result

        return call

    def half_written(path: Path, text: str, *arguments: Any, **options: Any) -> int:
        write_text(path, text[: len(text) // 2], *arguments, **options)
        reach()
        return write_text(path, text, *arguments, **options)

    write_text = Path.write_text
    Path.write_text = half_written
    atomic.rename, atomic.sync = around(atomic.rename), lambda descriptor: None
    run(source, output, **options)
    open_prepared(output)
    Path.write_text = write_text
    counted.write_text(str(passed))


def test_hostile_files_beside_good_ones(tmp_path: Path) -> None:
    """More than forty of them, through the whole pipeline: nothing runs, each is named, and the good ones are there."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    expected = write_all(folder, tmp_path / "canary", large=2_000_000)
    draw = np.random.default_rng(2)
    for number in range(30):
        words = " ".join(f"good{n}" for n in draw.integers(0, 3000, 60))
        (folder / f"good-{number:02}.txt").write_text(words)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    config = PrepareConfig(
        sources=(str(folder),), output=tmp_path / "out", vocabulary_size=300, work=WorkConfig(processes=1)
    )
    prepared = prepare(config, silent=True)
    assert not (tmp_path / "canary").exists()
    lines = [json.loads(line) for line in (prepared.folder / "passed_over.jsonl").read_text().splitlines()]
    for name, reason in expected.items():
        told = " ".join(line["reason"] for line in lines if line["name"].startswith(name))
        assert reason is None or re.search(reason, told), f"{name}: {told or 'not told of'}"
    assert sum(reason is not None for reason in expected.values()) >= 40
    kept = {i for line in stored_documents(prepared.folder) for i in line.ids}
    assert {f"good-{number:02}.txt" for number in range(30)} <= kept
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before < 3 << 20  # KiB


def test_json_of_the_funnel_is_plain(source: Path, tmp_path: Path) -> None:
    prepared = run(source, tmp_path / "out")
    assert json.loads((prepared.folder / "funnel.json").read_text()) == prepared.funnel
