"""Licences as SPDX expressions: found in sources, spelt one way, and checked against what is allowed.

SPDX specification 3.0, annex B (licence expressions): identifiers joined by AND, OR and WITH; AND binds before OR.
"""

import difflib
import functools
import re
from collections.abc import Mapping, Sequence

from trivium.errors import ConfigError, DataError, Unsupported

UNKNOWN = "unknown"
"""What a document without a stated licence is counted under."""

_MOST_CHARACTERS = 200
# What people and data sets write instead of an identifier. An ambiguous one ("bsd", "cc", "lgpl") stays unknown.
_SPELLINGS = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "mit license": "MIT",
    "the mit license": "MIT",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "gplv2": "GPL-2.0-only",
    "gplv3": "GPL-3.0-only",
    "gpl-2.0": "GPL-2.0-only",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "agpl-3.0": "AGPL-3.0-only",
    "gfdl": "GFDL-1.3-or-later",
    "odbl": "ODbL-1.0",
    "odc-by": "ODC-By-1.0",
    "pddl": "PDDL-1.0",
    "mpl 2.0": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense": "Unlicense",
}
_OFTEN_MEANT = ("MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-SA-3.0", "CC0-1.0")
_CREATIVE_COMMONS = re.compile(r"cc(?:0|[ -]by(?:[ -](?:nc|sa|nd))*)[ -]\d\.\d")
_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([^\r\n]{1,200})")
_COMMENT_END = re.compile(r"[ \t]*(\*/|-->|#\}|\"\"\"|\*\)).*$")
_LOOKED_AT_CHARACTERS = 2048
_FRONT_MATTER_CHARACTERS = 65536


@functools.lru_cache(maxsize=4096)
def canonical(text: str) -> str | None:
    """The SPDX expression in its canonical spelling, or None where ``text`` is none.

    Raises:
        Unsupported: the package `packaging` (24.2 or later), which holds the SPDX list, is not installed.
    """
    try:
        from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
    except ImportError as error:
        raise Unsupported(
            "the list of licences needs a package that is not installed",
            received="no packaging",
            fix='pip install "trivium-lm[data]"',
        ) from error
    word = " ".join(text.split())
    if not 0 < len(word) <= _MOST_CHARACTERS:
        return None
    known = _known_spelling(word.lower())
    try:
        return str(canonicalize_license_expression(known or word))
    except (InvalidLicenseExpression, MemoryError, RecursionError):  # brackets in brackets
        return None


def as_stated(text: str) -> str:
    """The canonical spelling, or what was stated, cut short, where it is no SPDX expression."""
    try:
        found = canonical(text)
    except Unsupported:  # without the list a licence is still worth keeping as it stands
        found = None
    return found or " ".join(text.split())[:_MOST_CHARACTERS] or UNKNOWN


def licence_in_text(text: str) -> str | None:
    """What an ``SPDX-License-Identifier:`` in the first lines of a file states."""
    head = text[:_LOOKED_AT_CHARACTERS]
    if "SPDX-License-Identifier" not in head:
        return None
    match = _TAG.search(head)
    return as_stated(_COMMENT_END.sub("", match[1])) if match and match[1].strip() else None


def licence_of_readme(text: str) -> str | None:
    """What ``license:`` in the front matter of a README.md states, as the cards of data sets have it.

    Of a list every licence holds for some part, so all are needed: they are joined by AND. The two lines are found
    without a YAML parser: there is nothing in a front matter that could be built or run.
    """
    lines = iter(text[:_FRONT_MATTER_CHARACTERS].removeprefix("\ufeff").splitlines())
    if next(lines, "").rstrip() != "---":
        return None
    stated: list[str] | None = None
    for line in lines:
        if line.rstrip() == "---":
            break
        if stated is None:
            key, colon, value = line.partition(":")
            if colon and key in ("license", "licence"):
                stated = _listed(value.split(" #")[0].strip())
                if stated:
                    break
        elif re.match(r"\s*-\s", line):
            stated.append(_unquoted(line.strip().removeprefix("-")))
        else:
            break
    found = [as_stated(each) for each in stated or [] if each]
    if len(found) == 1:
        return found[0]
    return as_stated(" AND ".join(f"({each})" if " " in each else each for each in found)) if found else None


def check_licences(found: Mapping[str, int], allowed: Sequence[str]) -> None:
    """Refuse documents whose licence is not allowed.

    An expression with OR passes if one of its branches is allowed; one with AND needs all; an exception (WITH) only
    adds permissions, so the licence alone suffices.

    Args:
        found: how many documents have each licence; "unknown" for those that state none.
        allowed: SPDX identifiers, or whole expressions.

    Raises:
        ConfigError: ``allowed`` is empty, or holds something that is no SPDX expression.
        DataError: some licence is not allowed, or is unknown; each is named with its count.
    """
    permitted = _allowed(allowed)
    refused = {licence: count for licence, count in found.items() if count and not _passes(licence, permitted)}
    if refused:
        listed = sorted(refused.items(), key=lambda item: (-item[1], item[0]))
        raise DataError(
            "some documents have a licence that is not allowed, or none that is known",
            received="; ".join(f"{licence}: {count:,} documents" for licence, count in listed),
            expected=", ".join(sorted(permitted)),
            fix="allow it, leave the source out, or state the licence of a source that does not",
        )


def permits(allowed: frozenset[str], expression: str) -> bool:
    """Whether a canonical SPDX expression can be satisfied with the ``allowed`` licences alone."""
    if expression in allowed:
        return True
    # OR of ANDs of units, as deep as the brackets go: a stack of (closed ORs, the AND that is being read).
    stack: list[tuple[bool, bool]] = [(False, True)]
    tokens = re.findall(r"[()]|[^\s()]+", expression)
    skip = 0
    for index, token in enumerate(tokens):
        if skip:
            skip -= 1
        elif token == "(":
            stack.append((False, True))
        elif token == ")":
            closed, last = stack.pop()
            outer, sofar = stack.pop()
            stack.append((outer, sofar and (closed or last)))
        elif token == "OR":
            closed, last = stack.pop()
            stack.append((closed or last, True))
        elif token != "AND":
            units = {token}
            if tokens[index + 1 : index + 2] == ["WITH"]:
                units.add(" ".join(tokens[index : index + 3]))
                skip = 2
            closed, sofar = stack.pop()
            stack.append((closed, sofar and bool(units & allowed)))
    closed, last = stack.pop()
    assert not stack, "the expression is canonical, so its brackets match"
    return closed or last


def _passes(licence: str, allowed: frozenset[str]) -> bool:
    expression = canonical(licence)
    return expression is not None and permits(allowed, expression)


def _allowed(allowed: Sequence[str]) -> frozenset[str]:
    if not allowed:
        raise ConfigError("no licence is allowed", expected="SPDX identifiers, such as MIT or CC-BY-4.0")
    spelt = {text: canonical(text) for text in allowed}
    wrong = [text for text, expression in spelt.items() if expression is None]
    if wrong:
        often = [*_OFTEN_MEANT, *_SPELLINGS.values()]
        near = [match for text in wrong for match in difflib.get_close_matches(text, often, n=1)]
        raise ConfigError(
            "a licence that is to be allowed is not an SPDX identifier",
            received=", ".join(wrong),
            expected="identifiers of https://spdx.org/licenses",
            fix=f"did you mean {', '.join(near)}?" if near else None,
        )
    return frozenset(expression for expression in spelt.values() if expression is not None)


def _known_spelling(word: str) -> str | None:
    if _CREATIVE_COMMONS.fullmatch(word):
        return word.upper().replace(" ", "-")
    return _SPELLINGS.get(word)


def _listed(value: str) -> list[str]:
    """The members of ``[a, b]``, or the one value."""
    pieces = value[1:-1].split(",") if value.startswith("[") and value.endswith("]") else [value]
    return [word for piece in pieces if (word := _unquoted(piece))]


def _unquoted(text: str) -> str:
    return text.split(" #")[0].strip().strip("\"'").strip()
