"""Files of preference data: what is in them is recognised line by line, checked, and told.

judged = read_judged(Path("pairs.jsonl"))                       # or .json .csv .tsv .parquet, compressed or not
judged = read_judged(Path("faq.csv"), columns={"prompt": "question", "chosen": "better", "rejected": "worse"})
reading = read_preferences(Path("preferences/"))                # all such files of a folder, and what was left out
told(reading.judged, reading.left_out)                          # "2,308 judgements of 2,301 prompts: 2,308 pairs; ..."

The forms are those of `trivium.data.preferences.forms`; a file may mix them where each line is clear.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trivium.data.conversations import Unusable, refusal
from trivium.data.examples_file import check_columns, files_of, renamed
from trivium.data.preferences.forms import FIELDS, FORMS, judged_of
from trivium.data.preferences.judged import Judged, LeftOut
from trivium.data.preferences.trees import Message, is_message, is_tree, judged_trees, messages_of
from trivium.data.rows import read_rows
from trivium.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read."""

    judged: list[Judged]
    """In the order of the files."""
    left_out: Counter[str] = field(default_factory=Counter)
    """What was passed over, as "with an empty answer", and how often."""


def read_judged(path: Path, *, columns: Mapping[str, str] | None = None) -> list[Judged]:
    """What the lines of a file say, or of all files of a folder, without what was passed over; takes and raises what
    `read_preferences` does."""
    return read_preferences(path, columns=columns).judged


def read_preferences(path: Path, *, columns: Mapping[str, str] | None = None, unjudged: bool = False) -> Reading:
    """What the lines of a file say, or of all files of a folder in the order of their names, and what was passed over.

    Args:
        path: a .jsonl, .json, .csv, .tsv or .parquet file, compressed or not, or a folder with such files in it.
        columns: which of the file's fields or columns are which of ours, as {"prompt": "question"}; others are then not
            looked at. None where they have our names.
        unjudged: whether answers may stand there of which nothing is said, as those that are yet to be judged.

    Raises:
        ConfigError: ``columns`` name what no form has.
        DataError: no such file, none in the folder, nothing that can be used in them, or a line that cannot be, with
            the file, the line and what it is.
    """
    check_columns(columns, FIELDS)
    reading = Reading(judged=[])
    for file in files_of(path):
        messages: list[Message] = []
        for row in read_rows(file):
            fields = row.fields if columns is None else renamed(row, columns)
            try:
                if is_tree(fields):
                    reading.judged.extend(judged_trees(list(messages_of(fields, row.place)), reading.left_out))
                elif is_message(fields):
                    messages.append(Message(fields=fields, where=row.place))
                else:
                    reading.judged.append(replace(judged_of(fields, unjudged=unjudged), where=row.place))
            except LeftOut as reason:
                reading.left_out[str(reason)] += 1
            except Unusable as error:
                raise _refusal(error, row.place) from error
        try:
            reading.judged.extend(judged_trees(messages, reading.left_out))
        except Unusable as error:
            raise _refusal(error, str(file)) from error
    if not reading.judged:
        raise DataError(
            "there are no judgements of answers",
            received=f"{path}{_told_left_out(reading.left_out)}",
            expected=f"lines of {FORMS}",
            fix="check the file",
        )
    return reading


def told(judged: Sequence[Judged], left_out: Mapping[str, int] | None = None) -> str:
    """What was recognised, for people: how many judgements of how many prompts, of which forms, by which criteria and
    raters, and what was passed over."""
    forms = Counter(each.written_as for each in judged)
    criteria = Counter(name for each in judged for name in {**each.ranks, **each.scores})
    raters = {each.rater for each in judged if each.rater is not None}
    prompts = len({each.prompt for each in judged})
    said = f"{_many(len(judged), 'judgement')} of {_many(prompts, 'prompt')}: {_counted(forms)}"
    if len(criteria) > 1:
        said += f"; criteria: {_counted(criteria)}"
    if raters:
        said += f"; {_many(len(raters), 'rater')}"
    return said + _told_left_out(left_out or {})


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _told_left_out(left_out: Mapping[str, int]) -> str:
    return f"; left out: {_counted(Counter(left_out))}" if left_out else ""


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def _refusal(error: Unusable, where: str) -> DataError:
    return refusal(
        error,
        where,
        what="a line of preference data",
        expected=FORMS,
        fix="correct or remove the line, or say with columns which fields are meant",
    )
