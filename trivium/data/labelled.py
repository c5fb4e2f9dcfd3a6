"""Texts with a label each: lines of JSON, tables, and folders or archives with a folder or a file for each label.

examples = read_labelled(Path("reviews.csv"))
training, held_out = stratified_split(examples, 0.1)

.jsonl .csv .tsv .json .parquet        one text a record, in the fields that are named; compressed or not
neg/1.txt  neg/2.txt  pos/1.txt ...    one text a file, labelled by its folder; a folder, or a .zip
reviews.neg  reviews.pos               one text a line, labelled by that part of the file's name that differs
"""

import os
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from trivium.data.dedup.exact import digest
from trivium.data.documents import Document
from trivium.data.readers import (
    Limits,
    PassedOver,
    ReadOptions,
    archives,
    formats,
    json_arrays,
    jsonl,
    list_parts,
    parquet,
    printable,
    read_part,
    tables,
)
from trivium.data.readers.bounded import Budget, bounded, read_whole
from trivium.data.readers.text import decode
from trivium.errors import DataError

TEXT_FIELDS = ("text", "sentence")
"""Where the text of a record is looked for when no field is named: our name, and that of single sentences in GLUE."""

_RECORDS = (*jsonl.SUFFIXES, *json_arrays.SUFFIXES, *tables.CSV_SUFFIXES, *tables.TSV_SUFFIXES, *parquet.SUFFIXES)
_ABOUT = ("readme", "license", "licence")
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
    where: str = field(default="", compare=False)
    """The file, and the line or row in it, for messages."""


def read_labelled(
    path: Path, *, text_field: str | None = None, label_field: str = "label", encoding: str = "utf-8"
) -> list[LabelledText]:
    """The examples of a file, a folder or an archive, in the order in which they stand there.

    Args:
        path: see above for its forms.
        text_field: field or column of the text; None: the first of `TEXT_FIELDS` that the first record has.
        label_field: field or column of the label: a word or a number.
        encoding: of tables and texts, where they do not say so themselves.

    Raises:
        DataError: what cannot be read, with its file and line; an empty text; a record without a label; no examples.
    """
    if not os.path.lexists(path):
        raise DataError("there is no such file or folder", received=path, fix="check the path")
    options = ReadOptions(encoding=encoding, label_field=label_field, id_field=_NO_FIELD, group_field=_NO_FIELD)
    suffix = formats.suffix(path.name)
    if path.is_dir() or suffix == ".zip":
        examples = list(_of_files(path, options))
    elif _is_of_records(path.name):
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
    keys = [digest(example.text) for example in examples]
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
    known = {digest(other.text) for other in others}
    return [example for example in examples if digest(example.text) not in known]


# One text a record ----------------------------------------------------------------------------------------------------


def _is_of_records(name: str) -> bool:
    suffix = formats.suffix(name)
    return (formats.uncompressed(suffix) or suffix) in _RECORDS


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


def _documents(path: Path, options: ReadOptions) -> Iterator[Document | PassedOver]:
    for part in list_parts(path, options):
        if isinstance(part, PassedOver):
            yield part
        else:
            yield from read_part(part, options)


# A folder or a file for each label ------------------------------------------------------------------------------------


def _of_files(path: Path, options: ReadOptions) -> Iterator[LabelledText]:
    """The texts of a folder or an archive; files above the folders of the labels are about the texts."""
    contents = dict(sorted(_archived(path, options.limits) if path.is_file() else _filed(path, options.limits)))
    above = {parent for name in contents for parent in name.parent.parents}
    folders = sorted({name.parent for name in contents} - above)
    names = sorted(name for name in contents if name.parent not in above)
    records = next((name for name in names if _is_of_records(name.name)), None)
    if records is not None:
        raise DataError(
            "a file of records is read by itself", received=path / records, fix="name the file, not what holds it"
        )
    if len(folders) > 1:
        _require_different(path, folders)
        for name in names:
            yield LabelledText(
                text=_text(path, name, contents[name], options), label=name.parent.name, where=str(path / name)
            )
    elif len(names) > 1:
        for name, label in zip(names, _differing([name.name for name in names]), strict=True):
            yield from _lines(_text(path, name, contents[name], options), label, str(path / name))


def _require_different(path: Path, folders: Sequence[PurePosixPath]) -> None:
    """Refuses train/pos beside test/pos, which would be trained on together."""
    first: dict[str, PurePosixPath] = {}
    for folder in folders:
        if (other := first.setdefault(folder.name, folder)) is not folder:
            raise DataError(
                "two folders have the name of one label",
                received=f"{path / other} and {path / folder}",
                expected="one folder for each label",
                fix=f"name {path / folder.parent}, or another folder that holds each label once",
            )


def _differing(names: Sequence[str]) -> list[str]:
    """neg and pos of reviews.neg and reviews.pos: the names without the parts that all begin or end with."""
    pieces = [name.split(".") for name in names]
    shortest = min(map(len, pieces))
    first = 0
    while first < shortest - 1 and len({each[first] for each in pieces}) == 1:
        first += 1
    last = 0
    while last < shortest - first - 1 and len({each[-1 - last] for each in pieces}) == 1:
        last += 1
    return [".".join(each[first : len(each) - last]) for each in pieces]


def _lines(text: str, label: str, file: str) -> Iterator[LabelledText]:
    # Not splitlines: a text may hold U+2028 or a form feed.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield LabelledText(text=line.rstrip("\r"), label=label, where=f"{file}:{number}")


def _text(path: Path, name: PurePosixPath, content: bytes, options: ReadOptions) -> str:
    try:
        return decode(content, options.encoding)
    except DataError as error:
        raise PassedOver.because(error, name=str(name)).error(str(path / name)) from error


def _filed(folder: Path, limits: Limits) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of a folder and of those in it, with their paths inside it."""
    for place, _, names in os.walk(folder):  # it enters no link
        for name in names:
            path = Path(place) / name
            inside = PurePosixPath(path.relative_to(folder).as_posix())
            if not _is_text(inside):
                continue
            if path.is_symlink():  # or a folder of strangers could bring in any file of this machine
                raise DataError("a link in a folder of texts is not followed", received=path, fix="copy the file there")
            try:
                with path.open("rb") as file:
                    yield inside, read_whole(file, limits.max_file_bytes)
            except OSError as error:
                raise DataError("a file cannot be read", received=f"{path}: {error.strerror or error}") from error


def _archived(path: Path, limits: Limits) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of a .zip, with their names in it. They are never written to disk."""
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            archives.refuse_large_directory(stream, size)
            budget = Budget(limits, size)
            with zipfile.ZipFile(stream) as archive:
                for info in archive.infolist():
                    inside = PurePosixPath(printable(info.filename))
                    if info.is_dir() or not _is_text(inside):
                        continue
                    fault = archives.zip_fault(info)
                    if fault is not None:
                        raise DataError(fault, received=inside, fix="unpack the archive, and give the folder")
                    with archive.open(info) as member:
                        yield inside, read_whole(bounded(member.read, budget), limits.max_file_bytes)
    except DataError as error:
        raise DataError(
            error.what, received=f"{path}: {error.received}", expected=error.expected, fix=error.fix
        ) from error
    except (OSError, *archives.DAMAGE) as error:
        raise DataError(
            "the archive cannot be read", received=f"{path}: {error}", fix="copy it again, or unpack it"
        ) from error


def _is_text(inside: PurePosixPath) -> bool:
    """Whether a file is one of the texts: neither hidden nor what is said about them."""
    hidden = any(piece.startswith((".", "__MACOSX")) for piece in inside.parts)
    return not hidden and inside.stem.lower() not in _ABOUT
