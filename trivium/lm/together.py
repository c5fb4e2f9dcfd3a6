"""Which texts are read in one forward pass: those of about one length, so that little of it is padding."""

from collections.abc import Iterator, Sequence

TOKENS_AT_ONCE = 4096
"""Tokens of one forward pass; beyond it the products gain nothing."""


def together(lengths: Sequence[int], at_once: int) -> Iterator[list[int]]:
    """The places of all texts, the longest first, as many at a time as have ``at_once`` tokens when they are padded.

    A text that has more is read by itself; the order is one of length, and among equal lengths that of the texts.
    """
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    end = len(order)
    while end:
        start = max(0, end - max(1, at_once // max(1, lengths[order[end - 1]])))
        yield order[start:end]
        end = start
