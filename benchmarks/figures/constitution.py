"""A constitution from end to end on one small model: what becomes of its answers, and what its judge is worth.

    python benchmarks/figures/constitution.py                        # every cell that is not finished, then the table
    python benchmarks/figures/constitution.py --cell dpo             # one of them
    python benchmarks/figures/constitution.py --critic FOLDER        # another critic and judge, a folder or a service
    python benchmarks/figures/constitution.py --smoke                # a few prompts and two updates each, kept apart

The model that answers is a LLaMA of 2.6 million parameters, pre-trained and tuned here on dialogues and instructions
(`constitution_parts/helpful.py`). It is asked the first prompts of HH-RLHF's harmless-base test set that are short
enough, of which a quarter is held out; no dialogue that begins with one of them is trained on. It criticises itself,
which it cannot do: its critiques are noise. The judge is the same model tuned on what people preferred
(`constitution_parts/people.py`), since by itself it says neither "(A)" nor "(B)". With --critic another model is both.
Cells: "dpo" and "ppo", tuned on revisions (which is done once for both) and then trained on the judge's preferences by
either; "people", how far this judge, and the model as it is, say what people said of pairs of answers to the prompts.

What is measured of the answers before and after are the judge's preference, evasion by a list of phrases, length, and
harm by a classifier of tweets (Davidson et al. 2017), which knows little of conversations. Intervals are 95 %, over
prompts; one seed. Results: benchmarks/results/constitution-CELL.json.
"""

import argparse
import csv
import gzip
import html
import json
import os
import pathlib
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any

from constitution_parts.helpful import CONTEXT_TOKENS, Sizes, asked, helpful
from constitution_parts.people import agreement, taught, unworked
from recipe_parts import material

from trivium.config import to_dict
from trivium.data.quality.harm import HarmClassifier
from trivium.recipes.align.compared import COMPARED
from trivium.recipes.align.constitution.constitution_config import (
    ConstitutionConfig,
    FeedbackConfig,
    MeasuringConfig,
    PreferringConfig,
    RevisingConfig,
    SupervisedConfig,
    Then,
)
from trivium.recipes.align.constitution.exemplars import exemplars
from trivium.recipes.align.constitution.figures import FIGURES
from trivium.recipes.align.constitution.recipe import constitution
from trivium.recipes.align.constitution.stages import DONE
from trivium.recipes.align.constitution.stages_then import PREFERENCE_MODEL, PREFERRED
from trivium.recipes.align.constitution.supervised import RUN as TUNED
from trivium.recipes.align.reward import HELD_OUT
from trivium.runtime import machine
from trivium.training.run import Run

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_RESULTS, _RUNS = _REPOSITORY / "benchmarks" / "results", _REPOSITORY / "runs"
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_TWEETS = ("hate", "offensive", "neither")
_HELD_OUT, _ANSWER_TOKENS = 0.25, 48
FULL = Sizes(folder="constitution", prompts=300, pretrain_minutes=12.0, steps=None, least_mass=0.01)
SMOKE = Sizes(folder="constitution-smoke", prompts=60, pretrain_minutes=None, steps=2, least_mass=0.0)
METHODS: Mapping[str, Then] = {"dpo": "dpo", "ppo": "ppo"}
CELLS = (*METHODS, "people")
_ALIKE = (
    *("prompts.json", "answers.jsonl", "revisions.jsonl", "supervised-data", "supervised", "pairs.jsonl"),
    *("judgements.jsonl", "preference-data", "answers-before.jsonl", "answers-supervised.jsonl"),
    "compared-supervised.jsonl",
)
"""What a run leaves that does not depend on what is done with the preferences."""


def prompts(sizes: Sizes) -> pathlib.Path:
    """What the model is asked, a line each."""
    path = _RUNS / sizes.folder / "prompts.jsonl"
    lines = [json.dumps({"prompt": each.asked}) + "\n" for each in asked(sizes)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def harm() -> pathlib.Path:
    """Folder of a classifier of harmful tweets."""
    folder = _RUNS / "constitution-harm"
    if not folder.is_dir():
        path = _SHARED / "hate_offensive" / "labeled_data.csv.gz"
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        texts = [html.unescape(row["tweet"]) for row in rows]
        HarmClassifier.train(texts, [_TWEETS[int(row["class"])] for row in rows]).save(folder)
    return folder


def feedback(sizes: Sizes) -> FeedbackConfig:
    """How answers are judged."""
    return FeedbackConfig(pairs=2, max_new_tokens=_ANSWER_TOKENS, least_mass=sizes.least_mass)


def recipe(cell: str, critic: str | None, sizes: Sizes) -> ConstitutionConfig:
    """One cell as it is carried out; what is left of it is done."""
    output, model = _RUNS / sizes.folder, helpful(sizes, _RUNS)
    return ConstitutionConfig(
        model=model,
        prompts=prompts(sizes),
        critic=critic,
        judge=None if critic else str(taught(sizes, model, _RUNS)),
        exemplars=None if critic else unworked(output),
        revising=RevisingConfig(rounds=2, max_new_tokens=_ANSWER_TOKENS, critique_tokens=_ANSWER_TOKENS),
        supervised=SupervisedConfig(
            helpful=material.conversations()[0], context_tokens=CONTEXT_TOKENS, rows=4, steps=sizes.steps or 100
        ),
        feedback=feedback(sizes),
        preferring=PreferringConfig(method=METHODS[cell], context_tokens=CONTEXT_TOKENS, steps=sizes.steps or 60),
        measuring=MeasuringConfig(held_out=_HELD_OUT, harm=harm()),
        output=output,
        run=cell,
        resume=(output / cell / "config.yaml").is_file(),
    )


def begun_alike(config: ConstitutionConfig) -> None:
    """Gives a cell that is not begun what the other method's cell has done before they part: what it would write
    itself, but for the path of that cell and the seconds. Nothing where that one was asked otherwise."""
    folder = config.output / config.run
    (other,) = (config.output / name for name in METHODS if name != config.run)
    if folder.is_dir() or not (other / "report.html").is_file():
        return
    done = Run.open(other).config
    if any(done[name] != value for name, value in to_dict(config).items() if name in done and name != "preferring"):
        return
    copy = folder.with_name(f".{config.run}")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in _ALIKE:
        if (other / name).is_dir():
            shutil.copytree(other / name, copy / name, symlinks=True)
        else:
            shutil.copyfile(other / name, copy / name)
    (copy / DONE).write_text(json.dumps([TUNED]), encoding="utf-8")
    copy.rename(folder)


def measured(cell: str, critic: str | None, sizes: Sizes) -> dict[str, Any]:
    """Carries out what is left of a cell. The seconds are those of this start, without the making of the models."""
    model = helpful(sizes, _RUNS)
    asked = {"the critic": (critic or model, exemplars().comparisons)}
    if critic is None:
        asked["the judge"] = (taught(sizes, model, _RUNS), ())
    start = time.perf_counter()
    if cell == "people":
        found = {"judges": {name: agreement(*each, feedback(sizes), sizes) for name, each in asked.items()}}
    else:
        found = _carried_out(recipe(cell, critic, sizes))
    here = machine.describe()
    return {
        "cell": cell,
        "critic": critic or "the model itself",
        "seconds": time.perf_counter() - start,
        **found,
        "machine": {"processor": here.processor, "cores": here.cores},
    }


def _carried_out(config: ConstitutionConfig) -> dict[str, Any]:
    begun_alike(config)
    run = constitution(config)
    found: dict[str, Any] = {
        "figures": _read(run.folder / FIGURES),
        "metrics": Run.open(run.folder / PREFERRED).metrics(),
    }
    if config.preferring.method == "ppo":
        found["preference_model"] = _read(run.folder / PREFERENCE_MODEL / HELD_OUT)
        found["compared"] = _read(run.folder / PREFERRED / COMPARED)
    return found


def _read(path: pathlib.Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def table(found: Mapping[str, dict[str, Any]]) -> str:
    """A few lines for each cell."""
    return "\n".join(_of_people(result) if cell == "people" else _of_method(result) for cell, result in found.items())


def _of_people(result: Mapping[str, Any]) -> str:
    lines = ["people:"]
    for name, told in result["judges"].items():
        said = "nothing" if told["as_people"] is None else _between(told["as_people"])
        lines.append(f"    {name} says what people said: {said}; {_of_judge(told['feedback'])}")
    shorter = next(iter(result["judges"].values()))["shorter_is_chosen"]
    return "\n".join([*lines, f"    people chose the shorter answer: {_between(shorter)}"])


def _of_judge(feedback: Mapping[str, Any]) -> str:
    flips, place = (feedback[name] or 0.0 for name in ("flipped_share", "first_place_mean"))
    return (
        f"{feedback['pairs']} pairs, {feedback['opinions']} opinions, flipped {flips:.3f}, first place {place:.3f}, "
        f"neither {feedback['neither']}, asked again {feedback['asked_again']}, left out {feedback['left_out']}, "
        f"conflicts {sum(each['times'] for each in feedback['conflicts'])}"
    )


def _of_method(result: Mapping[str, Any]) -> str:
    figures = result["figures"]
    revisions = figures["revisions"]
    rounds = sum(revisions["principles"].values())
    said = (
        f"{result['cell']}: critic {result['critic']}, {result['seconds']:.0f} s; {rounds} rounds, critiques that say "
        f"nothing {revisions['empty_critiques']}, revisions that say nothing {revisions['empty']} or nothing new "
        f"{revisions['unchanged']}, answers that stopped {revisions['stopped']}"
    )
    lines = [said, f"    {_of_judge(figures['feedback'])}"]
    told = {f"revised, {when}": revisions[when] for when in ("before", "after")} | figures["held_out"]
    for name, each in told.items():
        better = each.get("preferred_to_before")
        lines.append(
            f"    {name}: evasive {each['evasive'] / max(1, each['answers']):.3f}, {each['mean_words']:.1f} words, "
            f"harm {each['harm']:.3f}{'' if better is None else f', preferred {_between(better)}'}"
        )
    return "\n".join([*lines, *_of_training(result)])


def _of_training(result: Mapping[str, Any]) -> Iterator[str]:
    """How well the judge's preferences were learnt: by the policy at once, or by a preference model before it."""
    if "compared" not in result:
        right = [each["reward_accuracy"] for each in result["metrics"]]
        yield f"    pairs whose better answer is ahead, as they are learnt: {right[0]:.3f}, at last {right[-1]:.3f}"
        return
    held_out, against = result["preference_model"], result["compared"]["against"]
    low, high = held_out["intervals"]["accuracy"]
    right = _between({"estimate": held_out["metrics"]["accuracy"], "low": low, "high": high})
    yield f"    preference model, right on {held_out['count']} held-out pairs: {right}"
    one, best = (_between(against[beside]["interval"]) for beside in ("single", "best"))
    yield f"    by its score, less one answer of the model before {one} and less its best of {against['k']} {best}"


def _between(interval: Mapping[str, float]) -> str:
    return f"{interval['estimate']:.3f} ({interval['low']:.3f}-{interval['high']:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=CELLS, action="append", help="only this one; may be given again")
    parser.add_argument("--critic", help="a folder, or a service as openai:MODEL")
    parser.add_argument("--smoke", action="store_true", help="a few prompts and two updates each, kept apart")
    options = parser.parse_args()
    sizes, results = (SMOKE, _RUNS / "trials") if options.smoke else (FULL, _RESULTS)
    results.mkdir(parents=True, exist_ok=True)
    paths = {cell: results / f"constitution-{cell}.json" for cell in CELLS}
    for cell in options.cell or CELLS:
        if not paths[cell].is_file():
            paths[cell].write_text(json.dumps(measured(cell, options.critic, sizes), indent=2) + "\n")
    print(table({cell: json.loads(path.read_text()) for cell, path in paths.items() if path.is_file()}))


if __name__ == "__main__":
    main()
