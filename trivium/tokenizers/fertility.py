"""Fertility: how many tokens a language costs.

Tokens for each word (Rust et al. 2021, "How Good is Your Tokenizer?", section 3.2), where 1 is the least. A vocabulary
learnt from English cuts other languages finer, so their users get less context for the same number of tokens, and pay
more. Words here are what white space separates; languages written without it (Chinese, Japanese, Thai, Khmer, Lao,
Burmese, Tibetan) compare by bytes or characters.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from trivium.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Fertility:
    """What one text costs in tokens."""

    language: str
    words: int
    characters: int
    bytes: int
    """Of UTF-8."""
    tokens: int
    unknown: int
    """Tokens that stand for what is not in the vocabulary."""

    @property
    def tokens_per_word(self) -> float:
        """The fertility; 0 for an empty text."""
        return self.tokens / self.words if self.words else 0.0

    @property
    def bytes_per_token(self) -> float:
        """How much text a token carries; 0 for an empty text."""
        return self.bytes / self.tokens if self.tokens else 0.0

    @property
    def characters_per_token(self) -> float:
        """The same in characters."""
        return self.characters / self.tokens if self.tokens else 0.0

    @property
    def unknown_share(self) -> float:
        """Unknown ones among all tokens."""
        return self.unknown / self.tokens if self.tokens else 0.0

    def row(self) -> dict[str, str | int | float]:
        """A row of a table."""
        rates = ("tokens_per_word", "bytes_per_token", "characters_per_token", "unknown_share")
        return {**asdict(self), **{name: getattr(self, name) for name in rates}}


def fertility(tokenizer: Tokenizer, texts: Mapping[str, str]) -> list[Fertility]:
    """One row for each language of ``texts`` (name to text), the cheapest by bytes for each token first."""
    unknown_id = tokenizer.unk_id
    rows = []
    for (language, text), ids in zip(texts.items(), tokenizer.encode_batch(list(texts.values())), strict=True):
        rows.append(
            Fertility(
                language=language,
                words=len(text.split()),
                characters=len(text),
                bytes=len(text.encode("utf-8", "replace")),
                tokens=len(ids),
                unknown=0 if unknown_id is None else ids.count(unknown_id),
            )
        )
    return sorted(rows, key=lambda row: (-row.bytes_per_token, row.language))
