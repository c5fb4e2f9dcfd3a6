"""From nothing to a language model and a report about it, in minutes, from the text that every machine has.

    run = quickstart(QuickstartConfig(minutes=5))
    model = trivium.load(run.folder)

The folder of the run holds `data/` (the prepared text), `pairs/` (names and summaries), `base/` (the run of
pre-training), `tuned/` (that of tuning), the finished model in `checkpoints/best`, and `report.html`.
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence

import torch

import trivium
from trivium import config as configuration
from trivium.checkpoints.folder import replace_file
from trivium.data.batches import CausalBatch
from trivium.data.documents import Document, read_documents
from trivium.data.embedded import (
    ORIGIN,
    Entry,
    embedded_documents,
    embedded_entries,
    name_signature_summary_pairs,
)
from trivium.data.prepared import MANIFEST, Prepared, open_prepared
from trivium.data.splits import is_held_out
from trivium.data.tasks import DuplicatesConfig
from trivium.errors import DataError
from trivium.lm.load import load
from trivium.objectives.causal import causal
from trivium.planning.sizing import Decision, Plan, Shape, plan
from trivium.recipes.finetune import FinetuneConfig, finetune
from trivium.recipes.forgetting import ForgettingConfig
from trivium.recipes.prepare import PrepareConfig, prepare
from trivium.recipes.pretrain import BatchConfig, ModelConfig, PretrainConfig, build_model, pretrain
from trivium.recipes.quickstart_facts import Measured, gather, summary_prompt
from trivium.recipes.training import TrainingConfig, begin, check_request
from trivium.reports.page import write
from trivium.reports.quickstart import quickstart_page
from trivium.runtime import machine, memory, processes
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

# Of the whole time: what is left after these two is for measuring, and for the report.
PRETRAINING_SHARE, _TUNING_SHARE = 0.68, 0.12
_LEASTPRETRAINING_SHARE = 0.25
# Of the speed of a few steps, what minutes of training keep: they also evaluate and save, and processors slow down.
_SUSTAINED = 0.85
_HELD_OUT = 0.08
# After two passes the pairs begin to be learnt by heart: the loss on held-out ones rises.
_TUNING_PASSES = 2
_FEWEST_PAIRS = 100
# Below this, little is left of a batch once some is held out.
_LEAST_TEXT_BYTES = 20_000
_PLAN = "plan.json"
# A text read more than four times is partly learnt by heart (Muennighoff et al. 2023, section 5): dropout helps then.
_DROPOUT, _PASSES_WITHOUT_DROPOUT = 0.1, 4
# Of AdamW, which moves the embedding. A third of it, the default of longer runs, costs 0.18 nats a token after 500
# steps, and twice as much gains nothing (docs/log.md).
_EMBEDDING_RATE = 0.012
_EVALUATIONS = 6
_EVALUATION_TOKENS = 24_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuickstartConfig:
    """Makes a language model from the documentation on this machine, or from your text, and a report about it."""

    minutes: float = 5.0
    """Minutes of work in all."""
    data: pathlib.Path | None = None
    """A text file or a folder of text; null for the documentation that comes with Python, torch and numpy."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str | None = None
    """Name of this run: its folder in `output`; null for quickstart, or quickstart-2 and so on where that is taken."""
    resume: bool = False
    """Go on with the run that is there (the latest of them where no name is given)."""
    steps: int | None = None
    """Steps of pre-training; null for as many as there is time for."""
    seed: int = 0
    """Of the weights, the order of the text and the samples."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)


def quickstart(config: QuickstartConfig) -> Run:
    """Carries out `config`; `run.report` is the page to look at.

    Raises `UserError` for data or a folder that cannot be used; `Interrupted` after SIGINT or SIGTERM, once the present
    step is saved.
    """
    run = _start(config)
    stages = Stages(run.folder / "stages.json")
    device = begin(_base(config, run), processes.place())
    with stages("measure the machine"):
        speed = machine.measure(1.0)
    text, planned = _text_and_plan(config, run, stages, device)
    with stages("prepare the text"):
        prepared = _prepared(config, run, text, planned.shape.vocabulary_size)
        pairs = _write_pairs(run, text.entries)
    with stages("pre-train"):
        base = pretrain(_base(config, run, planned, prepared))
    tuned = None
    if pairs:
        with stages("tune"):
            tuned = finetune(_tuning(config, run, base, prepared))
    with stages("measure and look inside"):
        trivium.save(load((tuned or base).folder, device=str(device)), run.checkpoints / "best")
        measured = Measured(
            machine=_machine_in_words(speed), plan=planned, prepared=prepared, base=base, tuned=tuned, seed=config.seed
        )
        facts = gather(measured)
    facts = dataclasses.replace(facts, stages=stages.rows(), commands=_commands(run))
    write(quickstart_page(facts), run.report)
    shutil.copyfile(base.metrics_path, run.metrics_path)
    _say_what_next(facts.commands, run)
    return run


class Stages:
    """Seconds and peak memory of each stage, kept in a file, so that a resumed run can still tell."""

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._rows: dict[str, list[float]] = json.loads(path.read_text()) if path.is_file() else {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Measures the block; blocks of one name add up."""
        memory.forget_peak()
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds, peak = self._rows.get(name, [0.0, 0.0])
            self._rows[name] = [seconds + time.perf_counter() - start, max(peak, memory.peak_mib())]
            replace_file(self._path, json.dumps(self._rows).encode())

    @property
    def seconds(self) -> float:
        """All stages so far together."""
        return sum(seconds for seconds, _ in self._rows.values())

    def rows(self) -> list[tuple[str, float, float]]:
        """(stage, seconds, peak memory in MiB) in the order they first came."""
        return [(name, seconds, peak) for name, (seconds, peak) in self._rows.items()]


def _start(config: QuickstartConfig) -> Run:
    name = config.run or _free_name(config)
    settings = configuration.to_dict(config)
    for free in ("output", "run", "resume"):
        del settings[free]
    return Run.start(config.output / name, settings, resume=config.resume)


def _free_name(config: QuickstartConfig) -> str:
    """The first name that no run has yet; to resume, the last one that a run has."""
    number, name = 1, "quickstart"
    while (config.output / f"quickstart-{number + 1}" if config.resume else config.output / name).exists():
        number += 1
        name = f"quickstart-{number}"
    return name


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Text:
    """What is trained on."""

    source: str
    """As `prepare` names it."""
    documents: list[Document]
    entries: list[Entry]
    """What is documented in it; empty for a user's own text."""

    @property
    def num_bytes(self) -> int:
        return sum(document.num_bytes for document in self.documents)


def _text_and_plan(config: QuickstartConfig, run: Run, stages: "Stages", device: torch.device) -> tuple[_Text, Plan]:
    """The text, and the plan for it."""
    with stages("read the text"):
        text = _own_text(config.data) if config.data is not None else _embedded_text()
    with stages("size the model"):
        planned = _planned(config, run, text, stages.seconds, device)
    replace_file(run.folder / _PLAN, json.dumps(configuration.to_dict(planned), indent=2).encode())
    return text, planned


def _own_text(data: pathlib.Path) -> _Text:
    text = _Text(source=str(data), documents=read_documents([data], skip_unreadable=True)[0], entries=[])
    if text.num_bytes < _LEAST_TEXT_BYTES:
        raise DataError(
            "there is too little text to learn from",
            received=f"{data}: {text.num_bytes:,} bytes of text",
            expected=f"at least {_LEAST_TEXT_BYTES:,}",
            fix="give a larger file or a folder with more text, or leave data out",
        )
    return text


def _embedded_text() -> _Text:
    entries = embedded_entries()
    return _Text(source=ORIGIN, documents=embedded_documents(entries), entries=entries)


def _planned(config: QuickstartConfig, run: Run, text: _Text, elapsed: float, device: torch.device) -> Plan:
    """The plan that the run began with, or a new one."""
    path = run.folder / _PLAN
    if path.is_file():
        return configuration.from_dict(Plan, json.loads(path.read_text()), source=str(path))
    whole = 60 * config.minutes
    seconds = max(PRETRAINING_SHARE * whole - elapsed, _LEASTPRETRAINING_SHARE * whole)
    planned = plan(seconds, text.num_bytes, lambda shape: _SUSTAINED * _tokens_a_second(shape, device))
    if config.steps is None:
        return planned
    asked = Decision(what="steps", value=f"{config.steps:,}", reason="asked for")
    decisions = tuple(asked if decision.what == "steps" else decision for decision in planned.decisions)
    return dataclasses.replace(planned, steps=config.steps, decisions=decisions)


def _tokens_a_second(shape: Shape, device: torch.device, *, steps: int = 12) -> float:
    """The speed of training a shape here, from the median of some steps on meaningless text.

    The fastest step would promise what no run keeps up: on a shared machine it is a quarter faster than the usual one.
    """
    rows, context = 8, 256
    model = build_model(_model(shape), shape.vocabulary_size, context).to(device)
    settings = SupervisedConfig(optimiser=OptimiserConfig(kind="muon"), schedule=ScheduleConfig(kind="constant"))
    learner = SupervisedLearner(model, causal, settings, steps=steps)
    ids = torch.randint(shape.vocabulary_size, (rows, context + 1))
    batch = CausalBatch(
        tokens=ids[:, :-1],
        targets=ids[:, 1:],
        mask=torch.ones(rows, context, dtype=torch.bool),
        lengths=torch.full((rows,), context),
    )
    learner.step(batch)  # the first allocates memory
    taken = []
    for _ in range(steps):
        start = time.perf_counter()
        learner.step(batch)
        taken.append(time.perf_counter() - start)
    return rows * context / statistics.median(taken)


def _prepared(config: QuickstartConfig, run: Run, text: _Text, vocabulary_size: int) -> Prepared:
    folder = run.folder / "data"
    if (folder / MANIFEST).is_file():
        return open_prepared(folder)
    recipe = PrepareConfig(
        sources=(text.source,),
        output=folder,
        vocabulary_size=vocabulary_size,
        validation_fraction=_HELD_OUT,
        join_groups=True,
        # One function is documented much as the next: as near-copies go half of the reference would go.
        duplicates=DuplicatesConfig(near=config.data is not None),
    )
    # What was read is handed on only where reading is long: of files, those passed over are to be counted too.
    return prepare(recipe, documents=text.documents if config.data is None else None)


def _write_pairs(run: Run, entries: list[Entry]) -> bool:
    """Names with signatures and their summaries, split as their modules are: `pairs/train.jsonl`, `validation.jsonl`.

    False where there are too few to learn and to measure from.
    """
    sides: dict[str, list[str]] = {"train": [], "validation": []}
    for pair in name_signature_summary_pairs(entries):
        side = "validation" if is_held_out(pair.group, _HELD_OUT) else "train"
        record = {"prompt": summary_prompt(pair.name, pair.signature), "completion": pair.summary}
        sides[side].append(json.dumps(record, ensure_ascii=False) + "\n")
    if len(sides["train"]) < _FEWEST_PAIRS or len(sides["validation"]) < _FEWEST_PAIRS // 10:
        return False
    folder = run.folder / "pairs"
    folder.mkdir(exist_ok=True)
    for side, lines in sides.items():
        replace_file(folder / f"{side}.jsonl", "".join(lines).encode())
    return True


def _model(shape: Shape, dropout: float = 0.0) -> ModelConfig:
    return ModelConfig(
        width=shape.width,
        layers=shape.layers,
        heads=shape.heads,
        inner_width=shape.inner_width,
        dropout=dropout,
    )


def _base(
    config: QuickstartConfig, run: Run, planned: Plan | None = None, prepared: Prepared | None = None
) -> PretrainConfig:
    """The recipe of pre-training; of its settings only seed and device are known before there is a plan."""
    known = {"data": run.folder / "data", "output": run.folder, "run": "base", "seed": config.seed}
    if planned is None or prepared is None:
        return PretrainConfig(device=config.device, **known)
    steps, passes = planned.steps, planned.tokens / prepared.train.num_tokens
    return PretrainConfig(
        **known,
        device=config.device,
        resume=config.resume and (run.folder / "base" / "config.yaml").is_file(),
        model=_model(planned.shape, _DROPOUT if passes > _PASSES_WITHOUT_DROPOUT else 0.0),
        batch=BatchConfig(rows=planned.rows, context_tokens=planned.context_tokens),
        optimiser=OptimiserConfig(
            kind="muon", learning_rate=_EMBEDDING_RATE, muon_learning_rate=0.02, weight_decay=0.1
        ),
        schedule=ScheduleConfig(kind="wsd", warmup_steps=min(20, steps // 8), decay_fraction=0.5),
        steps=steps,
        training=_cadence(steps),
    )


def _tuning(config: QuickstartConfig, run: Run, base: Run, prepared: Prepared) -> FinetuneConfig:
    """The recipe of tuning, for its share of the time at the speed that pre-training had."""
    pairs = (run.folder / "pairs" / "train.jsonl").read_bytes()
    tokens = len(pairs) * prepared.train.num_tokens / prepared.train.num_bytes
    rows = 8
    a_step = rows * 256
    if config.steps is None:
        last = base.metrics()[-1]
        fitting = 60 * config.minutes * _TUNING_SHARE * last["tokens"] / last["seconds"] / a_step
    else:
        fitting = config.steps / 4
    steps = max(2, int(min(fitting, _TUNING_PASSES * tokens / a_step)))
    return FinetuneConfig(
        model=base.folder,
        data=run.folder / "pairs" / "train.jsonl",
        validation=run.folder / "pairs" / "validation.jsonl",
        output=run.folder,
        run="tuned",
        resume=config.resume and (run.folder / "tuned" / "config.yaml").is_file(),
        rows=rows,
        optimiser=OptimiserConfig(kind="muon", learning_rate=0.0015, muon_learning_rate=0.005, weight_decay=0.1),
        schedule=ScheduleConfig(kind="linear", warmup_steps=min(5, steps // 4)),
        steps=steps,
        training=_cadence(steps),
        seed=config.seed,
        device=config.device,
        forgetting=ForgettingConfig(measure=False),  # the page shows what both models write
    )


def _cadence(steps: int) -> TrainingConfig:
    every = max(1, steps // _EVALUATIONS)
    return TrainingConfig(
        log_every_steps=max(1, steps // 60),
        evaluate_every_steps=every,
        evaluation_tokens=_EVALUATION_TOKENS,
        checkpoint_every_steps=every,
    )


def _machine_in_words(speed: machine.Speed) -> str:
    here = machine.describe()
    return (
        f"Made on {here.processor or 'this processor'} with {here.cores:g} cores: {speed.float32_gflops:.0f} billion "
        f"operations a second in float32, {speed.bandwidth_gb:.0f} GB of memory read a second."
    )


def _commands(run: Run) -> list[tuple[str, str]]:
    model = run.folder
    return [
        ("Talk to it", f"trivium chat {model}"),
        ("Let it go on from a beginning", f'trivium generate {model} --prompt "Return the" --max-new-tokens 40'),
        ("Measure it on a text of yours", f"trivium evaluate {model} --data FILE"),
        ("Make one from a folder of yours", "make quickstart DATA=folder"),
        ("Give it more time", "make quickstart MINUTES=30"),
    ]


def _say_what_next(commands: Sequence[tuple[str, str]], run: Run) -> None:
    """On standard error, as all that is said while work goes on: standard output is for the result."""
    width = max(len(purpose) for purpose, _ in commands)
    lines = [f"\nThe report is {run.report.resolve()}", ""]
    lines += [f"  {purpose + ':':<{width + 1}}  {command}" for purpose, command in commands]
    print("\n".join(lines), file=sys.stderr)
