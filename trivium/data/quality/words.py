"""What a word is to the published rules, and the marks that end a sentence; also where a script has no spaces.

The rules count the words of English. Chinese, Japanese, Yi, Thai, Lao, Khmer and Burmese put no spaces between words,
so a sentence would be one word, and cutting it rightly needs a dictionary of each language. Instead every letter of
them is a piece, and a word is taken for as many letters as words of running text have on average: 1 in Han, 2 in Yi
and Japanese (kana and Han together), 4 in Thai and Lao, 5 in Khmer and Burmese, whose vowel signs are letters too. So
"50 words" are 200 letters of Thai, and a run of 5 words said twice is a run of 20 letters said twice. The Universal
Declaration in each of these languages passes the rules, as in English; taken letter by letter it repeats itself too
much in all but Chinese.

The mean length of a word judges neither these nor scripts whose letters are whole syllables (Hangul, Tibetan,
Ethiopic, Cherokee, Vai, Canadian syllabics). Tibetan and Ethiopic separate words by marks, which count as spaces here.
Thai and Lao end sentences with a space: one after a letter of theirs counts as the end of a sentence, and a line that
ends in such a letter as a finished one.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

_THAI_LAO = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf"
_KHMER_BURMESE = "\u1000-\u103f\u1050-\u109d\u1780-\u17d3"
_KANA = "\u3041-\u3096\u3099-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_YI = "\ua000-\ua48c"
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
UNSPACED_RANGES = _THAI_LAO + _KHMER_BURMESE + _YI + _KANA + _HAN
"""Letters of scripts without spaces, as the ranges of a character class."""
UNSPACED = re.compile(f"[{UNSPACED_RANGES}]")
"""One letter of a script without spaces. Korean puts spaces."""
SYLLABIC = re.compile("[\u0f00-\u0fff\u1200-\u139f\u13a0-\u13ff\u1400-\u167f\ua500-\ua63f\uac00-\ud7a3\uab70-\uabbf]")
"""One letter of a script with spaces, or marks for them, whose letters are syllables."""
_LETTERS_A_WORD = tuple((re.compile(f"[{r}]"), size) for r, size in ((_THAI_LAO, 4), (_KHMER_BURMESE, 5), (_YI, 2)))
_JAPANESE_LETTERS_A_WORD = 2
_KANA_LETTER = re.compile(f"[{_KANA}]")
# Chinese quotes a name in kana now and then; of Japanese about half is kana.
_JAPANESE_KANA_SHARE = 0.1
# The Tibetan tsheg and the Ethiopic word space.
_SPACING_MARKS = "\u0f0b\u0f0c\u1361"
_PIECES = re.compile(rf"[{UNSPACED_RANGES}]|[^\s{_SPACING_MARKS}{UNSPACED_RANGES}]+")
_SPECIAL = re.compile(rf"[{_SPACING_MARKS}{UNSPACED_RANGES}]")

SENTENCE_MARKS = (
    ".!?\u2026\u3002\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965\u0589\u1362\u1367\u1368\u104b\u17d4\u0f0d\u0f0e\u166e"
)
"""What ends a sentence: Latin, CJK, Arabic, Devanagari, Armenian, Ethiopic, Burmese, Khmer, Tibetan and Canadian
syllabic marks."""
CLOSING_MARKS = "\"'\u201d\u2019\u00bb\u203a\u300d\u300f"
"""Quotation marks that may follow it. C4 takes the quotation mark alone for an end as well."""
SENTENCE_SPACE = rf"(?<=[{_THAI_LAO}])(?=\s|\Z)"
"""Where Thai and Lao end a sentence, as a pattern."""
ELLIPSES = ("...", "\u2026")
"""A line that trails off is no finished one."""
_TERMINAL = frozenset(SENTENCE_MARKS + CLOSING_MARKS)
_ENDS_THAI_LAO = re.compile(rf"[{_THAI_LAO}]\Z")


def pieces(text: str) -> list[str]:
    """What stands between white space, and each letter of a script without spaces, in order."""
    if text.isascii() or _SPECIAL.search(text) is None:
        return text.split()
    return _PIECES.findall(text)


def letters_a_word(counts: Mapping[str, int]) -> int:
    """How many letters make a word of a text whose letters of scripts without spaces come ``counts`` times each.

    The script that most of them belong to decides for all.
    """
    total = sum(counts.values())
    for script, letters in _LETTERS_A_WORD:
        if 2 * sum(count for letter, count in counts.items() if script.match(letter)) > total:
            return letters
    kana = sum(count for letter, count in counts.items() if _KANA_LETTER.match(letter))
    return _JAPANESE_LETTERS_A_WORD if kana > _JAPANESE_KANA_SHARE * total else 1


def number_of_words(found: Sequence[str]) -> int:
    """How many words a line has whose `pieces` are ``found``, punctuation counted in."""
    letters = Counter(filter(UNSPACED.match, found))
    number = letters.total()
    return len(found) - number + -(-number // letters_a_word(letters)) if number else len(found)


def ends_finished(line: str) -> bool:
    """Whether a line that ends in no white space ends like a sentence (C4; an ellipsis does not count)."""
    if line[-1:] in _TERMINAL:
        return not line.endswith(ELLIPSES)
    return not line.isascii() and _ENDS_THAI_LAO.search(line, max(0, len(line) - 1)) is not None
