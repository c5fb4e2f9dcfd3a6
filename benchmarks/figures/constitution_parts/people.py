"""What people preferred: a judge that learnt it, and whether a judge that reads principles says the same.

A model of this size gives "(A)" and "(B)" hardly any probability, however it is asked. So the judge of
benchmarks/figures/constitution.py is the model that answers, tuned on the comparisons of people (those of other
questions than are asked) in the words in which a judge is asked, each under one of the principles of harmlessness and
with the chosen answer in either place by chance. It is human feedback by a detour; what it is worth is measured here.
"""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from constitution_parts.helpful import CONTEXT_TOKENS, Sizes, asked, others
from trivium.config import to_dict
from trivium.data.preferences.judged import Judged
from trivium.evaluation.intervals import proportion
from trivium.lm.load import load
from trivium.recipes.align.constitution.chance import chance
from trivium.recipes.align.constitution.constitution_config import FeedbackConfig
from trivium.recipes.align.constitution.exemplars import ComparisonExemplar, exemplars
from trivium.recipes.align.constitution.feedback import judged
from trivium.recipes.align.constitution.figures import feedback_of
from trivium.recipes.align.constitution.judge import Judge
from trivium.recipes.align.constitution.principles import read_constitution
from trivium.recipes.align.constitution.wording import LABELS, comparison_text
from trivium.recipes.finetune import finetune
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.forgetting import ForgettingConfig


def taught(sizes: Sizes, model: pathlib.Path, runs: pathlib.Path) -> pathlib.Path:
    """The run of the judge; what is left of its training is done."""
    folder = runs / sizes.folder
    run = folder / "judge"
    if not (run / "report.html").is_file():
        data = folder / "comparisons.jsonl"
        data.write_text("".join(json.dumps(each) + "\n" for each in _questions(others(sizes))), encoding="utf-8")
        finetune(
            FinetuneConfig(
                model=model,
                data=data,
                prompt_format="plain",
                rows=4,
                context_tokens=CONTEXT_TOKENS,
                steps=sizes.steps or 200,
                output=folder,
                run=run.name,
                resume=(run / "config.yaml").is_file(),
                forgetting=ForgettingConfig(measure=False),
            )
        )
    return run


def _questions(compared: Sequence[Judged]) -> Iterator[dict[str, str]]:
    """As a judge is asked, with what people chose."""
    constitution = read_constitution("harmless").tagged(("harmless",))
    for number, each in enumerate(compared):
        (principle,) = constitution.drawn(1, 0, "taught", number)
        place = chance(0, "place", number).randrange(2)
        chosen, rejected = (answer.strip() for answer in each.answers)
        options = (rejected, chosen) if place else (chosen, rejected)
        asked = comparison_text((), each.messages, options, principle, thinking=False)
        yield {"prompt": asked, "completion": LABELS[place]}


def unworked(folder: pathlib.Path) -> pathlib.Path:
    """The worked examples for the critic, and none for a judge that was taught without."""
    path = folder / "exemplars.yaml"
    worked = {**to_dict(exemplars()), "comparisons": []}
    path.write_text(json.dumps(worked), encoding="utf-8")  # JSON is YAML
    return path


def agreement(
    model: str | pathlib.Path, worked: Sequence[ComparisonExemplar], config: FeedbackConfig, sizes: Sizes
) -> dict[str, Any]:
    """How often a judge prefers what people chose, both answers read in both orders; and how often the shorter answer
    is the one that they chose, which takes no judge."""
    judge = Judge(load(model), worked, config, seed=0)
    pairs = [(at, each.messages, (each.answers[0], each.answers[1])) for at, each in enumerate(asked(sizes))]
    constitution = read_constitution("harmless")
    rows = judged(judge, constitution, pairs, principles=config.principles, seed=0, what="people")
    found = [row["probability"] for row in rows if row["probability"] is not None]
    lengths = [[len(answer.split()) for answer in row["answers"]] for row in rows]
    shorter = [chosen < rejected for chosen, rejected in lengths if chosen != rejected]
    return {
        "feedback": feedback_of(rows),
        "as_people": to_dict(proportion(sum(p > 0.5 for p in found), len(found))) if found else None,
        "shorter_is_chosen": to_dict(proportion(sum(shorter), len(shorter))),
    }
