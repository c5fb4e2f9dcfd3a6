"""The rows of every objective that restores a text: how long the texts are cut, how one is spoilt, how rows make a
batch."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from trivium.data.batches import CausalBatch, MaskedBatch, PermutationBatch, Seq2SeqBatch
from trivium.data.padding import padded
from trivium.data.pairs import seq2seq_batch
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError
from trivium.objectives import span_corruption, ul2
from trivium.objectives.blank_infilling import Blanks, Marks, blank_infilling, collate_blanks, hide_rest, hide_spans
from trivium.objectives.causal import causal
from trivium.objectives.denoising import denoise
from trivium.objectives.fill_in_the_middle import Sentinels, rearrange
from trivium.objectives.masked import mask_row, masked
from trivium.objectives.permutation import permutation, permute
from trivium.objectives.prefix import continuation, cut_prefix
from trivium.objectives.replaced import replaced_token_detection
from trivium.objectives.seq2seq import seq2seq
from trivium.recipes.restored_text import Corruption, Restored, Rows, Text, present
from trivium.recipes.units import units_of
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.special import BLANKS, FILL_IN_THE_MIDDLE, MODES, SENTINELS

_WHOLE_REST = 0.5
"""Share of the texts of blank infilling of which the rest is one blank (Du et al. 2022, section 2.1)."""
_SENTENCE_ENDS = (".", "!", "?", "\N{IDEOGRAPHIC FULL STOP}")


def corruption_of(
    objective: Corruption, tokenizer: Tokenizer, *, train: TokenStore, context_tokens: int, start_id: int | None
) -> Rows:
    """The rows of an objective: none of them takes more than ``context_tokens``. Arguments and errors as of
    `restoring`."""
    text = Text(tokenizer=tokenizer, context_tokens=context_tokens, train=train, start_id=start_id)
    rows = _MAKERS[objective.kind](objective, text)
    if rows.window_tokens < 2:
        raise ConfigError("the context holds no text", received=f"context_tokens {context_tokens}")
    return rows


# Read as a whole ------------------------------------------------------------------------------------------------------


def _masking(objective: Corruption, text: Text) -> Rows:
    assert objective.rate is not None and objective.units is not None
    around = text.enclosing()
    units = units_of(objective.units, text.tokenizer, text.train)
    mask = partial(
        mask_row,
        mask_id=present(text.tokenizer.mask_id, "[MASK]"),
        vocabulary_size=text.tokenizer.vocabulary_size,
        rate=objective.rate,
        special_ids=text.special_ids,
    )

    def corrupt(ids: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        row = around(ids)
        return (*mask(row, rng, units=None if units is None else units(row)), row)

    def collate(rows: Sequence[tuple[np.ndarray, ...]]) -> MaskedBatch:
        tokens, mask, targets = _stacked(rows)
        return MaskedBatch(tokens=tokens, targets=targets, mask=mask, lengths=_full(tokens))

    replacing = partial(replaced_token_detection, masked_share=objective.rate)
    loss = masked if objective.kind == "masked" else replacing
    return Rows(window_tokens=text.context_tokens - text.around, corrupt=corrupt, collate=collate, loss=loss)


def _permuting(objective: Corruption, text: Text) -> Rows:
    assert objective.rate is not None
    around = text.enclosing()
    draw = partial(permute, special_ids=text.special_ids, one_in=max(1, round(1 / objective.rate)))

    def corrupt(ids: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        row = around(ids)
        return (row, *draw(row, rng))

    def collate(rows: Sequence[tuple[np.ndarray, ...]]) -> PermutationBatch:
        tokens, ranks, mask = _stacked(rows)
        return PermutationBatch(tokens=tokens, ranks=ranks, mask=mask, lengths=_full(tokens))

    return Rows(window_tokens=text.context_tokens - text.around, corrupt=corrupt, collate=collate, loss=permutation)


# Read as a whole, and written -----------------------------------------------------------------------------------------

Pair = tuple[Sequence[int], Sequence[int]]


def _writing(text: Text, window: int, corrupt: Callable[[np.ndarray, np.random.Generator], Pair]) -> Rows:
    """Rows of source and target: the source between special tokens, the target up to the end of text."""
    around, end, start = text.enclosing(), present(text.tokenizer.eos_id, "end of text"), text.start_id
    assert start is not None, "what writes begins with something"

    def pair(ids: np.ndarray, rng: np.random.Generator) -> Pair:
        source, target = corrupt(ids, rng)
        return around(source).tolist(), target

    def collate(rows: Sequence[Pair]) -> Seq2SeqBatch:
        return seq2seq_batch(rows, range(len(rows)), start_id=start, eos_id=end)

    return Rows(window_tokens=window, corrupt=pair, collate=collate, loss=seq2seq)


def _spans(objective: Corruption, text: Text) -> Rows:
    assert objective.rate is not None and objective.mean_span is not None
    sentinels, how = text.required(*SENTINELS), {"rate": objective.rate, "mean_span": objective.mean_span}
    # An end token is counted there; here it is one of those around the text.
    window = span_corruption.raw_tokens(text.context_tokens - text.around + 1, **how)
    _require_sentinels(span_corruption.counts(window, **how)[1], text)
    return _writing(text, window, lambda ids, rng: span_corruption.corrupt_spans(ids, sentinels, rng, **how))


def _mixture(_: Corruption, text: Text) -> Rows:
    sentinels = text.required(*SENTINELS)
    modes: dict[ul2.Mode, int] = {}
    for mode, token in ul2.MODE_TOKENS.items():
        if (id := text.tokenizer.id(token)) is not None:
            modes[mode] = id
    known = modes if len(modes) == len(MODES) else None
    window = ul2.raw_tokens(text.context_tokens - text.around + 1, with_modes=known is not None)
    for each in ul2.DENOISERS:
        if each.mean_span is not None:
            spans = span_corruption.counts(window, rate=each.rate, mean_span=each.mean_span)[1]
            _require_sentinels(spans, text)
    return _writing(text, window, lambda ids, rng: ul2.corrupt_by_mixture(ids, sentinels, rng, mode_ids=known))


def _denoising(objective: Corruption, text: Text) -> Rows:
    assert objective.rate is not None and objective.mean_span is not None
    window = text.context_tokens - max(text.around, 1)  # or the end of the target
    longest = text.context_tokens - text.around
    spoil = partial(
        denoise,
        mask_id=present(text.tokenizer.mask_id, "[MASK]"),
        sentence_ends=_sentence_ends(text.tokenizer),
        special_ids=text.special_ids,
        rate=objective.rate,
        mean_span=objective.mean_span,
    )

    def corrupt(ids: np.ndarray, rng: np.random.Generator) -> Pair:
        source, target = spoil(ids, rng)
        return source[:longest], target  # many empty spans in a short text make it longer

    return _writing(text, window, corrupt)


def _blanks(objective: Corruption, text: Text) -> Rows:
    assert objective.rate is not None and objective.mean_span is not None
    mask, sentence, rest, start, end = text.required("[MASK]", *BLANKS)
    begin = present(text.tokenizer.cls_id, "[CLS]")
    marks = Marks(mask=mask, sentence_mask=sentence, document_mask=rest, start=start, end=end, begin=begin)
    hide = partial(
        hide_spans, marks=marks, special_ids=text.special_ids, rate=objective.rate, mean_span=objective.mean_span
    )

    def corrupt(ids: np.ndarray, rng: np.random.Generator) -> Blanks:
        if rng.random() < _WHOLE_REST or np.isin(ids, list(text.special_ids)).all():
            return hide_rest(ids, rng, marks)
        return hide(ids, rng)

    # [CLS] is before the text, and the longest blank is all of it and its end.
    return Rows(window_tokens=text.context_tokens - 1, corrupt=corrupt, collate=collate_blanks, loss=blank_infilling)


# Read from left to right ----------------------------------------------------------------------------------------------


def _middle(objective: Corruption, text: Text) -> Rows:
    assert objective.rate is not None
    prefix, middle, suffix = text.required(*FILL_IN_THE_MIDDLE)
    sentinels, longest = Sentinels(prefix=prefix, middle=middle, suffix=suffix), text.context_tokens + 1
    before, end = np.array(text.tokenizer.prefix_ids, dtype=np.int64), text.tokenizer.eos_id
    rate = objective.rate

    def corrupt(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        moved = rearrange(ids, rng, sentinels=sentinels, rate=rate, end_id=end)
        return np.concatenate([before, moved])[:longest]  # several texts may get marks (Bavarian et al., appendix B)

    def collate(rows: Sequence[np.ndarray]) -> CausalBatch:
        ids, lengths = padded(rows)
        lengths = lengths - 1
        mask = torch.arange(ids.shape[1] - 1) < lengths[:, None]
        return CausalBatch(tokens=ids[:, :-1].contiguous(), targets=ids[:, 1:].contiguous(), mask=mask, lengths=lengths)

    window = longest - len(before) - len(FILL_IN_THE_MIDDLE) - int(end is not None)
    return Rows(window_tokens=window, corrupt=corrupt, collate=collate, loss=causal)


def _prefix(objective: Corruption, text: Text) -> Rows:
    if objective.reads_whole:
        return _writing(text, text.context_tokens - text.around + 1, cut_prefix)
    before = text.tokenizer.prefix_ids

    def corrupt(ids: np.ndarray, rng: np.random.Generator) -> Pair:
        beginning, rest = cut_prefix(ids, rng)
        return [*before, *beginning], rest

    window = text.context_tokens + 1 - len(before)
    return Rows(window_tokens=window, corrupt=corrupt, collate=continuation, loss=causal)


_MAKERS: dict[Restored, Callable[[Corruption, Text], Rows]] = {
    "masked": _masking,
    "replaced": _masking,
    "permutation": _permuting,
    "span_corruption": _spans,
    "ul2": _mixture,
    "denoising": _denoising,
    "blank_infilling": _blanks,
    "fill_in_the_middle": _middle,
    "prefix": _prefix,
}


def _stacked(rows: Sequence[tuple[np.ndarray, ...]]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.stack(each)) for each in zip(*rows, strict=True)]


def _full(tokens: torch.Tensor) -> torch.Tensor:
    return torch.full((tokens.shape[0],), tokens.shape[1])


def _sentence_ends(tokenizer: Tokenizer) -> list[int]:
    """The ids that end with a full stop, and white space behind it."""
    special = set(tokenizer.special_tokens.values())
    ids = [id for id in range(tokenizer.vocabulary_size) if id not in special]
    return [id for id in ids if tokenizer.decode([id]).rstrip().endswith(_SENTENCE_ENDS)]


def _require_sentinels(spans: int, text: Text) -> None:
    if spans + 1 > len(SENTINELS):
        raise ConfigError(
            "a text has more spans than the vocabulary has tokens for them",
            received=f"{spans} spans with context_tokens {text.context_tokens}",
            expected=f"at most {len(SENTINELS) - 1}",
            fix="lower context_tokens or rate, or lengthen mean_span",
        )
