"""E-mail addresses, by RFC 5321 section 4.1.2 as far as people use it, with Unicode (RFC 6531).

Known: ``ann.lee+news@mail.example.co.uk`` in any case and any script, ``@`` also as ``%40`` (URLs), ``&#64;`` and
``&commat;`` (HTML) and the full-width sign, ``ann (at) example [dot] org``, ``ann@[192.0.2.1]``.

Refused: a name without a domain (``@ann``, ``ann@localhost``), code (``@property``, ``x@w.dot(y)``), packages and files
(``left-pad@1.3.0``, ``logo@2x.png``), and ``git@host``, which is the same for everyone. Any other ``user@host:path`` is
redacted: lists of ``address:password`` look the same, and are the worse leak.

Not covered: quoted local parts (``"ann lee"@example.org``), ``ann at example dot org`` without brackets (so is "look at
amazon dot com"), and the rarer signs of a local part: of ``a!b@example.org`` the part after the last such sign goes.
"""

import re
from collections.abc import Iterator

# RFC 5321, sections 4.5.3.1.1 and 4.5.3.1.2.
_LOCAL_CHARACTERS = 64
_DOMAIN_CHARACTERS = 255

_AT = re.compile(r"@|%40|&#0*64;|&commat;|\uff20|[\[({<] ?[aA][tT] ?[\])}>] ?")
# Runs read backwards from the sign. Latin letters first: Chinese puts no space before an address. An apostrophe must
# stand between letters, for in code and quotations it opens the text.
_LATIN = "A-Za-z0-9_\u00c0-\u024f"
_LOCALS = (
    re.compile(rf"(?:[{_LATIN}.+-]|(?<=[A-Za-z])['’](?=[A-Za-z]))+\Z"),
    re.compile(r"[\w.+-]+\Z"),
)
_DOT = r"(?:\.| ?[\[({<] ?[dD][oO][tT] ?[\])}>] ?)"
_DOMAIN = re.compile(
    rf"(?:\w[\w-]{{0,62}}{_DOT}){{1,10}}"
    r"(?P<top>[xX][nN]--[A-Za-z0-9-]{1,59}|[A-Za-z]{2,24}(?![A-Za-z0-9_-])|[^\W\d_]{2,24}(?![\w-]))(?!\.[A-Za-z0-9])"
)
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.")
_LITERAL = re.compile(r"\[(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]")
# No top-level domains. `.sh`, `.py`, `.md`, `.rs`, `.pl` and `.zip` are.
_FILE_ENDINGS = frozenset(
    ("png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "ico", "css", "js", "json", "jsx", "tsx", "xml", "html", "htm")
) | {"txt", "pdf", "yaml", "yml", "lock"}
# What may stand before a bracket and still be no call of a method: `a@b.to(device)` is.
_FREQUENT = frozenset(("com", "org", "net", "edu", "gov", "info", "biz"))
_EVERYBODY = frozenset(("git", "hg", "svn"))


def find_emails(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each address."""
    done = 0
    for sign in _AT.finditer(text):
        end = _domain_end(text, sign.end())
        if end is None:
            continue
        name_end = sign.start() - (len(sign.group()) > 1 and text[sign.start() - 1 : sign.start()] == " ")
        start = _local_start(text, max(done, name_end - _LOCAL_CHARACTERS), name_end)
        if start is not None and text[start:name_end].lower() not in _EVERYBODY:
            yield start, end
            done = end


def _local_start(text: str, least: int, end: int) -> int | None:
    for pattern in _LOCALS:
        run = pattern.search(text, least, end) if least < end else None
        if run:
            # No local part begins so; a quotation or a list may end so.
            start = end - len(run.group().lstrip(".+-'’"))
            return start if start < end else None
    return None


def _domain_end(text: str, start: int) -> int | None:
    literal = _LITERAL.match(text, start)
    if literal:
        return literal.end()
    domain = _DOMAIN.match(text, start, start + _DOMAIN_CHARACTERS)
    if domain is None:
        return None
    top = domain.group("top")
    if top.lower() in _FILE_ENDINGS or _VERSION.match(domain.group()):
        return None
    if text[domain.end() : domain.end() + 1] == "(" and top.lower() not in _FREQUENT:
        return None
    # `a@b.mT` is Python's matrix product; nobody writes a domain so.
    if top.isascii() and top not in (top.lower(), top.upper(), top.capitalize()):
        return None
    return domain.end()
