"""Which tokens of a row make one word: what is masked together, or told apart, when words count and not pieces.

words = WordTable.of(tokenizer)
words.units(ids)                    # [0, 0, 1, 2, 2, 2]: of "un ##do it ca ##ref ##ully"
"""

import json
import unicodedata
from dataclasses import dataclass

import numpy as np

from trivium.errors import TokenizerError
from trivium.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class WordTable:
    """What each id of a vocabulary says about where words begin."""

    begins: np.ndarray
    """[V] booleans: the id begins a word, whatever stands before it."""
    ends: np.ndarray
    """[V] booleans: whatever stands after the id begins a word."""
    is_word: np.ndarray
    """[V] booleans: letters or digits, and not a special token, a punctuation mark or white space alone."""

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "WordTable":
        """The table of a vocabulary, read off from how its pieces are written.

        Of WordPiece, a piece goes on with the word before it where it has the mark for that ("##"). Of all others, a
        word begins with the white space before it (" the", or the mark for it). A punctuation mark or symbol is a word
        of its own everywhere, and so is a special token. Raises ``Unsupported`` where there is no `tokenizer.json`.
        """
        model = json.loads(tokenizer.files()["tokenizer.json"])["model"]
        marker = model["continuing_subword_prefix"] if model["type"] == "WordPiece" else None
        special = set(tokenizer.special_tokens.values())
        table = np.zeros((tokenizer.vocabulary_size, 3), dtype=bool)
        table[:, :2] = True  # special tokens, and gaps in the numbering
        for id in range(tokenizer.vocabulary_size):
            if id not in special and (spelt := _spelt(tokenizer, id)):
                begins, ends, is_word = _borders(spelt)
                if marker is not None:
                    begins = begins or not tokenizer.token(id).startswith(marker)
                table[id] = (begins or model["type"] == "WordLevel", ends, is_word)
        return cls(begins=table[:, 0], ends=table[:, 1], is_word=table[:, 2])

    def units(self, ids: np.ndarray) -> np.ndarray:
        """[T]: the number of the word that each of ``ids`` belongs to, counted from 0."""
        if not len(ids):
            return np.zeros(0, dtype=np.int64)
        starts = self.begins[ids]
        starts[1:] |= self.ends[ids[:-1]]
        starts[0] = False
        return np.cumsum(starts)


def _spelt(tokenizer: Tokenizer, id: int) -> str:
    try:
        return tokenizer.token_bytes(id).decode("utf-8", "replace")
    except TokenizerError:  # a gap
        return ""


def _borders(text: str) -> tuple[bool, bool, bool]:
    """Whether what is spelt so begins a word, whether it ends one, and whether it is of a word at all."""
    inner = text.strip()
    if not inner:  # white space belongs to the word after it
        return True, False, False
    mark_first, mark_last = _is_mark(inner[0]), _is_mark(inner[-1])
    return text[0].isspace() or mark_first, text[-1].isspace() or mark_last, not (mark_first or mark_last)


def _is_mark(character: str) -> bool:
    # U+FFFD is a part of a character that several ids spell: a letter, in nearly all texts.
    return unicodedata.category(character)[0] in "PS" and character != "\N{REPLACEMENT CHARACTER}"
