"""Numbers that are nobody's: dates, versions, identifiers, measures."""

import hashlib
import random
import uuid

from tests.data.privacy.card_cases import luhn_digit
from tests.data.privacy.drawing import some_digits


def date(r: random.Random) -> str:
    y, m, d = r.randrange(1900, 2030), r.randrange(1, 13), r.randrange(1, 29)
    return r.choice(
        (
            "From {0}-{1:02}-{2:02} on.",
            "{2:02}.{1:02}.{0}",
            "{1}/{2}/{0}",
            "{2:02} {1:02} {0}",
            "{0}{1:02}{2:02}",
            "{2:02}-{1:02}-{0} 14:30:05",
            "{0}/{1:02}/{2:02} - {0}/{1:02}/{2:02}",
            "{0}-{1:02}-{2:02}T03:04:05.123456+02:00",
            "{2:02}/{1:02}/{0} 10.15",
        )
    ).format(y, m, d)


def time(r: random.Random) -> str:
    clock = f"{r.randrange(24):02}:{r.randrange(60):02}:{r.randrange(60):02}"
    return f"At {clock}, open 08:00-16:30, UTC+02:00, took 00:01:12.345"


def years(r: random.Random) -> str:
    return r.choice(
        (
            "(1914-1918, 1939-1945)",
            "from 1998 - 2004 and 2008 - 2012",
            "pp. 1023-1048",
            "pages 112 - 118",
            "Psalm 119:105-112",
        )
    )


def version(r: random.Random) -> str:
    v = f"{r.randrange(1, 30)}.{r.randrange(30)}.{r.randrange(200)}.{r.randrange(1, 250)}"
    return r.choice(
        (
            "version {}",
            "v{}",
            "pip install trees=={}",
            "Chrome/{} Safari/537.36",
            "release {} is out",
            "trees-{}.tar.gz",
            "requires >={}",
            "build {}",
            "Firmware: {}",
            "Version: {}",
        )
    ).format(v)


def section(r: random.Random) -> str:
    return r.choice(
        (
            "See 1.2.3.4 and 1.2.3.5 above.",
            "Section 12.3.4.1 applies.",
            "§ 4.10.2.1",
            "Table 3.2.1.4: results",
            "1.2.1.3 Methods",
        )
    )


def hash_(r: random.Random) -> str:
    data = r.randbytes(8)
    digest = r.choice((hashlib.sha1(data), hashlib.sha256(data), hashlib.md5(data))).hexdigest()
    return r.choice(("commit {}", "sha256:{}", "{}  file.tar.gz", 'etag: "{}"', "checksum = '{}'", "digest={}")).format(
        digest
    )


def uuid_(r: random.Random) -> str:
    return r.choice(("id {}", '"uuid": "{}"', "/objects/{}/parts", "{}")).format(
        uuid.UUID(int=r.getrandbits(128), version=4)
    )


def isbn(r: random.Random) -> str:
    a, b = some_digits(r, 5), some_digits(r, 3)
    return r.choice(
        (
            f"ISBN 0-{b}-{a}-{some_digits(r, 1)}",
            f"ISBN-13: 978-0-{b}-{a}-{some_digits(r, 1)}",
            f"isbn 978{some_digits(r, 10)}",
            f"978-3-{b}-{a}-{some_digits(r, 1)}",
            f"ISSN 0{some_digits(r, 3)}-{some_digits(r, 3)}X",
        )
    )


def order(r: random.Random) -> str:
    return r.choice(
        (
            f"Order 112-{some_digits(r, 7)}-{some_digits(r, 7)}",
            f"order number: {some_digits(r, 10)}",
            f"Invoice no. {some_digits(r, 8)}",
            f"INV-{some_digits(r, 4)}-{some_digits(r, 6)}",
            f"tracking 1Z{some_digits(r, 16)}",
            f"Ticket #{some_digits(r, 7)}",
            f"order id {some_digits(r, 16)}",
        )
    )


def coordinates(r: random.Random) -> str:
    a, b = f"{r.uniform(10, 89):.6f}", f"{r.uniform(10, 179):.6f}"
    return r.choice(
        (f"{a}, -{b}", f"lat={a}&lon={b}", f"+{a} +{b}", f"POINT({a} {b})", f"{a}N {b}E", "48°51'24.1\"N 2°21'03.2\"E")
    )


def number(r: random.Random) -> str:
    n = r.randrange(10**6, 10**10)
    return r.choice(
        (
            f"{n} rows",
            f"{n:,} people",
            f"{n:,}".replace(",", " ") + " inhabitants",
            f"x = {r.random() * 1000}",
            f"1.{some_digits(r, 9)}e-05",
            f"pi is 3.14159265358979, {n}",
            f"{n:,}".replace(",", ".") + ",50 EUR",
            f"loss: 0.{some_digits(r, 8)} step: {n}",
        )
    )


def table(r: random.Random) -> str:
    return r.choice(
        (
            " ".join(some_digits(r, 3) for _ in range(12)),
            "\t".join(some_digits(r, 4) for _ in range(6)),
            " ".join(f"{r.randrange(100):02}" for _ in range(12)),
            " ".join(f"{b:02x}" for b in r.randbytes(16)),
            "[" + ", ".join(some_digits(r, 5) for _ in range(5)) + "]",
        )
    )


def timestamp(r: random.Random) -> str:
    return r.choice(
        (
            f"ts={some_digits(r, 9)}",
            f"at 16{some_digits(r, 8)}",
            f"16{some_digits(r, 11)} ms",
            f"time_us: 16{some_digits(r, 14)}",
            f"16{some_digits(r, 17)}",
        )
    )


def no_card(r: random.Random) -> str:
    """The prefix and the length are right, the check digit is not."""
    digits = r.choice(("4", "52", "6011")) + some_digits(r, 15)
    digits = digits[:15] + str((int(luhn_digit(digits[:15])) + r.randrange(1, 10)) % 10)
    spaced = " ".join(digits[n : n + 4] for n in range(0, 16, 4))
    return r.choice(("No. {}", "{}", "value {} stored", "row {};")).format(r.choice((digits, spaced)))


def no_iban(r: random.Random) -> str:
    """Two letters, digits, and wrong check digits."""
    return r.choice(
        (
            f"DE00{some_digits(r, 18)}",
            f"part GB99 ABCD {some_digits(r, 4)} {some_digits(r, 4)} {some_digits(r, 4)} 00",
            f"AB12{some_digits(r, 14)}",
        )
    )


def barcode(r: random.Random) -> str:
    return r.choice(
        (
            f"EAN 40{some_digits(r, 11)}",
            f"{some_digits(r, 13)} (barcode)",
            f"CAS 7732-18-5, {some_digits(r, 5)}-{some_digits(r, 2)}-{some_digits(r, 1)}",
            f"doi:10.1000/{some_digits(r, 6)}.{some_digits(r, 4)}",
            f"arXiv:2{some_digits(r, 3)}.{some_digits(r, 5)}v2",
            f"PMID: {some_digits(r, 8)}",
        )
    )
