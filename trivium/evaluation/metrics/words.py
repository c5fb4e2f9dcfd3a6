"""Texts as words, for metrics that compare words.

"unicode" (the default) reads every script: runs of letters and digits with the marks that belong to them; in scripts
that put no spaces between words each letter is one word. Case and compatibility forms do not matter (Unicode's
caseless match over NFKC). "rouge_score" is the tokenizer of the package of that name: `[a-z0-9]+` in lower case, to
which a Russian or Chinese text is empty. On ASCII text the two are the same. "whitespace" takes a text as it is split.
"""

import functools
import re
import unicodedata
from collections.abc import Callable

from trivium.evaluation.metrics import checks
from trivium.evaluation.metrics.porter import stem

Reader = Callable[[str], list[str]]

_ASCII_WORD = re.compile(r"[a-z0-9]+")


def reader(tokenizer: str = "unicode", *, stemmer: bool = False) -> Reader:
    """The function from a text to its words. `stemmer`: English words of more than 3 letters lose their endings.

    Raises `DataError` for a tokenizer that is none of `TOKENIZERS`.
    """
    checks.choose("tokenizer", tokenizer, tuple(TOKENIZERS))
    read = TOKENIZERS[tokenizer]
    return (lambda text: [_stemmed(word) for word in read(text)]) if stemmer else read


def sentences(text: str) -> list[str]:
    """`text` cut at its lines, and behind a mark that ends a sentence: a rule, with no list of abbreviations.

    A mark of a script with spaces ends a sentence only before white space.
    """
    found = []
    ending = _sentence_end()
    for line in text.split("\n"):
        start = 0
        for end in ending.finditer(line):
            if line[end.end() : end.end() + 1].isspace() or _WIDE_MARK.search(end.group()):
                found.append(line[start : end.end()])
                start = end.end()
        found.append(line[start:])
    return [sentence for sentence in found if sentence.strip()]


def _unicode_words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    from trivium.data.quality.words import UNSPACED  # with all rules for corpora: only where a text needs it

    text = unicodedata.normalize("NFKC", text).casefold().replace("_", " ")
    # Python's \w has no combining marks: without them the vowel signs of Hindi would cut its words to pieces.
    marks = "".join(sorted(letter for letter in set(text) if unicodedata.category(letter).startswith("M")))
    return _word_with(marks).findall(UNSPACED.sub(r" \g<0> ", text))


def _rouge_score_words(text: str) -> list[str]:
    return _ASCII_WORD.findall(text.lower())


TOKENIZERS: dict[str, Reader] = {
    "unicode": _unicode_words,
    "rouge_score": _rouge_score_words,
    "whitespace": str.split,
}
"""Name to function, see above."""


@functools.lru_cache(maxsize=64)
def _word_with(marks: str) -> re.Pattern[str]:
    return re.compile(rf"[\w{marks}]+")


def _stemmed(word: str) -> str:
    return stem(word) if len(word) > 3 and word.isascii() else word


@functools.cache
def _sentence_end() -> re.Pattern[str]:
    from trivium.data.quality.words import CLOSING_MARKS, SENTENCE_MARKS

    return re.compile(rf"[{SENTENCE_MARKS}]+[{CLOSING_MARKS})\]]*")


_WIDE_MARK = re.compile("[\u3002\uff01\uff1f\uff61]")
