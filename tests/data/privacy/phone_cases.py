"""Telephone numbers, in the ranges that regulators keep for fiction."""

import random
import string

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
