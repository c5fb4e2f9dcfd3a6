"""The labelled set of `test_privacy`: 2,000 short texts with what is private in them marked, drawn from a seed.

The formats come from public documents, not from the patterns under test: E.164 and E.123, the numbering plans and the
ranges that regulators keep for fiction (555-01XX; Ofcom 01632 960, 020 7946 0, 07700 900; Arcep 01 99 00, 06 39 98;
Bundesnetzagentur 030 23125, 0171 39200; ACMA 5550, 0491 570; PTS 08-465 004), RFC 5321, 6531 and 2606, RFC 4291,
the issuers' pages on their tokens, the processors' lists of test cards, the registry of IBAN. No value belongs to
anyone.
"""

import random
from collections.abc import Callable

from tests.data.privacy.card_cases import card, iban
from tests.data.privacy.code_that_stays import (
    amount,
    code,
    hardware,
    mention,
    no_secret,
    package,
    path,
    port,
    private_address,
)
from tests.data.privacy.drawing import Case
from tests.data.privacy.email_cases import email
from tests.data.privacy.ip_cases import address
from tests.data.privacy.key_cases import secret
from tests.data.privacy.numbers_that_stay import (
    barcode,
    coordinates,
    date,
    hash_,
    isbn,
    no_card,
    no_iban,
    number,
    order,
    section,
    table,
    time,
    timestamp,
    uuid_,
    version,
    years,
)
from tests.data.privacy.phone_cases import phone

POSITIVES = {"email": 330, "phone": 370, "ip": 220, "key": 260, "card": 160, "iban": 60}
NEGATIVES = 600
HARD_NEGATIVES: tuple[Callable[[random.Random], str], ...] = (
    *(date, time, years, version, section, hash_, uuid_, isbn, order, coordinates, number, table, timestamp, no_card),
    *(no_iban, barcode, port, private_address, hardware, mention, package, code, no_secret, amount, path),
)


def cases(seed: int = 0) -> list[Case]:
    """All 2,000, in a fixed order."""
    random_ = random.Random(seed)
    makers = {"email": email, "phone": phone, "ip": address, "key": secret, "card": card, "iban": iban}
    result = []
    for kind, count in POSITIVES.items():
        for _ in range(count):
            name, value, frames = makers[kind](random_)
            result.append(_framed(random_, kind, name, value, frames))
    for place in range(NEGATIVES):
        maker = HARD_NEGATIVES[place % len(HARD_NEGATIVES)]
        result.append(Case(text=maker(random_), spans=(), name=f"not {maker.__name__}"))
    return result


def _framed(random_: random.Random, kind: str, name: str, value: str, frames: tuple[str, ...]) -> Case:
    before, after = random_.choice(frames).split("{}")
    opening = random_.choice(("", "", "", "On 12 March 2021, at 14:30, we wrote: ", "3. ", "\n    ", "| 17 | ", "> "))
    closing = random_.choice(("", "", "", " See section 4.2.", "\nRegards, A.", " (page 12)", "\n"))
    start = len(opening) + len(before)
    text = opening + before + value + after + closing
    return Case(text=text, spans=((kind, start, start + len(value)),), name=name)
