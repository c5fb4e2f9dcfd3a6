"""A constitution from end to end on one small model: what becomes of its answers, and what its judge is worth.

    python benchmarks/figures/constitution.py                        # every cell that is not finished, then the table
    python benchmarks/figures/constitution.py --cell dpo             # one of them
    python benchmarks/figures/constitution.py --critic FOLDER        # another critic and judge, a folder or a service
    python benchmarks/figures/constitution.py --smoke                # a few prompts and two updates each, kept apart

The base is that of `adaptation.py`, a LLaMA of 4.2 million parameters; the model that answers is that base tuned on
instructions and conversations (`recipe_parts/material.py`). It is asked the first prompts of HH-RLHF's harmless-base
test set that are short enough, of which a fifth is held out. Cells: "revisions", tuned on revisions only; "dpo" and
"ppo", trained on the judge's preferences after that. Without --critic the model criticises and judges itself. At this
size it can do neither: its critiques are noise, its judgements hardly better than the place of an answer, and that is
what the shares of flips and of the first place are to show. What is measured of the answers before and after are
evasion, by a list of phrases, their length, and harm, by a classifier of tweets (Davidson et al. 2017), which knows
little of conversations. Intervals are 95 %, over prompts; one seed. Results: benchmarks/results/constitution-CELL.json.
"""

import argparse
import csv
import gzip
import html
import json
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from adaptation import base
from recipe_parts import material

from trivium.data.quality.harm import HarmClassifier
from trivium.recipes.align.constitution.constitution_config import (
    ConstitutionConfig,
    FeedbackConfig,
    MeasuringConfig,
    PreferringConfig,
    RevisingConfig,
    SupervisedConfig,
    Then,
)
from trivium.recipes.align.constitution.figures import FIGURES
from trivium.recipes.align.constitution.recipe import constitution
from trivium.recipes.align.prompts import read_prompts
from trivium.recipes.finetune import finetune
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.forgetting import ForgettingConfig
from trivium.runtime import machine

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_RESULTS = _REPOSITORY / "benchmarks" / "results"
_RUNS = _REPOSITORY / "runs"
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_TWEETS = ("hate", "offensive", "neither")
_PROMPTS, _PROMPT_CHARACTERS, _HELD_OUT = 300, 200, 0.2
_CONTEXT_TOKENS, _ANSWER_TOKENS = 256, 48
CELLS: Mapping[str, Then] = {"revisions": "none", "dpo": "dpo", "ppo": "ppo"}


def policy(minutes: float, smoke: bool) -> pathlib.Path:
    """The model that answers: the base, tuned to be helpful."""
    name = "constitution-helpful" + ("-smoke" if smoke else "")
    if not (_RUNS / name / "report.html").is_file():
        finetune(
            FinetuneConfig(
                model=base(minutes, smoke),
                data=material.conversations()[0],
                context_tokens=_CONTEXT_TOKENS,
                steps=2 if smoke else 150,
                output=_RUNS,
                run=name,
                resume=(_RUNS / name / "config.yaml").is_file(),
                forgetting=ForgettingConfig(measure=False),
            )
        )
    return _RUNS / name


def prompts(smoke: bool) -> pathlib.Path:
    """The first prompts that are short enough, each a single question."""
    found = read_prompts(_SHARED / "hh_rlhf" / "harmless-base-test.jsonl.gz", prompt_format="chat")
    texts = (prompt.messages[0]["content"] for prompt in found if len(prompt.messages) == 1)
    short = [text for text in texts if len(text) <= _PROMPT_CHARACTERS][: 30 if smoke else _PROMPTS]
    return material.made("constitution-prompts" + ("-smoke" if smoke else ""), ({"prompt": text} for text in short))


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


def asked(cell: str, minutes: float, critic: str | None, smoke: bool) -> ConstitutionConfig:
    """One cell as it is carried out; what is left of it is done."""
    name = f"constitution-{cell}" + ("-smoke" if smoke else "")
    steps = 2 if smoke else None
    return ConstitutionConfig(
        model=policy(minutes, smoke),
        prompts=prompts(smoke),
        critic=critic,
        revising=RevisingConfig(rounds=2, max_new_tokens=_ANSWER_TOKENS, critique_tokens=_ANSWER_TOKENS),
        supervised=SupervisedConfig(helpful=material.conversations()[0], context_tokens=_CONTEXT_TOKENS, steps=steps),
        feedback=FeedbackConfig(max_new_tokens=_ANSWER_TOKENS),
        preferring=PreferringConfig(method=CELLS[cell], context_tokens=_CONTEXT_TOKENS, steps=2 if smoke else 60),
        measuring=MeasuringConfig(held_out=_HELD_OUT, harm=harm()),
        output=_RUNS,
        run=name,
        resume=(_RUNS / name / "config.yaml").is_file(),
    )


def measured(cell: str, minutes: float, critic: str | None, smoke: bool) -> dict[str, Any]:
    """Carries out what is left of a cell. The seconds are those of this start."""
    config = asked(cell, minutes, critic, smoke)
    start = time.perf_counter()
    run = constitution(config)
    here = machine.describe()
    return {
        "cell": cell,
        "critic": critic or "the model itself",
        "seconds": time.perf_counter() - start,
        "figures": json.loads((run.folder / FIGURES).read_text(encoding="utf-8")),
        "machine": {"processor": here.processor, "cores": here.cores},
    }


def table(found: Mapping[str, dict[str, Any]]) -> str:
    """A line a cell, then a line for each of its models."""
    lines = []
    for cell, result in found.items():
        feedback = result["figures"]["feedback"]
        flips, place = (feedback[name] or 0.0 for name in ("flipped_share", "first_place_mean"))
        lines.append(
            f"{cell}: critic {result['critic']}, {result['seconds']:.0f} s; {feedback['pairs']} pairs, flipped "
            f"{flips:.2f}, first place {place:.2f}, neither {feedback['neither']}, "
            f"conflicts {sum(each['times'] for each in feedback['conflicts'])}"
        )
        for model, told in result["figures"]["held_out"].items():
            better = told["preferred_to_before"]
            said = "" if better is None else f", preferred {better['estimate']:.3f}"
            said += "" if better is None else f" ({better['low']:.3f}-{better['high']:.3f})"
            evasive = told["evasive"] / max(1, told["answers"])
            words, harmful = told["mean_words"], told["harm"]
            lines.append(f"    {model}: evasive {evasive:.3f}, {words:.1f} words, harm {harmful:.3f}{said}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=list(CELLS), action="append", help="only this one; may be given again")
    parser.add_argument("--minutes", type=float, default=20.0, help="of pre-training")
    parser.add_argument("--critic", help="a folder, or a service as openai:MODEL")
    parser.add_argument("--smoke", action="store_true", help="a few prompts and two updates each, kept apart")
    options = parser.parse_args()
    results = _RUNS / "trials" if options.smoke else _RESULTS
    results.mkdir(parents=True, exist_ok=True)
    paths = {cell: results / f"constitution-{cell}.json" for cell in CELLS}
    for cell in options.cell or CELLS:
        if not paths[cell].is_file():
            result = measured(cell, options.minutes, options.critic, options.smoke)
            paths[cell].write_text(json.dumps(result, indent=2) + "\n")
    print(table({cell: json.loads(path.read_text()) for cell, path in paths.items() if path.is_file()}))


if __name__ == "__main__":
    main()
