"""The texts that a generator is to write like: read one a line, held out, encoded, each ended by the end token; those
of an encoder-decoder with the source that each is written for."""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence

from trivium import tokenizers
from trivium.data.documents import read_text
from trivium.data.examples_file import files_of
from trivium.data.rows import Row, is_of_rows, read_rows
from trivium.data.splits import turn
from trivium.data.whole_texts import whole_pairs, whole_texts
from trivium.errors import ConfigError, DataError
from trivium.recipes.gan_config import GANConfig, TextsConfig
from trivium.tokenizers import SpecialTokens, Tokenizer
from trivium.tokenizers.special import NEEDS_UNKNOWN
from trivium.training.adversarial.texts import Real

_FIELDS = ("text", "sentence")
_SOURCE, _TARGET = "source", "target"
_TEXT = ".txt"
_FEWEST = 4
_MEASURED_ROWS = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A text."""

    text: str
    where: str
    """The file and the line in it, for messages."""
    source: str | None = None
    """What it was written for."""

    @property
    def key(self) -> str:
        """What decides on which side it is: two targets of one source stand together."""
        return self.text if self.source is None else self.source


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
    sources: Sequence[Sequence[int]] = ()
    """Ids of what each text to learn from was written for; none at all where texts stand alone."""
    held_out_sources: Sequence[Sequence[int]] = ()
    """Likewise of the held-out texts."""
    separator: int | None = None
    """The id between a source and its text where a discriminator reads both; it is in neither."""

    @property
    def longest_source(self) -> int:
        """Tokens of the longest source to learn from; 0 where texts stand alone."""
        return max(map(len, self.sources), default=0)

    @property
    def longest_read(self) -> int:
        """Tokens of the longest row that a discriminator reads."""
        return self.longest + (self.longest_source + 1 if self.sources else 0)

    def batches(self) -> list[Real]:
        """The held-out texts, to measure on."""
        cuts = [slice(at, at + _MEASURED_ROWS) for at in range(0, len(self.held_out), _MEASURED_ROWS)]
        return [self._rows(self.held_out[cut], self.held_out_sources[cut]) for cut in cuts]

    def room(self, count: int, first: int = 0) -> Real:
        """Rows to write in: with the start of a text and as wide as the longest, over the held-out sources from the
        one numbered `first`, in turn."""
        sources = self.held_out_sources
        turns = [sources[(first + row) % len(sources)] for row in range(count)] if sources else ()
        return self._rows([[self.end] * self.longest] * count, turns)

    def _rows(self, texts: Sequence[Sequence[int]], sources: Sequence[Sequence[int]]) -> Real:
        return whole_pairs(sources, texts, self.start) if sources else whole_texts(texts, self.start)

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
    lines = list(_pairs(config) if config.reads_sources else _lines(config.data, config.texts.field))
    if not lines:
        raise DataError("there are no texts", received=config.data, expected="one text a line", fix="check the file")
    training, held_out = _split(lines, config.texts.validation_fraction, config.data)
    tokenizer = _vocabulary(config.texts, training, config.data)
    bos, eos = tokenizer.bos_id, tokenizer.eos_id
    assert bos is not None and eos is not None, "the vocabulary was made with both"
    longest = config.texts.longest
    encoded = [_encoded(tokenizer, side, eos) for side in (training, held_out)]
    rows = [_fitted(side, own, config.texts) for side, own in zip((training, held_out), encoded, strict=True)]
    _tell(sum(each.tokens > longest for own in encoded for each in own), len(lines), encoded, config.texts)
    if not rows[0] or len(rows[1]) < 2:
        raise DataError(
            "too few texts are short enough",
            received=f"{len(rows[0]):,} to learn from and {len(rows[1]):,} held out of at most {longest} tokens",
            fix=f"set texts.longest to {max(each.tokens for own in encoded for each in own)}, or texts.too_long to cut",
        )
    texts, sources = ([[getattr(each, side) for each in own] for own in rows] for side in ("text", "source"))
    return GANTexts(
        training=texts[0],
        held_out=texts[1],
        tokenizer=tokenizer,
        start=bos,
        end=eos,
        longest=max(map(len, texts[0])),
        sources=sources[0] if config.reads_sources else (),
        held_out_sources=sources[1] if config.reads_sources else (),
        separator=bos if config.reads_sources else None,
    )


def _lines(path: pathlib.Path, field: str | None) -> Iterator[Line]:
    for file in files_of(path, also=(_TEXT,)):
        if is_of_rows(file):
            for row in read_rows(file):
                yield Line(text=row.text(_field(row, field), setting="texts.field").strip(), where=row.place)
            continue
        for number, line in enumerate(read_text(file).split("\n"), start=1):
            if line.strip():
                yield Line(text=line.strip(), where=f"{file}, line {number}")


def _pairs(config: GANConfig) -> Iterator[Line]:
    if config.texts.field is not None:
        raise ConfigError(
            "of pairs the source and the target are read, and no other field",
            received=f"texts.field {config.texts.field}, networks.architecture {config.networks.architecture}",
            fix="leave texts.field out",
        )
    for file in files_of(config.data, also=(_TEXT,)):
        if not is_of_rows(file):
            raise _alone(config, f"{file}: plain text")
        for row in read_rows(file):
            if not {_SOURCE, _TARGET} <= row.fields.keys():
                raise _alone(config, f"{row.place}: {', '.join(map(str, row.fields))}")
            yield Line(text=row.text(_TARGET).strip(), source=row.text(_SOURCE).strip(), where=row.place)


def _alone(config: GANConfig, received: str) -> DataError:
    return DataError(
        f"a {config.networks.architecture} writes a text for a source, and there is none",
        received=received,
        expected='records such as {"source": "...", "target": "..."}',
        fix="give such records, or leave networks.architecture out for a generator of texts alone",
    )


def _field(row: Row, asked: str | None) -> str:
    return asked or next((name for name in _FIELDS if name in row.fields), _FIELDS[0])


def _split(lines: Sequence[Line], fraction: float, path: pathlib.Path) -> tuple[list[Line], list[Line]]:
    """To learn from, and held out: all copies of a text, or all pairs of a source, are on one side, which its own hash
    decides."""
    different = sorted({line.key for line in lines}, key=turn)
    if len(different) < _FEWEST:
        raise DataError(
            "there are too few different texts to learn from some and measure on others",
            received=f"{path}: {len(different)}",
            expected=f"at least {_FEWEST}",
            fix="give more",
        )
    chosen = set(different[: max(2, round(fraction * len(different)))])
    return [line for line in lines if line.key not in chosen], [line for line in lines if line.key in chosen]


def _vocabulary(config: TextsConfig, training: Sequence[Line], path: pathlib.Path) -> Tokenizer:
    """Learnt from the texts to learn from, and their sources."""
    special = SpecialTokens(unk="<unk>" if config.kind in NEEDS_UNKNOWN else None, roles=())
    tokenizer = tokenizers.train(
        [text for line in training for text in (line.source, line.text) if text is not None],
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Encoded:
    """A line as ids."""

    text: list[int]
    source: list[int]

    @property
    def tokens(self) -> int:
        """Of the longer side."""
        return max(len(self.text), len(self.source))


def _encoded(tokenizer: Tokenizer, lines: Sequence[Line], end: int) -> list[_Encoded]:
    texts = tokenizer.encode_batch([line.text for line in lines])
    sources = tokenizer.encode_batch([line.source or "" for line in lines])
    for line, ids, source in zip(lines, texts, sources, strict=True):
        if not ids or (line.source is not None and not source):
            empty = line.text if not ids else line.source
            raise DataError("a text without any token", received=f"{line.where}: {empty!r}", fix="remove it")
    before, after = tokenizer.prefix_ids, tokenizer.suffix_ids
    return [
        _Encoded(text=[*ids, end], source=[] if line.source is None else [*before, *source, *after])
        for line, ids, source in zip(lines, texts, sources, strict=True)
    ]


def _fitted(lines: Sequence[Line], encoded: Sequence[_Encoded], config: TextsConfig) -> list[_Encoded]:
    """Those of at most so many tokens. Of a text that is cut the end token goes first: it does not end there."""
    kept = []
    for line, ids in zip(lines, encoded, strict=True):
        if ids.tokens <= config.longest:
            kept.append(ids)
        elif config.too_long == "cut":
            kept.append(_Encoded(text=ids.text[: config.longest], source=ids.source[: config.longest]))
        elif config.too_long == "refuse":
            found = f"{len(ids.text)} tokens with its end token: {line.text[:60]!r}"
            if len(ids.source) > config.longest:
                found = f"{len(ids.source)} tokens of its source: {str(line.source)[:60]!r}"
            raise DataError(
                "a text is too long",
                received=f"{line.where}: {found}",
                expected=f"at most texts.longest, {config.longest}",
                fix=f"set texts.longest to {max(each.tokens for each in encoded)}, or texts.too_long to drop or cut",
            )
    return kept


def _tell(count: int, whole: int, encoded: Sequence[Sequence[_Encoded]], config: TextsConfig) -> None:
    if count:
        most = max(each.tokens for own in encoded for each in own)
        what = {"drop": "left out", "cut": "cut at the end"}[config.too_long]
        print(
            f"{count:,} of {whole:,} texts are longer than {config.longest} tokens and are {what}; "
            f"texts.longest {most} would keep them all",
            file=sys.stderr,
        )
