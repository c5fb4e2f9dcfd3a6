"""Payment cards, from the processors' lists of test cards, and bank accounts, by the registry of IBAN."""

import itertools
import random
import string

from tests.data.privacy.drawing import some_digits

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
        digits = prefix + some_digits(random_, (14 if prefix in ("34", "37") else 15) - len(prefix))
        digits += luhn_digit(digits)
    sizes = {14: (4, 6, 4), 15: (4, 6, 5), 16: (4, 4, 4, 4), 19: (4, 4, 4, 4, 3)}[len(digits)]
    separator = random_.choice(("", " ", "-"))
    places = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    groups = [digits[a:b] for a, b in itertools.pairwise(places)]
    return f"{len(digits)} digits", separator.join(groups), CARD_FRAMES


def luhn_digit(digits: str) -> str:
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
