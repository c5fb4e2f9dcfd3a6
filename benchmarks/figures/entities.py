"""New and rare entities in tweets and the like (WNUT-17, Derczynski et al. 2017): BiLSTM with and without a CRF.

    python benchmarks/figures/entities.py                    # every cell that is not finished, then the table
    python benchmarks/figures/entities.py --cell bilstm-crf  # one of them
    python benchmarks/figures/entities.py --trial 20         # 20 updates a network, into a folder of their own

Trained on the training file; of the checkpoints of a run the one with the best F1 on the development file is tested,
once. The figure is strict F1 of entities (`trivium.evaluation.metrics.entity_f1`): first word, last word and type. The
interval is a bootstrap's over sentences, 95 %: it speaks of other sentences of the kind, not of other runs. The
baseline gives every word the tag that it has most often in the training file.

No word vectors, lists of names or other text is used, and few of the test's entities are in the training file: that is
the point of the data. The best system of the shared task, with such help, reached 41.86 (Aguilar et al. 2017). The data
is looked for in TRIVIUM_SHARED, else in shared/data beside the repository. Results:
benchmarks/results/entities-CELL.json.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from trivium.checkpoints.retention import saved_steps, step_folder
from trivium.data.conll import TaggedSentence, read_conll
from trivium.evaluation.intervals import bootstrap
from trivium.evaluation.metrics.entity_f1 import entity_counts, entity_f1, f1_of
from trivium.lm.load import load
from trivium.lm.tagging import tag_words
from trivium.recipes.tagging import TaggerConfig, TaggingConfig, TagVocabularyConfig, tagging
from trivium.recipes.training import TrainingConfig
from trivium.runtime import machine
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

_HERE = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_DATA = _SHARED / "ner_wnut17"
_TRAIN, _DEVELOPMENT, _TEST = (
    _DATA / name for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
)

_BASELINE = "most-frequent-tag"
_CHECKPOINTS = 12
_OUTSIDE = "O"

Tags = list[list[str]]


def recipe(name: str, *, crf: bool, steps: int = 8000) -> TaggingConfig:
    """The same network but for its CRF."""
    each = max(1, steps // _CHECKPOINTS)
    return TaggingConfig(
        data=_TRAIN,
        validation=_DEVELOPMENT,
        run=f"entities-{name}",
        vocabulary=TagVocabularyConfig(kind="byte_bpe", size=2000),
        model=TaggerConfig(embedding_width=100, width=200, layers=2, dropout=0.5, crf=crf),
        rows=8,
        optimiser=OptimiserConfig(learning_rate=5e-3, beta2=0.99, weight_decay=0.01),
        schedule=ScheduleConfig(kind="linear", warmup_steps=50),
        training=TrainingConfig(
            log_every_steps=50,
            evaluate_every_steps=each,
            checkpoint_every_steps=each,
            keep_last=_CHECKPOINTS + 1,
        ),
        steps=steps,
    )


CELLS: dict[str, TaggingConfig | None] = {
    _BASELINE: None,
    "bilstm": recipe("bilstm", crf=False),
    "bilstm-crf": recipe("bilstm-crf", crf=True),
}
"""What is run: name and recipe. Budgets are in steps: the speed of a machine drifts."""


def most_frequent_tag(training: Sequence[TaggedSentence]) -> Callable[[Sequence[Sequence[str]]], Tags]:
    """The baseline: what a word was most often, in lower case; a new word is outside of every entity."""
    counts: dict[str, Counter[str]] = {}
    for sentence in training:
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            counts.setdefault(word.lower(), Counter())[tag] += 1
    best = {word: max(sorted(seen), key=seen.__getitem__) for word, seen in counts.items()}
    return lambda sentences: [[best.get(word.lower(), _OUTSIDE) for word in words] for words in sentences]


def judged(found: Tags, sentences: Sequence[TaggedSentence]) -> dict[str, Any]:
    """Precision, recall and F1 of all entities and of each type, in per cent, and the interval of F1."""
    true = [list(sentence.tags) for sentence in sentences]
    figures = entity_f1(found, true)
    interval = bootstrap(entity_counts(found, true), f1_of)
    return {
        **{name: 100 * figures[name] for name in ("precision", "recall", "f1")},
        "interval": [100 * interval.low, 100 * interval.high],
        "per_type": {kind: 100 * shares["f1"] for kind, shares in figures["per_type"].items()},
        "sentences": len(sentences),
    }


def tagged_by(folder: pathlib.Path, sentences: Sequence[TaggedSentence]) -> Tags:
    """What the model of a checkpoint says."""
    model = load(folder)
    assert model.tokenizer is not None
    return tag_words(model.network, model.tokenizer, [sentence.words for sentence in sentences])


def chosen(run: Run, development: Sequence[TaggedSentence]) -> tuple[int, dict[int, float]]:
    """The step of the checkpoint with the best F1 on the development file, the first of equal ones; and F1 of all."""
    true = [list(sentence.tags) for sentence in development]
    f1 = {
        step: 100 * entity_f1(tagged_by(step_folder(run.checkpoints, step), development), true)["f1"]
        for step in saved_steps(run.checkpoints)
    }
    return max(sorted(f1), key=f1.__getitem__), f1


def trained(recipe: TaggingConfig) -> dict[str, Any]:
    """Trains what is left of a network, chooses by the development file and tests."""
    resume = (recipe.output / recipe.run / "config.yaml").is_file()
    run = tagging(dataclasses.replace(recipe, resume=resume))
    begin = time.perf_counter()
    development, test = read_conll(_DEVELOPMENT).sentences, read_conll(_TEST).sentences
    step, by_step = chosen(run, development)
    found = tagged_by(step_folder(run.checkpoints, step), test)
    rows = run.metrics()
    network = load(step_folder(run.checkpoints, step)).network
    return {
        "test": judged(found, test),
        "development_f1": by_step,
        "step": step,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "training_seconds": rows[-1]["seconds"],
        "choosing_seconds": time.perf_counter() - begin,
        "curve": [[row["step"], row["validation_loss"]] for row in rows if row["validation_loss"] is not None],
        "recipe": run.config,
    }


def run_cell(name: str, recipe: TaggingConfig | None, results: pathlib.Path) -> None:
    """Writes the result of a cell."""
    if recipe is None:
        test = read_conll(_TEST).sentences
        tag = most_frequent_tag(read_conll(_TRAIN).sentences)
        result: dict[str, Any] = {"test": judged(tag([sentence.words for sentence in test]), test)}
    else:
        result = trained(recipe)
    here = machine.describe()
    result = {"cell": name, **result, "machine": {"processor": here.processor, "cores": here.cores}}
    results.mkdir(parents=True, exist_ok=True)
    (results / f"entities-{name}.json").write_text(json.dumps(result, indent=2) + "\n")


def table(results: pathlib.Path) -> str:
    """The finished cells side by side."""
    lines = [f"{'':20}{'F1':>6}  {'95 %':>13}{'prec.':>7}{'recall':>7}{'param.':>10}{'seconds':>8}  F1 by type"]
    for name in CELLS:
        path = results / f"entities-{name}.json"
        if not path.is_file():
            continue
        result = json.loads(path.read_text())
        test, (low, high) = result["test"], result["test"]["interval"]
        types = ", ".join(f"{kind} {f1:.1f}" for kind, f1 in test["per_type"].items())
        lines.append(
            f"{name:20}{test['f1']:6.2f}  {low:5.1f} to {high:4.1f}{test['precision']:7.1f}{test['recall']:7.1f}"
            f"{result.get('parameters', 0):10,}{result.get('training_seconds', 0):8.0f}  {types}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=sorted(CELLS), help="only this one")
    parser.add_argument("--trial", type=int, metavar="STEPS", help="a trial of so many steps, kept apart")
    parser.add_argument("--output", type=pathlib.Path, default=_REPOSITORY / "runs", help="folder of the runs")
    asked = parser.parse_args()
    results = _HERE.parent / "results" if asked.trial is None else asked.output / "trials"
    for name in [asked.cell] if asked.cell else CELLS:
        cell = CELLS[name]
        if cell is not None and asked.trial is not None:
            cell = recipe(f"{name}-trial-{asked.trial}", crf=cell.model.crf, steps=asked.trial)
        if asked.trial is not None or not (results / f"entities-{name}.json").is_file():
            run_cell(name, None if cell is None else dataclasses.replace(cell, output=asked.output), results)
    print(table(results))


if __name__ == "__main__":
    main()
