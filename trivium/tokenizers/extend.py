"""More pieces for a vocabulary that is there: byte-pair encoding goes on learning where it stopped.

A vocabulary learnt from English cuts Finnish, or a company's product names, into crumbs. Merges (Sennrich et al. 2016,
section 3.2) learnt from new text over the pieces that there are go behind those that there are: ids stay what they
were, and every new piece is two older ones, so that an embedding for it can be made of theirs. Old text is cut as
before but where it holds a pair that is merged now.
"""

import heapq
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tokenizers import Tokenizer as Backend

from trivium.errors import TokenizerError, Unsupported
from trivium.tokenizers.protocol import Tokenizer
from trivium.tokenizers.tokenizer import JsonTokenizer
from trivium.tokenizers.words import stretches

_LEAST_COUNT = 2
_METASPACE = re.compile(r"(?=▁)")

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Extended:
    """A vocabulary with more pieces."""

    tokenizer: Tokenizer
    """The old one and the new pieces."""
    made_of: dict[int, list[int]]
    """Each new id, and the ids of the old vocabulary that spell it."""


def extend(tokenizer: Tokenizer, texts: Iterable[str], pieces: int) -> Extended:
    """Up to ``pieces`` more, learnt from ``texts``; fewer where no pair occurs twice any more.

    Raises `Unsupported` for a vocabulary that is no byte-pair encoding, `TokenizerError` where nothing can be learnt.
    """
    if pieces < 1:
        raise TokenizerError("at least one piece is added", received=pieces)
    if not isinstance(tokenizer, JsonTokenizer):
        raise Unsupported("only one vocabulary for all text can be extended", received=type(tokenizer).__name__)
    files = tokenizer.files()
    description = json.loads(files["tokenizer.json"])
    model = description["model"]
    if model["type"] != "BPE" or not model["merges"]:
        raise Unsupported(
            "only a byte-pair vocabulary can be extended, by more merges",
            received=model["type"] + ("" if model["type"] != "BPE" else ", without merges"),
            expected="BPE",
            fix="make a new vocabulary with trivium prepare",
        )
    if any(model.get(option) for option in ("continuing_subword_prefix", "end_of_word_suffix")):
        raise Unsupported("a byte-pair vocabulary with marked pieces cannot be extended", received="CLIP's, or alike")
    backend = Backend.from_str(files["tokenizer.json"])
    words = _Words(_cut(texts, backend))
    merges = words.merges(pieces, taken=frozenset(model["vocab"]))
    if not merges:
        raise TokenizerError(
            "there is nothing to learn from this text", received="no pair of pieces occurs twice", fix="give more text"
        )
    first = tokenizer.vocabulary_size
    spelled = {piece: [number] for piece, number in model["vocab"].items()}
    joined = isinstance(model["merges"][0], str)
    for number, (left, right) in enumerate(merges, start=first):
        model["vocab"][left + right] = number
        model["merges"].append(f"{left} {right}" if joined else [left, right])
        spelled[left + right] = spelled[left] + spelled[right]
    larger = JsonTokenizer(Backend.from_str(json.dumps(description)), json.loads(files["tokenizer_config.json"]))
    return Extended(tokenizer=larger, made_of={model["vocab"][a + b]: spelled[a + b] for a, b in merges})


def _cut(texts: Iterable[str], backend: Backend) -> Counter[tuple[str, ...]]:
    """How often each word occurs, as the pieces that it is cut into now."""
    counts: Counter[str] = Counter()
    for text in texts:
        for stretch in stretches(text):
            plain = stretch if backend.normalizer is None else backend.normalizer.normalize_str(stretch)
            if backend.pre_tokenizer is None:  # Llama 2: spaces have become marks, and nothing is cut
                counts.update(word for word in _METASPACE.split(plain) if word)
            else:
                counts.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(plain))
    model: Any = backend.model
    cut: Counter[tuple[str, ...]] = Counter()
    for word, count in counts.items():
        cut[tuple(token.value for token in model.tokenize(word))] += count
    return cut


@dataclass
class _Words:
    """Counted words as sequences of pieces, and where each pair stands."""

    counted: Counter[tuple[str, ...]]
    pieces: list[list[str]] = field(init=False)
    counts: list[int] = field(init=False)
    pairs: Counter[Pair] = field(init=False)
    places: dict[Pair, set[int]] = field(init=False)

    def __post_init__(self) -> None:
        ordered = sorted(self.counted.items())
        self.pieces, self.counts = [list(word) for word, _ in ordered], [count for _, count in ordered]
        self.pairs, self.places = Counter(), defaultdict(set)
        for index in range(len(self.pieces)):
            self._count(index, 1)

    def merges(self, wanted: int, *, taken: frozenset[str]) -> list[Pair]:
        """The most frequent pair, again and again; of equally frequent ones the first by spelling.

        No pair is taken whose spelling is a piece already: of two ids for one piece, one would never be learnt.
        """
        found: list[Pair] = []
        made: set[str] = set()
        queue = [(-count, pair) for pair, count in self.pairs.items()]
        heapq.heapify(queue)
        while queue and len(found) < wanted:
            count, pair = heapq.heappop(queue)
            if -count != self.pairs[pair]:  # an old entry: the pair has become rarer, or was merged
                if self.pairs[pair]:
                    heapq.heappush(queue, (-self.pairs[pair], pair))
                continue
            if -count < _LEAST_COUNT:
                break
            if "".join(pair) in taken or "".join(pair) in made:
                continue
            found.append(pair)
            made.add("".join(pair))
            for changed in self._merge(pair):
                heapq.heappush(queue, (-self.pairs[changed], changed))
        return found

    def _merge(self, pair: Pair) -> set[Pair]:
        """Join the pair wherever it stands; gives the pairs that came of it: no other becomes more frequent."""
        joined, new = "".join(pair), set()
        for index in sorted(self.places.pop(pair)):
            self._count(index, -1)
            self.pieces[index] = _joined(self.pieces[index], pair)
            self._count(index, 1)
            new |= {one for one in _neighbours(self.pieces[index]) if joined in one}
        return new

    def _count(self, index: int, sign: int) -> None:
        for pair in _neighbours(self.pieces[index]):
            self.pairs[pair] += sign * self.counts[index]
            if sign > 0:
                self.places[pair].add(index)


def _neighbours(pieces: Sequence[str]) -> list[Pair]:
    return list(pairwise(pieces))


def _joined(pieces: Sequence[str], pair: Pair) -> list[str]:
    """The sequence with the pair joined, from the left."""
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out
