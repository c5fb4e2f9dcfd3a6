"""The recipes of docs/recipes.md, carried out on one small model: what each costs, and what comes of it.

    python benchmarks/figures/recipes.py                      # every recipe that is not finished, then the table
    python benchmarks/figures/recipes.py --cell knowledge     # one of them
    python benchmarks/figures/recipes.py --smoke              # two updates each, kept apart

All begin with the base of `adaptation.py`: a LLaMA of 4.2 million parameters that has read English for some minutes.
Sentiment, summary and entities are measured there. What is taught and tested here is in `recipe_parts/material.py`, and
none of it was read by the base. Settings are those of `trivium finetune`, usual where nothing is said. Bits per byte of
held-out text tell what is gained, and those of text in general what is lost. Intervals are 95 %, over passages or
examples; one seed. Results: benchmarks/results/recipes-CELL.json.
"""

import argparse
import dataclasses
import functools
import json
import multiprocessing
import pathlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, cast

from adaptation import base, text
from recipe_parts import material
from recipe_parts.measures import CONTEXT_TOKENS, RESAMPLES, asked, of_answers, of_texts, recalled, together

from trivium.data.examples_file import read_records
from trivium.evaluation.intervals import Interval, bootstrap, proportion
from trivium.evaluation.metrics.bleu import bleu_counts, bleu_of
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.recipes.extend import ExtendConfig, extend
from trivium.recipes.finetune import finetune
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.forgetting import ForgettingConfig
from trivium.recipes.general_text import texts_of
from trivium.recipes.rehearsal import RehearsalConfig
from trivium.recipes.training import TrainingConfig
from trivium.runtime import machine, memory
from trivium.tokenizers.fertility import fertility

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_RESULTS = _REPOSITORY / "benchmarks" / "results"
_RUNS = _REPOSITORY / "runs"
_GENERAL_BYTES, _GENERAL_PASSAGES = 60_000, 60
_CAPTION_TOKENS, _CHAT_TOKENS = 40, 128

Figures = dict[str, dict[str, Interval]]
"""What was measured, then of which model."""
Measure = Callable[[LocalModel], Interval]


@dataclasses.dataclass(kw_only=True)
class Trial:
    """One recipe as it is carried out."""

    cell: str
    start: pathlib.Path
    """The base."""
    smoke: bool
    costs: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    """Of each run."""
    facts: dict[str, float] = dataclasses.field(default_factory=dict)
    """What has no interval."""

    def some(self, things: Sequence[Any], most: int | None = None) -> Sequence[Any]:
        """Those that are tested."""
        return things[: 4 if self.smoke else most]

    def general(self, model: LocalModel) -> Interval:
        """Bits per byte of held-out text of the kind that the base has read."""
        whole = "\n".join(texts_of(text(), measured=True, most_bytes=_GENERAL_BYTES))
        return of_texts(model, self.some(material.passages(whole), _GENERAL_PASSAGES))

    def tuned(self, name: str, data: pathlib.Path, updates: int, *, best: int = 1, **settings: Any) -> pathlib.Path:
        """The run that learns from `data`; its cost is kept, and with `best` 0 its last model used."""
        run_name = f"recipes-{self.cell}-{name}" + ("-smoke" if self.smoke else "")
        config = FinetuneConfig(
            data=data,
            context_tokens=CONTEXT_TOKENS,
            steps=2 if self.smoke else updates,
            forgetting=ForgettingConfig(measure=False),
            output=_RUNS,
            run=run_name,
            resume=(_RUNS / run_name / "config.yaml").is_file(),
            training=TrainingConfig(evaluate_every_steps=50, evaluation_tokens=5000, keep_best=best),
            **{"model": self.start, "rows": 2, **settings},
        )
        # In a process of its own: what an earlier run has used and given back would count as held before.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            self.costs[name] = process.submit(cost, config).result()
        return _RUNS / run_name


def cost(config: FinetuneConfig) -> dict[str, float]:
    """Trains; seconds, MiB that it added to those held before, numbers trained, and updates."""
    held = memory.peak_mib()
    run = finetune(config)
    described = json.loads((run.checkpoints / "last" / "trivium.json").read_text(encoding="utf-8"))
    last = run.metrics()[-1]
    return {
        "seconds": last["seconds"],
        "peak_mib": memory.peak_mib() - held,
        "trained": described["trained_parameters"],
        "updates": last["step"],
    }


def opened(folder: pathlib.Path, **settings: Any) -> LocalModel:
    return cast(LocalModel, load(folder, **settings))


def measured_in(states: Mapping[str, pathlib.Path], **measures: Measure) -> Figures:
    """Every measure of the model of every state, in turn."""
    found: Figures = {what: {} for what in measures}
    for state, folder in states.items():
        model = opened(folder)
        for what, measure in measures.items():
            found[what][state] = measure(model)
    return found


# Recipes --------------------------------------------------------------------------------------------------------------


def translation(trial: Trial) -> Figures:
    """German captions into English, as text to text."""
    records = trial.some(read_records(material.captions("test")), 200)

    def bleu(model: LocalModel) -> Interval:
        prompts = [asked(model, record) for record in records]
        answers = model.generate(prompts, max_new_tokens=_CAPTION_TOKENS, temperature=0.0)
        said = [answer.text.strip() for answer in answers]
        return bootstrap(bleu_counts(said, [each.completion for each in records]), bleu_of(), resamples=RESAMPLES)

    states = {"before": trial.start, "after": trial.tuned("full", material.captions("train"), 200, rows=4)}
    return measured_in(states, bleu=bleu, general=trial.general)


def voice(trial: Trial) -> Figures:
    """How Shakespeare's people answer, from two hundred answers."""
    pairs, tested = material.speeches()
    records = trial.some(read_records(tested))
    states = {"before": trial.start, "after": trial.tuned("lora", pairs, 100, method="lora")}
    return measured_in(states, voice=functools.partial(of_answers, records=records), general=trial.general)


def users(trial: Trial) -> Figures:
    """Three authors, an adapter each, over one base: every author's text under every adapter."""
    authors = {name: material.author(name) for name in material.AUTHORS}
    runs = {name: trial.tuned(name, data, 60, method="lora") for name, (data, _) in authors.items()}
    weights = [run / "checkpoints" / "best" / "adapter_model.safetensors" for run in runs.values()]
    trial.facts["megabytes an adapter"] = max(path.stat().st_size for path in weights) / 1e6
    trial.facts |= together(opened(trial.start, adapter=dict(runs)), list(runs))
    return measured_in(
        {"no adapter": trial.start, **runs},
        **{name: functools.partial(of_texts, passages=trial.some(test)) for name, (_, test) in authors.items()},
    )


def domain(trial: Trial) -> Figures:
    """Abstracts of a field, with a quarter of the tokens rehearsed and without: as many updates more."""
    data, tested = material.abstracts()
    states = {
        "before": trial.start,
        "rehearsed": trial.tuned("rehearsed", data, 200, rehearsal=RehearsalConfig(share=0.25)),
        "alone": trial.tuned("alone", data, 150),
    }
    return measured_in(states, field=functools.partial(of_texts, passages=trial.some(tested)), general=trial.general)


def knowledge(trial: Trial) -> Figures:
    """New documents, with and without rehearsal as in `domain`: what of them is known, and what is not forgotten.

    Facts of documents that were not learnt tell what of the recall is a better guess and no knowledge.
    """
    data = material.new_documents()
    by_heart: dict[str, Any] = {"validation": material.other_documents(), "best": 0}
    states = {
        "before": trial.start,
        "rehearsed": trial.tuned("rehearsed", data, 200, rehearsal=RehearsalConfig(share=0.25), **by_heart),
        "alone": trial.tuned("alone", data, 150, **by_heart),
    }
    new, other = (trial.some(material.facts(which)) for which in (material.NEW, material.OTHER))
    return measured_in(
        states,
        new_facts=functools.partial(recalled, facts=new),
        other_facts=functools.partial(recalled, facts=other),
        general=trial.general,
    )


def language(trial: Trial) -> Figures:
    """German for a model that has read English: new pieces, then training; and the same training without new pieces."""
    plain, data = material.german()
    news = {name: material.news(name) for name in ("german", "english")}
    larger = _RUNS / ("recipes-language-larger" + ("-smoke" if trial.smoke else ""))
    if not larger.is_dir():
        held_out = tuple(file for file, _ in news.values())
        extend(ExtendConfig(model=trial.start, text=(plain,), pieces=1000, measure=held_out, output=larger))
    # Said for both alike, although the larger model tells what its base was trained on.
    rehearsal = RehearsalConfig(share=0.25, data=(text(),))
    states = {
        "before": trial.start,
        "extended": larger,
        "extended and trained": trial.tuned("extended", data, 100, rows=4, model=larger, rehearsal=rehearsal),
        "trained": trial.tuned("plain", data, 100, rows=4, rehearsal=rehearsal),
    }
    tested = {name: trial.some(passages) for name, (_, passages) in news.items()}
    for state in ("before", "extended"):
        tokenizer = opened(states[state]).tokenizer
        assert tokenizer is not None
        for row in fertility(tokenizer, ((name, passage) for name in tested for passage in tested[name])):
            trial.facts[f"tokens a word, {row.language}, {state}"] = row.tokens_per_word or 0.0
    return measured_in(
        states, **{name: functools.partial(of_texts, passages=passages) for name, passages in tested.items()}
    )


def chat(trial: Trial) -> Figures:
    """Instructions and first turns of conversations: how probable held-out answers are, and whether ours end."""
    data, tested = material.conversations()
    records = trial.some(read_records(tested))

    def ended(model: LocalModel) -> Interval:
        prompts = [ids for record in records if len(ids := asked(model, record)) < CONTEXT_TOKENS - _CHAT_TOKENS]
        answers = model.generate(prompts, max_new_tokens=_CHAT_TOKENS, temperature=0.0)
        return proportion(sum(answer.finish_reason == "stop" for answer in answers), len(answers))

    states = {"before": trial.start, "after": trial.tuned("full", data, 150)}
    answers = functools.partial(of_answers, records=records)
    return measured_in(states, answers=answers, ended=ended, general=trial.general)


RECIPES: Mapping[str, Callable[[Trial], Figures]] = {
    each.__name__: each for each in (translation, voice, users, domain, knowledge, language, chat)
}


def measured(cell: str, minutes: float, smoke: bool) -> dict[str, Any]:
    """Carries out what is left of a recipe, and tests what came of it."""
    trial = Trial(cell=cell, start=base(minutes, smoke), smoke=smoke)
    figures = RECIPES[cell](trial)
    here = machine.describe()
    return {
        "cell": cell,
        "costs": trial.costs,
        "figures": {
            what: {state: dataclasses.asdict(each) for state, each in states.items()}
            for what, states in figures.items()
        },
        "facts": trial.facts,
        "machine": {"processor": here.processor, "cores": here.cores},
    }


def table(found: Mapping[str, dict[str, Any]]) -> str:
    """A line a run, then a line a figure."""
    lines = []
    for cell, result in found.items():
        for name, spent in result["costs"].items():
            seconds, mib, trained = (spent[what] for what in ("seconds", "peak_mib", "trained"))
            lines.append(f"{cell}: {name}: {seconds:.0f} s, {mib:.0f} MiB, {trained:,} trained")
        for what, states in result["figures"].items():
            said = (f"{state} {i['estimate']:.3f} ({i['low']:.3f}-{i['high']:.3f})" for state, i in states.items())
            lines.append(f"    {what}: {', '.join(said)}")
        lines += [f"    {what}: {value:.3g}" for what, value in result["facts"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=list(RECIPES), action="append", help="only this one; may be given again")
    parser.add_argument("--minutes", type=float, default=20.0, help="of pre-training")
    parser.add_argument("--smoke", action="store_true", help="two updates each, kept apart")
    parser.add_argument("--alone", action="store_true", help="in this process, as each recipe is carried out")
    options = parser.parse_args()
    results = _RUNS / "trials" if options.smoke else _RESULTS
    results.mkdir(parents=True, exist_ok=True)
    paths = {cell: results / f"recipes-{cell}.json" for cell in RECIPES}
    for cell in options.cell or RECIPES:
        if paths[cell].is_file():
            continue
        if options.alone:
            paths[cell].write_text(json.dumps(measured(cell, options.minutes, options.smoke), indent=2) + "\n")
        else:
            small = ["--smoke"] if options.smoke else []
            command = [sys.executable, __file__, "--alone", "--cell", cell, "--minutes", str(options.minutes), *small]
            subprocess.run(command, check=True)
    if not options.alone:
        print(table({cell: json.loads(path.read_text()) for cell, path in paths.items() if path.is_file()}))


if __name__ == "__main__":
    main()
