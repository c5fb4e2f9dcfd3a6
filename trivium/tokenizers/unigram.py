"""The unigram language model of SentencePiece: of all ways to cut a word, the likeliest.

Kudo 2018 ("Subword Regularization", section 3.2): a text's pieces are drawn independently, p(x) = prod p(x_i). Training
starts from frequent substrings, fits their probabilities by EM over all ways to cut, and throws out the pieces whose
loss costs the likelihood least, until the vocabulary is small enough. `tokenizers` encodes. Its trainer is not used: it
adds up in the order of a hash table that is seeded anew in each process, so that the same text gives other scores each
time (differences in the third decimal, measured). This one, after SentencePiece's `unigram_model_trainer.cc`, works on
arrays of words of equal length, always in the same order.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer, models

from trivium.tokenizers.metaspace import metaspace_tokenizer
from trivium.tokenizers.special import SpecialTokens
from trivium.tokenizers.words import count_words, refuse_small, within_alphabet

_LONGEST_PIECE_CHARACTERS = 16  # SentencePiece's max_sentencepiece_length
_LONGEST_WORD_CHARACTERS = 64  # longer ones are learnt from in parts; pieces are much shorter
_SEEDS_PER_PIECE = 10  # SentencePiece starts from a million whatever the size asked
_KEPT_PER_ROUND = 0.75  # its shrinking_factor
_ROUNDS_OF_EM = 2  # its num_sub_iterations
_SPARE = 1.1  # pruning stops at this much above the size asked; the rest goes by probability
_LEAST_COUNT = 0.5  # a piece expected less often is dropped at once


def train_unigram(
    texts: Iterable[str], *, vocabulary_size: int | None, special: SpecialTokens, alphabet_size: int | None
) -> Tokenizer:
    """Learn pieces from ``texts``. Characters beyond the ``alphabet_size`` most frequent are unknown.

    What decoding loses: characters outside the vocabulary, which become ``special.unk`` (neighbouring ones a single
    one), and a ``▁`` of the text itself, which comes back as a space.
    """
    counts = count_words(texts, metaspace_tokenizer(models.Unigram(), special))
    alphabet, words = within_alphabet(counts, alphabet_size)
    wanted = refuse_small(vocabulary_size, len(special) + len(alphabet), "Unigram") - len(special)
    pieces = learn(words, alphabet, wanted)
    vocabulary = [(token, 0.0) for token in special] + [pair for pair in pieces if pair[0] not in set(special)]
    model = models.Unigram(vocabulary, unk_id=list(special).index(special.unk or ""), byte_fallback=False)
    return metaspace_tokenizer(model, special)


def learn(words: Sequence[tuple[str, int]], alphabet: Sequence[str], wanted: int) -> list[tuple[str, float]]:
    """At most ``wanted`` pieces with their log probabilities, the likeliest first; every character is one of them."""
    parts = [
        (word[start : start + _LONGEST_WORD_CHARACTERS], count)
        for word, count in words
        for start in range(0, len(word), _LONGEST_WORD_CHARACTERS)
    ]
    pieces, scores = _seeds(parts, alphabet, wanted * _SEEDS_PER_PIECE)
    lattices = _lattices([word for word, _ in parts], [count for _, count in parts], pieces)
    required = np.array([len(piece) == 1 for piece in pieces])
    inside = _lattices(pieces, [1] * len(pieces), pieces, alone=False)
    names = np.array(pieces, dtype=object)
    while True:
        for _ in range(_ROUNDS_OF_EM):
            expected = sum(lattice.expected_counts(scores) for lattice in lattices)
            keep = required | (expected >= _LEAST_COUNT)
            names, required, lattices, inside = _kept(keep, names, required, lattices, inside)
            expected = np.maximum(expected[keep], _LEAST_COUNT)
            # The digamma function in place of the logarithm: a prior that prefers few pieces (section 2.2.1 there).
            scores = _digamma(expected) - _digamma(expected.sum(keepdims=True))
        if len(names) <= wanted * _SPARE:
            break
        size = max(int(wanted * _SPARE), int(len(names) * _KEPT_PER_ROUND))
        loss = np.where(required, np.inf, _loss_without(scores, lattices, inside))
        keep = np.zeros(len(names), dtype=bool)
        keep[np.argsort(-loss, kind="stable")[:size]] = True
        keep &= (loss > 0) | required
        names, required, lattices, inside = _kept(keep, names, required, lattices, inside)
        scores = scores[keep]
    order = sorted(range(len(names)), key=lambda i: (not required[i], -scores[i], names[i]))[:wanted]
    # Rounded, because `tokenizers` reads numbers of seventeen digits back with another last bit.
    return sorted(((str(names[i]), round(float(scores[i]), 6)) for i in order), key=lambda pair: (-pair[1], pair[0]))


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """All ways to cut some words of one length."""

    owners: np.ndarray
    """[words] where each word stands in the list they come from."""
    counts: np.ndarray
    """[words] how often each occurs."""
    pieces: np.ndarray
    """[words, end, length - 1] the piece that ends before ``end + 1`` and is so long, or -1."""

    def expected_counts(self, scores: np.ndarray) -> np.ndarray:
        """How often each piece occurs, averaged over all ways to cut, each weighted by its probability."""
        words, size, longest = self.pieces.shape
        edges = np.append(scores, -np.inf)[self.pieces]
        before, after = np.full((2, words, size + 1), -np.inf)
        before[:, 0] = after[:, size] = 0.0
        for end in range(1, size + 1):
            lengths = np.arange(1, min(end, longest) + 1)
            before[:, end] = np.logaddexp.reduce(before[:, end - lengths] + edges[:, end - 1, lengths - 1], axis=1)
        for start in range(size - 1, -1, -1):
            lengths = np.arange(1, min(size - start, longest) + 1)
            ways = after[:, start + lengths] + edges[:, start + lengths - 1, lengths - 1]
            after[:, start] = np.logaddexp.reduce(ways, axis=1)
        found = np.zeros(len(scores) + 1)
        for end in range(1, size + 1):
            lengths = np.arange(1, min(end, longest) + 1)
            log = before[:, end - lengths] + edges[:, end - 1, lengths - 1] + after[:, [end]] - after[:, [0]]
            weights = np.exp(log) * self.counts[:, None]
            ids = self.pieces[:, end - 1, lengths - 1]
            found += np.bincount(ids.ravel() % len(found), weights.ravel(), len(found))
        return found[:-1]

    def best(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest way to cut each word: its log probability, and its pieces [words, length], -1 where none."""
        words, size, longest = self.pieces.shape
        edges = np.append(scores, -np.inf)[self.pieces]
        score = np.full((words, size + 1), -np.inf)
        score[:, 0] = 0.0
        chosen = np.ones((words, size + 1), dtype=np.int64)
        rows = np.arange(words)
        for end in range(1, size + 1):
            lengths = np.arange(1, min(end, longest) + 1)
            ways = score[:, end - lengths] + edges[:, end - 1, lengths - 1]
            which = ways.argmax(axis=1)
            score[:, end], chosen[:, end] = ways[rows, which], which + 1
        path = np.full((words, size), -1, dtype=np.int64)
        position = np.full(words, size)
        for step in range(size):
            moving = position > 0
            length = chosen[rows, position]
            path[moving, step] = self.pieces[rows, position - 1, length - 1][moving]
            position = np.where(moving, position - length, 0)
        return score[:, size], path

    def kept(self, new_id: np.ndarray, rows: np.ndarray) -> "Lattice":
        """With pieces renumbered by ``new_id`` (-1: no more), its last entry standing for -1; only some ``rows``."""
        return Lattice(owners=self.owners[rows], counts=self.counts[rows], pieces=new_id[self.pieces[rows]])


def _seeds(words: list[tuple[str, int]], alphabet: Sequence[str], limit: int) -> tuple[list[str], np.ndarray]:
    """The characters, and the substrings that cover most of the text: by count times length."""
    counts: Counter[str] = Counter()
    for word, count in words:
        for start in range(len(word)):
            for end in range(start + 1, min(start + _LONGEST_PIECE_CHARACTERS, len(word)) + 1):
                counts[word[start:end]] += count
    longer = [piece for piece, count in counts.items() if len(piece) > 1 and count > 1]
    longer.sort(key=lambda piece: (-counts[piece] * len(piece), piece))
    pieces = [*alphabet, *longer[:limit]]
    weight = np.array([counts[piece] * len(piece) for piece in pieces], dtype=np.float64)
    return pieces, np.log(weight) - np.log(weight.sum())


def _lattices(
    words: Sequence[str], counts: Sequence[int], pieces: Sequence[str], *, alone: bool = True
) -> list[Lattice]:
    """The lattices of ``words``, one a length; unless ``alone``, a word that is itself a piece must be cut further."""
    number = {piece: i for i, piece in enumerate(pieces)}
    by_length: dict[int, list[int]] = {}
    for owner, word in enumerate(words):
        by_length.setdefault(len(word), []).append(owner)
    found = []
    for size, owners in sorted(by_length.items()):
        longest = min(size, _LONGEST_PIECE_CHARACTERS)
        table = np.full((len(owners), size, longest), -1, dtype=np.int32)
        for row, owner in enumerate(owners):
            word = words[owner]
            for end in range(1, size + 1):
                for length in range(1, min(end, longest) + 1):
                    table[row, end - 1, length - 1] = number.get(word[end - length : end], -1)
        if not alone and longest == size:
            table[:, size - 1, size - 1] = -1
        weights = np.array([counts[owner] for owner in owners], dtype=np.float64)
        found.append(Lattice(owners=np.array(owners), counts=weights, pieces=table))
    return found


def _loss_without(scores: np.ndarray, lattices: list[Lattice], inside: list[Lattice]) -> np.ndarray:
    """By how much the log likelihood of the text falls when each piece is cut further instead; 0 for unused ones.

    SentencePiece's estimate: the text stays cut as it is now, and each piece is replaced by its next best cutting.
    """
    frequency = np.zeros(len(scores) + 1)
    for lattice in lattices:
        _, path = lattice.best(scores)
        weights = np.broadcast_to(lattice.counts[:, None], path.shape)
        frequency += np.bincount(path.ravel() % len(frequency), weights.ravel(), len(frequency))
    frequency = frequency[:-1]
    total = frequency.sum()
    loss = np.zeros(len(scores))
    for lattice in inside:
        if lattice.pieces.shape[1] == 1:
            continue
        own = frequency[lattice.owners]
        score, path = lattice.best(scores)
        used = (own > 0) & (score <= scores[lattice.owners])
        parts = (path >= 0).sum(axis=1)
        # Unused pieces give nothing times infinity here, and are not asked.
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.where(path >= 0, np.log(frequency[path] + own[:, None]), 0.0).sum(axis=1)
            gain = np.log(own) - np.log(total) - (apart - parts * np.log(total + own * (parts - 1)))
            loss[lattice.owners[used]] = (own / total * gain)[used]
    return loss


def _kept(
    keep: np.ndarray, names: np.ndarray, required: np.ndarray, lattices: list[Lattice], inside: list[Lattice]
) -> tuple[np.ndarray, np.ndarray, list[Lattice], list[Lattice]]:
    """Everything renumbered to the pieces that stay."""
    new_id = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1).astype(np.int32)
    lattices = [lattice.kept(new_id, np.ones(len(lattice.owners), dtype=bool)) for lattice in lattices]
    inner = []
    for lattice in inside:
        smaller = lattice.kept(new_id, keep[lattice.owners])
        inner.append(Lattice(owners=new_id[smaller.owners], counts=smaller.counts, pieces=smaller.pieces))
    return names[keep], required[keep], lattices, [lattice for lattice in inner if len(lattice.owners)]


def _digamma(x: np.ndarray) -> np.ndarray:
    """The derivative of log gamma for x > 0, to 1e-9 (Abramowitz and Stegun 6.3.5 and 6.3.18)."""
    shifted, correction = x.copy(), np.zeros_like(x)
    for _ in range(7):
        small = shifted < 7
        correction[small] -= 1 / shifted[small]
        shifted[small] += 1
    square = 1 / shifted**2
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return np.log(shifted) - 0.5 / shifted - series + correction
