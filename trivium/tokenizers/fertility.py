"""Fertility: how many tokens a language costs.

Tokens for each word (Rust et al. 2021, "How Good is Your Tokenizer?", section 3.2), where 1 is the least. A vocabulary
learnt from English cuts other languages finer, so their users get less context for the same number of tokens, and pay
more. Words here are what white space separates. Languages that do not write it between words (Chinese, Japanese, Thai,
Khmer, Lao, Tibetan) have no tokens for each word here: they compare by bytes or characters.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from trivium.tokenizers.protocol import Tokenizer
from trivium.tokenizers.words import stretches

# Characters between two spaces, in the Universal Declaration of Human Rights in 380 languages: 17 in Greenlandic, which
# has the longest words; 21 in Khmer, 30 in Thai, 48 in Chinese. Burmese, which sets phrases apart, passes with 14.
_LONGEST_WORDS_CHARACTERS = 20
NOTE = "words are what white space separates; languages that write none between words compare by bytes or characters"
"""What belongs under a table of fertilities."""


@dataclass(frozen=True, kw_only=True)
class Fertility:
    """What the text of one language or file costs in tokens."""

    language: str
    """Name of the language or of the file."""
    words: int
    characters: int
    bytes: int
    """Of UTF-8."""
    tokens: int
    unknown: int
    """Tokens that stand for what is not in the vocabulary."""

    @property
    def tokens_per_word(self) -> float | None:
        """The fertility; 0 for an empty text, None where words are not separated by white space."""
        if self.characters > _LONGEST_WORDS_CHARACTERS * self.words:
            return None if self.characters else 0.0
        return self.tokens / self.words if self.words else 0.0

    @property
    def tokens_per_character(self) -> float:
        """0 for an empty text."""
        return self.tokens / self.characters if self.characters else 0.0

    @property
    def tokens_per_byte(self) -> float:
        """0 for an empty text."""
        return self.tokens / self.bytes if self.bytes else 0.0

    @property
    def bytes_per_token(self) -> float:
        """How much text a token carries; 0 for an empty text."""
        return self.bytes / self.tokens if self.tokens else 0.0

    @property
    def unknown_share(self) -> float:
        """Unknown ones among all tokens."""
        return self.unknown / self.tokens if self.tokens else 0.0

    def row(self) -> dict[str, str | int | float | None]:
        """A row of a table."""
        rates = ("tokens_per_word", "tokens_per_character", "tokens_per_byte", "bytes_per_token", "unknown_share")
        return {**asdict(self), **{name: getattr(self, name) for name in rates}}


def fertility(
    tokenizer: Tokenizer, texts: Iterable[tuple[str, str]], *, characters_each: int | None = None
) -> list[Fertility]:
    """One row for each language, the cheapest by bytes for each token first.

    Args:
        tokenizer: the vocabulary.
        texts: (language, text), as many of each language as there are; read once.
        characters_each: of each language only so much is looked at; None: all.
    """
    sums: dict[str, Fertility] = {}
    for language, text in texts:
        row = sums.get(language) or Fertility(language=language, words=0, characters=0, bytes=0, tokens=0, unknown=0)
        most = None if characters_each is None else characters_each - row.characters
        for part in stretches(text[:most]):
            row = _with(row, part, tokenizer.encode(part), tokenizer.unk_id)
        sums[language] = row
    return sorted(sums.values(), key=lambda row: (-row.bytes_per_token, row.language))


def _with(row: Fertility, text: str, ids: Sequence[int], unknown_id: int | None) -> Fertility:
    return replace(
        row,
        words=row.words + len(text.split()),
        characters=row.characters + len(text),
        bytes=row.bytes + len(text.encode("utf-8", "replace")),
        tokens=row.tokens + len(ids),
        unknown=row.unknown + (0 if unknown_id is None else ids.count(unknown_id)),
    )


HEADINGS = ("language", "tokens/word", "tokens/character", "tokens/byte", "bytes/token", "unknown", "tokens")
"""Of the columns of a table."""


def cells(row: Fertility) -> tuple[str, ...]:
    """A row as it is printed, under `HEADINGS`."""
    word = "-" if row.tokens_per_word is None else f"{row.tokens_per_word:.2f}"
    rates = (f"{row.tokens_per_character:.3f}", f"{row.tokens_per_byte:.3f}", f"{row.bytes_per_token:.2f}")
    return row.language, word, *rates, f"{row.unknown_share:.1%}", f"{row.tokens:,}"


def as_table(rows: Sequence[Fertility]) -> str:
    """The rows as plain text in columns, with the note that belongs to them."""
    table = [HEADINGS, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for first, *others in table:
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *numbers]))
    return "\n".join([*lines, NOTE])


def as_html(rows: Sequence[Fertility]) -> str:
    """The rows as a table of HTML that needs nothing else, with the note that belongs to them."""
    head = "".join(f"<th>{heading}</th>" for heading in HEADINGS)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells(row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{NOTE}</p>"
