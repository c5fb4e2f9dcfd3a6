"""How many of the words of people's summaries a model's have: ROUGE; of texts that are written for others as well."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trivium.data.rows import Row, read_rows
from trivium.errors import DataError
from trivium.evaluation import metrics
from trivium.evaluation.intervals import bootstrap, proportion
from trivium.lm.local import LocalModel
from trivium.recipes.writing import stated_new_tokens, write_texts
from trivium.runtime.progress import bar

TEXT_FIELDS = ("source", "text", "document", "article", "dialogue")
"""Where a record holds what is to be summed up, if nothing is said: the first that it has."""
SUMMARY_FIELDS = ("target", "summary", "highlights")
"""Where it holds the summary, or several."""
_KINDS = ("rouge1", "rouge2", "rougeL")
_AT_ONCE = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """A text to be summed up."""

    text: str
    """The text."""
    summaries: tuple[str, ...]
    """Summaries by people; one that is near to any of them is good."""
    group: str = ""
    """What several texts share of which none may be learnt and another be measured on: what their questions are about.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summarised:
    """One text with its summary."""

    text: str
    """What was to be summed up."""
    target: tuple[str, ...]
    """Summaries in the data."""
    summary: str
    """The model's."""


def read_documents(
    path: Path, *, text_field: str | None = None, summary_field: str | None = None, encoding: str = "utf-8"
) -> list[Document]:
    """The texts of a file with their summaries; a list of texts under the summary's field is several summaries.

    Raises `DataError` for what cannot be read, with its place.
    """
    found = []
    for row in read_rows(path, encoding=encoding):
        text = row.text(_field(row, text_field, TEXT_FIELDS))
        name = _field(row, summary_field, SUMMARY_FIELDS)
        several = row.fields.get(name)
        if not (isinstance(several, list) and several and all(isinstance(one, str) and one.strip() for one in several)):
            # What is to be written for a text may be its label, and that a number.
            several = [row.word(name) if isinstance(row.fields.get(name), int | float) else row.text(name)]
        found.append(Document(text=text, summaries=tuple(several)))
    if not found:
        raise DataError("there are no texts here", received=path, expected='{"source": "...", "target": "..."} a line')
    return found


def _field(row: Row, named: str | None, usual: Sequence[str]) -> str:
    """The field that is named, else the first usual one that the record has."""
    return named or next((name for name in usual if name in row.fields), usual[0])


def evaluate_summarisation(
    model: LocalModel,
    documents: Sequence[Document],
    *,
    task: str = "summarisation",
    limit: int | None = None,
    beams: int | None = None,
    silent: bool = True,
) -> tuple[dict[str, Any], list[Summarised]]:
    """`{"task", "metrics", "intervals", "count", "settings"}` and every summary.

    F of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), shares of 1, the best over the summaries of a text, as the package
    rouge-score has them with its stemmer; with the intervals of a bootstrap over texts, at 95 %. For another task than
    "summarisation" also the share of texts for which exactly what should be was written, with Wilson's interval.
    """
    documents = documents[:limit]
    answered: list[Summarised] = []
    cut = 0
    with bar(task, total=len(documents), unit="texts", silent=silent) as progress:
        for start in range(0, len(documents), _AT_ONCE):
            some = documents[start : start + _AT_ONCE]
            found = write_texts(model, [one.text for one in some], beams=beams)
            answered += [
                Summarised(text=one.text, target=one.summaries, summary=written.text)
                for one, written in zip(some, found, strict=True)
            ]
            cut += sum(written.cut_tokens > 0 for written in found)
            progress.advance(len(some))
    scores = metrics.rouge(
        [one.summary for one in answered],
        [list(one.target) for one in answered],
        kinds=_KINDS,
        tokenizer="rouge_score",
        stemmer=True,
        per_example=True,
    )
    figures = {kind: scores[kind] for kind in _KINDS}
    drawn = {kind: bootstrap(scores["per_example"][kind]) for kind in _KINDS} if len(answered) > 1 else {}
    if task != "summarisation":
        right = sum(one.summary in map(str.strip, one.target) for one in answered)
        drawn["exact_match"] = proportion(right, len(answered))
        figures["exact_match"] = drawn["exact_match"].estimate
    beams = beams or model.generation.get("num_beams", 1)
    settings = {"limit": limit, "beams": beams, "cut_texts": cut, "stemmer": True}
    return {
        "task": task,
        "metrics": figures,
        "intervals": {kind: [interval.low, interval.high] for kind, interval in drawn.items()},
        "count": len(answered),
        "settings": {**settings, "max_new_tokens": stated_new_tokens(model), "confidence": 0.95},
    }, answered
