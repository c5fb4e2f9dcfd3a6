"""What a run came to, in numbers: `figures.json`."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trivium.checkpoints.folder import replace_file
from trivium.data.quality.harm import HarmClassifier
from trivium.evaluation.intervals import bootstrap
from trivium.recipes.align.constitution.evasion import evasion
from trivium.recipes.align.constitution.journal import Row
from trivium.recipes.align.constitution.judge import Opinion
from trivium.recipes.align.constitution.measuring import Standing
from trivium.recipes.align.constitution.stages import Prompts, Work

FIGURES = "figures.json"
_BY_CHANCE = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told:
    """All that was written and judged."""

    prompts: Prompts
    revised: list[Row]
    """Lines of revisions.jsonl."""
    judgements: list[Row]
    """Lines of judgements.jsonl."""
    standing: list[Standing]
    """On the prompts that were held out."""

    @property
    def all_judgements(self) -> Iterable[tuple[str, Row]]:
        """Every line that a judge's opinions stand in, with the name of its file."""
        for row in self.judgements:
            yield "judgements", row
        for each in self.standing:
            for row in each.judged:
                yield f"compared-{each.model}", row


def figures_of(work: Work, told: Told) -> dict[str, Any]:
    """The figures, written into the run's folder as well."""
    harm = work.config.measuring.harm
    classifier = None if harm is None else HarmClassifier.load(harm)
    first, last = zip(*revised_answers(told.revised), strict=True)
    figures = {
        "prompts": {
            "trained": len(told.prompts.trained),
            "held_out": len(told.prompts.held_out),
            "too_long": told.prompts.too_long,
        },
        "revisions": {
            **rounds_of(told.revised),
            "before": _of_answers(first, classifier),
            "after": _of_answers(last, classifier),
        },
        "feedback": feedback_of([row for _, row in told.all_judgements]) | {"labelled": _labelled(told.judgements)},
        "held_out": {each.model: _of_model(each, classifier) for each in told.standing},
    }
    text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
    replace_file(work.run.folder / FIGURES, text.encode(errors="backslashreplace"))
    return figures


def revised_answers(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Of every answer, how it began and what its last revision is."""
    both = []
    for sample in (sample for row in rows for sample in row["samples"]):
        revisions = [turn["revision"] for turn in sample["rounds"] if turn["revision"]]
        both.append((sample["answer"].strip(), revisions[-1] if revisions else sample["answer"].strip()))
    return both


def rounds_of(rows: Sequence[Row]) -> dict[str, Any]:
    """What the critic did: how often it had no room, said nothing, or revised nothing, and under which principles."""
    samples = [sample for row in rows for sample in row["samples"]]
    rounds = [each for sample in samples for each in changes(sample)]
    return {
        "stopped": dict(Counter(sample["stopped"] for sample in samples if sample["stopped"])),
        "empty_critiques": sum(not turn["critique"] for turn, _ in rounds),
        "empty": sum(not turn["revision"] for turn, _ in rounds),
        "unchanged": sum(bool(turn["revision"]) and not changed for turn, changed in rounds),
        "principles": dict(Counter(turn["principle"] for turn, _ in rounds).most_common()),
    }


def changes(sample: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each round of an answer, and whether its revision says anything else than what stood there before it."""
    now = sample["answer"].strip()
    for turn in sample["rounds"]:
        yield turn, turn["revision"] not in ("", now)
        now = turn["revision"] or now


def feedback_of(rows: Sequence[Row]) -> dict[str, Any]:
    """What the judge did: how often it went by the place of an answer, said nothing, and principles disagreed."""
    opinions = [(each, _opinion(each)) for row in rows for each in row["judged"]]
    known = [opinion for _, opinion in opinions if opinion.probability is not None]
    first_place = [place for opinion in known if (place := opinion.of_first_place) is not None]
    conflicts = Counter(
        (_listed(conflict["for_first"]), _listed(conflict["for_second"]), _listed(conflict["prevailed"]))
        for row in rows
        if (conflict := row["conflict"]) is not None
    )
    return {
        "pairs": len(rows),
        "principles": dict(Counter(each["principle"] for each, _ in opinions).most_common()),
        "left_out": dict(Counter(row["left_out"] for row in rows if row["left_out"])),
        "opinions": len(opinions),
        "neither": sum(opinion.probability is None and not opinion.too_long for _, opinion in opinions),
        "asked_again": sum(opinion.asked_again for _, opinion in opinions),
        "flipped_share": _share(sum(opinion.flipped for opinion in known), len(known)),
        "first_place_mean": _share(sum(first_place), len(first_place)),
        "conflicts": [
            {"for_one": one, "for_other": other, "prevailed": prevailed, "times": times}
            for (one, other, prevailed), times in _folded(conflicts)
        ],
    }


def doubt(feedback: Mapping[str, Any]) -> str | None:
    """What to say of a judge, of whom `feedback_of` tells, that goes by places; None of another. By chance alone it
    would turn round half of the time."""
    flipped = feedback["flipped_share"]
    if flipped is None or flipped <= _BY_CHANCE:
        return None
    return (
        f"the judge turned round in {flipped:.0%} of its opinions when the two answers were swapped: it goes by their "
        "place more than by what they say, and what is learnt from it may be anything; give another judge"
    )


def _folded(conflicts: Counter[tuple[str, str, str]]) -> list[tuple[tuple[str, str, str], int]]:
    """Which of the two answers a principle was for makes no difference to a conflict."""
    folded: Counter[tuple[str, str, str]] = Counter()
    for (one, other, prevailed), times in conflicts.items():
        folded[(*sorted((one, other)), prevailed)] += times  # pyright: ignore[reportArgumentType]
    return folded.most_common()


def _opinion(told: dict[str, Any]) -> Opinion:
    one, other = told["orders"]
    return Opinion(orders=(one, other), asked_again=told["asked_again"], too_long=told["too_long"])


def _labelled(rows: Sequence[Row]) -> dict[str, Any]:
    known = [max(p, 1 - p) for row in rows if (p := row["probability"]) is not None]
    return {"pairs": len(known), "mean_probability": _share(sum(known), len(known))}


def _of_model(standing: Standing, classifier: HarmClassifier | None) -> dict[str, Any]:
    better = [1 - p for row in standing.judged if (p := row["probability"]) is not None]
    preferred = None if len(better) < 2 else dataclasses.asdict(bootstrap(better))
    return {**_of_answers(standing.answers, classifier), "preferred_to_before": preferred}


def _of_answers(answers: Sequence[str], classifier: HarmClassifier | None) -> dict[str, Any]:
    harm = None if classifier is None or not answers else float(classifier.harm(list(answers)).mean())
    return {**dataclasses.asdict(evasion(answers)), "harm": harm}


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
