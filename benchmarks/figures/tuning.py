"""What pre-training is worth: BERT, ELECTRA, XLNet and T5, pre-trained and from scratch, against a BiLSTM.

    python benchmarks/figures/tuning.py                            # every cell that is not finished, then the table
    python benchmarks/figures/tuning.py --cell cola-bert           # one of them
    python benchmarks/figures/tuning.py --trial 20                 # 20 updates a network, into a folder of their own

Tasks: sentiment (SST-2, accuracy on its development set), acceptability (CoLA, Matthews' correlation on both of its
development sets), entities (WNUT-17, strict F1 on the test set), question answering (the English XQuAD, the questions
of 38 articles to train on and of the 10 that come last in it to test, F1 of words) and summarisation (SciTLDR-A,
ROUGE-L on the test set, the best of its summaries). The models are those of `pretraining.py`; "fresh" is the same
network, vocabulary and training with new weights. The BiLSTM is trained from nothing with a vocabulary of its own, as
its recipe does it; it summarises with a second LSTM and attention (`seq2seq`). Encoders write nothing and do not
summarise; T5 reads the other tasks with heads, as transformers has them. Every cell of a task has the same number of
updates, and all Transformers one learning rate, falling to nothing; what is tested, once, is the last model. Intervals
are of 95 %, over examples: they speak of other texts of the kind, not of other runs. The data is looked for in
TRIVIUM_SHARED, else in shared/data beside the repository. Results: benchmarks/results/tuning-CELL.json.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from trivium.data.conll import read_conll
from trivium.data.labelled import read_labelled
from trivium.data.questions import read_questions
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.recipes.classification import ClassificationConfig, classification
from trivium.recipes.classifier import ClassifierConfig
from trivium.recipes.embedding import EmbeddingConfig
from trivium.recipes.evaluate_answering import evaluate_answering
from trivium.recipes.evaluate_classification import evaluate_classification
from trivium.recipes.evaluate_summarisation import evaluate_summarisation, read_documents
from trivium.recipes.evaluate_tagging import evaluate_tagging
from trivium.recipes.question_answering import QuestionAnsweringConfig, question_answering
from trivium.recipes.tagging import TaggingConfig, tagging
from trivium.recipes.text_to_text import TextToTextConfig, text_to_text
from trivium.recipes.training import TrainingConfig
from trivium.recipes.translator import TranslatorConfig
from trivium.runtime import machine
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_RESULTS = _REPOSITORY / "benchmarks" / "results"
_RUNS = _REPOSITORY / "runs"
_GLUE, _WNUT, _SCITLDR = _SHARED / "unclear-glue", _SHARED / "ner_wnut17", _SHARED / "scitldr"
_COLA_COLUMNS = ("source", "label", "mark", "sentence")
_TESTED_ARTICLES = 10
_FAMILIES = ("bert", "electra", "xlnet", "t5")
_BASELINE = "bilstm"
_OPTIMISER = OptimiserConfig(learning_rate=5e-4, beta2=0.999, weight_decay=0.01)

Recipe = ClassificationConfig | TaggingConfig | QuestionAnsweringConfig | TextToTextConfig | EmbeddingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One column of the table."""

    figure: str
    """What is measured."""
    steps: int
    """Updates of every network."""
    config: Callable[[dict[str, Any]], Recipe]
    """The recipe with these settings."""
    baseline: dict[str, Any] | None
    """The settings of the network that no text was learnt with before; None for no such row."""
    train: Callable[[Any], Run]
    """What carries the recipe out."""
    test: Callable[[LocalModel], tuple[float, float, float]]
    """The figure in per cent, and both ends of its interval."""
    families: tuple[str, ...] = _FAMILIES
    """The pre-trained models that can do it."""
    fresh: tuple[str, ...] = _FAMILIES
    """Those of them that are trained with new weights as well."""
    optimiser: OptimiserConfig | None = _OPTIMISER
    """Of all Transformers alike; None for the recipe's usual one."""


# Tests ----------------------------------------------------------------------------------------------------------------


def _sentiment(model: LocalModel) -> tuple[float, float, float]:
    result, _ = evaluate_classification(model, read_labelled(_GLUE / "SST-2" / "dev.tsv"))
    return per_cent(result, "accuracy")


def _acceptability(model: LocalModel) -> tuple[float, float, float]:
    files = [_GLUE / "CoLA" / f"{name}_dev.tsv" for name in ("in_domain", "out_of_domain")]
    texts = [text for file in files for text in read_labelled(file, columns=_COLA_COLUMNS)]
    return per_cent(evaluate_classification(model, texts)[0], "mcc")


def _entities(model: LocalModel) -> tuple[float, float, float]:
    path = _WNUT / "emerging.test.annotated"
    return per_cent(evaluate_tagging(model, read_conll(path), path)[0], "f1")


def _answers(model: LocalModel) -> tuple[float, float, float]:
    return per_cent(evaluate_answering(model, read_questions(_articles("test")))[0], "f1")


def _summaries(model: LocalModel) -> tuple[float, float, float]:
    return per_cent(evaluate_summarisation(model, read_documents(_SCITLDR / "test.jsonl.gz"))[0], "rougeL")


def per_cent(result: dict[str, Any], name: str) -> tuple[float, float, float]:
    low, high = result["intervals"][name]
    return 100 * result["metrics"][name], 100 * low, 100 * high


def _articles(part: str) -> pathlib.Path:
    """The questions of some articles, written where runs are: first those to train on, then those to test."""
    path = _RUNS / "xquad" / f"{part}.json"
    if not path.is_file():
        whole = json.loads((_SHARED / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))
        cut = len(whole["data"]) - _TESTED_ARTICLES
        chosen = whole["data"][:cut] if part == "training" else whole["data"][cut:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**whole, "data": chosen}), encoding="utf-8")
    return path


# Cells ----------------------------------------------------------------------------------------------------------------

TASKS = {
    "sst2": Task(
        figure="accuracy",
        steps=1800,
        config=lambda settings: ClassificationConfig(data=_GLUE / "SST-2" / "train.tsv.gz", rows=32, **settings),
        baseline={"model": ClassifierConfig(architecture="bilstm")},
        train=classification,
        test=_sentiment,
    ),
    "cola": Task(
        figure="Matthews' correlation",
        steps=1500,
        config=lambda settings: ClassificationConfig(
            data=_GLUE / "CoLA" / "in_domain_train.tsv", columns=_COLA_COLUMNS, rows=32, **settings
        ),
        baseline={"model": ClassifierConfig(architecture="bilstm")},
        train=classification,
        test=_acceptability,
    ),
    "wnut17": Task(
        figure="entity F1",
        steps=1500,
        config=lambda settings: TaggingConfig(
            data=_WNUT / "wnut17train.conll", validation=_WNUT / "emerging.dev.conll", rows=16, **settings
        ),
        baseline={},
        train=tagging,
        test=_entities,
    ),
    "xquad": Task(
        figure="F1 of words",
        steps=350,
        config=lambda settings: QuestionAnsweringConfig(
            data=_articles("training"), rows=16, context_tokens=128, stride_tokens=48, **settings
        ),
        baseline={},
        train=question_answering,
        test=_answers,
    ),
    "scitldr": Task(
        figure="ROUGE-L",
        steps=400,
        config=lambda settings: TextToTextConfig(
            data=_SCITLDR / "train.jsonl.gz",
            validation=_SCITLDR / "dev.jsonl.gz",
            task="summarisation",
            source_tokens=256,
            target_tokens=64,
            rows=8,
            **settings,
        ),
        baseline={"model": TranslatorConfig(architecture="seq2seq", width=192)},
        train=text_to_text,
        test=_summaries,
        families=("t5",),
    ),
}


def networks(task: Task) -> list[str]:
    """The rows of the table that a task has."""
    fresh = [f"{family}-fresh" for family in task.families if family in task.fresh]
    return [*task.families, *fresh, *([] if task.baseline is None else [_BASELINE])]


def cells_of(tasks: Mapping[str, Task]) -> list[str]:
    """TASK-NETWORK, all of them."""
    return [f"{name}-{network}" for name, task in tasks.items() for network in networks(task)]


def trained(cell: str, trial: int | None, tasks: Mapping[str, Task] = TASKS, prefix: str = "tuning") -> dict[str, Any]:
    """Trains what is left of a network, and tests it."""
    name, _, network = cell.partition("-")
    task = tasks[name]
    family, _, fresh = network.partition("-")
    steps = trial or task.steps
    each = max(1, steps // 4)
    settings: dict[str, Any] = dict(task.baseline or {})
    if network != _BASELINE:
        settings = {"base": _RUNS / f"pretraining-{family}", "fresh": bool(fresh)}
        settings |= {} if task.optimiser is None else {"optimiser": task.optimiser}
    run_name = f"trial-{prefix}-{cell}" if trial else f"{prefix}-{cell}"
    recipe = task.config(
        {
            **settings,
            "steps": steps,
            "output": _RUNS,
            "run": run_name,
            "resume": (_RUNS / run_name / "config.yaml").is_file(),
            "training": TrainingConfig(
                log_every_steps=25,
                evaluate_every_steps=each,
                checkpoint_every_steps=each,
                evaluation_tokens=20_000,
                keep_best=0,
            ),
        }
    )
    run = task.train(recipe)
    found = tested(cell, cast(LocalModel, load(run.folder)), task)
    return found | {"updates": steps, "training_seconds": run.metrics()[-1]["seconds"]}


def tested(cell: str, model: LocalModel, task: Task) -> dict[str, Any]:
    """The figure of a model, and what it took."""
    begin = time.perf_counter()
    figure, low, high = task.test(model)
    here = machine.describe()
    return {
        "cell": cell,
        "figure": figure,
        "interval": [low, high],
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "testing_seconds": time.perf_counter() - begin,
        "machine": {"processor": here.processor, "cores": here.cores},
    }


def table(results: pathlib.Path, tasks: Mapping[str, Task], prefix: str, rows: Sequence[str]) -> str:
    """The finished cells, a network a row."""
    heading = "".join(f"{name:>22s}" for name in tasks)
    lines = [f"{'':16s}{heading}", f"{'':16s}" + "".join(f"{task.figure:>22s}" for task in tasks.values())]
    for network in rows:
        told = []
        for name in tasks:
            path = results / f"{prefix}-{name}-{network}.json"
            result = json.loads(path.read_text()) if path.is_file() else None
            low, high = result["interval"] if result else (0.0, 0.0)
            told.append(f"{result['figure']:.1f} ({low:.1f}-{high:.1f})" if result else "")
        lines.append(f"{network:16s}" + "".join(f"{each:>22s}" for each in told))
    return "\n".join(lines)


def run_cells(
    about: str | None,
    cells: Sequence[str],
    measured: Callable[[str, int | None], dict[str, Any]],
    prefix: str,
    told: Callable[[pathlib.Path], str],
) -> None:
    """What the command line asks of `cells`: each that has no result yet is `measured`, then the table is `told`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=cells, action="append", help="only this one; may be given again")
    parser.add_argument("--trial", type=int, help="updates of a trial")
    asked = parser.parse_args()
    results = _RESULTS / "trial" if asked.trial else _RESULTS
    for cell in asked.cell or cells:
        path = results / f"{prefix}-{cell}.json"
        if not path.is_file():
            result = measured(cell, asked.trial)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result, indent=2) + "\n")
            print(f"{cell}: {result['figure']:.1f}", flush=True)
    print(told(results))


def main() -> None:
    rows = [*_FAMILIES, *(f"{family}-fresh" for family in _FAMILIES), _BASELINE]
    run_cells(__doc__, cells_of(TASKS), trained, "tuning", lambda results: table(results, TASKS, "tuning", rows))


if __name__ == "__main__":
    main()
