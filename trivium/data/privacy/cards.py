"""Numbers that carry their own check: payment cards (Luhn) and bank accounts (IBAN, mod 97).

A card number has the prefix and the length of a network (ISO/IEC 7812-1; American Express, Diners Club, Discover, JCB,
Maestro, Mastercard, UnionPay, Visa), a valid Luhn digit, and no separators or those it is printed with. Nine out of ten
long numbers fail the Luhn digit, and nine out of ten of the others the prefix. Not covered: Visa's old 13 digits, which
are the length of a barcode, and numbers after "order", "invoice", "tracking", "ISBN" and the like.

An IBAN (ISO 13616) has its country's length and the remainder 1 modulo 97. Not covered: account numbers of countries
without IBAN.
"""

import re
from collections.abc import Iterator

from trivium.data.privacy.context import said_before

# The look-behind stands after the first digit: a pattern that begins with a set of characters is searched for fast.
_DIGITS = re.compile(r"[0-9](?<![\w.+][0-9])(?:[ -]?[0-9]){13,}(?!\w|\.[0-9])")
_LEAST_DIGITS, _MOST_DIGITS = 14, 19
# (first prefix, last prefix, lengths). A prefix is compared with as many leading digits as it has.
_NETWORKS = (
    ("34", "34", (15,)),
    ("37", "37", (15,)),
    ("300", "305", (14,)),
    ("36", "36", (14,)),
    ("38", "39", (14,)),
    ("3528", "3589", (16,)),
    ("4", "4", (16, 19)),
    ("5018", "5018", (16, 19)),
    ("5020", "5020", (16, 19)),
    ("5038", "5038", (16, 19)),
    ("51", "55", (16,)),
    ("2221", "2720", (16,)),
    ("6011", "6011", (16,)),
    ("62", "62", (16, 19)),
    ("6304", "6304", (16, 19)),
    ("644", "659", (16,)),
    ("6759", "6763", (16, 19)),
)
_PRINTED = ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (6, 13))
_NO_CARD = re.compile(
    r"\b(?:order|invoice|tracking|parcel|shipment|isbn|issn|ean|gtin|upc|imei|serial|id|ref|reference|ticket|timestamp|"
    r"bestellnummer|sku)\b[^0-9\n]{0,12}\Z",
    re.IGNORECASE,
)

_IBAN = re.compile(r"[A-Z](?<![A-Za-z0-9][A-Z])[A-Z][0-9]{2}(?: ?[A-Z0-9]){11,30}")
# Registry of SWIFT, release 100: length by country.
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}


def find_cards(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each card number."""
    for run in _DIGITS.finditer(text):
        for start, end in _cards_in(text, run.start(), run.end()):
            if not said_before(_NO_CARD, text, start):
                yield start, end


def _cards_in(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Rows of whole groups: before and after a card stand its expiry date, its code, the number of a list."""
    groups = [match.span() for match in re.compile("[0-9]+").finditer(text, start, end)]
    lengths = tuple(stop - begin for begin, stop in groups)
    first = 0
    while first < len(groups):
        count = 1
        for shape in (lengths[first : first + 1], *_PRINTED):
            row = groups[first : first + len(shape)]
            fits = lengths[first : first + len(shape)] == shape and _LEAST_DIGITS <= sum(shape) <= _MOST_DIGITS
            if fits and is_card("".join(text[begin:stop] for begin, stop in row)):
                yield row[0][0], row[-1][1]
                count = len(shape)
                break
        first += count


def is_card(digits: str) -> bool:
    """Whether ``digits`` has the prefix and the length of a network and a valid Luhn digit (ISO/IEC 7812-1)."""
    known = any(first <= digits[: len(first)] <= last and len(digits) in lengths for first, last, lengths in _NETWORKS)
    if not known or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


def find_ibans(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each IBAN, with or without the spaces it is printed with."""
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match.group()[:2])
        if length is None:
            continue
        places = [place for place, character in enumerate(match.group()) if character != " "][:length]
        end = match.start() + places[-1] + 1
        ends_here = end == len(text) or not text[end].isalnum()
        if len(places) == length and ends_here and is_iban(match.group()[: places[-1] + 1].replace(" ", "")):
            yield match.start(), end


def is_iban(characters: str) -> bool:
    """Whether the check digits of an IBAN without spaces are right (ISO 7064, MOD 97-10)."""
    moved = characters[4:] + characters[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1
