"""Train what `prepare` judges text by: a model of text that one trusts, or a classifier of harmful text.

    trained = filters(FiltersConfig(sources=("novels", "encyclopaedia"), output=Path("trusted")))
    print(trained.table)           # precision, recall, and what it removes of whose text
    prepare(PrepareConfig(text=TextConfig(perplexity_model=trained.folder, perplexity_limit=trained.limit), ...))

The output folder appears whole or not at all, and holds `model.json` and `model.safetensors`, which `prepare` reads,
and `report.json`: what was learnt from, with hashes and licences, the settings, and what was measured, on text that was
held out: the limit is chosen on one half of that, and the figures are those of the other half.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trivium import config as configuration
from trivium.data.dedup.lsh import clusters
from trivium.data.dedup.minhash import MinHashConfig, signatures
from trivium.data.quality import harm_report, perplexity, perplexity_report
from trivium.data.quality.harm import HARMFUL, HarmClassifier
from trivium.data.quality.ngrams import NgramConfig, NgramModel
from trivium.data.readers import ReadOptions
from trivium.data.splits import is_held_out, sides
from trivium.data.staging import staged_folder
from trivium.errors import ConfigError, DataError, StorageError
from trivium.recipes.filter_texts import PAGE_CHARACTERS, Heard, labelled, pages
from trivium.runtime.atomic import folder_to_fill
from trivium.runtime.progress import bar

REPORT = "report.json"
_FILES = frozenset({"model.json", "model.safetensors", REPORT})
_MEASURED_PAGES = 2_000
_LEAST_PAGES = 20
_Done = Callable[[str], None]  # tells the bar of a step that is done


@dataclass(frozen=True, kw_only=True)
class FiltersConfig:
    """Trains what prepare judges text by: a model of good text (perplexity), or a classifier of harmful text (harm)."""

    sources: tuple[str, ...]
    """Files, folders or archives: good text; or, for harm, records with a label."""
    output: Path = Path("filter")
    """Folder to write; a filter trained there before is replaced."""
    kind: Literal["perplexity", "harm"] = "perplexity"
    """How surprising a text is to a model of good text; or how likely people would find it harmful."""
    reading: ReadOptions = field(default_factory=ReadOptions)
    """Encoding and names of fields."""
    held_out_fraction: float = 0.2
    """Share of the text to measure with."""
    keep_percent: float = 95.0
    """The limit is chosen such that so much of the good, or harmless, text stays."""
    ngrams: NgramConfig = field(default_factory=NgramConfig)
    """For perplexity: how the model is made."""
    unwanted: tuple[str, ...] = ()
    """For perplexity: text that ought to go, to measure with; none: good text with its words in another order."""
    harmful: tuple[str, ...] = HARMFUL
    """For harm: the labels that count as harmful."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ConfigError("there is nothing to learn from", expected="at least one source", fix="name a file")
        if not 0 < self.held_out_fraction < 1:
            raise ConfigError(
                "held_out_fraction must leave text on both sides", received=self.held_out_fraction, expected="0 to 1"
            )
        if not 0 < self.keep_percent < 100:
            raise ConfigError("keep_percent must be between 0 and 100", received=self.keep_percent, fix="set it to 95")
        if self.kind == "harm" and self.unwanted:
            raise ConfigError(
                "unwanted text is for perplexity; for harm, labels say what is unwanted",
                received=f"--unwanted {' '.join(self.unwanted)}",
                fix="leave it out, or give it a label and name it as a source",
            )


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A filter that was trained, saved and measured."""

    folder: Path
    """Where it is."""
    limit: float
    """Perplexity above which, or probability of harm from which, a text is to be removed."""
    table: str
    """What was measured, for people."""
    facts: Mapping[str, Any]
    """The same for programs, with all that is in `report.json`."""


def filters(config: FiltersConfig, *, silent: bool = False) -> Trained:
    """Carry out ``config``; the same input gives the same bytes.

    Raises:
        ConfigError, DataError, StorageError: before anything is written at ``config.output``.
        Unsupported: harm needs scikit-learn, which is not installed.
    """
    _refuse_foreign(config.output)
    heard = Heard()
    steps = 4 if config.kind == "perplexity" else 5
    with bar("training", steps, unit="steps", silent=silent) as progress:

        def done(note: str) -> None:
            progress.advance(1, note)

        train = _train_perplexity if config.kind == "perplexity" else _train_harm
        model, report, limit = train(config, heard, done)
        facts = {
            "kind": config.kind,
            **report.facts(),
            "sources": heard.sources(),
            "passed_over": dict(heard.passed_over.most_common()),
            "settings": configuration.to_dict(config),
        }
        with staged_folder(config.output) as folder:
            model.save(folder)
            written = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
            (folder / REPORT).write_text(written, encoding="utf-8")
        done(f"written to {config.output}")
    return Trained(folder=config.output, limit=limit, table=report.table(), facts=facts)


def _refuse_foreign(output: Path) -> None:
    target = folder_to_fill(output)
    foreign = sorted(path.name for path in target.iterdir() if path.name not in _FILES) if target.exists() else []
    if foreign:
        raise StorageError(
            "the output folder holds something else than a filter, and training would delete it",
            received=f"{output}: {', '.join(foreign[:5])}",
            expected="a new or empty folder, or one that a filter was trained into before",
            fix="choose another --output",
        )


# Perplexity ------------------------------------------------------------------------------------------------------


def _train_perplexity(config: FiltersConfig, heard: Heard, done: _Done) -> tuple[NgramModel, Any, float]:
    trusted, held = _pages_on_both_sides(config, heard)
    done(f"{len(trusted):,} pages to learn from, {len(held):,} held out")
    model = NgramModel.train((text for _, text in trusted), config.ngrams)
    done("learnt")
    chosen, measured = held[::2], held[1::2]
    found = [model.perplexity(text) for _, text in chosen]
    limit = perplexity.limit_for(found, config.keep_percent)
    good = [text for _, text in measured]
    unwanted = _unwanted(config, heard) or perplexity_report.shuffled(good)
    where = [source for source, _ in measured] if len(config.sources) > 1 else []
    report = perplexity_report.measured(model, good, unwanted, limit=limit, sources=where)
    done("measured")
    return model, report, limit


def _pages_on_both_sides(config: FiltersConfig, heard: Heard) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(source, page) to learn from and held out; every source gives its share of what is read at most."""
    trusted: list[tuple[str, str]] = []
    held: list[tuple[str, str]] = []
    for source in config.sources:
        left = config.ngrams.training_characters // len(config.sources)
        places = max(2, _MEASURED_PAGES // len(config.sources))
        for name, page in pages(source, config.reading, heard):
            if is_held_out(name, config.held_out_fraction):
                if places > 0:
                    held.append((source, page))
                    places -= 1
            else:
                trusted.append((source, page))
                left -= len(page)
            if left <= 0:
                break
    if len(trusted) < _LEAST_PAGES or len(held) < 4:
        raise DataError(
            "there is too little text to learn from and to measure with",
            received=f"{len(trusted)} pages to learn from, {len(held)} held out{heard.in_words()}",
            expected=f"at least {_LEAST_PAGES} and 4; long documents count as pages of {PAGE_CHARACTERS:,} characters",
            fix="give more text",
        )
    return trusted, held


def _unwanted(config: FiltersConfig, heard: Heard) -> list[str]:
    texts: list[str] = []
    for source in config.unwanted:
        places = _MEASURED_PAGES // len(config.unwanted)
        for _, page in pages(source, config.reading, heard):
            texts.append(page)
            places -= 1
            if not places:
                break
    if config.unwanted and not texts:
        raise DataError("there is no unwanted text", received=f"{', '.join(config.unwanted)}{heard.in_words()}")
    return texts


# Harm ------------------------------------------------------------------------------------------------------------


def _train_harm(config: FiltersConfig, heard: Heard, done: _Done) -> tuple[HarmClassifier, Any, float]:
    texts, labels = labelled(config.sources, config.reading, heard, config.harmful)
    done(f"{len(texts):,} texts read")
    near = MinHashConfig()
    names = [hashlib.blake2b(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
    held = sides(names, clusters(signatures(texts, near), near), config.held_out_fraction)
    train, out = np.flatnonzero(~held), np.flatnonzero(held)
    done(f"{len(train):,} to learn from, {len(out):,} held out, near-copies on one side")
    choose, measure = ([int(i) for i in part] for part in (out[::2], out[1::2]))
    for part in (train, choose, measure):
        _refuse_one_sided([labels[i] for i in part], config, of=len(texts))
    classifier = HarmClassifier.train([texts[i] for i in train], [labels[i] for i in train], harmful=config.harmful)
    done("learnt")
    harmless = [texts[i] for i in choose if labels[i] not in classifier.harmful]
    limit = float(np.percentile(classifier.harm(harmless), config.keep_percent))
    report = harm_report.measured(
        classifier, [texts[i] for i in measure], [labels[i] for i in measure], threshold=limit
    )
    done("measured")
    return classifier, report, limit


def _refuse_one_sided(labels: Sequence[str], config: FiltersConfig, *, of: int) -> None:
    harmful = sum(label in config.harmful for label in labels)
    if not 0 < harmful < len(labels):
        raise DataError(
            "there are too few labelled texts to learn from and to measure with",
            received=f"{of:,} texts, near-copies counted as one; on one side {harmful} harmful of {len(labels)}",
            expected="harmful and harmless ones to learn from, to choose the threshold by, and to measure with",
            fix="give more labelled texts",
        )
