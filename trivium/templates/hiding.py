"""What people wrote, kept apart from what the template writes.

While a template runs, every special token spelt out inside a message stands as a mark that nobody can foresee. So does
a part of one at either end of a text, since a template may put two texts side by side: a name `<|en` and a content
`d|>` make `<|end|>` together. A special token in the rendered text then comes from the template and from nobody else.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any


class Hiding:
    """Replaces special tokens in what people wrote by marks, and puts them back."""

    def __init__(self, special: Mapping[str, int]):
        """``special`` are the tokens to hide, with their ids."""
        self.used = False
        # The first matches any special token, the longest first.
        self.special, self._begins, self._ends = _shapes(tuple(special))
        self._longest = max(map(len, special), default=0)
        self._hidden: list[str] = []
        self._key = secrets.token_hex(8)

    @cached_property
    def _mark(self) -> re.Pattern[str]:
        return re.compile(f"\ue000{self._key}:(\\d+)\ue001")

    def hide(self, value: Any) -> Any:
        """``value``, a text or anything made of texts, with a mark for each special token."""
        if isinstance(value, str):
            return self._hide_text(value)
        if isinstance(value, Mapping):
            return {self.special.sub(self._replacement, str(key)): self.hide(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(inner) for inner in value]
        return value

    def reveal(self, text: str) -> str:
        """The text that `hide` was given."""
        return self._mark.sub(lambda match: self._hidden[int(match.group(1))], text)

    def parts(self, text: str) -> Iterator[tuple[bool, str]]:
        """A rendered text in order: (True, a part between special tokens with something hidden in it) or (False, more).

        The first kind is to be encoded as ordinary text, once revealed; the second with its special tokens.
        """
        begin = place = 0
        for match in [*self.special.finditer(text), None]:
            end = match.start() if match else len(text)
            if self._mark.search(text, place, end):
                if begin < place:
                    yield False, text[begin:place]
                yield True, self.reveal(text[place:end])
                begin = end
            place = match.end() if match else end
        if begin < len(text):
            yield False, text[begin:]

    def _hide_text(self, text: str) -> str:
        first = max((n for n in range(1, min(len(text), self._longest) + 1) if text[:n] in self._ends), default=0)
        last = max((n for n in range(1, min(len(text), self._longest) + 1) if text[-n:] in self._begins), default=0)
        middle = self.special.sub(self._replacement, text[first : len(text) - last])
        if first + last > len(text):  # one character may be an end and a beginning: `|` in `|>` and in `<|`
            return self._replace(text)
        return (self._replace(text[:first]) if first else "") + middle + (self._replace(text[-last:]) if last else "")

    def _replacement(self, match: re.Match[str]) -> str:
        return self._replace(match.group())

    def _replace(self, text: str) -> str:
        self.used = True
        self._hidden.append(text)
        return f"\ue000{self._key}:{len(self._hidden) - 1}\ue001"


@lru_cache(maxsize=8)
def _shapes(special: tuple[str, ...]) -> tuple[re.Pattern[str], frozenset[str], frozenset[str]]:
    """What matches any of them, and what they may begin and end with; made once for all conversations of a run."""
    longest_first = sorted(special, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)) if special else r"(?!)")
    begins = frozenset(token[:n] for token in special for n in range(1, len(token)))
    return pattern, begins, frozenset(token[n:] for token in special for n in range(1, len(token)))
