"""The texts that a generator is to write like: read one a line, held out, encoded, each ended by the end token."""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence

from trivium import tokenizers
from trivium.data.batches import CausalBatch
from trivium.data.documents import read_text
from trivium.data.examples_file import files_of
from trivium.data.rows import Row, is_of_rows, read_rows
from trivium.data.splits import turn
from trivium.data.whole_texts import whole_texts
from trivium.errors import DataError
from trivium.recipes.gan_config import GANConfig, TextsConfig
from trivium.tokenizers import SpecialTokens, Tokenizer
from trivium.tokenizers.special import NEEDS_UNKNOWN

_FIELDS = ("text", "sentence")
_TEXT = ".txt"
_FEWEST = 4
_MEASURED_ROWS = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A text."""

    text: str
    where: str
    """The file and the line in it, for messages."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GANTexts:
    """Everything that is learnt from and measured on."""

    training: Sequence[Sequence[int]]
    """Ids of each text, with the end token last unless its end was cut off."""
    held_out: Sequence[Sequence[int]]
    """Likewise; none of them is among the others."""
    tokenizer: Tokenizer
    start: int
    """The id that stands before each text."""
    end: int
    """The id that ends it."""
    longest: int
    """Tokens of the longest text to learn from, its end token included."""

    def batches(self) -> list[CausalBatch]:
        """The held-out texts, to measure on."""
        starts = range(0, len(self.held_out), _MEASURED_ROWS)
        return [whole_texts(self.held_out[at : at + _MEASURED_ROWS], self.start) for at in starts]

    def words(self, ids: Sequence[int], least: int) -> str:
        """A text as n-grams up to `least` words are counted in it: its ids up to the end with spaces between them.

        A shorter one is filled up with end tokens. It would else have no n-gram of that length, and a copy of a text of
        one word would be worth as little as nonsense: a generator that says nothing else would pass for a diverse one.
        """
        told = self.told(ids)
        return " ".join(map(str, [*told, *[self.end] * (least - len(told))]))

    def told(self, ids: Sequence[int]) -> list[int]:
        """Ids up to the first end token."""
        found = list(ids)
        return found[: found.index(self.end)] if self.end in found else found


def read_gan_texts(config: GANConfig) -> GANTexts:
    """The texts of the configuration's data. What becomes of too long ones is told on stderr.

    Raises `DataError` for data that cannot be read, with the line; for no texts, or too few different ones; for a
    vocabulary of one word; and for a text that is too long, where that is not to be passed over.
    """
    lines = list(_lines(config.data, config.texts.field))
    if not lines:
        raise DataError("there are no texts", received=config.data, expected="one text a line", fix="check the file")
    training, held_out = _split(lines, config.texts.validation_fraction, config.data)
    tokenizer = _vocabulary(config.texts, training, config.data)
    bos, eos = tokenizer.bos_id, tokenizer.eos_id
    assert bos is not None and eos is not None, "the vocabulary was made with both"
    longest = config.texts.longest
    encoded = [_encoded(tokenizer, side, eos) for side in (training, held_out)]
    rows = [_fitted(side, own, config.texts) for side, own in zip((training, held_out), encoded, strict=True)]
    _tell(sum(len(ids) > longest for own in encoded for ids in own), len(lines), encoded, config.texts)
    if not rows[0] or len(rows[1]) < 2:
        raise DataError(
            "too few texts are short enough",
            received=f"{len(rows[0]):,} to learn from and {len(rows[1]):,} held out of at most {longest} tokens",
            fix=f"set texts.longest to {max(len(ids) for own in encoded for ids in own)}, or texts.too_long to cut",
        )
    width = max(map(len, rows[0]))
    return GANTexts(training=rows[0], held_out=rows[1], tokenizer=tokenizer, start=bos, end=eos, longest=width)


def _lines(path: pathlib.Path, field: str | None) -> Iterator[Line]:
    for file in files_of(path, also=(_TEXT,)):
        if is_of_rows(file):
            for row in read_rows(file):
                yield Line(text=row.text(_field(row, field), setting="texts.field").strip(), where=row.place)
            continue
        for number, line in enumerate(read_text(file).split("\n"), start=1):
            if line.strip():
                yield Line(text=line.strip(), where=f"{file}, line {number}")


def _field(row: Row, asked: str | None) -> str:
    return asked or next((name for name in _FIELDS if name in row.fields), _FIELDS[0])


def _split(lines: Sequence[Line], fraction: float, path: pathlib.Path) -> tuple[list[Line], list[Line]]:
    """To learn from, and held out: all copies of a text are on one side, which its own hash decides."""
    different = sorted({line.text for line in lines}, key=turn)
    if len(different) < _FEWEST:
        raise DataError(
            "there are too few different texts to learn from some and measure on others",
            received=f"{path}: {len(different)}",
            expected=f"at least {_FEWEST}",
            fix="give more",
        )
    chosen = set(different[: max(2, round(fraction * len(different)))])
    return [line for line in lines if line.text not in chosen], [line for line in lines if line.text in chosen]


def _vocabulary(config: TextsConfig, training: Sequence[Line], path: pathlib.Path) -> Tokenizer:
    """Learnt from the texts to learn from."""
    special = SpecialTokens(unk="<unk>" if config.kind in NEEDS_UNKNOWN else None, roles=())
    tokenizer = tokenizers.train(
        [line.text for line in training],
        kind=config.kind,
        vocabulary_size=config.vocabulary_size,
        minimum_count=config.minimum_count if config.kind == "word" else None,
        special=special,
    )
    own = tokenizer.vocabulary_size - len(special)
    if own < 2:
        raise DataError(
            "there is no choice between texts of one word",
            received=f"{path}: a vocabulary of {own}",
            expected="two words at least",
            fix="give other texts, or texts.kind character",
        )
    return tokenizer


def _encoded(tokenizer: Tokenizer, lines: Sequence[Line], end: int) -> list[list[int]]:
    found = tokenizer.encode_batch([line.text for line in lines])
    for line, ids in zip(lines, found, strict=True):
        if not ids:
            raise DataError("a text without any token", received=f"{line.where}: {line.text!r}", fix="remove it")
    return [[*ids, end] for ids in found]


def _fitted(lines: Sequence[Line], encoded: Sequence[list[int]], config: TextsConfig) -> list[list[int]]:
    """Texts of at most so many tokens. Of one that is cut the end token goes first: it does not end there."""
    kept = []
    for line, ids in zip(lines, encoded, strict=True):
        if len(ids) <= config.longest:
            kept.append(ids)
        elif config.too_long == "cut":
            kept.append(ids[: config.longest])
        elif config.too_long == "refuse":
            raise DataError(
                "a text is too long",
                received=f"{line.where}: {len(ids)} tokens with its end token: {line.text[:60]!r}",
                expected=f"at most texts.longest, {config.longest}",
                fix=f"set texts.longest to {max(map(len, encoded))}, or texts.too_long to drop or cut",
            )
    return kept


def _tell(count: int, whole: int, encoded: Sequence[Sequence[list[int]]], config: TextsConfig) -> None:
    if count:
        most = max(len(ids) for own in encoded for ids in own)
        what = {"drop": "left out", "cut": "cut at the end"}[config.too_long]
        print(
            f"{count:,} of {whole:,} texts are longer than {config.longest} tokens and are {what}; "
            f"texts.longest {most} would keep them all",
            file=sys.stderr,
        )
