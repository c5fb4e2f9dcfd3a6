"""Take personal data and secrets out of a text: e-mail, telephone, IP, keys, payment cards, bank accounts.

What is found is replaced by the name of its kind in angle brackets, ``<email>``. Each kind has a file of its own that
says which forms it knows, which it refuses, and what it does not cover.

NOT covered, by any option: names of people, postal addresses, dates of birth, numbers of passports and of social
security, number plates. They need a model of the language, not a pattern. A text that went through `redact` is not
anonymous.

Every pattern takes time linear in the text, whatever the text: the runs it reads have one way to match, or a greatest
length.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

from trivium.data.privacy.cards import find_cards, find_ibans
from trivium.data.privacy.email import find_emails
from trivium.data.privacy.ip import find_ips
from trivium.data.privacy.keys import find_keys
from trivium.data.privacy.phone import find_phones

_COVER = "\x00"
_ROUNDS = 8


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """Which kinds are taken out."""

    key: bool = True
    """Secrets of machines: keys and tokens of services, private keys, passwords in assignments and in URLs."""
    email: bool = True
    """E-mail addresses."""
    iban: bool = True
    """Numbers of bank accounts (IBAN)."""
    card: bool = True
    """Numbers of payment cards."""
    ip: bool = True
    """IPv4 and IPv6 addresses that are public."""
    phone: bool = True
    """Telephone numbers."""
    private_ip: bool = False
    """With `ip`: private, loopback, link-local and documentation addresses as well, which lead to nobody."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One place of a text."""

    kind: str
    """"email", "key", "iban", "card", "ip" or "phone"."""
    start: int
    """Offset of its first character."""
    end: int
    """Offset after its last character."""


def find(text: str, config: Privacy) -> list[Finding]:
    """What `redact` replaces first, in the order of the text; no two overlap.

    The kinds are looked for in the order of the fields of `Privacy`, the surest first, and a character belongs to the
    first kind that claims it: the digits of a card are no telephone number, a password in a URL is no name of a user.
    """
    finders: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
        "key": find_keys,
        "email": find_emails,
        "iban": find_ibans,
        "card": find_cards,
        "ip": lambda rest: find_ips(rest, private=config.private_ip),
        "phone": find_phones,
    }
    found: list[Finding] = []
    for kind in (field.name for field in fields(config)):
        if kind not in finders or not getattr(config, kind):
            continue
        spans = list(finders[kind](text))
        if spans:
            found.extend(Finding(kind=kind, start=start, end=end) for start, end in spans)
            # The offsets stay those of the whole text for the kinds that follow.
            text = _replaced(text, [(start, end, _COVER * (end - start)) for start, end in spans])
    return sorted(found, key=lambda finding: finding.start)


def redact(text: str, config: Privacy | None = None) -> tuple[str, Counter[str]]:
    """``text`` with each finding replaced by ``<kind>``, and how many of each kind there were.

    It is repeated until nothing is found, so redacting twice changes nothing more: a replacement may free a neighbour
    that was refused for what stood beside it. Real text is done after one repetition; after 8, which takes a text made
    for the purpose, it stops.
    """
    config = config or Privacy()
    counts: Counter[str] = Counter()
    for _ in range(_ROUNDS):
        found = find(text, config)
        if not found:
            break
        counts.update(finding.kind for finding in found)
        text = _replaced(text, [(finding.start, finding.end, f"<{finding.kind}>") for finding in found])
    return text, counts


def _replaced(text: str, replacements: list[tuple[int, int, str]]) -> str:
    """``text`` with each (start, end, new) put in; they are in order and do not overlap."""
    parts: list[str] = []
    done = 0
    for start, end, new in replacements:
        parts += (text[done:start], new)
        done = end
    parts.append(text[done:])
    return "".join(parts)
