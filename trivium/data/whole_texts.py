"""Whole texts as rows: one text a row, begun by an id that says nothing, each of its own tokens a target; alone, or
beside the source that it was written for."""

from collections.abc import Sequence

import torch

from trivium.data.batches import CausalBatch, Seq2SeqBatch
from trivium.data.padding import padded
from trivium.data.shards import Ids


def whole_texts(texts: Sequence[Ids], start: int) -> CausalBatch:
    """`start` and all of a text but its last token, with the text as targets; there is at least one text, and a text
    has at least one token."""
    targets, lengths = padded(texts)
    assert int(lengths.min()), "a text without tokens is no row"
    tokens = torch.cat([torch.full_like(targets[:, :1], start), targets[:, :-1]], dim=1)
    mask = torch.arange(targets.shape[1]) < lengths[:, None]
    return CausalBatch(tokens=tokens, targets=targets, mask=mask, lengths=lengths)


def whole_pairs(sources: Sequence[Ids], texts: Sequence[Ids], start: int) -> Seq2SeqBatch:
    """`whole_texts`, each with its source."""
    source, source_lengths = padded(sources)
    rows = whole_texts(texts, start)
    return Seq2SeqBatch(
        source=source,
        source_lengths=source_lengths,
        tokens=rows.tokens,
        targets=rows.targets,
        mask=rows.mask,
        lengths=rows.lengths,
    )
