"""Film reviews: recurrent classifiers beside bags of words, and generative beside discriminative ones.

    python benchmarks/figures/reviews.py                            # every cell that is not finished, then the tables
    python benchmarks/figures/reviews.py --cell polarity-bilstm     # one of them
    python benchmarks/figures/reviews.py --trial 20                 # 20 updates a network, into a folder of their own

polarity: 2,000 reviews (Pang and Lee 2004); the first of their ten folds, cv000 to cv099 of each class, is the test.
sentences: 10,662 sentences of reviews (Pang and Lee 2005); a tenth of each class, chosen by a hash of the words, is the
test, and networks and bags of words learn from 50 others, from 200, and so on up to all. The generative and the
discriminative classifier are one LSTM with one vocabulary, trained on other tokens: accuracy by number of examples is
the question of Ng and Jordan 2002, and of Yogatama et al. 2017 for recurrent networks.

Of the examples that a network learns from it holds a tenth out itself, to choose among its checkpoints; a bag of words
(scikit-learn; the presence of each word) learns from all. Of a review the networks read the first 1,024 tokens. The
test decides nothing: the settings were chosen on a tenth of the other texts, in two to five trials a network. At a rate
of 4e-3 the discriminative LSTM did not leave chance in 600 updates on 3,200 sentences, at 1e-3 it did in 1,000 in a
trial, and did not in the run of the table; the
BiLSTM learned faster at 2e-3 than at 5e-3. The generative one stayed near chance up to 3,200 sentences at every rate,
and a Transformer (llama) in its place did too. Intervals are Wilson's, 95 %, over the test texts.

The texts are looked for in TRIVIUM_SHARED, else in shared/data beside the repository. Results:
benchmarks/results/reviews-CELL.json.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import random
import re
import time
from collections.abc import Sequence
from typing import Any

import trivium
from trivium.data.labelled import LabelledText, labels_of, read_labelled, stratified_split
from trivium.evaluation.intervals import proportion
from trivium.lm.classifying import Method, label_ids
from trivium.recipes.classification import ClassificationConfig, LabelVocabularyConfig, classification
from trivium.recipes.classifier import ClassifierConfig
from trivium.recipes.training import TrainingConfig
from trivium.runtime import machine
from trivium.training.optimisers import OptimiserConfig

_HERE = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_REVIEWS, _SENTENCES = (
    _SHARED / "sentiment_cc" / "movie_reviews.zip",
    _SHARED / "sentiment_cc" / "sentence_polarity.zip",
)

_FIRST_FOLD = re.compile(r"/cv0\d\d_")
_TESTED = 0.1
_SMALL = 800
_SIZES = (50, 200, _SMALL, 3200, None)
_WORDS = "words"
_EVALUATIONS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """What is trained, and for how long."""

    method: Method
    model: ClassifierConfig
    learning_rate: float
    context_tokens: int
    epochs: int
    least_steps: int = 0
    """Updates where there are few examples."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure."""

    data: str
    contender: str
    """A name in `NETWORKS`, or words: the two bags of words."""
    size: int | None = None
    """Examples to learn from; None: all but the test."""
    seed: int = 0
    """Of the network, and of which examples are taken."""

    @property
    def name(self) -> str:
        """Of its file."""
        if self.data == "polarity":
            return f"polarity-{self.contender}"
        return f"sentences-{self.contender}-{self.size or 'all'}-{self.seed}"


_LSTM = ClassifierConfig(architecture="lstm", width=128, dropout=0.3)
NETWORKS = {
    "bilstm": Network(
        method="head",
        model=ClassifierConfig(architecture="bilstm", width=128, embedding_width=100, dropout=0.5),
        learning_rate=2e-3,
        context_tokens=1024,
        epochs=16,
    ),
    "text_cnn": Network(
        method="head",
        model=ClassifierConfig(architecture="text_cnn", width=100, embedding_width=100, dropout=0.5),
        learning_rate=2e-3,
        context_tokens=1024,
        epochs=10,
    ),
    "generative": Network(
        method="generative", model=_LSTM, learning_rate=3e-3, context_tokens=64, epochs=8, least_steps=400
    ),
    "discriminative": Network(
        method="discriminative", model=_LSTM, learning_rate=1e-3, context_tokens=64, epochs=10, least_steps=1000
    ),
}
CELLS = {
    cell.name: cell
    for cell in (
        *(Cell(data="polarity", contender=contender) for contender in ("bilstm", "text_cnn", _WORDS)),
        *(
            Cell(data="sentences", contender=contender, size=size, seed=seed)
            for size in _SIZES
            for contender in ("generative", "discriminative", _WORDS)
            for seed in ((0, 1) if size is not None and size <= _SMALL else (0,))
        ),
    )
}
"""What is run. Budgets are in passes over the texts: the speed of a machine drifts."""


def split(data: str) -> tuple[list[LabelledText], list[LabelledText]]:
    """(to learn from, to test on)."""
    if data == "sentences":
        return stratified_split(read_labelled(_SENTENCES), _TESTED)
    texts = read_labelled(_REVIEWS)
    tested = [_FIRST_FOLD.search(text.where) is not None for text in texts]
    return (
        [text for text, test in zip(texts, tested, strict=True) if not test],
        [text for text, test in zip(texts, tested, strict=True) if test],
    )


def some(texts: Sequence[LabelledText], size: int | None, seed: int) -> list[LabelledText]:
    """So many of them, of every label alike; a larger number holds the smaller one."""
    chosen: list[LabelledText] = []
    labels = labels_of(texts)
    for label in labels:
        of_label = [text for text in texts if text.label == label]
        random.Random(f"{seed} {label}").shuffle(of_label)
        chosen += of_label[: len(texts) if size is None else size // len(labels)]
    return chosen


def bags_of_words(training: Sequence[LabelledText], tested: Sequence[LabelledText]) -> dict[str, Any]:
    """Right answers of multinomial naive Bayes and of logistic regression, on which words a text has."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB

    counter = CountVectorizer(token_pattern=r"\S+", binary=True)
    features = counter.fit_transform([text.text for text in training])
    asked = counter.transform([text.text for text in tested])
    found = {}
    models = {"naive Bayes": MultinomialNB(), "logistic regression": LogisticRegression(max_iter=2000)}
    for name, model in models.items():
        begin = time.perf_counter()
        model.fit(features, [text.label for text in training])
        answers = model.predict(asked)
        found[name] = judged(answers, tested) | {
            "seconds": time.perf_counter() - begin,
            "words": len(counter.vocabulary_),
        }
    return found


def recipe_of(cell: Cell, count: int, data: pathlib.Path, output: pathlib.Path) -> ClassificationConfig:
    """The recipe of a network that learns from `count` texts in `data`."""
    network = NETWORKS[cell.contender]
    rows = 32
    steps = max(network.least_steps, network.epochs * count // rows)
    each = max(1, steps // _EVALUATIONS)
    return ClassificationConfig(
        data=data,
        method=network.method,
        output=output,
        run=f"reviews-{cell.name}",
        vocabulary=LabelVocabularyConfig(kind="word", size=20_000),
        model=network.model,
        rows=rows,
        context_tokens=network.context_tokens,
        optimiser=OptimiserConfig(learning_rate=network.learning_rate, beta2=0.99, weight_decay=0.1),
        training=TrainingConfig(log_every_steps=each, evaluate_every_steps=each, checkpoint_every_steps=each),
        steps=steps,
        seed=cell.seed,
    )


def trained(recipe: ClassificationConfig, tested: Sequence[LabelledText], *, written: int = 0) -> dict[str, Any]:
    """Trains what is left of a network, and tests it; a generative one also writes sentences of each label."""
    resume = (recipe.output / recipe.run / "config.yaml").is_file()
    run = classification(dataclasses.replace(recipe, resume=resume))
    model = trivium.load(run.folder)
    begin = time.perf_counter()
    answers = [found.label for found in model.classify([text.text for text in tested])]
    rows = run.metrics()
    result = judged(answers, tested) | {
        "seconds": rows[-1]["seconds"],
        "seconds_of_test": time.perf_counter() - begin,
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "curve": [[row["step"], row["validation_loss"]] for row in rows if row["validation_loss"] is not None],
        "recipe": run.config,
    }
    if recipe.method == "generative" and written:
        assert model.tokenizer is not None
        labels = labels_of(tested)
        prompts = [[label] for label in label_ids(model.tokenizer, labels)]
        texts = model.generate(prompts, max_new_tokens=40, temperature=0.7, n=written, seed=recipe.seed)
        result["written"] = {
            label: [text.text for text in texts[at * written : (at + 1) * written]] for at, label in enumerate(labels)
        }
    return result


def judged(answers: Sequence[str], tested: Sequence[LabelledText]) -> dict[str, Any]:
    """The share of right answers and its interval."""
    right = sum(answer == text.label for answer, text in zip(answers, tested, strict=True))
    share = proportion(right, len(tested))
    return {"right": right, "tested": len(tested), "accuracy": share.estimate, "low": share.low, "high": share.high}


def run_cell(cell: Cell, output: pathlib.Path, results: pathlib.Path, trial: int | None) -> None:
    """Does what is left of a cell and writes its result."""
    pool, tested = split(cell.data)
    training = some(pool, cell.size, cell.seed)
    if cell.contender == _WORDS:
        contenders = bags_of_words(training, tested)
    else:
        data = output / "reviews-data" / f"{cell.name}.jsonl"
        data.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"text": text.text, "label": text.label}) + "\n" for text in training]
        data.write_text("".join(lines), encoding="utf-8")
        recipe = recipe_of(cell, len(training), data, output)
        if trial is not None:
            recipe = dataclasses.replace(recipe, steps=trial, run=f"{recipe.run}-trial-{trial}")
        contenders = {cell.contender: trained(recipe, tested, written=5 if cell.size is None else 0)}
    here = machine.describe()
    result = {
        "cell": cell.name,
        **dataclasses.asdict(cell),
        "examples": len(training),
        "contenders": contenders,
        "machine": {"processor": here.processor, "cores": here.cores},
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / f"reviews-{cell.name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, found in contenders.items():
        print(f"{cell.name}, {name}: {_percent(found)}, {found['seconds']:.0f} s", flush=True)


def table(results: pathlib.Path) -> None:
    """What was measured so far: a row a contender, a column a number of examples."""
    rows: dict[tuple[str, str], dict[int, list[str]]] = {}
    for path in sorted(results.glob("reviews-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        for name, found in result["contenders"].items():
            of_size = rows.setdefault((result["data"], name), {})
            of_size.setdefault(result["examples"], []).append(_percent(found))
    for data in ("polarity", "sentences"):
        sizes = sorted({size for (of, _), found in rows.items() if of == data for size in found})
        if sizes:
            print(
                f"\n{data}: accuracy, %, by examples to learn from\n{'':20s}"
                + "".join(f"{size:>20,}" for size in sizes)
            )
        for (of, name), found in rows.items():
            lines = max(map(len, found.values())) if of == data else 0
            for line in range(lines):
                cells = [found.get(size, [])[line : line + 1] for size in sizes]
                print(f"{'' if line else name:20s}" + "".join(f"{each[0] if each else '':>20s}" for each in cells))


def _percent(found: dict[str, Any]) -> str:
    return f"{100 * found['accuracy']:.1f} ({100 * found['low']:.1f}-{100 * found['high']:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=sorted(CELLS), help="only this one")
    parser.add_argument("--trial", type=int, help="a trial of so many updates, kept apart from the results")
    parser.add_argument("--output", type=pathlib.Path, default=_REPOSITORY / "runs", help="folder of the runs")
    asked = parser.parse_args()
    results = _HERE.parent / "results" if asked.trial is None else asked.output / "trials"
    for name in [asked.cell] if asked.cell else CELLS:
        if asked.trial is not None or not (results / f"reviews-{name}.json").is_file():
            run_cell(CELLS[name], asked.output, results, asked.trial)
    table(results)


if __name__ == "__main__":
    main()
