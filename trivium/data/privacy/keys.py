"""Secrets of machines: tokens with a prefix of their issuer, private keys, signed tokens, and values named as secret.

Issuers, by their documents: AWS access key ids, GitHub, GitLab, Slack (tokens and webhooks), Google, OpenAI and others
that write ``sk-``, Stripe (secret and restricted; publishable keys are published), SendGrid, npm, PyPI, Hugging Face,
DigitalOcean, Shopify, Twilio. Private keys in PEM and OpenPGP armour (RFC 7468, RFC 4880), also with ``\\n`` spelt out.
JSON web tokens (RFC 7519). The password of ``scheme://user:password@host``. After a name that ends in key, token,
secret, password and the like and ``=``, ``:`` or ``=>``, and after ``Bearer``: a value that looks drawn at random.

Not covered: a bare secret without prefix or name (40 characters of base64 are as often a hash), passwords made of
words, passwords in a sentence ("the password is ..."), publishable keys.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

from trivium.data.privacy.context import said_before

# What begins a token, and the whole of it. A prefix is found at the speed of `str.find`; only there is a pattern run.
_W = r"[A-Za-z0-9_-]"
_TOKENS = tuple(
    (prefix, re.compile(pattern))
    for prefix, pattern in (
        *((prefix, r"[A-Z]{4}[A-Z0-9]{16}(?![A-Za-z0-9])") for prefix in ("AKIA", "ASIA", "ABIA", "ACCA")),
        *((prefix, r"gh[pousr]_[A-Za-z0-9]{36,}") for prefix in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
        ("github_pat_", r"github_pat_[A-Za-z0-9_]{22,}"),
        ("gl", rf"gl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct)-{_W}{{20,}}(?:\.[A-Za-z0-9]{{2,20}}){{0,2}}"),
        ("xox", r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}"),
        ("xapp-", r"xapp-[A-Za-z0-9-]{10,}"),
        ("hooks.slack.com/", r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/]{20,}"),
        ("AIza", rf"AIza{_W}{{35}}(?!{_W})"),
        ("GOCSPX-", rf"GOCSPX-{_W}{{28}}"),
        ("ya29.", rf"ya29\.{_W}{{20,}}"),
        ("sk-", rf"sk-{_W}{{20,}}"),
        *((prefix, r"[sr]k_(?:live|test)_[A-Za-z0-9]{10,}") for prefix in ("sk_", "rk_")),
        ("whsec_", r"whsec_[A-Za-z0-9+/]{24,}={0,2}"),
        ("SG.", rf"SG\.{_W}{{22}}\.{_W}{{43}}"),
        ("npm_", r"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
        ("pypi-", rf"pypi-AgE{_W}{{50,}}"),
        ("hf_", r"hf_[A-Za-z0-9]{34,40}(?![A-Za-z0-9])"),
        ("dop_v1_", r"dop_v1_[0-9a-f]{64}"),
        ("shp", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
        ("SK", r"SK[0-9a-f]{32}(?![A-Za-z0-9])"),
        ("eyJ", rf"eyJ{_W}{{8,}}\.eyJ{_W}{{8,}}\.{_W}{{0,}}"),
    )
)
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_ARMOUR_CHARACTERS = 32 * 1024
# Lines of base64, and a last short one with its padding; prose has no such words.
_ARMOUR = re.compile(r"(?:\s{0,4}(?:\\n)?[A-Za-z0-9+/]{24,}+)*(?:\s{0,4}(?:\\n)?[A-Za-z0-9+/]{1,23}={1,2}|={0,2})")
_USERINFO = re.compile(r"://[^\s/:@<>\"']{0,64}:([^\s/@<>\"']+)@")

_VALUE_CHARACTERS = r"[A-Za-z0-9+/_.~!#$%^&*?-]"
# The whole run, never a part; what is called or indexed is code. Padding is added later: `a: NAME=...` has it too.
_VALUE = rf"({_VALUE_CHARACTERS}{{8,}}+)(?![(\[])"
_ASSIGNED = re.compile(rf"[=:]>?[ \t]{{0,4}}(?:[uUrRbB]?[\"'`])?(?:(?:Bearer|Basic|Token|token) )?{_VALUE}")
_NAME = re.compile(
    r"(?<!public)(?<!public[_-])(?:api[_-]?key|access[_-]?key(?:[_-]?id)?|account[_-]?key|secret[_-]?key|"
    r"private[_-]?key|signing[_-]?key|encryption[_-]?key|auth[_-]?key|client[_-]?secret|secret|token|auth|authorization|credentials?|x-api-key|"
    r"(?P<password>passw(?:or)?d|passphrase|passwort|pwd|pass))[\"'`]?\]?[ \t]{0,4}\Z",
    re.IGNORECASE,
)
_OPTION = re.compile(rf"--[a-z-]{{0,24}}(?:key|token|secret|password)[ =][\"']?{_VALUE}")
_STAND_IN = re.compile(
    r"example|sample|placeholder|change_?me|your[_-]|my[_-]|xxxx|\*\*\*\*|\.\.\.|<|^\$|process\.env|os\.environ|"
    r"://|getenv|secrets\.",
    re.IGNORECASE,
)
_LEAST_SECRET, _LEAST_PASSWORD = 16, 8
# Bits a character. English words joined by signs have about 3.3 at 20 characters, hexadecimal at most 4, base64 at
# most 6; short values cannot have more than the logarithm of their length.
_SECRET_BITS, _PASSWORD_BITS = 3.0, 2.5


def find_keys(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each secret, in order."""
    found = [*_armoured(text), *_prefixed(text), *_in_urls(text), *_named(text)]
    done = 0
    for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
        if start >= done:
            yield start, end
            done = end


def _prefixed(text: str) -> Iterator[tuple[int, int]]:
    for prefix, pattern in _TOKENS:
        place = text.find(prefix)
        while place >= 0:
            # A prefix inside a word begins no token; that also keeps a run of prefixes from being read again and again.
            inside = place > 0 and (text[place - 1].isalnum() or text[place - 1] in "_-")
            match = None if inside else pattern.match(text, place)
            if match and (prefix != "sk-" or _is_mixed(match.group()[len(prefix) :])):
                yield match.span()
            place = text.find(prefix, match.end() if match else place + len(prefix))


def _is_mixed(value: str) -> bool:
    """Random letters and digits, and not `sk-toggleable-label-arrow-2`: no long run of letters in one case."""
    longest = max(re.split("[_-]", value), key=len)
    return len(longest) >= 16 and sum(c.isdigit() for c in longest) >= 2 and any(c.isalpha() for c in longest)


def _armoured(text: str) -> Iterator[tuple[int, int]]:
    """Private keys from BEGIN to END; one without END in reach, as far as it looks like one."""
    done = 0
    for begin in _BEGIN.finditer(text) if "-----BEGIN " in text else ():
        if begin.start() < done:
            continue
        reach = begin.end() + _ARMOUR_CHARACTERS
        following = _BEGIN.search(text, begin.end(), reach)
        end = _END.search(text, begin.end(), following.start() if following else reach)
        body = end or _ARMOUR.match(text, begin.end(), reach)
        done = body.end() if body else begin.end()
        yield begin.start(), begin.start() + len(text[begin.start() : done].rstrip())


def _in_urls(text: str) -> Iterator[tuple[int, int]]:
    for match in _USERINFO.finditer(text) if "://" in text else ():
        if not _STAND_IN.search(match.group(1)):
            yield match.span(1)


def _named(text: str) -> Iterator[tuple[int, int]]:
    for match in _ASSIGNED.finditer(text):
        name = said_before(_NAME, text, match.start())
        if name and _is_secret(match.group(1), password=name.group("password") is not None):
            yield _trimmed(text, match)
    for match in _OPTION.finditer(text) if "--" in text else ():
        if _is_secret(match.group(1), password="password" in text[match.start() : match.start(1)]):
            yield _trimmed(text, match)


def _trimmed(text: str, match: re.Match[str]) -> tuple[int, int]:
    """The value with the padding of base64, without the sign that ends the sentence."""
    start, end = match.span(1)
    while text[end - 1] in ".!?" and text[end : end + 1] not in ('"', "'", "`"):
        end -= 1
    for _ in range(2):
        end += text.startswith("=", end)
    return start, end


def _is_secret(value: str, *, password: bool) -> bool:
    if _STAND_IN.search(value):
        return False
    letters = any(character.isalpha() for character in value)
    if password:
        others = any(character.isdigit() or character in "!#$%^&*?~+" for character in value)
        return len(value) >= _LEAST_PASSWORD and letters and others and entropy(value) >= _PASSWORD_BITS
    # A path or a dotted name has long runs of lower-case letters between its signs, and no digits.
    digits = sum(character.isdigit() for character in value)
    return len(value) >= _LEAST_SECRET and letters and digits >= 2 and entropy(value) >= _SECRET_BITS


def entropy(value: str) -> float:
    """Bits a character of the distribution of its characters (Shannon 1948)."""
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values())
