"""One model, adapted by eight methods to three tasks; and what it forgets of one task while it learns another.

    python benchmarks/figures/adaptation.py                          # every cell that is not finished, then the tables
    python benchmarks/figures/adaptation.py --cell polarity-lora     # one of them
    python benchmarks/figures/adaptation.py --smoke                  # two updates each, kept apart

The base is a LLaMA of 4.2 million parameters, pre-trained here for `--minutes` on novels, addresses, film reviews, web
pages and abstracts (no label of any task). Tasks, each in one phrasing, as text to text: polarity (SST-2, exactly right
answers on its development set), summary (SciTLDR-A, ROUGE-L with the test set's first summary) and entities (WNUT-17,
the texts of the test set that hold names, F1 of their kinds). The names are given there and their kinds asked for: a
model of this size that has read 3.5 million tokens copies no name out of a text (F1 0.0, tried in full and with LoRA).
All methods make the same number of updates of the same size, each at the rate that is usual of it
(`recipes.method_config`); nothing was tuned for any of them, and what is tested is the last model. Every cell is a
process of its own: its memory is what it adds at most to what the process held before.

"then" cells begin with the model that learnt entities in full and teach it polarity: in full, in full with half of the
tokens rehearsed from entities, beside it (LoRA), held near by its divergence from before or by elastic weights. "both"
learns both tasks at once from the base. What is measured of each is both tasks and bits per byte of held-out general
text. Intervals are 95 %, over examples. Results: benchmarks/results/adaptation-CELL.json, and adaptation.html.
"""

import argparse
import dataclasses
import gc
import itertools
import json
import operator
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch

from trivium.data.conll import read_conll
from trivium.data.examples import Example, ExamplesSource
from trivium.data.examples_file import read_records
from trivium.data.rows import read_rows
from trivium.evaluation.intervals import Interval, bootstrap, proportion
from trivium.evaluation.metrics.rouge import rouge_l
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.objectives.causal import causal
from trivium.recipes.examples import encode_record
from trivium.recipes.finetune import finetune
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.forgetting import ForgettingConfig, hold_out, standing
from trivium.recipes.instructions import InstructionsConfig, instructions
from trivium.recipes.language_model import ModelConfig
from trivium.recipes.method_config import MethodName
from trivium.recipes.prepare import prepare
from trivium.recipes.prepare_config import PrepareConfig, WorkConfig
from trivium.recipes.pretrain import BatchConfig, PretrainConfig, pretrain
from trivium.recipes.prompted import prompted
from trivium.recipes.rehearsal import RehearsalConfig
from trivium.recipes.retention import RetentionConfig
from trivium.recipes.training import TrainingConfig
from trivium.reports import page, parts
from trivium.runtime import machine, memory
from trivium.templates.phrasing import Task
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_RESULTS = _REPOSITORY / "benchmarks" / "results"
_RUNS = _REPOSITORY / "runs"
_DATA = _RUNS / "adaptation-data"
_TEXTS = (
    *(f"litbank_novels/novels_{number}.zip" for number in (1, 2, 3)),
    "pd_text/inaugural.zip",
    "pd_text/state_union.zip",
    "sentiment_cc/movie_reviews.zip",
    "web_text/c4_demo.jsonl",
    "web_text/wiki_demo.txt",
)
_CONTEXT, _ROWS, _UPDATES = 512, 4, 200
_TEXT_BYTES = 50_000
_ANSWER_TOKENS = 64
_OPINIONS = 20_000
_RESAMPLES = 1000

TEMPLATES = {
    "polarity": "fields: [text, label]\ntemplates:\n  - name: review\n    prompt: |-\n"
    "      Review: {{ text }}\n      Opinion:\n    completion: ' {{ label }}'\n",
    "summary": "fields: [text, summary]\ntemplates:\n  - name: abstract\n    prompt: |-\n"
    "      {{ text }}\n      In short:\n    completion: ' {{ summary }}'\n",
    "entities": "fields: [text, entities]\ntemplates:\n  - name: kinds\n    prompt: |-\n"
    "      Text: {{ text }}\n      Names: {{ entities | map(attribute='name') | join(', ') }}\n      Kinds:\n"
    "    completion: \" {{ entities | map(attribute='type') | join(', ') }}\"\n",
}
"""One phrasing a task: so small a model is to learn the task, not to read instructions."""
KINDS: dict[str, Task] = {"polarity": "sentiment", "summary": "summarisation", "entities": "entities"}
TESTED = {"polarity": 400, "summary": 60, "entities": 300}
"""Examples that are tested, the first of the test set."""
FIGURES = {"polarity": "accuracy", "summary": "ROUGE-L", "entities": "kinds right, F1"}
METHODS: tuple[MethodName, ...] = (
    "full",
    "lora",
    "qlora",
    "prefix",
    "soft-prompt",
    "houlsby",
    "ia3",
    "norms",
)
THEN = ("full", "rehearsed", "lora", "close", "elastic")
"""Ways to learn polarity after entities."""


def cells() -> list[str]:
    """TASK-METHOD, those to be drawn together next to each other; the base untuned; then the pair that is quoted."""
    first = [f"{task}-{method}" for method in METHODS[:2] for task in KINDS]
    later = [f"{task}-{method}" for method in METHODS[2:] for task in KINDS]
    return ["base", *first, *(f"then-{way}" for way in THEN), "both-full", *later]


# Data -----------------------------------------------------------------------------------------------------------------


def text() -> pathlib.Path:
    """What the base is pre-trained on, prepared the first time it is asked for."""
    prepared = _DATA / "text"
    if not (prepared / "manifest.json").is_file():
        prepare(
            PrepareConfig(
                sources=(*(str(_SHARED / name) for name in _TEXTS), str(_table("train"))),
                vocabulary_size=4096,
                validation_fraction=0.02,
                output=prepared,
                work=WorkConfig(processes=1),
            )
        )
    return prepared


def examples(task: str, part: str) -> pathlib.Path:
    """The examples of a task, "train" or "test", in a file of their own."""
    folder = _DATA / part
    made = folder / "train" / f"{task}.jsonl"
    if not made.is_file():
        template = _DATA / f"{task}.yaml"
        template.parent.mkdir(parents=True, exist_ok=True)
        template.write_text(TEMPLATES[task], encoding="utf-8")
        polarity: dict[str, Any] = {"columns": ("text=sentence",), "labels": ("0=negative", "1=positive")}
        instructions(
            InstructionsConfig(
                task=KINDS[task],
                sources=(_source(task, part),),
                output=folder,
                name=task,
                templates=template,
                held_out=0.0,
                **(polarity if task == "polarity" else {}),
            )
        )
    return made


def _source(task: str, part: str) -> pathlib.Path:
    if task == "polarity":
        return _opinions(part)
    return _names(part) if task == "entities" else _table(part)


def _names(part: str) -> pathlib.Path:
    """The tagged texts that hold a name: of all, most have none, and so small a model would learn to say so."""
    path = _DATA / f"names_{part}.conll"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = _SHARED / "ner_wnut17" / ("wnut17train.conll" if part == "train" else "emerging.test.annotated")
        texts = [text for text in read_conll(whole).sentences if any(tag != "O" for tag in text.tags)]
        lines = ("\n".join(f"{word}\t{tag}" for word, tag in zip(text.words, text.tags, strict=True)) for text in texts)
        path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return path


def _opinions(part: str) -> pathlib.Path:
    """Phrases of reviews with their polarity; of those to train on the first, more than are read."""
    path = _DATA / f"opinions_{part}.jsonl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = read_rows(_SHARED / "unclear-glue" / "SST-2" / ("train.tsv.gz" if part == "train" else "dev.tsv"))
        lines = [dict(row.fields) for row in itertools.islice(rows, _OPINIONS)]
        path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return path


def _table(part: str) -> pathlib.Path:
    """Abstracts with their first summary, a line each."""
    path = _DATA / f"abstracts_{part}.jsonl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = (row.fields for row in read_rows(_SHARED / "scitldr" / f"{part}.jsonl.gz"))
        lines = [{"text": " ".join(row["source"]), "summary": row["target"][0]} for row in rows]
        path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return path


# Cells ----------------------------------------------------------------------------------------------------------------


def base(minutes: float, smoke: bool) -> pathlib.Path:
    """The pre-trained model's run; what is left of its training is done."""
    name = "adaptation-base" + ("-smoke" if smoke else "")
    if not _is_finished(_RUNS / name):
        pretrain(
            PretrainConfig(
                data=text(),
                output=_RUNS,
                run=name,
                resume=(_RUNS / name / "config.yaml").is_file(),
                model=ModelConfig(architecture="llama", width=256, layers=4, heads=8),
                batch=BatchConfig(rows=_ROWS, context_tokens=_CONTEXT),
                steps=2 if smoke else None,
                minutes=None if smoke else minutes,
                optimiser=OptimiserConfig(kind="muon", learning_rate=4e-3, muon_learning_rate=0.01),
                training=TrainingConfig(evaluation_tokens=20_000, evaluate_every_steps=300, checkpoint_every_steps=300),
            )
        )
    return _RUNS / name


def recipe(cell: str, name: str, start: pathlib.Path, updates: int) -> FinetuneConfig:
    """The training of a cell, from the model in ``start``."""
    task, _, method = cell.partition("-")
    learnt = task if task in KINDS else "polarity"
    settings: dict[str, Any] = {"data": examples(learnt, "train"), "method": method}
    if task == "then":
        settings["method"] = "lora" if method == "lora" else "full"
        if method == "rehearsed":
            settings["rehearsal"] = RehearsalConfig(share=0.5, data=(examples("entities", "train"),))
        if method == "close":
            settings["retention"] = RetentionConfig(kept_close=1.0)
        if method == "elastic":
            settings["retention"] = RetentionConfig(elastic_weights=100.0)
    if task == "both":
        settings["rehearsal"] = RehearsalConfig(share=0.5, data=(examples("entities", "train"),))
    return FinetuneConfig(
        model=start,
        prompt_format="chat",
        context_tokens=_CONTEXT,
        rows=_ROWS,
        steps=updates,
        forgetting=ForgettingConfig(measure=False),
        output=_RUNS,
        run=name,
        resume=(_RUNS / name / "config.yaml").is_file(),
        training=TrainingConfig(
            evaluation_tokens=500, evaluate_every_steps=max(1, updates // 2), checkpoint_every_steps=100, keep_best=0
        ),
        **settings,
    )


def measured(cell: str, minutes: float, smoke: bool) -> dict[str, Any]:
    """Trains what is left of a cell, and tests what came of it."""
    start, suffix = base(minutes, smoke), "-smoke" if smoke else ""
    if cell == "base":
        return {"cell": cell, **tested(cast(LocalModel, load(start)), smoke)}
    updates = 2 if smoke else _UPDATES
    if cell.startswith("then-"):
        learnt = _RUNS / f"adaptation-entities-full{suffix}"
        if not _is_finished(learnt):
            finetune(recipe("entities-full", learnt.name, start, updates))
        start = learnt
    gc.collect()
    memory.forget_peak()
    held = memory.peak_mib()
    run = finetune(recipe(cell, f"adaptation-{cell}{suffix}", start, updates))
    peak = memory.peak_mib() - held
    described = json.loads((run.checkpoints / "last" / "trivium.json").read_text(encoding="utf-8"))
    return {
        "cell": cell,
        "trained": described["trained_parameters"],
        "seconds": run.metrics()[-1]["seconds"],
        "peak_mib": peak,
        "updates": updates,
        **tested(cast(LocalModel, load(run.folder)), smoke),
    }


def tested(model: LocalModel, smoke: bool) -> dict[str, Any]:
    """All tasks, whichever was learnt, and bits per byte of held-out text."""
    config = ForgettingConfig(text=text(), text_bytes=_TEXT_BYTES)
    held = hold_out(config, model, own=(), prompt_format="chat", context_tokens=_CONTEXT)
    assert held is not None
    found: dict[str, Any] = {"bits_per_byte": standing(model, held).bits_per_byte, "figures": {}, "losses": {}}
    for task, most in TESTED.items():
        asked = _asked(model, task, 4 if smoke else most)
        found["figures"][task] = dataclasses.asdict(_figure(model, task, asked))
        found["losses"][task] = _loss(model, [example for example, _ in asked])
    return found | {"machine": _machine()}


def _asked(model: LocalModel, task: str, most: int) -> list[tuple[Example, str]]:
    """The first examples of the test set, with what is to be written; those that are too long are left out."""
    assert model.tokenizer is not None
    records = read_records(examples(task, "test"))[:most]
    encoded = [encode_record(model.tokenizer, each, prompt_format="chat", answers="last") for each in records]
    pairs = zip(encoded, records, strict=True)
    return [(each, record.completion.strip()) for each, record in pairs if len(each.ids) < _CONTEXT - _ANSWER_TOKENS]


@torch.inference_mode()
def _loss(model: LocalModel, asked: Sequence[Example]) -> float:
    """Nats a token of the answers."""
    source = ExamplesSource(asked, vocabulary_size=model.config.vocabulary_size, context_tokens=_CONTEXT, rows=1)
    losses = [prompted(causal)(model.network, next(source)) for _ in range(round(source.batches_per_epoch))]
    return sum(float(loss.total) for loss in losses) / sum(float(loss.count) for loss in losses)


def _figure(model: LocalModel, task: str, asked: Sequence[tuple[Example, str]]) -> Interval:
    """What the model writes, greedily, beside what was to be written."""
    prompts = [list(each.ids[: list(each.trained).index(True)]) for each, _ in asked]
    answers = model.generate(prompts, max_new_tokens=_ANSWER_TOKENS, temperature=0.0)
    pairs = [(answer.text.strip(), wanted) for answer, (_, wanted) in zip(answers, asked, strict=True)]
    if task == "entities":
        return bootstrap(np.array([_counts(*pair) for pair in pairs]), _f1, resamples=_RESAMPLES)
    if task == "summary":
        return bootstrap(np.array([rouge_l(*pair) for pair in pairs]), resamples=_RESAMPLES)
    return proportion(sum(said == wanted for said, wanted in pairs), len(pairs))


def _counts(said: str, wanted: str) -> tuple[int, int, int]:
    """(kinds that are right, place by place, those that were said, those that there are)."""
    ours, theirs = said.split(", "), wanted.split(", ")
    return sum(map(operator.eq, ours, theirs)), len(ours), len(theirs)


def _f1(sums: np.ndarray) -> np.ndarray:
    """Strict F1 of the sums of `_counts`, [..., 3]."""
    return 2 * sums[..., 0] / np.maximum(1, sums[..., 1] + sums[..., 2])


def _is_finished(folder: pathlib.Path) -> bool:
    """Whether the run in it has made all of its updates."""
    if not (folder / "config.yaml").is_file():
        return False
    run = Run.open(folder)
    rows = run.metrics()
    return bool(rows) and rows[-1]["step"] == run.config["steps"]


def _machine() -> dict[str, Any]:
    here = machine.describe()
    return {"processor": here.processor, "cores": here.cores}


# What is told --------------------------------------------------------------------------------------------------------


def table(found: Mapping[str, dict[str, Any]]) -> str:
    """One line a cell."""
    lines = [f"{'':22s} trained  seconds  MiB  " + "  ".join(FIGURES.values()) + "  bits per byte"]
    for cell, result in found.items():
        figures = "  ".join(
            f"{100 * each['estimate']:5.1f} ({100 * each['low']:.1f}-{100 * each['high']:.1f})"
            for each in result["figures"].values()
        )
        cost = f"{result.get('trained', 0):9,d} {result.get('seconds', 0):7.0f} {result.get('peak_mib', 0):5.0f}"
        lines.append(f"{cell:20s} {cost}  {figures}  {result['bits_per_byte']:.3f}")
    return "\n".join(lines)


def draw(found: Mapping[str, dict[str, Any]], path: pathlib.Path) -> None:
    """The page: what each method came to on each task, and what was forgotten."""
    colours = ("first", "second", "third")
    methods = [each for each in METHODS if all(f"{task}-{each}" in found for task in KINDS)]
    quality = parts.grouped(
        methods,
        [
            (
                f"{task}: {FIGURES[task]}",
                colour,
                [100 * found[f"{task}-{each}"]["figures"][task]["estimate"] for each in methods],
            )
            for task, colour in zip(KINDS, colours, strict=True)
        ],
        unit="per cent",
        label="What each method came to on each of three tasks.",
        caption="Equal updates of equal size, each method at its usual rate, one seed.",
    )
    told = {
        "entities alone": ("entities-full", "entities-full"),
        "then polarity, in full": ("then-full", "then-full"),
        "then polarity, half rehearsal": ("then-rehearsed", "then-rehearsed"),
        "then polarity, held close": ("then-close", "then-close"),
        "then polarity, elastic weights": ("then-elastic", "then-elastic"),
        "then polarity, LoRA": ("then-lora", "then-lora"),
        "the same, on for polarity alone": ("entities-full", "then-lora"),
        "both at once": ("both-full", "both-full"),
    }
    told = {words: pair for words, pair in told.items() if set(pair) <= found.keys()}
    forgotten = parts.grouped(
        list(told),
        [
            (
                f"{task}: {FIGURES[task]}",
                colour,
                [100 * found[pair[place]]["figures"][task]["estimate"] for pair in told.values()],
            )
            for place, (task, colour) in enumerate((("entities", "first"), ("polarity", "second")))
        ],
        unit="per cent",
        label="Entities and polarity, before and after polarity is learnt in several ways.",
        caption="An adapter can be turned off where it is not wanted: the model is then that of the first row.",
    )
    sections = [
        page.Section(title="Eight methods, three tasks", body=quality),
        page.Section(title="Taught polarity, does it forget entities?", body=forgotten),
    ]
    head = parts.paragraph("One model of 4.2 million parameters, pre-trained here, adapted in every way.")
    page.write(
        page.Page(title="Adaptation", head=head, sections=sections, foot="benchmarks/figures/adaptation.py"), path
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=cells(), action="append", help="only this one; may be given again")
    parser.add_argument("--minutes", type=float, default=20.0, help="of pre-training")
    parser.add_argument("--smoke", action="store_true", help="two updates each, kept apart")
    parser.add_argument("--alone", action="store_true", help="in this process, as each cell is carried out")
    asked = parser.parse_args()
    results = _RUNS / "trials" if asked.smoke else _RESULTS
    results.mkdir(parents=True, exist_ok=True)
    for cell in asked.cell or cells():
        path = results / f"adaptation-{cell}.json"
        if path.is_file():
            continue
        if asked.alone:
            path.write_text(json.dumps(measured(cell, asked.minutes, asked.smoke), indent=2) + "\n")
        else:
            options = ["--smoke"] if asked.smoke else []
            subprocess.run(
                [sys.executable, __file__, "--alone", "--cell", cell, "--minutes", str(asked.minutes), *options],
                check=True,
            )
    paths = {cell: results / f"adaptation-{cell}.json" for cell in cells()}
    found = {cell: json.loads(path.read_text()) for cell, path in paths.items() if path.is_file()}
    if not asked.alone:
        print(table(found))
        draw(found, results / "adaptation.html")


if __name__ == "__main__":
    main()
