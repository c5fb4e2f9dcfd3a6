"""The model before and after, on prompts that nothing was trained on: what it answers, and which answer is better."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from trivium.recipes.align.constitution.journal import Row
from trivium.recipes.align.constitution.revise import Messages
from trivium.recipes.align.constitution.stages import Work, answers, comparisons

BEFORE = "before"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """What one model does with the prompts that were held out."""

    model: str
    """Which: before, supervised or preferred."""
    asked: Sequence[Messages]
    """The prompts."""
    answers: list[str]
    """One to each."""
    judged: list[Row]
    """What the judge says of the answers before (the first) and of these (the second); none of the model before."""


def measured(work: Work, asked: Sequence[Messages], models: Mapping[str, pathlib.Path]) -> list[Standing]:
    """How each of `models` stands, the one `BEFORE` first; nothing where no prompt was held out.

    All of them answer with the same chances, so that they differ where the models do.
    """
    if not asked:
        return []
    revising = work.config.revising
    standing: list[Standing] = []
    for name, folder in models.items():
        rows = answers(
            work,
            f"answers-{name}",
            asked,
            folder,
            n=1,
            temperature=revising.temperature,
            tokens=revising.max_new_tokens,
            chance="held out",
        )
        said = [row["answers"][0] for row in rows]
        judged: list[Row] = []
        if standing:
            both = zip(asked, standing[0].answers, said, strict=True)
            two = [(messages, (before, after)) for messages, before, after in both]
            judged = comparisons(work, f"compared-{name}", two)
        standing.append(Standing(model=name, asked=asked, answers=said, judged=judged))
    return standing
