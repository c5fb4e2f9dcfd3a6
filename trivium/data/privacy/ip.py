"""IPv4 and IPv6 addresses.

By default only addresses that can lead to a person's line: those of the special registries (private, loopback,
link-local, documentation, multicast, reserved: RFC 6890 and its updates) are kept, being the same for everyone. The
table is our own because Python's changes from release to release.

Four numbers with dots are often a version. Refused are ``v1.2.3.4``, ``version 1.2.3.4``, ``Chrome/91.0.4472.124``,
``name-1.2.3.4``, ``==1.2.3.4``, ``section 1.2.3.4``; four one-digit numbers in a row (the public resolvers 1.1.1.1 and
8.8.8.8 among them) are an address only after a word that says so.

Not covered: addresses in decimal, octal or hexadecimal notation, in reverse-lookup names, or with octets left out.
"""

import ipaddress
import re
from collections.abc import Iterator

from trivium.data.privacy.context import said_before

# The look-behind stands after the first digit: a pattern that begins with a set of characters is searched for fast.
_V4 = re.compile(r"[0-9](?<![\w.+-][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![\w-]|\.[\w])")
# Two colons with at most a group between them, and the run around such a place; `ipaddress` decides.
_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")
_GROUP_CHARACTERS = 4
_FIRST_GROUP = re.compile(r"(?<![\w.])[0-9A-Fa-f]{0,4}\Z")
_V6 = re.compile(r"(?:[0-9A-Fa-f]{0,4}:){2,8}(?:[0-9A-Fa-f]{1,4}|[0-9]{1,3}(?:\.[0-9]{1,3}){3})?(?![\w:]|\.\w)")
_VERSION = re.compile(
    r"(?:\b(?:v|ver|vers|version|versions|release|rel|rev|revision|build|firmware|driver|kernel|section|sections|sec|"
    r"chapter|clause|article|paragraph|figure|fig|table|appendix|item|rule|ec)\b[.:]?\s{0,2}[\"'(]?|§\s?|"
    r"[A-Za-z]/|[=<>~!^]=\s?|[~^]|[A-Za-z]@)\Z",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?:\b(?:ip|ipv4|address|addr|host|hosts|hostname|server|servers|dns|nameserver|resolver|gateway|ping|from|peer|client|"
    r"ssh|bind|listen|proxy)\b[\"']?\s{0,2}[:=(]?\s{0,2}[\"']?|//)\Z",
    re.IGNORECASE,
)
_SPECIAL_V4 = tuple(
    (int(network.network_address), int(network.netmask))
    for network in map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
        ),
    )
)
# Public unicast begins with the bits 001 (RFC 4291, section 2.4).
_PUBLIC_V6 = (0b001 << 125, 0b111 << 125)
_SPECIAL_V6 = tuple(
    (int(network.network_address), int(network.netmask))
    for network in map(ipaddress.IPv6Network, ("2001:db8::/32", "2001::/23", "2002::/16", "3fff::/20"))
)


def find_ips(text: str, *, private: bool = False) -> Iterator[tuple[int, int]]:
    """(start, end) of each address; ``private`` also finds those that lead to nobody."""
    found = [match.span() for match in _V4.finditer(text) if _is_v4(text, match, private)]
    found += _v6(text, private)
    # An IPv6 address may end in an IPv4 one: the longer has it.
    end = 0
    for span in sorted(found):
        if span[0] >= end:
            yield span
            end = span[1]


def _is_v4(text: str, match: re.Match[str], private: bool) -> bool:
    octets = match.group().split(".")
    if any(int(octet) > 255 or (octet[0] == "0" and octet != "0") for octet in octets):
        return False
    if said_before(_VERSION, text, match.start()):
        return False
    value = int.from_bytes(bytes(map(int, octets)), "big")
    if _within(value, _SPECIAL_V4):
        return private
    return any(len(octet) > 1 for octet in octets) or said_before(_ADDRESS, text, match.start()) is not None


def _v6(text: str, private: bool) -> Iterator[tuple[int, int]]:
    done = 0
    for colons in _COLONS.finditer(text):
        least = max(done, colons.start() - _GROUP_CHARACTERS)
        first = _FIRST_GROUP.search(text, least, colons.start()) if colons.start() >= done else None
        match = _V6.match(text, first.start()) if first else None
        if match:
            done = match.end()
            if _is_v6(match.group(), private):
                yield match.span()


def _is_v6(candidate: str, private: bool) -> bool:
    try:
        value = int(ipaddress.IPv6Address(candidate))
    except ValueError:
        return False
    if _within(value, (_PUBLIC_V6,)) and not _within(value, _SPECIAL_V6):
        return True
    # `::`, `::1` and `a::b` are as often code; a private address worth the name has more to it.
    return private and len(candidate) >= len("fe80::1")


def _within(value: int, networks: tuple[tuple[int, int], ...]) -> bool:
    return any(value & mask == start for start, mask in networks)
