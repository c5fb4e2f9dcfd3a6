"""The Porter stemmer: English words without their endings ("relational" -> "relat").

Porter 1980, "An algorithm for suffix stripping", Program 14(3), with the changes of the stemmer that rouge-score uses
(NLTK's, in its default mode): irregular forms, "ties" -> "tie", "happy" -> "happi" but "enjoy" -> "enjoy", and some
suffixes more. The measure m of a stem counts the passages from vowels to consonants in it.
"""

import functools

_IRREGULAR = {
    "skies": "sky",
    "sky": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "news": "news",
    "howe": "howe",
    "innings": "inning",
    "inning": "inning",
    "outings": "outing",
    "outing": "outing",
    "cannings": "canning",
    "canning": "canning",
    **{word: word for word in ("proceed", "exceed", "succeed")},
}
# Of each step the first suffix that a word ends in decides, whether its condition holds or not.
_STEP_2 = {
    "ational": "ate",
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "bli": "ble",
    "alli": "al",
    "entli": "ent",
    "eli": "e",
    "ousli": "ous",
    "ization": "ize",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "aliti": "al",
    "iviti": "ive",
    "biliti": "ble",
    "fulli": "ful",
    "logi": "log",
}
_STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_STEP_4 = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion"),
    *("ou", "ism", "ate", "iti", "ous", "ive", "ize"),
)


@functools.lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """The stem of a word in lower case."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    for step in (_plural, _past, _final_y, _double_suffix, _step_3, _step_4, _final_e, _final_ll):
        word = step(word)
    return word


def _shape(word: str) -> str:
    """ "c" or "v" for each letter; y is a vowel after a consonant."""
    shape = ""
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and shape[-1:] == "c")
        shape += "v" if vowel else "c"
    return shape


def _measure(word: str) -> int:
    return _shape(word).count("vc")


def _ends_short(word: str) -> bool:
    """The paper's *o: consonant, vowel, consonant other than w, x, y; or just a vowel and a consonant."""
    shape = _shape(word)
    return shape == "vc" or (shape.endswith("cvc") and word[-1] not in "wxy")


def _plural(word: str) -> str:
    """Step 1a."""
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past(word: str) -> str:
    """Step 1b."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) else word
    for suffix in ("ed", "ing"):
        rest = word.removesuffix(suffix)
        if rest != word and "v" in _shape(rest):
            return _completed(rest)
    return word


def _completed(word: str) -> str:
    """What is left without -ed or -ing, as a word: "troubl" -> "trouble", "hopp" -> "hop", "fil" -> "file"."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c":
        return word if word[-1] in "lsz" else word[:-1]
    return word + "e" if _measure(word) == 1 and _ends_short(word) else word


def _final_y(word: str) -> str:
    """Step 1c."""
    changes = word.endswith("y") and len(word) > 2 and _shape(word[:-1])[-1] == "c"
    return word[:-1] + "i" if changes else word


def _double_suffix(word: str) -> str:
    """Step 2."""
    for suffix, shorter in _STEP_2.items():
        if word.endswith(suffix):
            rest = word.removesuffix(suffix)
            if not _measure(rest + "l" if suffix == "logi" else rest):
                return word
            # "-alli" may uncover another of these suffixes: "operationalli" -> "operational" -> "operate".
            return _double_suffix(rest + shorter) if suffix == "alli" else rest + shorter
    return word


def _step_3(word: str) -> str:
    for suffix, shorter in _STEP_3.items():
        if word.endswith(suffix):
            rest = word.removesuffix(suffix)
            return rest + shorter if _measure(rest) else word
    return word


def _step_4(word: str) -> str:
    for suffix in _STEP_4:
        if word.endswith(suffix):
            rest = word.removesuffix(suffix)
            return rest if _measure(rest) > 1 and (suffix != "ion" or rest[-1] in "st") else word
    return word


def _final_e(word: str) -> str:
    """Step 5a."""
    rest = word.removesuffix("e")
    measure = _measure(rest)
    return rest if measure > 1 or (measure == 1 and not _ends_short(rest)) else word


def _final_ll(word: str) -> str:
    """Step 5b."""
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word
