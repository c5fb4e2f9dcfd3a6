"""Names in a text, by their capitals: people, places, works. A list to mask them whole by; no tagger, no gazetteer.

names_in(["He met Jane Austen in Bath. Jane Austen wrote."])        # ["Jane Austen"]

A word is taken for a part of a name where it is written with a capital inside sentences more often than without; what
begins a sentence says nothing of itself. Fit for English and for languages that write only names so; of German nouns it
would find too many.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"[^\W\d_]+(?:['’.-][^\W\d_]+)*|[^\w\s]|\d+")
_BEGINS_A_SENTENCE = frozenset('.!?:;"“”‘()[]—–*')
_BETWEEN = frozenset({"of", "the", "de", "la", "du", "von", "van", "der", "al", "bin"})
_NO_NAMES = frozenset({"I", "I'm", "I'll", "I've", "I'd", "I’m", "I’ll", "I’ve", "I’d"})
_LONGEST_WORDS = 5
_LONGEST_ACRONYM = 4  # letters; longer words in capitals alone are headings


def names_in(texts: Iterable[str], *, least_count: int = 2) -> list[str]:
    """Names of two to five words that occur ``least_count`` times or more, the most frequent first.

    Inside a name may stand words such as "of" and "van". ``texts`` may be an iterator; it is read once, and what is
    kept grows with the different words and names, not with the text.
    """
    inside: Counter[str] = Counter()  # written with a capital where no sentence begins
    small: Counter[str] = Counter()
    runs: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        runs.update(_runs(text, inside, small))
    counts: Counter[str] = Counter()
    for run, count in runs.items():
        parts = [place for place, word in enumerate(run) if word[0].isupper() and inside[word] > small[word.lower()]]
        if parts and 2 <= parts[-1] - parts[0] + 1 <= _LONGEST_WORDS:
            counts[" ".join(run[parts[0] : parts[-1] + 1])] += count
    frequent = [name for name, count in counts.items() if count >= least_count]
    return sorted(frequent, key=lambda name: (-counts[name], name))


def _runs(text: str, inside: Counter[str], small: Counter[str]) -> Iterator[tuple[str, ...]]:
    """The runs of capitalised words, with what may stand between them; counts all words that it meets."""
    run: list[str] = []
    begins = True
    for word in _WORD.findall(text):
        if word[0].isupper() and word not in _NO_NAMES and not (word.isupper() and len(word) > _LONGEST_ACRONYM):
            inside[word] += not begins
            run.append(word)
        else:
            if word[0].isalpha():
                small[word.lower()] += 1
            if run and word in _BETWEEN:
                run.append(word)
            elif run:
                yield tuple(run)
                run = []
        begins = word in _BEGINS_A_SENTENCE
    if run:
        yield tuple(run)
