"""The longest common subsequence of two lists of words, bit-parallel.

Hyyrö 2004, "Bit-Parallel LCS-length Computation Revisited", figure 2: a row of the textbook's table is one number, in
which a zero at bit j says that the length grows from column j to column j + 1. A row takes a handful of operations on
whole numbers, and a word that the other text lacks leaves it as it is.
"""

from collections.abc import Mapping, Sequence


def places(words: Sequence[str]) -> dict[str, int]:
    """Of each word the positions at which it stands, as the bits of one number."""
    found: dict[str, int] = {}
    for index, word in enumerate(words):
        found[word] = found.get(word, 0) | 1 << index
    return found


def lcs_length(left: Sequence[str], right: Sequence[str]) -> int:
    """How long the longest common subsequence is."""
    found = places(left)
    row = whole = (1 << len(left)) - 1
    for word in right:
        if here := found.get(word):
            matched = row & here
            row = (row + matched | row - matched) & whole
    return len(left) - row.bit_count()


def lcs_positions(reference: Sequence[str], candidate: Mapping[str, int], length: int) -> list[int]:
    """The positions in `reference` of one longest common subsequence, the last first.

    `candidate` is `places` of the other text, of `length` words. Of several it is the one that rouge-score finds: from
    the end of both texts back, a match is taken at once; otherwise the reference gives way, unless that costs length.
    """
    shared = [(index, candidate[word]) for index, word in enumerate(reference) if word in candidate]
    row = whole = (1 << length) - 1
    rows = []
    for _, here in shared:
        rows.append(row)
        matched = row & here
        row = (row + matched | row - matched) & whole
    left = length - row.bit_count()  # of the subsequence, to be found in the first `column` words
    column = length
    positions = []
    for (index, here), above in zip(reversed(shared), reversed(rows), strict=True):
        if not left:
            break
        here &= (1 << column) - 1
        # Without this word of the reference the length would be this; where it is less, the word is needed.
        without = column - (above & (1 << column) - 1).bit_count()
        if here.bit_length() == column or without < left:
            positions.append(index)
            column = here.bit_length() - 1
            left -= 1
    return positions
