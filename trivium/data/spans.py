"""The spans that the tags of words spell: entities, read strictly.

spans(["B-LOC", "I-LOC", "O"], scheme="iob2")       # [("LOC", 0, 2)]

An entity that its tags do not spell from beginning to end, such as one that begins with "I-", is none, as in seqeval
with `mode="strict"`. What is measured and what is shown are read by this one function.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from trivium.errors import DataError

Scheme = Literal["iob2", "iobes"]
"""IOB2: B- begins an entity, I- goes on. IOBES: E- ends one of several words too, S- is one of one."""

SCHEMES = {"iob2": "BIO", "bio": "BIO", "iobes": "BIOES"}
"""The letters of each scheme; IOB2 is also called BIO."""

Entity = tuple[str, int, int]
"""Type, first word, one past the last word."""


def scheme_of(labels: Iterable[str]) -> Scheme | None:
    """How the tags that a model knows mark spans; None where they mark none, as parts of speech."""
    letters = {label[0] for label in labels if label[1:2] == "-"}
    return "iobes" if letters & {"E", "S"} else "iob2" if "B" in letters else None


def spans(tags: Sequence[str], *, scheme: str = "iob2") -> list[Entity]:
    """The entities that the tags of one sentence spell. Raises `DataError` for a tag that is none of the scheme."""
    found: list[Entity] = []
    kind, start = "", -1  # of the entity that is open
    ends = "E" in SCHEMES[scheme]  # an entity must be closed by a tag of its own
    for index, (letter, current) in enumerate([*(_parts(tag, scheme) for tag in tags), ("O", "")]):
        if start >= 0 and letter in "IE" and current == kind:
            if letter == "E":
                found.append((kind, start, index + 1))
                start = -1
            continue
        if start >= 0 and not ends:
            found.append((kind, start, index))
        kind, start = current, index if letter == "B" else -1
        if letter == "S":
            found.append((current, index, index + 1))
    return found


def is_tag(tag: str, scheme: str) -> bool:
    """Whether a tag is one of the scheme: O, or a letter, a hyphen and a type."""
    letter, _, kind = tag.partition("-")
    return len(letter) == 1 and letter in SCHEMES[scheme] and (letter == "O") == (kind == "")


def _parts(tag: str, scheme: str) -> tuple[str, str]:
    if not isinstance(tag, str) or not is_tag(tag, scheme):
        raise DataError(
            f"a tag is none of the scheme {scheme}",
            received=repr(tag),
            expected="O, or one of " + ", ".join(f"{letter}-TYPE" for letter in SCHEMES[scheme] if letter != "O"),
        )
    letter, _, kind = tag.partition("-")
    return letter, kind
