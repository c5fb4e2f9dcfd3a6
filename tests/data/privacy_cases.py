"""The labelled set of `test_privacy`: 2,000 short texts with what is private in them marked, drawn from a seed.

The formats come from public documents, not from the patterns under test: E.164 and E.123, the numbering plans and the
ranges that regulators keep for fiction (555-01XX; Ofcom 01632 960, 020 7946 0, 07700 900; Arcep 01 99 00, 06 39 98;
Bundesnetzagentur 030 23125, 0171 39200; ACMA 5550, 0491 570; PTS 08-465 004), RFC 5321, 6531 and 2606, RFC 4291,
the issuers' pages on their tokens, the processors' lists of test cards, the registry of IBAN. No value belongs to
anyone. Tokens are put together from parts, so that no scanner takes this file for a leak.
"""

import base64
import hashlib
import itertools
import random
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass

POSITIVES = {"email": 330, "phone": 370, "ip": 220, "key": 260, "card": 160, "iban": 60}
NEGATIVES = 600


@dataclass(frozen=True, kw_only=True)
class Case:
    """One text, and what should be found there."""

    text: str
    spans: tuple[tuple[str, int, int], ...]
    """(kind, start, end) of each private value; empty for a text that must stay as it is."""
    name: str
    """Which form it is, to see what fails."""


def cases(seed: int = 0) -> list[Case]:
    """All 2,000, in a fixed order."""
    random_ = random.Random(seed)
    makers = {"email": email, "phone": phone, "ip": address, "key": secret, "card": card, "iban": iban}
    result = []
    for kind, count in POSITIVES.items():
        for _ in range(count):
            name, value, frames = makers[kind](random_)
            result.append(_framed(random_, kind, name, value, frames))
    for number in range(NEGATIVES):
        maker = HARD_NEGATIVES[number % len(HARD_NEGATIVES)]
        result.append(Case(text=maker(random_), spans=(), name=f"not {maker.__name__}"))
    return result


def _framed(random_: random.Random, kind: str, name: str, value: str, frames: tuple[str, ...]) -> Case:
    before, after = random_.choice(frames).split("{}")
    opening = random_.choice(("", "", "", "On 12 March 2021, at 14:30, we wrote: ", "3. ", "\n    ", "| 17 | ", "> "))
    closing = random_.choice(("", "", "", " See section 4.2.", "\nRegards, A.", " (page 12)", "\n"))
    start = len(opening) + len(before)
    text = opening + before + value + after + closing
    return Case(text=text, spans=((kind, start, start + len(value)),), name=name)


def _digits(random_: random.Random, count: int) -> str:
    return "".join(random_.choices(string.digits, k=count))


def _drawn(random_: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Random characters with two digits at least, as any generator of keys gives at these lengths."""
    while True:
        drawn = "".join(random_.choices(alphabet, k=count))
        if sum(character.isdigit() for character in drawn) >= 2:
            return drawn


# --- e-mail ----------------------------------------------------------------------------------------------------------

EMAIL_FRAMES = (
    "Write to {} before Friday.",
    "Contact: {}",
    "My address is {}, and hers too.",
    "({})",
    "<a href='mailto:{}'>write</a>",
    'author = "{}"',
    "From: Ann Lee <{}>",
    "reply-to={};",
    "name,{},2021-03-04,12.50",
    "Questions? {}!",
    '{"email":"{}"}'.replace('{"email', "\x01").replace('"}', "\x02").replace("\x01", '{"email').replace("\x02", '"}'),
    "# TODO(ann): ask {}",
    "Signed-off-by: A. Lee <{}>",
    "https://example.org/reset?to={}&lang=en",
    "请联系{}，谢谢",
    "Schreiben Sie an {}.",
    "cc: {}; bob",
)
NAMES = ("ann", "bob", "li", "jose", "marie", "p", "j.doe", "anna-lena", "o'brien", "m_k", "x1", "support", "Ann.Lee")
DOMAINS = ("example.com", "example.org", "mail.example.net", "dept.uni.example", "example.co.uk", "shop-24.example.de")


def email(random_: random.Random) -> tuple[str, str, tuple[str, ...]]:
    local = random_.choice(NAMES)
    domain = random_.choice(DOMAINS)
    form = random_.randrange(12)
    plain = EMAIL_FRAMES
    if form == 0:
        return "tag", f"{local}+news{_digits(random_, 2)}@{domain}", plain
    if form == 1:
        return "upper", f"{local}@{domain}".upper(), plain
    if form == 2:
        return "digits", f"{local}{_digits(random_, 4)}@{domain}", plain
    if form == 3:
        return "long", f"{_drawn(random_, 64 - len(local))}{local}@{domain}".replace("'", "."), plain
    if form == 4:
        domain = random_.choice(
            ("bücher.example", "例え.テスト", "почта.испытание", "xn--bcher-kva.example", "παράδειγμα.δοκιμή")
        )
        return "unicode domain", f"{local}@{domain}", plain[:6]
    if form == 5:
        return "unicode name", f"{random_.choice(('josé.núñez', 'müller', 'пётр', 'ørsted'))}@{domain}", plain[:6]
    if form == 6:
        at = random_.choice((" (at) ", " [at] ", "[at]", "(AT)", " {at} "))
        return "bracketed at", f"{local}{at}{domain}".replace("'", "."), plain[:3]
    if form == 7:
        at, dot = random_.choice(((" [at] ", " [dot] "), ("(at)", "(dot)"), (" (AT) ", " (DOT) ")))
        return "bracketed at and dot", f"{local}{at}{domain.replace('.', dot)}".replace("'", "."), plain[:3]
    if form == 8:
        return "escaped", f"{local}{random_.choice(('%40', '&#64;'))}{domain}".replace("'", "."), plain[:6]
    if form == 9 and random_.random() < 0.25:  # RFC 5321 allows them; hardly anybody has them
        return "rare signs", f"{local}{random_.choice('!#=/')}dept@{domain}", plain[:3]
    return "plain", f"{local}@{domain}", plain


# --- telephone -------------------------------------------------------------------------------------------------------

PHONE_FRAMES = (
    "You can reach us at {} on weekdays.",
    "Tel: {}",
    "phone: {}, fax on request",
    "She left {} on a note.",
    "Ring {} after 6 pm.",
    "Ann Lee, {}, Springfield",
    "({})",
    'contact["phone"] = "{}"',
    "Number {} was busy again.",
    "It said: {}.",
    "WhatsApp {} or come by.",
    "{} (mobile)",
)
NAMED_FRAMES = (
    "Tel: {}",
    "Tel. {}",
    "Phone number: {}",
    "call me on {} tonight",
    "Call {} now!",
    '"phone": "{}"',
    "phone_number={}",
    "Fax: {}",
    "Mobile {}",
    "Telefon: {}",
    "Téléphone : {}",
    "móvil: {}",
    "Text us at {}.",
    "电话：{}",
    "Handy: {}",
)
# N any digit. International: country code and number; the separators are drawn.
INTERNATIONAL = (
    "1 202 555 01NN",
    "1 415 555 01NN",
    "44 20 7946 0NNN",
    "44 1632 960NNN",
    "44 7700 900NNN",
    "33 1 99 00 NN NN",
    "33 6 39 98 NN NN",
    "49 30 23125 NNN",
    "49 171 39200 NN",
    "61 2 5550 NNNN",
    "61 491 570 NNN",
    "46 8 465 004 NN",
    "353 20 91N NNNN",
    "81 3 5550 NNNN",
    "91 98555 5NNNN",
    "55 11 95555 0NNN",
    "34 655 55N NNN",
    "86 138 0013 NNNN",
    "7 495 555 NN NN",
    "971 4 555 0NNN",
    "27 11 555 0NNN",
    "31 20 555 0NNN",
)
NATIONAL = (
    ("United States", "(202) 555-01NN"),
    ("United States", "202-555-01NN"),
    ("United States", "415.555.01NN"),
    ("United States", "1-800-555-01NN"),
    ("United States", "(415)555-01NN"),
    ("United States", "212 555 01NN"),
    ("United Kingdom", "020 7946 0NNN"),
    ("United Kingdom", "(020) 7946 0NNN"),
    ("United Kingdom", "01632 960NNN"),
    ("United Kingdom", "07700 900NNN"),
    ("France", "01 99 00 NN NN"),
    ("France", "06.39.98.NN.NN"),
    ("France", "01-99-00-NN-NN"),
    ("Germany", "030 23125 NNN"),
    ("Germany", "030/23125NNN"),
    ("Germany", "(030) 23125-NNN"),
    ("Germany", "0171 39200 NN"),
    ("Germany", "0171-39200NN"),
    ("Australia", "(02) 5550 NNNN"),
    ("Australia", "0491 570 NNN"),
    ("Sweden", "08-465 004 NN"),
    ("Japan", "03-5550-NNNN"),
    ("Japan", "090-5550-NNNN"),
    ("Netherlands", "06-5550NNNN"),
    ("Netherlands", "020-555 0N NN"),
    ("Switzerland", "044 555 0N NN"),
    ("Brazil", "(11) 95555-0NNN"),
    ("Russia", "8 (495) 555-NN-NN"),
    ("China", "138 0013 NNNN"),
)
NAMED_ONLY = (
    ("seven digits", "555-01NN"),
    ("no separators", "20255501NN"),
    ("no separators", "07700900NNN"),
    ("Spain", "655 55N NNN"),
    ("Denmark", "55 50 NN NN"),
    ("Poland", "55 555 NN NN"),
    ("India", "98555 5NNNN"),
    ("Norway", "555 50 NNN"),
)


def _filled(random_: random.Random, form: str) -> str:
    return "".join(random_.choice(string.digits) if character == "N" else character for character in form)


def phone(random_: random.Random) -> tuple[str, str, tuple[str, ...]]:
    form = random_.randrange(10)
    if form < 4:
        number = _filled(random_, random_.choice(INTERNATIONAL))
        separator = random_.choice((" ", " ", "-", "", "."))
        if separator == "." and number.count(" ") < 2:
            separator = "-"
        code, rest = number.split(" ", 1)
        style = random_.randrange(5)
        if style == 0 and not number.startswith(("1 ", "7 ")):
            return "international with 00", f"00{code} {rest}", PHONE_FRAMES
        if style == 1 and code in ("44", "33", "49", "61"):
            return "international with (0)", f"+{code} (0){rest}", PHONE_FRAMES
        if style == 2 and " " in rest:
            area, local = rest.split(" ", 1)
            return "international with brackets", f"+{code} ({area}) {local.replace(' ', '-')}", PHONE_FRAMES
        return "international", "+" + number.replace(" ", separator), PHONE_FRAMES
    if form < 8:
        country, shape = random_.choice(NATIONAL)
        return f"national, {country}", _filled(random_, shape), PHONE_FRAMES
    name, shape = random_.choice(NAMED_ONLY)
    return f"after a word, {name}", _filled(random_, shape), NAMED_FRAMES


# --- IP --------------------------------------------------------------------------------------------------------------

ADDRESS_FRAMES = (
    "Failed login from {} port 52211 ssh2",
    "curl http://{}:8080/status",
    "The server at {} answered.",
    'host = "{}"',
    '{} - - [10/Oct/2020:13:55:36 +0000] "GET / HTTP/1.1" 200 2326',
    "Blocked {}.",
    "ip={}&port=80",
    "ping {} -c 3",
    "A record: {}",
    "allow {}/32;",
    "{}, {} hops".replace("{} hops", "9 hops"),
    "client [{}] left",
)
ADDRESS6_FRAMES = (
    "Failed login from {} port 52211",
    "curl http://[{}]:8080/status",
    "AAAA {}",
    'host = "{}"',
    "Blocked {}.",
    "ping6 {} -c 3",
    "route {}/64",
    "inet6 {} prefixlen 64",
)


def address(random_: random.Random) -> tuple[str, str, tuple[str, ...]]:
    if random_.random() < 0.6:
        # First octets that no special registry holds any part of.
        first = random_.choice((5, 23, 34, 52, 62, 81, 89, 93, 104, 128, 142, 151, 178, 185, 199, 212, 217))
        return "IPv4", ".".join(str(n) for n in (first, *(random_.randrange(256) for _ in range(3)))), ADDRESS_FRAMES
    groups = [f"{random_.choice((0x2400, 0x2600, 0x2A00, 0x2804, 0x2C0F)):x}"]
    groups += [f"{random_.randrange(1, 65536):x}" for _ in range(7)]
    style = random_.randrange(4)
    if style == 0:
        return "IPv6, full", ":".join(group.zfill(4) for group in groups), ADDRESS6_FRAMES
    if style == 1:
        kept = random_.randrange(2, 6)
        return "IPv6, shortened", ":".join(groups[:kept]) + "::" + ":".join(groups[kept : kept + 1]), ADDRESS6_FRAMES
    if style == 2:
        return "IPv6, upper case", ":".join(groups).upper(), ADDRESS6_FRAMES
    return "IPv6", ":".join(groups), ADDRESS6_FRAMES


# --- secrets ---------------------------------------------------------------------------------------------------------

TOKEN_FRAMES = (
    "export TOKEN={}",
    'client = Client("{}")',
    "I pushed {} by mistake.",
    "curl -H 'Authorization: Bearer {}' https://api.example.com",
    "token: {}",
    '{"key": "{}"}'.replace('{"key": "{}"}', '["{}"]'),
    "--token {} --verbose",
    "use {} for staging, then revoke it",
)
VALUE_FRAMES = (
    'api_key = "{}"',
    "API_KEY={}",
    "secret: {}",
    "AWS_SECRET_ACCESS_KEY={}",
    '"client_secret": "{}",',
    "token => '{}'",
    "Authorization: Bearer {}",
    "x-api-key: {}",
    "run --api-key {} --fast",
    "private_key='{}'",
    "  access_token: {}",
    'config["auth_token"] = "{}"',
    "DB_PASSWORD={}",
    "AccountKey={};EndpointSuffix=core.example.net",
)
PASSWORD_FRAMES = (
    'password = "{}"',
    "PASSWORD={}",
    "passwd: {}",
    "mysql://root:{}@db.example.com:3306/shop",
    "https://ann:{}@git.example.com/a/b.git",
    '"pwd": "{}"',
    "db.password={}",
)
_HEX = "0123456789abcdef"
_BASE64URL = string.ascii_letters + string.digits + "-_"


def secret(random_: random.Random) -> tuple[str, str, tuple[str, ...]]:
    form = random_.randrange(24)
    upper = string.ascii_uppercase + "234567"
    tokens: dict[int, Callable[[], tuple[str, str]]] = {
        0: lambda: ("AWS access key", random_.choice(("AK", "AS")) + "IA" + _drawn(random_, 16, upper)),
        1: lambda: ("GitHub", f"gh{random_.choice('pousr')}_" + _drawn(random_, 36)),
        2: lambda: ("GitHub, fine-grained", "github" + "_pat_" + _drawn(random_, 22) + "_" + _drawn(random_, 59)),
        3: lambda: ("GitLab", "gl" + "pat-" + _drawn(random_, 20, _BASE64URL)),
        4: lambda: ("Slack, bot", f"xo{'xb'}-{_digits(random_, 12)}-{_digits(random_, 12)}-{_drawn(random_, 24)}"),
        5: lambda: (
            "Slack, app",
            f"xa{'pp'}-1-A{_drawn(random_, 10, upper)}-{_digits(random_, 13)}-" + _drawn(random_, 64, _HEX),
        ),
        6: lambda: ("Google", "AI" + "za" + _drawn(random_, 35, _BASE64URL)),
        7: lambda: ("OpenAI, old", "sk" + "-" + _drawn(random_, 20) + "T3Blbk" + "FJ" + _drawn(random_, 20)),
        8: lambda: (
            "OpenAI, project",
            "sk" + "-proj-" + _drawn(random_, 74, _BASE64URL) + "T3Blbk" + "FJ" + _drawn(random_, 74, _BASE64URL),
        ),
        9: lambda: (
            "like OpenAI",
            "sk" + random_.choice(("-ant-api03-", "-or-v1-", "-svcacct-")) + _drawn(random_, 64),
        ),
        10: lambda: (
            "Stripe",
            random_.choice("sr") + "k_" + random_.choice(("live", "test")) + "_" + _drawn(random_, 24),
        ),
        11: lambda: ("npm", "np" + "m_" + _drawn(random_, 36)),
        12: lambda: ("Hugging Face", "h" + "f_" + _drawn(random_, 34)),
        13: lambda: ("JWT", _jwt(random_)),
        14: lambda: ("JWT", _jwt(random_)),
        15: lambda: ("SendGrid", "S" + "G." + _drawn(random_, 22, _BASE64URL) + "." + _drawn(random_, 43, _BASE64URL)),
    }
    if form in tokens:
        return (*tokens[form](), TOKEN_FRAMES)
    if form in (16, 17):
        return "private key", _pem(random_), ("{}", "key: |\n{}\n", "cat > id <<E\n{}\nE")
    if form in (18, 19):
        return "named, hexadecimal", _drawn(random_, random_.choice((32, 40, 64)), _HEX), VALUE_FRAMES
    if form in (20, 21):
        return (
            "named, base64",
            _drawn(random_, random_.choice((24, 40, 86)), string.ascii_letters + string.digits + "+/"),
            VALUE_FRAMES,
        )
    words = ("Sunrise", "correct", "Tiger", "wint3r", "qWerty")
    password = (
        random_.choice(words)
        + random_.choice(("-", "_", "!", ""))
        + _digits(random_, 4)
        + random_.choice(("", "x", "Q"))
    )
    return "password", password, PASSWORD_FRAMES


def _jwt(random_: random.Random) -> str:
    """RFC 7519, section 3.1: base64url of two JSON objects, and of a signature."""
    parts = (
        '{"alg":"HS256","typ":"JWT"}',
        f'{{"sub":"{_digits(random_, 10)}","name":"A","iat":{_digits(random_, 10)}}}',
    )
    encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    return ".".join((*encoded, _drawn(random_, 43, _BASE64URL)))


def _pem(random_: random.Random) -> str:
    label = random_.choice(
        ("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
    )
    newline = random_.choice(("\n", "\n", "\\n"))
    lines = [_drawn(random_, 64, string.ascii_letters + string.digits + "+/") for _ in range(random_.randrange(3, 9))]
    return newline.join((f"-----BEGIN {label}-----", *lines, "MIIBOg==", f"-----END {label}-----"))


# --- cards and accounts ----------------------------------------------------------------------------------------------

CARD_FRAMES = (
    "Card number: {}",
    "Pay with {}, exp. 11/27.",
    'charge("{}", 1999)',
    "card={}&cvc=123",
    "The card {} was declined.",
    "{} 12/26",
    "VISA {}",
    "He read out {} twice.",
    "pan: '{}'",
)
TEST_CARDS = (
    "4111111111111111",
    "4012888888881881",
    "4242424242424242",
    "5555555555554444",
    "5105105105105100",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "6011000990139424",
    "3530111333300000",
    "3566002020360505",
    "30569309025904",
    "38520000023237",
    "6205500000000000004",
)


def card(random_: random.Random) -> tuple[str, str, tuple[str, ...]]:
    if random_.random() < 0.5:
        digits = random_.choice(TEST_CARDS)
    else:
        prefix = random_.choice(("4", "51", "53", "55", "2345", "6011", "34", "37"))
        digits = prefix + _digits(random_, (14 if prefix in ("34", "37") else 15) - len(prefix))
        digits += _luhn_digit(digits)
    sizes = {14: (4, 6, 4), 15: (4, 6, 5), 16: (4, 4, 4, 4), 19: (4, 4, 4, 4, 3)}[len(digits)]
    separator = random_.choice(("", " ", "-"))
    places = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    groups = [digits[a:b] for a, b in itertools.pairwise(places)]
    return f"{len(digits)} digits", separator.join(groups), CARD_FRAMES


def _luhn_digit(digits: str) -> str:
    """The last digit that makes the sum of ISO/IEC 7812-1 a multiple of ten."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


IBAN_FRAMES = ("IBAN: {}", "Transfer it to {} by Monday.", "iban={}", "{}, BIC EXAMPLEXXX", "Konto {}", "account '{}'")
# Country and basic account number with N a digit, A a letter (registry of SWIFT).
ACCOUNTS = {
    "DE": "N" * 18,
    "GB": "AAAA" + "N" * 14,
    "FR": "N" * 23,
    "NL": "AAAA" + "N" * 10,
    "ES": "N" * 20,
    "NO": "N" * 11,
}


def iban(random_: random.Random) -> tuple[str, str, tuple[str, ...]]:
    country, shape = random_.choice(tuple(ACCOUNTS.items()))
    account = "".join(random_.choice(string.digits if c == "N" else string.ascii_uppercase) for c in shape)
    number = "".join(str(int(character, 36)) for character in account + country + "00")
    whole = f"{country}{98 - int(number) % 97:02d}{account}"
    if random_.random() < 0.5:
        whole = " ".join(whole[start : start + 4] for start in range(0, len(whole), 4))
    return country, whole, IBAN_FRAMES


# --- what must stay --------------------------------------------------------------------------------------------------


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
    a, b = _digits(r, 5), _digits(r, 3)
    return r.choice(
        (
            f"ISBN 0-{b}-{a}-{_digits(r, 1)}",
            f"ISBN-13: 978-0-{b}-{a}-{_digits(r, 1)}",
            f"isbn 978{_digits(r, 10)}",
            f"978-3-{b}-{a}-{_digits(r, 1)}",
            f"ISSN 0{_digits(r, 3)}-{_digits(r, 3)}X",
        )
    )


def order(r: random.Random) -> str:
    return r.choice(
        (
            f"Order 112-{_digits(r, 7)}-{_digits(r, 7)}",
            f"order number: {_digits(r, 10)}",
            f"Invoice no. {_digits(r, 8)}",
            f"INV-{_digits(r, 4)}-{_digits(r, 6)}",
            f"tracking 1Z{_digits(r, 16)}",
            f"Ticket #{_digits(r, 7)}",
            f"order id {_digits(r, 16)}",
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
            f"1.{_digits(r, 9)}e-05",
            f"pi is 3.14159265358979, {n}",
            f"{n:,}".replace(",", ".") + ",50 EUR",
            f"loss: 0.{_digits(r, 8)} step: {n}",
        )
    )


def table(r: random.Random) -> str:
    return r.choice(
        (
            " ".join(_digits(r, 3) for _ in range(12)),
            "\t".join(_digits(r, 4) for _ in range(6)),
            " ".join(f"{r.randrange(100):02}" for _ in range(12)),
            " ".join(f"{b:02x}" for b in r.randbytes(16)),
            "[" + ", ".join(_digits(r, 5) for _ in range(5)) + "]",
        )
    )


def timestamp(r: random.Random) -> str:
    return r.choice(
        (
            f"ts={_digits(r, 9)}",
            f"at 16{_digits(r, 8)}",
            f"16{_digits(r, 11)} ms",
            f"time_us: 16{_digits(r, 14)}",
            f"16{_digits(r, 17)}",
        )
    )


def no_card(r: random.Random) -> str:
    """The prefix and the length are right, the check digit is not."""
    digits = r.choice(("4", "52", "6011")) + _digits(r, 15)
    digits = digits[:15] + str((int(_luhn_digit(digits[:15])) + r.randrange(1, 10)) % 10)
    spaced = " ".join(digits[n : n + 4] for n in range(0, 16, 4))
    return r.choice(("No. {}", "{}", "value {} stored", "row {};")).format(r.choice((digits, spaced)))


def no_iban(r: random.Random) -> str:
    """Two letters, digits, and wrong check digits."""
    return r.choice(
        (
            f"DE00{_digits(r, 18)}",
            f"part GB99 ABCD {_digits(r, 4)} {_digits(r, 4)} {_digits(r, 4)} 00",
            f"AB12{_digits(r, 14)}",
        )
    )


def barcode(r: random.Random) -> str:
    return r.choice(
        (
            f"EAN 40{_digits(r, 11)}",
            f"{_digits(r, 13)} (barcode)",
            f"CAS 7732-18-5, {_digits(r, 5)}-{_digits(r, 2)}-{_digits(r, 1)}",
            f"doi:10.1000/{_digits(r, 6)}.{_digits(r, 4)}",
            f"arXiv:2{_digits(r, 3)}.{_digits(r, 5)}v2",
            f"PMID: {_digits(r, 8)}",
        )
    )


def port(r: random.Random) -> str:
    return r.choice(
        (
            "http://localhost:8080/a/b",
            "listen 0.0.0.0:443",
            "127.0.0.1:5432",
            "ports 8000-8010",
            "tcp/65535",
            "bind [::1]:53",
        )
    )


def private_address(r: random.Random) -> str:
    a = f"{r.randrange(256)}.{r.randrange(1, 255)}"
    return r.choice(("192.168.{}", "10.1.{}", "172.16.{}", "gateway 10.0.{}/16")).format(a) + r.choice(
        (
            "",
            ", 255.255.255.0",
            " via 192.0.2.1",
            " and 203.0.113.7, fe80::1, 2001:db8::8a2e:370:7334, fd12:3456:789a::1",
        )
    )


def hardware(r: random.Random) -> str:
    mac = ":".join(f"{b:02x}" for b in r.randbytes(6))
    return r.choice(
        (
            f"ether {mac}",
            f"MAC {mac.upper()}",
            "std::vector<int>::iterator",
            "a::b::c",
            "ratio 1:2:3:4",
            "abcd::beef()",
            "12:34:56",
        )
    )


def mention(r: random.Random) -> str:
    return r.choice(
        (
            "thanks @ann_lee and @bob!",
            "@property\ndef name(self): ...",
            "@app.route('/x')",
            "@dataclass(frozen=True)",
            "@media screen and (max-width: 600px)",
            "@types/node",
            "meet @ 5.30 at noon",
            "12 @ 3.50 EUR each",
            "@example.com is the domain",
            "look at example.com",
            "@param x the value",
        )
    )


def package(r: random.Random) -> str:
    return r.choice(
        (
            "left-pad@1.3.0",
            "npm i react@18.2.0-rc.1",
            "uses: actions/checkout@v4",
            "logo@2x.png",
            "git clone git@github.com:ann/trees.git",
            "ssh://git@example.com/trees.git",
            "root@localhost:~#",
            "user@host",
            "@scope/pkg@1.0.0.tgz",
            "icon@3x.webp",
        )
    )


def code(r: random.Random) -> str:
    return r.choice(
        (
            "y = x@w.transpose(0, 1)",
            "h = a@b.T + c",
            "q@k.mT",
            "out = W@x",
            "scores = q@k.reshape(n, -1)",
            "A @ B.T",
            "for (i = 0; i < 1000000; i++)",
            "x[1000000:2000000]",
            "@@ -120,15 +123,18 @@",
            "0x7fffffff + 1 - 2",
            "re.compile('[0-9]+')",
        )
    )


def no_secret(r: random.Random) -> str:
    return r.choice(
        (
            "password = getpass.getpass()",
            "token: str | None = None",
            "api_key=os.environ['API_KEY']",
            "secret = None",
            "API_KEY=YOUR_API_KEY_HERE",
            'password: "${DB_PASSWORD}"',
            "token = tokenizer.encode(text, special=False)",
            "the key: understanding-comes-before-doing",
            "password: required|min:8",
            "auth = HTTPBasicAuth(user, password)",
            "key = lambda item: item.priority_level",
            "max_token_length: 4096",
            "sk-toggleable__label-arrow sk-estimator-doc-link",
            "tokens: 1048576",
            "secret: see https://example.com/docs/secrets",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
            "password_field = form.password_confirmation",
            "AUTH: authentication/authorization-service",
            "secret_name = 'production/database/primary'",
            "eyJust a word",
            "pk_" + "live_is_published",
            "token_type: bearer_token_usage",
            "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
            "--key-file=/etc/ssl/private/server.pem",
        )
    )


def amount(r: random.Random) -> str:
    return r.choice(
        (
            f"${_digits(r, 3)} {_digits(r, 3)} {_digits(r, 4)}",
            f"{r.randrange(10, 99)}-{_digits(r, 2)}, 3-1, 2:2",
            f"{_digits(r, 3)}x{_digits(r, 4)}x{_digits(r, 3)}",
            f"€1 {_digits(r, 3)} {_digits(r, 3)}",
            "1 + 2 - 3 / 4 = 0.25",
            f"{_digits(r, 4)}-{_digits(r, 4)} kg",
            "score 21-19 18-21 21-15",
            "call f(1000000, 2000000)",
            "phone model 3310 and 6110i",
            "Boeing 747-400, 767-300ER",
        )
    )


def path(r: random.Random) -> str:
    return r.choice(
        (
            f"/var/log/app-{_digits(r, 8)}.log",
            f"C:\\data\\{_digits(r, 10)}\\x.csv",
            f"s3://bucket/2023/01/02/{_digits(r, 12)}.gz",
            f"IMG_{_digits(r, 8)}_{_digits(r, 6)}.jpg",
            f"https://example.com/a/{_digits(r, 10)}?p={_digits(r, 6)}",
            f"img-{_digits(r, 4)}-{_digits(r, 3)}-{_digits(r, 4)}.png",
        )
    )


HARD_NEGATIVES: tuple[Callable[[random.Random], str], ...] = (
    *(date, time, years, version, section, hash_, uuid_, isbn, order, coordinates, number, table, timestamp, no_card),
    *(no_iban, barcode, port, private_address, hardware, mention, package, code, no_secret, amount, path),
)
