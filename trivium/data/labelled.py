"""Texts, or pairs of texts, with a label each: lines of JSON, tables, folders or archives with a folder or a file for
each label.

examples = read_labelled(Path("reviews.csv"))
examples = read_labelled(Path("RTE/train.tsv"), text_field="sentence1", second_field="sentence2")
training, held_out = stratified_split(examples, 0.1)

.jsonl .csv .tsv .json .parquet        one text a record, in the fields that are named; compressed or not
neg/1.txt  neg/2.txt  pos/1.txt ...    one text a file, labelled by its folder; a folder, or a .zip
reviews.neg  reviews.pos               one text a line, labelled by that part of the file's name that differs
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trivium.data.dedup.exact import digest
from trivium.data.documents import Document
from trivium.data.labelled_files import is_of_records, labelled_files
from trivium.data.readers import (
    PassedOver,
    ReadOptions,
    formats,
    list_parts,
    read_part,
)
from trivium.data.rows import number_of, read_rows
from trivium.data.splits import is_held_out
from trivium.errors import DataError

TEXT_FIELDS = ("text", "sentence")
"""Where the text of a record is looked for when no field is named: our name, and that of single sentences in GLUE."""

PAIRED_FIELDS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
)
"""Where a record holds two texts that belong together, as the sets of GLUE call them."""

# No record has a field of this name: an example is known by its line and by nothing that the line may say.
_NO_FIELD = "\0"
_FORMS = "a .jsonl, .csv or .tsv file of texts and labels, or a folder or .zip with a folder or a file for each label"


@dataclass(frozen=True, kw_only=True)
class LabelledText:
    """One example."""

    text: str
    """The text, as it stands in its source."""
    label: str
    """Its label."""
    second: str | None = None
    """The text that it is read with, where the label is one of two texts together."""
    where: str = field(default="", compare=False)
    """The file, and the line or row in it, for messages."""

    @property
    def read(self) -> str | tuple[str, str]:
        """What a model is given: the text, or both."""
        return self.text if self.second is None else (self.text, self.second)

    @property
    def number(self) -> float:
        """The label as a number. Raises `DataError` where it is none."""
        return number_of(self.label, self.where)


def read_labelled(
    path: Path,
    *,
    text_field: str | None = None,
    second_field: str | None = None,
    label_field: str = "label",
    columns: Sequence[str] = (),
    encoding: str = "utf-8",
) -> list[LabelledText]:
    """The examples of a file, a folder or an archive, in the order in which they stand there.

    Args:
        path: see above for its forms.
        text_field: field or column of the text; None: of a pair the first field that goes with ``second_field`` in
            `PAIRED_FIELDS`, else the first of `TEXT_FIELDS` that the first record has.
        second_field: field or column of the text that it is read with, for pairs; they are records of one file.
        label_field: field or column of the label: a word or a number.
        columns: names of the columns of a table whose first row does not name them.
        encoding: of tables and texts, where they do not say so themselves.

    Raises:
        DataError: what cannot be read, with its file and line; an empty text; a record without a label; no examples.
    """
    if not os.path.lexists(path):
        raise DataError("there is no such file or folder", received=path, fix="check the path")
    options = ReadOptions(encoding=encoding, label_field=label_field, id_field=_NO_FIELD, group_field=_NO_FIELD)
    suffix = formats.suffix(path.name)
    if second_field is not None or columns:
        examples = list(_of_rows(path, text_field, second_field, label_field, columns, encoding))
    elif path.is_dir() or suffix == ".zip":
        found = labelled_files(path, options)
        examples = [LabelledText(text=text, label=label, where=where) for text, label, where in found]
    elif is_of_records(path.name):
        examples = list(_of_records(path, text_field, options))
    else:
        raise DataError("this kind of file holds no labelled texts", received=path, expected=_FORMS)
    for example in examples:
        if not example.text.strip():
            raise DataError("a text is empty", received=example.where, fix="remove it")
    if not examples:
        raise DataError("there are no labelled texts", received=path, expected=_FORMS)
    return examples


def labels_of(examples: Iterable[LabelledText]) -> tuple[str, ...]:
    """The labels, each once, sorted: the place of a label is its class."""
    return tuple(sorted({example.label for example in examples}))


def stratified_split(
    examples: Sequence[LabelledText], fraction: float
) -> tuple[list[LabelledText], list[LabelledText]]:
    """(the rest, about ``fraction`` of the texts of every label), each in the order of ``examples``.

    Which texts are held out depends on their words alone, by a hash: neither on their order nor on the machine. Copies
    of a text, whatever their case and white space, stand on one side. Of a label with two texts or more at least one
    is held out, and one is left.
    """
    assert 0 < fraction < 1, fraction
    keys = [_key(example) for example in examples]
    label_of_text: dict[bytes, str] = {}
    for key, example in zip(keys, examples, strict=True):
        label_of_text.setdefault(key, example.label)  # copies with two labels count for the first
    texts: dict[str, list[bytes]] = defaultdict(list)
    for key, label in label_of_text.items():
        texts[label].append(key)
    held: set[bytes] = set()
    for found in texts.values():
        count = min(max(1, round(fraction * len(found))), len(found) - 1)
        held.update(sorted(found)[:count])
    rest = [example for key, example in zip(keys, examples, strict=True) if key not in held]
    return rest, [example for key, example in zip(keys, examples, strict=True) if key in held]


def without_copies(examples: Iterable[LabelledText], others: Iterable[LabelledText]) -> list[LabelledText]:
    """Those of ``examples`` whose text is not among ``others``, up to case and white space."""
    known = {_key(other) for other in others}
    return [example for example in examples if _key(example) not in known]


def split_by_text(examples: Sequence[LabelledText], fraction: float) -> tuple[list[LabelledText], list[LabelledText]]:
    """As `stratified_split`, where labels are numbers: of each text its words alone decide on which side it stands."""
    held = [is_held_out(_key(example).hex(), fraction) for example in examples]
    sides: tuple[list[LabelledText], list[LabelledText]] = ([], [])
    for example, is_held in zip(examples, held, strict=True):
        sides[is_held].append(example)
    return sides


def _key(example: LabelledText) -> bytes:
    """What copies share, whatever their case and white space."""
    return digest(example.text) + (b"" if example.second is None else digest(example.second))


# One text a record ----------------------------------------------------------------------------------------------------


def _of_records(path: Path, text_field: str | None, options: ReadOptions) -> Iterator[LabelledText]:
    """The records of one file."""
    named = (text_field,) if text_field is not None else TEXT_FIELDS
    tried = [replace(options, text_field=name) for name in named]
    having = (each for each in tried if isinstance(next(_documents(path, each), None), Document))
    for found in _documents(path, next(having, tried[0])):
        where = str(path.parent / found.id) if isinstance(found, Document) else str(path.parent / found.name)
        if isinstance(found, PassedOver):
            raise found.error(where)
        if found.label is None or not found.label.strip():
            raise DataError(
                "a text has no label",
                received=where,
                expected=f"a word or a number in the field `{options.label_field}`",
                fix="set label_field to the field that holds the label, or remove the text",
            )
        yield LabelledText(text=found.text, label=found.label.strip(), where=where)


def _of_rows(
    path: Path,
    text_field: str | None,
    second_field: str | None,
    label_field: str,
    columns: Sequence[str],
    encoding: str,
) -> Iterator[LabelledText]:
    """The records of one file, with every field of each."""
    if path.is_dir():
        raise DataError("pairs are records of one file", received=path, fix="name a .jsonl, .csv or .tsv file")
    usual = (*(first for first, second in PAIRED_FIELDS if second == second_field), *TEXT_FIELDS)
    for row in read_rows(path, columns=columns, encoding=encoding):
        first = text_field or next((name for name in usual if name in row.fields), usual[0])
        yield LabelledText(
            text=row.text(first, setting="text_field"),
            second=None if second_field is None else row.text(second_field, setting="second_field"),
            label=row.word(label_field, setting="label_field"),
            where=row.where,
        )


def _documents(path: Path, options: ReadOptions) -> Iterator[Document | PassedOver]:
    for part in list_parts(path, options):
        if isinstance(part, PassedOver):
            yield part
        else:
            yield from read_part(part, options)
