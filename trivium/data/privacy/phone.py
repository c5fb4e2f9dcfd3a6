"""Telephone numbers: international notation (ITU-T E.164, E.123), and the national forms of several countries.

A run of digits with the usual separators is read as groups, and what the groups may be is decided by what says that it
is a telephone number:

- ``+``, or ``00`` with separators, and an assigned country code: 7 to 15 digits. Country code 1 must be a number of the
  North American plan (area and exchange begin with 2 to 9).
- the shape: ``(212) 555-0123``, ``212-555-0123``, ``212.555.0123``; a trunk prefix 0 and two groups or more that make 9
  to 12 digits, ``020 7946 0123``, ``030/23125 123``, ``01 99 00 12 34``, ``(03) 5550 1234``; ``(11) 95555-0123``
  (Brazil), ``8 (495) 123-45-67`` (Russia), ``138 0013 8000`` (China).
- a word just before it (tel, phone, call, fax, mobile and those of other languages): any 7 to 15 digits.

Refused: dates, decimals, versions, amounts, ISBN, and whatever touches letters, so identifiers and hashes.
Not covered: numbers in words or letters (1-800-FLOWERS), short codes, seven digits or other unmarked national forms
without such a word, digits of other scripts; an extension after the number stays.
"""

import re
from collections.abc import Iterator

from trivium.data.privacy.context import said_before

# Digits with one space, or one mark with spaces around it, between them. Every character belongs to one class, so there
# is one way to match; it begins with a set of characters, which is searched for fast, and never inside a number.
_RUN = re.compile(
    r"[+(0-9](?<![0-9].)(?:(?<=\+)[0-9]|(?<=\()[0-9]|(?<=[0-9]))"
    r"(?:[ \u00a0]?(?:\)[ \u00a0]?-?[ \u00a0]?|[(.\-/‐‑–][ \u00a0]?\(?)?[0-9])*(?![%€£$]|(?![xX] ?[0-9])\w)"
)
# A word, a sign or the whole part of a number.
_TOUCHES = re.compile(r"(?:[\w%$€£#&@+-]|[0-9][.,])\Z")
_LEAST_DIGITS, _MOST_DIGITS = 7, 15
_STRAY_DIGITS = 2
# Long runs are tables.
_MOST_CHARACTERS = 60
_GROUP = re.compile("[0-9]+")
# Typographic hyphens and spaces are what they look like.
_PLAIN = str.maketrans({"‐": "-", "‑": "-", "–": "-", "\u00a0": " "})
_WIDE = re.compile(r" ?/ ?| [–-] ")
_SPACE = re.compile("[ \u00a0]")
# Not `<phone>`: what was replaced names nothing.
_CONTEXT = re.compile(
    r"(?:(?<![a-z<])(?:tel|tél|t[eé]l[eé]phone|telephone|telefon|telefone|telefono|tel[eé]fono|telefoon|telefax|phone|"
    r"mobile?|mob|cell|cellphone|handy|portable|fax|contact|reach|landline|helpline|hotline|call|calling|dial|ring|"
    r"text|sms|whatsapp|rufnummer|"
    r"m[oó]vil|celular|тел|телефон|电话|電話|手机)s?|[☎📞📱])"
    r"(?:[ _-]?(?:number|numbers|num|nummer|no|nr|n°|#))?"
    r"(?:[^\w\n$€£<+*]|_|\b(?:is|at|on|me|us|him|her|them|my|our|your|the|or|to|was|now|directly|toll|free|"
    r"home|work|office|uk|us|de|at|via|under|est|le|la|al|el|au)\b){0,12}\Z",
    re.IGNORECASE,
)
_LETTER_CONTEXT = re.compile(r"(?<!\w)[TPMF]:\s{0,2}\Z")
# ISBN, ISSN and numbers of orders are never telephone numbers, whatever their shape.
_NO_PHONE = re.compile(
    r"\b(?:isbn|issn|ean|order|invoice|tracking|ticket|serial|part|model|sku|ref|reference|id|doi|pmid|case|no|version|"
    r"account|konto|iban|vat|ssn|pages?|pp)(?:[ _-]?(?:number|no|nr|id|code|1[03]))?\b[\s:.#=\"'()\[\]-]{0,6}\Z",
    re.IGNORECASE,
)
_DATE = re.compile(r"[0-9]{1,4}([-./])[0-9]{1,2}\1(?:[12][0-9])?[0-9]{2}")
# A date with its year, before the hour or another date.
_DATE_FIRST = re.compile(
    r"(?:[0-3]?[0-9]([-./ ])[0-3]?[0-9]\1(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}([-./ ])[0-9]{2}\2[0-9]{2})(?![0-9])"
)
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+")
_NORTH_AMERICAN = re.compile(
    r"(?:1 ?[-. ]? ?)?(?:\([2-9][0-9]{2}\) ?-? ?|[2-9][0-9]{2}[-. /]{1,3})[2-9][0-9]{2}[-. ][0-9]{4}"
)
_NATIONAL = (
    re.compile(r"\([1-9][0-9]\) ?(?:9 ?)?[0-9]{4}[- .][0-9]{4}"),  # Brazil, Mexico
    re.compile(r"8 ?\([0-9]{3,5}\) ?[0-9]{1,3}[- ][0-9]{2}[- ][0-9]{2}"),  # Russia
    re.compile(r"1[3-9][0-9][- ][0-9]{4}[- ][0-9]{4}"),  # China
)
# A trunk prefix in the first group, whose other digits are the area's; then groups of two or more.
_TRUNK = re.compile(r"(?:\(0[1-9][0-9]{0,4}\)|0[1-9][0-9]{0,4})(?: ?[-/ .] ?)?[0-9]{2,8}(?:[-. /][0-9]{2,6}){0,4}")
_TRUNK_DIGITS = range(9, 13)
# ITU-T E.164, list of assigned country codes.
_COUNTRY_CODE = re.compile(
    "7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(?:2[1-69]|3[578]|42|5[09]|6[7-9]|8[0578]|9[679])[0-9]"
)
_NORTH_AMERICAN_DIGITS = re.compile("1[2-9][0-9]{2}[2-9][0-9]{6}")


def find_phones(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each telephone number."""
    for run in _RUN.finditer(text):
        start, end = run.span()
        if end - start >= _LEAST_DIGITS and _TOUCHES.search(text, max(0, start - 2), start):
            # The first group belongs to a word; what follows a space does not.
            space = _SPACE.search(text, start, end)
            start = space.end() if space else end
        start += text.startswith("(", start) and text.count("(", start, end) > text.count(")", start, end)
        if not _LEAST_DIGITS <= end - start <= _MOST_CHARACTERS:
            continue
        named = bool(said_before(_CONTEXT, text, start) or said_before(_LETTER_CONTEXT, text, start))
        if named or not said_before(_NO_PHONE, text, start):
            for first, last in _numbers_in(text[start:end], named):
                yield start + first, start + last


def _numbers_in(run: str, named: bool) -> Iterator[tuple[int, int]]:
    """The numbers of one run: itself, or its parts, or all but a first or last group that belongs to something else."""
    if _is_number(run, named):
        yield 0, len(run)
        return
    parts = _split(run, _WIDE)
    if len(parts) == 1:
        parts = _split(run, _SPACE)
    hits = [(start, end) for start, end in parts if _is_number(run[start:end], named)]
    if not hits and not _DATE_FIRST.match(run):
        hits = [(start, end) for start, end in _trimmed(run) if _is_number(run[start:end], named)][:1]
    yield from hits


def _trimmed(run: str) -> Iterator[tuple[int, int]]:
    """``run`` without its last group, and without its first, where they are short: a quantity, the number of a list."""
    groups = [match.span() for match in _GROUP.finditer(run)]
    if len(groups) < 3:
        return
    if groups[-1][1] - groups[-1][0] <= _STRAY_DIGITS and _SPACE.search(run, groups[-2][1], groups[-1][0]):
        yield 0, groups[-2][1]
    if groups[0][1] - groups[0][0] <= _STRAY_DIGITS and _SPACE.search(run, groups[0][1], groups[1][0]):
        start = groups[1][0]
        yield start - (run[start - 1] == "(" and ")" in run[start:]), len(run)


def _split(run: str, separator: re.Pattern[str]) -> list[tuple[int, int]]:
    ends = [(match.start(), match.end()) for match in separator.finditer(run)]
    starts = [0, *(end for _, end in ends)]
    return list(zip(starts, [*(start for start, _ in ends), len(run)], strict=True))


def _is_number(run: str, named: bool) -> bool:
    run = run.translate(_PLAIN)
    groups = _GROUP.findall(run)
    digits = "".join(groups)
    if not _LEAST_DIGITS <= len(digits) <= _MOST_DIGITS + 2 or len(set(digits)) == 1:
        return False
    if run.startswith("+"):
        return _is_international(digits, groups, run)
    if digits.startswith("00") and len(groups) > 2 and len(digits) > 10 and max(map(len, groups)) > 2:
        return _is_international(digits[2:], groups, run)
    if _DATE.fullmatch(run) or _DATE_FIRST.match(run) or _is_decimal(run, groups):
        return False
    if _NORTH_AMERICAN.fullmatch(run) or any(form.fullmatch(run) for form in _NATIONAL):
        return True
    if _TRUNK.fullmatch(run) and len(digits) in _TRUNK_DIGITS and len(groups) > 1:
        return True
    return named and len(digits) <= _MOST_DIGITS and "/" not in run and not _THOUSANDS.fullmatch(run)


def _is_international(digits: str, groups: list[str], run: str) -> bool:
    if not 7 <= len(digits) <= _MOST_DIGITS or _is_decimal(run, groups):
        return False
    if digits.startswith("1"):
        return _NORTH_AMERICAN_DIGITS.fullmatch(digits) is not None
    return _COUNTRY_CODE.match(digits) is not None


def _is_decimal(run: str, groups: list[str]) -> bool:
    """`51.507351`; but `1.2025550123` after a plus is how registries of domains write numbers (RFC 5733)."""
    return len(groups) == 2 and f"{groups[0]}.{groups[1]}" in run and not (run[0] == "+" and len(groups[1]) > 8)
